//! Who gets free seats while parties wait for a flight: the policy of the waiting list, pure functions.
//!
//! [`walk`] gives free seats to the parties in their order. [`Line`] is what a hold must know of them: it stands
//! on the flight's row, so that [`judge_hold`] reads nothing else. A party is served whole or not at all, and a
//! new hold (also of an order or a change) is last in line. Seats, rows and time come from the callers, and what
//! to write goes back to them. `oracle.rs` says the same from a flight's history alone; tests compare the two.

mod line;
#[cfg(test)]
pub mod oracle;
mod party;
#[cfg(test)]
mod tests;
mod walk;

pub use crate::domain::Line;
pub use line::{Judged, judge_hold, may_join};
pub use party::Waiting;
pub use walk::{Terms, Walked, walk};
