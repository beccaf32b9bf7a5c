//! A swarm along its ramp: it plays, is directed every so often and writes a line each second, until the ramp is over or a signal comes.

use std::time::Duration;

use anyhow::Context;
use gameserver_sys::Clock;

use crate::ramp::Ramp;
use crate::stop::StopSignal;
use crate::swarm::Swarm;

/// Between two lines of figures.
const LINE_PERIOD: Duration = Duration::from_secs(1);

/// How many shall play when, and how often somebody sees to it.
pub(crate) struct Course {
    pub(crate) ramp: Ramp,
    pub(crate) clock: Clock,
    /// How often bots are sent or called back.
    pub(crate) direct_period: Duration,
}

impl Course {
    /// Plays to the end. `direct` and `record` are told how many shall play now.
    pub(crate) fn run(
        &self,
        swarm: &mut Swarm,
        stop: &StopSignal,
        mut direct: impl FnMut(&mut Swarm, u32) -> anyhow::Result<()>,
        mut record: impl FnMut(&mut Swarm, u32) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (mut next_direct, mut next_line) = (Duration::ZERO, LINE_PERIOD);
        while !stop.has_come() {
            swarm.turn().context("failed to poll sockets")?;
            let now = self.clock.monotonic();
            let Some(target) = self.ramp.target(now) else { break };
            if now >= next_direct {
                next_direct = now + self.direct_period;
                direct(swarm, target)?;
            }
            if now >= next_line {
                next_line += LINE_PERIOD;
                record(swarm, target)?;
            }
        }
        swarm.leave_all();
        Ok(())
    }
}
