//! The `airline-booking` binary: see [`airline_booking::cli`].

use std::process::ExitCode;

/// Each booking allocates and frees many small strings on several threads; see `docs/benchmarks.md`.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// As fast as jemalloc, and builds in a few seconds.
#[cfg(not(feature = "jemalloc"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    airline_booking::cli::run()
}
