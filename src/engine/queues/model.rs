//! The queues under random operations, beside a model of what they may do.

use super::orders::STEPPED_OVER_MAX;
use super::{FlightQueues, Group, Priority, Queued};
use crate::domain::{FlightId, FlightIds};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// A command; the ids are in the order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) id: usize,
    pub(super) flights: FlightIds,
    pub(super) priority: Priority,
}

impl Item {
    fn is_order(&self) -> bool {
        self.flights.len() > 1
    }

    fn is_on(&self, flights: &HashSet<FlightId>) -> bool {
        self.flights.iter().any(|flight| flights.contains(flight))
    }

    fn shares_line_with(&self, other: &Self) -> bool {
        self.priority == other.priority && self.flights.iter().any(|f| other.flights.contains(f))
    }
}

impl Queued for Item {
    fn flights(&self) -> &[FlightId] {
        &self.flights
    }

    fn priority(&self) -> Priority {
        self.priority
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push(Vec<i64>, Priority),
    /// Forms a batch of at most so many commands.
    Batch(Group, usize),
    /// Ends a batch, and isolates its flights or lets them rejoin the others.
    End(usize, bool),
    /// Returns the commands of a batch that name a flight, since its lock is held elsewhere.
    Lock(usize, usize),
    /// Ends the pause of such commands.
    Requeue(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let flights = btree_set(1_i64..7, 1..5).prop_map(|flights| flights.into_iter().collect());
    let flights = prop_oneof![vec(1_i64..7, 1), flights];
    let priority = prop_oneof![Just(Priority::Urgent), Just(Priority::Hold)];
    let group = prop_oneof![3 => Just(Group::Shared), 2 => Just(Group::Isolated)];
    let step = prop_oneof![
        6 => (flights, priority).prop_map(|(flights, priority)| Step::Push(flights, priority)),
        4 => (group, 1_usize..9).prop_map(|(group, max)| Step::Batch(group, max)),
        3 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(at, flip)| Step::End(at, flip)),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(at, flight)| Step::Lock(at, flight)),
        1 => any::<usize>().prop_map(Step::Requeue),
        2 => (0_u64..60).prop_map(Step::Wait),
    ];
    vec(step, 0..160)
}

struct Running {
    group: Group,
    flights: HashSet<FlightId>,
    items: Vec<Item>,
}

/// The queues, and what the model knows of them.
struct Model {
    queues: FlightQueues<Item>,
    now: Instant,
    waiting: BTreeMap<usize, Item>,
    running: Vec<Running>,
    /// Commands in a pause, which keep the flights of single commands busy.
    paused: Vec<Vec<Item>>,
    /// Commands that a batch has returned.
    returned: HashSet<usize>,
    isolated: HashSet<FlightId>,
    pushed: usize,
    done: HashSet<usize>,
}

impl Model {
    fn new() -> Self {
        Self {
            queues: FlightQueues::default(),
            now: Instant::now(),
            waiting: BTreeMap::new(),
            running: Vec::new(),
            paused: Vec::new(),
            returned: HashSet::new(),
            isolated: HashSet::new(),
            pushed: 0,
            done: HashSet::new(),
        }
    }

    fn step(&mut self, step: Step) -> TestCaseResult {
        match step {
            Step::Push(flights, priority) => self.push(&flights, priority),
            Step::Batch(group, max) => _ = self.batch(group, max)?,
            Step::End(at, flip) if !self.running.is_empty() => {
                let batch = self.running.swap_remove(at % self.running.len());
                self.end(batch, flip);
            }
            Step::Lock(at, flight) if !self.running.is_empty() => {
                let batch = self.running.swap_remove(at % self.running.len());
                let mut flights: Vec<_> = batch.flights.iter().copied().collect();
                flights.sort_unstable();
                self.lock(batch, flights[flight % flights.len()]);
            }
            Step::Requeue(at) if !self.paused.is_empty() => {
                let items = self.paused.swap_remove(at % self.paused.len());
                self.requeue(items);
            }
            Step::Wait(ms) => self.now += Duration::from_millis(ms),
            Step::End(..) | Step::Lock(..) | Step::Requeue(_) => {}
        }
        prop_assert_eq!(self.queues.all_waiting(), self.waiting.len());
        let busy_or_waiting = !self.busy().is_empty() || !self.waiting.is_empty();
        prop_assert_eq!(self.queues.is_idle(), !busy_or_waiting);
        Ok(())
    }

