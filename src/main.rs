//! The `airline-booking` binary: see [`airline_booking::cli`].

use std::process::ExitCode;

/// Threads that allocate and free across one another, as a server's do, fare better with it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    airline_booking::cli::run().await
}
