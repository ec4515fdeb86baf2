//! A consumer group of one topic: its members, who reads which partition, and what is committed.

use super::super::process::Process;
use super::broker::{Logs, PARTITIONS};
use std::array::from_fn;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long a member of a killed process keeps its partitions.
pub const SESSION: Duration = Duration::from_secs(5);

/// Number of a member, drawn in the order of joining.
pub type MemberId = u64;

/// One group.
#[derive(Default)]
pub struct Group {
    members: BTreeMap<MemberId, Member>,
    owners: [Option<MemberId>; PARTITIONS],
    /// For each partition, the first offset that is not committed.
    committed: [usize; PARTITIONS],
    /// Number of rebalances without a cause: each moves every partition on by a member.
    turn: usize,
}

struct Member {
    process: Process,
    /// When a killed process's session ends.
    leaves_at: Option<Instant>,
    places: [Place; PARTITIONS],
}

/// Where a member stands in a partition that it owns.
#[derive(Clone, Copy, Default)]
struct Place {
    /// The next offset to receive.
    next: usize,
    /// The offset up to which the work is done.
    finished: usize,
}

impl Group {
    /// Adds a member.
    pub fn join(&mut self, id: MemberId, process: Process) {
        let places = from_fn(|_| Place::default());
        self.members.insert(id, Member { process, leaves_at: None, places });
        self.assign();
    }

    /// Removes a member; one of a killed process at the end of its session.
    pub fn leave(&mut self, id: MemberId, now: Instant) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.process.is_dead() {
            member.leaves_at.get_or_insert(now + SESSION);
        } else {
            self.members.remove(&id);
            self.assign();
        }
    }

    /// Removes members whose session has ended.
    pub fn expire(&mut self, now: Instant) {
        let before = self.members.len();
        self.members.retain(|_, member| {
            if member.process.is_dead() {
                member.leaves_at.get_or_insert(now + SESSION);
            }
            member.leaves_at.is_none_or(|end| end > now)
        });
        if self.members.len() < before {
            self.assign();
        }
    }

    /// When the next session ends.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.members.values().filter_map(|member| member.leaves_at).min()
    }

    /// Moves every partition to the next member; a single member loses and gets all.
    pub fn rebalance(&mut self) {
        self.turn += 1;
        self.owners = [None; PARTITIONS];
        self.assign();
    }

    /// Gives each partition its member. Where that is another one than before, it begins at what is committed, and
    /// what the other one has received and not committed comes again.
    fn assign(&mut self) {
        let members: Vec<_> = self.members.keys().copied().collect();
        for partition in 0..PARTITIONS {
            let owner =
                (!members.is_empty()).then(|| members[(partition + self.turn) % members.len()]);
            if self.owners[partition] == owner {
                continue;
            }
            self.owners[partition] = owner;
            if let Some(member) = owner.and_then(|id| self.members.get_mut(&id)) {
                let offset = self.committed[partition];
                member.places[partition] = Place { next: offset, finished: offset };
            }
        }
    }

    /// Up to `max` visible messages of the member's partitions, as partition and offset, beginning with `first`.
    pub fn take(
        &mut self,
        id: MemberId,
        logs: &Logs,
        now: Instant,
        max: usize,
        first: usize,
    ) -> Vec<(usize, usize)> {
        let mut taken = Vec::new();
        let Some(member) = self.members.get_mut(&id) else { return taken };
        for partition in (0..PARTITIONS).map(|number| (number + first) % PARTITIONS) {
            if self.owners[partition] != Some(id) {
                continue;
            }
            let place = &mut member.places[partition];
            let visible = logs[partition][place.next..].iter().take_while(|r| r.visible_at <= now);
            let count = visible.take(max - taken.len()).count();
            taken.extend((place.next..place.next + count).map(|offset| (partition, offset)));
            place.next += count;
        }
        taken
    }

    /// When the member's next message becomes visible, if one is on its way.
    pub fn next_visible(&self, id: MemberId, logs: &Logs) -> Option<Instant> {
        let member = self.members.get(&id)?;
        let owned = (0..PARTITIONS).filter(|partition| self.owners[*partition] == Some(id));
        let next = owned.filter_map(|partition| logs[partition].get(member.places[partition].next));
        next.map(|record| record.visible_at).min()
    }

    /// Notes that the work of all that the member has received is done, in the partitions that are still its own.
    pub fn finish(&mut self, id: MemberId) {
        let Some(member) = self.members.get_mut(&id) else { return };
        for place in &mut member.places {
            place.finished = place.next;
        }
    }

    /// Commits the member's finished work, also that of earlier commits which were lost.
    pub fn commit(&mut self, id: MemberId) {
        let Some(member) = self.members.get(&id) else { return };
        for partition in 0..PARTITIONS {
            if self.owners[partition] == Some(id) {
                self.committed[partition] = member.places[partition].finished;
            }
        }
    }

    /// Whether everything in the logs is committed, or finished by a living member.
    pub fn is_done(&self, logs: &Logs) -> bool {
        (0..PARTITIONS).all(|partition| {
            let member = self.owners[partition].and_then(|id| self.members.get(&id));
            let living = member.filter(|member| !member.process.is_dead());
            let finished = living.map_or(0, |member| member.places[partition].finished);
            self.committed[partition].max(finished) == logs[partition].len()
        })
    }

    /// Number of members, with those whose session has not ended yet.
    pub fn members(&self) -> usize {
        self.members.len()
    }
}
