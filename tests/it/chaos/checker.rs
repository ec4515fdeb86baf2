//! Compares what clients remember with the database, the topics and the gateway's ledger.

use super::clients::Wish;
use super::deployment::Deployment;
use super::report::Report;
use crate::support::kafka;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// How long everything may take to come to rest, once no fault is left.
const REST_MAX: Duration = Duration::from_secs(120);

struct Stored {
    id: i64,
    user_id: i64,
    payment_reference_id: String,
    status: String,
    failure_reason: Option<String>,
    /// Whether the gateway keeps the price of all completed bookings under the reference, and no more.
    is_paid: bool,
}

/// The columns of a booking, in the order of [`STORED`].
type StoredRow = (i64, i64, String, String, Option<String>, bool);

const STORED: &str = "
    SELECT b.id, b.user_id, b.payment_reference_id, b.status, b.failure_reason,
           COALESCE(l.state = 'captured' AND l.amount - r.amount =
               sum(b.booking_price) FILTER (WHERE b.status = 'completed')
                   OVER (PARTITION BY b.payment_reference_id), false) AS is_paid
      FROM bookings b LEFT JOIN gateway_ledger l ON l.reference = b.payment_reference_id
     CROSS JOIN LATERAL (SELECT COALESCE(sum(amount), 0) AS amount FROM gateway_refunds
                          WHERE reference = b.payment_reference_id) AS r";

const UNREFUNDED: &str = "
    SELECT reference FROM gateway_ledger l
     WHERE state = 'captured' AND NOT EXISTS (
           SELECT FROM bookings WHERE payment_reference_id = l.reference AND status = 'completed')
       AND amount <> (SELECT COALESCE(sum(amount), 0) FROM gateway_refunds WHERE reference = l.reference)";

const OPEN: &str = "
    SELECT (SELECT count(*) FROM bookings WHERE status = 'pending')
         + (SELECT count(*) FROM payments WHERE status IN ('requested', 'reversal_requested'))
         + (SELECT count(*) FROM refunds WHERE status = 'requested')
         + (SELECT count(*) FROM outbox) + (SELECT count(*) FROM outdated_answers)";

/// The age in seconds of the payment that has been open for the longest time.
const OLDEST: &str = "
    SELECT COALESCE(extract(epoch FROM now() - min(created_at)), 0)::float8 FROM payments
     WHERE status = 'requested'";

/// How long a payment may be open while one fault of some seconds follows the other: well below a hold's five
/// minutes. A consumer that is stuck is replaced after three checks, of which faults delay some.
const OPEN_MAX: Duration = Duration::from_secs(180);

/// What keeps payments open for too long; nothing while the database is away.
pub async fn look_for_a_stop(deployment: &Deployment) -> Option<String> {
    let mut database = PgConnection::connect(deployment.setting("DATABASE_URL")).await.ok()?;
    let oldest: f64 = sqlx::query_scalar(OLDEST).fetch_one(&mut database).await.ok()?;
    if oldest < OPEN_MAX.as_secs_f64() {
        return None;
    }
    let positions = positions(deployment).await.join("; ");
    Some(format!("a payment is open for {oldest} s; {positions}"))
}

