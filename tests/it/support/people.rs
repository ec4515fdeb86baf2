//! A user with unique values in every field, and a search for whatever is left of them.

use super::{TestDatabase, booking};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use std::path::Path;

/// Is part of every value that a test's passengers and keys have, and of nothing else.
pub const MARK: &str = "Zq9xK";

pub const USER: i64 = 777;

/// A party of the user, each value of which says whose it is.
pub fn party(flight: i64, seats: i32, name: &str) -> Value {
    let passenger = |seat: i32| {
        json!({
            "name": format!("{MARK} {name} {seat}"), "email": format!("{MARK}-{name}@example.com"),
            "phone": "77770001111", "age": 30, "gender": format!("{MARK}-f"),
        })
    };
    let mut body = booking(flight, seats);
    body["user_id"] = json!(USER);
    body["passenger_details"] = (0..seats).map(passenger).collect();
    body
}

/// Everything that a database keeps, in files or, of a server, in rows.
pub async fn all_bytes(database: &TestDatabase) -> Vec<u8> {
    match database {
        TestDatabase::Sqlite(directory) => files_below(directory.path()),
        TestDatabase::Postgres(url) => rows_of_all_tables(url).await,
    }
}

pub fn files_below(directory: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(directory).expect("a directory");
    files.flat_map(|file| std::fs::read(file.expect("a file").path()).expect("bytes")).collect()
}

pub async fn rows_of_all_tables(url: &str) -> Vec<u8> {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    let tables = "SELECT table_name::text FROM information_schema.tables
                   WHERE table_schema = 'public' AND table_type = 'BASE TABLE'";
    let tables: Vec<String> =
        sqlx::query_scalar(tables).fetch_all(&mut connection).await.expect("tables");
    let mut all = Vec::new();
    for table in tables {
        let rows = AssertSqlSafe(format!("SELECT t::text FROM \"{table}\" AS t"));
        for row in sqlx::query(rows).fetch_all(&mut connection).await.expect("rows") {
            all.extend(row.get::<String, _>(0).into_bytes());
        }
    }
    all
}

/// How often a text is found.
pub fn count(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
}
