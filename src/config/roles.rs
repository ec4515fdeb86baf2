//! `ROLES`: the parts of the service's work that this process does.

use std::collections::BTreeSet;
use strum::{EnumString, VariantArray, VariantNames};

/// A part of the service's work that a process can do or leave to other processes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, EnumString, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// Answers requests.
    Api,
    /// Publishes the outbox on the topics.
    Relay,
    /// Calls the payment gateway.
    Payments,
    /// Applies payment results to bookings.
    Settlement,
    /// Expires lapsed holds, and does the other work that no request or message triggers.
    Sweeper,
    /// Tells others what happened: webhooks, sales by day, mails and SMS to travellers.
    Notify,
}

/// The roles of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

impl Roles {
    /// Whether the process has this role.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// The roles but for one.
    #[must_use]
    pub fn without(mut self, role: Role) -> Self {
        self.0.remove(&role);
        self
    }

    /// Whether the process has every role.
    pub fn is_all(&self) -> bool {
        self.0.len() == <Role as VariantArray>::VARIANTS.len()
    }
}

/// `all`, or a comma-separated list of roles.
pub(super) fn roles(text: &str) -> Result<Roles, String> {
    if text == "all" {
        return Ok(Roles(<Role as VariantArray>::VARIANTS.iter().copied().collect()));
    }
    let role = |word: &str| word.trim().parse().ok();
    text.split(',').map(role).collect::<Option<_>>().map(Roles).ok_or_else(|| {
        let known = <Role as VariantNames>::VARIANTS.join(", ");
        format!("must be all, or a comma-separated list of {known}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn separate_roles_need_postgresql_and_kafka() {
        let error = Config::of(&[("ROLES", "api")]).expect_err("embedded");
        assert!(error.0[0].starts_with("ROLES must be all"), "{error}");
        let variables = [("ROLES", "api, relay"), ("DB_HOST", "db"), ("KAFKA_BROKERS", "k:9092")];
        let roles = Config::of(&variables).expect("sound").roles;
        assert!(roles.has(Role::Relay) && !roles.has(Role::Payments));
        assert!(Config::of(&[("ROLES", "cook")]).is_err());
    }
}
