//! Holds the rooms apart and the documents in step, by reading them.
//!
//! Plain text search, so that a violation is a line one can look at. `ARCHITECTURE.md` says why.

#[path = "deploy/files.rs"]
mod deploy;
#[path = "deploy/settings.rs"]
mod deployed_settings;
#[path = "documents/metrics.rs"]
mod documented_metrics;
#[path = "documents/paths.rs"]
mod documented_paths;

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

/// Which rooms a room may use, from the ground up; `ARCHITECTURE.md` shows the same table. `app` may
/// use all.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("config", &["domain"]),
    ("clock", &["domain"]),
    ("ids", &["domain"]),
    ("tasks", &[]),
    ("messages", &["domain"]),
    ("rules", &["domain"]),
    ("tls", &[]),
    ("telemetry", &["clock", "config", "messages", "tls"]),
    ("store", &["clock", "config", "domain", "messages", "rules", "telemetry"]),
    ("bus", &["config", "messages", "telemetry"]),
    ("redis", &["config", "telemetry"]),
    ("lock", &["domain", "redis"]),
    ("cache", &["domain", "redis", "telemetry"]),
    ("limits", &["redis"]),
    ("gateway", &["clock", "domain", "store"]),
    (
        "engine",
        &[
            "bus",
            "cache",
            "clock",
            "domain",
            "ids",
            "lock",
            "messages",
            "rules",
            "store",
            "tasks",
            "telemetry",
        ],
    ),
    ("booking", &["clock", "domain", "engine", "ids", "rules", "store", "tasks", "telemetry"]),
    ("search", &["cache", "clock", "domain", "engine", "store", "telemetry"]),
    (
        "payments",
        &[
            "bus",
            "clock",
            "domain",
            "engine",
            "gateway",
            "messages",
            "rules",
            "store",
            "tasks",
            "telemetry",
        ],
    ),
    ("relay", &["bus", "cache", "clock", "domain", "store", "telemetry"]),
    ("people", &["domain", "rules", "store"]),
    ("identity", &["clock", "config", "domain", "tls"]),
    ("health", &["bus", "cache", "store", "telemetry"]),
    ("http/wire", &["domain", "identity", "rules"]),
    (
        "http/routes",
        &[
            "booking",
            "domain",
            "engine",
            "health",
            "http/wire",
            "identity",
            "rules",
            "search",
            "store",
            "telemetry",
        ],
    ),
    ("http/edge", &["config", "domain", "http/wire", "limits", "telemetry"]),
    ("http/connection", &["config", "http/edge", "telemetry"]),
    ("http", &["http/connection", "http/edge", "http/routes", "http/wire"]),
    (
        "cli",
        &[
            "app",
            "clock",
            "config",
            "domain",
            "engine",
            "http",
            "people",
            "rules",
            "store",
            "telemetry",
        ],
    ),
];

/// The room of a path of files (`http/wire/query.rs`) or modules (`http::wire::query`): its first word;
/// in `http` its first two, where they name a room.
fn room_of(path: &str) -> String {
    let mut words = path.trim_start().split(|c: char| c != '_' && !c.is_alphanumeric());
    let first = words.next().unwrap_or_default();
    let second = words.find(|word| !word.is_empty()).unwrap_or_default();
    let both = format!("{first}/{second}");
    if MAY_USE.iter().any(|(room, _)| *room == both) { both } else { first.to_owned() }
}

