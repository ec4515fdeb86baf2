//! Random changes of bytes on a connection, as HTTP/1.1 writes requests.

use super::mutation::{
    HEADERS, Mutation, cut, double, flip, insert, one, overwrite, remove, scaled,
};

/// For bytes on a connection.
pub const SOCKET: &[Mutation] = &[
    insert,
    overwrite,
    cut,
    flip,
    double,
    remove,
    in_a_row,
    in_a_row,
    long_header,
    long_header,
    header_line,
    framing,
    framing,
    line_ends,
];

/// Bytes of long headers: below and above the limit of a head, and far above it.
const HEADER_BYTES: [usize; 5] = [300, 8_000, 32_000, 33_000, 300_000];

/// Most requests in a row.
const ROW_MAX: u16 = 40;

/// Lines that say where a request ends, or do not.
const FRAMING: &[&str] = &[
    "Content-Length: 0",
    "Content-Length: 5",
    "Content-Length: -1",
    "Content-Length: 5, 6",
    "Content-Length: 18446744073709551616",
    "Content-Length: 1000000",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: \u{b}chunked",
    "Transfer-Encoding : chunked",
    "Expect: 100-continue",
    "Expect: 200-ok",
    "Connection: close",
    "Connection: upgrade\r\nUpgrade: websocket",
    "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    "Host: a\r\nHost: b",
    " folded",
    "\0",
];

/// The start of the line after the place, or the input's end.
fn line_after(input: &[u8], at: u16) -> usize {
    let from = scaled(at, input.len() + 1);
    input[from..].iter().position(|byte| *byte == b'\n').map_or(input.len(), |end| from + end + 1)
}

fn with_line(input: &[u8], at: u16, line: &[u8]) -> Vec<u8> {
    let at = line_after(input, at);
    [&input[..at], line, b"\r\n", &input[at..]].concat()
}

/// Sends all of it several times.
fn in_a_row(input: &[u8], at: u16, _what: u16) -> Vec<u8> {
    // Inputs that a change made long are long enough.
    if input.len() > 20_000 { input.to_vec() } else { input.repeat(usize::from(1 + at % ROW_MAX)) }
}

/// Adds one long header, or many short ones.
fn long_header(input: &[u8], at: u16, what: u16) -> Vec<u8> {
    let bytes = *one(&HEADER_BYTES, what >> 1);
    let line = match what & 1 {
        0 => [b"X-Long: ", &b"y".repeat(bytes)[..]].concat(),
        _ => [&b"X: y\r\n".repeat(bytes / 6)[..], b"X: y"].concat(),
    };
    with_line(input, at, &line)
}

fn header_line(input: &[u8], at: u16, what: u16) -> Vec<u8> {
    with_line(input, at, one(HEADERS, what).as_bytes())
}

fn framing(input: &[u8], at: u16, what: u16) -> Vec<u8> {
    with_line(input, at, one(FRAMING, what).as_bytes())
}

/// Ends lines otherwise.
fn line_ends(input: &[u8], _at: u16, what: u16) -> Vec<u8> {
    let ends = *one(&[&b"\n"[..], b"\r", b"\n\r", b"\r\r\n", b"\r\n\r\n"], what);
    let mut output = Vec::new();
    for (index, line) in input.split(|byte| *byte == b'\n').enumerate() {
        if index > 0 {
            output.extend_from_slice(ends);
        }
        output.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
    }
    output
}
