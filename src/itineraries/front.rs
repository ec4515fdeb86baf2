//! Sets of journeys of which none beats another.

use crate::domain::Timestamp;
use std::cmp::Ordering;

/// Maximum flights of a journey.
pub(super) const LEGS_MAX: usize = 3;

/// The flights of a journey, by their positions in the timetable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Legs {
    positions: [usize; LEGS_MAX],
    count: usize,
}

impl Legs {
    pub(super) fn one(position: usize) -> Self {
        Self { positions: [position, 0, 0], count: 1 }
    }

    /// These flights after another one. There are fewer than [`LEGS_MAX`].
    pub(super) fn after(mut self, position: usize) -> Self {
        self.positions.rotate_right(1);
        self.positions[0] = position;
        self.count += 1;
        self
    }

    pub(super) fn positions(&self) -> &[usize] {
        &self.positions[..self.count]
    }
}

impl Ord for Legs {
    fn cmp(&self, other: &Self) -> Ordering {
        self.positions().cmp(other.positions())
    }
}

impl PartialOrd for Legs {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A journey to the destination, beginning with a given departure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label {
    pub(super) arrives_at: Timestamp,
    pub(super) price: i64,
    pub(super) legs: Legs,
}

impl Label {
    /// What is compared. Less is better in each.
    fn criteria(&self) -> (Timestamp, i64, usize) {
        (self.arrives_at, self.price, self.legs.count)
    }

    /// Whether it is at least as good in each criterion.
    fn covers(&self, other: &Self) -> bool {
        self.arrives_at <= other.arrives_at
            && self.price <= other.price
            && self.legs.count <= other.legs.count
    }
}

/// Labels of which none beats another. Equal ones stay side by side, up to a maximum.
#[derive(Debug)]
pub(super) struct Front {
    labels: Vec<Label>,
    equals_max: usize,
}

impl Front {
    /// An empty set that keeps up to `equals_max` labels with equal criteria: the first by their legs.
    pub(super) fn keeping(equals_max: usize) -> Self {
        Self { labels: Vec::new(), equals_max }
    }

    /// Adds a label unless another beats it, and removes those that it beats.
    pub(super) fn add(&mut self, new: Label) {
        let is_equal = |label: &Label| label.criteria() == new.criteria();
        if self.labels.iter().any(|label| label.covers(&new) && !is_equal(label)) {
            return;
        }
        self.labels.retain(|label| !new.covers(label) || is_equal(label));
        self.labels.push(new);
        let equals = self.labels.iter().enumerate().filter(|(_, label)| is_equal(label));
        if equals.clone().count() > self.equals_max
            && let Some((last, _)) = equals.max_by_key(|(_, label)| label.legs)
        {
            self.labels.swap_remove(last);
        }
    }

    /// Whether one of the labels is at least as good in each criterion.
    pub(super) fn covers(&self, label: &Label) -> bool {
        self.labels.iter().any(|other| other.covers(label))
    }

    pub(super) fn labels(&self) -> &[Label] {
        &self.labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(minute: i64, price: i64, legs: &[usize]) -> Label {
        let arrives_at = Timestamp::from_timestamp(minute * 60, 0).expect("an instant");
        let (last, before) = legs.split_last().expect("a flight");
        let legs = before.iter().rev().fold(Legs::one(*last), |legs, leg| legs.after(*leg));
        Label { arrives_at, price, legs }
    }

    fn kept(front: &Front) -> Vec<Vec<usize>> {
        let mut legs: Vec<_> = front.labels().iter().map(|l| l.legs.positions().to_vec()).collect();
        legs.sort();
        legs
    }

    #[test]
    fn a_label_stays_until_another_is_better_in_something_and_worse_in_nothing() {
        let mut front = Front::keeping(9);
        front.add(label(60, 500, &[1, 2]));
        front.add(label(50, 600, &[3, 4]));
        front.add(label(60, 600, &[5]));
        assert_eq!(kept(&front), [vec![1, 2], vec![3, 4], vec![5]]);
        front.add(label(60, 501, &[6, 7]));
        front.add(label(60, 500, &[6, 7, 8]));
        assert_eq!(kept(&front), [vec![1, 2], vec![3, 4], vec![5]]);
        front.add(label(50, 500, &[9]));
        assert_eq!(kept(&front), [[9]]);
        assert!(front.covers(&label(50, 500, &[10])) && !front.covers(&label(49, 900, &[10])));
    }

    #[test]
    fn of_equal_labels_the_first_by_their_flights_stay() {
        let mut front = Front::keeping(2);
        for legs in [[4, 5], [1, 9], [3, 5], [3, 4]] {
            front.add(label(60, 500, &legs));
        }
        assert_eq!(kept(&front), [[1, 9], [3, 4]]);
    }
}
