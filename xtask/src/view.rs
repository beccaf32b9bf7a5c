//! The live view.

use std::time::Duration;

use anyhow::Result;

use crate::checkout::Checkout;
use crate::clock;
use crate::engine::Surroundings;
use crate::observe;
use crate::state::State;

/// Shows the regions until interrupted.
pub(crate) fn run(checkout: &Checkout, surroundings: &Surroundings, state: &State) -> Result<()> {
    loop {
        print!("{}", observe::table(&observe::overview(checkout, surroundings, state)));
        clock::pause(Duration::from_secs(1));
    }
}
