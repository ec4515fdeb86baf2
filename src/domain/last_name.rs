//! The name by which a traveller finds a booking.

use super::{Passenger, city_key};

/// A last name, compared as cities are: without regard to case, accents and blanks.
#[derive(Clone, PartialEq, Eq)]
pub struct LastName(String);

impl LastName {
    /// The name in this text; `None` if the text has nothing to see.
    pub fn new(text: &str) -> Option<Self> {
        let key = city_key(text);
        (!key.is_empty()).then_some(Self(key))
    }

    /// Whether it is the last word of the passenger's name, or the whole of a name of one word. Never of a passenger
    /// whose data were erased.
    pub fn is_of(&self, passenger: &Passenger) -> bool {
        let name = city_key(&passenger.name);
        name.rsplit(' ').next() == Some(&self.0) && !passenger.is_erased()
    }
}

impl std::fmt::Debug for LastName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LastName(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(name: &str) -> Passenger {
        Passenger { name: name.to_owned(), email: "a@b.example".to_owned(), ..Passenger::erased() }
    }

    fn is_of(typed: &str, name: &str) -> bool {
        LastName::new(typed).expect("a name").is_of(&called(name))
    }

    #[test]
    fn the_last_word_of_a_name_is_compared_as_cities_are() {
        for (typed, name) in [
            ("rao", "Asha Rao"),
            (" RAO ", "Asha  Rao "),
            ("muller", "Jürgen Müller"),
            ("MÜLLER", "Jürgen Mu\u{308}ller"),
            ("strasse", "Ida Straße"),
            ("o'brien", "Pat O’Brien"),
            ("saint-denis", "Luc Saint‑Denis"),
            ("cruz", "Maria de la Cruz"),
            ("राव", "आशा राव"),
            ("cher", "Cher"),
            ("madonna", "MADONNA"),
        ] {
            assert!(is_of(typed, name), "{typed} of {name}");
        }
        for (typed, name) in [
            ("Asha", "Asha Rao"),
            ("Asha Rao", "Asha Rao"),
            ("de la Cruz", "Maria de la Cruz"),
            ("Ra", "Asha Rao"),
            ("Raoo", "Asha Rao"),
            ("brien", "Pat O’Brien"),
        ] {
            assert!(!is_of(typed, name), "{typed} of {name}");
        }
    }

    #[test]
    fn an_erased_passenger_has_no_name() {
        let erased = LastName::new("Erased").expect("a name");
        let cancelled = Some(crate::domain::PassengerStatus::Cancelled);
        assert!(!erased.is_of(&Passenger::erased()));
        assert!(!erased.is_of(&Passenger { status: cancelled, ..Passenger::erased() }));
        assert!(erased.is_of(&called("Erased")));
    }

    #[test]
    fn a_text_with_nothing_to_see_is_no_name() {
        for text in ["", "  ", "\u{a0}", "\u{ad}", "\t\n"] {
            assert_eq!(LastName::new(text), None, "{text:?}");
        }
    }
}
