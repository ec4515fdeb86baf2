//! The keyed permutation between ids of orders and their references.

use super::{LENGTH_MAX, LENGTH_MIN, Reference, ReferenceKey};
use crate::domain::BookingId;
use siphasher::sip::SipHasher24;
use std::fmt;
use std::sync::Arc;

/// Rounds of the network. Even, so that both halves end where they began; as many as FF1 has (NIST SP 800-38G).
const ROUNDS: u8 = 10;

/// Makes references of ids and ids of references, by a database's key. Without the key, the reference of one id tells
/// nothing about another's.
///
/// An id below 2^30 gets six symbols, one below 2^35 seven, and so on: each length has a permutation of all its values,
/// so two ids never share a reference, and no table is needed. Each `i64` has one; negative ids, which only an earlier
/// service may have drawn, count as those from 2^63 on.
///
/// A permutation is a Feistel network: each round replaces one half of the bits by its exclusive or with a keyed
/// hash of the other, which the same hash undoes, whatever it is. The hash is SipHash-2-4 of the width, the round and
/// that half; even rounds use the first half of the key, odd ones the second. Of an odd number of bits one half has
/// one more.
#[derive(Clone)]
pub struct References {
    /// The hash of even rounds, and that of odd ones.
    hashes: Arc<[SipHasher24; 2]>,
}

impl fmt::Debug for References {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("References(redacted)")
    }
}

impl References {
    /// The references of a database with this key.
    pub fn new(ReferenceKey(key): &ReferenceKey) -> Self {
        let half = |at: usize| {
            let mut half = [0; 16];
            half.copy_from_slice(&key[at..at + 16]);
            SipHasher24::new_with_key(&half)
        };
        Self { hashes: Arc::new([half(0), half(16)]) }
    }

    /// A secret of the database for another purpose, which tells nothing about its references: their hashes are all of
    /// ten bytes, and those of a purpose of more.
    pub fn secret(&self, purpose: &'static str) -> [u8; 32] {
        let mut secret = [0; 32];
        for (at, part) in (0_u8..).zip(secret.chunks_mut(8)) {
            let hashed = format!("secret {at} of {purpose}");
            part.copy_from_slice(
                &self.hashes[usize::from(at % 2)].hash(hashed.as_bytes()).to_le_bytes(),
            );
        }
        secret
    }

    /// The reference of an order.
    pub fn of(&self, order: BookingId) -> Reference {
        let id = order.0 as u64;
        let length = length_of(id);
        Reference { bits: self.permuted(width_of(length), id), length }
    }

    /// The only id whose reference this is; `None` if it is no id's. Whether there is such an order is another
    /// question.
    pub fn order(&self, reference: Reference) -> Option<BookingId> {
        let Reference { bits, length } = reference;
        let id = self.restored(width_of(length), bits);
        (length_of(id) == length).then_some(BookingId(id as i64))
    }

    /// The value's image among all values of this width.
    fn permuted(&self, width: u32, value: u64) -> u64 {
        let (mut left, mut right) = (Half::high(width, value), Half::low(width, value));
        for round in 0..ROUNDS {
            let mixed = left.mixed(self.hash(width, round, right.bits));
            (left, right) = (right, mixed);
        }
        left.joined(right)
    }

    /// The value with this image.
    fn restored(&self, width: u32, image: u64) -> u64 {
        let (mut left, mut right) = (Half::high(width, image), Half::low(width, image));
        for round in (0..ROUNDS).rev() {
            let mixed = right.mixed(self.hash(width, round, left.bits));
            (left, right) = (mixed, left);
        }
        left.joined(right)
    }

    fn hash(&self, width: u32, round: u8, half: u64) -> u64 {
        let mut hashed = [width as u8, round, 0, 0, 0, 0, 0, 0, 0, 0];
        hashed[2..].copy_from_slice(&half.to_le_bytes());
        self.hashes[usize::from(round % 2)].hash(&hashed)
    }
}

/// Number of symbols in the reference of an id.
fn length_of(id: u64) -> u32 {
    let bits = u64::BITS - id.leading_zeros();
    bits.div_ceil(5).max(LENGTH_MIN)
}

/// Number of bits in references of this many symbols.
fn width_of(length: u32) -> u32 {
    if length == LENGTH_MAX { u64::BITS } else { 5 * length }
}

/// One half of a value's bits.
#[derive(Clone, Copy)]
struct Half {
    bits: u64,
    /// Number of bits.
    width: u32,
}

