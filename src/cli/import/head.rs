//! The head of a file: blank lines, comments, a delimiter, the column names.

use super::fields::shown;
use std::fmt::Write as _;
use std::io::{BufRead, Cursor, Read};

/// Maximum length of the line of column names, in bytes.
const LINE_MAX: u64 = 64 * 1024;

/// The delimiters that are recognised without a line `sep=`.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// Known columns. The first five are required.
pub(super) const KNOWN: [&str; 13] = [
    "source",
    "destination",
    "timestamp",
    "total_seats",
    "price",
    "flight_number",
    "arrival_timestamp",
    "available_seats",
    "flight_status",
    "taxes",
    "fare_rules",
    "id",
    "version",
];

/// Columns that are read only with `--update`.
pub(super) const UPDATING: [&str; 2] = ["id", "version"];

/// How many of [`KNOWN`] are required.
pub(super) const REQUIRED: usize = 5;

/// Whether a character is white space, or Ctrl-Z, which ends old DOS files.
pub(super) const fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{1a}'
}

/// A column's name for comparison: in lower case, without white space, underscores and hyphens.
pub(super) fn folded(name: &str) -> String {
    let kept = name.chars().filter(|c| !is_blank(*c) && !matches!(c, '_' | '-'));
    kept.flat_map(char::to_lowercase).collect()
}

/// The known column with this name.
pub(super) fn known(name: &str) -> Option<&'static str> {
    let name = folded(name);
    KNOWN.into_iter().find(|known| folded(known) == name)
}

/// A text from its column names on, and its notation.
pub(super) struct Head {
    /// The text from the column names on, with line feeds as line ends.
    pub(super) text: Box<dyn Read>,
    /// Separates two fields.
    pub(super) delimiter: u8,
    /// Lines before the column names.
    pub(super) skipped: u64,
}

impl Head {
    /// Reads up to the column names.
    pub(super) fn read(mut text: Box<dyn BufRead>) -> anyhow::Result<Self> {
        let mut skipped = 0;
        let mut set = None;
        loop {
            let (mut line, ends_in_cr) = line(&mut text)?;
            if skipped == 0 && line.starts_with(b"\xef\xbb\xbf") {
                line.drain(..3);
            }
            let at_end = line.is_empty();
            let content = String::from_utf8_lossy(&line);
            let content = content.trim_matches(|c| is_blank(c) || matches!(c, ',' | ';' | '"'));
            let separator = set.is_none().then(|| separator(&line)).flatten();
            if !at_end && (content.is_empty() || content.starts_with('#') || separator.is_some()) {
                skipped += 1;
                set = set.or(separator);
                continue;
            }
            let delimiter = set.unwrap_or_else(|| likely_delimiter(content));
            let rest = Cursor::new(line).chain(text).chain(&b"\n"[..]);
            let text: Box<dyn Read> =
                if ends_in_cr { Box::new(CarriageReturns(rest)) } else { Box::new(rest) };
            return Ok(Self { text, delimiter, skipped });
        }
    }
}

/// The next line with its line end, and whether that is a lone carriage return.
fn line(text: &mut dyn BufRead) -> std::io::Result<(Vec<u8>, bool)> {
    let mut line = Vec::new();
    loop {
        let buffer = text.fill_buf()?;
        if let Some(b'\r') = line.last() {
            if buffer.first() != Some(&b'\n') {
                return Ok((line, true));
            }
            line.push(b'\n');
            text.consume(1);
            return Ok((line, false));
        }
        if buffer.is_empty() || line.len() as u64 >= LINE_MAX {
            return Ok((line, false));
        }
        let end = buffer.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let taken = end.map_or(buffer.len(), |end| end + 1);
        line.extend_from_slice(&buffer[..taken]);
        text.consume(taken);
        if line.last() == Some(&b'\n') {
            return Ok((line, false));
        }
    }
}

/// The delimiter of a line `sep=;`, which spreadsheets write.
fn separator(line: &[u8]) -> Option<u8> {
    let line = std::str::from_utf8(line).ok()?.trim_matches(['\r', '\n', '"']);
    let (name, delimiter) = line.split_at_checked(4)?;
    let set = *delimiter.as_bytes().first()?;
    // No delimiter is a character of several bytes.
    let is_one = delimiter.get(1..)?.trim_matches([',', ';', '"']).is_empty();
    (name.eq_ignore_ascii_case("sep=") && is_one && (DELIMITERS.contains(&set) || set == b'|'))
        .then_some(set)
}

/// The delimiter that splits a line into the most known columns, or else into the most columns.
fn likely_delimiter(names: &str) -> u8 {
    let columns = |delimiter: &u8| {
        let parts = names.split(char::from(*delimiter));
        let named = parts.clone().filter(|name| known(name.trim_matches('"')).is_some()).count();
        (named, parts.count())
    };
    // If several are equal, `max_by_key` returns the last: the comma.
    DELIMITERS.into_iter().rev().max_by_key(columns).unwrap_or(b',')
}

/// Replaces carriage returns by line feeds.
struct CarriageReturns<R>(R);

impl<R: Read> Read for CarriageReturns<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(buffer)?;
        for byte in buffer[..count].iter_mut().filter(|byte| **byte == b'\r') {
            *byte = b'\n';
        }
        Ok(count)
    }
}

/// The error for missing columns: those that are missing, those found, and likely misspellings.
pub(super) fn lacking(missing: &[&str], found: &[String], delimiter: u8, line: u64) -> String {
    const LISTED_MAX: usize = 12;

    let named: Vec<_> = found.iter().filter(|name| !name.is_empty()).collect();
    let listed: Vec<_> = named.iter().take(LISTED_MAX).map(|name| shown(name)).collect();
    let more = match named.len().saturating_sub(LISTED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let delimiter = match delimiter {
        b'\t' => "tab".to_owned(),
        other => format!("`{}`", char::from(other)),
    };
    let mut error = format!(
        "line {line} must name the columns: {} are missing; with the delimiter {delimiter} it names {}{more}",
        missing.join(", "),
        if listed.is_empty() { "none".to_owned() } else { listed.join(", ") },
    );
    for missing in missing {
        let others = named.iter().filter(|name| known(name).is_none());
        let likeness =
            others.map(|name| (strsim::jaro_winkler(&folded(name), &folded(missing)), name));
        let nearest = likeness.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(like, _)| *like >= 0.85);
        if let Some((_, name)) = nearest {
            // Writing to a String cannot fail.
            let _ = write!(error, "; is {} meant as {missing}?", shown(name));
        }
    }
    error
}
