//! A commit's writes: a set of rows per table, all in one statement.
//!
//! Every statement is a round trip to the writer's thread, for which all later commits wait. So the writer
//! has a view with a column per set, and a trigger that writes the sets of each row inserted there: a
//! commit is one statement, and so one transaction. (A set is JSON. `jsonb_each` returns its rows in
//! SQLite's binary format; each column would parse the text of `json_each` again.)

use super::entries::{insert_entries, update_entries};
use super::key_sets::{upsert_keys, upsert_requests};
use super::sets::{
    Set, insert_attempts, insert_bookings, insert_moves, insert_payments, insert_refunds,
    rewrite_bookings, update_attempts, update_bookings, update_flights, update_payments,
    update_refunds, update_seats,
};
use crate::rules::{ChangeSet, NetChanges, PendingLimit};
use crate::store::roles::outbox;
use crate::store::rows::micros;
use crate::store::rows::sql::json;
use crate::store::sqlite::roles::outbox::NewRow;
use crate::store::{Lane, StoreError};
use serde::Serialize;
use sqlx::{AssertSqlSafe, SqliteConnection};
use std::sync::LazyLock;

/// A commit's writes, ready to bind.
pub(in crate::store) struct Writes {
    sets: [Set; 16],
    /// The messages of each lane.
    outbox: [Option<NewRow>; Lane::ALL.len()],
    /// The invalidation of cached answers.
    outdated: Option<String>,
    /// Maximum pending seats before the commit, of users with a limit.
    limits: Option<String>,
}

/// The statement of every commit: a parameter per column of the view.
static INSERT: LazyLock<String> = LazyLock::new(|| {
    let parameters = 1..=Writes::nothing().columns().len();
    let parameters: Vec<_> = parameters.map(|number| format!("${number}")).collect();
    format!("INSERT INTO commits VALUES ({})", parameters.join(", "))
});

impl Writes {
    pub(in crate::store) fn of(folded: &NetChanges, changes: &ChangeSet) -> Self {
        let (new_payments, payments): (Vec<_>, Vec<_>) =
            folded.payments.iter().partition(|change| change.was.is_none());
        let (new_bookings, bookings): (Vec<_>, Vec<_>) =
            folded.bookings.iter().partition(|change| change.was.is_none());
        let (whole_bookings, bookings): (Vec<_>, Vec<_>) =
            bookings.into_iter().partition(|change| change.after.is_rewritten);
        let (attempts, payments): (Vec<_>, Vec<_>) =
            payments.into_iter().partition(|change| change.after.has_several_steps());
        let (new_attempts, new_payments): (Vec<_>, Vec<_>) =
            new_payments.into_iter().partition(|change| change.after.has_several_steps());
        let (new_refunds, refunds): (Vec<_>, Vec<_>) =
            folded.refunds.iter().partition(|change| change.was.is_none());
        let (new_entries, entries): (Vec<_>, Vec<_>) =
            folded.entries.iter().partition(|change| change.was.is_none());
        let (seats, whole): (Vec<_>, Vec<_>) = folded
            .flights
            .iter()
            .partition(|change| change.after.differs_in_inventory_alone(&change.was));
        Self {
            sets: [
                update_seats(&seats),
                update_flights(&whole),
                insert_moves(&whole),
                insert_payments(&new_payments),
                update_payments(&payments),
                insert_attempts(&new_attempts),
                update_attempts(&attempts),
                insert_bookings(&new_bookings),
                update_bookings(&bookings),
                rewrite_bookings(&whole_bookings),
                insert_refunds(&new_refunds),
                update_refunds(&refunds),
                // First, so that a user's earlier entry is over before the next is active.
                update_entries(&entries),
                insert_entries(&new_entries),
                upsert_keys(&folded.idempotency),
                upsert_requests(&folded.requests),
            ],
            outbox: NewRow::of(&folded.events),
            outdated: outbox::invalidation_of(folded, changes)
                .as_ref()
                .map(outbox::invalidation_body),
            limits: (!folded.pending_limits.is_empty()).then(|| json(&limits(folded))),
        }
    }

