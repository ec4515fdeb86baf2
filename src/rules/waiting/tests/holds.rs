//! Holds, joining and the marks of the line by hand.

use super::{TERMS, hour, line_of, party, walk_at};
use crate::domain::SeatCount;
use crate::rules::waiting::{Judged, Line, Waiting, judge_hold, may_join, walk};

const SERVED: Line =
    Line { waiting: 2, serve_due: false, gathers_until: None, passed: 0, passed_max: Some(3) };

#[test]
fn a_hold_is_last_in_line() {
    let due = Line { serve_due: true, ..SERVED };
    let gathering = Line { gathers_until: Some(hour(6)), ..SERVED };
    let empty = Line { waiting: 0, serve_due: true, ..gathering };
    for (line, seats, hours, judged) in [
        (SERVED, 2, 0, Judged::Allowed),
        (SERVED, 3, 0, Judged::NotEnough),
        (due, 2, 0, Judged::ServeDue),
        (due, 3, 0, Judged::NotEnough),
        (gathering, 2, 5, Judged::Gathering),
        (gathering, 3, 5, Judged::NotEnough),
        // Until the walk, as a party behind the one at its limit may fit.
        (gathering, 2, 6, Judged::ServeDue),
        (gathering.to_serve(), 2, 5, Judged::ServeDue),
        (empty, 2, 0, Judged::Allowed),
        (empty, 3, 0, Judged::NotEnough),
    ] {
        assert_eq!(judge_hold(2, seats, &line, hour(hours)), judged, "{line:?} {hours}");
    }
}

#[test]
fn a_party_that_would_get_seats_at_once_can_not_join() {
    let due = SERVED.to_serve();
    let gathering = Line { gathers_until: Some(hour(6)), ..SERVED };
    for (line, seats, takes_price, joins) in [
        (Line::default(), 2, true, false),
        (Line::default(), 3, true, true),
        (Line::default(), 2, false, true),
        (SERVED, 2, true, false),
        (SERVED, 3, true, true),
        (due, 2, true, true),
        (gathering, 2, true, true),
    ] {
        assert_eq!(may_join(2, seats, takes_price, &line, hour(0)), joins, "{line:?} {seats}");
    }
}

/// Holds of one seat each, until one is refused; how many got theirs.
fn hold_until_refused(mut line: Line, mut free: SeatCount) -> (Line, usize) {
    let mut held = 0;
    while judge_hold(free, 1, &line, hour(0)) == Judged::Allowed {
        (line, free, held) = (line.held(), free - 1, held + 1);
    }
    (line, held)
}

#[test]
fn after_as_many_holds_as_a_party_bears_a_walk_is_due_and_seats_gather_for_it() {
    let line = Line::default().joined(TERMS.overtakes_max);
    let first = Waiting::joined(1, 9, true, &line);
    let (line, held) = hold_until_refused(line, 8);
    assert_eq!((held, line.passed, line.serve_due), (3, 3, true));
    assert_eq!(first.overtaken_in_all(line.passed), 3);
    let walked = walk(5, &line, &[first], &TERMS, hour(240), hour(0));
    assert_eq!((walked.gathers_for, walked.line.gathers_until), (Some(1), Some(hour(6))));
}

#[test]
fn holds_and_parties_behind_count_together() {
    let walked = walk_at(3, &[party(1, 4, 1), party(2, 1, 0)], hour(0));
    assert_eq!((walked.promoted.as_slice(), walked.gathers_for), (&[2][..], None));
    assert_eq!(walked.line.passed_max, Some(1));
    let (line, held) = hold_until_refused(walked.line, 2);
    assert_eq!((held, line.serve_due), (1, true));
    let walked = walk(1, &line, &walked.changed, &TERMS, hour(240), hour(0));
    assert_eq!(walked.gathers_for, Some(1));
}

#[test]
fn a_hold_from_before_its_joining_does_not_count_for_a_party() {
    let line = Line::default().joined(TERMS.overtakes_max).held().held();
    let second = Waiting::joined(2, 9, true, &line);
    let line = line.joined(TERMS.overtakes_max);
    assert_eq!(line.passed_max, Some(3), "the first bears one more");
    assert_eq!(second.overtaken_in_all(line.passed), 0);
    assert_eq!(second.overtaken_in_all(line.held().passed), 1);
}

#[test]
fn holds_count_only_while_parties_wait() {
    assert_eq!(Line::default().held(), Line::default());
    assert_eq!(Line::default().to_serve(), Line::default());
    let line = SERVED.held().to_serve().left();
    assert_eq!((line.waiting, line.passed, line.serve_due), (1, 1, true));
    assert_eq!(line.left(), Line { passed: 1, ..Line::default() });
}

#[test]
fn a_party_that_leaves_makes_a_walk_due_only_while_seats_gather() {
    assert!(!SERVED.left().is_due(hour(0)));
    let gathering = Line { gathers_until: Some(hour(6)), ..SERVED };
    assert!(gathering.left().is_due(hour(0)));
}

#[test]
fn nobody_is_overtaken_unasked_if_the_limit_is_0() {
    let line = Line::default().joined(0);
    let first = Waiting::joined(1, 4, true, &Line::default());
    assert_eq!(judge_hold(2, 1, &line, hour(0)), Judged::ServeDue);
    let terms = crate::rules::waiting::Terms { overtakes_max: 0, ..TERMS };
    assert_eq!(walk(2, &line, &[first], &terms, hour(240), hour(0)).gathers_for, Some(1));
}

#[test]
fn after_a_walk_no_walk_is_due_and_a_second_one_changes_nothing() {
    let mut parties = vec![party(1, 5, 2), party(2, 1, 0), party(3, 4, 1)];
    let first = walk(3, &line_of(&parties), &parties, &TERMS, hour(240), hour(0));
    parties.retain(|party| !first.promoted.contains(&party.id));
    for changed in &first.changed {
        *parties.iter_mut().find(|party| party.id == changed.id).unwrap() = *changed;
    }
    assert!(!first.line.is_due(hour(0)));
    let second = walk(2, &first.line, &parties, &TERMS, hour(240), hour(0));
    assert_eq!((second.promoted, second.changed), (vec![], vec![]));
    assert_eq!(second.line, first.line);
}
