//! A flight whose seats the policy gives away, beside an oracle that keeps its history.

use super::mistakes::{Mistake, mistaken_walk};
use super::{TERMS, hour};
use crate::domain::{SeatCount, Timestamp};
use crate::rules::waiting::oracle::Oracle;
use crate::rules::waiting::{Judged, Line, Terms, Waiting, Walked, judge_hold, may_join, walk};
use chrono::Duration;
use fastrand::Rng;
use std::collections::BTreeMap;

/// Steps of a history.
const STEPS: usize = 28;

/// What happened, and how often: a comparison of nothing proves nothing.
#[derive(Debug, Clone, Default)]
pub struct Seen(BTreeMap<&'static str, usize>);

impl Seen {
    fn note(&mut self, what: &'static str, times: usize) {
        *self.0.entry(what).or_default() += times;
    }

    /// Adds what happened on another flight.
    pub fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, times)| self.note(what, *times));
    }

    /// The least that happened of anything.
    pub fn least(&self) -> usize {
        self.0.values().copied().min().unwrap_or_default()
    }
}

/// A flight as its rows have it, and its oracle.
pub struct Flight {
    free: SeatCount,
    line: Line,
    parties: Vec<Waiting>,
    terms: Terms,
    departs_at: Timestamp,
    now: Timestamp,
    next_id: i64,
    mistake: Option<Mistake>,
    oracle: Oracle,
    seen: Seen,
}

/// Whether the policy agrees with the oracle; else how they differ.
type Agreed = Result<(), String>;

fn agree<T: PartialEq + std::fmt::Debug>(what: &str, policy: &T, oracle: &T) -> Agreed {
    if policy == oracle { Ok(()) } else { Err(format!("{what}: {policy:?}, oracle: {oracle:?}")) }
}

impl Flight {
    /// Plays the history of a seed.
    pub fn play(seed: u64, mistake: Option<Mistake>) -> Result<Seen, String> {
        let mut rng = Rng::with_seed(seed);
        let terms = Terms { overtakes_max: [0, 1, 1, 2, 3][rng.usize(..5)], ..TERMS };
        let (free, departs_at) = (rng.i32(0..4), hour(rng.i64(26..60)));
        let mut flight = Self {
            free,
            line: Line::default(),
            parties: Vec::new(),
            terms,
            departs_at,
            now: hour(0),
            next_id: 1,
            mistake,
            oracle: Oracle::new(terms, free, departs_at),
            seen: Seen::default(),
        };
        for step in 0..STEPS {
            let at = |error| format!("seed {seed}, step {step}: {error}");
            flight.step(&mut rng).and_then(|()| flight.compare()).map_err(at)?;
        }
        Ok(flight.seen)
    }

    fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn step(&mut self, rng: &mut Rng) -> Agreed {
        match rng.u32(..20) {
            0..4 => return self.hold([1, 1, 1, 2][rng.usize(..4)]),
            4..8 => return self.join([1, 2, 2, 3, 3, 4, 5][rng.usize(..7)], rng.u32(..8) > 0),
            8..10 => self.free(rng.i32(1..3)),
            10 => self.leave(rng),
            11..14 => self.pass_time(rng),
            14 if rng.bool() => self.block(),
            14 => self.reprice(rng),
            15 if rng.u32(..4) == 0 => self.move_departure(rng),
            _ => return self.promote(),
        }
        Ok(())
    }

    /// Compares what both say of the flight between commands.
    fn compare(&self) -> Agreed {
        agree("free seats", &self.free, &self.oracle.free())?;
        agree("parties", &self.line.waiting, &(self.parties.len() as i32))?;
        for party in &self.parties {
            let counted = party.overtaken_in_all(self.line.passed);
            agree("overtaken", &(party.id, counted), &(party.id, self.oracle.overtaken(party.id)))?;
        }
        Ok(())
    }

    fn judge(&self, seats: SeatCount) -> Judged {
        let mut line = self.line;
        if self.has(Mistake::HoldsDoNotWaitForTheWalk) {
            line.serve_due = false;
        }
        let ended = line.gathers_until.is_some_and(|until| until <= self.now);
        if self.has(Mistake::HoldsTakeGatheredSeats)
            || self.has(Mistake::EndOfGatheringNeedsNoWalk) && ended
        {
            line.gathers_until = None;
        }
        judge_hold(self.free, seats, &line, self.now)
    }

    fn hold(&mut self, seats: SeatCount) -> Agreed {
        let judged = self.judge(seats);
        match judged {
            Judged::NotEnough => agree("enough", &false, &(seats <= self.oracle.free())),
            Judged::ServeDue => {
                self.seen.note("a hold refused while a walk is due", 1);
                Ok(())
            }
            Judged::Gathering => {
                self.seen.note("a hold refused while seats gather", 1);
                agree("hold", &false, &self.oracle.may_hold(seats, self.now))
            }
            Judged::Allowed => self.held(seats),
        }
    }

    fn held(&mut self, seats: SeatCount) -> Agreed {
        agree("hold before those in line", &false, &self.oracle.would_promote(self.now))?;
        self.oracle.held(seats, self.now)?;
        self.seen.note("a hold that overtakes", usize::from(self.line.waiting > 0));
        self.free -= seats;
        if !self.has(Mistake::HoldsAreNotCounted) {
            let was_due = self.line.serve_due;
            self.line = self.line.held();
            self.line.serve_due &= was_due || !self.has(Mistake::HoldsPassTheLimit);
        }
        Ok(())
    }

