//! A CSV text as flights: finds the columns by the first line, and reads line after line.

use crate::domain::{Currency, FlightStatus, Invalid, Money, NewFlight, SeatCount, Timestamp};
use anyhow::bail;
use chrono::DateTime;
use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord, Terminator, Trim};
use std::fmt;
use std::io::Read;

/// A line that is no flight.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// Counted from 1, the line of the column names.
    pub(super) number: u64,
    /// Each column and what is wrong with it.
    pub(super) faults: Vec<String>,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.number, self.faults.join("; "))
    }
}

/// Where each column stands in a line.
struct Columns {
    currency: Currency,
    width: usize,
    source: usize,
    destination: usize,
    timestamp: usize,
    total_seats: usize,
    price: usize,
    flight_number: Option<usize>,
    arrival_timestamp: Option<usize>,
    available_seats: Option<usize>,
}

const KNOWN: [&str; 8] = [
    "source",
    "destination",
    "timestamp",
    "total_seats",
    "price",
    "flight_number",
    "arrival_timestamp",
    "available_seats",
];

impl Columns {
    fn of(header: &StringRecord, currency: Currency) -> anyhow::Result<Self> {
        let optional = |name: &str| header.iter().position(|column| column == name);
        let missing: Vec<_> =
            KNOWN[..5].iter().copied().filter(|name| optional(name).is_none()).collect();
        if !missing.is_empty() {
            bail!("the first line must name the columns; it lacks {}", missing.join(", "));
        }
        for name in KNOWN {
            if header.iter().filter(|column| *column == name).count() > 1 {
                bail!("the first line names the column {name} twice");
            }
        }
        let required = |name| optional(name).expect("a missing one was reported above");
        Ok(Self {
            currency,
            width: header.len(),
            source: required("source"),
            destination: required("destination"),
            timestamp: required("timestamp"),
            total_seats: required("total_seats"),
            price: required("price"),
            flight_number: optional("flight_number"),
            arrival_timestamp: optional("arrival_timestamp"),
            available_seats: optional("available_seats"),
        })
    }

    /// The flight of a line, or what is wrong with it.
    fn flight(&self, line: &StringRecord) -> Result<NewFlight, Invalid> {
        let mut invalid = Invalid::default();
        if line.len() != self.width {
            let detail = format!("are {}, where the first line names {}", line.len(), self.width);
            return Err(Invalid::one("/columns", detail));
        }
        let field = |column: usize| line.get(column).unwrap_or_default();
        let given = |column: Option<usize>| column.map(field).filter(|text| !text.is_empty());
        let departs_at = instant(&mut invalid, "/timestamp", field(self.timestamp));
        let arrives_at = given(self.arrival_timestamp)
            .map(|text| instant(&mut invalid, "/arrival_timestamp", text));
        let total_seats = seats(&mut invalid, "/total_seats", field(self.total_seats));
        let available_seats = given(self.available_seats)
            .map_or(total_seats, |text| seats(&mut invalid, "/available_seats", text));
        let price = match field(self.price).parse::<Money>() {
            Ok(price) => self.currency.priced(&mut invalid, price),
            Err(error) => {
                invalid.add("/price", error.to_string());
                Money::default()
            }
        };
        invalid.or(())?;
        NewFlight {
            flight_number: given(self.flight_number).map(Into::into),
            source: field(self.source).into(),
            destination: field(self.destination).into(),
            departs_at,
            arrives_at,
            available_seats,
            total_seats,
            flight_status: FlightStatus::Scheduled,
            price,
        }
        .checked(self.currency)
    }
}

fn instant(invalid: &mut Invalid, pointer: &str, text: &str) -> Timestamp {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return instant.to_utc();
    }
    invalid.add(pointer, "must be an RFC 3339 instant such as 2025-01-20T10:00:00Z");
    Timestamp::default()
}

fn seats(invalid: &mut Invalid, pointer: &str, text: &str) -> SeatCount {
    text.parse().unwrap_or_else(|_| {
        invalid.add(pointer, "must be a whole number");
        0
    })
}

/// Whether a row holds nothing: an empty line, one of delimiters alone, or the mark that DOS put at a
/// file's end.
fn is_blank(line: &StringRecord) -> bool {
    line.iter().all(|field| field.trim_matches('\u{1a}').is_empty())
}

/// Flights, line by line.
pub(super) struct Table<R> {
    reader: Reader<R>,
    header: StringRecord,
    columns: Columns,
    ignored: Vec<String>,
    line: StringRecord,
}

impl<R: Read> Table<R> {
    /// Reads the first line.
    pub(super) fn new(text: R, currency: Currency) -> anyhow::Result<Self> {
        // Lines end at `\n` alone, and trimming takes a `\r` before it: so each line is counted as
        // an editor counts it, whichever ending the file has.
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(text);
        let mut header = StringRecord::new();
        while reader.read_record(&mut header)? && is_blank(&header) {}
        let columns = Columns::of(&header, currency)?;
        let ignored = header.iter().filter(|name| !KNOWN.contains(name)).map(Into::into).collect();
        Ok(Self { reader, header, columns, ignored, line: StringRecord::new() })
    }

