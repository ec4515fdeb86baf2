//! Import of files as spreadsheets, scripts and people write them.

use crate::support::process::{binary, run, run_with};
use std::io::Write as _;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;

const HEAD: &str = "flight_number,source,destination,timestamp,total_seats,price";
const LINE: &str = "AI101,Delhi,Mumbai,2030-01-20T10:00:00Z,180,2500.00";

async fn import(bytes: &[u8]) -> (i32, String) {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("flights.csv"), bytes).expect("a file");
    run(directory.path(), &["import", "flights.csv"]).await
}

async fn is_imported(bytes: &[u8], count: usize) {
    let (code, printed) = import(bytes).await;
    let told = String::from_utf8_lossy(bytes);
    assert_eq!(code, 0, "{told:?}: {printed}");
    assert!(printed.contains(&format!("{count} imported, 0 already there")), "{told:?}: {printed}");
}

async fn is_refused(bytes: &[u8], words: &[&str]) {
    let (code, printed) = import(bytes).await;
    let told = String::from_utf8_lossy(bytes);
    assert_eq!(code, 1, "{told:?}: {printed}");
    for word in words {
        assert!(printed.contains(word), "{told:?} is told {printed}, without {word}");
    }
}

#[tokio::test]
async fn blank_rows_are_skipped_and_lines_are_counted_as_an_editor_counts() {
    let rows = ["\u{feff}", " ", "# as of today", ",,,,,", HEAD, "", LINE, "  ", ",,,,,", "", ""];
    let bad = LINE.replace("180", "many");
    for end in ["\n", "\r\n", "\r"] {
        let sound = rows.join(end);
        is_imported(sound.as_bytes(), 1).await;
        is_imported(format!("{sound}\u{1a}").as_bytes(), 1).await;
        let wrong = format!("{}{end}{bad}{end}{end}", rows.join(end));
        is_refused(wrong.as_bytes(), &["line 12: total_seats", "not \"many\""]).await;
        let unended = format!("{}{end}{bad}", rows.join(end));
        is_refused(unended.as_bytes(), &["line 12: total_seats"]).await;
        let quoted = LINE.replace("AI101", "\"AI\n101\"");
        let after_quoted = [HEAD, "", &quoted, "", &bad].join(end);
        is_refused(after_quoted.as_bytes(), &["line 6: total_seats"]).await;
    }
}

#[tokio::test]
async fn column_names_in_any_case_and_other_delimiters_are_accepted() {
    let price = |text: &str| format!("{HEAD}\n{LINE}\n").replace(',', ";").replace("2500.00", text);
    is_imported(price("2500,00").as_bytes(), 1).await;
    is_imported(price("2500.00").as_bytes(), 1).await;
    is_imported(format!("sep=;\r\n{}", price("2500,5")).as_bytes(), 1).await;
    is_imported(format!("{HEAD}\n{LINE}\n").replace(',', "\t").as_bytes(), 1).await;
    let head = "Flight Number,SOURCE,Destination,TimeStamp,Total-Seats, price ";
    is_imported(format!("{head}\n{LINE}\n").as_bytes(), 1).await;
    for text in ["1.000", "1,000", "2.500,00", "2,500.00", "1,2,3"] {
        is_refused(price(text).as_bytes(), &["line 2: price"]).await;
    }
    for text in ["\"1,000\"", "\"2500,00\"", "1.000"] {
        let line = LINE.replace("2500.00", text);
        is_refused(format!("{HEAD}\n{line}\n").as_bytes(), &["line 2: price"]).await;
    }
}

#[tokio::test]
async fn a_file_that_is_not_csv_is_refused_with_advice() {
    let wide: Vec<u8> = HEAD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    is_refused(&wide, &["UTF-16", "CSV UTF-8"]).await;
    is_refused(&[&b"\xff\xfe"[..], &wide].concat(), &["UTF-16", "CSV UTF-8"]).await;
    is_refused(b"PK\x03\x04rest", &["Excel", "CSV UTF-8"]).await;
    is_refused(b"source,pri\xe7e\n", &["not UTF-8"]).await;
}

