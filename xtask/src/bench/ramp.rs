//! Players who come and go over three regions, the AutoScaler that follows them, and whether anybody is hurt by it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};

use super::page::Page;
use crate::bots::RAMP_SECONDS;
use crate::checkout::Checkout;
use crate::clock;
use crate::down;
use crate::observe::{self, RegionOverview};
use crate::progress::Progress;
use crate::up;

/// Between two looks.
const LOOK_PERIOD: Duration = Duration::from_secs(2);

/// Every so many looks are a row of the page.
const LOOKS_A_ROW: usize = 10;

/// Least and most servers and what was counted by the players' side, in one region.
#[derive(Debug, Default, PartialEq)]
struct Course {
    servers: Option<(usize, usize)>,
    last_servers: usize,
    players_max: i64,
    disconnects: u64,
    refused: u64,
    p99_ms_max: f64,
}

impl Course {
    fn see(&mut self, region: &RegionOverview) {
        if region.unreadable.is_some() {
            return;
        }
        let (least, most) = self.servers.unwrap_or((region.servers, region.servers));
        self.servers = Some((least.min(region.servers), most.max(region.servers)));
        self.last_servers = region.servers;
        self.players_max = self.players_max.max(region.players);
        if let Some(counts) = &region.bots {
            self.disconnects = counts.disconnects;
            self.refused = counts.refused;
        }
        if let Some(latency) = &region.latency_ms {
            self.p99_ms_max = self.p99_ms_max.max(latency.p99);
        }
    }
}

pub(super) fn measure(checkout: &Checkout) -> Result<Page> {
    down::remove(checkout, |_| ())?;
    let progress = Progress::new();
    let (surroundings, state, _) = up::bring_up(checkout, &up::Args::default(), &progress)?;
    let mut courses: BTreeMap<String, Course> = BTreeMap::new();
    let mut rows = String::new();
    progress.step("one ramp up and down", |step| {
        let start = clock::now();
        let mut looks = 0_usize;
        // the last of its four parts is the rest at none, in which the servers that were added go again
        while start.elapsed() < Duration::from_secs(4 * RAMP_SECONDS) {
            let overview = observe::overview(checkout, &surroundings, &state, observe::WAIT_LIMIT);
            step.note(&overview.counts());
            let cells: Vec<String> = overview
                .regions
                .values()
                .map(|region| format!("{} on {}", region.players, region.servers))
                .collect();
            if looks.is_multiple_of(LOOKS_A_ROW) {
                writeln!(rows, "| {} | {} |", start.elapsed().as_secs(), cells.join(" | "))?;
            }
            looks += 1;
            for (id, region) in &overview.regions {
                courses.entry(id.clone()).or_default().see(region);
            }
            clock::pause(LOOK_PERIOD);
        }
        Ok(())
    })?;
    judge(&courses)?;
    Ok(Page {
        name: "ramp",
        title: "Six hundred players come and go",
        arguments: "ramp".to_owned(),
        body: body(&courses, &rows),
        panels: Vec::new(),
    })
}

/// A page says only what the product promises: nobody was hurt, and the AutoScaler acted both ways.
fn judge(courses: &BTreeMap<String, Course>) -> Result<()> {
    for (id, course) in courses {
        if course.disconnects + course.refused > 0 {
            bail!("{id}: {} disconnects and {} refused joins", course.disconnects, course.refused);
        }
        match course.servers {
            Some((least, most)) if least < most && course.last_servers < most => {}
            _ => bail!("{id}: the AutoScaler did not act both ways: {course:?}"),
        }
    }
    Ok(())
}

fn body(courses: &BTreeMap<String, Course>, rows: &str) -> String {
    let mut text = format!(
        "`up` as it is: 600 bots over three regions, {RAMP_SECONDS} s from none to all, {RAMP_SECONDS} s at all, {RAMP_SECONDS} s back to none, \
         {RAMP_SECONDS} s at none. Bots fill the fullest server with room first, so that servers become empty; the AutoScaler looks at players a \
         server. Disconnects (against the bot's will) and refused joins are counted by the bots over the whole ramp.\n\n\
         | region | fewest servers | most | at the end | most players | disconnects | refused joins | worst p99 of a second, ms |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n"
    );
    for (id, course) in courses {
        let (least, most) = course.servers.unwrap_or_default();
        let _infallible = writeln!(
            text,
            "| {id} | {least} | {most} | {} | {} | {} | {} | {:.1} |",
            course.last_servers, course.players_max, course.disconnects, course.refused, course.p99_ms_max
        );
    }
    let ids: Vec<&str> = courses.keys().map(String::as_str).collect();
    let _infallible = write!(
        text,
        "\nPlayers on servers:\n\n| s | {} |\n|--:|{}\n{rows}",
        ids.join(" | "),
        "---|".repeat(ids.len())
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(servers: usize, players: i64, disconnects: u64) -> RegionOverview {
        let bots = Some(crate::bots::Counts { disconnects, ..crate::bots::Counts::default() });
        RegionOverview { servers, players, bots, ..RegionOverview::default() }
    }

    fn course(looks: &[RegionOverview]) -> BTreeMap<String, Course> {
        let mut course = Course::default();
        for region in looks {
            course.see(region);
        }
        BTreeMap::from([("kr".to_owned(), course)])
    }

    #[test]
    fn a_ramp_counts_only_if_servers_came_and_went_and_nobody_was_hurt() {
        assert!(judge(&course(&[region(3, 0, 0), region(6, 200, 0), region(3, 0, 0)])).is_ok());
        assert!(judge(&course(&[region(3, 0, 0), region(6, 200, 0)])).is_err(), "none went");
        assert!(judge(&course(&[region(3, 0, 0), region(3, 200, 0)])).is_err(), "none came");
        assert!(
            judge(&course(&[region(3, 0, 0), region(6, 9, 1), region(3, 0, 1)])).is_err(),
            "one was lost"
        );
    }
}
