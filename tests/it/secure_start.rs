//! Secrets that the start hides and configurations that it refuses, on the real binary.

use crate::support::process::{Server, binary, http_client};
use crate::support::{booking, flight};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// The permissions of every file in a directory, by name.
fn permissions(directory: &Path) -> Vec<(String, u32)> {
    let files = std::fs::read_dir(directory).expect("a directory").map(|entry| {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("metadata").permissions().mode();
        (entry.file_name().into_string().expect("UTF-8"), mode & 0o777)
    });
    let mut files: Vec<_> = files.filter(|(name, _)| name.starts_with("airline")).collect();
    files.sort();
    files
}

/// What `serve` prints where it is refused.
async fn refused(settings: &[(&str, &str)]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let mut serve = binary(directory.path(), &[("SERVER_PORT", "0")]);
    let serving = serve.envs(settings.iter().copied()).args(["serve"]).output();
    let ended = tokio::time::timeout(Duration::from_secs(60), serving).await;
    let output = ended.unwrap_or_else(|_| panic!("it serves: {settings:?}")).expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{settings:?}");
    let left = permissions(directory.path());
    assert!(left.is_empty(), "a refused start leaves nothing behind: {left:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn database_files_are_readable_by_their_owner_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |ending: &str| (format!("airline_booking.db{ending}"), 0o600);
    let all = [file(""), file("-shm"), file("-wal"), file(".lock")];
    let log = directory.path().join("log");
    let start = async || {
        let log = std::fs::File::create(&log).expect("a file");
        Server::start_logging(directory.path(), &[], Stdio::from(log)).await
    };
    let told = || std::fs::read_to_string(&log).expect("a log");

    let server = start().await;
    let client = http_client();
    let post = async |path: &str, body: Value| {
        let request = client.post(format!("{}/api/v1{path}", server.base)).json(&body);
        assert_eq!(request.send().await.expect("an answer").status(), 201);
    };
    post("/flights", flight(9)).await;
    post("/bookings", booking(1, 1)).await;
    assert_eq!(permissions(directory.path()), all);
    server.kill().await;
    assert!(!told().contains("could be read"), "{}", told());

    // As an earlier release, or a copy, leaves them.
    for (name, _) in permissions(directory.path()) {
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(directory.path().join(name), open).expect("set");
    }
    let server = start().await;
    assert_eq!(permissions(directory.path()), all);
    assert!(server.terminate().await);
    assert!(told().contains("airline_booking.db could be read by every user"), "{}", told());
}

#[tokio::test]
async fn a_public_port_requires_an_explicit_auth_setting() {
    for unchosen in [&[("SERVER_HOST", "0.0.0.0")][..], &[("SERVER_HOST", "::"), ("AUTH", "")]] {
        let told = refused(unchosen).await;
        assert!(told.contains("AUTH must be set where SERVER_HOST is not a loopback"), "{told}");
        assert!(told.contains("jwt") && told.contains("off"), "{told}");
    }
}

#[tokio::test]
async fn settings_that_let_any_web_page_call_stop_the_start() {
    for settings in [&[("CORS_ORIGINS", "*")][..], &[("CORS_ORIGINS", "*"), ("AUTH", "off")]] {
        let told = refused(settings).await;
        assert!(told.contains("CORS_ORIGINS must not be *"), "{told}");
    }
}

#[tokio::test]
async fn a_weak_or_duplicate_secret_is_refused_and_never_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("hush");
    let sound = "hush 7c9f0a3b5e1d48268fb2c4d6e0913a57";
    std::fs::write(&file, format!("{sound}\n")).expect("written");
    let path = file.to_str().expect("UTF-8");
    let jwt = ("AUTH", "jwt");
    for (settings, rule) in [
        ([jwt, ("JWT_SECRET", "hush hush hush hush hush hush hush hush")], "is easy to guess"),
        ([jwt, ("JWT_SECRET", "hush")], "at least 32 random bytes"),
        ([("JWT_SECRET", sound), ("JWT_SECRET_FILE", path)], "must not both be set"),
        ([jwt, ("JWT_SECRET_FILE", "/hush")], "a file that can be read: No such file"),
    ] {
        let told = refused(&settings).await;
        assert!(told.contains(rule) && !told.contains("hush"), "{told}");
    }
    let server = Server::start(directory.path(), &[jwt, ("JWT_SECRET_FILE", path)]).await;
    let answer = http_client().get(format!("{}/api/v1/bookings/1", server.base)).send().await;
    assert_eq!(answer.expect("an answer").status(), 401);
    assert!(server.terminate().await);
}

#[tokio::test]
async fn an_unknown_url_parameter_is_refused_without_logging_its_value() {
    let log = [("RUST_LOG", "trace"), ("LOG_FORMAT", "json")];
    for (name, url, told) in [
        ("DATABASE_URL", "postgres://u:p@127.0.0.1:1/d?sslmod=marked-value", ": sslmod;"),
        ("DATABASE_URL", "postgres://u:p?marked-value=x@127.0.0.1:1/d", "unknown parameter;"),
        ("REDIS_URL", "redis://:p@127.0.0.1:1/0?tls=marked-value", ": tls;"),
    ] {
        let said = refused(&[&log[..], &[(name, url)]].concat()).await;
        assert!(said.contains(&format!("{name} has an unknown parameter")), "{said}");
        assert!(said.contains(told) && !said.contains("marked-value"), "{said}");
    }
    // Known, and no number: the driver's own error would repeat it.
    let url = "postgres://u:p@127.0.0.1:1/d?port=marked-value";
    let said = refused(&[&log[..], &[("DATABASE_URL", url)]].concat()).await;
    assert!(said.contains("DATABASE_URL") && !said.contains("marked-value"), "{said}");
}
