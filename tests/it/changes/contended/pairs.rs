//! Two clients at a time who change one booking, and cancel it in part or whole, without regard for each other.

use super::contest::{ASKS, Contest, DECLINES, PAYS};
use fastrand::Rng;
use serde_json::json;
use std::sync::atomic::{AtomicI64, Ordering};

/// Both clients of a booking, until the contest is over.
pub async fn change(contest: &Contest<'_>, number: u64) {
    let mut rng = Rng::with_seed(2 * number);
    let booking = AtomicI64::new(contest.buy(&mut rng).await);
    let other = Rng::with_seed(2 * number + 1);
    tokio::join!(client(contest, &booking, rng.fork()), client(contest, &booking, other));
    // A change whose payer never acts would wait for long.
    cancel(contest, booking.into_inner(), &mut rng).await;
}

async fn cancel(contest: &Contest<'_>, id: i64, rng: &mut Rng) {
    let (status, answer) = contest.post(id, "cancel", &json!({}), rng).await;
    assert_eq!((status, &answer["status"]), (200, &json!("cancelled")), "{answer}");
}

async fn client(contest: &Contest<'_>, booking: &AtomicI64, mut rng: Rng) {
    while !contest.is_over() {
        let id = booking.load(Ordering::Relaxed);
        match rng.usize(0..16) {
            0 => {
                let part = json!({"passengers": [rng.usize(0..2)]});
                let (status, answer) = contest.post(id, "cancel", &part, &mut rng).await;
                assert!(matches!(status, 200 | 409), "{status}: {answer}");
            }
            1 => {
                cancel(contest, id, &mut rng).await;
                let next = contest.buy(&mut rng).await;
                // The other may have bought one already.
                if booking.compare_exchange(id, next, Ordering::Relaxed, Ordering::Relaxed).is_err()
                {
                    cancel(contest, next, &mut rng).await;
                }
            }
            round => {
                let card = match round {
                    2..=4 => DECLINES,
                    5 => ASKS,
                    _ => PAYS,
                };
                let to = contest.any(&mut rng);
                contest.change(id, to, card, &mut rng).await;
            }
        }
    }
}
