//! Every column of the schema: those with personal data and all others. A test compares the lists with both
//! databases, so that no new column is forgotten. SECURITY.md shows the first list.

/// A column that holds personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PersonalColumn {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// Its content.
    pub holds: &'static str,
    /// What an erasure of a user's data does with it.
    pub on_erasure: OnErasure,
}

/// What an erasure does with a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnErasure {
    /// Its value is replaced by placeholders.
    Replaced,
    /// Its row is deleted.
    Deleted,
    /// Its value stays, for this reason.
    Kept(&'static str),
}

impl OnErasure {
    /// The wording in the data map.
    pub fn words(&self) -> String {
        match self {
            Self::Replaced => "replaced by a placeholder for each passenger".to_owned(),
            Self::Deleted => "deleted with its row".to_owned(),
            Self::Kept(reason) => format!("kept: {reason}"),
        }
    }
}

const fn personal(
    table: &'static str,
    column: &'static str,
    holds: &'static str,
    on_erasure: OnErasure,
) -> PersonalColumn {
    PersonalColumn { table, column, holds, on_erasure }
}

/// The columns that hold personal data.
pub const PERSONAL_COLUMNS: &[PersonalColumn] = &[
    personal(
        "bookings",
        "booking_metadata",
        "passengers: name, e-mail address, telephone number, age, gender",
        OnErasure::Replaced,
    ),
    personal(
        "bookings",
        "user_id",
        "the number of the user who booked",
        OnErasure::Kept("accounts and refunds; only the issuer of tokens knows who it is"),
    ),
    personal(
        "bookings",
        "payment_reference_id",
        "the number of the payment",
        OnErasure::Kept("accounts and refunds"),
    ),
    personal(
        "passenger_changes",
        "was",
        "fields of passengers before they were corrected: name, e-mail address, telephone number",
        OnErasure::Deleted,
    ),
    personal(
        "messages",
        "recipient",
        "e-mail address or telephone number of passengers to whom a message went",
        OnErasure::Deleted,
    ),
    personal(
        "messages",
        "event_id",
        "what a message told; of a refund or dispute with its number",
        OnErasure::Deleted,
    ),
    personal("idempotency_keys", "user_id", "the user's number", OnErasure::Deleted),
    personal("idempotency_keys", "key", "the caller's name for the request", OnErasure::Deleted),
    personal(
        "idempotency_keys",
        "request_hash",
        "SHA-256 of the request, passengers included",
        OnErasure::Deleted,
    ),
    personal("request_keys", "owner", "the user's number", OnErasure::Deleted),
    personal("request_keys", "key", "the caller's name for the request", OnErasure::Deleted),
    personal("request_keys", "hash", "SHA-256 of the request", OnErasure::Deleted),
    personal(
        "payments",
        "reference",
        "the number of the payment",
        OnErasure::Kept("accounts and refunds"),
    ),
    personal(
        "payments",
        "method",
        "the gateway's token for a way to pay",
        OnErasure::Kept("refunds; it says nothing without the gateway, which erases it"),
    ),
    personal(
        "payments",
        "order_reference",
        "the number of the order's first payment",
        OnErasure::Kept("accounts and refunds"),
    ),
    personal(
        "payments",
        "gateway_reference",
        "the gateway's name for the payment",
        OnErasure::Kept("accounts and refunds"),
    ),
    personal(
        "payments",
        "return_url",
        "the page to which the payer returned",
        OnErasure::Kept("it is a page of the service or of RETURN_ORIGINS"),
    ),
    personal(
        "payments",
        "next_action",
        "the page, or the gateway's secret, with which the payer acted",
        OnErasure::Kept("it says nothing without the gateway, which erases it"),
    ),
    personal("refunds", "id", "the number of the refund", OnErasure::Kept("accounts and refunds")),
    personal(
        "refunds",
        "payment_reference_id",
        "the number of the payment",
        OnErasure::Kept("accounts and refunds"),
    ),
    personal(
        "refunds",
        "gateway_reference",
        "the gateway's name for the refund",
        OnErasure::Kept("accounts and refunds"),
    ),
    personal(
        "gateway_ledger",
        "reference",
        "the number of the payment",
        OnErasure::Kept("the simulated gateway's books"),
    ),
    personal(
        "gateway_ledger",
        "method",
        "the gateway's token for a way to pay",
        OnErasure::Kept("the simulated gateway's books"),
    ),
    personal(
        "gateway_challenges",
        "reference",
        "the number of the payment",
        OnErasure::Kept("the simulated gateway's books"),
    ),
    personal(
        "gateway_challenges",
        "method",
        "the gateway's token for a way to pay",
        OnErasure::Kept("the simulated gateway's books"),
    ),
    personal(
        "gateway_challenges",
        "return_url",
        "the page to which the payer returned",
        OnErasure::Kept("the simulated gateway's books"),
    ),
    personal(
        "gateway_refunds",
        "id",
        "the number of the refund",
        OnErasure::Kept("the simulated gateway's books"),
    ),
    personal(
        "gateway_refunds",
        "reference",
        "the number of the payment",
        OnErasure::Kept("the simulated gateway's books"),
    ),
    personal(
        "waitlist",
        "passengers",
        "passengers of a party that waits; its booking takes them over",
        OnErasure::Replaced,
    ),
    personal(
        "waitlist",
        "user_id",
        "the number of the user who waits",
        OnErasure::Kept("the order of the line; only the issuer of tokens knows who it is"),
    ),
    personal(
        "waitlist",
        "payment_method",
        "the gateway's token for a way to pay",
        OnErasure::Kept("it says nothing without the gateway, which erases it"),
    ),
    personal(
        "waitlist",
        "payment_reference_id",
        "the number of the payment",
        OnErasure::Kept("accounts and refunds"),
    ),
    personal(
        "webhooks",
        "owner",
        "the number of the user whose token made it",
        OnErasure::Kept("a partner's business; only the issuer of tokens knows who it is"),
    ),
    personal(
        "webhooks",
        "url",
        "a partner's address for events",
        OnErasure::Kept("a partner's business, deleted with the webhook"),
    ),
    personal(
        "deliveries",
        "payload",
        "events: numbers of users, bookings and payments, never passengers",
        OnErasure::Kept("deleted after WEBHOOK_RETENTION"),
    ),
    personal(
        "outbox",
        "body",
        "messages: numbers of users, bookings and payments, never passengers",
        OnErasure::Kept("deleted within moments, once the topics have them"),
    ),
    personal(
        "event_log",
        "body",
        "events: numbers of flights, bookings and payments, never passengers",
        OnErasure::Kept("deleted after EVENT_RETENTION"),
    ),
    personal(
        "erasures",
        "user_id",
        "the number of the user whose data were erased",
        OnErasure::Kept("the proof that it was done"),
    ),
];

