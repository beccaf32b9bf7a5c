//! Many regions as one: who counts, how servers are shared out, where players go.
//!
//! Nobody writes into another region. Each publishes facts about itself, reads those of the others, and decides for itself
//! by the functions here; what keeps the regions together is that equal facts give equal answers (decisions 9 and 10).

pub mod ahead;
pub mod belief;
mod id;
mod maxima;
pub mod membership;
mod moves;
pub mod orders;
pub mod placement;
pub mod recovery;
pub mod rollout;
pub mod shares;
pub mod view;

pub use id::{InvalidRegionId, REGION_ID_LEN_MAX, RegionId};
pub use maxima::next_maxima;
pub use moves::next_shares;
