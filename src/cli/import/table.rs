//! Reads flights from CSV text: the first line names the columns, each other line is a flight.

use super::fields::{amount, instant, natural, seats, shown, status};
use super::head::{Head, KNOWN, REQUIRED, UPDATING, is_blank, known, lacking};
use crate::domain::{Currency, FareName, FareRules, FlightId, FlightStatus, Invalid, NewFlight};
use anyhow::bail;
use csv::{ByteRecord, Reader, ReaderBuilder, StringRecord, Terminator};
use std::fmt;
use std::io::{BufRead, Read};
use std::sync::Arc;

/// An invalid line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// Counted from 1, as in an editor.
    pub(super) number: u64,
    /// A text per fault, with its column.
    pub(super) faults: Vec<String>,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.number, self.faults.join("; "))
    }
}

/// A valid line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1, as in an editor.
    pub(super) number: u64,
    /// The column `id`: the stored flight to change.
    pub(super) id: Option<FlightId>,
    /// The column `version`: the version that the stored flight must have.
    pub(super) version: Option<i64>,
    /// The flight, with defaults for empty fields.
    pub(super) flight: NewFlight,
    /// Whether the line has `available_seats`.
    pub(super) says_available: bool,
    /// Whether the line has `flight_status`.
    pub(super) says_status: bool,
    /// Whether the line has `taxes`.
    pub(super) says_taxes: bool,
    /// The line's `fare_rules`.
    pub(super) fare_rules: Option<FareName>,
}

/// The position of each column.
struct Columns {
    currency: Currency,
    comma_is_decimal: bool,
    width: usize,
    source: usize,
    destination: usize,
    timestamp: usize,
    total_seats: usize,
    price: usize,
    taxes: Option<usize>,
    fare_rules: Option<usize>,
    flight_number: Option<usize>,
    arrival_timestamp: Option<usize>,
    available_seats: Option<usize>,
    flight_status: Option<usize>,
    id: Option<usize>,
    version: Option<usize>,
}

impl Columns {
    fn of(header: &[String], reading: Reading, delimiter: u8, line: u64) -> anyhow::Result<Self> {
        let is = |column: &String, name: &str| reading.known(column) == Some(name);
        let optional = |name: &str| header.iter().position(|column| is(column, name));
        let missing: Vec<_> =
            KNOWN[..REQUIRED].iter().copied().filter(|name| optional(name).is_none()).collect();
        if !missing.is_empty() {
            bail!(lacking(&missing, header, delimiter, line));
        }
        for name in KNOWN {
            if header.iter().filter(|column| is(column, name)).count() > 1 {
                bail!("line {line} names the column {name} twice");
            }
        }
        let required = |name| optional(name).expect("a missing one was reported above");
        Ok(Self {
            currency: reading.currency,
            comma_is_decimal: delimiter == b';',
            width: header.len(),
            source: required("source"),
            destination: required("destination"),
            timestamp: required("timestamp"),
            total_seats: required("total_seats"),
            price: required("price"),
            taxes: optional("taxes"),
            fare_rules: optional("fare_rules"),
            flight_number: optional("flight_number"),
            arrival_timestamp: optional("arrival_timestamp"),
            available_seats: optional("available_seats"),
            flight_status: optional("flight_status"),
            id: optional("id"),
            version: optional("version"),
        })
    }