impl Half {
    fn high(width: u32, value: u64) -> Self {
        Self { bits: value >> width.div_ceil(2), width: width / 2 }
    }

    fn low(width: u32, value: u64) -> Self {
        let width = width.div_ceil(2);
        Self { bits: value & mask(width), width }
    }

    fn mixed(self, hash: u64) -> Self {
        Self { bits: self.bits ^ (hash & mask(self.width)), ..self }
    }

    fn joined(self, low: Self) -> u64 {
        self.bits << low.width | low.bits
    }
}

/// So many ones.
fn mask(width: u32) -> u64 {
    (1 << width) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    fn references() -> References {
        let mut key = [0; 32];
        for (at, byte) in key.iter_mut().enumerate() {
            *byte = at as u8;
        }
        References::new(&ReferenceKey(key))
    }

    #[test]
    fn all_values_of_a_width_change_places_and_back_also_of_an_odd_one() {
        let references = references();
        for width in [1, 2, 3, 4, 5, 10, 15, 16] {
            let mut met = HashSet::new();
            for value in 0..1 << width {
                let image = references.permuted(width, value);
                assert!(image >> width == 0 && met.insert(image), "{value} of {width} bits");
                assert_eq!(references.restored(width, image), value, "{width} bits");
            }
        }
    }

    #[test]
    fn a_million_ids_have_references_of_their_own_which_lead_back_to_them() {
        let references = references();
        // 1,031 is odd, and so coprime to 2^30: the steps meet no id twice.
        let ids = (0..1_000_000_i64).map(|step| (step * 1_031) & ((1 << 30) - 1));
        let mut met = HashSet::new();
        for id in ids {
            let reference = references.of(BookingId(id));
            assert!(reference.length == 6 && met.insert(reference), "{id}");
            assert_eq!(references.order(reference), Some(BookingId(id)));
        }
    }

    #[test]
    fn each_id_has_a_reference_of_the_shortest_length_that_fits() {
        let references = references();
        for (id, length) in [
            (0, 6),
            (1, 6),
            ((1 << 30) - 1, 6),
            (1 << 30, 7),
            ((1 << 35) - 1, 7),
            (1 << 35, 8),
            ((1 << 60) - 1, 12),
            (1 << 60, 13),
            (i64::MAX, 13),
            (-1, 13),
            (i64::MIN, 13),
        ] {
            let reference = references.of(BookingId(id));
            let shown = reference.to_string();
            assert_eq!((shown.len(), shown.parse()), (length, Ok(reference)), "{id}");
            assert_eq!(references.order(reference), Some(BookingId(id)));
        }
    }

    #[test]
    fn a_longer_reference_of_a_small_id_is_no_ids() {
        let references = references();
        let padded = Reference { bits: references.permuted(35, 7), length: 7 };
        assert_eq!(references.order(padded), None);
    }

    #[test]
    fn references_stay_the_same_from_release_to_release() {
        let shown = |id| references().of(BookingId(id)).to_string();
        // By another implementation, in Python, of SipHash and of the network.
        assert_eq!(
            [1, 2, 1 << 30, 1 << 40, -1].map(shown),
            ["NYF9L6", "XW3TP6", "ZWEME3G", "KWCMB9QNP", "8NWG3RBZ5WH5Y"]
        );
    }

    #[test]
    fn references_of_neighbours_look_unrelated() {
        let references = references();
        let mut firsts: HashMap<char, u32> = HashMap::new();
        let mut flipped = 0;
        for id in 0..32_000 {
            let reference = references.of(BookingId(id));
            let first = reference.to_string().chars().next().expect("a symbol");
            *firsts.entry(first).or_default() += 1;
            flipped += (reference.bits ^ references.of(BookingId(id + 1)).bits).count_ones();
        }
        // A thousand each, give or take six standard deviations.
        assert_eq!(firsts.len(), 32);
        assert!(firsts.values().all(|times| (810..1_190).contains(times)), "{firsts:?}");
        // 15 of 30 bits differ, on average.
        let mean = f64::from(flipped) / 32_000.0;
        assert!((14.9..15.1).contains(&mean), "{mean}");
    }

    #[test]
    fn another_key_gives_other_references() {
        let other = References::new(&ReferenceKey([7; 32]));
        let same = (0..10_000).map(BookingId).filter(|id| other.of(*id) == references().of(*id));
        assert_eq!(same.count(), 0);
        let mut half = [7; 32];
        half[31] = 8;
        let half = References::new(&ReferenceKey(half));
        assert_ne!(half.of(BookingId(1)), other.of(BookingId(1)));
    }
}
