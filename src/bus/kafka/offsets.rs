//! Which messages a group's consumer has received, and which of them it may commit.

use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

/// Commits that may be on their way at once; beyond it they are put together.
const COMMITS_MAX: usize = 4;

/// The least time between two commits. What a crash takes with it comes again, as it does anyway, and
/// each commit is a message that Kafka has to keep.
pub(super) const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

/// For each partition, the offset after the last message.
type Next = HashMap<i32, i64>;

/// The books of one consumer.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    /// The partitions that are this consumer's.
    assigned: HashSet<i32>,
    /// What comes next in each, after what was received so far.
    next: Next,
    /// Received; the work is not done yet.
    received: Next,
    /// The work is done; the commit is not on its way yet.
    done: Next,
    /// Partitions of which Kafka has taken a commit.
    committed: BTreeSet<i32>,
    commits: usize,
    last_sent: Option<Instant>,
}

impl Offsets {
    /// Partitions became this consumer's.
    pub(super) fn assign(&mut self, partitions: impl IntoIterator<Item = i32>) {
        self.assigned.extend(partitions);
    }

    /// Partitions become another consumer's. What is done in them is to be committed now; what is
    /// not comes again, to the other one.
    pub(super) fn revoke(&mut self, partitions: impl IntoIterator<Item = i32>) -> Vec<(i32, i64)> {
        let mut last = Vec::new();
        for partition in partitions {
            self.assigned.remove(&partition);
            self.next.remove(&partition);
            self.received.remove(&partition);
            self.committed.remove(&partition);
            last.extend(self.done.remove(&partition).map(|offset| (partition, offset)));
        }
        self.commits += usize::from(!last.is_empty());
        last
    }

    /// Notes a message. Says whether it stands before one of its partition that was received earlier: then
    /// the topic is another one of the same name, and nothing that was done in the other is committed.
    pub(super) fn receive(&mut self, partition: i32, offset: i64) -> bool {
        let goes_back = self.next.get(&partition).is_some_and(|next| offset < *next);
        if goes_back {
            self.next.clear();
            self.received.clear();
            self.done.clear();
        }
        self.next.insert(partition, offset + 1);
        self.received.insert(partition, offset + 1);
        goes_back
    }

    /// The work of all that was received is done.
    pub(super) fn finish(&mut self) {
        self.done.extend(self.received.drain());
    }

    /// Whether every commit is on its way.
    pub(super) fn is_all_sent(&self) -> bool {
        self.done.is_empty()
    }

    /// What is to be committed now, if anything.
    pub(super) fn next_commit(&mut self, now: Instant) -> Vec<(i32, i64)> {
        let is_due = self.last_sent.is_none_or(|last| now >= last + COMMIT_INTERVAL);
        if self.done.is_empty() || self.commits >= COMMITS_MAX || !is_due {
            return Vec::new();
        }
        self.commits += 1;
        self.last_sent = Some(now);
        self.done.drain().collect()
    }

    /// What is left to be committed, by who goes away.
    pub(super) fn last_commit(&mut self) -> Vec<(i32, i64)> {
        self.done.drain().collect()
    }

    /// What comes next in each partition of which something was received.
    pub(super) fn next(&self) -> Vec<(i32, i64)> {
        self.next.iter().map(|(partition, next)| (*partition, *next)).collect()
    }

    /// Its partitions of which Kafka has taken a commit.
    pub(super) fn committed(&self) -> BTreeSet<i32> {
        self.committed.clone()
    }

