//! To whom a message about a booking goes: the addresses and numbers of its passengers, each once.

use crate::domain::{Booking, Channel, Passenger};

/// Whose addresses count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// All passengers, those whose seats were given back too.
    All,
    /// Those who travel.
    Travelling,
}

/// The passengers of an audience.
fn passengers(booking: &Booking, audience: Audience) -> impl Iterator<Item = &Passenger> {
    let all = booking.passengers.iter().flat_map(|all| all.iter()).enumerate();
    let counts = move |place: usize| {
        let is_cancelled = booking.cancelled.iter().any(|its| usize::from(*its) == place);
        audience == Audience::All || !is_cancelled
    };
    all.filter(move |(place, _)| counts(*place)).map(|(_, passenger)| passenger)
}

/// The recipient of a passenger; `None`: there is none by this way.
fn recipient(
    passenger: &Passenger,
    channel: Channel,
    country_code: Option<&str>,
) -> Option<String> {
    if passenger.is_erased() {
        return None;
    }
    match channel {
        Channel::Mail => {
            let address = passenger.email.trim();
            address.contains('@').then(|| address.to_owned())
        }
        Channel::Sms => number(&passenger.phone, country_code),
    }
}

/// A telephone number with a plus, its country code and nothing but digits (E.164); `None` if its country is not known.
fn number(phone: &str, country_code: Option<&str>) -> Option<String> {
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    let international = match digits.strip_prefix("00") {
        _ if phone.trim_start().starts_with('+') => digits,
        Some(rest) => rest.to_owned(),
        None => format!("{}{}", country_code?, digits.trim_start_matches('0')),
    };
    // E.164 has up to 15 digits; the shortest numbers in use have 7.
    (7..=15).contains(&international.len()).then(|| format!("+{international}"))
}

/// Whether two recipients are one. Letter case tells apart no mailbox in use.
fn are_one(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// The recipients of a message about a booking, each once.
pub(super) fn recipients(
    booking: &Booking,
    audience: Audience,
    channel: Channel,
    country_code: Option<&str>,
) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for passenger in passengers(booking, audience) {
        let Some(recipient) = recipient(passenger, channel, country_code) else { continue };
        if !found.iter().any(|known| are_one(known, &recipient)) {
            found.push(recipient);
        }
    }
    found
}

/// The names of the passengers with this recipient; empty: no passenger has it now.
pub(super) fn names(
    booking: &Booking,
    channel: Channel,
    country_code: Option<&str>,
    to: &str,
) -> Vec<String> {
    let mut names: Vec<String> = passengers(booking, Audience::All)
        .filter(|passenger| {
            recipient(passenger, channel, country_code).is_some_and(|its| are_one(&its, to))
        })
        .map(|passenger| super::text::one_line(&passenger.name))
        .collect();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_goes_out_only_if_its_country_is_known() {
        for (phone, code, expected) in [
            ("+91 (98) 765-43.210", None, Some("+919876543210")),
            ("0044 20 7946 0018", None, Some("+442079460018")),
            ("09876543210", Some("91"), Some("+919876543210")),
            ("9876543210", None, None),
            ("+12", Some("91"), None),
            ("000", None, None),
            ("+1234567890123456", None, None),
        ] {
            assert_eq!(number(phone, code).as_deref(), expected, "{phone}");
        }
    }
}
