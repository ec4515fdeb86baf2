//! The `airline-booking` binary: see [`airline_booking::cli`].

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    airline_booking::cli::run().await
}
