//! The one source of chance of a run: the same seed draws the same faults, pauses and choices.

use fastrand::Rng;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// Declares the faults, each with its name in traces.
macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident,)*) => {
        /// A fault that a port or the world may inject.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[$doc])* $fault,)*
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &[Self] = &[$(Self::$fault,)*];
        }
    };
}

faults! {
    /// A commit is lost on its way: nothing is written, the caller gets an error.
    CommitLostBefore,
    /// A commit is written, and its answer is lost.
    CommitLostAfter,
    /// The caller gets an error at once, and the commit is written some time later.
    CommitLandsLate,
    /// A commit takes up to seconds.
    CommitSlow,
    /// A commit is cancelled since it took too long; nothing is written.
    CommitTimesOut,
    /// The store's code panics before it writes.
    CommitPanics,
    /// The store's code panics after it has written.
    CommitPanicsAfter,
    /// A read fails.
    ReadLost,
    /// A read takes up to a second.
    ReadSlow,
    /// Another session locks a flight's row for some seconds.
    RowLocked,
    /// The database ends the session that holds a lease, and the process notices later.
    LeaseLost,
    /// A publication fails, and none of its messages is out.
    PublishLost,
    /// A publication fails, and some or all of its messages are out.
    PublishLostAfter,
    /// A message arrives twice.
    MessageDoubled,
    /// A message arrives up to seconds late, behind later ones of other keys.
    MessageDelayed,
    /// A foreign producer writes a message that cannot be read, or names what does not exist.
    MessagePoisoned,
    /// A consumer fails to receive; it joins again.
    ReceiveLost,
    /// The partitions move to another member in the middle of a batch.
    Rebalance,
    /// A commit of offsets fails, or is forgotten.
    OffsetsLost,
    /// The lock service does not answer: all flights count as locked by the caller.
    LocksAway,
    /// A lock lapses while it is held.
    LockLapses,
    /// A release of locks is lost; they lapse.
    ReleaseLost,
    /// A process locks a flight for some time and does nothing with it.
    LockBusy,
    /// The shared cache does not take an invalidation.
    CacheAway,
    /// The gateway does not take the call, and answers with an error.
    GatewayLostBefore,
    /// The gateway carries the call out, and its answer is lost.
    GatewayLostAfter,
    /// The gateway answers late, within its time limit.
    GatewaySlow,
    /// The gateway does not answer; whether it carried out the call is open.
    GatewayHangs,
    /// The adapter of the gateway panics.
    GatewayPanics,
    /// The provider refuses every call for some seconds: long enough for circuits to open.
    GatewayDown,
    /// A replica's clock jumps by up to some seconds.
    ClockJumps,
    /// A client leaves before its answer.
    ClientLeaves,
    /// A replica is killed at a random moment, and started again later.
    Crash,
    /// A replica stops in order, and starts again.
    Restart,
    /// An operator changes a row by SQL.
    SqlByHand,
}

/// Chance of each fault, in thousandths of its opportunities. A run has some of them.
pub type Rates = BTreeMap<Fault, u32>;

/// Draws everything that a run leaves to chance, counts steps and faults, and keeps the trace.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<State>>);

struct State {
    rng: Rng,
    rates: Rates,
    began: Instant,
    steps: u64,
    faults: BTreeMap<Fault, u64>,
    /// `None` while the run is not traced.
    trace: Option<Vec<String>>,
    /// Hash of all steps: two runs of a seed must agree.
    digest: u64,
}

impl Chance {
    /// A source of chance. `traced` keeps each step as a line.
    pub fn new(seed: u64, rates: Rates, traced: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: Rng::with_seed(seed),
            rates,
            began: Instant::now(),
            steps: 0,
            faults: BTreeMap::new(),
            trace: traced.then(Vec::new),
            digest: 0,
        })))
    }

    /// No faults, for contracts.
    pub fn without_faults() -> Self {
        Self::new(0, Rates::new(), false)
    }

    /// Whether the fault happens at this opportunity.
    pub fn strikes(&self, fault: Fault) -> bool {
        let mut state = self.state();
        let Some(rate) = state.rates.get(&fault).copied() else { return false };
        let strikes = state.rng.u32(0..1_000) < rate;
        if strikes {
            *state.faults.entry(fault).or_default() += 1;
            state.step(|| format!("! {fault:?}"));
        }
        strikes
    }

    /// Ends all faults.
    pub fn calm(&self) {
        self.state().rates.clear();
    }

    /// Lets faults happen again.
    pub fn resume(&self, rates: &Rates) {
        self.state().rates = rates.clone();
    }

    /// A number below `end`, which is above 0.
    pub fn below(&self, end: u64) -> u64 {
        self.state().rng.u64(0..end)
    }

    /// A pause of up to `max`, in microseconds.
    pub fn pause(&self, max: Duration) -> Duration {
        Duration::from_micros(self.state().rng.u64(0..=max.as_micros() as u64))
    }

    /// 128 random bits.
    pub fn bits(&self) -> u128 {
        self.state().rng.u128(..)
    }

    /// Counts a step, and adds it to the trace.
    pub fn step(&self, line: impl FnOnce() -> String) {
        self.state().step(line);
    }

    /// Number of steps so far.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// How often each fault has struck.
    pub fn faults(&self) -> BTreeMap<Fault, u64> {
        self.state().faults.clone()
    }

    /// Hash of the steps and their times so far.
    pub fn digest(&self) -> u64 {
        self.state().digest
    }

    /// The steps so far, each with its simulated time.
    pub fn trace(&self) -> Vec<String> {
        self.state().trace.clone().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of chance panics")
    }
}

impl State {
    fn step(&mut self, line: impl FnOnce() -> String) {
        self.steps += 1;
        let at = self.began.elapsed().as_micros() as u64;
        let next = self.rng.clone().u64(..);
        self.digest = (self.digest ^ at ^ next).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31);
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>10.3} ms  {}", at as f64 / 1_000.0, line()));
        }
    }
}
