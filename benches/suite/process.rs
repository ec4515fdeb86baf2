//! Processes under measurement: the service as its users run it.

use super::http;
use super::usage::status_mib;
use anyhow::{Context, ensure};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The service's binary, built with the benchmark's profile.
pub const BINARY: &str = env!("CARGO_BIN_EXE_airline-booking");

/// A running server.
pub struct Server {
    pub base: String,
    /// From its start to its readiness.
    pub ready_after: Duration,
    process: Child,
}

impl Server {
    /// Starts `airline-booking serve` with these settings.
    pub async fn start(directory: &Path, settings: &[(String, String)]) -> anyhow::Result<Self> {
        Self::start_of(Path::new(BINARY), directory, settings).await
    }

    /// Starts `serve` of another build.
    pub async fn start_of(
        program: &Path,
        directory: &Path,
        settings: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--no-sample"]).env_clear().current_dir(directory);
        command.envs([("SERVER_PORT", "0"), ("LOG_FORMAT", "json"), ("RUST_LOG", "warn")]);
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        Self::spawn(command).await
    }

    /// Starts whatever prints its address on a line of stdout.
    pub async fn spawn(mut command: Command) -> anyhow::Result<Self> {
        let asked_at = Instant::now();
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let stdout = process.stdout.take().context("no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            if let Some(at) = line.find("http://") {
                let base = line[at..].split(['"', ' ']).next().unwrap_or_default().to_owned();
                let ready_after = asked_at.elapsed();
                // A process that prints more must not be stopped by a full pipe.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Self { base, ready_after, process });
            }
        }
        anyhow::bail!("the server ended before it was ready")
    }

    /// Its process.
    pub fn id(&self) -> anyhow::Result<u32> {
        self.process.id().context("it ended")
    }

    /// The memory that it has, in MiB.
    pub fn now_mib(&self) -> anyhow::Result<f64> {
        status_mib(self.id()?, "VmRSS:")
    }

    /// The most memory that it ever had, in MiB.
    pub fn peak_mib(&self) -> anyhow::Result<f64> {
        status_mib(self.id()?, "VmHWM:")
    }

    /// A counter of its metrics, summed over lines that begin with `name` and hold `label`.
    pub async fn counter(&self, name: &str, label: &str) -> anyhow::Result<f64> {
        let text = String::from_utf8(http::fetch(&self.base, "/metrics").await?)?;
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Stops it as an operator does.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.id()?.to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await?;
        ensure!(sent.success() && self.process.wait().await?.success(), "it did not stop cleanly");
        Ok(())
    }
}

/// Runs a subcommand of the service to its end.
pub async fn run(
    directory: &Path,
    settings: &[(String, String)],
    arguments: &[&str],
) -> anyhow::Result<()> {
    run_of(Path::new(BINARY), directory, settings, arguments).await
}

/// Runs a subcommand of another build to its end.
pub async fn run_of(
    program: &Path,
    directory: &Path,
    settings: &[(String, String)],
    arguments: &[&str],
) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir(directory);
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    let output = command.output().await?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{arguments:?} failed: {printed}{told}");
    Ok(())
}
