//! The live view: what runs, refreshed each second. A full screen on a terminal, plain lines elsewhere.
//!
//! Plain ANSI instead of a terminal library: this program is compiled before every other command, and a table needs none of the rest.

mod draw;
mod source;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::checkout::Checkout;
use crate::clock;
use crate::engine::Surroundings;
use crate::observe;
use crate::state::State;

pub(crate) use source::{Event, Moment, RegionMoment};

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Without a terminal every fifth look is printed.
const PLAIN_PERIOD: u32 = 5;

/// Shows the regions until the first Ctrl-C; they stay.
pub(crate) fn run(checkout: &Checkout, surroundings: &Surroundings, state: &State) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("failed to hear of Ctrl-C")?;
    }
    let outcome = source::Source::open(checkout, surroundings, state).and_then(|mut source| {
        if io::stdout().is_terminal() {
            screen(checkout, &mut source, &stop)
        } else {
            lines(checkout, &mut source, &stop)
        }
    });
    println!(
        "{} stays up: {}.\nLook again: cargo xtask status --watch. Stop: cargo xtask down\n{}",
        checkout.instance,
        state.regions.iter().map(|region| region.id.as_str()).collect::<Vec<_>>().join(", "),
        surroundings.way_in(&state.regions).trim_end()
    );
    outcome
}

/// The alternate screen, given back whatever happens.
struct Screen;

impl Screen {
    fn enter() -> Self {
        print!("\x1b[?1049h\x1b[?25l");
        Self
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        print!("\x1b[?25h\x1b[?1049l");
        let _closed = io::stdout().flush();
    }
}

fn screen(checkout: &Checkout, source: &mut source::Source, stop: &AtomicBool) -> Result<()> {
    let _screen = Screen::enter();
    while !stop.load(Ordering::Relaxed) {
        let moment = source.look(checkout);
        let (columns, rows) = rustix::termios::tcgetwinsize(io::stdout())
            .map_or((100, 40), |size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        let text = draw::screen(&checkout.instance, &moment, columns, rows).join("\x1b[K\r\n");
        print!("\x1b[H{text}\x1b[K\x1b[J");
        io::stdout().flush().context("failed to draw")?;
        wait(stop);
    }
    Ok(())
}

fn lines(checkout: &Checkout, source: &mut source::Source, stop: &AtomicBool) -> Result<()> {
    let mut looks: u32 = 0;
    let mut told: Vec<Event> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let moment = source.look(checkout);
        for event in moment.events().filter(|event| !told.contains(event)).cloned().collect::<Vec<_>>() {
            println!("{event}");
            told.push(event);
        }
        let surplus = told.len().saturating_sub(source::EVENTS_MAX * 4);
        told.drain(..surplus);
        if looks.is_multiple_of(PLAIN_PERIOD) {
            print!("{}", observe::table(&moment.overview(&checkout.instance)));
        }
        io::stdout().flush().context("failed to print")?;
        looks = looks.wrapping_add(1);
        wait(stop);
    }
    Ok(())
}

/// One period, cut short by a stop.
fn wait(stop: &AtomicBool) {
    clock::poll(PERIOD, Duration::from_millis(50), || stop.load(Ordering::Relaxed).then_some(()));
}
