//! The offsets of a group's consumer: which messages it has received, processed and committed.

use super::positions::Positions;
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

/// Maximum commits in flight. Beyond it further offsets are merged into the next commit.
const COMMITS_MAX: usize = 4;

/// Minimum time between two commits. After a crash, uncommitted messages are delivered again, which consumers
/// tolerate anyway; and each commit is a message that Kafka stores.
pub(super) const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

/// The offsets of one consumer.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    /// Partitions assigned to this consumer.
    assigned: HashSet<i32>,
    /// The next offset to receive, for each partition.
    next: Positions,
    /// The next offset to fetch, for each partition without fetched messages.
    fetched: Positions,
    /// Received and not processed yet.
    received: Positions,
    /// Processed; the commit is not sent yet.
    done: Positions,
    /// Partitions of which Kafka has accepted a commit.
    committed: BTreeSet<i32>,
    commits: usize,
    last_sent: Option<Instant>,
}

impl Offsets {
    /// Adds assigned partitions.
    pub(super) fn assign(&mut self, partitions: impl IntoIterator<Item = i32>) {
        self.assigned.extend(partitions);
    }

    /// Removes revoked partitions. Returns what to commit now; messages that are not processed are delivered
    /// again, to the next consumer.
    pub(super) fn revoke(&mut self, partitions: impl IntoIterator<Item = i32>) -> Vec<(i32, i64)> {
        let mut last = Vec::new();
        for partition in partitions {
            self.assigned.remove(&partition);
            self.next.remove(&partition);
            self.fetched.remove(&partition);
            self.received.remove(&partition);
            self.committed.remove(&partition);
            last.extend(self.done.remove(&partition).map(|offset| (partition, offset)));
        }
        self.commits += usize::from(!last.is_empty());
        last
    }

    /// Records a message. Returns whether its offset is below one received before in its partition: then the topic
    /// is a new one of the same name, and offsets of the old one are not committed.
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

    /// Marks all received messages as processed.
    pub(super) fn finish(&mut self) {
        self.done.extend(self.received.drain());
    }

    /// Whether the commit of every processed message is sent.
    pub(super) fn is_all_sent(&self) -> bool {
        self.done.is_empty()
    }

    /// The offsets to commit now, if a commit is due.
    pub(super) fn next_commit(&mut self, now: Instant) -> Vec<(i32, i64)> {
        let is_due = self.last_sent.is_none_or(|last| now >= last + COMMIT_INTERVAL);
        if self.done.is_empty() || self.commits >= COMMITS_MAX || !is_due {
            return Vec::new();
        }
        self.commits += 1;
        self.last_sent = Some(now);
        self.done.drain().collect()
    }

    /// The offsets that are left to commit when the consumer ends.
    pub(super) fn last_commit(&mut self) -> Vec<(i32, i64)> {
        self.done.drain().collect()
    }

    /// Assigned partitions.
    pub(super) fn assigned(&self) -> HashSet<i32> {
        self.assigned.clone()
    }

    /// The next offset of each partition with received messages.
    pub(super) fn next(&self) -> &Positions {
        &self.next
    }

    /// Records the next offsets to fetch.
    pub(super) fn fetch(&mut self, fetched: impl IntoIterator<Item = (i32, i64)>) {
        let assigned = &self.assigned;
        let fetched = fetched.into_iter().filter(|(partition, _)| assigned.contains(partition));
        self.fetched = fetched.collect();
    }

    /// The next offset to fetch of assigned partitions, as of the last statistics.
    pub(super) fn fetched(&self) -> &Positions {
        &self.fetched
    }

    /// Assigned partitions of which Kafka has accepted a commit.
    pub(super) fn committed(&self) -> BTreeSet<i32> {
        self.committed.clone()
    }

