//! A party of nine waits for a flight of eight free seats: others book them, but for the time that the policy keeps
//! them for the party.

use super::terms::TERMS;
use super::watch::AFTER_A_KILL;
use crate::support::asker::Asker;
use crate::support::booking;
use fastrand::Rng;
use serde_json::json;
use std::time::{Duration, Instant};

const FREE: i32 = 8;

/// Users of this flight.
const FIRST_USER: i64 = 9_000_000;

/// Books the eight seats one by one. Returns the flight, and for how long nobody got any.
pub async fn does_not_freeze_a_flight_of_eight(asker: Asker) -> (i64, Duration) {
    let mut rng = Rng::with_seed(9);
    let flight = asker.add_flight(12 + FREE).await;
    asker.book(flight, FIRST_USER, 9, false, &mut rng).await.expect("seats are free");
    asker.book(flight, FIRST_USER + 1, 3, false, &mut rng).await.expect("seats are free");
    let mut body = booking(0, FREE + 1);
    body.as_object_mut().expect("an object").remove("flight_id");
    body["user_id"] = json!(FIRST_USER);
    let path = format!("/flights/{flight}/waitlist");
    asker.post(&path, "wait-of-nine", &body, &mut rng).await.expect("nine seats are not free");
    let (mut got, mut refused, mut frozen_for) = (0, None::<Instant>, Duration::ZERO);
    for user in FIRST_USER + 2.. {
        match asker.book(flight, user, 1, false, &mut rng).await {
            Ok(_) => {
                got += 1;
                if let Some(since) = refused.take() {
                    frozen_for = frozen_for.max(since.elapsed());
                }
            }
            Err(code) => {
                assert_eq!(code, "insufficient_seats");
                let since = *refused.get_or_insert_with(Instant::now);
                assert!(
                    got >= TERMS.overtakes_max,
                    "{got} seats were booked before the first refusal"
                );
                let gathers_for = TERMS.gather_for.to_std().expect("not negative");
                assert!(since.elapsed() < gathers_for + AFTER_A_KILL, "the flight is frozen");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        if got == FREE {
            break;
        }
    }
    (flight, frozen_for)
}
