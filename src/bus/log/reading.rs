//! A page while it is read: which records it begins with, whether they fit the cursor, and when it is full.

use super::cursor::{Place, RecordHash, minutes};
use super::{Cursor, LogError, LogFilter, LogPage, LogQuery, Mark, PAGE_READ_MAX};
use crate::domain::Timestamp;
use crate::messages::{Message, Origin};
use std::collections::BTreeMap;
use std::time::Duration;

/// The part of the retention after which a cursor notes again when it was seen.
const SEEN_AGAIN: u32 = 8;

/// The kept records of a partition: the first offset, and the one after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bus) struct Kept {
    pub(in crate::bus) low: i64,
    pub(in crate::bus) high: i64,
}

/// A page while it is read.
pub(in crate::bus) struct Reading {
    query: LogQuery,
    next: Cursor,
    parts: BTreeMap<i32, Part>,
    messages: Vec<Message>,
    /// Records read so far.
    read: usize,
}

/// What is left to read of a partition.
struct Part {
    /// The record before the cursor, until it was compared.
    check: Option<RecordHash>,
    /// The next offset, the checked record included.
    at: i64,
    /// Where the partition ended.
    end: i64,
    /// The last record that was read, whose hash the cursor needs.
    last: Option<Mark>,
}

impl Reading {
    /// Begins a page of a log with these partitions. Fails with [`LogError::Expired`] if records behind the
    /// cursor are gone.
    pub(in crate::bus) fn begin(
        query: LogQuery,
        kept: &BTreeMap<i32, Kept>,
    ) -> Result<Self, LogError> {
        let retention = u32::try_from(query.kept_for.as_secs() / 60).unwrap_or(u32::MAX);
        let after = query.after.clone().filter(|after| !after.is_oldest());
        let begins = after.is_none();
        let mut next = after.unwrap_or_else(|| Cursor::beginning(query.now));
        if begins {
            let cut = kept.iter().filter(|(_, kept)| kept.low > 0);
            next.places.extend(cut.map(|(partition, _)| (*partition, Place::Oldest)));
        }
        if next.places.keys().any(|partition| !kept.contains_key(partition)) {
            return Err(LogError::Expired);
        }
        let age = minutes(query.now).saturating_sub(next.seen);
        // A topic that was deleted and made again lacks no record of its own for as long as it keeps any.
        let is_fresh = age <= retention / 2;
        let parts = kept.iter().map(|(partition, kept)| {
            Ok((*partition, Part::of(next.places.get(partition), *kept, is_fresh)?))
        });
        let parts = parts.collect::<Result<_, LogError>>()?;
        if age > retention / SEEN_AGAIN {
            next.seen = minutes(query.now);
        }
        Ok(Self { query, next, parts, messages: Vec::new(), read: 0 })
    }

    /// Begins a page that ends where the log ends, with the last record of each partition, which its cursor needs.
    pub(in crate::bus) fn of_end(now: Timestamp, kept: &BTreeMap<i32, Kept>) -> Self {
        let mut next = Cursor::beginning(now);
        let emptied = kept.iter().filter(|(_, kept)| 0 < kept.low && kept.low == kept.high);
        next.places.extend(emptied.map(|(partition, _)| (*partition, Place::Oldest)));
        let last = |kept: &Kept| kept.low.max(kept.high - 1);
        let part = |kept: &Kept| Part { check: None, at: last(kept), end: kept.high, last: None };
        let parts = kept.iter().map(|(partition, kept)| (*partition, part(kept))).collect();
        let (filter, limit) = (LogFilter::default(), usize::MAX);
        let kept_for = Duration::MAX;
        let query = LogQuery { after: None, filter, limit, now, kept_for, is_patient: false };
        Self { query, next, parts, messages: Vec::new(), read: 0 }
    }

    /// The partitions to read, each with its first offset.
    pub(in crate::bus) fn starts(&self) -> Vec<(i32, i64)> {
        let unread = self.parts.iter().filter(|(_, part)| part.at < part.end);
        unread.map(|(partition, part)| (*partition, part.at)).collect()
    }

    /// Whether the page is full, or every partition is read up to its end. Records before the cursor must be
    /// compared in any case.
    pub(in crate::bus) fn is_done(&self) -> bool {
        self.is_compared() && (self.is_full() || self.is_at_end())
    }

