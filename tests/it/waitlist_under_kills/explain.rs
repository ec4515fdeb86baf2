//! Each step of a flight's history against the waiting list's oracle.
//!
//! A commit may hold several commands of one flight, and its rows show only what they came to. So each order in which
//! they may have been decided is tried until the oracle agrees with all that the rows say: who was promoted, how many
//! seats are free, until when they gather, how often each party was overtaken.

use super::history::Step;
use super::replay::Replay;
use super::terms::TERMS;
use airline_booking::domain::{Money, SeatCount, Timestamp};
use std::fmt;

/// Maximum seats freed, holds and leavings of a commit whose orders are tried.
const ACTS_MAX: u32 = 10;

/// What a command did, but for joining and serving.
#[derive(Debug, Clone, Copy)]
enum Act {
    Hold(SeatCount),
    Free(SeatCount),
    Leave(i64),
}

/// What commands did between two walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Joins,
    Holds,
    Frees,
}

/// Orders between two walks.
const ORDERS: [[Kind; 3]; 4] = [
    [Kind::Joins, Kind::Frees, Kind::Holds],
    [Kind::Joins, Kind::Holds, Kind::Frees],
    [Kind::Holds, Kind::Joins, Kind::Frees],
    [Kind::Holds, Kind::Frees, Kind::Joins],
];

/// What histories came to.
#[derive(Debug, Default)]
pub struct Told {
    steps: usize,
    /// Steps in which parties were promoted.
    walks: usize,
    promoted: usize,
    /// Steps of several commands.
    folded: usize,
    /// Steps after which seats gather.
    pub gathering: usize,
}

impl Told {
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.walks += other.walks;
        self.promoted += other.promoted;
        self.folded += other.folded;
        self.gathering += other.gathering;
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, walks, promoted, folded, gathering } = self;
        write!(
            f,
            "{promoted} promoted in {walks} walks as by the oracle, {steps} commits, {folded} of several commands, \
             {gathering} with seats that gather"
        )
    }
}

/// Replays a flight's history. Fails at the first step that the oracle does not explain, and at an end in which seats
/// that a walk would give away are free.
pub fn explain(steps: &[Step], now: Timestamp) -> Result<Told, String> {
    let first = &steps[0].became;
    let mut replay = Replay::of(TERMS, first.free(), first.departs_at(), first.at());
    let mut told = Told { steps: steps.len(), ..Told::default() };
    for step in &steps[1..] {
        let was = step.was.as_ref().expect("only the first creates it");
        replay = explained(&replay, step)?;
        told.walks += usize::from(!step.promoted.is_empty());
        told.promoted += step.promoted.len();
        told.folded += usize::from(step.became.version - was.version > 1);
        told.gathering += usize::from(step.became.gathers_until().is_some());
    }
    let last = &steps[steps.len() - 1].became;
    let gathered = last.gathers_until().is_some_and(|until| until <= now);
    if last.waiting > 0 && (last.serve_due || !gathered && replay.owes_seats(now)) {
        return Err(format!("keeps seats from those who wait: {last:?}"));
    }
    Ok(told)
}

/// The replay after a step; the error of the likeliest order if none explains it.
fn explained(replay: &Replay, step: &Step) -> Result<Replay, String> {
    let holds = step.held.iter().map(|seats| Act::Hold(*seats));
    let frees = step.freed.iter().map(|seats| Act::Free(*seats));
    let leaves = step.left.iter().map(|place| Act::Leave(*place));
    let acts: Vec<Act> = frees.chain(leaves).chain(holds).collect();
    assert!(acts.len() as u32 <= ACTS_MAX, "too many commands in a commit: {step:?}");
    let mut first_error = None;
    for walks in numbers_of_walks(step) {
        for splits in splits(step.joined.len(), *walks) {
            let zones = *walks as u32 + 1;
            for code in 0..zones.pow(acts.len() as u32) {
                for order in ORDERS {
                    let plan = Plan { zones: zones as usize, splits: &splits, code, order };
                    match plan.follow(replay.clone(), step, &acts) {
                        Ok(after) => return Ok(after),
                        Err(error) => _ = first_error.get_or_insert(error),
                    }
                }
            }
        }
    }
    let error = first_error.unwrap_or_default();
    Err(format!("flight {}, version {}: {error}; {step:?}", step.became.id, step.became.version))
}

