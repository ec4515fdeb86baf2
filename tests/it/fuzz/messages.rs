//! Messages on the topics that the service reads.

use super::{Subject, TIME_MAX};
use crate::fuzzing::{MESSAGE, Target, halves};
use airline_booking::bus::Bus as _;
use airline_booking::messages::{Headers, Message, Topic};
use std::time::Duration;

/// They name a payment that does not exist: a message without a signature is trusted, so that one about a stored
/// payment may change it.
const SEEDS: &[&str] = &[
    "ce_holdexpiresat: 2025-01-01T00:15:00Z\nce_id: 1\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-\
     b7ad6b7169203331-01\n\n{\"booking_id\":999999,\"payment_reference_id\":\
     \"PAY-7b0c2f0e5d3c7a519d7e0c2f5d3c7a51\",\"amount\":2500.00,\"currency\":\"INR\",\
     \"payment_method\":\"pm_card_visa\",\"action\":\"reverse\",\"timestamp\":\"2025-01-01T00:00:00Z\"}",
    "ce_specversion: 1.0\n\n{\"booking_id\":999999,\"payment_reference_id\":\
     \"PAY-7b0c2f0e5d3c7a519d7e0c2f5d3c7a51\",\"amount\":2500.00,\"currency\":\"INR\",\
     \"status\":\"failed\",\"reason\":\"card_declined\",\"timestamp\":\"2025-01-01T00:00:00Z\"}",
    "ce_type: payment.refund_requested\n\n{\"booking_id\":999999,\"payment_reference_id\":\
     \"PAY-7b0c2f0e5d3c7a519d7e0c2f5d3c7a51\",\"refund_id\":\"REF-4be2a05b6f0d9c7e8a1d3c5f7b9e0a24\",\
     \"amount\":2500.00,\"currency\":\"INR\",\"payment_method\":\"pm_card_visa\",\"action\":\"refund\",\
     \"status\":\"refunded\",\"timestamp\":\"2025-01-01T00:00:00Z\"}",
];

pub(super) fn parsed(input: &[u8]) -> Message {
    let (head, payload) = halves(input);
    let (head, payload) = (String::from_utf8_lossy(head), String::from_utf8_lossy(payload));
    let headers: Headers = head.lines().filter_map(|line| line.split_once(": ")).collect();
    Message { key: "999999".to_owned(), payload: payload.into_owned(), headers, origin: None }
}

#[test]
fn a_message_of_any_text_is_applied_or_put_aside_and_blocks_nothing() {
    for topic in [Topic::PaymentRequests, Topic::PaymentEvents] {
        let Some(mut subject) = Subject::start(|_| {}) else { return };
        let seeds = SEEDS.iter().map(|seed| seed.as_bytes().to_vec()).collect();
        Target { name: "messages", seeds, mutations: MESSAGE }.run(|input| {
            subject.refresh();
            let message = parsed(input);
            let app = &subject.app;
            let letters = subject.runtime.block_on(async {
                app.bus.publish(&[(topic, message)]).await.expect("published");
                tokio::time::timeout(TIME_MAX, async {
                    while app.bus.in_flight() > 0 || app.app.running_tasks() > 0 {
                        tokio::time::sleep(Duration::from_micros(200)).await;
                    }
                })
                .await
                .expect("read in time");
                app.bus.take_dead_letters()
            });
            assert!(letters.len() <= 1, "{letters:?}");
            for letter in letters {
                let reason = letter.headers.get("dlq_reason").expect("a reason");
                assert!(!reason.is_empty() && reason.chars().count() <= 200, "{reason}");
            }
        });
        subject.finish();
    }
}
