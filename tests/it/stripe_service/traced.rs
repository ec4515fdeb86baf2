//! One trace follows a booking over Stripe, its payer and a webhook to its end.

use super::{Shop, WEBHOOK_SECRET, event, signature};
use crate::support::booking;
use crate::support::collector::{Collector, tree};
use crate::support::process::{Server, http_client};
use airline_booking::clock::{Clock, SystemClock};
use serde_json::{Value, json};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_follows_a_booking_over_its_payer_and_a_webhook_to_its_end() {
    let collector = Collector::start().await;
    let mut shop = Shop::start_redriving("5m", "1h").await;
    shop.server.take().expect("it runs").kill().await;
    let tracing = [("TRACING_ENABLED", "true"), ("TRACING_ENDPOINT", &collector.endpoint)];
    let settings: Vec<_> = shop.settings().into_iter().chain(tracing).collect();
    let server = Server::start(shop.directory.path(), &settings).await;
    let url = format!("{}/api/v1/bookings", server.base);
    shop.server = Some(server);

    let mut body = booking(shop.flight, 1);
    body["payment_method"] = json!("pm_card_threeDSecure2Required");
    let request = http_client().post(url).json(&body);
    let request = request.header("traceparent", format!("00-{TRACE}-{CALLER}-01"));
    let placed: Value = request.send().await.expect("sent").json().await.expect("JSON");
    let id = placed["booking_id"].as_i64().expect("an id");
    shop.comes_to_need_its_payer(id).await;
    let reference = shop.stripe.account().intents[0].reference.clone();
    shop.stripe.account().act(&reference, true);
    let news = event("payment_intent.succeeded", &reference).to_string();
    let now = SystemClock.now().timestamp();
    assert_eq!(shop.webhook(&news, &signature(WEBHOOK_SECRET, now, &news)).await, 204);
    shop.comes_to_be(id, "completed").await;
    assert!(shop.server.take().expect("it runs").terminate().await, "a clean stop");

    let spans = tree(&collector.trace(TRACE), CALLER);
    let count = |name: &str| spans.iter().filter(|(its, _)| its == name).count();
    for (name, times) in [
        ("POST /api/v1/bookings", 1),
        ("booking.hold", 1),
        ("gateway.open", 1),
        ("gateway.status", 1),
        ("process payment-requests", 2),
        ("process payment-events", 2),
        ("booking.settle", 2),
        ("send airline-events", 1),
    ] {
        assert_eq!(count(name), times, "{name}: {spans:#?}");
    }
}