/// The columns without personal data, by table.
pub const OTHER_COLUMNS: &[(&str, &[&str])] = &[
    (
        "flights",
        &[
            "id",
            "flight_number",
            "source",
            "destination",
            "route",
            "timestamp",
            "arrival_timestamp",
            "available_seats",
            "held_seats",
            "blocked_seats",
            "total_seats",
            "flight_status",
            "price",
            "taxes",
            "fare_rules",
            "currency",
            "waiting",
            "serve_due",
            "gathers_until",
            "passed",
            "passed_max",
            "version",
            "created_at",
            "updated_at",
        ],
    ),
    (
        "bookings",
        &[
            "id",
            "flight_id",
            "status",
            "failure_reason",
            "order_id",
            "segment",
            "segments",
            "booking_price",
            "booking_taxes",
            "fee",
            "fare_rules",
            "sold_departure",
            "sold_at",
            "replaces",
            "has_changes",
            "seats_booked",
            "cancelled_passengers",
            "extended",
            "version",
            "hold_expires_at",
            "created_at",
            "updated_at",
            "erased_at",
        ],
    ),
    (
        "payments",
        &[
            "amount",
            "currency",
            "attempt",
            "kind",
            "status",
            "waits_for",
            "dispute",
            "decline_reason",
            "gateway",
            "version",
            "hold_expires_at",
            "created_at",
            "updated_at",
            "traceparent",
        ],
    ),
    (
        "refunds",
        &[
            "booking_id",
            "amount",
            "reason",
            "status",
            "attempts",
            "created_at",
            "updated_at",
            "version",
        ],
    ),
    ("sales", &["flight_id", "day", "sold", "returned"]),
    ("sales_counted", &["flight_id", "up_to", "versions"]),
    (
        "waitlist",
        &[
            "id",
            "flight_id",
            "place",
            "seats",
            "mode",
            "max_price",
            "until",
            "status",
            "reason",
            "overtaken",
            "passed_before",
            "gathers_until",
            "created_at",
            "updated_at",
            "version",
        ],
    ),
    ("gateway_ledger", &["amount", "state", "updated_at"]),
    ("gateway_challenges", &["amount", "currency", "verdict", "updated_at"]),
    ("gateway_refunds", &["amount", "updated_at"]),
    ("idempotency_keys", &["booking_id", "created_at"]),
    ("request_keys", &["route", "made", "created_at"]),
    ("outbox", &["id", "lane", "messages", "since"]),
    ("event_log", &["first", "messages", "written_at"]),
    ("outdated_answers", &["id", "body"]),
    ("cancelled_flights", &["flight_id"]),
    ("fare_rules", &["name", "version", "rows", "created_at"]),
    ("flight_moves", &["flight_id", "version", "was", "departs_at", "moved_at"]),
    ("flight_cancellations", &["flight_id", "cancelled_at"]),
    ("passenger_changes", &["booking_id", "version", "place", "changed_at"]),
    (
        "messages",
        &[
            "id",
            "channel",
            "booking_id",
            "type",
            "status",
            "attempts",
            "next_attempt_at",
            "message_id",
            "created_at",
            "updated_at",
        ],
    ),
    ("money_unit", &["id", "decimals"]),
    ("reference_key", &["id", "key"]),
    ("route_keys", &["id", "rule", "done_to"]),
    (
        "webhooks",
        // The secrets are kept as they are, since they sign.
        &[
            "id",
            "types",
            "secret",
            "old_secret",
            "old_secret_until",
            "status",
            "failing_since",
            "created_at",
        ],
    ),
    (
        "deliveries",
        &[
            "id",
            "webhook_id",
            "event_id",
            "type",
            "flight_id",
            "status",
            "attempts",
            "response_status",
            "next_attempt_at",
            "at",
        ],
    ),
    ("erasures", &["id", "began_at", "ended_at", "bookings", "keys", "kept"]),
];