    /// Reads a line.
    fn line(&self, number: u64, line: &StringRecord) -> Result<Line, Invalid> {
        let mut invalid = Invalid::default();
        if line.len() != self.width {
            let detail = format!("are {}, but the first line names {}", line.len(), self.width);
            return Err(Invalid::one("/columns", detail));
        }
        let field = |column: usize| line.get(column).unwrap_or_default().trim_matches(is_blank);
        let given = |column: Option<usize>| column.map(field).filter(|text| !text.is_empty());
        let departs_at = instant(&mut invalid, "/timestamp", field(self.timestamp));
        let arrives_at = given(self.arrival_timestamp)
            .map(|text| instant(&mut invalid, "/arrival_timestamp", text));
        let total_seats = seats(&mut invalid, "/total_seats", field(self.total_seats));
        let available_seats = given(self.available_seats)
            .map_or(total_seats, |text| seats(&mut invalid, "/available_seats", text));
        let (currency, comma_is_decimal) = (self.currency, self.comma_is_decimal);
        let price = amount(&mut invalid, "/price", field(self.price), comma_is_decimal)
            .map(|price| currency.priced(&mut invalid, price))
            .unwrap_or_default();
        let taxes = given(self.taxes)
            .and_then(|text| amount(&mut invalid, "/taxes", text, comma_is_decimal))
            .map(|taxes| currency.taxed(&mut invalid, taxes, price));
        let fare_rules = given(self.fare_rules);
        if fare_rules.is_some_and(|name| !FareRules::is_name(name)) {
            invalid.add("/fare_rules", "is not 1 to 40 of a-z, 0-9 and -");
        }
        let fare_rules = fare_rules.map(|name| FareName::from(Arc::from(name)));
        let flight_status = given(self.flight_status).map(|text| status(&mut invalid, text));
        let id = given(self.id).map(|text| FlightId(natural(&mut invalid, "/id", text)));
        let version = given(self.version).map(|text| natural(&mut invalid, "/version", text));
        invalid.or(())?;
        let flight = NewFlight {
            flight_number: given(self.flight_number).map(Into::into),
            source: field(self.source).into(),
            destination: field(self.destination).into(),
            departs_at,
            arrives_at,
            available_seats,
            total_seats,
            flight_status: flight_status.unwrap_or(FlightStatus::Scheduled),
            price,
            taxes: taxes.unwrap_or_default(),
            fare_rules: fare_rules.clone().unwrap_or_default(),
        };
        Ok(Line {
            number,
            id,
            version,
            flight: flight.checked(self.currency)?,
            says_available: given(self.available_seats).is_some(),
            says_status: flight_status.is_some(),
            says_taxes: taxes.is_some(),
            fare_rules,
        })
    }
}

/// How a file is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// The currency of prices.
    pub(super) currency: Currency,
    /// Whether lines change stored flights (`--update`), so that the columns of these are read.
    pub(super) updates: bool,
}

impl Reading {
    /// The known column with this name.
    fn known(self, name: &str) -> Option<&'static str> {
        known(name).filter(|name| self.updates || !UPDATING.contains(name))
    }
}

/// Flights, line by line.
pub(super) struct Table {
    reader: Reader<Box<dyn Read>>,
    columns: Columns,
    reading: Reading,
    names: Vec<String>,
    line: ByteRecord,
    /// Lines before the column names.
    skipped: u64,
}

impl Table {
    /// Reads the column names and the lines before them.
    pub(super) fn new(text: Box<dyn BufRead>, reading: Reading) -> anyhow::Result<Self> {
        let Head { text, delimiter, skipped } = Head::read(text)?;
        // A line ends at `\n`, and trimming removes a `\r` before it, so lines are counted as in an editor,
        // whatever line ending the file has.
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(text);
        let mut line = ByteRecord::new();
        reader.read_byte_record(&mut line)?;
        let number = skipped + 1;
        let mut names = Vec::with_capacity(line.len());
        for name in &line {
            let Ok(name) = std::str::from_utf8(name) else {
                bail!("the column names in line {number} are not UTF-8: save it as CSV UTF-8");
            };
            names.push(name.trim_matches(is_blank).to_owned());
        }
        let columns = Columns::of(&names, reading, delimiter, number)?;
        Ok(Self { reader, columns, reading, names, line, skipped })
    }

    /// Unknown columns that have a name.
    pub(super) fn ignored(&self) -> impl Iterator<Item = &str> {
        let unknown = |name: &&str| !name.is_empty() && self.reading.known(name).is_none();
        self.names.iter().map(String::as_str).filter(unknown)
    }

