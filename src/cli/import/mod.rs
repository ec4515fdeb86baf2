//! `import FILE`: imports flights from a CSV file; imports nothing if a line is invalid.
//!
//! The file is read twice, so that it is never in memory as a whole: the first pass checks every line, the
//! second imports them in chunks. The first pass keeps a few bytes per line to find lines that contradict
//! each other. Stored flights stay as they are, or with `--update` get the values of the file, so an
//! interrupted import is repeated with the same command.

mod fields;
#[cfg(test)]
#[path = "../../../tests/fuzzing/csv.rs"]
mod fuzz;
mod head;
mod matching;
mod progress;
mod seen;
mod source;
mod table;
mod update;

use super::say;
use crate::app::{self, Access, Beside};
use crate::config::Config;
use crate::domain::{Currency, FareName, FareRules};
use crate::store::Store;
use anyhow::{Context, bail};
use fields::shown;
use progress::Progress;
use seen::Seen;
use source::Source;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use table::{BadLine, Line, Reading, Table};
use update::{Tally, Update};

/// The format of the file: the end of `import --help`.
const HELP: &str = "\
The first line names the columns, in any order; other columns are ignored. Case, spaces, underscores and
hyphens in a name make no difference:
  source, destination   cities or airports
  timestamp             departure, RFC 3339 (2025-01-20T10:00:00Z, 2025-01-20T15:30:00+05:30)
  total_seats           seats on board
  price                 price of one seat (2500.00)
  flight_number         optional; stored in capitals without spaces and hyphens (ai 101 is AI101)
  arrival_timestamp     optional, RFC 3339
  taxes                 optional, part of the price that a refund always returns; default: 0
  fare_rules            optional, name of the fare rules that decide what a cancellation costs; default: free
  available_seats       optional, seats to sell; default: total_seats
  flight_status         optional; default: scheduled
Commas, semicolons or tabs separate the fields; with semicolons 2500,00 is a price too. Blank lines are
skipped, and so are comments (#) before the column names. FILE may be - (standard input) or a pipe.
Two lines for the same flight must not differ. A flight that is stored already (same number, route and
departure) stays as it is.

With --update such a flight gets the line's times, price, taxes, fare rules, status and seats, by the rules of PUT /flights. An
empty field changes nothing. available_seats counts all seats to sell here, including sold ones. A flight
with another departure time is found by its number and route on the same day or within 12 hours, if only one
flight matches. Two more columns are read:
  id                    optional, the id of the flight to change
  version               optional, the version that the flight must have
Refused lines are reported by number, the other lines are imported, and the exit code is 1. The same file can
be imported again at any time, for example after a crash, and while a service runs.";

/// Flights per transaction.
const CHUNK_SIZE: usize = 5_000;

/// Maximum invalid lines that are printed. The others are counted.
const SHOWN_MAX: usize = 10;

/// The arguments of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct ImportArgs {
    /// CSV file; - is standard input
    file: PathBuf,
    /// Change stored flights to the values of the file, by the rules of PUT /flights
    #[arg(long)]
    update: bool,
}

/// The exit code is 1 if a line is invalid or refused.
pub(super) async fn import(config: &Config, args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let started_at = Instant::now();
    let in_file = || format!("cannot import {}", args.file.display());
    let source = Source::open(&args.file).with_context(in_file)?;
    let reading = Reading { currency: config.currency, updates: args.update };
    let bad = check(&source, reading).with_context(in_file)?;
    if bad.count > 0 {
        for line in &bad.shown {
            eprintln!("{line}");
        }
        let more = more_of(bad.count, bad.shown.len());
        eprintln!("nothing was imported: {} of {} lines are invalid{more}", bad.count, bad.lines);
        return Ok(ExitCode::FAILURE);
    }

    let mut table = open(&source, reading).with_context(in_file)?;
    if args.update {
        return update(config, &mut table, &bad, started_at).await;
    }
    let (imported, read) = app::with_store(config, Access::Write, async |store, clock| {
        check_fare_rules(&*store, config.currency, &bad.fare_rules).await?;
        let mut progress = Progress::start("importing", bad.lines);
        let (mut imported, mut read) = (0, 0);
        while let Some(lines) = next_chunk(&mut table)? {
            let flights: Vec<_> = lines.into_iter().map(|line| line.flight).collect();
            let created = store.import_flights(&flights, config.currency, clock.now()).await;
            imported += created.with_context(|| stopped_after(read))?;
            read += flights.len();
            progress.reached(read);
        }
        progress.finish();
        Ok((imported, read))
    })
    .await?;
    let seconds = started_at.elapsed().as_secs_f64();
    say(&format!("{imported} imported, {} already there, in {seconds:.1} s", read - imported))?;
    Ok(ExitCode::SUCCESS)
}

