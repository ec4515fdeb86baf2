//! Broken rules of an input, each with its field.

use serde::Serialize;

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Violation {
    /// The field, as a JSON pointer into the request: `/passenger_details/0/name`.
    #[schema(example = "/seats_booked")]
    pub pointer: String,
    /// The rule in words; never the value, which may be personal.
    #[schema(example = "must be at least 1")]
    pub detail: String,
}

/// The broken rules of a well-formed input; at least one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Invalid(pub Vec<Violation>);

impl Invalid {
    /// A single broken rule.
    pub fn one(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut invalid = Self::default();
        invalid.add(pointer, detail);
        invalid
    }

    /// Adds a broken rule.
    pub fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Violation { pointer: pointer.into(), detail: detail.into() });
    }

    /// `value` if no rule is broken, else the broken rules.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, violation) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{} {}", violation.pointer.trim_start_matches('/'), violation.detail)?;
        }
        Ok(())
    }
}