    /// Records the answer to a commit, by partition. A failed one is repeated unless the partition was revoked or a
    /// later offset is processed.
    pub(super) fn answer(
        &mut self,
        taken: impl IntoIterator<Item = i32>,
        failed: impl IntoIterator<Item = (i32, i64)>,
    ) {
        self.commits = self.commits.saturating_sub(1);
        let assigned = &self.assigned;
        self.committed.extend(taken.into_iter().filter(|taken| assigned.contains(taken)));
        for (partition, offset) in failed {
            // Beyond what was received: an offset of a deleted topic of the same name.
            let is_ahead = self.next.get(&partition).is_none_or(|next| offset > *next);
            if self.assigned.contains(&partition) && !is_ahead {
                let next = self.done.entry(partition).or_insert(offset);
                *next = offset.max(*next);
            }
        }
    }
}

/// Offsets as a list for librdkafka.
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

    fn offsets() -> (Offsets, Instant) {
        let mut offsets = Offsets::default();
        offsets.assign([0, 1]);
        (offsets, Instant::now())
    }

    #[test]
    fn only_processed_messages_are_committed() {
        let (mut offsets, now) = offsets();
        offsets.receive(0, 6);
        offsets.finish();
        offsets.receive(0, 7);
        assert_eq!(offsets.next_commit(now), [(0, 7)]);
        assert_eq!(offsets.next_commit(now + COMMIT_INTERVAL), []);
    }

    #[test]
    fn a_revoked_partition_is_committed_and_forgotten() {
        let (mut offsets, now) = offsets();
        offsets.receive(0, 6);
        offsets.finish();
        offsets.receive(0, 7);
        offsets.receive(1, 3);
        assert_eq!(offsets.revoke([0]), [(0, 7)]);
        offsets.finish();
        assert_eq!(offsets.next_commit(now), [(1, 4)]);
    }

    #[test]
    fn a_failed_commit_is_repeated_and_never_lowers_an_offset() {
        let (mut offsets, now) = offsets();
        offsets.receive(0, 6);
        offsets.receive(1, 1);
        offsets.finish();
        let failed = offsets.next_commit(now);
        offsets.receive(0, 9);
        offsets.finish();
        offsets.revoke([1]);
        offsets.answer([], failed);
        assert_eq!(offsets.next_commit(now + COMMIT_INTERVAL), [(0, 10)]);
    }

    #[test]
    fn committed_partitions_are_known_until_they_are_revoked() {
        let (mut offsets, _) = offsets();
        offsets.answer([0, 1, 2], []);
        assert_eq!(offsets.committed(), [0, 1].into());
        offsets.revoke([0]);
        assert_eq!(offsets.committed(), [1].into());
    }

    #[test]
    fn offsets_of_a_deleted_topic_are_not_committed_in_its_successor() {
        let (mut offsets, now) = offsets();
        for partition in [0, 1] {
            assert!(!offsets.receive(partition, 99));
        }
        offsets.finish();
        let failed = offsets.next_commit(now);
        offsets.receive(1, 100);
        offsets.finish();
        assert!(offsets.receive(0, 0), "the topic begins again");
        assert!(!offsets.receive(1, 0), "which is reported once");
        offsets.answer([], failed);
        offsets.finish();
        let mut next = offsets.next_commit(now + COMMIT_INTERVAL);
        next.sort_unstable();
        assert_eq!(next, [(0, 1), (1, 1)]);
    }

    #[test]
    fn commits_in_flight_are_bounded() {
        let (mut offsets, now) = offsets();
        for offset in 0..10 {
            offsets.receive(0, offset);
            offsets.finish();
            let commit = offsets.next_commit(now + COMMIT_INTERVAL * offset as u32);
            assert_eq!(commit.is_empty(), offset >= 4);
        }
        offsets.answer([], []);
        assert_eq!(offsets.next_commit(now + COMMIT_INTERVAL * 10), [(0, 10)]);
    }

    #[test]
    fn commits_are_merged_per_interval_except_the_last() {
        let (mut offsets, now) = offsets();
        offsets.receive(0, 1);
        offsets.finish();
        assert_eq!(offsets.next_commit(now), [(0, 2)]);
        offsets.receive(0, 2);
        offsets.finish();
        assert_eq!(offsets.next_commit(now + COMMIT_INTERVAL / 2), []);
        assert!(!offsets.is_all_sent());
        assert_eq!(offsets.last_commit(), [(0, 3)]);
        assert!(offsets.is_all_sent());
    }
}
