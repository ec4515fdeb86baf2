//! Random changes of an input: of its bytes, of its JSON, of its header lines.

use super::halves;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// A change: which mutation, where, and what.
pub type Change = (u8, u16, u16);

/// Changes an input at a place, by one of its odd things.
pub type Mutation = fn(&[u8], u16, u16) -> Vec<u8>;

/// For text of any kind.
pub const TEXT: &[Mutation] = &[insert, overwrite, cut, flip, double, remove];

/// For CSV.
pub const CSV: &[Mutation] = &[insert, overwrite, cut, flip, double, remove, csv_field, csv_field];

/// For two JSON texts with a blank line between them.
pub const JSON: &[Mutation] = &[value, value, twice, rename, insert, overwrite, cut, flip];

/// For a request: `METHOD path`, header lines, a blank line and the body.
pub const REQUEST: &[Mutation] = &[
    value, value, value, twice, rename, header, header, query, query, insert, overwrite, cut, flip,
];

/// For a message: header lines, a blank line and the payload.
pub const MESSAGE: &[Mutation] =
    &[value, value, value, twice, rename, insert, overwrite, cut, flip];

/// Stands where the new JSON goes.
const MARK: &str = "@@here@@";

/// JSON values, and texts that are none.
static VALUES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let plain = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1",
        "1",
        "1.0",
        "1.5",
        "1e2",
        "1e-2",
        "2147483647",
        "2147483648",
        "-2147483649",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "1e308",
        "1e309",
        "1e999999999999",
        "-1e-999999999",
        "0.1234567890123456789",
        "01",
        "+1",
        ".5",
        "1.",
        "NaN",
        "Infinity",
        "0x10",
        "[]",
        "{}",
        "[[]]",
        "[null]",
        "[{}]",
        "{\"\":0}",
        "\"\"",
        "\" \"",
        "\"\\u0000\"",
        "\"a\\u0000b\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\ud83d\\ude00\"",
        "\"\\u202e\\u2066\"",
        "\"é\"",
        "\"e\u{301}\"",
        "\"ﬃ\"",
        "\"İ\"",
        "\"\u{feff}\"",
        "\"\\\"\"",
        "\"\n\"",
        "\"\\x\"",
        "'x'",
        "undefined",
        "\"1\"",
        "\"1e2\"",
        "\"2025-02-30T00:00:00Z\"",
        "\"2025-01-20T10:00:60Z\"",
        "\"+262143-01-01T00:00:00Z\"",
        "\"0000-01-01T00:00:00Z\"",
        "\"9999-12-31T23:59:59-23:59\"",
        "\"2025-01-20T10:00:00.123456789123Z\"",
        "\"Delhi\"",
        "\"pm_card_declined\"",
        "\"cancelled\"",
        "\"completed\"",
        "\"reverse\"",
        "\"a@b\"",
        "//",
        "",
    ];
    let mut values: Vec<String> = plain.iter().map(ToString::to_string).collect();
    for length in [120, 200, 1_000, 70_000] {
        values.push(json!("x".repeat(length)).to_string());
        values.push("9".repeat(length));
        values.push(format!("0.{}", "9".repeat(length)));
        values.push(json!("\u{1f680}".repeat(length / 4)).to_string());
    }
    for depth in [50, 127, 128, 5_000] {
        values.push(format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        values.push(format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)));
    }
    values.push(format!("[{}null]", "null,".repeat(2_000)));
    values
});