/// The rooms that a file's code names.
fn used_by(source: &Source) -> BTreeSet<String> {
    let own = room_of(&source.path);
    let first = |path: &str| {
        let room = room_of(path);
        (!room.is_empty() && room != own).then_some(room)
    };
    let mut rooms = BTreeSet::new();
    for path in source.code.split("crate::").skip(1) {
        let Some(group) = path.strip_prefix('{') else {
            rooms.extend(first(path));
            continue;
        };
        // `use crate::{app, telemetry::Metrics}`: the words at the group's own depth.
        let (mut depth, mut begins) = (0, true);
        for (at, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                letter if begins && !letter.is_whitespace() => {
                    rooms.extend(first(&group[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    rooms
}

#[test]
fn each_room_uses_only_rooms_that_the_table_allows() {
    let mut strays = Vec::new();
    for source in sources() {
        let room = room_of(&source.path);
        if ["app", "lib", "main"].contains(&room.as_str()) {
            continue;
        }
        let allowed = MAY_USE.iter().find(|(name, _)| *name == room);
        let Some((_, allowed)) = allowed else {
            strays.push(format!("{room} is not in the table"));
            continue;
        };
        let used = used_by(&source);
        let beyond = used.iter().filter(|used| !allowed.contains(&used.as_str()));
        strays.extend(beyond.map(|used| format!("src/{} uses {used}", source.path)));
    }
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

#[test]
fn each_room_in_the_table_uses_what_the_table_allows() {
    let all = sources();
    for (room, allowed) in MAY_USE {
        let of_room = |source: &&Source| room_of(&source.path) == *room;
        let used: BTreeSet<String> = all.iter().filter(of_room).flat_map(used_by).collect();
        let unused: Vec<_> = allowed.iter().filter(|name| !used.contains(**name)).collect();
        assert!(unused.is_empty(), "{room} no longer uses {unused:?}: take it from the table");
    }
}

#[test]
fn no_room_uses_a_room_above_it() {
    // The table is sorted from the ground up, so a row that names only earlier rows is in no circle.
    let mut below = BTreeSet::from(["app"]);
    for (room, allowed) in MAY_USE {
        let above: Vec<_> = allowed.iter().filter(|name| !below.contains(*name)).collect();
        assert!(above.is_empty(), "{room} uses {above:?}, which stand above it");
        below.insert(room);
    }
}

#[test]
fn the_map_shows_the_table() {
    let map = read("ARCHITECTURE.md");
    let table = map.split("| room | holds | may use |").nth(1).expect("the table of rooms");
    let shown: Vec<(String, BTreeSet<String>)> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let names = cells[3].split(", ").map(|name| name.trim_matches('`').to_owned());
            let names = names.filter(|name| !name.is_empty() && name != "everything");
            (cells[1].trim_matches('`').to_owned(), names.collect())
        })
        .filter(|(room, _)| room != "app")
        .collect();
    let table = MAY_USE.iter().map(|(room, allowed)| {
        ((*room).to_owned(), allowed.iter().map(|name| (*name).to_owned()).collect())
    });
    assert_eq!(shown, table.collect::<Vec<_>>());
}

#[test]
fn the_domain_and_the_rules_do_no_io() {
    let words =
        ["async ", ".await", "tokio", "tracing", "anyhow", "sqlx", "axum", "random", "now()"];
    never_in(&["domain/", "rules/", "messages/"], &words);
}

#[test]
fn use_cases_know_no_backend_and_no_protocol() {
    never_in(
        &["engine/", "booking/", "search/", "payments/", "relay/", "people/", "http/", "identity/"],
        &["sqlite", "postgres", "::memory"],
    );
    never_in(
        &["engine/", "booking/", "search/", "payments/", "relay/", "people/", "identity/"],
        &["StatusCode", "axum"],
    );
}

#[test]
fn each_foreign_crate_has_its_room() {
    only_in(&["http/", "app/serving.rs"], &["axum::"]);
    only_in(&["http/"], &["utoipa_axum", "hyper::", "hyper_util", "tower::", "tower_http::"]);
    only_in(&["http/edge/"], &["governor::"]);
    only_in(&["identity/"], &["jsonwebtoken", "reqwest::"]);
    only_in(&["tls.rs"], &["rustls::"]);
    only_in(&["store/", "gateway/simulated/"], &["sqlx::"]);
    only_in(&["bus/kafka/"], &["rdkafka::"]);
    let shared = ["use redis::", " redis::", "(redis::", "<redis::"];
    only_in(&["redis/", "cache/redis.rs", "limits/redis.rs", "lock/redis.rs"], &shared);
    only_in(&["telemetry/"], &["prometheus::", "tracing_subscriber", "opentelemetry"]);
    only_in(&["cli/"], &["clap::", "csv::", "indicatif"]);
    only_in(&["cli/import/", "search/", "http/wire/gzip.rs"], &["flate2"]);
}

#[test]
fn time_comes_from_the_clock_alone() {
    only_in(&["clock/"], &["Utc::now", "SystemTime"]);
}

#[test]
fn tasks_are_started_where_the_application_can_wait_for_them() {
    let rooms = [
        "app/pipeline.rs",
        "app/workers.rs",
        "engine/batch/after_commit.rs",
        "engine/run.rs",
        "booking/flights.rs",
        "http/connection/mod.rs",
        "payments/worker.rs",
        "redis/breaker.rs",
        "tasks.rs",
        // A client that cannot end while its brokers are down must not delay the stop.
        "bus/kafka/client.rs",
        // For at most three seconds, and nothing is lost with them.
        "identity/keys/mod.rs",
    ];
    only_in(&rooms, &["spawn("]);
}

#[test]
fn transactions_on_pooled_connections_of_postgresql_begin_in_one_place() {
    // The driver of SQLite ends what it began though nobody waits for it; the connections of schema,
    // keys and rewrite are in no pool, and closed with their futures.
    let exempt =
        ["store/sqlite/", "store/postgres/connection/transaction.rs", "store/postgres/schema/"];
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
fn the_readme_and_the_example_list_exactly_the_settings_with_defaults_and_descriptions() {
    let settings: BTreeSet<_> = SETTINGS
        .iter()
        .map(|s| (s.name.to_owned(), s.default.to_owned(), s.help.to_owned()))
        .collect();
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
            (name.to_owned(), default.to_owned(), cell().to_owned())
        })
        .collect::<BTreeSet<_>>();
    assert_eq!(documented, settings);

    let example = read(".env.example");
    // AUTH must be chosen, so it is commented out: loading the file chooses nothing.
    let example = example.replace(
        "# Commented out: loading this file must not choose for you where others reach the port.\n#AUTH=off",
        "AUTH=off",
    );
    let entries = example.split("\n\n").skip(1).map(|entry| entry.split_once('\n'));
    let listed: BTreeSet<_> = entries
        .map(|entry| {
            let (help, setting) = entry.expect("a description and a setting");
            let help = help.strip_prefix("# ").and_then(|help| help.strip_suffix('.'));
            let (name, default) = setting.trim_end().split_once('=').expect("a name and a value");
            (name.to_owned(), default.to_owned(), help.expect("a sentence").to_owned())
        })
        .collect();
    assert_eq!(listed, settings);
}

#[test]
fn the_operators_guide_names_every_problem_code() {
    let guide = read("docs/operations.md");
    for code in ProblemCode::ALL {
        assert!(guide.contains(&format!("| `{}` |", code.as_str())), "code {}", code.as_str());
    }
}

/// Old and literary turns: each has a plainer word that a reader understands at once.
const RIDDLES: &[&str] = &[
    "anew",
    "as good as",
    "be it",
    "lest",
    "none of ours",
    "reckon",
    "reckoned",
    "told of",
    "to be had",
    "whoever",
];

/// Whether a line has the word or words by themselves, in any case.
fn has_words(line: &str, words: &str) -> bool {
    let line = line.to_lowercase();
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(words).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + words.len()..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

#[test]
fn code_and_documents_use_plain_words() {
    let documents =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];
    let mut files: Vec<_> = documents.iter().map(|name| root().join(name)).collect();
    let folders = ["src", "docs", "deploy", "tests", "benches"];
    files.extend(folders.iter().flat_map(|folder| files_below(&root().join(folder))));
    let mut strays = Vec::new();
    for file in files {
        // The list itself.
        if file.ends_with(file!()) {
            continue;
        }
        let bytes = fs::read(&file).expect("a file");
        // Not a text: a compressed asset.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        for (number, line) in text.lines().enumerate() {
            for words in RIDDLES.iter().filter(|words| has_words(line, words)) {
                let file = file.strip_prefix(root()).expect("below the root").display();
                strays.push(format!("{file}:{}: \"{words}\"", number + 1));
            }
        }
    }
    assert!(strays.is_empty(), "write these lines in plain words:\n{}", strays.join("\n"));
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
