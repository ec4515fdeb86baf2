//! Where a consumer is in its topic, compared with where the topic ends: whether the topic is another one of the same
//! name, and whether the consumer is stuck.

use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use std::collections::HashMap;
use std::time::Duration;

/// An offset of each partition.
pub(super) type Positions = HashMap<i32, i64>;

/// What a consumer found out about its topic.
#[derive(Debug)]
pub(super) enum TopicCheck {
    /// It is missing, or was replaced by one of the same name.
    Lost,
    /// It is there. These partitions have messages after this next offset to fetch.
    Behind(Positions),
}

/// The partitions that are behind, each with its next offset and the number of checks in a row that found it there.
///
/// A client can get stuck on a topic that was deleted and made again: it keeps the old partition's leader epoch,
/// which is above the new one's, takes new metadata for outdated, and Kafka refuses to let it fetch
/// (`UNKNOWN_LEADER_EPOCH`) for ever. Only a new client helps.
#[derive(Debug, Default)]
pub(super) struct Stalls(HashMap<i32, (i64, u32)>);

impl Stalls {
    /// Number of checks in a row after which a partition that does not advance is stuck.
    const MAX: u32 = 3;

    /// Adds a check. Returns the partitions that are stuck.
    pub(super) fn add(&mut self, behind: Positions) -> Vec<i32> {
        let times = |(partition, next)| {
            let before = self.0.get(&partition).filter(|(last, _)| *last == next);
            (partition, (next, before.map_or(1, |(_, times)| times + 1)))
        };
        self.0 = behind.into_iter().map(times).collect();
        let stuck = self.0.iter().filter(|(_, (_, times))| *times >= Self::MAX);
        stuck.map(|(partition, _)| *partition).collect()
    }
}

/// The partitions of a list.
pub(super) fn partitions_of(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(TopicPartitionListElem::partition).collect()
}

/// The offsets of a list, where they are numbers.
pub(super) fn offsets_of(list: &TopicPartitionList) -> Positions {
    let number = |element: &TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(offset) => Some((element.partition(), offset)),
        _ => None,
    };
    list.elements().iter().filter_map(number).collect()
}

/// The present beginning or end of each partition of a list.
pub(super) fn bounds<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    mut list: TopicPartitionList,
    bound: Offset,
    within: Duration,
) -> KafkaResult<TopicPartitionList> {
    list.set_all_offsets(bound)?;
    let bounds = consumer.offsets_for_times(list, within)?;
    for element in bounds.elements() {
        element.error()?;
        if !matches!(element.offset(), Offset::Offset(_)) {
            return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset));
        }
    }
    Ok(bounds)
}

/// The present beginning or end of each of these partitions.
pub(super) fn bounds_of<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
    bound: Offset,
    within: Duration,
) -> KafkaResult<Positions> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, partition);
    }
    if list.count() == 0 {
        return Ok(Positions::new());
    }
    Ok(offsets_of(&bounds(consumer, list, bound, within)?))
}

/// Compares positions with the ends of their partitions. A partition that ends before the next message to receive
/// is one of a new topic. `fetched`: the next offset to fetch, where no fetched message waits to be received.
pub(super) fn compare(received: &Positions, fetched: &Positions, ends: &Positions) -> TopicCheck {
    let end = |partition: &i32| ends.get(partition).copied();
    if received.iter().any(|(partition, next)| end(partition).is_some_and(|end| end < *next)) {
        return TopicCheck::Lost;
    }
    let is_behind =
        |(partition, next): &(&i32, &i64)| end(partition).is_some_and(|end| **next < end);
    let behind = fetched.iter().filter(is_behind);
    TopicCheck::Behind(behind.map(|(partition, next)| (*partition, *next)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_stuck_if_three_checks_find_it_at_the_same_offset() {
        let mut stalls = Stalls::default();
        for (behind, stuck) in [
            (vec![(0, 5), (1, 9)], vec![]),
            (vec![(0, 6), (1, 9)], vec![]),
            (vec![(0, 6), (1, 9)], vec![1]),
            (vec![(0, 6)], vec![0]),
            (vec![], vec![]),
            (vec![(0, 6)], vec![]),
        ] {
            assert_eq!(stalls.add(behind.into_iter().collect()), stuck);
        }
    }

    #[test]
    fn a_position_beyond_the_end_means_another_topic_and_one_before_it_is_behind() {
        let of = |positions: &[(i32, i64)]| positions.iter().copied().collect::<Positions>();
        let ends = of(&[(0, 10), (1, 3)]);
        assert!(matches!(compare(&of(&[(1, 4)]), &of(&[]), &ends), TopicCheck::Lost));
        let TopicCheck::Behind(behind) =
            compare(&of(&[(0, 10)]), &of(&[(0, 10), (1, -1001), (7, 2)]), &ends)
        else {
            panic!("it is the same topic")
        };
        assert_eq!(behind, of(&[(1, -1001)]));
    }
}
