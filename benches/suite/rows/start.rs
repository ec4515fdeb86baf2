//! Rows about a service that does nothing yet: until it is ready, and what it takes.

use super::Bench;
use crate::process::{BINARY, Server};
use crate::report::{Measured, median};
use std::time::Duration;
use tokio::process::Command;

impl Bench {
    pub(super) async fn start_and_memory(&mut self) -> anyhow::Result<()> {
        let (mut first, mut after, mut idle) = (Vec::new(), Vec::new(), Vec::new());
        let bar = self.progress("start and memory");
        for _ in 0..self.turns {
            let directory = tempfile::tempdir()?;
            for ready in [&mut first, &mut after] {
                // With the sample flights, as the first command of the README does it.
                let mut command = Command::new(BINARY);
                command.env_clear().current_dir(directory.path());
                command.envs([("SERVER_PORT", "0"), ("LOG_FORMAT", "json"), ("RUST_LOG", "warn")]);
                let server = Server::spawn(command).await?;
                ready.push(server.ready_after.as_secs_f64() * 1_000.0);
                tokio::time::sleep(Duration::from_millis(500)).await;
                idle.push(server.now_mib()?);
                server.stop().await?;
            }
            bar.inc(1);
        }
        for (name, values, unit, budget) in [
            ("ready, first start with samples", &first, "ms", "< 300 ms"),
            ("ready, later starts", &after, "ms", "< 100 ms"),
            ("memory, idle and embedded", &idle, "MiB", "< 40 MiB"),
        ] {
            self.report.add(Measured::plain(name, median(values), unit, budget));
        }
        Ok(())
    }
}
