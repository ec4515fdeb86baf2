//! The two roles of `deploy/postgres/roles.sql`: one owns the schema and migrates it, the other serves on
//! it and can change no table.

use crate::support::booking;
use crate::support::deployment::TestDatabase;
use crate::support::process::{Server, http_client, run_with};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

/// A database with the file's roles, under names that no other test has.
struct Roles {
    /// As the superuser of the tests.
    owner: PgConnection,
    url: String,
    suffix: String,
}

impl Roles {
    async fn new() -> Self {
        let url = TestDatabase::empty_postgres().await.url();
        let owner = PgConnection::connect(&url).await.expect("a connection");
        let mut roles = Self { owner, url, suffix: Uuid::new_v4().simple().to_string() };
        roles.grant().await;
        roles
    }

    /// Runs the file, whose variables psql would fill in.
    async fn grant(&mut self) {
        let file = include_str!("../../deploy/postgres/roles.sql");
        let sql: String =
            file.lines().filter(|line| !line.starts_with('\\')).collect::<Vec<_>>().join("\n");
        let sql = sql.replace(":'migrate_password'", "'m'").replace(":'service_password'", "'s'");
        let sql = sql.replace("airline_migrate", &self.name("migrate"));
        let sql = sql.replace("airline_service", &self.name("service"));
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.owner).await.expect("granted");
    }

    fn name(&self, role: &str) -> String {
        format!("{role}_{}", self.suffix)
    }

    /// The database's URL for one of the roles.
    fn url_of(&self, role: &str) -> String {
        let (_, place) = self.url.split_once('@').expect("a URL with a user");
        format!("postgres://{}:p@{place}", self.name(role))
    }

    async fn run(&self, role: &str, command: &str) -> (i32, String) {
        let directory = tempfile::tempdir().expect("a directory");
        run_with(directory.path(), &[("DATABASE_URL", &self.url_of(role))], &[command]).await
    }
}

#[tokio::test]
async fn the_service_sells_as_a_role_that_can_change_no_table() {
    let mut roles = Roles::new().await;
    let (code, printed) = roles.run("migrate", "migrate").await;
    assert_eq!(code, 0, "{printed}");

    let directory = tempfile::tempdir().expect("a directory");
    let url = roles.url_of("service");
    let settings = [("DATABASE_URL", url.as_str()), ("PAYMENT_LATENCY", "0s")];
    let server = Server::start(directory.path(), &settings).await;
    let client = http_client();
    let flight = client.post(format!("{}/api/v1/flights", server.base));
    let flight = flight.json(&crate::support::flight(10)).send().await.expect("sent");
    let flight: Value = flight.json().await.expect("JSON");
    let booked =
        client.post(format!("{}/api/v1/bookings", server.base)).header("prefer", "wait=20");
    let id = flight["id"].as_i64().expect("a flight");
    let booked = booked.json(&booking(id, 2)).send().await.expect("sent");
    let booked: Value = booked.json().await.expect("JSON");
    assert_eq!(booked["status"], "completed", "{booked}");
    assert!(server.terminate().await);
    let (code, printed) = roles.run("service", "audit").await;
    assert_eq!(code, 0, "{printed}");

    // A second run of the file, as at each start of the compose file, takes nothing away.
    roles.grant().await;
    let mut service = PgConnection::connect(&url).await.expect("a connection");
    for statement in [
        "CREATE TABLE mine (id INT)",
        "DROP TABLE bookings",
        "TRUNCATE bookings",
        "ALTER TABLE bookings ADD COLUMN mine INT",
        "CREATE ROLE mine",
        "GRANT SELECT ON bookings TO PUBLIC",
        "COPY bookings TO PROGRAM 'cat'",
    ] {
        let refused = sqlx::query(AssertSqlSafe(statement)).execute(&mut service).await;
        let code = refused.as_ref().err().and_then(|error| error.as_database_error()?.code());
        // Granting what one has not got is a warning that grants nothing.
        let is_refused = code.as_deref() == Some("42501");
        assert!(is_refused || statement.starts_with("GRANT"), "{statement}: {refused:?}");
    }
    let is_public = "SELECT has_table_privilege('pg_monitor', 'bookings', 'SELECT')";
    assert!(!sqlx::query_scalar::<_, bool>(is_public).fetch_one(&mut service).await.expect("told"));
}

#[tokio::test]
async fn a_role_without_ddl_rights_says_which_role_must_migrate() {
    let roles = Roles::new().await;
    let (code, printed) = roles.run("service", "serve").await;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("airline-booking migrate"), "{printed}");
    assert!(printed.contains("DB_USER"), "{printed}");
}

#[tokio::test]
async fn a_database_created_by_a_superuser_is_taken_over_with_its_rows() {
    let mut roles = Roles::new().await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = [("DATABASE_URL", roles.url.as_str())];
    let (code, printed) = run_with(directory.path(), &settings, &["migrate"]).await;
    assert_eq!(code, 0, "{printed}");
    roles.grant().await;
    let strangers = "SELECT count(*) FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
          WHERE c.relnamespace = 'public'::regnamespace AND r.rolname <> $1";
    let strangers = sqlx::query_scalar::<_, i64>(strangers).bind(roles.name("migrate"));
    assert_eq!(strangers.fetch_one(&mut roles.owner).await.expect("a count"), 0);
    let (code, printed) = roles.run("migrate", "migrate").await;
    assert_eq!(code, 0, "{printed}");
    let (code, printed) = roles.run("service", "audit").await;
    assert_eq!(code, 0, "{printed}");
}
