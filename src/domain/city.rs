//! How cities are compared: as people type them, without regard to case, accents and punctuation.

use icu_casemap::CaseMapper;
use icu_normalizer::DecomposingNormalizerBorrowed;
use icu_properties::props::{
    DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup, Script,
};
use icu_properties::{CodePointMapData, CodePointSetData};

/// The key by which cities are compared.
pub fn city_key(city: &str) -> String {
    let mut key = String::with_capacity(city.len());
    fold_into(&mut key, city);
    key
}

/// Appends the key of a city.
///
/// Folds case, blanks, apostrophes and dashes, decomposes compatibility forms, and removes marks from
/// Latin, Greek and Cyrillic letters. In other scripts, such as Devanagari, marks are parts of letters
/// and stay. The punctuation of cache keys (`#{}`, and `%`) is percent-encoded.
pub(super) fn fold_into(key: &mut String, city: &str) {
    if city.is_ascii() {
        // The common case, and the path of cached searches: no intermediate string.
        return append(key, city.chars().map(|c| c.to_ascii_lowercase()));
    }
    let plain: String = city.chars().map(plain).collect();
    let nfkd = DecomposingNormalizerBorrowed::new_nfkd();
    let folded = CaseMapper::new().fold_string(&nfkd.normalize(&plain)).into_owned();
    // Case folding can produce composed characters again.
    append(key, without_marks(&nfkd.normalize(&folded)));
}

/// Maps apostrophes and dashes to ASCII, since decomposition would turn some into blanks.
fn plain(c: char) -> char {
    match c {
        '\u{2018}'..='\u{201B}'
        | '\u{02B9}'..='\u{02BC}'
        | '\u{2032}'
        | '\u{00B4}'
        | '\u{FF07}'
        | '\u{055A}'
        | '\u{A78C}' => '\'',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        c => c,
    }
}

fn without_marks(text: &str) -> impl Iterator<Item = char> {
    let scripts = CodePointMapData::<Script>::new();
    let categories = CodePointMapData::<GeneralCategory>::new();
    let invisible = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let mut has_removable_marks = false;
    text.chars().filter_map(move |c| {
        if invisible.contains(c) {
            return None;
        }
        if GeneralCategoryGroup::Mark.contains(categories.get(c)) {
            return (!has_removable_marks).then_some(c);
        }
        has_removable_marks =
            matches!(scripts.get(c), Script::Latin | Script::Greek | Script::Cyrillic);
        // In Turkish the dotless i is the small form of I: DIYARBAKIR is Diyarbakır.
        Some(if c == 'ı' { 'i' } else { c })
    })
}

/// Appends folded characters; runs of blanks become one, and none stays at the ends.
fn append(key: &mut String, folded: impl Iterator<Item = char>) {
    let start = key.len();
    let mut blank = false;
    for c in folded {
        if c.is_whitespace() {
            blank = key.len() > start;
            continue;
        }
        if std::mem::take(&mut blank) {
            key.push(' ');
        }
        match c {
            '#' => key.push_str("%23"),
            '{' => key.push_str("%7B"),
            '}' => key.push_str("%7D"),
            '%' => key.push_str("%25"),
            c => key.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_city_have_one_key() {
        for (key, spellings) in [
            ("sao paulo", &["São Paulo", "Sa\u{303}o Paulo", "SAO\u{a0}PAULO", " Sao  Paulo "][..]),
            ("istanbul", &["İstanbul", "istanbul", "ISTANBUL", "I\u{307}stanbul", "ıstanbul"]),
            ("diyarbakir", &["Diyarbakır", "DIYARBAKIR", "Diyarbakir"]),
            ("παροσ", &["Πάρος", "ΠΑΡΟΣ", "Παρος"]),
            ("strasse", &["Straße", "STRASSE", "STRAẞE"]),
            ("new york", &["New\u{202f}York", "New\u{2009}\u{a0}York", "Ｎｅｗ　Ｙｏｒｋ"]),
            ("o'hare", &["O’Hare", "Oʼhare", "O´Hare", "O'HARE", "O＇Hare"]),
            ("saint-denis", &["Saint‑Denis", "SAINT–DENIS"]),
            ("%23 %7b%7d%25".to_uppercase().as_str(), &["# {}%"]),
        ] {
            for spelling in spellings {
                assert_eq!(city_key(spelling), key, "{spelling}");
            }
        }
    }

    #[test]
    fn marks_that_are_parts_of_letters_stay() {
        assert_ne!(city_key("पुणे"), city_key("पणे"));
        assert_ne!(city_key("ガ"), city_key("カ"));
        assert_ne!(city_key("น้ำ"), city_key("นำ"));
        assert_eq!(city_key("が"), city_key("か\u{3099}"));
    }

    #[test]
    fn the_key_of_a_key_is_the_key_itself() {
        for city in ["São Paulo", "İstanbul", "ᾼ", "ǅungla", "ﬃ", "Å", "ΐ", "ß", "०पुणे"]
        {
            let once = city_key(city);
            assert_eq!(city_key(&once), once, "{city}");
        }
    }
}
