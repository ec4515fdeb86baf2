//! The documents agree with the code.

mod metrics;
mod paths;
mod series;
mod settings;
