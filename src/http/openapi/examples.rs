//! Examples of responses, and links from one operation to the next, by operation id.

use serde_json::{Value, json};
use utoipa::openapi::link::{Link, LinkBuilder};

/// An example of the operation's successful response.
pub(super) fn answer(operation: &str) -> Option<Value> {
    Some(match operation {
        "searchFlights" => json!({"flights": [flight()], "count": 1}),
        "showCalendar" => json!({
            "days": [
                {"date": "2025-01-01", "price": 2500.00, "flights": 3},
                {"date": "2025-01-02", "price": null, "flights": 0}
            ],
            "currency": "INR"
        }),
        "searchItineraries" => json!({"itineraries": [itinerary()], "count": 1}),
        "searchLegs" => json!({"legs": [{
            "source": "Delhi", "destination": "Mumbai", "date": "2025-01-20",
            "itineraries": [itinerary()]
        }]}),
        "placeBooking" => json!({
            "booking_id": 1, "reference": "K7MQ2X", "status": "pending",
            "payment_reference_id": "PAY-0123456789abcdef0123456789abcdef",
            "message": "Booking created, processing payment",
            "booking_price": 5000.00, "hold_expires_at": "2025-01-15T08:05:00Z",
            "pay_by": "2025-01-15T08:05:00Z", "payment_status": "processing"
        }),
        "getBooking" | "findBooking" | "payBooking" | "changePassenger" => {
            booking_record("completed")
        }
        "cancelBooking" => booking_record("cancelled"),
        "changeBooking" => changing(),
        "extendBooking" => unpaid(),
        "placeItinerary" => placed(),
        "getItinerary" | "cancelItinerary" => placed_and_cancelled_in_part(),
        "payItinerary" => paid(),
        "listBookings" => json!({"bookings": [referenced("completed")], "count": 1}),
        "joinWaitlist" | "getWaitlistEntry" => entry("waiting"),
        "leaveWaitlist" => entry("left"),
        "acceptOffer" => entry("promoted"),
        "declineOffer" => entry("declined"),
        "listBookingsOfFlight" => json!({
            "bookings": [referenced("completed")], "count": 1, "next_cursor": "1"
        }),
        "listEvents" => json!({
            "events": [{
                "id": "flight.updated/1/2", "type": "flight.updated", "time": "2025-01-15T10:00:00Z",
                "flight_id": 1, "data": flight()
            }],
            "next": "AYCIiQ4BAAEfixxj26Y"
        }),
        "makeTicket" => json!({
            "ticket": "eyJub25jZSI6WzEsMl19c2lnbmVk", "expires_at": "2025-01-15T10:01:00Z"
        }),
        "explainProblem" => json!({
            "type": "/problems/insufficient_seats", "code": "insufficient_seats",
            "title": "Not enough seats left", "status": 409,
            "description": "The flight has fewer free seats than were asked for. Ask for fewer, or \
                            choose another flight. Of an itinerary nothing is held; the list of errors \
                            has the flight's place in the request."
        }),
        "getHealth" => health(),
        "getTimeline" => timeline(),
        "retryRefund" => refund(1),
        "quoteBookingCancellation" | "quoteItineraryCancellation" => json!({
            "refund": 3850.00, "fee": 1150.00, "taxes": 400.00, "price": 5000.00, "currency": "INR",
            "rule": "standard/1"
        }),
        _ => return answer_of_flights(operation),
    })
}

fn answer_of_flights(operation: &str) -> Option<Value> {
    Some(match operation {
        "listFlights" => json!({
            "flights": [flight()], "count": 1, "next_cursor": "20062c2052cce8000000000000000001"
        }),
        "createFlight" | "getFlight" => flight(),
        "changeFlight" => json!({"message": "Flight updated successfully", "flight": flight()}),
        "getSales" => json!({"flight_id": 1, "days": [
            {"date": "2025-01-15", "sold": 12, "returned": 0},
            {"date": "2025-01-16", "sold": 3, "returned": 2}
        ]}),
        "getDisruption" => json!({
            "flight_id": 1, "kind": "cancelled", "bookings": 4, "refunded": 3, "remaining": 1,
            "amount": 21500.00, "currency": "INR", "done": false
        }),
        "getFareRules" | "putFareRules" => json!({
            "name": "standard", "rules": [
                {"departs_in": "7d", "fee_percent": 25, "fee_fixed": 0.00},
                {"departs_in": "24h", "fee_percent": 50, "fee_fixed": 0.00}
            ], "version": 1
        }),
        _ => return answer_of_webhooks(operation),
    })
}

