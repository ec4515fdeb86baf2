//! Rows about a store of ten million flights: how long they take to import, how large they are, and
//! searches that no cache can answer.

use super::{Bench, SEATS, WARM_UP, steps};
use crate::client::{self, Pace, Plan};
use crate::http;
use crate::load::Load;
use crate::process::{self, Server};
use crate::report::Measured;
use crate::schedule::{Questions, Schedule};
use crate::services::Deployment;
use anyhow::{Context, ensure};
use indicatif::HumanCount;
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use std::time::Instant;

/// Searches and readers of a closed loop.
const CLIENTS: usize = 8;

/// Connections at half load.
const CONNECTIONS: usize = 32;

impl Bench {
    pub(super) async fn scale(&mut self) -> anyhow::Result<()> {
        let deployment = self.services.shared(SEATS).await?;
        let schedule = Schedule::of(self.scale)?;
        let questions = schedule.questions()?;
        self.import_schedule(&deployment, schedule).await?;
        self.uncached_searches(&deployment, Arc::new(questions)).await?;
        self.many_bookings(&deployment).await
    }

    async fn import_schedule(
        &mut self,
        deployment: &Deployment,
        schedule: Schedule,
    ) -> anyhow::Result<()> {
        let name = format!("scale: import of {} flights", HumanCount(self.scale as u64));
        let bar = steps(&name, 1);
        let file = deployment.directory.path().join("schedule.csv");
        let target = file.clone();
        tokio::task::spawn_blocking(move || schedule.write(&target)).await??;
        let began = Instant::now();
        process::run(
            deployment.directory.path(),
            &deployment.settings,
            &["import", "schedule.csv"],
        )
        .await?;
        let took = began.elapsed().as_secs_f64();
        std::fs::remove_file(file)?;
        let row = Measured::plain(&name, self.scale as f64 / took, "/s", "");
        self.report.add(row.in_seconds(took));

        let url = deployment.database.as_deref().context("it is on PostgreSQL")?;
        let mut database = PgConnection::connect(url).await?;
        sqlx::raw_sql("VACUUM (ANALYZE) flights").execute(&mut database).await?;
        let (table, indexes): (i64, i64) =
            sqlx::query_as("SELECT pg_table_size('flights'), pg_indexes_size('flights')")
                .fetch_one(&mut database)
                .await?;
        let by_index: Vec<(String, i64)> = sqlx::query_as(
            "SELECT indexrelid::regclass::text, pg_relation_size(indexrelid) FROM pg_index
              WHERE indrelid = 'flights'::regclass ORDER BY 2 DESC",
        )
        .fetch_all(&mut database)
        .await?;
        let mut size = |name: &str, bytes: i64| {
            let mib = bytes as f64 / 1_048_576.0;
            self.report.add(Measured::plain(&format!("scale: {name}"), mib, "MiB", ""));
        };
        size("flights, the table", table);
        size("flights, all indexes", indexes);
        for (index, bytes) in by_index {
            size(&format!("index {index}"), bytes);
        }
        bar.inc(1);
        Ok(())
    }

    async fn uncached_searches(
        &mut self,
        deployment: &Deployment,
        questions: Arc<Questions>,
    ) -> anyhow::Result<()> {
        let name = "scale: search from the store";
        let server = Server::start(deployment.directory.path(), &deployment.settings).await?;
        let search = {
            let questions = questions.clone();
            // The real schedule has real dates, so none can be too late.
            move |number| http::get(&questions.path(number).unwrap_or_default())
        };
        let asked = self.closed_and_half(name, "\"flights\":[{", "p99 < 5 ms", &server, search);
        let asked = asked.await?;
        let hits = server.counter("cache_requests_total", "result=\"hit\"").await?;
        let repeated = asked.saturating_sub(questions.count() as u64) as f64;
        // Two that ask for one day at once share an answer.
        let shared = asked as f64 / 100.0;
        ensure!(hits <= repeated + shared, "{hits} of {asked} searches were answered by a cache");
        server.stop().await
    }

    /// Two rows: a closed loop of a few clients, and half of what it reached, each request another;
    /// gives how many there were.
    pub(super) async fn closed_and_half<R>(
        &mut self,
        name: &str,
        wanted: &'static str,
        budget: &str,
        server: &Server,
        request: R,
    ) -> anyhow::Result<u64>
    where
        R: Fn(usize) -> Vec<u8> + Clone + Send + Sync + 'static,
    {
        let bar = steps(name, 2);
        let plan = Plan { pace: Pace::Closed, time: WARM_UP, connections: CLIENTS, wanted };
        let warm = client::run(&server.base, plan, request.clone()).await?;
        let plan = Plan { time: self.load_for, ..plan };
        let (first, other) = (warm.total() as usize, request.clone());
        let closed = client::run(&server.base, plan, move |number| other(first + number)).await?;
        closed.all_are(200)?;
        let load: Load = closed.load(&[200]);
        self.report.add(Measured::loads(&format!("{name}, {CLIENTS} clients"), &[load], budget));
        bar.inc(1);

        let pace = Pace::Rate(load.rate / 2.0);
        let plan = Plan { pace, connections: CONNECTIONS, ..plan };
        let first = first + closed.total() as usize;
        let half = client::run(&server.base, plan, move |number| request(first + number)).await?;
        half.all_are(200)?;
        let load = half.load(&[200]);
        self.report.add(Measured::loads(&format!("{name}, half load"), &[load], budget));
        bar.inc(1);
        Ok(first as u64 + half.total())
    }
}
