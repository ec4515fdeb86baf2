//! TLS to PostgreSQL and Redis with a test certificate authority: the host in the certificate is accepted,
//! another one is refused.

use crate::support::authority::Authority;
use crate::support::eventually;
use crate::support::process::{Server, http_client, run_with};
use crate::support::redis::Server as RedisServer;
use crate::support::redis::command_at;
use crate::support::services::Service;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_tls_checks_the_name_in_the_certificate() {
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
    // A URL that says nothing of TLS takes nothing of it away.
    let mut by_url = with("localhost", &root);
    let of_url = format!("postgres://postgres@localhost:{port}/airline");
    by_url[0] = ("DATABASE_URL", &of_url);
    let server = Server::start(directory.path(), &by_url).await;
    let is_protected: Option<bool> =
        sqlx::query_scalar(protected).fetch_one(&mut admin).await.expect("an answer");
    assert_eq!(is_protected, Some(true));
    assert!(server.terminate().await);
    let by_address = of_url.replace("localhost", "127.0.0.1");
    by_url[0].1 = &by_address;
    let (code, printed) = run_with(directory.path(), &by_url, &["migrate"]).await;
    assert!(code == 1 && printed.contains("certificate"), "{printed}");
    // Authorities that are named are asked, as libpq does.
    let stranger = Authority::new();
    let (strange, mode) = (stranger.file("ca.pem"), ("DB_SSL_MODE", "require"));
    let settings = [("DATABASE_URL", of_url.as_str()), mode, ("DB_SSL_ROOT_CERT", &strange)];
    let (code, printed) = run_with(directory.path(), &settings, &["migrate"]).await;
    assert!(code == 1 && printed.contains("certificate"), "{printed}");
    let contrary = format!("{of_url}?sslmode=disable");
    let settings = [("DATABASE_URL", contrary.as_str()), mode];
    let (code, printed) = run_with(directory.path(), &settings, &["migrate"]).await;
    assert!(code == 1 && printed.contains("must agree"), "{printed}");
    for (host, root) in [("127.0.0.1", root.as_str()), ("localhost", "")] {
        let (code, printed) = run_with(directory.path(), &with(host, root), &["migrate"]).await;
        assert_eq!(code, 1, "{printed}");
        assert!(printed.contains("certificate"), "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_tls_checks_the_name_in_the_certificate() {
    let authority = Authority::new();
    let (_redis, port) = redis_with_tls(&authority, &[]).await;
    let directory = tempfile::tempdir().expect("a directory");
    for (host, authorities, status) in [
        ("localhost", authority.file("ca.pem").as_str(), "ok"),
        ("127.0.0.1", authority.file("ca.pem").as_str(), "down"),
        ("localhost", "/dev/null", "down"),
    ] {
        let url = format!("rediss://{host}:{port}");
        let settings = [("REDIS_URL", url.as_str()), ("SSL_CERT_FILE", authorities)];
        let server = Server::start(directory.path(), &settings).await;
        comes_to_say(&server, status).await;
        assert!(server.terminate().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_user_password_tls_and_ca_settings_are_used() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let directory = tempfile::tempdir().expect("a directory");
    let password = directory.path().join("password");
    std::fs::write(&password, "p@ss:/1\n").expect("written");
    let (ca, password) = (authority.file("ca.pem"), password.to_str().expect("UTF-8"));
    let bus = free_port().to_string();
    // A cluster of one node, which names itself as its certificate does.
    let cluster = [
        ["--cluster-enabled", "yes"],
        ["--cluster-port", &bus],
        ["--tls-cluster", "yes"],
        ["--cluster-announce-hostname", "localhost"],
        ["--cluster-preferred-endpoint-type", "hostname"],
    ];
    for (is_cluster, more) in [("false", Vec::new()), ("true", cluster.concat())] {
        let (redis, port) = redis_with_tls(&authority, &more).await;
        if is_cluster == "true" {
            redis.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
            serves_every_slot(&redis).await;
        }
        let rights = ["~*", "&*", "+@all"];
        let user = [&["ACL", "SETUSER", "seats/1", "on", ">p@ss:/1"][..], &rights].concat();
        redis.command(&user).await;
        redis.command(&["ACL", "SETUSER", "default", "off"]).await;
        let sound = [
            ("REDIS_CLUSTER", is_cluster),
            ("REDIS_HOST", "localhost"),
            ("REDIS_PORT", port.as_str()),
            ("REDIS_USER", "seats/1"),
            ("REDIS_PASSWORD_FILE", password),
            ("REDIS_TLS", "true"),
            ("REDIS_CA", ca.as_str()),
        ];
        let strange = stranger.file("ca.pem");
        for (other, status) in [
            (("REDIS_DB", "0"), "ok"),
            (("REDIS_USER", "another"), "down"),
            (("REDIS_CA", strange.as_str()), "down"),
        ] {
            let settings = [&sound[..], &[other]].concat();
            let server = Server::start(directory.path(), &settings).await;
            comes_to_say(&server, status).await;
            assert!(server.terminate().await);
        }
    }
    for (file, told) in [("/nowhere.pem", "No such file"), ("/dev/null", "no certificate")] {
        let parts = [("REDIS_HOST", "localhost"), ("REDIS_TLS", "true"), ("REDIS_CA", file)];
        let settings = [&parts[..], &[("SERVER_PORT", "0")]].concat();
        let (code, printed) = run_with(directory.path(), &settings, &["serve"]).await;
        assert!(code == 1 && printed.contains("REDIS_CA") && printed.contains(told), "{printed}");
    }
}

fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    free.local_addr().expect("an address").port()
}

/// A server that also listens for TLS, with additional arguments; and that port.
async fn redis_with_tls(authority: &Authority, more: &[&str]) -> (RedisServer, String) {
    let port = free_port().to_string();
    let files = ["server.pem", "server.key", "ca.pem"].map(|name| authority.file(name));
    let tls = [
        ["--tls-port", &port],
        ["--tls-cert-file", &files[0]],
        ["--tls-key-file", &files[1]],
        ["--tls-ca-cert-file", &files[2]],
        ["--tls-auth-clients", "no"],
    ];
    let redis = RedisServer::start_with(&[&tls.concat()[..], more].concat()).await;
    (redis, port)
}

/// A node of a cluster serves a while after it has its slots.
async fn serves_every_slot(redis: &RedisServer) {
    eventually("a cluster that serves", async || {
        let info: String = command_at(&redis.url(), &["CLUSTER", "INFO"]).await;
        if info.contains("cluster_state:ok") { Ok(()) } else { Err(info) }
    })
    .await;
}

/// Health comes to say this of Redis: a handshake may take longer than a call is waited for.
async fn comes_to_say(server: &Server, status: &str) {
    eventually(format!("Redis {status} in the health answer"), async || {
        let health = http_client().get(format!("{}/api/v1/health", server.base)).send().await;
        let health: Value = health.expect("an answer").json().await.expect("JSON");
        if health["checks"]["redis"]["status"] == status { Ok(()) } else { Err(health) }
    })
    .await;
}