/// Waits until all is quiet, and checks everything.
pub async fn check(deployment: &Deployment, report: &mut Report) {
    let database = PgConnection::connect(deployment.setting("DATABASE_URL")).await;
    let mut database = database.expect("a connection");
    let began = Instant::now();
    let mut open = i64::MAX;
    while open > 0 && began.elapsed() < REST_MAX {
        open = sqlx::query_scalar(OPEN).fetch_one(&mut database).await.expect("a count");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    if open > 0 {
        report
            .oddities
            .push(format!("{open} rows are still open {REST_MAX:?} after the last fault"));
    }
    if open > 0 {
        report.oddities.extend(positions(deployment).await);
    }
    report.rest = began.elapsed();

    let rows = sqlx::query_as(STORED).fetch_all(&mut database).await.expect("rows");
    let rows: Vec<_> = rows.into_iter().map(Stored::of).collect();
    report.unrefunded =
        sqlx::query_scalar(UNREFUNDED).fetch_all(&mut database).await.expect("rows");
    let mut of_user: HashMap<i64, Vec<&Stored>> = HashMap::new();
    for row in &rows {
        let reason = row.failure_reason.as_deref().unwrap_or_default();
        *report
            .ends
            .entry(format!("{} {reason}", row.status).trim_end().to_owned())
            .or_default() += 1;
        of_user.entry(row.user_id).or_default().push(row);
    }
    let completed = rows.iter().filter(|row| row.status == "completed" && !row.is_paid);
    report.unpaid = completed.map(|row| format!("booking {}", row.id)).collect();
    let histories = std::mem::take(&mut report.histories);
    for wish in &histories.wishes {
        check_wish(wish, of_user.get(&wish.user).map_or(&[], Vec::as_slice), report);
    }
    report.histories = histories;
    check_topic(deployment, &rows, report).await;
    let (code, printed) = deployment.audit().await;
    if code != 0 {
        report.oddities.push(format!("the audit ends with {code}: {printed}"));
    }
}

impl Stored {
    fn of(row: StoredRow) -> Self {
        let (id, user_id, payment_reference_id, status, failure_reason, is_paid) = row;
        Self { id, user_id, payment_reference_id, status, failure_reason, is_paid }
    }
}

/// How far the groups are on the topics of payments: what is open may wait there.
async fn positions(deployment: &Deployment) -> Vec<String> {
    let mut positions = Vec::new();
    for (topic, group) in [
        ("KAFKA_TOPIC_PAYMENT_REQUESTS", "KAFKA_PAYMENT_GROUP_ID"),
        ("KAFKA_TOPIC_PAYMENTS", "KAFKA_GROUP_ID"),
    ] {
        let (name, group) = (deployment.setting(topic), deployment.setting(group));
        let of_each = kafka::positions(&deployment.kafka.brokers, name, group).await;
        positions.push(format!("{topic}: {}", of_each.join("; ")));
    }
    positions
}

fn check_wish(wish: &Wish, stored: &[&Stored], report: &mut Report) {
    let same = |answer: &(i64, String)| *answer == wish.answers[0];
    if stored.len() > 1 || !wish.answers.iter().all(same) {
        report.doubled.push(format!("{} bookings: {wish:?}", stored.len()));
    }
    let Some((id, reference)) = wish.answers.first() else {
        if wish.is_refused && !wish.is_unsure && !stored.is_empty() {
            report.oddities.push(format!("refused and yet stored as {}: {wish:?}", stored[0].id));
        }
        return;
    };
    report.accepted += 1;
    let found = stored.iter().find(|row| row.id == *id && row.payment_reference_id == *reference);
    let Some(booking) = found else {
        report.lost.push(format!("missing: {wish:?}"));
        return;
    };
    let is_declined = wish.body["payment_method"] == "pm_card_declined";
    let end = (booking.status.as_str(), booking.failure_reason.as_deref());
    let is_sound = match end {
        ("completed", None) => !is_declined && wish.cancelled != Some(true),
        ("failed", Some("payment_declined")) => is_declined && wish.cancelled != Some(true),
        ("cancelled", None) => wish.cancelled.is_some(),
        _ => false,
    };
    if !is_sound {
        report.lost.push(format!("ended as {end:?}: {wish:?}"));
    }
}

/// The end of every booking is on the topic of events.
async fn check_topic(deployment: &Deployment, rows: &[Stored], report: &mut Report) {
    let (brokers, topic) = (&deployment.kafka.brokers, deployment.setting("KAFKA_TOPIC_EVENTS"));
    let count = kafka::count(brokers, topic).await;
    let messages = kafka::stored(brokers, topic, usize::try_from(count).unwrap_or_default()).await;
    let payloads = messages.iter().filter_map(|message| message.payload.as_deref());
    let told: HashSet<(i64, String)> = payloads
        .filter_map(|payload| serde_json::from_slice::<Value>(payload).ok())
        .filter_map(|event| Some((event["id"].as_i64()?, event["status"].as_str()?.to_owned())))
        .collect();
    report.messages = messages.len();
    for row in rows {
        if !told.contains(&(row.id, row.status.clone())) {
            let missing = format!("no message says that booking {} is {}", row.id, row.status);
            report.lost.push(missing);
        }
    }
}
