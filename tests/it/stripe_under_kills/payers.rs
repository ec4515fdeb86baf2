//! Payers who approve, decline or go away, and the webhooks that tell of it: some twice, some forged, some stale.

use crate::support::callers::Bases;
use crate::support::process::http_client;
use crate::support::stripe::{FakeStripe, WEBHOOK_SECRET, event, signature};
use airline_booking::clock::{Clock, SystemClock};
use fastrand::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

pub struct Payers {
    stop: Arc<AtomicBool>,
    /// Gives how many forged and stale webhooks were refused.
    acting: JoinHandle<usize>,
}

impl Payers {
    pub fn start(stripe: Arc<FakeStripe>, bases: Bases) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acting = tokio::spawn(act(stripe, bases, stop.clone()));
        Self { stop, acting }
    }

    pub async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.acting.await.expect("no payer panics")
    }
}

async fn act(stripe: Arc<FakeStripe>, bases: Bases, stop: Arc<AtomicBool>) -> usize {
    let mut rng = Rng::with_seed(11);
    let mut refused = 0;
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(40)).await;
        let asked = {
            let mut account = stripe.account();
            let asked = account.intents.iter().find(|intent| intent.status == "requires_action");
            let asked = asked.map(|intent| intent.reference.clone());
            // One in five never acts, and another one has its turn.
            match asked.filter(|_| rng.usize(0..5) > 0) {
                Some(reference) => {
                    account.act(&reference, rng.usize(0..4) > 0);
                    reference
                }
                None => continue,
            }
        };
        let base = bases.of(rng.usize(0..2));
        let body = event("payment_intent.succeeded", &asked).to_string();
        let now = SystemClock.now().timestamp();
        for (secret, time) in
            [("whsec_of_someone_else", now), (WEBHOOK_SECRET, now - 400), (WEBHOOK_SECRET, now)]
        {
            let is_sound = secret == WEBHOOK_SECRET && time == now;
            for _ in 0..=rng.usize(0..2) {
                let post = http_client()
                    .post(format!("{base}/payments/webhooks/stripe"))
                    .header("content-type", "application/json")
                    .header("stripe-signature", signature(secret, time, &body))
                    .body(body.clone());
                // A killed replica does not answer.
                let Ok(answer) = post.send().await else { continue };
                let status = answer.status().as_u16();
                if is_sound {
                    assert!(matches!(status, 204 | 429 | 503), "{status}");
                } else {
                    assert!(matches!(status, 400 | 429 | 503), "{status}");
                    refused += usize::from(status == 400);
                }
            }
        }
    }
    refused
}
