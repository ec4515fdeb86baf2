//! What every list takes beside its own filters: a status, a limit and a cursor.

use crate::domain::Invalid;
use crate::http::wire::query::Query;
use std::str::FromStr;
use strum::VariantNames;

/// Entries in one list without the parameter `limit`.
const LIMIT_DEFAULT: usize = 100;

/// Maximum of `limit`.
const LIMIT_MAX: usize = 1_000;

/// The rule of the parameter `cursor`.
pub(super) const CURSOR_RULE: &str = "must be a next_cursor";

/// The id of a list's last entry: a cursor of digits, without a sign.
pub(super) struct IdCursor(pub(super) i64);

impl FromStr for IdCursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number).map(Self).ok_or(())
    }
}

/// The limit that a query names, or the default.
pub(super) fn asked_limit(query: &Query<'_>, unreadable: &mut Invalid) -> usize {
    query.read("limit", "must be an integer", unreadable).unwrap_or(LIMIT_DEFAULT)
}

/// Checks how many entries a list may have.
pub(super) fn check_limit(limit: usize, invalid: &mut Invalid) {
    if !(1..=LIMIT_MAX).contains(&limit) {
        invalid.add("/limit", format!("must be 1 to {LIMIT_MAX}"));
    }
}

/// The status that a query names, if it names one.
pub(super) fn asked_status<S: FromStr + VariantNames>(
    query: &Query<'_>,
    invalid: &mut Invalid,
) -> Option<S> {
    let status = query.get("status").map(|word| word.parse().ok());
    if matches!(status, Some(None)) {
        let known = S::VARIANTS.join(", ");
        invalid.add("/status", format!("must be one of {known}"));
    }
    status.flatten()
}

/// Cuts a list that was read with one entry more than its limit. Returns the last entry if more follow.
pub(super) fn cut<T>(found: &mut Vec<T>, limit: usize) -> Option<&T> {
    let more = found.len() > limit;
    found.truncate(limit);
    found.last().filter(|_| more)
}
