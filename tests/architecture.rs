//! Holds the rooms apart and the documents in step, by reading them.
//!
//! Plain text search, so that a violation is a line one can look at. `ARCHITECTURE.md` says why.

#[path = "deploy/files.rs"]
mod deploy;
#[path = "deploy/settings.rs"]
mod deployed_settings;

use airline_booking::config::SETTINGS;
use airline_booking::http::ProblemCode;
use airline_booking::telemetry::Metrics;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its path below `src/`, and its text without comments and tests.
struct Source {
    path: String,
    code: String,
}

impl Source {
    fn is_in(&self, rooms: &[&str]) -> bool {
        rooms.iter().any(|room| self.path.starts_with(room))
    }

    /// Lines that hold one of the words.
    fn lines_with(&self, words: &[&str]) -> Vec<String> {
        let holds = |line: &&str| words.iter().any(|word| line.contains(word));
        self.code
            .lines()
            .filter(holds)
            .map(|line| format!("src/{}: {}", self.path, line.trim()))
            .collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let rust = files_below(&src).into_iter().filter(|path| path.extension() == Some("rs".as_ref()));
    rust.map(|path| {
        let text = fs::read_to_string(&path).expect("UTF-8");
        let tested = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code = tested.lines().filter(|line| !line.trim_start().starts_with("//"));
        let path = path.strip_prefix(&src).expect("below src").to_string_lossy().replace('\\', "/");
        Source { path, code: code.collect::<Vec<_>>().join("\n") }
    })
    .collect()
}

/// The words may stand in the rooms and nowhere else.
fn only_in(rooms: &[&str], words: &[&str]) {
    let strays: Vec<_> = sources()
        .iter()
        .filter(|source| !source.is_in(rooms))
        .flat_map(|source| source.lines_with(words))
        .collect();
    assert!(strays.is_empty(), "{words:?} belong in {rooms:?} only:\n{}", strays.join("\n"));
}

/// The words may not stand in the rooms.
fn never_in(rooms: &[&str], words: &[&str]) {
    let strays: Vec<_> = sources()
        .iter()
        .filter(|source| source.is_in(rooms))
        .flat_map(|source| source.lines_with(words))
        .collect();
    assert!(strays.is_empty(), "{words:?} have no place in {rooms:?}:\n{}", strays.join("\n"));
}

#[test]
fn the_domain_knows_nothing_but_itself() {
    never_in(
        &["domain/"],
        &["use crate::", "async ", "tokio", "tracing", "anyhow", "sqlx", "axum", "Utc::now"],
    );
}

#[test]
fn the_rules_are_pure() {
    never_in(
        &[
            "booking/decide.rs",
            "booking/command.rs",
            "booking/changes.rs",
            "booking/state.rs",
            "booking/idempotency.rs",
            "booking/request.rs",
        ],
        &[
            "async ",
            ".await",
            "tokio",
            "tracing",
            "random",
            "now()",
            "crate::store",
            "crate::cache",
            "crate::lock",
            "crate::bus",
            "crate::clock",
            "crate::config",
        ],
    );
}

#[test]
fn use_cases_know_no_backend_and_no_protocol() {
    never_in(
        &["booking/", "search/", "payments/worker.rs", "payments/settlement.rs"],
        &[
            "sqlite",
            "postgres",
            "::memory",
            "StatusCode",
            "crate::http",
            "crate::app",
            "crate::config",
        ],
    );
}

#[test]
fn requests_go_through_a_use_case_and_never_to_a_backend() {
    never_in(
        &["http/"],
        &["sqlite", "postgres", "crate::bus", "crate::lock", "crate::cache", "crate::app"],
    );
}

#[test]
fn identities_know_no_protocol_and_no_use_case() {
    never_in(
        &["identity/"],
        &["axum", "http::", "crate::booking", "crate::search", "crate::payments", "crate::store"],
    );
}

#[test]
fn each_foreign_crate_has_its_room() {
    only_in(&["http/", "app/serving.rs"], &["axum::"]);
    only_in(&["http/"], &["utoipa_axum", "hyper::", "hyper_util"]);
    only_in(&["identity/"], &["jsonwebtoken", "reqwest::"]);
    only_in(&["tls.rs"], &["rustls::"]);
    only_in(&["store/", "payments/simulated/"], &["sqlx::"]);
    only_in(&["bus/kafka/"], &["rdkafka::"]);
    let shared = ["use redis::", " redis::", "(redis::", "<redis::"];
    only_in(&["redis.rs", "redis/", "cache/redis.rs", "lock/redis.rs"], &shared);
    only_in(&["telemetry/"], &["prometheus::", "tracing_subscriber", "opentelemetry"]);
    only_in(&["cli/"], &["clap::", "csv::", "indicatif"]);
    only_in(&["cli/import/", "search/", "http/gzip.rs"], &["flate2"]);
}

#[test]
fn time_comes_from_the_clock_alone() {
    only_in(&["clock.rs"], &["Utc::now", "SystemTime"]);
}

#[test]
fn tasks_are_started_where_the_application_can_wait_for_them() {
    let rooms = [
        "app.rs",
        "app/workers.rs",
        "booking/batch.rs",
        "booking/engine.rs",
        "booking/flights.rs",
        "http/server.rs",
        "payments/worker.rs",
        "redis.rs",
        // For three seconds at most, and nothing is lost with them.
        "identity/keys.rs",
        // A thread, which takes what the others write.
        "telemetry/logging.rs",
    ];
    only_in(&rooms, &["spawn("]);
}

#[test]
fn transactions_on_pooled_connections_of_postgresql_begin_in_one_place() {
    // The driver of SQLite ends what it began though nobody waits for it; the connections of schema,
    // keys and rewrite are in no pool, and closed with their futures.
    let exempt = [
        "store/sqlite/",
        "store/postgres/transaction.rs",
        "store/postgres/schema.rs",
        "store/postgres/keys.rs",
        "store/postgres/rewrite.rs",
    ];
    let begins = [".begin(", ".begin_with(", "\"BEGIN\"", "Transaction::begin", "transaction("];
    let strays: Vec<_> = sources()
        .iter()
        .filter(|source| source.code.contains("sqlx::") && !source.is_in(&exempt))
        .flat_map(|source| source.lines_with(&begins))
        .collect();
    assert!(strays.is_empty(), "store::postgres::begin begins them:\n{}", strays.join("\n"));
}

#[test]
fn files_can_be_read_in_one_sitting() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|source| source.code.lines().count() > 420)
        .map(|source| source.path)
        .collect();
    assert!(long.is_empty(), "too long: {long:?}");
}

