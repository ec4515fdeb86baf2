//! The `airline-booking` binary: see [`airline_booking::cli`].

use std::process::ExitCode;

/// Several threads make and drop many small texts for each booking; see `docs/benchmarks.md`.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// As fast, and built in a few seconds.
#[cfg(not(feature = "jemalloc"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    airline_booking::cli::run().await
}
