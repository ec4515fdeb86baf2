//! Rows about what those who listen cost a booking, at half load: readers of the log, streams, a webhook, mails, and all of
//! them, each beside the same load with nobody.

mod heard;

use super::half_load::{CONNECTIONS, hears, request};
use super::{Bench, SEATS, WARM_UP};
use crate::client::{self, Pace, Plan};
use crate::load::Load;
use crate::process::Server;
use crate::report::{Measured, median};
use crate::usage::{self, Meter, Used};
use anyhow::ensure;
use heard::Listeners;
use std::time::Duration;

const ROW: &str = "POST to completed at half load, listeners";

/// How long listeners may take until they hear the first event.
const FIRST_MAX: Duration = Duration::from_secs(30);

/// Who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Nobody,
    Reader,
    Streams,
    Webhook,
    Mail,
    All,
}

impl Who {
    const ALL: [Self; 5] = [Self::Reader, Self::Streams, Self::Webhook, Self::Mail, Self::All];

    fn row(self) -> String {
        format!("{ROW}: {}", self.name())
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Reader => "a reader of the log",
            Self::Streams => "40 streams",
            Self::Webhook => "a webhook",
            Self::Mail => "mails",
            Self::All => "all of them",
        }
    }

    fn is(self, other: Self) -> bool {
        self == other || self == Self::All
    }
}

/// What one turn came to.
struct Turn {
    load: Load,
    used: Vec<Used>,
    /// Microseconds of processor time for each booking, of all but the load and those who listen.
    cost: f64,
    /// Events heard for each booking.
    heard: f64,
}

impl Bench {
    pub(super) fn wants_listeners(&self) -> bool {
        Who::ALL.into_iter().any(|who| self.wants_long(&who.row()))
    }

    pub(super) async fn listeners(&mut self) -> anyhow::Result<()> {
        let sustained = self.sustained_shared().await?;
        for who in Who::ALL {
            let row = who.row();
            if !self.wants(&row) {
                continue;
            }
            let bar = self.progress(&row);
            let (mut ratios, mut heard, mut loads) = (Vec::new(), Vec::new(), Vec::new());
            let (mut used, mut alone) = (Vec::new(), Vec::new());
            for _ in 0..self.turns {
                let nobody = self.turn_with(Who::Nobody, sustained / 2.0).await?;
                let turn = self.turn_with(who, sustained / 2.0).await?;
                ratios.push(turn.cost / nobody.cost);
                alone.push(nobody.load.p99);
                heard.push(turn.heard);
                loads.push(turn.load);
                used = turn.used;
                bar.inc(1);
            }
            let (p99, heard) = (median(&alone), median(&heard));
            let note = format!("{heard:.2} heard a booking; alone p99 {p99:.0} ms");
            self.report.add(Measured::loads(&row, &loads, &note).beside(&ratios).using(used));
        }
        Ok(())
    }

    /// A deployment of its own under that rate of bookings.
    async fn turn_with(&self, who: Who, rate: f64) -> anyhow::Result<Turn> {
        let deployment = self.services.shared(SEATS).await?;
        let mut listeners = Listeners::start().await?;
        let mut settings = deployment.settings_and("MAX_WAITING", "100000");
        settings.extend(listeners.settings(who));
        let server = Server::start(deployment.directory.path(), &settings).await?;
        listeners.listen(&server.base, who).await?;
        hears(&server).await?;
        let plan = Plan {
            pace: Pace::Rate(rate),
            time: WARM_UP,
            connections: CONNECTIONS,
            wanted: "\"completed\"",
        };
        client::run(&server.base, plan, request).await?;
        listeners.has_heard(who, FIRST_MAX).await?;
        let (meter, before) = (Meter::start(&[&server], Some(&self.services))?, listeners.heard());
        let outcome =
            client::run(&server.base, Plan { time: self.load_for, ..plan }, request).await?;
        let (used, heard) = (meter.stop()?, listeners.heard() - before);
        outcome.all_are(201)?;
        let (load, booked) = (outcome.load(&[201]), outcome.count(201) as f64);
        ensure!(who == Who::Nobody || heard > 0, "nobody heard anything");
        drop(listeners);
        server.stop().await?;
        deployment.audit().await?;
        self.services.drop(deployment).await?;
        let cost = usage::cost(&used, None, booked);
        Ok(Turn { load, used, cost, heard: heard as f64 / booked })
    }
}