    fn push(&mut self, flights: &[i64], priority: Priority) {
        let flights = flights.iter().copied().map(FlightId).collect();
        self.pushed += 1;
        let item = Item { id: self.pushed, flights, priority };
        self.waiting.insert(item.id, item.clone());
        self.queues.push(item);
    }

    fn busy(&self) -> HashSet<FlightId> {
        let running = self.running.iter().flat_map(|batch| batch.flights.iter().copied());
        let paused = self.paused.iter().flatten().filter(|item| !item.is_order());
        running.chain(paused.map(|item| item.flights[0])).collect()
    }

    fn batch(&mut self, group: Group, max: usize) -> Result<usize, TestCaseError> {
        let busy = self.busy();
        let items = self.queues.next_batch(group, max, self.now);
        let taken = items.len();
        let weight: usize = items.iter().map(|item| item.flights.len()).sum();
        prop_assert!(weight < max + 4);
        prop_assert!(items.is_sorted_by_key(|item| item.priority == Priority::Hold));
        for item in &items {
            prop_assert!(!item.is_on(&busy), "no flight is in two batches");
            let is_isolated = item.is_on(&self.isolated);
            prop_assert_eq!(is_isolated, group == Group::Isolated);
            self.take(item)?;
        }
        let flights: HashSet<_> = items.iter().flat_map(|item| item.flights.clone()).collect();
        if !items.is_empty() {
            self.running.push(Running { group, flights, items });
        }
        if weight < max {
            self.check_none_forgotten(group)?;
        }
        Ok(taken)
    }

    /// Checks that a command waits, and that it overtakes none that arrived before.
    fn take(&mut self, item: &Item) -> TestCaseResult {
        let waited = self.waiting.remove(&item.id);
        prop_assert_eq!(waited.as_ref(), Some(item), "a command runs once");
        let may_be_overtaken = |other: &Item| {
            // An order is stepped over. An order that was returned is in no line.
            other.is_order()
                || item.is_order() && {
                    self.returned.contains(&item.id) || self.returned.contains(&other.id)
                }
        };
        let earlier = self.waiting.range(..item.id).map(|(_, other)| other);
        let paused = self.paused.iter().flatten().filter(|other| other.id < item.id);
        for other in earlier.chain(paused).filter(|other| other.shares_line_with(item)) {
            prop_assert!(may_be_overtaken(other), "{item:?} overtakes {other:?}");
        }
        Ok(())
    }

    /// After a batch with room left: each command of free flights that no other order can have reserved is in
    /// it.
    fn check_none_forgotten(&self, group: Group) -> TestCaseResult {
        let busy = self.busy();
        for item in self.waiting.values() {
            let is_of_group = item.is_on(&self.isolated) == (group == Group::Isolated);
            let is_contended = self.waiting.values().any(|other| {
                let is_other = other.id != item.id && other.is_order();
                is_other && other.flights.iter().any(|flight| item.flights.contains(flight))
            });
            // An isolated order may wait for a shared batch to find it at the front of a queue.
            let is_found = !item.is_order() || group == Group::Shared;
            let is_free = !item.is_on(&busy) && is_of_group && !is_contended && is_found;
            prop_assert!(!is_free, "{item:?} is forgotten");
        }
        Ok(())
    }

    fn end(&mut self, batch: Running, flip: bool) {
        for flight in batch.flights.iter().filter(|_| flip) {
            if batch.group == Group::Isolated {
                self.queues.rejoin(*flight);
                self.isolated.remove(flight);
            } else {
                self.queues.isolate(*flight);
                self.isolated.insert(*flight);
            }
        }
        self.done.extend(batch.items.iter().map(|item| item.id));
        self.queues.release(batch.flights);
    }

    fn lock(&mut self, mut batch: Running, locked: FlightId) {
        let (elsewhere, ours) =
            batch.items.into_iter().partition(|item| item.flights.contains(&locked));
        batch.items = ours;
        let elsewhere: Vec<Item> = elsewhere;
        self.returned.extend(elsewhere.iter().map(|item| item.id));
        let (orders, singles): (Vec<_>, Vec<_>) = elsewhere.into_iter().partition(Item::is_order);
        if !singles.is_empty() {
            batch.flights.remove(&locked);
        }
        self.paused.extend([singles, orders].into_iter().filter(|items| !items.is_empty()));
        self.end(batch, false);
    }

