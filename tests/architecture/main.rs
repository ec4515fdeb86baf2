//! Checks by plain text search that the rooms stay apart and that the documents agree with the code.
//!
//! A violation is named with its line. `ARCHITECTURE.md` has the reasons.

#[path = "../deploy/files.rs"]
mod deploy;
#[path = "../deploy/settings.rs"]
mod deployed_settings;
mod documents;
mod places;
mod rooms;
mod sources;
mod words;

use sources::{files_below, read, root};