/// Pieces of text that parsers stumble over.
const TEXTS: &[&[u8]] = &[
    b"\0",
    b"\n",
    b"\r\n",
    b"\t",
    b" ",
    b"\"",
    b"\"\"",
    b"'",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b",",
    b";",
    b":",
    b"=",
    b"&",
    b"?",
    b"#",
    b"/",
    b"..",
    b"%",
    b"%00",
    b"%zz",
    b"%ff",
    b"%2F",
    b"%C3%28",
    b"+",
    b"-",
    b".",
    b"*",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\xff",
    b"\xfe\xff",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98\x80",
    b"\xe2\x80\xae",
    b"\xcc\x81",
    b"0",
    b"9",
    b"99999999999999999999",
    b"-1",
    b"1e999",
    b"null",
    b"none",
    b"W/",
    b"\x1f\x8b",
    b"\x7f",
    b"\x80",
    b"${jndi:x}",
    b"' OR 1=1 --",
    b"<script>",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

/// Header lines.
pub(super) const HEADERS: &[&str] = &[
    "idempotency-key:",
    "idempotency-key: a",
    "idempotency-key: \"a b\"",
    "idempotency-key: \u{e9}",
    "idempotency-key: a\tb",
    "if-match: *",
    "if-match: \"1\"",
    "if-match: W/\"1\"",
    "if-match: 1",
    "if-match: \"1",
    "if-match: \"99999999999999999999\"",
    "if-match: \"-1\", \"1\"",
    "if-match:",
    "if-none-match: *",
    "if-none-match: \"1\"",
    "prefer: wait=0",
    "prefer: wait=-1",
    "prefer: wait",
    "prefer: wait=99999999999999999999",
    "prefer: wait=1;a=\"b, wait=2\"",
    "prefer: wait=\"1\"",
    "prefer: respond-async, wait=1",
    "prefer: =;,=\"",
    "authorization: Bearer",
    "authorization:",
    "authorization: Bearer ..",
    "authorization: Basic YTpi",
    "x-forwarded-for: 1.2.3.4, ::1",
    "x-forwarded-for: unknown",
    "x-forwarded-for: 1.2.3.4:80, [::1]:9",
    "x-forwarded-for: ,,,",
    "x-forwarded-for: 999.1.1.1",
    "forwarded: for=1.2.3.4;proto=https",
    "forwarded: for=\"[::1]:80\"",
    "forwarded: for=\"",
    "forwarded: for=_x;for=_y, for=",
    "forwarded: ;;,,==",
    "accept-encoding: gzip",
    "accept-encoding: gzip;q=0",
    "accept-encoding: *;q=1e9, identity;q=",
    "accept-encoding: gzip;q=0.0001;q=2",
    "host: [::1",
    "host: a:b:c",
    "host: localhost:99999",
    "host:",
    "host: evil.example",
    "host: user@localhost",
    "host: localhost:",
    "traceparent: 00",
    "traceparent: 00-00000000000000000000000000000000-0000000000000000-00",
    "traceparent: ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
    "tracestate: =,=,a=b",
    "traceparent: 00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
    "content-type: text/plain",
    "content-type: application/json; charset=utf-16",
    "content-type:",
    "content-type: application/json;;;=\"",
    "content-encoding: gzip",
    "content-encoding: ,",
    "origin: null",
    "origin: https://evil.example",
    "origin: http://localhost:8080",
    "origin: ::",
    "sec-fetch-site: cross-site",
    "sec-fetch-site: same-site",
    "x-request-id: a b",
    "x-request-id:",
    "x-request-id: \u{e9}",
    "accept: text/html;q=2",
    "accept: */*;q=-1, ;",
    "range: bytes=0-9999999999",
    "expect: 100-continue",
    "access-control-request-method: PUT",
    "cookie: a=b; c",
    "te: trailers",
];

/// Query parameters.
const PARAMETERS: &[&str] = &[
    "date=2025-02-30",
    "date=",
    "date=2025-01-20&date=2025-01-21",
    "date=%F0%9F%98%80",
    "seats=0",
    "date=+262143-01-01",
    "date=-262144-01-01",
    "date=9999-12-31",
    "date=0000-01-01",
    "date=today",
    "seats=-1",
    "seats=99999999999",
    "seats=1e1",
    "seats=%31",
    "sort=price",
    "sort=-price",
    "sort=,",
    "sort=-",
    "sort=price,-timestamp",
    "max_price=0",
    "max_price=-1",
    "max_price=1e400",
    "max_price=0.001",
    "max_price=NaN",
    "max_price=99999999999999999999999",
    "limit=0",
    "limit=-1",
    "limit=9223372036854775808",
    "limit=1",
    "cursor=",
    "cursor=1",
    "cursor=%00",
    "cursor=-1",
    "cursor=9223372036854775807",
    "cursor=AAAA",
    "status=pending",
    "status=%20",
    "status=nope",
    "source=%ff",
    "source=%00",
    "source=Delhi%20",
    "source=%E2%80%AE",
    "destination=Delhi",
    "=",
    "==",
    "a",
    "&&&",
    "%",
    "%%%",
    "source[]=1",
    "a=b;c=d",
    "+=+",
];

/// Fields of a CSV line.
const FIELDS: &[&str] = &[
    "",
    "\"",
    "\"\"",
    "\"a\nb\"",
    "\"a\"b",
    "a\"b\"",
    "source",
    "id",
    "-1",
    "0",
    "2147483648",
    "1e9",
    "1,000",
    "1.000",
    "1;000",
    "NaN",
    "2500,00",
    "0.001",
    "99999999999999999999999999",
    "2030-01-20T10:00:00",
    "2030-01-20",
    "2030-01-20T10:00:00+99:00",
    "44256.4",
    "=cmd|' /C'!A0",
    "#",
    "# x",
    "\u{feff}",
    "\u{a0}",
    "Delhi",
    "\u{202e}Delhi",
    "a\0b",
    "cancelled",
    "completed",
    "\t",
];

/// Applies changes, one after the other.
pub fn changed(seed: &[u8], mutations: &[Mutation], changes: &[Change]) -> Vec<u8> {
    changes.iter().fold(seed.to_vec(), |input, (mutation, at, what)| {
        mutations[usize::from(*mutation) % mutations.len()](&input, *at, *what)
    })
}

/// `at` as a place in `0..length`; 0 if there is none.
pub(super) fn scaled(at: u16, length: usize) -> usize {
    usize::from(at) * length / 65_536
}

pub(super) fn one<T>(of: &[T], what: u16) -> &T {
    &of[usize::from(what) % of.len()]
}

fn spliced(input: &[u8], from: usize, to: usize, piece: &[u8]) -> Vec<u8> {
    [&input[..from], piece, &input[to..]].concat()
}

pub(super) fn insert(input: &[u8], at: u16, what: u16) -> Vec<u8> {
    let at = scaled(at, input.len() + 1);
    spliced(input, at, at, one::<&[u8]>(TEXTS, what))
}

pub(super) fn overwrite(input: &[u8], at: u16, what: u16) -> Vec<u8> {
    let from = scaled(at, input.len() + 1);
    let to = (from + 1 + usize::from(what >> 8) % 16).min(input.len());
    spliced(input, from, to, one::<&[u8]>(TEXTS, what & 0xff))
}

pub(super) fn cut(input: &[u8], at: u16, _what: u16) -> Vec<u8> {
    input[..scaled(at, input.len() + 1)].to_vec()
}

pub(super) fn remove(input: &[u8], at: u16, what: u16) -> Vec<u8> {
    let from = scaled(at, input.len() + 1);
    let to = (from + 1 + usize::from(what) % 40).min(input.len());
    spliced(input, from, to, b"")
}

pub(super) fn flip(input: &[u8], at: u16, what: u16) -> Vec<u8> {
    let mut input = input.to_vec();
    let at = scaled(at, input.len());
    if let Some(byte) = input.get_mut(at) {
        *byte ^= (what as u8).max(1);
    }
    input
}

pub(super) fn double(input: &[u8], at: u16, what: u16) -> Vec<u8> {
    let from = scaled(at, input.len() + 1);
    let to = (from + usize::from(what) % 200).min(input.len());
    spliced(input, from, from, &input[from..to].repeat(1 + usize::from(what >> 12)))
}

/// Adds a header line, or puts it in place of another.
fn header(input: &[u8], at: u16, what: u16) -> Vec<u8> {
    let (head, body) = halves(input);
    let mut lines: Vec<_> = head.split(|byte| *byte == b'\n').collect();
    let place = 1 + scaled(at, lines.len());
    if at & 1 == 0 && place < lines.len() {
        lines.remove(place);
    }
    lines.insert(place.min(lines.len()), one(HEADERS, what).as_bytes());
    [&lines.join(&b'\n'), &b"\n\n"[..], body].concat()
}

/// Adds a parameter to the query, or puts it in place of one.
fn query(input: &[u8], at: u16, what: u16) -> Vec<u8> {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (line, rest) = input.split_at(end);
    let parameter = one(PARAMETERS, what).as_bytes();
    let Some(start) = line.iter().position(|byte| *byte == b'?') else {
        return [line, b"?", parameter, rest].concat();
    };
    let mut parameters: Vec<_> = line[start + 1..].split(|byte| *byte == b'&').collect();
    let place = scaled(at, parameters.len());
    if at & 1 == 0 {
        parameters[place] = parameter;
    } else {
        parameters.insert(place, parameter);
    }
    [&line[..=start], &parameters.join(&b'&'), rest].concat()
}

fn csv_field(input: &[u8], at: u16, what: u16) -> Vec<u8> {
    let ends = |byte: &u8| matches!(byte, b',' | b'\n' | b';' | b'\t');
    let from = scaled(at, input.len() + 1);
    let from = input[..from].iter().rposition(ends).map_or(0, |end| end + 1);
    let to = input[from..].iter().position(ends).map_or(input.len(), |end| from + end);
    spliced(input, from, to, one(FIELDS, what).as_bytes())
}

/// Puts another value in place of one.
fn value(input: &[u8], at: u16, what: u16) -> Vec<u8> {
    in_json(input, at, |_, _| one(&VALUES, what).clone()).unwrap_or_else(|| insert(input, at, what))
}

/// Gives a member or an element twice: another value first.
fn twice(input: &[u8], at: u16, what: u16) -> Vec<u8> {
    let both = |name: Option<&str>, before: &Value| {
        let name = name.map(|name| format!("{}:", json!(name))).unwrap_or_default();
        format!("{},{name}{before}", one(&VALUES, what))
    };
    in_json(input, at, both).unwrap_or_else(|| double(input, at, what))
}

/// Adds a member with an odd name.
fn rename(input: &[u8], at: u16, what: u16) -> Vec<u8> {
    let odd = |name: Option<&str>, before: &Value| {
        let odd = one(&VALUES, what);
        let odd = if odd.starts_with('"') { odd.clone() } else { json!(odd).to_string() };
        if name.is_some() { format!("{before},{odd}:{before}") } else { format!("{before},{odd}") }
    };
    in_json(input, at, odd).unwrap_or_else(|| overwrite(input, at, what))
}

/// Rewrites one value of the JSON in either half; `None` if neither is JSON.
fn in_json(input: &[u8], at: u16, new: impl Fn(Option<&str>, &Value) -> String) -> Option<Vec<u8>> {
    let (head, body) = halves(input);
    let in_head = at & 1 == 1 && serde_json::from_slice::<Value>(head).is_ok();
    let mut json: Value = serde_json::from_slice(if in_head { head } else { body }).ok()?;
    let mut places = Vec::new();
    collect(&json, String::new(), &mut places);
    let place = places[scaled(at, places.len())].clone();
    let before = std::mem::replace(json.pointer_mut(&place)?, json!(MARK));
    let (parent, last) = place.rsplit_once('/').unwrap_or_default();
    let is_member = !place.is_empty() && json.pointer(parent).is_some_and(Value::is_object);
    let new = new(is_member.then_some(last), &before);
    let text = json.to_string().replace(&format!("\"{MARK}\""), &new);
    let text = text.as_bytes();
    let is_whole = head.is_empty();
    Some(match in_head {
        true => [text, b"\n\n", body].concat(),
        false if is_whole => text.to_vec(),
        false => [head, b"\n\n", text].concat(),
    })
}

/// The pointers of every value.
fn collect(json: &Value, place: String, places: &mut Vec<String>) {
    match json {
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                collect(member, format!("{place}/{name}"), places);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                collect(element, format!("{place}/{index}"), places);
            }
        }
        _ => {}
    }
    places.push(place);
}