/// How many walks a commit may have made, the likeliest first: of this process' engine, and of its sweeper.
fn numbers_of_walks(step: &Step) -> &'static [usize] {
    let Some(was) = &step.was else { return &[0] };
    let became = &step.became;
    let is_walked = !step.promoted.is_empty()
        || became.waiting > 0
            && (was.gathers_until() != became.gathers_until()
                || was.serve_due && !became.serve_due);
    if is_walked { &[1, 2] } else { &[0, 1] }
}

/// How many of the parties that joined were there at each walk: all ways.
fn splits(joined: usize, walks: usize) -> Vec<Vec<usize>> {
    match walks {
        0 => vec![vec![]],
        1 => (0..=joined).rev().map(|at| vec![at]).collect(),
        _ => (0..=joined).flat_map(|at| (at..=joined).map(move |next| vec![at, next])).collect(),
    }
}

/// An order of a commit's commands.
struct Plan<'a> {
    /// Parts of the commit, with a walk between two.
    zones: usize,
    splits: &'a [usize],
    /// The part of each act, as the digits of a number.
    code: u32,
    order: [Kind; 3],
}

impl Plan<'_> {
    fn follow(&self, mut line: Replay, step: &Step, acts: &[Act]) -> Result<Replay, String> {
        let (at, mut promoted) = (step.became.at(), Vec::new());
        if step.was.as_ref().is_some_and(|was| was.departs_at() != step.became.departs_at()) {
            line.depart(step.became.departs_at());
        }
        for zone in 0..self.zones {
            let from = if zone == 0 { 0 } else { self.splits[zone - 1] };
            let to = self.splits.get(zone).copied().unwrap_or(step.joined.len());
            let acts = acts.iter().enumerate().filter(|(at, _)| self.zone_of(*at) == zone);
            let acts: Vec<Act> = acts.map(|(_, act)| *act).collect();
            for kind in self.order {
                match kind {
                    Kind::Joins => {
                        for entry in &step.joined[from..to] {
                            line.join(entry.place, entry.seats, None, Money::default());
                        }
                    }
                    kind => acts.iter().try_for_each(|act| act.follow(&mut line, kind, at))?,
                }
            }
            if zone + 1 < self.zones {
                promoted.extend(line.serve(Money::default(), at));
            }
        }
        promoted.sort_unstable();
        if promoted != step.promoted {
            return Err(format!("promoted {:?}, and not {promoted:?}", step.promoted));
        }
        check(&line, step)?;
        Ok(line)
    }

    fn zone_of(&self, act: usize) -> usize {
        // The digit 0 is the first part, where most seats become free.
        (self.code / (self.zones as u32).pow(act as u32)) as usize % self.zones
    }
}

impl Act {
    fn follow(self, line: &mut Replay, kind: Kind, at: Timestamp) -> Result<(), String> {
        match self {
            Self::Hold(seats) if kind == Kind::Holds => line.hold(seats, at)?,
            Self::Free(seats) if kind == Kind::Frees => line.free(seats),
            Self::Leave(place) if kind == Kind::Frees => line.leave(place),
            _ => {}
        }
        Ok(())
    }
}

/// Compares what the rows say after a step.
fn check(line: &Replay, step: &Step) -> Result<(), String> {
    let (became, at) = (&step.became, step.became.at());
    let is_due = became.serve_due || became.gathers_until().is_some_and(|until| until <= at);
    if became.waiting > 0 && !is_due {
        line.check_marks(became.free(), became.gathers_until(), at)?;
        if line.owes_seats(at) {
            return Err("keeps seats from those who wait".to_owned());
        }
    }
    let mut waiting = step.entries.iter().filter(|entry| entry.status == "waiting");
    waiting.try_for_each(|e| line.check_count(e.place, e.overtaken_in_all(became)))
}
