//! The marks of a waiting list on its flight: what a hold must know of it.

use crate::domain::Timestamp;

/// The marks of a waiting list on its flight's row. Whatever changes them changes the flight's version too.
///
/// While no walk is due and no seats gather, no party that waits and takes the price fits into the free seats: a
/// walk served those that did, a party that does can't join, and what frees seats makes a walk due. So a new hold
/// that gets seats overtakes every party that takes the price, and one count (`passed`) is exact for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line {
    /// Number of parties that wait. While it is 0 the other marks refuse nothing.
    pub waiting: i32,
    /// Whether a walk is due: seats were freed, or price, time or status changed, while parties wait. Holds are
    /// refused until the walk.
    pub serve_due: bool,
    /// Until when seats gather for a party; `None`: they don't. Holds are refused until then, and from then on
    /// until a walk: a party behind may fit, and is served before a new hold.
    pub gathers_until: Option<Timestamp>,
    /// Number of new holds that got seats while parties waited, ever since the flight exists. It never falls, also
    /// if such a hold lapses: an entry counts from its own `passed_before`.
    pub passed: i32,
    /// The value of `passed` at which a party has been overtaken `overtakes_max` times. The hold that reaches it
    /// makes a walk due, which lets seats gather. `None`: no number of holds does. It may be lower than necessary
    /// after a party has left; then a walk comes early and changes it.
    pub passed_max: Option<i32>,
}

impl Line {
    /// Whether a walk is due: also if seats gathered until now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.waiting > 0 && (self.serve_due || self.gathers_until.is_some_and(|until| until <= now))
    }

    /// The line after seats were freed, or price, time or status of the flight changed.
    #[must_use]
    pub fn to_serve(self) -> Self {
        Self { serve_due: self.waiting > 0, ..self }
    }

    /// The line after a new hold got seats. It overtakes all parties that wait.
    #[must_use]
    pub fn held(self) -> Self {
        if self.waiting == 0 {
            return self;
        }
        Self { passed: self.passed + 1, ..self }.checked()
    }

    /// The line after a party joined it.
    #[must_use]
    pub fn joined(self, overtakes_max: i32) -> Self {
        let own_max = self.passed.saturating_add(overtakes_max);
        let passed_max = self.passed_max.map_or(own_max, |max| max.min(own_max));
        Self { waiting: self.waiting + 1, passed_max: Some(passed_max), ..self }.checked()
    }

    /// The line after a party left it without seats, or its entry ended.
    ///
    /// While seats gather a walk is due, as they may have gathered for this party. At other times none is: the
    /// others did not fit before, and do not now.
    #[must_use]
    pub fn left(self) -> Self {
        if self.waiting <= 1 {
            return Self { passed: self.passed, ..Self::default() };
        }
        let serve_due = self.serve_due || self.gathers_until.is_some();
        Self { waiting: self.waiting - 1, serve_due, ..self }
    }

    /// The line with a walk due, if as many holds as a party bears have overtaken it.
    fn checked(self) -> Self {
        let is_reached = self.passed_max.is_some_and(|max| self.passed >= max);
        Self { serve_due: self.serve_due || is_reached, ..self }
    }
}