#[tokio::test]
async fn a_pipe_can_be_imported() {
    let text = format!("{HEAD}\n{LINE}\n");
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_bytes()).expect("packed");
    let packed = packer.finish().expect("packed");
    for bytes in [text.as_bytes(), &packed] {
        for name in ["-", "/dev/stdin"] {
            let directory = tempfile::tempdir().expect("a directory");
            let mut command = binary(directory.path(), &[]);
            command.args(["import", name]).stdin(Stdio::piped());
            let mut process =
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
            let mut pipe = process.stdin.take().expect("piped");
            pipe.write_all(bytes).await.expect("written");
            drop(pipe);
            let output = process.wait_with_output().await.expect("it ends");
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(printed.contains("1 imported"), "{name}: {printed} {output:?}");
        }
    }
}

#[tokio::test]
async fn a_missing_column_is_reported_with_the_columns_found() {
    let text = "src,destinaton,timestamp,seats,price,\nDelhi,Mumbai,,1,1,\n";
    let words = [
        "source, destination, total_seats are missing",
        "`,`",
        "is \"destinaton\" meant as destination?",
    ];
    is_refused(text.as_bytes(), &words).await;
    let (_, printed) = import(format!("{HEAD},gate,\n{LINE},,\n").as_bytes()).await;
    assert!(printed.contains("columns ignored: \"gate\"\n"), "{printed}");
}

#[tokio::test]
async fn a_timestamp_without_an_offset_is_explained() {
    for (text, word) in [
        ("2030-03-01T10:00:00", "lacks the offset"),
        ("2030-03-01 10:00", "lacks the seconds and the offset"),
        ("2030-03-01T10:00Z", "lacks the seconds;"),
        ("2030-03-01T10:00:00+0530", "not written as +05:30"),
        ("2030-03-01", "lacks the time of day"),
        ("01/03/2030 10:00", "ambiguous"),
        ("44256.4", "Excel"),
        ("\u{1b}[2Jx", "\"\\u{1b}[2Jx\" is not a timestamp"),
        ("", "is empty"),
    ] {
        let line = LINE.replace("2030-01-20T10:00:00Z", text);
        is_refused(format!("{HEAD}\n{line}\n").as_bytes(), &[word, "2025-01-20T10:00:00Z"]).await;
    }
    let line = LINE.replace("2030-01-20T10:00:00Z", &"x".repeat(10_000));
    let (_, printed) = import(format!("{HEAD}\n{line}\n").as_bytes()).await;
    assert!(printed.len() < 400, "{printed}");
}

#[tokio::test]
async fn an_import_recognises_a_flight_number_in_any_notation() {
    let directory = tempfile::tempdir().expect("a directory");
    for (number, imported) in [("AI101", 1), ("ai 101", 0), ("AI-101", 0), (" Ai101 ", 0)] {
        let text = format!("{HEAD}\n{}\n", LINE.replace("AI101", number));
        std::fs::write(directory.path().join("flights.csv"), text).expect("a file");
        let (_, printed) = run_with(directory.path(), &[], &["import", "flights.csv"]).await;
        assert!(printed.contains(&format!("{imported} imported")), "{number}: {printed}");
    }
}

#[tokio::test]
async fn two_lines_that_contradict_each_other_are_both_named() {
    let same = LINE.replace("AI101", "ai 101");
    let (code, printed) = import(format!("{HEAD}\n{LINE}\n{same}\n").as_bytes()).await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("1 imported, 1 already there"), "{printed}");
    for (from, to) in [("180", "181"), ("2500.00", "2600.00")] {
        let other = same.replace(from, to);
        let text = format!("{HEAD}\n\n{LINE}\n{other}\n");
        is_refused(text.as_bytes(), &["line 4: contradicts line 3"]).await;
    }
}
