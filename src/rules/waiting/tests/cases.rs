//! Walks by hand.

use super::{TERMS, hour, line_of, party, walk_at};
use crate::domain::SeatCount;
use crate::rules::waiting::{Line, Terms, Waiting, walk};
use chrono::Duration;

/// A walk at the first hour.
struct Case {
    what: &'static str,
    free: SeatCount,
    /// Seats of each party and how often it was overtaken; ids from 1.
    parties: &'static [(SeatCount, i32)],
    promoted: &'static [i64],
    /// New counts of those that changed.
    overtaken: &'static [(i64, i32)],
    gathers_for: Option<i64>,
}

const CASES: &[Case] = &[
    Case {
        what: "those who fit are served in their order, and others stay",
        free: 4,
        parties: &[(2, 0), (2, 0), (1, 0)],
        promoted: &[1, 2],
        overtaken: &[],
        gathers_for: None,
    },
    Case {
        what: "no free seat, no change, also at the limit",
        free: 0,
        parties: &[(1, 0), (2, 3)],
        promoted: &[],
        overtaken: &[],
        gathers_for: None,
    },
    Case {
        what: "a party that does not fit is passed over, once for each party behind it",
        free: 3,
        parties: &[(4, 0), (1, 0), (5, 1), (1, 0), (9, 0)],
        promoted: &[2, 4],
        overtaken: &[(1, 2), (3, 2)],
        gathers_for: None,
    },
    Case {
        what: "one that reaches the limit stops the walk behind those whose seats counted",
        free: 3,
        parties: &[(4, 2), (1, 0), (1, 0)],
        promoted: &[2],
        overtaken: &[(1, 3)],
        gathers_for: Some(1),
    },
    Case {
        what: "nothing gathers if the last free seat went to the one that reached the limit",
        free: 1,
        parties: &[(4, 2), (1, 0), (1, 0)],
        promoted: &[2],
        overtaken: &[(1, 3)],
        gathers_for: None,
    },
    Case {
        what: "at the limit the walk stops",
        free: 3,
        parties: &[(4, 3), (1, 0)],
        promoted: &[],
        overtaken: &[],
        gathers_for: Some(1),
    },
    Case {
        what: "those before the one at the limit are served",
        free: 4,
        parties: &[(2, 0), (4, 3), (2, 0)],
        promoted: &[1],
        overtaken: &[],
        gathers_for: Some(2),
    },
    Case {
        what: "of two at the limit the first has the seats",
        free: 3,
        parties: &[(5, 3), (4, 3), (1, 0)],
        promoted: &[],
        overtaken: &[],
        gathers_for: Some(1),
    },
    Case {
        what: "of two that reach the limit together the first has the seats",
        free: 3,
        parties: &[(5, 2), (4, 2), (1, 0), (1, 0)],
        promoted: &[3],
        overtaken: &[(1, 3), (2, 3)],
        gathers_for: Some(1),
    },
    Case {
        what: "enough seats for the one at the limit: it is promoted, and the walk goes on",
        free: 6,
        parties: &[(4, 3), (3, 0), (2, 0)],
        promoted: &[1, 3],
        overtaken: &[(2, 1)],
        gathers_for: None,
    },
    Case {
        what: "the first at the limit is promoted, then seats gather for the second",
        free: 6,
        parties: &[(4, 3), (3, 3), (2, 0)],
        promoted: &[1],
        overtaken: &[],
        gathers_for: Some(2),
    },
];

#[test]
fn each_case_walks_as_written() {
    for case in CASES {
        let parties = (1..).zip(case.parties).map(|(id, (seats, times))| party(id, *seats, *times));
        let parties: Vec<_> = parties.collect();
        let walked = walk_at(case.free, &parties, hour(0));
        assert_eq!(walked.promoted, case.promoted, "{}", case.what);
        assert_eq!(walked.gathers_for, case.gathers_for, "{}", case.what);
        let was = |id: i64| parties[id as usize - 1].overtaken;
        let counts = walked.changed.iter().map(|party| (party.id, party.overtaken));
        let counts: Vec<_> = counts.filter(|(id, times)| *times != was(*id)).collect();
        assert_eq!(counts, case.overtaken, "{}", case.what);
        assert_eq!(walked.line.waiting as usize, parties.len() - walked.promoted.len());
        assert_eq!(walked.line.gathers_until, case.gathers_for.map(|_| hour(6)), "{}", case.what);
        assert!(!walked.line.serve_due, "{}", case.what);
    }
}

/// Two parties, of which the first is at its limit, while seats gather for it since the first hour.
fn gathering() -> (Line, Vec<Waiting>) {
    let mut parties = vec![party(1, 4, 3), party(2, 1, 0)];
    let walked = walk_at(2, &parties, hour(0));
    assert_eq!(walked.changed.iter().map(|party| party.id).collect::<Vec<_>>(), [1]);
    parties[0] = walked.changed[0];
    (walked.line, parties)
}

#[test]
fn seats_gather_until_their_time_ends_and_never_again() {
    let (line, mut parties) = gathering();
    let last_moment = hour(6) - Duration::microseconds(1);
    let walked = walk(3, &line.to_serve(), &parties, &TERMS, hour(240), last_moment);
    assert_eq!((walked.gathers_for, walked.line.gathers_until), (Some(1), Some(hour(6))));
    assert_eq!((walked.changed, walked.promoted), (vec![], vec![]));

    let walked = walk(2, &line, &parties, &TERMS, hour(240), hour(6));
    assert_eq!((walked.gathers_for, walked.line.gathers_until), (None, None));
    assert_eq!(walked.promoted, [2]);
    assert_eq!(walked.changed[0].overtaken, 4);

    parties = vec![walked.changed[0], party(3, 1, 0)];
    let walked = walk_at(3, &parties, hour(20));
    assert_eq!((walked.promoted, walked.gathers_for), (vec![3], None));
    assert_eq!(walked.changed[0].overtaken, 5, "it is passed over without limit, and counted");
}

