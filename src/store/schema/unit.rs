//! The decimals of a database's amounts: set by `CURRENCY` at the first start, and fixed from then on.
//!
//! Rows of another currency with the same decimals stay as they are. With other decimals the same digits
//! would mean another amount, so the start fails.

use crate::domain::Currency;
use crate::store::StoreError;

/// The stored decimals.
pub(in crate::store) const KEPT: &str = "SELECT decimals FROM money_unit";

/// Whether any amount is stored.
pub(in crate::store) const HAS_AMOUNTS: &str = "SELECT EXISTS (SELECT 1 FROM flights)";

/// The currencies of all amounts. Read once, before the decimals are set.
pub(in crate::store) const CURRENCIES: &str =
    "SELECT currency FROM flights UNION SELECT currency FROM payments";

/// Stores the decimals.
pub(in crate::store) const SETTLE: &str = "
INSERT INTO money_unit (decimals) VALUES ($1)
    ON CONFLICT (id) DO UPDATE SET decimals = excluded.decimals";

/// Refuses a database whose rows name a currency with other decimals than `CURRENCY`.
pub(in crate::store) fn check_rows(
    codes: &[String],
    configured: Currency,
) -> Result<(), StoreError> {
    let misread = codes
        .iter()
        .filter_map(|code| code.parse::<Currency>().ok())
        .find(|kept| kept.decimals() != configured.decimals());
    match misread {
        Some(kept) => Err(refusal(
            configured,
            &format!("amounts in {kept}, which has {}", decimals_in_words(kept.decimals())),
        )),
        None => Ok(()),
    }
}

/// Refuses a database whose amounts have other decimals than `CURRENCY`.
pub(in crate::store) fn check_kept(kept: i32, configured: Currency) -> Result<(), StoreError> {
    if kept == i32::from(configured.decimals()) {
        return Ok(());
    }
    let kept = u8::try_from(kept).unwrap_or_default();
    Err(refusal(configured, &format!("amounts with {}", decimals_in_words(kept))))
}

/// Refuses a database with fractions of a currency without decimals.
pub(in crate::store) fn check_fractions(
    has_fractions: bool,
    configured: Currency,
) -> Result<(), StoreError> {
    if has_fractions { Err(refusal(configured, "amounts with a fraction")) } else { Ok(()) }
}

fn refusal(configured: Currency, kept: &str) -> StoreError {
    StoreError::Refused(anyhow::anyhow!(
        "CURRENCY is {configured}, whose amounts have {}, but the database keeps {kept}: they would be \
         misread. Set CURRENCY to the currency of its flights, or use another database",
        decimals_in_words(configured.decimals())
    ))
}

fn decimals_in_words(decimals: u8) -> String {
    match decimals {
        0 => "no decimals".to_owned(),
        1 => "1 decimal".to_owned(),
        more => format!("{more} decimals"),
    }
}