    /// The next line, valid or not; `None` at the end. Fails if the file itself cannot be read further.
    pub(super) fn next_line(&mut self) -> anyhow::Result<Option<Result<Line, BadLine>>> {
        let is_empty = |line: &ByteRecord| {
            let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x1a;
            line.iter().all(|field| field.iter().all(blank))
        };
        loop {
            if !self.reader.read_byte_record(&mut self.line)? {
                return Ok(None);
            }
            if !is_empty(&self.line) {
                break;
            }
        }
        let number = self.number();
        let bad = |faults| BadLine { number, faults };
        let read = match StringRecord::from_byte_record(std::mem::take(&mut self.line)) {
            Ok(line) => {
                let read = self.columns.line(number, &line);
                self.line = line.into_byte_record();
                read.map_err(|invalid| {
                    let shown = |fault: &crate::domain::Violation| {
                        format!("{} {}", fault.pointer.trim_start_matches('/'), fault.detail)
                    };
                    bad(invalid.0.iter().map(shown).collect())
                })
            }
            Err(error) => {
                let column = self.names.get(error.utf8_error().field());
                let column = column.map_or_else(|| "a column".to_owned(), |name| shown_name(name));
                Err(bad(vec![format!("{column} must be UTF-8")]))
            }
        };
        Ok(Some(read))
    }

    /// The line in which the last record begins. The reader is behind the record's end, and has counted the
    /// blank lines before it.
    fn number(&self) -> u64 {
        let ends = self.line.as_slice().iter().map(|byte| u64::from(*byte == b'\n'));
        let within: u64 = ends.sum();
        (self.skipped + self.reader.position().line()).saturating_sub(1 + within)
    }
}

/// A column's name in a message: as the file has it if it is a plain word, else shortened and escaped.
fn shown_name(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_plain && name.len() <= 30 { name.to_owned() } else { shown(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inr() -> Currency {
        "INR".parse().expect("a currency")
    }

    fn table(text: &[u8]) -> anyhow::Result<Table> {
        let reading = Reading { currency: inr(), updates: false };
        Table::new(Box::new(std::io::Cursor::new(text.to_vec())), reading)
    }

    fn lines(text: &[u8]) -> Vec<Result<NewFlight, BadLine>> {
        let mut table = table(text).expect("a header");
        let mut next = || table.next_line().expect("readable");
        std::iter::from_fn(|| next().map(|line| line.map(|line| line.flight))).collect()
    }

    #[test]
    fn columns_may_be_in_any_order_and_optional_ones_missing_or_empty() {
        let text = b"price,gate,total_seats,timestamp,destination,source,available_seats\r\n\
            2500,A1,180,2025-01-20T15:30:00+05:30, Mumbai ,\"Delhi\",\r\n";
        let flights = lines(text);
        let flight = flights[0].as_ref().expect("sound");
        assert_eq!((&*flight.source, &*flight.destination), ("Delhi", "Mumbai"));
        assert_eq!(flight.departs_at.to_rfc3339(), "2025-01-20T10:00:00+00:00");
        assert_eq!((flight.available_seats, flight.total_seats), (180, 180));
        assert_eq!(flight.flight_number, None);
        assert!(table(text).expect("a header").ignored().eq(["gate"]));
    }

    #[test]
    fn blank_lines_are_skipped_and_counted() {
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
    fn an_invalid_line_is_reported_with_number_column_and_reason() {
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
                    "line 3: timestamp \"tomorrow\" is not a timestamp; write timestamps as \
                     2025-01-20T10:00:00Z (RFC 3339); \
                     total_seats must be a whole number, not \"many\"; price must have at most 2 decimals, as INR \
                     has; thousands are not separated",
                    "line 4: columns are 3, but the first line names 5",
                    "line 5: destination must differ from source",
                ]
            );
        }
    }

    #[test]
    fn a_line_that_is_not_utf_8_is_invalid() {
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
    fn a_missing_required_column_is_named() {
        let error = table(b"source,price\n").err().expect("columns lack").to_string();
        assert!(error.contains("destination, timestamp, total_seats are missing"), "{error}");
    }
}
