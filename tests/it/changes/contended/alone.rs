//! A client who alone changes a booking, and checks what became of each change.

use super::contest::{ASKS, Contest, DECLINES, PARTY, PAYS, count};
use crate::support::eventually;
use fastrand::Rng;
use serde_json::{Value, json};

/// What a change that was not made leaves alone.
const FIELDS: [&str; 7] =
    ["flight_id", "status", "booking_price", "booking_taxes", "fee", "seats_booked", "payment"];

/// Changes a booking, and then the next one, until the contest is over.
pub async fn change(contest: &Contest<'_>, number: u64) {
    let mut rng = Rng::with_seed(1_000 + number);
    let mut id = contest.buy(&mut rng).await;
    while !contest.is_over() {
        let card = [PAYS, PAYS, DECLINES, ASKS][rng.usize(0..4)];
        let to = contest.any(&mut rng);
        let before = contest.booking(id, &mut rng).await;
        let (status, answer) = contest.change(id, to, card, &mut rng).await;
        match status {
            200 => expect_swapped(&before, &answer, to),
            202 if card == ASKS => {
                expect_unchanged(&before, &answer);
                cancel_with_its_change(contest, id, to, &mut rng).await;
                id = contest.buy(&mut rng).await;
            }
            202 => {
                let ended = end_of_change(contest, id, &mut rng).await;
                if card == DECLINES {
                    expect_unchanged(&before, &ended);
                    count(&contest.counts.declined);
                } else {
                    assert_eq!(ended["flight_id"], to, "{ended}");
                    let difference = amount(&answer["change"]["difference"]);
                    let price = amount(&before["booking_price"]) + difference;
                    assert_eq!(amount(&ended["booking_price"]), price, "{ended}");
                    count(&contest.counts.paid);
                }
            }
            _ => {
                let code = &answer["code"];
                assert!(code == "insufficient_seats" || before["flight_id"] == to, "{answer}");
                expect_unchanged(&before, &contest.booking(id, &mut rng).await);
            }
        }
    }
}

fn amount(of: &Value) -> i64 {
    (of.as_f64().expect("an amount") * 100.0).round() as i64
}

fn refunded(booking: &Value) -> i64 {
    let refunds = booking["refunds"].as_array().expect("a list");
    refunds.iter().map(|refund| amount(&refund["amount"])).sum()
}

/// Nothing was due: what the new flight costs less comes back.
fn expect_swapped(before: &Value, after: &Value, to: i64) {
    assert_eq!(
        (&after["flight_id"], &after["status"]),
        (&json!(to), &json!("completed")),
        "{after}"
    );
    let less = amount(&before["booking_price"]) - amount(&after["booking_price"]);
    assert!(less >= 0, "{after}");
    assert_eq!(refunded(after) - refunded(before), less, "{after}");
}

/// Only a refund of an earlier change may have been done since.
fn expect_unchanged(before: &Value, after: &Value) {
    for field in FIELDS {
        assert_eq!(before[field], after[field], "{field} of {after}");
    }
    assert_eq!(refunded(before), refunded(after), "{after}");
}

/// The booking, once no change of it waits.
async fn end_of_change(contest: &Contest<'_>, id: i64, rng: &mut Rng) -> Value {
    eventually("the end of a change", async || {
        let shown = contest.booking(id, rng).await;
        if shown.get("change").is_none() { Ok(shown) } else { Err(shown) }
    })
    .await
}

/// A cancellation while the difference is to be paid ends both: the seats of neither flight are kept, and all that was
/// paid comes back.
async fn cancel_with_its_change(contest: &Contest<'_>, id: i64, to: i64, rng: &mut Rng) {
    let paid = contest.booking(id, rng).await;
    let part = json!({"passengers": [PARTY - 1]});
    for (what, body) in [("change", json!({"flight_id": to})), ("cancel", part)] {
        let (status, answer) = contest.post(id, what, &body, rng).await;
        assert_eq!((status, &answer["code"]), (409, &json!("change_pending")), "{answer}");
    }
    let (status, answer) = contest.post(id, "cancel", &json!({}), rng).await;
    assert_eq!((status, &answer["status"]), (200, &json!("cancelled")), "{answer}");
    assert!(answer.get("change").is_none(), "{answer}");
    let back = refunded(&answer) - refunded(&paid);
    assert_eq!(back, amount(&paid["booking_price"]), "{answer}");
    count(&contest.counts.cancelled_while_pending);
}