    /// Whether all records before the cursor were found.
    fn is_compared(&self) -> bool {
        self.parts.values().all(|part| part.check.is_none())
    }

    /// Whether the page brings its reader on: it has compared all that it must, and read something, or everything.
    pub(in crate::bus) fn has_some(&self) -> bool {
        self.is_compared() && (self.read > 0 || self.is_at_end())
    }

    fn is_full(&self) -> bool {
        self.messages.len() >= self.query.limit || self.read >= PAGE_READ_MAX
    }

    fn is_at_end(&self) -> bool {
        self.parts.values().all(|part| part.at >= part.end)
    }

    /// Takes the next record of a partition. Records must come in the order of their offsets; those before the
    /// first, after the end, and after the page is full are ignored.
    pub(in crate::bus) fn take(
        &mut self,
        partition: i32,
        offset: i64,
        mut message: Message,
    ) -> Result<(), LogError> {
        let is_full = self.is_full();
        let Some(part) = self.parts.get_mut(&partition) else { return Ok(()) };
        if offset < part.at || offset >= part.end {
            return Ok(());
        }
        if let Some(expected) = part.check {
            if offset != part.at || RecordHash::of(&message) != expected {
                return Err(LogError::Expired);
            }
            part.check = None;
            part.at = offset + 1;
            return Ok(());
        }
        if is_full {
            return Ok(());
        }
        part.at = offset + 1;
        part.last = Some(Mark::at(partition, offset, &message));
        self.read += 1;
        if self.query.filter.takes(&message) {
            let fault = message.fault();
            let original = message.origin.take().and_then(|origin| origin.original);
            message.origin = Some(Origin { partition, offset, original, fault });
            self.messages.push(message);
        }
        Ok(())
    }

    /// Notes that a partition has no record from this offset to its end: what is there holds no message.
    pub(in crate::bus) fn skip_to_end(&mut self, partition: i32) {
        if let Some(part) = self.parts.get_mut(&partition).filter(|part| part.check.is_none()) {
            part.at = part.end;
        }
    }

    /// The page.
    pub(in crate::bus) fn finish(mut self) -> LogPage {
        let is_last = self.is_at_end();
        for part in self.parts.values() {
            if let Some(last) = &part.last {
                self.next.pass(last);
            }
        }
        LogPage { messages: self.messages, next: self.next, is_last }
    }
}