    fn join(&mut self, seats: SeatCount, takes_price: bool) -> Agreed {
        let joins = if self.has(Mistake::FreeSeatsPreventJoining) {
            seats > self.free || !takes_price
        } else {
            may_join(self.free, seats, takes_price, &self.line, self.now)
                || self.has(Mistake::AnybodyJoins)
        };
        let gets_seats = takes_price && self.oracle.may_hold(seats, self.now);
        if !joins {
            self.seen.note("a party that can't join", 1);
            return agree("would get seats", &true, &gets_seats);
        }
        if !self.line.is_due(self.now) {
            agree("would get seats", &false, &gets_seats)?;
        }
        let mut party = Waiting::joined(self.next_id, seats, takes_price, &self.line);
        if self.has(Mistake::EarlierHoldsCount) {
            party.passed_before = party.passed_before.and(Some(0));
        }
        self.parties.push(party);
        self.line = self.line.joined(self.terms.overtakes_max);
        self.oracle.joined(self.next_id, seats, takes_price);
        self.seen.note("a party aside", usize::from(!takes_price));
        self.next_id += 1;
        Ok(())
    }

    fn leave(&mut self, rng: &mut Rng) {
        if self.parties.is_empty() {
            return;
        }
        let party = self.parties.remove(rng.usize(..self.parties.len()));
        let was_due = self.line.serve_due;
        self.line = self.line.left();
        self.line.serve_due &= was_due || !self.has(Mistake::LeavingNeedsNoWalk);
        self.oracle.left(party.id);
    }

    fn free(&mut self, seats: SeatCount) {
        self.free += seats;
        self.line = self.line.to_serve();
        self.oracle.freed(seats);
    }

    /// The operator takes the free seats from sale.
    fn block(&mut self) {
        let seats = self.free;
        self.free(-seats);
    }

    fn reprice(&mut self, rng: &mut Rng) {
        for party in &mut self.parties {
            party.takes_price = rng.u32(..3) > 0;
            self.oracle.priced(party.id, party.takes_price);
        }
        self.line = self.line.to_serve();
    }

    fn move_departure(&mut self, rng: &mut Rng) {
        self.departs_at += Duration::hours(rng.i64(-12..24));
        self.line = self.line.to_serve();
        self.oracle.departs(self.departs_at);
    }

    fn pass_time(&mut self, rng: &mut Rng) {
        // To the end of the gathering, just before it, or by hours.
        let pause = Duration::hours([1, 1, 2, 3, 6, 12][rng.usize(..6)]);
        self.now = match self.line.gathers_until.filter(|until| *until > self.now) {
            Some(until) if rng.bool() => until - Duration::microseconds(rng.i64(0..2)),
            _ => self.now + pause,
        };
    }

    fn walk(&self) -> Walked {
        let (line, parties, times) = (&self.line, &self.parties, (self.departs_at, self.now));
        match self.mistake {
            Some(m) => mistaken_walk(m, self.free, (line, parties), self.terms, times),
            None => walk(self.free, line, parties, &self.terms, self.departs_at, self.now),
        }
    }

    fn promote(&mut self) -> Agreed {
        let walked = self.walk();
        agree("promoted", &walked.promoted, &self.oracle.promoted(self.now))?;
        self.note(&walked);
        self.write(&walked);
        let gathers = walked.gathers_for.zip(walked.line.gathers_until);
        agree("gathers", &gathers, &self.oracle.gathers(self.now))?;
        self.check_after_walk()
    }

    /// Writes what a walk decided.
    fn write(&mut self, walked: &Walked) {
        let is_promoted = |party: &Waiting| walked.promoted.contains(&party.id);
        self.free -= self.parties.iter().filter(|p| is_promoted(p)).map(|p| p.seats).sum::<i32>();
        self.parties.retain(|party| !is_promoted(party));
        for party in &mut self.parties {
            let changed = walked.changed.iter().find(|changed| changed.id == party.id);
            *party = changed.copied().unwrap_or(*party);
        }
        self.line = walked.line;
    }

    /// After a walk none is due, another one changes nothing, and holds are judged exactly.
    fn check_after_walk(&self) -> Agreed {
        agree("a walk is due", &self.line.is_due(self.now), &false)?;
        if self.mistake.is_none() {
            let again = self.walk();
            agree("second walk", &(again.promoted.len(), again.changed.len()), &(0, 0))?;
            agree("second walk", &again.line, &self.line)?;
        }
        for seats in 1..3 {
            let allowed = self.judge(seats) == Judged::Allowed;
            agree("hold", &allowed, &self.oracle.may_hold(seats, self.now))?;
        }
        Ok(())
    }

    fn note(&mut self, walked: &Walked) {
        let is_gathered = |id: &&i64| {
            self.parties.iter().any(|party| party.id == **id && party.gathers_until.is_some())
        };
        let is_over = |party: &&Waiting| party.gathers_until.is_some_and(|end| end <= self.now);
        let gathered = walked.promoted.iter().filter(is_gathered).count();
        let passed_over = walked.changed.iter().filter(is_over).count();
        self.seen.note("a party promoted", walked.promoted.len());
        self.seen.note("a walk that lets seats gather", usize::from(walked.gathers_for.is_some()));
        self.seen.note("a party promoted after seats gathered", gathered);
        self.seen.note("a party passed over after seats gathered", passed_over);
    }
}
