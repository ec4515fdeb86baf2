//! `erase` killed (`kill -9`) at random moments beside a service continues when it is run again.

use crate::support::people::{MARK, USER, all_bytes, count, party};
use crate::support::process::{Server, binary, http_client, run_with};
use crate::support::{TestDatabase, booking, flight};
use futures::future::join_all;
use serde_json::Value;
use sqlx::{Connection, PgConnection, SqliteConnection};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

/// Runs that are killed before their end, and those of them that had erased a part by then, at least.
const KILLED_MIN: usize = 10;
const PARTLY_ERASED_MIN: usize = 3;

/// How many runs all of that may take.
const RUNS_MAX: usize = 100;

/// Bookings that are made when there is nothing left to erase: some pages of the command's walk.
const BOOKINGS: usize = 700;

/// How many are made at once.
const AT_ONCE: usize = 35;

/// What it is about: passengers of this user that are not erased.
const PRESENT: &str = "SELECT count(*) FROM bookings WHERE user_id = 777 AND erased_at IS NULL";

struct Subject {
    directory: TempDir,
    database: TestDatabase,
    url: String,
    server: Server,
    client: reqwest::Client,
    flight: i64,
    made: usize,
}

impl Subject {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let database = TestDatabase::create().await;
        let (url, client) = (database.url(), http_client());
        let settings = [("DATABASE_URL", url.as_str()), ("PAYMENT_LATENCY", "0s")];
        let server = Server::start(directory.path(), &settings).await;
        let mut subject = Self { directory, database, url, server, client, flight: 0, made: 0 };
        subject.add_flight().await;
        subject
    }

    /// A flight for the next bookings.
    async fn add_flight(&mut self) {
        let post = self.client.post(format!("{}/api/v1/flights", self.server.base));
        let made = post.json(&flight(9_999)).send().await.expect("sent");
        let made: Value = made.json().await.expect("JSON");
        self.flight = made["id"].as_i64().expect("an id");
    }

    async fn book(&self, body: &Value, key: &str) -> Value {
        let post = self.client.post(format!("{}/api/v1/bookings", self.server.base)).json(body);
        let answer = post.header("idempotency-key", key).send().await.expect("sent");
        let (status, answer) = (answer.status(), answer.json::<Value>().await.expect("JSON"));
        assert_eq!(status, 201, "{answer}");
        answer
    }

    /// More bookings of the user, on a flight of their own: however often it is called, seats are left.
    async fn book_more(&mut self) {
        self.add_flight().await;
        for _ in 0..BOOKINGS / AT_ONCE {
            let numbers = self.made..self.made + AT_ONCE;
            self.made = numbers.end;
            let bookings = numbers.map(async |number| {
                let body = party(self.flight, 1, &format!("n{number}"));
                self.book(&body, &format!("{MARK}-{number}")).await;
            });
            join_all(bookings).await;
        }
    }

    /// What a statement counts.
    async fn count(&self, statement: &'static str) -> usize {
        let counted: Result<i64, _> = match &self.database {
            TestDatabase::Sqlite(_) => {
                let mut connection = SqliteConnection::connect(&self.url).await.expect("a file");
                sqlx::query_scalar(statement).fetch_one(&mut connection).await
            }
            TestDatabase::Postgres(_) => {
                let mut connection = PgConnection::connect(&self.url).await.expect("a server");
                sqlx::query_scalar(statement).fetch_one(&mut connection).await
            }
        };
        counted.expect("a count") as usize
    }

    /// Runs the command, and kills it this long after it printed what it will erase, if it has not ended by
    /// then. Returns how long it ran from there on, and whether it was killed.
    async fn erase(&self, killed_after: Option<Duration>) -> (Duration, bool) {
        let mut run = binary(self.directory.path(), &[("DATABASE_URL", &self.url)])
            .args(["erase", "--user", &USER.to_string(), "--all", "--yes"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(run.stdout.take().expect("piped")).lines();
        lines.next_line().await.expect("UTF-8").expect("what is held");
        let said = Instant::now();
        if let Some(after) = killed_after {
            // At a chosen moment of its run: no state tells one moment from another.
            tokio::time::sleep(after).await;
            // Fails where it has ended.
            let _ = run.start_kill();
        } else {
            while lines.next_line().await.expect("UTF-8").is_some() {}
        }
        let status = run.wait().await.expect("it ends");
        let was_killed = status.signal() == Some(9);
        assert!(was_killed || status.success(), "{status}");
        (said.elapsed(), was_killed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_killed_repeatedly_completes_on_the_next_run() {
    let mut subject = Subject::start().await;
    let other = subject.book(&booking(subject.flight, 1), "of-another-user").await;
    subject.book_more().await;
    let (whole_run, _) = subject.erase(None).await;

    let (mut killed, mut partly) = (0, 0);
    for run in 0.. {
        if killed >= KILLED_MIN && partly >= PARTLY_ERASED_MIN {
            eprintln!("of {run} runs {killed} were killed, {partly} in the middle");
            break;
        }
        assert!(run < RUNS_MAX, "of {run} runs {killed} were killed, {partly} in the middle");
        let mut present = subject.count(PRESENT).await;
        if present == 0 {
            subject.book_more().await;
            present = BOOKINGS;
        }
        // A prime, so that the moments are spread over the whole run.
        let moment = (run * 389 % 1_000) as u32;
        let (_, was_killed) = subject.erase(Some(whole_run * moment / 1_000)).await;
        let left = subject.count(PRESENT).await;
        killed += usize::from(was_killed);
        partly += usize::from(was_killed && 0 < left && left < present);
    }

    subject.book_more().await;
    subject.erase(None).await;
    assert_eq!(subject.count(PRESENT).await, 0);
    assert_eq!(subject.count("SELECT count(*) FROM erasures WHERE ended_at IS NULL").await, 0);
    // Each step counted what it erased, in its own transaction.
    let sum = "SELECT CAST(sum(bookings) AS BIGINT) FROM erasures WHERE user_id = 777";
    assert_eq!(subject.count(sum).await, subject.made);
    subject.book(&booking(subject.flight, 1), "after-all").await;
    let settings = [("DATABASE_URL", subject.url.as_str())];
    let (code, printed) = run_with(subject.directory.path(), &settings, &["audit"]).await;
    assert_eq!(code, 0, "{printed}");
    let url = format!("{}/api/v1/bookings/{}", subject.server.base, other["booking_id"]);
    let shown: Value =
        subject.client.get(url).send().await.expect("sent").json().await.expect("JSON");
    assert_eq!(shown["booking_metadata"][0]["name"], "Asha Rao");
    subject.server.kill().await;
    let left = all_bytes(&subject.database).await;
    assert!(count(&left, "Erased") > 0);
    assert_eq!(count(&left, MARK), 0);
}