impl Part {
    /// A partition at its place. `is_fresh`: the cursor was compared with the log a short while ago.
    fn of(
        place: Option<&Place>,
        Kept { low, high }: Kept,
        is_fresh: bool,
    ) -> Result<Self, LogError> {
        let part = |check, at| Ok(Self { check, at, end: high, last: None });
        match place {
            None if low == 0 => part(None, 0),
            Some(Place::Oldest) => part(None, low),
            Some(Place::Next(next, hash)) if low < *next && *next <= high => {
                part(Some(*hash), next - 1)
            }
            // All up to here are deleted, none after it: a partition in which nothing happens for long.
            Some(Place::Next(next, _)) if low == *next && is_fresh => part(None, low),
            None | Some(Place::Next(..)) => Err(LogError::Expired),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Headers;
    use chrono::TimeDelta;

    const DAY: Duration = Duration::from_secs(86_400);

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().expect("an instant")
    }

    fn message(offset: i64) -> Message {
        let id = format!("flight.updated/{offset}");
        let headers = Headers::from_iter([
            ("ce_id", id.as_str()),
            ("ce_type", "flight.updated"),
            ("ce_time", "2026-01-01T00:00:00Z"),
        ]);
        Message { key: (offset % 3).to_string(), payload: "{}".into(), headers, origin: None }
    }

    fn query(after: Option<Cursor>, limit: usize) -> LogQuery {
        let filter = LogFilter::default();
        LogQuery { after, filter, limit, now: now(), kept_for: DAY, is_patient: false }
    }

    fn kept(parts: &[(i64, i64)]) -> BTreeMap<i32, Kept> {
        let kept = parts.iter().map(|(low, high)| Kept { low: *low, high: *high });
        (0..).zip(kept).collect()
    }

    /// Reads a page of partitions whose records are [`message`]s with these first numbers.
    fn page(query: LogQuery, parts: &[(i64, i64)]) -> Result<LogPage, LogError> {
        let mut reading = Reading::begin(query, &kept(parts))?;
        for (partition, first) in reading.starts() {
            for offset in first..parts[partition as usize].1 {
                reading.take(partition, offset, message(offset))?;
            }
        }
        assert!(reading.is_done());
        Ok(reading.finish())
    }

    fn offsets(page: &LogPage) -> Vec<(i32, i64)> {
        let origin = |message: &Message| {
            let origin = message.origin.as_ref().expect("a position");
            (origin.partition, origin.offset)
        };
        page.messages.iter().map(origin).collect()
    }

    #[test]
    fn pages_follow_each_other_without_a_gap_and_end_with_the_same_cursor() {
        let parts = [(0, 4), (2, 5)];
        let first = page(query(None, 3), &parts).expect("a page");
        assert_eq!(offsets(&first), [(0, 0), (0, 1), (0, 2)]);
        assert!(!first.is_last);
        let second = page(query(Some(first.next), 9), &parts).expect("a page");
        assert_eq!(offsets(&second), [(0, 3), (1, 2), (1, 3), (1, 4)]);
        assert!(second.is_last);
        let last = page(query(Some(second.next.clone()), 9), &parts).expect("a page");
        assert!(last.messages.is_empty() && last.is_last);
        assert_eq!(last.next, second.next);
        let grown = [(0, 4), (2, 6), (0, 1)];
        let more = page(query(Some(second.next), 9), &grown).expect("a page");
        assert_eq!(offsets(&more), [(1, 5), (2, 0)], "a new partition begins at 0");
    }

    #[test]
    fn a_cursor_expires_where_records_are_gone_or_are_others() {
        let read = page(query(None, 9), &[(0, 4), (0, 2)]).expect("a page").next;
        let again = |parts: &[(i64, i64)]| page(query(Some(read.clone()), 9), parts);
        assert!(again(&[(3, 5), (1, 2)]).is_ok(), "the record before it is kept");
        for parts in [
            // Fewer records, fewer partitions, records that were deleted unread, a new partition's too.
            &[(0, 3), (0, 2)][..],
            &[(0, 4)],
            &[(5, 6), (0, 2)],
            &[(0, 4), (0, 2), (1, 2)],
        ] {
            assert!(matches!(again(parts), Err(LogError::Expired)), "{parts:?}");
        }
        let mut reading =
            Reading::begin(query(Some(read), 9), &kept(&[(0, 5), (0, 2)])).expect("begun");
        assert_eq!(reading.starts(), [(0, 3), (1, 1)]);
        assert!(matches!(reading.take(0, 3, message(7)), Err(LogError::Expired)), "another record");
    }

    #[test]
    fn a_quiet_partition_expires_no_cursor_that_was_seen_of_late() {
        let read = page(query(None, 9), &[(0, 4)]).expect("a page").next;
        let later = |hours: i64| LogQuery {
            now: now() + TimeDelta::hours(hours),
            ..query(Some(read.clone()), 9)
        };
        let seen = page(later(12), &[(4, 4)]).expect("nothing was missed").next;
        assert_ne!(seen, read, "it notes when it was seen");
        assert!(matches!(page(later(13), &[(4, 4)]), Err(LogError::Expired)));
        let longer = LogQuery { now: now() + TimeDelta::hours(20), ..query(Some(seen), 9) };
        assert_eq!(offsets(&page(longer, &[(4, 5)]).expect("a page")), [(0, 4)]);
    }

    #[test]
    fn a_filter_takes_types_by_name_or_start_and_nothing_that_is_no_event() {
        let takes = |types: &[&str], key: Option<&str>| {
            let types = types.iter().map(|kind| (*kind).to_owned()).collect();
            LogFilter { types, key: key.map(str::to_owned), booking: None }.takes(&message(1))
        };
        assert!(takes(&[], None) && takes(&["flight.updated"], Some("1")));
        assert!(takes(&["booking.failed", "flight.*"], None));
        assert!(!takes(&["flight.update", "booking.*"], None) && !takes(&[], Some("2")));
        let takes = |message: Message| LogFilter::default().takes(&message);
        assert!(takes(message(1)));
        assert!(!takes(Message { headers: Headers::default(), ..message(1) }));
        assert!(!takes(Message { payload: "{".into(), ..message(1) }));
        assert!(!takes(Message { key: "one".into(), ..message(1) }));
    }
}
