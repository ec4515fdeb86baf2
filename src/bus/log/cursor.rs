//! A place in the log, and its text on the wire: base64url of a compact form with a version.

use crate::domain::Timestamp;
use crate::messages::Message;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The first byte of the form that this module reads and writes.
const VERSION: u8 = 1;

/// Maximum partitions of a cursor that is read: a Kafka topic of this service has at most 1,000.
const PARTITIONS_MAX: u64 = 4_096;

/// Maximum characters of a cursor that is read.
const TEXT_MAX: usize = 128 * 1024;

/// Bytes of a record's hash in a cursor. The hash tells a topic from its successor of the same name; it protects
/// from no attack.
const HASH_BYTES: usize = 6;

/// A place in the log: for each partition the next offset, and a hash of the record before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// When its places were last compared with the log, in minutes since 1970.
    pub(super) seen: u32,
    /// The partitions of which something is known. Another is read from offset 0.
    pub(super) places: BTreeMap<i32, Place>,
}

/// A place in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At its oldest record that is kept, whichever that is.
    Oldest,
    /// At this offset, which is above 0, behind the record with this hash.
    Next(i64, RecordHash),
}

impl Cursor {
    /// The beginning of the log: offset 0 of each partition.
    pub fn beginning(now: Timestamp) -> Self {
        Self { seen: minutes(now), places: BTreeMap::new() }
    }

    /// The oldest events that are kept, whichever those are.
    pub fn oldest() -> Self {
        Self { seen: 0, places: BTreeMap::new() }
    }

    /// Whether it is [`Cursor::oldest`].
    pub(super) fn is_oldest(&self) -> bool {
        *self == Self::oldest()
    }

    /// The place after one more record of a partition.
    pub fn pass(&mut self, mark: &Mark) {
        self.places.insert(mark.partition, Place::Next(mark.offset + 1, mark.hash));
    }

    /// Whether this place is behind a record.
    pub fn has_passed(&self, mark: &Mark) -> bool {
        self.next(mark.partition) > mark.offset
    }

    /// Whether this is the place right behind a record.
    pub fn is_behind(&self, mark: &Mark) -> bool {
        self.places.get(&mark.partition) == Some(&Place::Next(mark.offset + 1, mark.hash))
    }

    /// Whether both are at the same place in a partition.
    pub fn agrees_with(&self, other: &Self, partition: i32) -> bool {
        self.places.get(&partition) == other.places.get(&partition)
    }

    /// The partitions of which something is known.
    pub fn partitions(&self) -> impl Iterator<Item = i32> {
        self.places.keys().copied()
    }

    /// Notes that the places fit the log at this time.
    pub fn seen_at(&mut self, now: Timestamp) {
        self.seen = minutes(now);
    }

    /// The next offset of a partition; 0 where nothing is known.
    pub fn next(&self, partition: i32) -> i64 {
        match self.places.get(&partition) {
            Some(Place::Next(next, _)) => *next,
            Some(Place::Oldest) | None => 0,
        }
    }
}

/// Minutes since 1970.
pub(super) fn minutes(at: Timestamp) -> u32 {
    u32::try_from(at.timestamp() / 60).unwrap_or_default()
}

/// A record of the log, for [`Cursor::pass`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    hash: RecordHash,
}

impl Mark {
    /// The mark of a received message; `None` if it has no position.
    pub fn of(message: &Message) -> Option<Self> {
        let origin = message.origin.as_ref()?;
        let hash = RecordHash::of(message);
        Some(Self { partition: origin.partition, offset: origin.offset, hash })
    }

    pub(super) fn at(partition: i32, offset: i64, message: &Message) -> Self {
        Self { partition, offset, hash: RecordHash::of(message) }
    }
}

/// The hash of a record's key, id and time, or of its value if it has no id: FNV-1a, the lower 48 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHash([u8; HASH_BYTES]);

