//! A file of any bytes: it is read to its end or refused, and each fault names a line.

use super::{Reading, SHOWN_MAX, Source, check, next_chunk, open};
use crate::fuzzing::{CSV, Target};
use std::io::{Seek as _, Write as _};
use std::time::{Duration, Instant};

/// Longest time for one file of some kilobytes. An input that takes longer is a hang.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Longest text about a file or a line, in characters: it quotes little of either.
const TEXT_MAX: usize = 2_000;

const SEEDS: &[&str] = &[
    "flight_number,source,destination,timestamp,arrival_timestamp,total_seats,price\n\
     AI101,Delhi,Mumbai,2030-01-20T10:00:00Z,2030-01-20T12:00:00Z,180,2500.00\n\
     ai 102,\"New York, JFK\",\"Los \"\"Angeles\"\"\",2030-01-21T10:00:00+05:30,,100,199\n",
    "\u{feff}# flights\n\nSource;Destination;Timestamp;Total-Seats;Price;available_seats;flight_status\r\n\
     Delhi;Mumbai;2030-01-20T10:00:00Z;180;2500,00;170;scheduled\r\n",
    "id\tversion\tsource\tdestination\ttimestamp\ttotal_seats\tprice\n\
     1\t2\tDelhi\tMumbai\t2030-01-20T10:00:00Z\t180\t2500\n",
];

fn packed(text: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text).expect("packed");
    packer.finish().expect("packed")
}

/// Reads a file twice, as an import does.
fn read(input: &[u8], updates: bool) {
    let started_at = Instant::now();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(input).expect("written");
    file.rewind().expect("rewound");
    let source = Source::open(file.path()).expect("a file");
    let reading = Reading { currency: "INR".parse().expect("a currency"), updates };
    match check(&source, reading) {
        Err(refused) => {
            let text = format!("{refused:#}");
            assert!(!text.is_empty() && text.chars().count() <= TEXT_MAX, "{text}");
        }
        Ok(found) => {
            assert!(found.count <= found.lines && found.shown.len() <= found.count.min(SHOWN_MAX));
            for bad in &found.shown {
                let text = bad.to_string();
                assert!(bad.number > 0 && !bad.faults.is_empty(), "{text}");
                assert!(text.chars().count() <= TEXT_MAX, "{text}");
                assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
            }
            if found.count == 0 {
                let mut table = open(&source, reading).expect("readable again");
                let mut lines = 0;
                while let Some(chunk) = next_chunk(&mut table).expect("readable again") {
                    lines += chunk.len();
                }
                assert_eq!(lines, found.lines);
            }
        }
    }
    assert!(started_at.elapsed() <= TIME_MAX, "{:?}", started_at.elapsed());
}

#[test]
fn fuzz_a_csv_file_of_any_bytes_is_read_or_refused() {
    let mut seeds: Vec<_> = SEEDS.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    seeds.push(packed(SEEDS[0].as_bytes()));
    let mut updates = false;
    Target { name: "csv", seeds, mutations: CSV }.run(|input| {
        updates = !updates;
        read(input, updates);
        read(&packed(input), updates);
    });
}
