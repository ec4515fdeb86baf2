//! Servers that a test starts with the scripts of `tests/services` and can stop.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// One server that only this test uses.
pub struct Service {
    name: &'static str,
    directory: TempDir,
    /// What its script printed: `NAME=value`.
    said: String,
}

impl Service {
    /// Starts one with the script of that name.
    pub async fn start(name: &'static str) -> Self {
        Self::start_with(name, &[]).await
    }

    /// The same, with variables for its script.
    pub async fn start_with(name: &'static str, variables: &[(&str, &str)]) -> Self {
        Self::start_as(name, variables, &[]).await
    }

    /// A streaming replica of the PostgreSQL at a port.
    pub async fn replica_of_postgres(port: &str) -> Self {
        Self::start_as("postgres", &[], &[port]).await
    }

    async fn start_as(name: &'static str, variables: &[(&str, &str)], more: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = command(name, "up", directory.path());
        command.envs(variables.iter().copied()).args(more);
        let said = output(command, format!("tests/services/{name} up")).await;
        Self { name, directory, said }
    }

    /// The address that the script named so.
    pub fn address(&self, variable: &str) -> &str {
        let mut lines = self.said.lines().filter_map(|line| line.split_once('='));
        let named = lines.find(|(name, _)| *name == variable);
        named.unwrap_or_else(|| panic!("no {variable} in {:?}", self.said)).1
    }

    /// Where it keeps what it knows.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Takes it away as a crash does.
    pub async fn stop(&self) {
        run(self.name, "stop", self.directory.path()).await;
    }

    /// Stops all its processes; connections stay open.
    pub async fn freeze(&self) {
        run(self.name, "freeze", self.directory.path()).await;
    }

    /// Lets them run again.
    pub async fn thaw(&self) {
        run(self.name, "thaw", self.directory.path()).await;
    }

    /// Kills all its processes.
    pub async fn crash(&self) {
        run(self.name, "crash", self.directory.path()).await;
    }

    /// Makes a replica the primary.
    pub async fn promote(&self) {
        run(self.name, "promote", self.directory.path()).await;
    }

    /// Brings it back with what it had.
    pub async fn start_again(&self) {
        run(self.name, "start", self.directory.path()).await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let ended = command(self.name, "down", self.directory.path()).status();
        assert!(ended.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

fn command(name: &str, verb: &str, directory: &Path) -> Command {
    let scripts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/services");
    let mut command = Command::new(scripts.join(name));
    command.arg(verb).arg(directory).stdin(Stdio::null()).stderr(Stdio::inherit());
    command
}

async fn run(name: &'static str, verb: &'static str, directory: &Path) -> String {
    output(command(name, verb, directory), format!("tests/services/{name} {verb}")).await
}

async fn output(mut command: Command, what: String) -> String {
    let done = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    let output = done.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(output.status.success(), "{what} failed");
    String::from_utf8(output.stdout).expect("UTF-8")
}
