//! `Accept` (RFC 9110, 12.5.1): in which form a client wants a table.

use super::header_list::{Escapes, items, split};
use http::HeaderMap;
use http::header::ACCEPT;

/// Whether the client wants CSV rather than JSON, which it gets otherwise, whatever it accepts.
pub(crate) fn prefers_csv(headers: &HeaderMap) -> bool {
    weight(headers, "text", "csv") > weight(headers, "application", "json")
}

/// The weight that the client gives to a media type: that of the range that names it most closely.
fn weight(headers: &HeaderMap, kind: &str, subkind: &str) -> f32 {
    let closeness = |range: &str| -> Option<u8> {
        let (own, subown) = range.trim().split_once('/')?;
        let is_kind = own.eq_ignore_ascii_case(kind);
        match subown {
            "*" if own == "*" => Some(0),
            "*" if is_kind => Some(1),
            _ => (is_kind && subown.eq_ignore_ascii_case(subkind)).then_some(2),
        }
    };
    let ranges = items(headers, &ACCEPT).filter_map(|range| {
        let mut parts = split(range, ';', Escapes::Backslash);
        let closeness = closeness(parts.next()?)?;
        Some((closeness, parts.find_map(quality).unwrap_or(1.0)))
    });
    let closest =
        ranges.max_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    closest.map_or(0.0, |(_, weight)| weight)
}

/// The weight that a parameter is, 0 to 1; 0 if it can't be read.
fn quality(parameter: &str) -> Option<f32> {
    let (name, value) = parameter.split_once('=')?;
    let is_weight = name.trim().eq_ignore_ascii_case("q");
    let read = || value.trim().parse().ok().filter(|weight| (0.0..=1.0).contains(weight));
    is_weight.then(|| read().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_csv(lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, line.parse().expect("a header"));
        }
        prefers_csv(&headers)
    }

    #[test]
    fn csv_is_sent_to_those_who_want_it_more_than_json() {
        for accept in [
            "text/csv",
            "TEXT/CSV",
            "text/csv; charset=utf-8; header=present",
            "text/csv;header=\"a;b,c\";q=0.5",
            "text/html, text/csv;q=0.1",
            "application/json;q=0.5, text/csv",
            "text/csv, */*;q=0.9",
            "text/*",
        ] {
            assert!(is_csv(&[accept]), "{accept}");
        }
        assert!(is_csv(&["text/html", "text/csv"]));
        for accept in [
            "",
            "*/*",
            "application/json",
            "text/csv;q=0",
            "text/csv;q=nan",
            "text/csv;q=2",
            "text/csv, application/json",
            "text/csv;q=0.5, application/*",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "text/csvx, application/text/csv",
            "image/png",
        ] {
            assert!(!is_csv(&[accept]), "{accept}");
        }
        assert!(!is_csv(&[]));
    }
}
