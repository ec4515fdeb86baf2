//! All listeners at once, while people change things on two replicas, one of which is killed every two seconds: a reader
//! of the log, streams, a partner's webhook and travellers' mails. Each hears of every event, in the order of each
//! flight, and no mail is sent twice but for one a kill.
//!
//! `tests/run` makes some hundred changes; `LISTENED_CHANGES=50000` says how many.

mod changes;
mod heard;
mod log;
mod reader;
mod streams;

use crate::support::airline::Airline;
use crate::support::proxy::Proxy;
use crate::support::receiver::Receiver;
use crate::support::smtp::SmtpPeer;
use crate::support::{eventually, within};
use changes::Changing;
use fastrand::Rng;
use heard::{Heard, first_of_each};
use log::Log;
use reader::Reader;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};
use streams::Streams;

const KILL_EVERY: Duration = Duration::from_secs(2);
const KILLS_MIN: usize = 3;

/// How long the partner's server is away when it starts again, and how many kills there are between two such times.
const PARTNER_AWAY: Duration = Duration::from_millis(300);
const PARTNER_AWAY_EVERY: usize = 3;

/// Beside `SMTP_URL`.
const SETTINGS: [(&str, &str); 3] = [
    ("MAIL_FROM", "tickets@airline.example"),
    ("MESSAGE_TIMEOUT", "2s"),
    ("WEBHOOK_ALLOW_PRIVATE", "true"),
];

/// How long the last listener may take to hear of everything: a delivery that failed twice waits a minute.
const DEADLINE: Duration = Duration::from_secs(600);

/// The types that the partner wants: those of the changes.
const TYPES: [&str; 7] = [
    "flight.created",
    "flight.updated",
    "booking.completed",
    "booking.failed",
    "booking.cancelled",
    "refund.requested",
    "refund.done",
];

/// What is under way in the engine and in the relay.
const OPEN: &str = "
    SELECT (SELECT count(*) FROM payments WHERE status IN ('requested', 'reversal_requested'))
         + (SELECT count(*) FROM refunds WHERE status = 'requested')
         + (SELECT count(*) FROM outbox)";

/// How much happens.
struct Scale {
    changes: usize,
    flights: usize,
    /// One in so many events fails at the receiver when it comes for the first time.
    one_fails_in: u32,
}

impl Scale {
    fn of_run() -> Self {
        match std::env::var("LISTENED_CHANGES").ok() {
            None => Self { changes: 600, flights: 8, one_fails_in: 60 },
            Some(changes) => {
                Self { changes: changes.parse().expect("a number"), flights: 40, one_fails_in: 500 }
            }
        }
    }
}

/// All who listen.
struct Listeners {
    reader: Reader,
    streams: Streams,
    partner: Receiver,
    smtp: SmtpPeer,
}

impl Listeners {
    /// The number of mails, and of those that were sent twice, once all have heard of all.
    async fn expect_all(&self, log: &Log, database: &mut PgConnection) -> (usize, usize) {
        expect(log.all(), "the reader", || self.reader.heard()).await;
        expect(log.all(), "the partner", || log.by_flight(self.partner.ids())).await;
        expect(log.of_flights(), "the streams", || self.streams.heard()).await;
        let mails = log.mails(database).await;
        let count = mails.values().sum();
        within(DEADLINE, "all mails", async || {
            let sent = heard::mails(&self.smtp).len();
            if sent >= count { Ok(()) } else { Err(sent) }
        })
        .await;
        (count, heard::expect_mails(&self.smtp, &mails))
    }
}

/// Waits until a listener has heard of all these events; then it has heard of no others, and in this order.
async fn expect(expected: Heard, who: &str, heard: impl Fn() -> Heard) {
    within(DEADLINE, format!("all events at {who}"), async || {
        let seen = first_of_each(&heard());
        let left = |(flight, ids): (&i64, &Vec<String>)| {
            ids.len().saturating_sub(seen.get(flight).map_or(0, Vec::len))
        };
        match expected.iter().map(left).sum::<usize>() {
            0 => Ok(()),
            left => Err(format!("{left} events are left")),
        }
    })
    .await;
    assert_eq!(first_of_each(&heard()), expected, "{who}");
}

/// Kills one replica after the other until all is changed, and cuts the partner off at times. Gives the number of kills.
async fn under_kills(airline: &mut Airline, way: &Proxy, changing: &Changing) -> usize {
    let mut kills = 0;
    let mut due = tokio::time::interval(KILL_EVERY);
    due.tick().await;
    while kills < KILLS_MIN || !changing.have_finished() {
        due.tick().await;
        airline.kill(kills).await;
        if kills % PARTNER_AWAY_EVERY == 0 {
            way.cut();
            tokio::time::sleep(PARTNER_AWAY).await;
            way.mend();
        }
        airline.restart(kills).await;
        kills += 1;
    }
    kills
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "its figures are what a long run is for")]
async fn every_listener_hears_of_everything_in_order_while_replicas_are_killed() {
    let (scale, smtp, partner) =
        (Scale::of_run(), SmtpPeer::start().await, Receiver::start().await);
    let way = Proxy::start("127.0.0.1:0", &partner.address).await;
    partner.misbehave(7, scale.one_fails_in);
    let smtp_url = smtp.url();
    let settings = [("SMTP_URL", &*smtp_url)].into_iter().chain(SETTINGS).collect::<Vec<_>>();
    let mut airline = Airline::start(&settings).await;
    let asker = airline.asker.clone();
    let hook = json!({"url": format!("http://{}/hook", way.address), "types": TYPES});
    asker.post("/webhooks", "hook", &hook, &mut Rng::with_seed(1)).await.expect("a webhook");
    let reader = Reader::start(&asker);
    let mut flights = Vec::new();
    for _ in 0..scale.flights {
        flights.push(asker.add_flight(9_000).await);
    }
    let streams = Streams::start(&asker, &flights);
    eventually("streams of all flights", async || streams.opened() >= flights.len()).await;
    let listeners = Listeners { reader, streams, partner, smtp };

    let began = Instant::now();
    let changing = Changing::start(&asker, &flights, scale.changes);
    let kills = under_kills(&mut airline, &way, &changing).await;
    let changed = changing.finish().await;
    let changed_in = began.elapsed();
    let url = airline.replicas.setting("DATABASE_URL").to_owned();
    let mut database = PgConnection::connect(&url).await.expect("a connection");
    comes_to_rest(&mut database).await;
    let log = Log::read(&airline.replicas).await;
    log.expect_what_rows_say(&mut database, &changed).await;
    let (mails, doubles) = listeners.expect_all(&log, &mut database).await;
    assert!(doubles <= kills, "{doubles} mails were sent twice, with {kills} kills");
    println!(
        "{} changes in {changed_in:.1?}, {kills} kills: {} events, {} in the log twice; the webhook got {} calls, the \
         streams were opened {} times; {mails} mails, {doubles} of them twice; all had heard of all {:.1?} after the start",
        scale.changes,
        log.events(),
        log.doubles(),
        listeners.partner.ids().len(),
        listeners.streams.opened(),
        began.elapsed(),
    );
    airline.replicas.audit().await;
}

/// Waits until the engine and the relay have nothing to do.
async fn comes_to_rest(database: &mut PgConnection) {
    within(DEADLINE, "an end of all that is under way", async || {
        let open = sqlx::query_scalar::<_, i64>(OPEN).fetch_one(&mut *database).await;
        match open.expect("a count") {
            0 => Ok(()),
            open => Err(open),
        }
    })
    .await;
}
