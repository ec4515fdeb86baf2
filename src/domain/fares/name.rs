//! The name of fare rules.

use super::FareRules;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The name of fare rules, as a flight or a booking has it: `free` by default.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Arc<str>", into = "Arc<str>")]
pub struct FareName(
    /// `None` for the default: most flights have it, and copies of it cost nothing.
    Option<Arc<str>>,
);

impl FareName {
    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or(FareRules::DEFAULT)
    }

    /// The name as the databases hold it: none for the default.
    pub fn stored(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The name that a database holds.
    pub fn from_stored(stored: Option<String>) -> Self {
        stored.map(|name| Self::from(Arc::from(name))).unwrap_or_default()
    }
}

impl From<Arc<str>> for FareName {
    fn from(name: Arc<str>) -> Self {
        Self((&*name != FareRules::DEFAULT).then_some(name))
    }
}

impl From<FareName> for Arc<str> {
    fn from(name: FareName) -> Self {
        name.0.unwrap_or_else(|| FareRules::DEFAULT.into())
    }
}

impl fmt::Display for FareName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
