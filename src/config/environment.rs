//! Reads settings by name, and collects every problem instead of stopping at the first one.

use super::settings;
use std::collections::HashMap;
use std::fmt;

/// Unusable settings: a line per problem, with the variable and the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(pub Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid settings:\n  {}", self.0.join("\n  "))
    }
}

/// The source of settings, and the problems found so far.
pub(super) struct Environment<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    /// Values read from files (`NAME_FILE`), by the setting's name.
    pub(super) files: HashMap<&'static str, String>,
    pub(super) problems: Vec<String>,
}

impl<'a> Environment<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, files: HashMap::new(), problems: Vec::new() }
    }

    /// A setting's text; `None` if it is unset or blank.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        if let Some(value) = self.files.get(name) {
            return Some(value.clone());
        }
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A setting's text, or its default.
    pub(super) fn text(&self, name: &str) -> String {
        self.value(name).unwrap_or_else(|| settings::default_of(name).to_owned())
    }

    /// A setting's value. A bad value is noted as a problem and replaced by the default, so that reading
    /// continues with the next setting.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        if let Some(value) = self.value(name) {
            match parse(&value) {
                Ok(parsed) => return parsed,
                // A URL may contain a password, which must not reach a screen or a log.
                Err(rule) if settings::may_hold_a_secret(name) => {
                    self.problem(format!("{name} {rule}"));
                }
                Err(rule) => self.problem(format!("{name} {rule}; it is {value:?}")),
            }
        }
        parse(settings::default_of(name)).expect("every default keeps its setting's rule")
    }

    pub(super) fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }
}
