//! What goes wrong now and then in a run, and what is put right again.

use super::{SECOND_US, SETTLING_US, World};

/// Short runs have a crash and a drain as well.
const FIRST_CRASH_US: u64 = 12 * SECOND_US;
const FIRST_DRAIN_US: u64 = 4 * SECOND_US;

impl World {
    /// What goes wrong now and then, and what is put right again.
    pub(super) fn strike(&mut self) {
        let (elapsed_us, faults) = (self.elapsed_us, self.plan.faults);
        if self.starts_at.is_some_and(|at| elapsed_us >= at) {
            self.starts_at = None;
            self.process.start(elapsed_us);
            self.checks.forget_zones();
            self.drains_until.fill(None);
        }
        // each draw is made whether it counts or not, so that one fault more leaves the others as they are
        let (crashes, pause) = (self.faults.permille(15), self.faults.below(3));
        let crashes = crashes && elapsed_us > SETTLING_US || elapsed_us == FIRST_CRASH_US;
        if faults.crashes && crashes && self.process.is_up {
            self.process.is_up = false;
            self.starts_at = Some(elapsed_us + u64::from(1 + pause) * SECOND_US);
            self.summary.crashes += 1;
        }
        for zone in 0..self.plan.zones {
            let (drains, seconds) = (self.faults.permille(15), self.faults.below(20));
            let drains = drains || elapsed_us == FIRST_DRAIN_US;
            let now = self.process.now(elapsed_us);
            match self.drains_until[zone] {
                Some(until) if elapsed_us >= until => {
                    self.drains_until[zone] = None;
                    self.process.zones[zone].core.undrain();
                }
                None if faults.drains && drains && self.process.is_up => {
                    self.drains_until[zone] = Some(elapsed_us + u64::from(2 + seconds) * SECOND_US);
                    self.process.zones[zone].core.drain(now);
                    self.summary.drains += 1;
                }
                _ => {}
            }
        }
        for index in 0..self.players.len() {
            let (vanishes, tenths) = (self.faults.permille(15), self.faults.below(120));
            let player = &mut self.players[index];
            if faults.vanishing && vanishes && player.is_on(elapsed_us) && player.returns_at.is_none() {
                player.away_until = elapsed_us + u64::from(1 + tenths) * SECOND_US / 10;
                self.summary.vanished += 1;
                self.sleep(index);
            }
        }
    }
}