#[test]
fn a_party_that_gathers_enough_is_promoted_and_the_gathering_ends() {
    let (line, parties) = gathering();
    let walked = walk(5, &line.to_serve(), &parties, &TERMS, hour(240), hour(3));
    assert_eq!(walked.promoted, [1, 2]);
    assert_eq!(walked.line, Line { passed: line.passed, ..Line::default() });
}

#[test]
fn once_the_first_has_left_seats_gather_for_the_next_at_its_limit_from_then_on() {
    let parties = [party(1, 5, 3), party(2, 4, 3), party(3, 1, 0)];
    let line = walk_at(2, &parties, hour(0)).line.left();
    assert!(line.is_due(hour(2)));
    let walked = walk(2, &line, &parties[1..], &TERMS, hour(240), hour(2));
    assert_eq!((walked.gathers_for, walked.line.gathers_until), (Some(2), Some(hour(8))));
}

#[test]
fn once_the_time_of_the_first_is_over_seats_gather_for_the_next_at_its_limit() {
    let mut parties = vec![party(1, 5, 3), party(2, 4, 3), party(3, 1, 0)];
    let walked = walk_at(2, &parties, hour(0));
    parties[0] = walked.changed[0];
    let walked = walk(2, &walked.line, &parties, &TERMS, hour(240), hour(7));
    assert_eq!((walked.gathers_for, walked.line.gathers_until), (Some(2), Some(hour(13))));
    assert!(walked.promoted.is_empty());
}

#[test]
fn seats_do_not_gather_in_the_last_day() {
    let parties = [party(1, 4, 3), party(2, 1, 0), party(3, 1, 0)];
    for (departs_at, promoted, until) in [
        (hour(30), 0, Some(hour(6))),
        (hour(29), 0, Some(hour(5))),
        (hour(24), 2, None),
        (hour(1), 2, None),
        (hour(-1), 2, None),
    ] {
        let walked = walk(2, &line_of(&parties), &parties, &TERMS, departs_at, hour(0));
        assert_eq!(walked.promoted.len(), promoted, "{departs_at}");
        assert_eq!(walked.line.gathers_until, until, "{departs_at}");
        let own_end = walked.changed.first().and_then(|party| party.gathers_until);
        assert_eq!(own_end, until.map(|_| hour(6)), "its time is used only if seats gather");
    }
}

#[test]
fn a_moved_departure_ends_a_gathering_or_lets_it_go_on_for_the_rest_of_its_time() {
    let (line, parties) = gathering();
    let line = line.to_serve();
    let walked = walk(2, &line, &parties, &TERMS, hour(26), hour(1));
    assert_eq!(walked.line.gathers_until, Some(hour(2)));
    let walked = walk(2, &line, &parties, &TERMS, hour(25), hour(1));
    assert_eq!((walked.gathers_for, walked.promoted.as_slice()), (None, &[2][..]));
    let mut later = vec![walked.changed[0], party(3, 1, 0)];
    let walked = walk(1, &line, &later, &TERMS, hour(240), hour(4));
    assert_eq!((walked.gathers_for, walked.line.gathers_until), (Some(1), Some(hour(6))));
    later[0].gathers_until = Some(hour(4));
    assert_eq!(walk(1, &line, &later, &TERMS, hour(240), hour(4)).promoted, [3]);
}

#[test]
fn a_party_that_does_not_take_the_price_is_neither_served_nor_counted() {
    let aside = Waiting { takes_price: false, ..party(1, 1, 3) };
    let walked = walk_at(2, &[aside, party(2, 2, 0), party(3, 1, 0)], hour(0));
    assert_eq!((walked.promoted.as_slice(), walked.gathers_for), (&[2][..], None));
    let aside = walked.changed[0];
    assert_eq!((aside.overtaken, aside.passed_before), (3, None));

    let line = Line { passed: 7, ..line_of(&[aside]) };
    let back = Waiting { takes_price: true, seats: 2, ..aside };
    let walked = walk(1, &line, &[back], &TERMS, hour(240), hour(1));
    assert_eq!(walked.changed[0].overtaken_in_all(7), 3);
    assert_eq!(walked.gathers_for, Some(1));
}

#[test]
fn terms_may_say_that_seats_gather_at_once_or_never() {
    let parties = [party(1, 4, 0), party(2, 1, 0)];
    let by = |terms: Terms| walk(2, &line_of(&parties), &parties, &terms, hour(240), hour(0));
    assert_eq!(by(Terms { overtakes_max: 0, ..TERMS }).gathers_for, Some(1));
    let never = by(Terms { overtakes_max: 0, gather_for: Duration::zero(), ..TERMS });
    assert_eq!((never.gathers_for, never.promoted.as_slice()), (None, &[2][..]));
    let far = Terms { overtakes_max: 0, gather_for: Duration::MAX, release_before: Duration::MAX };
    assert_eq!(by(far).gathers_for, None);
    let long = Terms { release_before: Duration::zero(), ..far };
    assert_eq!(by(long).line.gathers_until, Some(hour(240)));
}