fn answer_of_webhooks(operation: &str) -> Option<Value> {
    Some(match operation {
        "createWebhook" => {
            let mut made = webhook();
            made["secret"] = json!("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=");
            made
        }
        "getWebhook" => webhook(),
        "listWebhooks" => json!({"webhooks": [webhook()], "count": 1}),
        "rotateWebhook" => json!({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="}),
        "listDeliveries" => json!({"deliveries": [
            delivery("booking.completed/42", "booking.completed", "delivered")
        ], "next_cursor": "1"}),
        "pingWebhook" => {
            delivery("webhook.ping/0123456789abcdef0123456789abcdef", "webhook.ping", "pending")
        }
        "redeliver" => delivery("booking.completed/42", "booking.completed", "pending"),
        _ => return None,
    })
}

/// An example of the operation's successful response as CSV.
pub(super) fn table(operation: &str) -> Option<Value> {
    (operation == "listBookingsOfFlight").then(|| {
        json!(
            "booking_id,itinerary_id,segment,status,passenger,name,email,phone,age,gender,passenger_status\r\n\
             1,1,1,completed,0,John Doe,john@example.com,1234567890,30,male,\r\n\
             1,1,1,completed,1,Jane Doe,jane@example.com,0987654321,28,female,cancelled\r\n"
        )
    })
}

fn health() -> Value {
    let embedded = json!({"status": "embedded", "latency_ms": 0.0});
    let database = json!({"status": "ok", "latency_ms": 0.4});
    let worker = json!({"status": "ok", "latency_ms": 0.0});
    json!({
        "status": "ok",
        "checks": {"database": database, "redis": embedded, "kafka": embedded,
            "settlement": worker, "payments": worker}
    })
}

fn webhook() -> Value {
    json!({
        "webhook_id": 1, "url": "https://partner.example/hooks",
        "types": ["flight.cancelled", "booking.completed"], "status": "active",
        "created_at": "2025-01-15T08:00:00Z"
    })
}

fn delivery(event: &str, kind: &str, status: &str) -> Value {
    let is_sent = status == "delivered";
    json!({
        "id": 1, "event_id": event, "type": kind, "status": status, "attempts": i32::from(is_sent),
        "response_status": is_sent.then_some(200), "at": "2025-01-15T08:00:01Z"
    })
}

fn timeline() -> Value {
    json!({"events": [
        {"at": "2025-01-15T08:00:00Z", "type": "held"},
        {"at": "2025-01-15T08:00:00Z", "type": "payment.requested", "attempt": 1, "amount": 5000.00},
        {"at": "2025-01-15T08:00:01Z", "type": "payment.captured", "attempt": 1, "amount": 5000.00},
        {"at": "2025-01-15T08:00:01Z", "type": "completed"},
        {"at": "2025-01-16T10:00:00Z", "type": "passenger.changed", "passenger": 0},
        {"at": "2025-01-17T09:00:00Z", "type": "flight.moved",
         "was": "2025-01-20T10:00:00Z", "departs_at": "2025-01-20T11:30:00Z"},
        {"at": "2025-01-17T09:00:02Z", "type": "message.sent", "channel": "mail", "told": "flight.moved"}
    ]})
}

fn flight() -> Value {
    json!({
        "id": 1, "flight_number": "AB101", "source": "Delhi", "destination": "Mumbai",
        "timestamp": "2025-01-20T10:00:00Z", "arrival_timestamp": "2025-01-20T12:10:00Z",
        "available_seats": 148, "held_seats": 0, "blocked_seats": 30, "total_seats": 180,
        "flight_status": "scheduled", "price": 2500.00, "taxes": 300.00, "fare_rules": "free", "currency": "INR", "version": 3,
        "created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-15T08:00:01Z"
    })
}

fn itinerary() -> Value {
    json!({
        "segments": [flight()], "stops": 0, "duration_minutes": 130, "price": 2500.00,
        "currency": "INR", "seats": 148
    })
}

fn booking(status: &str) -> Value {
    json!({
        "id": 1, "itinerary_id": 1, "segment": 1, "flight_id": 1, "user_id": 123, "status": status,
        "payment_reference_id": "PAY-0123456789abcdef0123456789abcdef",
        "booking_price": 5000.00, "booking_taxes": 700.00, "fee": 0.00, "fare_rules": "free", "seats_booked": 2,
        "booking_metadata": [
            {"name": "John Doe", "email": "john@example.com", "phone": "1234567890", "age": 30, "gender": "male"},
            {"name": "Jane Doe", "email": "jane@example.com", "phone": "0987654321", "age": 28, "gender": "female"}
        ],
        "hold_expires_at": "2025-01-15T08:05:00Z",
        "created_at": "2025-01-15T08:00:00Z", "updated_at": "2025-01-15T08:00:01Z"
    })
}

/// A booking with its reference.
fn referenced(status: &str) -> Value {
    let mut shown = booking(status);
    shown["reference"] = json!("K7MQ2X");
    shown
}

/// A booking with its payment and refunds.
fn booking_record(status: &str) -> Value {
    let mut record = referenced(status);
    record["payment"] = payment("captured");
    record["refunds"] = if status == "cancelled" { json!([refund(1)]) } else { json!([]) };
    record
}

/// A booking whose change of flight waits for its payment.
fn changing() -> Value {
    let mut record = booking_record("completed");
    record["change"] = json!({
        "flight_id": 2, "difference": 1000.00, "pay_by": "2025-01-16T09:05:00Z",
        "payment": payment("processing")
    });
    record
}

/// An entry of a waiting list.
fn entry(status: &str) -> Value {
    let mut entry = json!({
        "waitlist_id": 5, "flight_id": 1, "user_id": 123, "status": status, "mode": "ask",
        "seats_booked": 2, "position": null, "overtaken": 0,
        "created_at": "2025-01-15T08:00:00Z", "updated_at": "2025-01-15T08:00:01Z"
    });
    match status {
        "waiting" => entry["position"] = json!({"parties": 1, "seats": 3}),
        "promoted" => {
            entry["booking_id"] = json!(5);
            entry["payment"] = payment("captured");
        }
        _ => {}
    }
    entry
}

/// A booking that waits for its user's payment.
fn unpaid() -> Value {
    let mut record = booking_record("pending");
    record["payment"] = json!({"status": "awaiting_payment", "attempts": 0});
    record
}

/// An itinerary of two flights, paid.
fn paid() -> Value {
    let mut itinerary = placed();
    itinerary["status"] = json!("completed");
    itinerary["payment"] = payment("captured");
    for at in [0, 1] {
        itinerary["bookings"][at]["status"] = json!("completed");
    }
    itinerary["refunds"] = json!([]);
    itinerary
}

fn payment(status: &str) -> Value {
    json!({"status": status, "attempts": 1, "method": "pm_card_visa"})
}

fn refund(booking: i64) -> Value {
    json!({
        "id": "REF-0123456789abcdef0123456789abcdef", "booking_id": booking, "amount": 5000.00,
        "status": "requested", "reason": "traveller", "created_at": "2025-01-15T09:00:00Z"
    })
}

/// An itinerary of two flights, just placed.
fn placed() -> Value {
    let segment = |number: i64| {
        json!({
            "booking_id": number, "flight_id": number, "segment": number, "status": "pending",
            "booking_price": 5000.00
        })
    };
    json!({
        "itinerary_id": 1, "reference": "K7MQ2X", "status": "pending", "bookings": [segment(1), segment(2)],
        "payment": payment("processing"),
        "payment_reference_id": "PAY-0123456789abcdef0123456789abcdef",
        "total_price": 10000.00, "currency": "INR", "hold_expires_at": "2025-01-15T08:05:00Z"
    })
}

/// The same, paid, and without its second flight.
fn placed_and_cancelled_in_part() -> Value {
    let mut itinerary = placed();
    itinerary["status"] = json!("completed");
    itinerary["payment"] = payment("captured");
    itinerary["bookings"][0]["status"] = json!("completed");
    itinerary["bookings"][1]["status"] = json!("cancelled");
    itinerary["refunds"] = json!([refund(2)]);
    itinerary
}

/// Links from an operation to those on the resource that it creates.
pub(super) fn links(operation: &str) -> Vec<(&'static str, Link)> {
    let to = |operation: &'static str, parameter: &str, from: &str| {
        let link = LinkBuilder::new().operation_id(operation).parameter(parameter, from);
        (operation, link.build())
    };
    match operation {
        "createFlight" => ["getFlight", "changeFlight", "listBookingsOfFlight", "getDisruption"]
            .map(|next| to(next, "id", "$response.body#/id"))
            .into(),
        "createWebhook" => {
            ["getWebhook", "deleteWebhook", "rotateWebhook", "pingWebhook", "listDeliveries"]
                .map(|next| to(next, "id", "$response.body#/webhook_id"))
                .into()
        }
        "placeBooking" => vec![
            to("getBooking", "id", "$response.body#/booking_id"),
            to("cancelBooking", "id", "$response.body#/booking_id"),
            to("payBooking", "id", "$response.body#/booking_id"),
            to("getTimeline", "id", "$response.body#/booking_id"),
            to("listBookings", "user_id", "$request.body#/user_id"),
        ],
        "placeItinerary" => vec![
            to("getItinerary", "id", "$response.body#/itinerary_id"),
            to("cancelItinerary", "id", "$response.body#/itinerary_id"),
            to("payItinerary", "id", "$response.body#/itinerary_id"),
            to("getBooking", "id", "$response.body#/bookings/0/booking_id"),
            to("listBookings", "user_id", "$request.body#/user_id"),
        ],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Booking, Flight};

    #[test]
    fn examples_are_json_that_the_service_writes() {
        let flight: Flight = serde_json::from_value(flight()).expect("a flight");
        assert_eq!(serde_json::to_value(&flight).expect("JSON"), super::flight());
        for status in ["completed", "cancelled"] {
            let shown: Booking = serde_json::from_value(booking(status)).expect("a booking");
            assert_eq!(serde_json::to_value(&shown).expect("JSON"), booking(status));
        }
    }

    #[test]
    fn parts_of_an_itinerary_add_up_to_its_price() {
        let itinerary = placed_and_cancelled_in_part();
        let amounts = ["/bookings/0/booking_price", "/refunds/0/amount"];
        let amounts = amounts.map(|at| itinerary.pointer(at).and_then(Value::as_f64));
        let sum: f64 = amounts.into_iter().map(|amount| amount.expect("an amount")).sum();
        assert_eq!(Some(sum), itinerary["total_price"].as_f64());
    }
}
