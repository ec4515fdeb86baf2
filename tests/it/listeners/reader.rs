//! A reader of the log, page by page, at either replica.

use super::heard::Heard;
use crate::support::asker::Asker;
use fastrand::Rng;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

const PAUSE: Duration = Duration::from_millis(100);

/// It stops when it is dropped.
pub struct Reader {
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

impl Reader {
    pub fn start(asker: &Asker) -> Self {
        let (asker, heard) = (asker.clone(), Arc::<Mutex<Heard>>::default());
        let task = tokio::spawn(read(asker, heard.clone()));
        Self { heard, task }
    }

    pub fn heard(&self) -> Heard {
        self.heard.lock().clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(asker: Asker, heard: Arc<Mutex<Heard>>) {
    let (mut after, mut rng) = (String::new(), Rng::with_seed(11));
    loop {
        let path = format!("/events?limit=200&after={after}");
        let page = asker.get(&path, &mut rng).await;
        let events = page["events"].as_array().expect("events");
        for event in events {
            let id = event["id"].as_str().expect("an id").to_owned();
            let flight = event["flight_id"].as_i64().expect("a flight");
            heard.lock().entry(flight).or_default().push(id);
        }
        page["next"].as_str().expect("a cursor").clone_into(&mut after);
        if events.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
