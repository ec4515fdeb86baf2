//! The real binary as a separate process that a test can kill.

use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A running `airline-booking serve`.
pub struct Server {
    pub base: String,
    process: Child,
    stdout: Lines<BufReader<ChildStdout>>,
}

/// A client that asks the service itself and no proxy.
pub fn http_client() -> reqwest::Client {
    // Fails from the second time on, when there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

/// The binary under test, with no settings but those given. `TEST_BINARY` names another build, for runs that measure.
pub fn binary(directory: &Path, settings: &[(&str, &str)]) -> Command {
    let built = std::env::var_os("TEST_BINARY");
    let mut command =
        Command::new(built.unwrap_or_else(|| env!("CARGO_BIN_EXE_airline-booking").into()));
    command.env_clear().current_dir(directory).kill_on_drop(true);
    command.envs(settings.iter().copied());
    command
}

/// Any free port, no limit, and no more of a log than a failure needs.
const NEUTRAL: [(&str, &str); 3] =
    [("SERVER_PORT", "0"), ("RATE_LIMIT_RPS", "0"), ("RUST_LOG", "warn")];

impl Server {
    /// Starts it on a free port in a directory and waits until it says where it listens.
    pub async fn start(directory: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start_logging(directory, settings, Stdio::inherit()).await
    }

    /// The same, with its log somewhere.
    pub async fn start_logging(directory: &Path, settings: &[(&str, &str)], log: Stdio) -> Self {
        Self::start_as(directory, settings, &["serve", "--no-sample"], log).await
    }

    /// The same, by other arguments.
    pub async fn start_as(
        directory: &Path,
        settings: &[(&str, &str)],
        arguments: &[&str],
        log: Stdio,
    ) -> Self {
        let mut process = binary(directory, &NEUTRAL)
            .envs(settings.iter().copied())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let stdout = process.stdout.take().expect("piped");
        let mut lines = BufReader::new(stdout).lines();
        loop {
            let line = lines.next_line().await.expect("UTF-8").expect("a start message");
            if let Some(at) = line.find("http://127.0.0.1:") {
                let base = line[at..].split(['"', ' ', '/']).take(3).collect::<Vec<_>>().join("/");
                return Self { base, process, stdout: lines };
            }
        }
    }

    /// The next line of its start message that holds a text.
    pub async fn said(&mut self, text: &str) -> String {
        loop {
            let line = self.stdout.next_line().await.expect("UTF-8").expect("a start message");
            if line.contains(text) {
                return line;
            }
        }
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.process.kill().await.expect("it was running");
    }

    /// Ctrl-C's gentler sister; waits for the end and says whether it was clean.
    pub async fn terminate(self) -> bool {
        self.ask_to_stop().await;
        self.ended().await
    }

    /// Sends that signal.
    pub async fn ask_to_stop(&self) {
        self.signal("-TERM").await;
    }

    /// Sends a signal by its name, as `kill` takes it.
    pub async fn signal(&self, signal: &str) {
        let id = self.process.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([signal, &id]).status().await.expect("kill runs");
        assert!(sent.success());
    }

    /// Waits for the end and says whether it was clean.
    pub async fn ended(mut self) -> bool {
        self.process.wait().await.expect("it ends").success()
    }

    /// Where it listens.
    pub fn port(&self) -> &str {
        self.base.rsplit_once(':').expect("a URL with a port").1
    }
}

/// Runs a subcommand to its end, embedded; gives its exit code, and what it printed.
pub async fn run(directory: &Path, arguments: &[&str]) -> (i32, String) {
    run_with(directory, &[], arguments).await
}

/// Runs a subcommand with settings.
pub async fn run_with(
    directory: &Path,
    settings: &[(&str, &str)],
    arguments: &[&str],
) -> (i32, String) {
    let output =
        binary(directory, settings).args(arguments).output().await.expect("the binary runs");
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8(printed).expect("UTF-8"))
}