    /// Columns that mean nothing here.
    pub(super) fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The next flight, or what is wrong with its line; `None` at the end. An error means that the
    /// file itself can't be read on.
    pub(super) fn next_flight(&mut self) -> anyhow::Result<Option<Result<NewFlight, BadLine>>> {
        let mut read = self.reader.read_record(&mut self.line);
        while matches!(read, Ok(true)) && is_blank(&self.line) {
            read = self.reader.read_record(&mut self.line);
        }
        match read {
            Ok(false) => Ok(None),
            Ok(true) => {
                let number = self.line.position().map_or(0, csv::Position::line);
                Ok(Some(self.columns.flight(&self.line).map_err(|invalid| {
                    BadLine {
                        number,
                        faults: invalid
                            .0
                            .iter()
                            .map(|fault| {
                                format!(
                                    "{} {}",
                                    fault.pointer.trim_start_matches('/'),
                                    fault.detail
                                )
                            })
                            .collect(),
                    }
                })))
            }
            Err(error) => match error.kind() {
                ErrorKind::Utf8 { pos, err } => {
                    let column = self.header.get(err.field()).unwrap_or("a column");
                    let fault = format!("{column} must be UTF-8");
                    let number = pos.as_ref().map_or(0, csv::Position::line);
                    Ok(Some(Err(BadLine { number, faults: vec![fault] })))
                }
                _ => Err(error.into()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inr() -> Currency {
        "INR".parse().expect("a currency")
    }

    fn lines(text: &[u8]) -> Vec<Result<NewFlight, BadLine>> {
        let mut table = Table::new(text, inr()).expect("a header");
        std::iter::from_fn(|| table.next_flight().expect("readable")).collect()
    }

    #[test]
    fn columns_stand_in_any_order_and_optional_ones_may_be_missing_or_empty() {
        let text = b"price,gate,total_seats,timestamp,destination,source,available_seats\r\n\
            2500,A1,180,2025-01-20T15:30:00+05:30, Mumbai ,\"Delhi\",\r\n";
        let flights = lines(text);
        let flight = flights[0].as_ref().expect("sound");
        assert_eq!((&*flight.source, &*flight.destination), ("Delhi", "Mumbai"));
        assert_eq!(flight.departs_at.to_rfc3339(), "2025-01-20T10:00:00+00:00");
        assert_eq!((flight.available_seats, flight.total_seats), (180, 180));
        assert_eq!(flight.flight_number, None);
        assert_eq!(Table::new(&text[..], inr()).expect("a header").ignored(), ["gate"]);
    }

    #[test]
    fn rows_that_hold_nothing_are_skipped_and_lines_are_counted_with_them() {
        for end in ["\n", "\r\n"] {
            let text = [
                "",
                "  ",
                "source,destination,timestamp,total_seats,price",
                "",
                ",,,,",
                "Delhi,Mumbai,2025-01-20T10:00:00Z,180,2500",
                "Delhi,delhi,2025-01-20T10:00:00Z,180,2500",
                "",
                "\u{1a}",
            ]
            .join(end);
            let lines = lines(text.as_bytes());
            assert_eq!(lines.len(), 2, "{lines:?}");
            assert_eq!(lines[1].as_ref().map_err(|bad| bad.number), Err(7));
        }
    }

    #[test]
    fn a_bad_line_is_named_by_number_column_and_reason() {
        for end in ["\n", "\r\n"] {
            let text = [
                "source,destination,timestamp,total_seats,price",
                "Delhi,Mumbai,2025-01-20T10:00:00Z,180,2500",
                "Delhi,Mumbai,tomorrow,many,2.555",
                "Delhi,Mumbai,2025-01-20T10:00:00Z",
                "Delhi,delhi,2025-01-20T10:00:00Z,180,2500",
            ]
            .join(end);
            let told: Vec<_> = lines(text.as_bytes())
                .into_iter()
                .filter_map(|line| line.err().map(|bad| bad.to_string()))
                .collect();
            assert_eq!(
                told,
                [
                    "line 3: timestamp must be an RFC 3339 instant such as 2025-01-20T10:00:00Z; \
                     total_seats must be a whole number; price must have at most 2 decimals, as INR \
                     has; thousands are not separated",
                    "line 4: columns are 3, where the first line names 5",
                    "line 5: destination must differ from source",
                ]
            );
        }
    }

    #[test]
    fn text_that_is_not_utf_8_is_a_bad_line() {
        let text = b"source,destination,timestamp,total_seats,price\n\
            Delhi,\xff\xfe,2025-01-20T10:00:00Z,180,2500\n\
            Delhi,Mumbai,2025-01-20T10:00:00Z,180,2500\n";
        let lines = lines(text);
        assert_eq!(
            lines[0].as_ref().expect_err("not UTF-8").to_string(),
            "line 2: destination must be UTF-8"
        );
        assert!(lines[1].is_ok());
    }

    #[test]
    fn a_header_without_a_required_column_says_which() {
        let error =
            Table::new(&b"source,price\n"[..], inr()).err().expect("columns lack").to_string();
        assert!(error.ends_with("it lacks destination, timestamp, total_seats"), "{error}");
    }
}
