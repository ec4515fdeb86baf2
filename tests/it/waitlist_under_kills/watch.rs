//! I7, watched: how long a line that has something to do stays unserved.

use sqlx::PgConnection;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Maximum time without a kill: the sweep interval, and as much again.
const IN_QUIET: Duration = Duration::from_secs(2);

/// The same after a kill: the lease of a lock, the sweep interval, and a start.
pub const AFTER_A_KILL: Duration = Duration::from_secs(7);

const PAUSE: Duration = Duration::from_millis(50);

/// Flights with a walk that is due, or with free seats that it would give away; and how often none was due so far.
const UNSERVED: &str = "
    SELECT f.id, s.times FROM flights AS f JOIN history.served AS s ON s.flight_id = f.id
     WHERE f.waiting > 0
       AND (f.serve_due OR f.gathers_until <= timezone('utc', now())
            OR f.gathers_until IS NULL
               AND EXISTS (SELECT 1 FROM waitlist AS w
                            WHERE w.flight_id = f.id AND w.status = 'waiting'
                              AND w.seats <= f.available_seats - f.held_seats))";

/// When replicas were killed.
#[derive(Clone, Default)]
pub struct Kills(Arc<Mutex<Vec<Instant>>>);

impl Kills {
    pub fn note(&self) {
        self.0.lock().expect("no panic").push(Instant::now());
    }

    pub fn count(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }

    /// How long ago the last was, at a moment.
    fn since_last(&self, at: Instant) -> Option<Duration> {
        let kills = self.0.lock().expect("no panic");
        kills.iter().rev().find(|kill| **kill <= at).map(|kill| at - *kill)
    }
}

/// The longest times.
#[derive(Debug, Default)]
pub struct Watched {
    looks: usize,
    /// Times in which lines were unserved.
    spells: usize,
    in_quiet: Duration,
    after_a_kill: Duration,
    /// Of each line that was unserved for too long, the last look.
    pub late: HashMap<Unserved, String>,
}

/// A flight, and how often no walk of it was due before.
type Unserved = (i64, i64);

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { looks, spells, in_quiet, after_a_kill, .. } = self;
        write!(
            f,
            "{spells} times a line unserved in {looks} looks, for {in_quiet:.1?} at most in quiet, {after_a_kill:.1?} \
             after a kill"
        )
    }
}

pub struct Watch {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Watched>,
}

impl Watch {
    pub fn start(database: PgConnection, kills: Kills) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(watch(database, kills, stop.clone()));
        Self { stop, task }
    }

    pub async fn stop(self) -> Watched {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("it goes on")
    }
}

async fn watch(mut database: PgConnection, kills: Kills, stop: Arc<AtomicBool>) -> Watched {
    let (mut watched, mut since) = (Watched::default(), HashMap::<Unserved, Instant>::new());
    while !stop.load(Ordering::Relaxed) {
        let looked_at = Instant::now();
        let unserved: Vec<Unserved> =
            sqlx::query_as(UNSERVED).fetch_all(&mut database).await.expect("flights");
        watched.looks += 1;
        since.retain(|line, _| unserved.contains(line));
        for line in unserved {
            let began = *since.entry(line).or_insert_with(|| {
                watched.spells += 1;
                looked_at
            });
            watched.note(line, looked_at - began, kills.since_last(looked_at));
        }
        tokio::time::sleep(PAUSE).await;
    }
    watched
}

impl Watched {
    /// A line is unserved for so long, and the last kill was so long ago.
    fn note(&mut self, line: Unserved, lasts: Duration, killed: Option<Duration>) {
        let is_after = killed.is_some_and(|killed| killed <= lasts + AFTER_A_KILL);
        let longest = if is_after { &mut self.after_a_kill } else { &mut self.in_quiet };
        *longest = lasts.max(*longest);
        let is_late = lasts > IN_QUIET && killed.is_none_or(|killed| killed > AFTER_A_KILL);
        if is_late {
            let told = format!("unserved for {lasts:.2?}, the last kill {killed:.2?} ago");
            self.late.insert(line, told);
        }
    }
}
