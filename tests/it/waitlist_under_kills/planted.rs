//! A history that the oracle explains, and changes of it that it does not.

use super::explain::explain;
use super::history::{EntrySeen, FlightSeen, Step};
use airline_booking::domain::Timestamp;
use serde_json::{Value, json};

/// A flight of 9 seats, with this version and these held seats.
fn flight(version: i64, held: i32, marks: &Value) -> FlightSeen {
    let mut row = json!({
        "id": 1, "version": version, "available_seats": 9, "held_seats": held, "waiting": 0,
        "serve_due": false, "gathers_until": null, "passed": 0,
        "timestamp": "2025-03-01T00:00:00", "updated_at": format!("2025-01-01T00:00:{version:02}.5")
    });
    let fields = row.as_object_mut().expect("an object");
    fields.extend(marks.as_object().expect("an object").clone());
    serde_json::from_value(row).expect("a flight")
}

fn entry(place: i64, seats: i32, status: &str) -> EntrySeen {
    let row = json!({
        "id": place, "flight_id": 1, "place": place, "seats": seats, "status": status,
        "overtaken": 0, "passed_before": 0
    });
    serde_json::from_value(row).expect("an entry")
}

/// All seats are held; parties of three and of one wait; one seat is freed and given to the second, which overtakes the
/// first; two more are freed, of which a new hold gets one. The freeing and the walk are one commit each time.
fn history() -> Vec<Step> {
    let rows = [
        flight(1, 9, &json!({})),
        flight(3, 9, &json!({"waiting": 2})),
        flight(5, 9, &json!({"waiting": 1})),
        flight(7, 7, &json!({"waiting": 1})),
        flight(8, 8, &json!({"waiting": 1, "passed": 1})),
    ];
    let steps = rows.iter().enumerate().map(|(at, became)| Step {
        was: at.checked_sub(1).map(|earlier| rows[earlier].clone()),
        became: became.clone(),
        joined: Vec::new(),
        entries: Vec::new(),
        promoted: Vec::new(),
        left: Vec::new(),
        held: Vec::new(),
        freed: Vec::new(),
    });
    let mut steps: Vec<Step> = steps.collect();
    steps[1].joined = vec![entry(2, 3, "waiting"), entry(3, 1, "waiting")];
    steps[2].freed = vec![1];
    steps[2].promoted = vec![3];
    steps[2].entries = vec![overtaken_once(entry(2, 3, "waiting"))];
    steps[3].freed = vec![2];
    steps[4].held = vec![1];
    steps
}

fn overtaken_once(mut entry: EntrySeen) -> EntrySeen {
    entry.overtaken = 1;
    entry
}

fn end() -> Timestamp {
    "2025-01-01T01:00:00Z".parse().expect("an instant")
}

type Change = fn(&mut Vec<Step>);

#[test]
fn the_replay_explains_a_sound_history_and_no_other() {
    explain(&history(), end()).expect("explained");
    let changes: [(&str, Change); 8] = [
        ("promoted [2], and not [3]", |steps| steps[2].promoted = vec![2]),
        ("promoted [2, 3], and not [3]", |steps| steps[2].promoted = vec![2, 3]),
        ("0 seats are free, and not 1", |steps| steps[2].promoted = Vec::new()),
        ("overtaken 1 times, not 0", |steps| steps[2].entries = vec![entry(2, 3, "waiting")]),
        ("2 seats are free, and not 3", |steps| steps[3].freed = vec![3]),
        ("gathers until", |steps| {
            steps[3].became =
                flight(7, 7, &json!({"waiting": 1, "gathers_until": "2025-01-01T00:10:00"}));
        }),
        ("keeps seats from those who wait", |steps| {
            steps.truncate(4);
            steps[3].became = flight(7, 6, &json!({"waiting": 1, "serve_due": true}));
            steps[3].freed = vec![3];
        }),
        ("a hold got 1 seats of those in line", |steps| {
            steps[3].became = flight(7, 6, &json!({"waiting": 1, "serve_due": true}));
            steps[3].freed = vec![3];
            steps[4].became = flight(8, 7, &json!({"waiting": 1, "serve_due": true, "passed": 1}));
        }),
    ];
    for (fault, change) in changes {
        let mut steps = history();
        change(&mut steps);
        let told = explain(&steps, end()).expect_err(fault);
        assert!(told.contains(fault), "{fault}: {told}");
    }
}