#[test]
fn the_readme_and_the_example_have_every_setting_with_its_default_and_no_other() {
    let settings: BTreeSet<_> =
        SETTINGS.iter().map(|s| (s.name.to_owned(), s.default.to_owned())).collect();
    let readme = read("README.md");
    let table = readme.split("| Variable | Default |").nth(1).expect("the table of settings");
    let documented = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let mut cell = || cells.next().expect("three cells");
            let (name, default) = (cell().trim_matches('`'), cell());
            let default = if default == "(empty)" { "" } else { default.trim_matches('`') };
            (name.to_owned(), default.to_owned())
        })
        .collect::<BTreeSet<_>>();
    assert_eq!(documented, settings);

    let example = read(".env.example");
    // What must be chosen is there as a comment, so that loading the file chooses nothing.
    let listed = example.lines().map(|line| if line == "#AUTH=off" { &line[1..] } else { line });
    let listed: BTreeSet<_> = listed
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| !name.starts_with('#'))
        .map(|(name, default)| (name.to_owned(), default.to_owned()))
        .collect();
    assert_eq!(listed, settings);
}

#[test]
fn the_operators_guide_names_every_metric_and_every_problem_code() {
    let guide = read("docs/operations.md");
    for code in ProblemCode::ALL {
        assert!(guide.contains(&format!("| `{}` |", code.as_str())), "code {}", code.as_str());
    }
    let metrics = Metrics::new().render();
    let registered = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for name in registered.filter_map(|line| line.split(' ').next()) {
        let known = name.starts_with("process_") || guide.contains(&format!("| `{name}"));
        assert!(known, "metric {name}");
    }
}

/// The names of series in a query: its words with an underscore, but those of the language.
fn series(query: &str) -> BTreeSet<String> {
    const LANGUAGE: [&str; 2] = ["histogram_quantile", "max_over_time"];
    let outside_quotes = query.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let words = outside_quotes.split(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c)));
    let words = words.filter(|word| word.contains('_') && !LANGUAGE.contains(word));
    words.map(str::to_owned).collect()
}

#[test]
fn the_dashboard_and_the_rules_name_series_that_there_are() {
    let rules = read("deploy/prometheus/rules.yml");
    let recorded = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    let metrics = Metrics::new();
    let told = metrics.render();
    let registered = told.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    // Those with labels have no series, and so no name there, before they are first used.
    let guide = read("docs/operations.md");
    let documented =
        guide.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next());
    let known: BTreeSet<&str> = recorded
        .chain(registered.filter_map(|line| line.split(' ').next()))
        .chain(documented)
        .collect();

    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana/dashboards/airline-booking.json"))
            .expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut named: BTreeSet<String> =
        targets.flat_map(|target| series(target["expr"].as_str().expect("a query"))).collect();
    assert!(named.len() > 20, "{named:?}");
    let queries = rules.split("expr:").skip(1).map(|rule| {
        rule.split("\n        for:").next().unwrap_or_default().split("\n        labels:").next()
    });
    for query in queries.flatten() {
        let query = query.split("\n      - ").next().unwrap_or_default();
        named.extend(series(query.split("\n  - name").next().unwrap_or_default()));
    }
    let is_known = |name: &String| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        known.contains(name.as_str()) || base.is_some_and(|base| known.contains(base))
    };
    let unknown: Vec<_> =
        named.iter().filter(|name| !is_known(name) && !name.starts_with("process_")).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