    fn requeue(&mut self, items: Vec<Item>) {
        self.waiting.extend(items.iter().map(|item| (item.id, item.clone())));
        self.queues.requeue(items);
    }

    /// Ends all batches and pauses; then each turn takes a command, until none waits.
    fn finish(&mut self) -> TestCaseResult {
        for items in std::mem::take(&mut self.paused) {
            self.requeue(items);
        }
        loop {
            for batch in std::mem::take(&mut self.running) {
                self.end(batch, false);
            }
            if self.waiting.is_empty() {
                break;
            }
            let taken = self.batch(Group::Shared, 3)? + self.batch(Group::Isolated, 3)?;
            prop_assert!(taken > 0, "{:?} wait for ever", self.waiting);
        }
        prop_assert_eq!(self.done.len(), self.pushed);
        prop_assert!(self.queues.is_idle());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_command_runs_once_and_no_flight_is_in_two_batches(steps in steps()) {
        let mut model = Model::new();
        for step in steps {
            model.step(step)?;
        }
        model.finish()?;
    }
}

/// Milliseconds until all orders over these flights are taken, while each of four flights always has more
/// commands than a batch takes, and each batch takes some milliseconds.
fn wait_between_hot_flights(orders: &[&[i64]], batch_ms: impl Fn(u64) -> u64) -> u64 {
    let start = Instant::now();
    let mut queues = FlightQueues::default();
    let mut waiting: HashMap<FlightId, usize> = HashMap::new();
    let mut running: Vec<(u64, HashSet<FlightId>)> = Vec::new();
    let push = |queues: &mut FlightQueues<Item>, id: usize, flights: &[i64]| {
        let flights = flights.iter().copied().map(FlightId).collect();
        queues.push(Item { id, flights, priority: Priority::Hold });
    };
    let mut left = orders.len();
    for ms in 0..10_000 {
        for flight in 1..=4 {
            let waiting = waiting.entry(FlightId(flight)).or_default();
            (*waiting..20).for_each(|_| push(&mut queues, 0, &[flight]));
            *waiting = 20;
        }
        if ms == 50 {
            for flights in orders {
                push(&mut queues, 1, flights);
            }
        }
        for (_, flights) in running.extract_if(.., |(end, _)| *end <= ms) {
            queues.release(flights);
        }
        loop {
            // Batches take fewer commands than one flight has, so that each flight has its own.
            let items = queues.next_batch(Group::Shared, 10, start + Duration::from_millis(ms));
            let Some(first) = items.first() else { break };
            let end = ms + batch_ms(first.flights[0].0 as u64 + ms);
            left -= items.iter().filter(|item| item.is_order()).count();
            for item in items.iter().filter(|item| !item.is_order()) {
                *waiting.get_mut(&item.flights[0]).expect("a flight") -= 1;
            }
            running.push((end, items.into_iter().flat_map(|item| item.flights).collect()));
        }
        if ms >= 50 && left == 0 {
            return ms - 50;
        }
    }
    panic!("{left} orders wait for ever")
}

/// The longest wait of these orders, with batches of different lengths.
fn longest_wait(orders: &[&[i64]]) -> u64 {
    let waits = (1..40)
        .map(|seed| wait_between_hot_flights(orders, |turn| 4 + turn.wrapping_mul(seed) % 7));
    waits.max().expect("a seed")
}

#[test]
fn an_order_over_hot_flights_reserves_them_after_a_while() {
    let limit = STEPPED_OVER_MAX.as_millis() as u64;
    // Three batches of 10 ms until it is at the front of its queues, and three more until all have ended.
    for order in [&[1, 2][..], &[1, 2, 3], &[4, 3, 2, 1]] {
        assert!(longest_wait(&[order]) <= limit + 60, "{order:?}");
    }
    let orders: [&[i64]; 6] = [&[1, 2], &[2, 3], &[3, 4], &[4, 1], &[1, 2, 3], &[4, 3, 2, 1]];
    assert!(longest_wait(&orders) <= limit + 120);
    assert!(longest_wait(&[orders, orders, orders, orders].concat()) <= limit + 200);
}
