//! Each room uses only rooms below it that the table allows, and `ARCHITECTURE.md` shows the table.

use super::sources::{Source, read, sources};
use std::collections::BTreeSet;

/// Which rooms a room may use, from the ground up; `ARCHITECTURE.md` shows the same table. `app` may
/// use all.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("config", &["domain"]),
    ("clock", &["domain"]),
    ("ids", &["domain"]),
    ("tasks", &[]),
    ("planted", &[]),
    ("messages", &["domain"]),
    ("rules", &["domain"]),
    ("tls", &[]),
    ("telemetry", &["clock", "config", "messages", "tls"]),
    ("store", &["clock", "config", "domain", "messages", "rules", "telemetry"]),
    ("facts", &["domain", "messages", "store"]),
    ("bus", &["clock", "config", "domain", "messages", "store", "telemetry"]),
    ("redis", &["config", "telemetry"]),
    ("lock", &["domain", "redis"]),
    ("cache", &["domain", "redis", "telemetry"]),
    ("limits", &["redis"]),
    ("breaker", &["telemetry"]),
    ("gateway", &["clock", "domain", "store", "tls"]),
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
    (
        "booking",
        &["bus", "clock", "domain", "engine", "ids", "rules", "store", "tasks", "telemetry"],
    ),
    ("search", &["cache", "clock", "domain", "engine", "store", "telemetry"]),
    ("itineraries", &["cache", "clock", "domain", "engine", "rules", "store"]),
    (
        "payments",
        &[
            "breaker",
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
    ("sales", &["bus", "clock", "domain", "messages", "store", "telemetry"]),
    (
        "webhooks",
        &[
            "breaker",
            "bus",
            "clock",
            "domain",
            "facts",
            "ids",
            "messages",
            "rules",
            "store",
            "telemetry",
            "tls",
        ],
    ),
    (
        "notify",
        &[
            "breaker",
            "bus",
            "clock",
            "config",
            "domain",
            "facts",
            "ids",
            "messages",
            "store",
            "telemetry",
            "tls",
        ],
    ),
    ("events", &["bus", "clock", "domain", "facts", "messages", "store", "telemetry"]),
    ("people", &["domain", "rules", "store"]),
    ("identity", &["clock", "config", "domain", "tls"]),
    ("health", &["bus", "cache", "store", "telemetry"]),
    ("http/wire", &["domain", "identity", "rules"]),
    (
        "http/routes",
        &[
            "booking",
            "bus",
            "domain",
            "engine",
            "events",
            "gateway",
            "health",
            "http/wire",
            "identity",
            "itineraries",
            "limits",
            "payments",
            "rules",
            "search",
            "store",
            "telemetry",
            "webhooks",
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
