//! Redis for tests: the servers started by `tests/run`, and servers that a test starts and disturbs.

use super::deployment::required;
use super::eventually;
use airline_booking::config::{RedisSettings, Secret};
use airline_booking::redis::Redis;
use airline_booking::telemetry::Metrics;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// How long a call to a shared server may take: that this machine is busy is no outage.
const PATIENCE: Duration = Duration::from_secs(10);

/// The shared single server (`TEST_REDIS_URL`).
pub fn single() -> Redis {
    patient(&required("TEST_REDIS_URL"), false)
}

/// The shared cluster (`TEST_REDIS_CLUSTER_URL`, a comma list).
pub fn cluster() -> Redis {
    patient(&required("TEST_REDIS_CLUSTER_URL"), true)
}

fn patient(urls: &str, is_cluster: bool) -> Redis {
    let settings = settings(&urls.split(',').map(str::trim).collect::<Vec<_>>(), is_cluster);
    Redis::with_patience(&settings, Metrics::new(), PATIENCE).expect("sound URLs")
}

/// Another connection, as another replica would have, with the service's own bounds.
pub fn connect(urls: &[&str], is_cluster: bool) -> Redis {
    Redis::new(&settings(urls, is_cluster), Metrics::new()).expect("sound URLs")
}

fn settings(urls: &[&str], is_cluster: bool) -> RedisSettings {
    let urls = urls.iter().map(|url| Secret::from(*url)).collect();
    RedisSettings { urls, is_cluster, authorities: None }
}

/// Runs one command on the server and database of a URL.
pub async fn command_at<T: redis::FromRedisValue>(url: &str, words: &[&str]) -> T {
    let client = redis::Client::open(url).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("it answers");
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).query_async(&mut connection).await.expect("it is done")
}

/// A prefix for keys that no other test uses.
pub fn prefix(name: &str) -> String {
    format!("test:{}:{name}:", uuid::Uuid::new_v4().simple())
}

/// A server of the test's own.
pub struct Server {
    port: u16,
    directory: TempDir,
    process: Child,
    /// Its additional arguments.
    more: Vec<String>,
}

impl Server {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one on a free port, with additional arguments.
    pub async fn start_with(more: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let directory = tempfile::tempdir().expect("a directory");
        let more: Vec<String> = more.iter().map(|word| (*word).to_owned()).collect();
        let process = Self::spawn(port, &directory, &more);
        let server = Self { port, directory, process, more };
        server.listens().await;
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection to it, with the service's own bounds.
    pub fn redis(&self) -> Redis {
        connect(&[&self.url()], false)
    }

    /// A connection to it that a busy machine does not break.
    pub fn patient(&self) -> Redis {
        patient(&self.url(), false)
    }

    /// Stops answering, as a hung server does: connections stay open.
    pub async fn hang(&self) {
        self.signal("-STOP").await;
    }

    /// Answers again, first all that was asked meanwhile.
    pub async fn go_on(&self) {
        self.signal("-CONT").await;
    }

    pub fn port(&self) -> String {
        self.port.to_string()
    }

    /// Runs one command.
    pub async fn command(&self, words: &[&str]) -> redis::Value {
        command_at(&self.url(), words).await
    }

    /// `kill -9`.
    pub async fn kill(&mut self) {
        self.process.kill().await.expect("it was running");
    }

    /// Starts again after a kill, with what it had last saved.
    pub async fn start_again(&mut self) {
        self.process = Self::spawn(self.port, &self.directory, &self.more);
        self.listens().await;
    }

    fn spawn(port: u16, directory: &TempDir, more: &[String]) -> Child {
        let binary = std::env::var("TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
        Command::new(&binary)
            .current_dir(directory.path())
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--appendonly", "no"])
            .args(["--save", ""])
            .args(more)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{binary}: {error}; run tests/run, which finds it"))
    }

    async fn listens(&self) {
        eventually("a redis-server that listens", async || {
            TcpStream::connect(("127.0.0.1", self.port)).await
        })
        .await;
    }

    async fn signal(&self, signal: &str) {
        let id = self.process.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([signal, &id]).status().await.expect("kill runs");
        assert!(sent.success());
    }
}
