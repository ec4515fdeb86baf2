//! Transactions on pooled connections: the only place where one begins.
//!
//! A future may be dropped at any await: its caller left or its time was up. The driver then returns the
//! connection to the pool without noticing that the server may have begun a transaction on it. The next
//! statement on that connection would run inside this transaction: acknowledged, but never committed.

use sqlx::pool::PoolConnection;
use sqlx::{Executor, PgConnection, PgPool, Postgres};
use std::ops::{Deref, DerefMut};

/// An open transaction. Its connection returns to the pool only after the server has confirmed the end of
/// the transaction. Dropping it earlier closes the connection, which rolls back.
pub(crate) struct Transaction {
    connection: PoolConnection<Postgres>,
    has_ended: bool,
}

/// Begins a transaction.
pub(crate) async fn begin(pool: &PgPool) -> Result<Transaction, sqlx::Error> {
    begin_with(pool, "BEGIN").await
}

/// Begins a transaction with this statement, e.g. one that sets the isolation level.
pub(in crate::store) async fn begin_with(
    pool: &PgPool,
    statement: &'static str,
) -> Result<Transaction, sqlx::Error> {
    let mut transaction = Transaction { connection: pool.acquire().await?, has_ended: false };
    transaction.execute(statement).await?;
    Ok(transaction)
}

impl Transaction {
    /// Commits, durably.
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.connection.execute("COMMIT").await?;
        self.has_ended = true;
        Ok(())
    }

    /// Rolls back and keeps the connection, unlike a drop.
    pub(crate) async fn roll_back(mut self) -> Result<(), sqlx::Error> {
        self.connection.execute("ROLLBACK").await?;
        self.has_ended = true;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.has_ended {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
