//! Checks and settles the decimals of the database's amounts.

use crate::domain::Currency;
use crate::store::StoreError;
use crate::store::schema::unit;
use sqlx::PgConnection;

/// Whether an amount has a fraction.
const HAS_FRACTIONS: &str = "
SELECT EXISTS (SELECT 1 FROM flights WHERE price <> trunc(price))
    OR EXISTS (SELECT 1 FROM bookings WHERE booking_price <> trunc(booking_price))";

/// Amounts as [`crate::domain::Money::from_stored`] counts them: in thousandths or hundredths.
const IN_THOUSANDTHS: &str = "
CREATE OR REPLACE FUNCTION minor(numeric) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT ($1 * 1000)::bigint $$;
CREATE OR REPLACE FUNCTION major(bigint) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT $1 * 0.001 $$";
const IN_HUNDREDTHS: &str = "
CREATE OR REPLACE FUNCTION minor(numeric) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT ($1 * 100)::bigint $$;
CREATE OR REPLACE FUNCTION major(bigint) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT $1 * 0.01 $$";

/// Stores the decimals at the first start, and refuses a `CURRENCY` with others afterwards.
pub(super) async fn settle(
    connection: &mut PgConnection,
    currency: Currency,
) -> Result<(), StoreError> {
    let kept: Option<i32> = sqlx::query_scalar(unit::KEPT).fetch_optional(&mut *connection).await?;
    let decimals = currency.decimals();
    if kept == Some(decimals.into()) {
        return Ok(());
    }
    let has_amounts: bool =
        sqlx::query_scalar(unit::HAS_AMOUNTS).fetch_one(&mut *connection).await?;
    match kept {
        Some(kept) if has_amounts => return unit::check_kept(kept, currency),
        None if has_amounts => check_rows(connection, currency).await?,
        _ => {}
    }
    let unit_of_functions = if decimals == 3 { IN_THOUSANDTHS } else { IN_HUNDREDTHS };
    if decimals == 3 || kept == Some(3) {
        sqlx::raw_sql(unit_of_functions).execute(&mut *connection).await?;
    }
    sqlx::query(unit::SETTLE).bind(i32::from(decimals)).execute(connection).await?;
    Ok(())
}

async fn check_rows(connection: &mut PgConnection, currency: Currency) -> Result<(), StoreError> {
    let codes: Vec<String> =
        sqlx::query_scalar(unit::CURRENCIES).fetch_all(&mut *connection).await?;
    unit::check_rows(&codes, currency)?;
    if currency.decimals() == 0 {
        let has_fractions = sqlx::query_scalar(HAS_FRACTIONS).fetch_one(connection).await;
        unit::check_fractions(has_fractions?, currency)?;
    }
    Ok(())
}
