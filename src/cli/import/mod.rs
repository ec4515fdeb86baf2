//! `import FILE`: flights from a CSV file into the store, all of them or, if a line is bad, none.
//!
//! The file is read twice, so that it is never in memory as a whole: first every line is checked,
//! then they are imported in chunks. Of each line some bytes are kept, to see whether a later one
//! contradicts it. What is stored already is left as it is, so an import that was
//! interrupted is simply run again.

mod fields;
mod head;
mod progress;
mod source;
mod table;

use super::say;
use crate::app;
use crate::config::Config;
use crate::domain::{Currency, NewFlight, route_key};
use anyhow::{Context, bail};
use fields::shown;
use progress::Progress;
use source::Source;
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use table::{BadLine, Table};

/// What the file must look like, for `--help`.
pub(super) const HELP: &str = "\
The first line names the columns, in any order; columns of other names are ignored. Capitals, blanks,
underscores and hyphens in a name make no difference:
  source, destination   where from, where to
  timestamp             departure, RFC 3339 (2025-01-20T10:00:00Z, 2025-01-20T15:30:00+05:30)
  total_seats           seats on board
  price                 of one seat (2500.00)
  flight_number         optional; kept in capitals without blanks and hyphens (ai 101 is AI101)
  arrival_timestamp     optional, RFC 3339
  available_seats       optional, seats to sell; total_seats if it is missing or empty
Fields stand between commas, semicolons or tabs; between semicolons 2500,00 is a price too. Blank rows,
and comments (#) before the column names, are skipped. FILE may be - or a pipe.
Two lines of one flight must say the same. A flight that is stored already (same number, route and departure) is left as it is.";

/// Flights in one transaction.
const CHUNK_SIZE: usize = 5_000;

/// Bad lines that are shown; the others are counted.
const SHOWN_MAX: usize = 10;

/// Imports a file; exit code 1 if a line is bad.
pub(super) async fn import(config: &Config, file: &Path) -> anyhow::Result<ExitCode> {
    let started_at = Instant::now();
    let in_file = || format!("cannot import {}", file.display());
    let source = Source::open(file).with_context(in_file)?;
    let bad = check(&source, config.currency).with_context(in_file)?;
    if bad.count > 0 {
        for line in &bad.shown {
            eprintln!("{line}");
        }
        let more = match bad.count - bad.shown.len() {
            0 => String::new(),
            more => format!(", {more} of them not shown"),
        };
        eprintln!("nothing was imported: {} of {} lines are bad{more}", bad.count, bad.lines);
        return Ok(ExitCode::FAILURE);
    }

    let (store, clock) = app::open_store(config, false).await?;
    let mut progress = Progress::start("importing", bad.lines);
    let mut table = open(&source, config.currency).with_context(in_file)?;
    let (mut imported, mut read) = (0, 0);
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_SIZE);
        while chunk.len() < CHUNK_SIZE {
            match table.next_flight()? {
                Some(Ok((_, flight))) => chunk.push(flight),
                Some(Err(line)) => bail!("the file changed while it was read: {line}"),
                None => break,
            }
        }
        if chunk.is_empty() {
            break;
        }
        imported += store.import_flights(&chunk, config.currency, clock.now()).await?;
        read += chunk.len();
        progress.reached(read);
    }
    progress.finish();
    let seconds = started_at.elapsed().as_secs_f64();
    say(&format!("{imported} imported, {} already there, in {seconds:.1} s", read - imported))?;
    Ok(ExitCode::SUCCESS)
}

/// What the first reading found.
#[derive(Default)]
struct Checked {
    lines: usize,
    count: usize,
    shown: Vec<BadLine>,
}

fn check(source: &Source, currency: Currency) -> anyhow::Result<Checked> {
    let mut table = open(source, currency)?;
    let ignored: Vec<_> = table.ignored().map(shown).collect();
    if !ignored.is_empty() {
        say(&format!("columns ignored: {}", ignored.join(", ")))?;
    }
    let mut progress = Progress::start("checking", 0);
    let mut checked = Checked::default();
    let mut seen = Seen::default();
    while let Some(line) = table.next_flight()? {
        checked.lines += 1;
        progress.reached(checked.lines);
        if let Err(bad) = line.and_then(|(number, flight)| seen.agrees(number, &flight)) {
            checked.count += 1;
            if checked.shown.len() < SHOWN_MAX {
                checked.shown.push(bad);
            }
        }
    }
    progress.finish();
    Ok(checked)
}

/// The flights of the lines so far, as fingerprints.
#[derive(Default)]
struct Seen {
    hasher: RandomState,
    /// By number, route and departure: the line, and the rest of it.
    lines: HashMap<u64, (u32, u32)>,
}

impl Seen {
    /// A line that is the same flight as an earlier one must say the same of it.
    fn agrees(&mut self, number: u64, flight: &NewFlight) -> Result<(), BadLine> {
        let route = route_key(&flight.source, &flight.destination);
        let key = self.hasher.hash_one((&flight.flight_number, route, flight.departs_at));
        let rest = (flight.total_seats, flight.available_seats, flight.price, flight.arrives_at);
        let rest = self.hasher.hash_one(rest) as u32;
        match self.lines.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert((u32::try_from(number).unwrap_or(u32::MAX), rest));
                Ok(())
            }
            Entry::Occupied(known) if known.get().1 == rest => Ok(()),
            Entry::Occupied(known) => {
                let fault = format!(
                    "is the flight of line {} (same number, route and departure) with other seats, \
                     another price or another arrival",
                    known.get().0
                );
                Err(BadLine { number, faults: vec![fault] })
            }
        }
    }
}

fn open(source: &Source, currency: Currency) -> anyhow::Result<Table> {
    Table::new(source.text()?, currency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use std::io::Write as _;

    const HEADER: &str = "source,destination,timestamp,total_seats,price\n";

    fn inr() -> Currency {
        "INR".parse().expect("a currency")
    }

    fn file_of(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    fn checked(file: &tempfile::NamedTempFile) -> anyhow::Result<Checked> {
        check(&Source::open(file.path())?, inr())
    }

    #[test]
    fn bad_lines_are_counted_and_ten_are_shown() {
        let mut text = HEADER.to_owned();
        for _ in 0..12 {
            writeln!(text, "Delhi,Delhi,2025-01-20T10:00:00Z,180,2500").expect("a string");
        }
        let found = checked(&file_of(&text)).expect("readable");
        assert_eq!((found.lines, found.count, found.shown.len()), (12, 12, SHOWN_MAX));
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes_and_a_cut_off_file_is_an_error() {
        let text = format!("{HEADER}Delhi,Mumbai,2025-01-20T10:00:00Z,180,2500\n");
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(text.as_bytes()).expect("packed");
        let packed = packer.finish().expect("packed");
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&packed).expect("written");
        let found = checked(&file).expect("readable");
        assert_eq!((found.lines, found.count), (1, 0));

        file.as_file().set_len(packed.len() as u64 - 6).expect("cut");
        assert!(checked(&file).is_err());
    }
}
