//! The file and the connection that writes to it: who may open the file, how one writes, and what SQLite's
//! errors mean.

pub(super) mod claim;
pub(super) mod error;
pub(super) mod foreign;
pub(super) mod private;
pub(super) mod writer;
