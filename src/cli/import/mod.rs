//! `import FILE`: flights from a CSV file into the store, all of them or, if a line is bad, none.
//!
//! The file is read twice, so memory is bounded whatever its size: first every line is checked,
//! then they are imported in chunks. What is stored already is left as it is, so an import that was
//! interrupted is simply run again.

mod progress;
mod table;

use super::say;
use crate::app;
use crate::config::Config;
use crate::domain::Currency;
use anyhow::{Context, bail};
use progress::Progress;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use table::{BadLine, Table};

/// What the file must look like, for `--help`.
pub(super) const HELP: &str = "\
The first line names the columns, in any order; columns of other names are ignored:
  source, destination   where from, where to
  timestamp             departure, RFC 3339 (2025-01-20T10:00:00Z, 2025-01-20T15:30:00+05:30)
  total_seats           seats on board
  price                 of one seat (2500.00)
  flight_number         optional
  arrival_timestamp     optional, RFC 3339
  available_seats       optional, seats to sell; total_seats if it is missing or empty
A flight that is stored already (same number, route and departure) is left as it is.";

/// Flights in one transaction.
const CHUNK_SIZE: usize = 5_000;

/// Bad lines that are shown; the others are counted.
const SHOWN_MAX: usize = 10;

/// Imports a file; exit code 1 if a line is bad.
pub(super) async fn import(config: &Config, file: &Path) -> anyhow::Result<ExitCode> {
    let started_at = Instant::now();
    let bad = check(file, config.currency)?;
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
    let mut table = open(file, config.currency)?;
    let (mut imported, mut read) = (0, 0);
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_SIZE);
        while chunk.len() < CHUNK_SIZE {
            match table.next_flight()? {
                Some(Ok(flight)) => chunk.push(flight),
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

fn check(file: &Path, currency: Currency) -> anyhow::Result<Checked> {
    let mut table = open(file, currency)?;
    if !table.ignored().is_empty() {
        say(&format!("columns ignored: {}", table.ignored().join(", ")))?;
    }
    let mut progress = Progress::start("checking", 0);
    let mut checked = Checked::default();
    while let Some(line) = table.next_flight()? {
        checked.lines += 1;
        progress.reached(checked.lines);
        if let Err(bad) = line {
            checked.count += 1;
            if checked.shown.len() < SHOWN_MAX {
                checked.shown.push(bad);
            }
        }
    }
    progress.finish();
    Ok(checked)
}

fn open(file: &Path, currency: Currency) -> anyhow::Result<Table<Box<dyn Read>>> {
    let opened = || Table::new(plain_text(file)?, currency);
    opened().with_context(|| format!("cannot import {}", file.display()))
}

/// The file's text, unpacked if its first two bytes say gzip.
fn plain_text(file: &Path) -> anyhow::Result<Box<dyn Read>> {
    use std::io::{BufRead, BufReader};

    let mut bytes = BufReader::new(std::fs::File::open(file)?);
    Ok(if bytes.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(bytes))
    } else {
        Box::new(bytes)
    })
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

    #[test]
    fn bad_lines_are_counted_and_ten_are_shown() {
        let mut text = HEADER.to_owned();
        for _ in 0..12 {
            writeln!(text, "Delhi,Delhi,2025-01-20T10:00:00Z,180,2500").expect("a string");
        }
        let checked = check(file_of(&text).path(), inr()).expect("readable");
        assert_eq!((checked.lines, checked.count, checked.shown.len()), (12, 12, SHOWN_MAX));
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes_and_a_cut_off_file_is_an_error() {
        let text = format!("{HEADER}Delhi,Mumbai,2025-01-20T10:00:00Z,180,2500\n");
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(text.as_bytes()).expect("packed");
        let packed = packer.finish().expect("packed");
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&packed).expect("written");
        let checked = check(file.path(), inr()).expect("readable");
        assert_eq!((checked.lines, checked.count), (1, 0));

        file.as_file().set_len(packed.len() as u64 - 6).expect("cut");
        assert!(check(file.path(), inr()).is_err());
    }
}