impl RecordHash {
    pub(super) fn of(message: &Message) -> Self {
        let id = message.headers.get("ce_id");
        let time = message.headers.get("ce_time").unwrap_or_default();
        let parts = [message.key.as_str(), id.unwrap_or(&message.payload), time];
        let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, mix).to_le_bytes();
        Self(*hash.first_chunk().expect("a hash has eight bytes"))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        write(&mut bytes, self.seen.into());
        write(&mut bytes, self.places.len() as u64);
        for (partition, place) in &self.places {
            write(&mut bytes, u64::from(partition.unsigned_abs()));
            match place {
                Place::Oldest => write(&mut bytes, 0),
                Place::Next(next, RecordHash(hash)) => {
                    write(&mut bytes, next.unsigned_abs());
                    bytes.extend(hash);
                }
            }
        }
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// The text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
pub struct NotACursor;

impl FromStr for Cursor {
    type Err = NotACursor;

    /// Reads what `Display` writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, NotACursor> {
        if text.len() > TEXT_MAX {
            return Err(NotACursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotACursor)?;
        let cursor = read(&mut &bytes[..]).ok_or(NotACursor)?;
        // One place has one text: numbers may be written with more bytes than they need.
        if cursor.to_string() == text { Ok(cursor) } else { Err(NotACursor) }
    }
}

fn read(bytes: &mut &[u8]) -> Option<Cursor> {
    let (version, rest) = bytes.split_first()?;
    *bytes = rest;
    let seen = u32::try_from(number(bytes)?).ok()?;
    let count = number(bytes)?;
    if *version != VERSION || count > PARTITIONS_MAX {
        return None;
    }
    let mut places = BTreeMap::new();
    for _ in 0..count {
        let partition = i32::try_from(number(bytes)?).ok()?;
        let place = match i64::try_from(number(bytes)?).ok()? {
            0 => Place::Oldest,
            next => {
                let (hash, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Place::Next(next, RecordHash(*hash))
            }
        };
        places.insert(partition, place);
    }
    bytes.is_empty().then_some(Cursor { seen, places })
}

/// Appends a number, seven bits a byte, the lowest first (LEB128).
fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        number |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Headers;

    fn message(payload: &str) -> Message {
        let headers = Headers::from_iter([("ce_id", "flight.updated/1/2")]);
        Message { key: "1".into(), payload: payload.into(), headers, origin: None }
    }

    fn cursor() -> Cursor {
        let now = "2026-01-01T00:00:00Z".parse().expect("an instant");
        let mut cursor = Cursor::beginning(now);
        cursor.places.insert(0, Place::Oldest);
        cursor.pass(&Mark::at(7, i64::MAX - 1, &message("{}")));
        cursor.pass(&Mark::at(999, 0, &message("")));
        cursor
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let empty = Cursor::beginning(Timestamp::UNIX_EPOCH);
        for cursor in [cursor(), empty] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }

    #[test]
    fn another_text_is_no_cursor() {
        let text = cursor().to_string();
        let long = "A".repeat(TEXT_MAX + 1);
        let more = format!("{text}AA");
        for text in ["", "7", "AA", "a b", "Ag", &text[1..], &text[..text.len() - 1], &more, &long]
        {
            assert_eq!(text.parse::<Cursor>(), Err(NotACursor), "{text}");
        }
    }

    #[test]
    fn records_that_differ_in_key_id_or_time_have_other_hashes() {
        let hash = RecordHash::of(&message("{}"));
        let mut key = message("{}");
        key.key.push('1');
        let mut id = message("{}");
        id.headers.set("ce_id", "flight.updated/1/3");
        let mut time = message("{}");
        time.headers.set("ce_time", "2026-01-01T00:00:00Z");
        let none = Message { headers: Headers::default(), ..message("{}") };
        let other = Message { payload: "{} ".into(), ..none.clone() };
        assert_ne!(RecordHash::of(&other), RecordHash::of(&none));
        for other in [key, id, time, none] {
            assert_ne!(RecordHash::of(&other), hash);
        }
    }
}