    fn nothing() -> Self {
        Self::of(&NetChanges::default(), &ChangeSet::default())
    }

    /// Creates the view and its trigger, which last as long as the connection.
    pub(in crate::store) async fn prepare(writer: &mut SqliteConnection) -> Result<(), StoreError> {
        let sql = AssertSqlSafe(Self::nothing().view_and_trigger());
        sqlx::raw_sql(sql).execute(writer).await?;
        Ok(())
    }

    /// The view's columns, in the order in which [`Self::write`] binds their values.
    fn columns(&self) -> Vec<String> {
        let of_sets = self
            .sets
            .iter()
            .flat_map(|Set { name, .. }| [(*name).to_owned(), format!("{name}_rows")]);
        let of_lanes = Lane::ALL
            .map(Lane::as_str)
            .into_iter()
            .flat_map(|lane| [lane.to_owned(), format!("{lane}_count"), format!("{lane}_since")]);
        let others = ["outdated", "limits"].map(str::to_owned);
        of_sets.chain(of_lanes).chain(others).collect()
    }

    fn view_and_trigger(&self) -> String {
        // First, so that it counts the rows before this commit.
        let mut steps = vec![format!(
            "SELECT raise(ABORT, 'a user holds more seats unpaid than the commit was decided on')
              WHERE NEW.limits IS NOT NULL AND EXISTS (SELECT 1 FROM {});",
            exceeded("NEW.limits")
        )];
        for Set { name, statement, .. } in &self.sets {
            steps.push(format!(
                "{statement};
                 SELECT raise(ABORT, 'not every one of {name} is as it was decided on')
                  WHERE changes() <> NEW.{name}_rows;"
            ));
        }
        for lane in Lane::ALL.map(Lane::as_str) {
            steps.push(format!(
                "INSERT INTO outbox (lane, messages, since, body)
                 SELECT '{lane}', NEW.{lane}_count, NEW.{lane}_since, NEW.{lane}
                  WHERE NEW.{lane} IS NOT NULL;"
            ));
        }
        steps.push(
            "INSERT INTO outdated_answers (body)
             SELECT NEW.outdated WHERE NEW.outdated IS NOT NULL;"
                .to_owned(),
        );
        let columns: Vec<_> =
            self.columns().iter().map(|column| format!("NULL AS {column}")).collect();
        format!(
            "CREATE TEMP VIEW commits AS SELECT {};
             CREATE TEMP TRIGGER write_commit INSTEAD OF INSERT ON commits BEGIN {} END",
            columns.join(", "),
            steps.join(" "),
        )
    }

    /// Writes everything. Fails with [`StoreError::Refused`], and writes nothing, if a row is stale.
    pub(in crate::store) async fn write(
        self,
        writer: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        let mut insert = sqlx::query(INSERT.as_str());
        for set in self.sets {
            insert = insert.bind(set.json).bind(set.rows as i64);
        }
        for row in self.outbox {
            let (count, since) = row.as_ref().map(|row| (row.messages, row.since)).unzip();
            insert = insert.bind(row.map(|row| row.body)).bind(count).bind(since);
        }
        insert.bind(self.outdated).bind(self.limits).execute(writer).await?;
        Ok(())
    }
}

/// The limits on pending seats, as rows.
pub(super) fn limits(folded: &NetChanges) -> Vec<impl Serialize> {
    let row = |limit: &PendingLimit| {
        (limit.holder.0, limit.holder.1, limit.pending_max, micros(limit.at))
    };
    folded.pending_limits.iter().map(row).collect()
}

/// Those of such rows (`c`) whose limit is exceeded.
pub(super) fn exceeded(rows: &str) -> String {
    format!(
        "json_each({rows}) AS c
          WHERE c.value ->> 2 < (
                SELECT coalesce(sum(b.seats_booked), 0) FROM bookings AS b
                 WHERE b.flight_id = c.value ->> 0 AND b.user_id = c.value ->> 1
                   AND b.hold_expires_at > c.value ->> 3 AND b.status = 'pending')"
    )
}
