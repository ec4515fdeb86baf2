//! The price of an itinerary, of what is left of it and of its refunds, in currencies with no, two and three
//! decimals: they add up to the minor unit after each cancellation.

use super::{cancel, id_of, journey_priced, place, read};
use crate::support::TestApp;
use fastrand::Rng;
use serde_json::{Value, json};

/// Some of `count` numbers from `first`, at least one.
fn some(random: &mut Rng, first: u64, count: u64) -> Vec<u64> {
    let mut some: Vec<_> = (first..first + count).filter(|_| random.u8(..3) == 0).collect();
    if some.is_empty() {
        some.push(first + random.u64(..count));
    }
    some
}

/// An amount in the minor unit: its text without the point, which has the currency's decimals.
fn minor(text: &str, decimals: usize) -> i64 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert_eq!(fraction.len(), decimals, "{text}");
    format!("{whole}{fraction}").parse().expect("digits")
}

/// The amounts of all fields of this name, in the order of the text.
fn amounts(text: &str, field: &str, decimals: usize) -> Vec<i64> {
    let name = format!("\"{field}\":");
    let number = |rest: &str| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').expect("an end");
        minor(&rest[..end], decimals)
    };
    text.split(&name).skip(1).map(number).collect()
}

async fn parts_add_up(currency: &str, decimals: usize) {
    let code = currency.parse().expect("a currency");
    let app = TestApp::with(|config| config.currency = code).await;
    let mut random = Rng::with_seed(decimals as u64);
    for _order in 0..12 {
        let (segments, seats) = (1 + random.u64(..5), 1 + random.u64(..6));
        let prices: Vec<_> = (0..segments).map(|_| 1 + random.u64(..999_999)).collect();
        let flights = journey_priced(&app, &prices, decimals).await;
        let seats_booked = i32::try_from(seats).expect("few");
        let placed = place(&app, &flights, seats_booked).await;
        let id = id_of(&placed);
        let total = amounts(&placed.text, "total_price", decimals)[0];
        assert_eq!(total.unsigned_abs(), prices.iter().sum::<u64>() * seats);
        app.run_until_idle().await;
        for _part in 0..4 {
            let mut part = json!({});
            if random.bool() {
                part["segments"] = json!(some(&mut random, 1, segments));
            }
            if random.bool() {
                part["passengers"] = json!(some(&mut random, 0, seats));
            }
            let cancelled = cancel(&app, id, &part).await;
            assert_eq!(cancelled.status, 200, "{part} {cancelled:?}");
            let prices = amounts(&cancelled.text, "booking_price", decimals);
            let bookings = cancelled.json["bookings"].as_array().expect("bookings");
            let kept: i64 = bookings
                .iter()
                .zip(prices)
                .filter(|(booking, _)| booking["status"] == "completed")
                .map(|(_, price)| price)
                .sum();
            let refunded: i64 = amounts(&cancelled.text, "amount", decimals).into_iter().sum();
            assert_eq!(kept + refunded, total, "{currency} {part} {}", cancelled.text);
        }
        app.run_until_idle().await;
        let shown: Value = read(&app, id).await;
        assert_eq!(shown["currency"], currency);
    }
    app.finish().await;
}

#[tokio::test]
async fn parts_add_up_in_rupees() {
    Box::pin(parts_add_up("INR", 2)).await;
}

#[tokio::test]
async fn parts_add_up_in_yen() {
    Box::pin(parts_add_up("JPY", 0)).await;
}

#[tokio::test]
async fn parts_add_up_in_dinars() {
    Box::pin(parts_add_up("KWD", 3)).await;
}
