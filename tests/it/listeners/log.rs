//! The topic of events as it lies in Kafka, and what the rows say that it must have.

use super::TYPES;
use super::changes::Changed;
use super::heard::{Heard, first_of_each};
use crate::support::kafka;
use crate::support::replicas::Replicas;
use serde_json::Value;
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Each event that the bookings' and refunds' rows must have caused. A booking that was paid and cancelled has a refund.
const EXPECTED: &str = "
    SELECT 'booking.completed/' || id FROM bookings AS b
     WHERE status = 'completed'
        OR status = 'cancelled' AND EXISTS (SELECT FROM refunds WHERE booking_id = b.id)
    UNION ALL SELECT 'booking.failed/' || id FROM bookings WHERE status = 'failed'
    UNION ALL SELECT 'booking.cancelled/' || id FROM bookings WHERE status = 'cancelled'
    UNION ALL SELECT 'refund.requested/' || id || '/1' FROM refunds
    UNION ALL SELECT 'refund.done/' || id || '/' || version FROM refunds WHERE status = 'done'";

/// Mails to each address: what became of its booking, and its refund.
const MAILS: &str = "
    SELECT 'p' || user_id || '@example.com',
           CASE WHEN status = 'cancelled' AND EXISTS (SELECT FROM refunds WHERE booking_id = b.id)
                THEN 3 ELSE 1 END
      FROM bookings AS b";

pub struct Log {
    /// The ids of events of each flight, in their order.
    events: Heard,
    /// The flight of each event.
    flights: HashMap<String, i64>,
    /// Prices that events of flights have.
    prices: BTreeMap<i64, BTreeSet<usize>>,
}

impl Log {
    pub async fn read(replicas: &Replicas) -> Self {
        let (brokers, topic) =
            (replicas.setting("KAFKA_BROKERS"), replicas.setting("KAFKA_TOPIC_EVENTS"));
        let count = kafka::count(brokers, topic).await;
        let mut log =
            Self { events: Heard::new(), flights: HashMap::new(), prices: BTreeMap::new() };
        for message in kafka::stored(brokers, topic, count as usize).await {
            let header = |name| message.headers.get(name).expect("a header").to_owned();
            let (kind, id) = (header("ce_type"), header("ce_id"));
            assert!(TYPES.contains(&&*kind), "{kind}");
            let key = String::from_utf8(message.key.expect("a key")).expect("a number");
            let flight = key.parse().expect("a flight");
            log.events.entry(flight).or_default().push(id.clone());
            log.flights.insert(id, flight);
            if kind == "flight.updated" {
                let body: Value =
                    serde_json::from_slice(&message.payload.expect("a payload")).expect("JSON");
                let price = body["price"].as_f64().expect("a price");
                log.prices.entry(flight).or_default().insert(price as usize);
            }
        }
        log
    }

    /// All events of each flight, once each.
    pub fn all(&self) -> Heard {
        first_of_each(&self.events)
    }

    /// Those of the flights themselves, which their streams show, without the first, which came before them.
    pub fn of_flights(&self) -> Heard {
        let mut all = self.all();
        for ids in all.values_mut() {
            ids.retain(|id| id.starts_with("flight.updated/"));
        }
        all
    }

    /// These events by flight.
    pub fn by_flight(&self, ids: Vec<String>) -> Heard {
        let mut heard = Heard::new();
        for id in ids {
            let flight = *self.flights.get(&id).unwrap_or_else(|| panic!("{id} is not in the log"));
            heard.entry(flight).or_default().push(id);
        }
        heard
    }

    /// Events, once each.
    pub fn events(&self) -> usize {
        self.flights.len()
    }

    /// How often one was published again.
    pub fn doubles(&self) -> usize {
        self.events.values().map(Vec::len).sum::<usize>() - self.events()
    }

    /// The log has the events of all rows and of all that was answered, and no others.
    pub async fn expect_what_rows_say(&self, database: &mut PgConnection, changed: &Changed) {
        let expected: Vec<String> =
            sqlx::query_scalar(EXPECTED).fetch_all(&mut *database).await.expect("ids");
        let expected: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
        let published = self.flights.keys().map(String::as_str);
        let published: BTreeSet<&str> = published.filter(|id| !id.starts_with("flight.")).collect();
        let differs: Vec<_> = expected.symmetric_difference(&published).collect();
        assert!(differs.is_empty(), "{differs:?}");
        assert_eq!(self.prices, changed.prices);
        for (ids, status) in [(&changed.booked, None), (&changed.cancelled, Some("cancelled"))] {
            let ids: Vec<i64> = ids.iter().copied().collect();
            let stored = "SELECT count(*) FROM bookings WHERE id = ANY($1) AND status = coalesce($2, status)";
            let stored = sqlx::query_scalar::<_, i64>(stored).bind(&ids).bind(status);
            assert_eq!(stored.fetch_one(&mut *database).await.expect("a count"), ids.len() as i64);
        }
    }

    /// How many mails each address gets.
    pub async fn mails(&self, database: &mut PgConnection) -> BTreeMap<String, usize> {
        let rows: Vec<(String, i32)> =
            sqlx::query_as(MAILS).fetch_all(database).await.expect("mails");
        rows.into_iter().map(|(address, mails)| (address, mails as usize)).collect()
    }
}
