//! Booking references: short texts that travellers write down, read out and type.

mod permutation;

pub use permutation::References;

use serde::{Serialize, Serializer};
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// The symbols, by the five bits that each stands for: digits and capitals without 0, O, 1 and I, which look alike.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// Length of the shortest references, in symbols: 2^30 of them.
const LENGTH_MIN: u32 = 6;

/// Length of the longest references, in symbols: enough for 64 bits.
const LENGTH_MAX: u32 = 13;

/// The reference of an order, which all its bookings show: six symbols, or more for ids from 2^30 on.
///
/// [`References`] makes it of the order's id, and the order's id of it. It is read with blanks at its ends, in lower
/// case, and with `1` or `I` for `L`, which has no other look-alike. `0` and `O` are refused: they stand for no symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Five bits a symbol, the first symbol in the highest.
    bits: u64,
    /// Number of symbols.
    length: u32,
}

/// The text is not a booking reference.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 6 to 13 digits and letters, without 0 and O")]
pub struct NoReference;

/// The key of a database's references, 32 bytes. It gives away the reference of each id, so it is in no log and no
/// message.
#[derive(Clone, PartialEq, Eq)]
pub struct ReferenceKey(pub [u8; 32]);

impl fmt::Debug for ReferenceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReferenceKey(redacted)")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..self.length).rev() {
            let symbol = (self.bits >> (5 * place)) & 31;
            f.write_char(ALPHABET[symbol as usize].into())?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = NoReference;

    fn from_str(text: &str) -> Result<Self, NoReference> {
        let text = text.trim();
        let length = text.len() as u32;
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&length) {
            return Err(NoReference);
        }
        let mut bits = 0_u64;
        for byte in text.bytes() {
            // The first of 13 symbols has four bits only.
            bits = bits.checked_mul(32).ok_or(NoReference)? | symbol(byte).ok_or(NoReference)?;
        }
        Ok(Self { bits, length })
    }
}

/// The bits of a symbol as it is typed.
fn symbol(typed: u8) -> Option<u64> {
    let typed = match typed.to_ascii_uppercase() {
        b'1' | b'I' => b'L',
        other => other,
    };
    ALPHABET.iter().position(|known| *known == typed).map(|bits| bits as u64)
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        text.parse::<Reference>().ok().map(|reference| reference.to_string())
    }

    #[test]
    fn a_reference_is_read_as_it_is_shown_and_as_people_type_it() {
        for shown in
            ["23456789ABCDE", "FGHJKLMN", "PQRSTUVWXYZ", "222222", "ZZZZZZ", "HZZZZZZZZZZZZ"]
        {
            let typed = [shown.to_owned(), shown.to_lowercase(), format!(" \t{shown}\u{a0}")];
            for typed in typed {
                assert_eq!(read(&typed).as_deref(), Some(shown), "{typed}");
            }
        }
        for typed in ["LLL222", "lll222", "1Il222", "iI1222"] {
            assert_eq!(read(typed).as_deref(), Some("LLL222"), "{typed}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let refused = [
            "",
            "      ",
            "22222",
            "AB0DEF",
            "ABODEF",
            "AB DEF",
            "AB-DEF",
            "ÀBCDE",
            "ABCDEFé",
            "ABCDE\0",
            // Beyond 64 bits.
            "J222222222222",
            "ZZZZZZZZZZZZZ",
            "22222222222222",
        ];
        for text in refused {
            assert_eq!(text.parse::<Reference>(), Err(NoReference), "{text:?}");
        }
    }

    #[test]
    fn a_key_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", ReferenceKey([0xab; 32])), "ReferenceKey(redacted)");
    }
}