    /// A commit was answered: taken of some partitions. Where it failed it is tried again, unless the
    /// partition is another consumer's by now, or it is overtaken.
    pub(super) fn answer(
        &mut self,
        taken: impl IntoIterator<Item = i32>,
        failed: impl IntoIterator<Item = (i32, i64)>,
    ) {
        self.commits = self.commits.saturating_sub(1);
        let assigned = &self.assigned;
        self.committed.extend(taken.into_iter().filter(|taken| assigned.contains(taken)));
        for (partition, offset) in failed {
            // Beyond what was received: it was done in a topic that had the name before.
            let is_ahead = self.next.get(&partition).is_none_or(|next| offset > *next);
            if self.assigned.contains(&partition) && !is_ahead {
                let next = self.done.entry(partition).or_insert(offset);
                *next = offset.max(*next);
            }
        }
    }
}

/// Offsets as librdkafka takes them.
pub(super) fn list_of(topic: &str, offsets: &[(i32, i64)]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books() -> (Offsets, Instant) {
        let mut books = Offsets::default();
        books.assign([0, 1]);
        (books, Instant::now())
    }

    #[test]
    fn only_what_was_finished_is_committed() {
        let (mut books, now) = books();
        books.receive(0, 6);
        books.finish();
        books.receive(0, 7);
        assert_eq!(books.next_commit(now), [(0, 7)]);
        assert_eq!(books.next_commit(now + COMMIT_INTERVAL), []);
    }

    #[test]
    fn what_moves_to_another_consumer_is_committed_before_and_forgotten() {
        let (mut books, now) = books();
        books.receive(0, 6);
        books.finish();
        books.receive(0, 7);
        books.receive(1, 3);
        assert_eq!(books.revoke([0]), [(0, 7)]);
        books.finish();
        assert_eq!(books.next_commit(now), [(1, 4)]);
    }

    #[test]
    fn a_failed_commit_is_tried_again_and_takes_nothing_back() {
        let (mut books, now) = books();
        books.receive(0, 6);
        books.receive(1, 1);
        books.finish();
        let failed = books.next_commit(now);
        books.receive(0, 9);
        books.finish();
        books.revoke([1]);
        books.answer([], failed);
        assert_eq!(books.next_commit(now + COMMIT_INTERVAL), [(0, 10)]);
    }

    #[test]
    fn a_commit_is_known_to_be_taken_while_its_partition_is_this_consumers() {
        let (mut books, _) = books();
        books.answer([0, 1, 2], []);
        assert_eq!(books.committed(), [0, 1].into());
        books.revoke([0]);
        assert_eq!(books.committed(), [1].into());
    }

    #[test]
    fn what_was_done_in_a_topic_of_the_same_name_before_is_not_committed() {
        let (mut books, now) = books();
        for partition in [0, 1] {
            assert!(!books.receive(partition, 99));
        }
        books.finish();
        let failed = books.next_commit(now);
        books.receive(1, 100);
        books.finish();
        assert!(books.receive(0, 0), "the topic begins again");
        assert!(!books.receive(1, 0), "which is said once");
        books.answer([], failed);
        books.finish();
        let mut next = books.next_commit(now + COMMIT_INTERVAL);
        next.sort_unstable();
        assert_eq!(next, [(0, 1), (1, 1)]);
    }

    #[test]
    fn commits_that_are_not_answered_have_a_bound() {
        let (mut books, now) = books();
        for offset in 0..10 {
            books.receive(0, offset);
            books.finish();
            let commit = books.next_commit(now + COMMIT_INTERVAL * offset as u32);
            assert_eq!(commit.is_empty(), offset >= 4);
        }
        books.answer([], []);
        assert_eq!(books.next_commit(now + COMMIT_INTERVAL * 10), [(0, 10)]);
    }

    #[test]
    fn commits_are_put_together_for_a_while_but_for_the_last() {
        let (mut books, now) = books();
        books.receive(0, 1);
        books.finish();
        assert_eq!(books.next_commit(now), [(0, 2)]);
        books.receive(0, 2);
        books.finish();
        assert_eq!(books.next_commit(now + COMMIT_INTERVAL / 2), []);
        assert!(!books.is_all_sent());
        assert_eq!(books.last_commit(), [(0, 3)]);
        assert!(books.is_all_sent());
    }
}
