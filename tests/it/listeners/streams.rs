//! A stream of each flight, which is cut off now and then, and resumes at either replica.

use super::heard::Heard;
use crate::support::asker::Asker;
use crate::support::streams::EventStream;
use fastrand::Rng;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// The pause before a stream is opened again.
const PAUSE: Duration = Duration::from_millis(100);

/// After at most so many events the client hangs up.
const EVENTS_MAX: usize = 40;

/// How long it waits for an event before it hangs up.
const PATIENCE: Duration = Duration::from_secs(20);

/// They end when they are dropped.
pub struct Streams {
    heard: Arc<Mutex<Heard>>,
    opened: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Streams {
    pub fn start(asker: &Asker, flights: &[i64]) -> Self {
        let (heard, opened) = (Arc::<Mutex<Heard>>::default(), Arc::<AtomicUsize>::default());
        let mut tasks = JoinSet::new();
        for flight in flights {
            let follower = Follower {
                asker: asker.clone(),
                flight: *flight,
                heard: heard.clone(),
                opened: opened.clone(),
            };
            tasks.spawn(follower.follow());
        }
        Self { heard, opened, _tasks: tasks }
    }

    pub fn heard(&self) -> Heard {
        self.heard.lock().clone()
    }

    /// How often one was opened.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

struct Follower {
    asker: Asker,
    flight: i64,
    heard: Arc<Mutex<Heard>>,
    opened: Arc<AtomicUsize>,
}

impl Follower {
    async fn follow(self) {
        let (mut last, mut rng) = (String::new(), Rng::with_seed(self.flight as u64));
        self.heard.lock().entry(self.flight).or_default();
        for turn in rng.usize(..2).. {
            if let Some(mut stream) = self.open(turn, &last).await {
                self.opened.fetch_add(1, Ordering::Relaxed);
                self.listen(&mut stream, rng.usize(1..EVENTS_MAX)).await;
                if !stream.last_id.is_empty() {
                    last.clone_from(&stream.last_id);
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// `None`: the replica was killed, or is not up yet.
    async fn open(&self, turn: usize, after: &str) -> Option<EventStream> {
        let client = crate::support::process::http_client();
        let path = format!("{}/api/v1/flights/{}/events", self.asker.base(turn), self.flight);
        let answer = client.get(path).header("last-event-id", after).send().await.ok()?;
        match answer.status().as_u16() {
            503 => None,
            _ => Some(EventStream::received(answer)),
        }
    }

    async fn listen(&self, stream: &mut EventStream, events: usize) {
        for _ in 0..events {
            let Ok(Some(event)) = tokio::time::timeout(PATIENCE, stream.next()).await else {
                return;
            };
            if event.kind != "state" {
                let id = event.data["id"].as_str().expect("an id").to_owned();
                self.heard.lock().entry(self.flight).or_default().push(id);
            }
        }
    }
}
