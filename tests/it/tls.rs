//! TLS to PostgreSQL and Redis, by an authority of the test's own: served to the host that was named,
//! refused to another.

use crate::support::process::{Server, http_client, run_with};
use crate::support::redis::Server as RedisServer;
use crate::support::services::Service;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// An authority, and a certificate of it for `localhost` alone.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("names"), "subjectAltName=DNS:localhost")
            .expect("written");
        for line in [
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
            "req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr",
            "x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out server.pem",
        ] {
            let mut openssl = Command::new("openssl");
            openssl.current_dir(directory.path()).args(line.split(' '));
            let output = openssl.output().expect("openssl is installed");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Self(directory)
    }

    fn file(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_is_reached_by_the_name_that_its_certificate_bears() {
    let authority = Authority::new();
    let postgres = Service::start("postgres").await;
    let url = postgres.address("TEST_DATABASE_URL");
    let mut admin = PgConnection::connect(url).await.expect("a connection");
    // The server's own user writes the files, into its own folder.
    for name in ["server.key", "server.pem"] {
        let text = std::fs::read_to_string(authority.path(name)).expect("PEM");
        let lines: Vec<_> = text.lines().map(|line| format!("('{line}')")).collect();
        let write =
            format!("COPY (VALUES {}) TO PROGRAM 'umask 077; cat > {name}'", lines.join(", "));
        sqlx::raw_sql(AssertSqlSafe(write)).execute(&mut admin).await.expect("written");
    }
    for statement in [
        "ALTER SYSTEM SET ssl_cert_file = 'server.pem'",
        "ALTER SYSTEM SET ssl_key_file = 'server.key'",
        "ALTER SYSTEM SET ssl = on",
        "SELECT pg_reload_conf()",
        "CREATE DATABASE airline",
    ] {
        sqlx::raw_sql(statement).execute(&mut admin).await.expect("done");
    }

    let (_, place) = url.split_once('@').expect("a user");
    let port = place.split([':', '/']).nth(1).expect("a port");
    let root = authority.file("ca.pem");
    let with = |host, root| {
        let place = [("DB_HOST", host), ("DB_PORT", port), ("DB_NAME", "airline")];
        [&place[..], &[("DB_SSL_MODE", "verify-full"), ("DB_SSL_ROOT_CERT", root)]].concat()
    };
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &with("localhost", &root)).await;
    let protected = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                      WHERE application_name = 'airline-booking'";
    let is_protected: Option<bool> =
        sqlx::query_scalar(protected).fetch_one(&mut admin).await.expect("an answer");
    assert_eq!(is_protected, Some(true));
    assert!(server.terminate().await);
    for (host, root) in [("127.0.0.1", root.as_str()), ("localhost", "")] {
        let (code, printed) = run_with(directory.path(), &with(host, root), &["migrate"]).await;
        assert_eq!(code, 1, "{printed}");
        assert!(printed.contains("certificate"), "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_reached_by_the_name_that_its_certificate_bears() {
    let authority = Authority::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let files = ["server.pem", "server.key", "ca.pem"].map(|name| authority.file(name));
    let _redis = RedisServer::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &files[0],
        "--tls-key-file",
        &files[1],
        "--tls-ca-cert-file",
        &files[2],
        "--tls-auth-clients",
        "no",
    ])
    .await;
    let directory = tempfile::tempdir().expect("a directory");
    for (host, authorities, status) in [
        ("localhost", files[2].as_str(), "ok"),
        ("127.0.0.1", files[2].as_str(), "down"),
        ("localhost", "/dev/null", "down"),
    ] {
        let url = format!("rediss://{host}:{port}");
        let settings = [("REDIS_URL", url.as_str()), ("SSL_CERT_FILE", authorities)];
        let server = Server::start(directory.path(), &settings).await;
        let health = http_client().get(format!("{}/api/v1/health", server.base)).send().await;
        let health: Value = health.expect("an answer").json().await.expect("JSON");
        assert_eq!(health["checks"]["redis"]["status"], status, "{host}, {authorities}");
        assert!(server.terminate().await);
    }
}