/// Imports new flights, and changes stored ones to the values of their lines.
async fn update(
    config: &Config,
    table: &mut Table,
    checked: &Checked,
    started_at: Instant,
) -> anyhow::Result<ExitCode> {
    let beside = Beside::open(config).await?;
    let updated = update_lines(&beside, config, table, checked).await;
    beside.close().await;
    let tally = updated?;
    for line in &tally.shown {
        eprintln!("{line}");
    }
    let more = more_of(tally.refused, tally.shown.len());
    let seconds = started_at.elapsed().as_secs_f64();
    say(&format!(
        "{} inserted, {} updated, {} unchanged, {} refused{more}, in {seconds:.1} s",
        tally.inserted, tally.updated, tally.unchanged, tally.refused
    ))?;
    Ok(if tally.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn update_lines(
    beside: &Beside,
    config: &Config,
    table: &mut Table,
    checked: &Checked,
) -> anyhow::Result<Tally> {
    check_fare_rules(&*beside.store, config.currency, &checked.fare_rules).await?;
    let mut progress = Progress::start("importing", checked.lines);
    let mut update = Update::new(beside, config.currency, &checked.seen);
    let mut read = 0;
    while let Some(lines) = next_chunk(table)? {
        let count = lines.len();
        update.take(lines).await.with_context(|| stopped_after(read))?;
        read += count;
        progress.reached(read);
    }
    progress.finish();
    Ok(update.tally)
}

fn stopped_after(lines: usize) -> String {
    format!("stopped after {lines} lines, which are imported; run the import again to continue")
}

fn more_of(count: usize, shown: usize) -> String {
    match count - shown {
        0 => String::new(),
        more => format!(" ({more} of them not listed)"),
    }
}

/// The next lines of a checked file; `None` at the end.
fn next_chunk(table: &mut Table) -> anyhow::Result<Option<Vec<Line>>> {
    let mut chunk = Vec::with_capacity(CHUNK_SIZE);
    while chunk.len() < CHUNK_SIZE {
        match table.next_line()? {
            Some(Ok(line)) => chunk.push(line),
            Some(Err(line)) => bail!("the file changed during the import: {line}"),
            None => break,
        }
    }
    Ok((!chunk.is_empty()).then_some(chunk))
}

/// The result of the first pass.
#[derive(Default)]
struct Checked {
    lines: usize,
    count: usize,
    shown: Vec<BadLine>,
    seen: Seen,
    /// Names of fare rules, each with a line that has it.
    fare_rules: BTreeMap<FareName, u64>,
}

fn check(source: &Source, reading: Reading) -> anyhow::Result<Checked> {
    let mut table = open(source, reading)?;
    let ignored: Vec<_> = table.ignored().map(shown).collect();
    if !ignored.is_empty() {
        say(&format!("columns ignored: {}", ignored.join(", ")))?;
    }
    let mut progress = Progress::start("checking", 0);
    let mut checked = Checked::default();
    while let Some(line) = table.next_line()? {
        checked.lines += 1;
        progress.reached(checked.lines);
        if let Ok(Line { number, flight, .. }) = &line {
            checked.fare_rules.entry(flight.fare_rules.clone()).or_insert(*number);
        }
        if let Err(bad) = line.and_then(|line| checked.seen.agrees(&line)) {
            checked.count += 1;
            if checked.shown.len() < SHOWN_MAX {
                checked.shown.push(bad);
            }
        }
    }
    progress.finish();
    Ok(checked)
}

/// Fails if there are no fare rules of one of these names.
async fn check_fare_rules(
    store: &dyn Store,
    currency: Currency,
    names: &BTreeMap<FareName, u64>,
) -> anyhow::Result<()> {
    for (name, line) in names {
        let is_shipped = FareRules::is_shipped(name.as_str());
        if !is_shipped && store.fare_rules(name.as_str(), currency).await?.is_none() {
            bail!(
                "nothing was imported: line {line} names the fare rules {name}, which do not exist"
            );
        }
    }
    Ok(())
}

fn open(source: &Source, reading: Reading) -> anyhow::Result<Table> {
    Table::new(source.text()?, reading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use std::io::Write as _;

    const HEADER: &str = "source,destination,timestamp,total_seats,price\n";

    fn inr() -> crate::domain::Currency {
        "INR".parse().expect("a currency")
    }

    fn file_of(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    fn checked(file: &tempfile::NamedTempFile) -> anyhow::Result<Checked> {
        check(&Source::open(file.path())?, Reading { currency: inr(), updates: false })
    }

    #[test]
    fn invalid_lines_are_counted_and_ten_are_printed() {
        let mut text = HEADER.to_owned();
        for _ in 0..12 {
            writeln!(text, "Delhi,Delhi,2025-01-20T10:00:00Z,180,2500").expect("a string");
        }
        let found = checked(&file_of(&text)).expect("readable");
        assert_eq!((found.lines, found.count, found.shown.len()), (12, 12, SHOWN_MAX));
    }

    #[test]
    fn gzip_is_recognised_by_its_first_bytes_and_a_truncated_file_is_an_error() {
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
