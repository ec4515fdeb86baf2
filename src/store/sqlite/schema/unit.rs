//! Checks and settles the decimals of the file's amounts.

use crate::domain::Currency;
use crate::store::StoreError;
use crate::store::schema::unit;
use crate::store::sqlite::connection::writer::{Tx, begin};
use sqlx::SqliteConnection;

/// Whether an amount in hundredths has a fraction.
const HAS_FRACTIONS: &str = "
SELECT EXISTS (SELECT 1 FROM flights WHERE price % 100 <> 0)
    OR EXISTS (SELECT 1 FROM bookings WHERE booking_price % 100 <> 0)";

/// Amounts that an earlier release kept in hundredths, whatever their currency.
const TO_THOUSANDTHS: [&str; 6] = [
    "UPDATE flights SET price = price * 10",
    "UPDATE bookings SET booking_price = booking_price * 10",
    "UPDATE payments SET amount = amount * 10",
    "UPDATE refunds SET amount = amount * 10",
    "UPDATE gateway_ledger SET amount = amount * 10",
    "UPDATE gateway_refunds SET amount = amount * 10",
];

/// Stores the decimals at the first start, and refuses a `CURRENCY` with others afterwards.
pub(in crate::store) async fn settle(
    connection: &mut SqliteConnection,
    currency: Currency,
) -> Result<(), StoreError> {
    let decimals = currency.decimals();
    if kept(connection).await? == Some(decimals.into()) {
        return Ok(());
    }
    let mut tx = begin(connection).await?;
    let kept = kept(&mut tx).await?;
    let has_amounts: bool = sqlx::query_scalar(unit::HAS_AMOUNTS).fetch_one(&mut *tx).await?;
    match kept {
        Some(kept) if has_amounts => return unit::check_kept(kept, currency),
        None if has_amounts => adopt_rows(&mut tx, currency).await?,
        _ => {}
    }
    sqlx::query(unit::SETTLE).bind(i32::from(decimals)).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

async fn kept(connection: &mut SqliteConnection) -> Result<Option<i32>, StoreError> {
    sqlx::query_scalar(unit::KEPT).fetch_optional(connection).await.map_err(StoreError::from)
}

async fn adopt_rows(tx: &mut Tx<'_>, currency: Currency) -> Result<(), StoreError> {
    let codes: Vec<String> = sqlx::query_scalar(unit::CURRENCIES).fetch_all(&mut **tx).await?;
    unit::check_rows(&codes, currency)?;
    match currency.decimals() {
        0 => {
            let has_fractions = sqlx::query_scalar(HAS_FRACTIONS).fetch_one(&mut **tx).await;
            unit::check_fractions(has_fractions?, currency)
        }
        3 => {
            for statement in TO_THOUSANDTHS {
                sqlx::query(statement).execute(&mut **tx).await?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
