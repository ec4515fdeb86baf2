//! `ROLES`: the parts of the service's work that this process does.

use std::collections::BTreeSet;

/// A part of the service's work that a process can do or leave to other processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] =
        [Self::Api, Self::Relay, Self::Payments, Self::Settlement, Self::Sweeper];

    /// The word in `ROLES`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Relay => "relay",
            Self::Payments => "payments",
            Self::Settlement => "settlement",
            Self::Sweeper => "sweeper",
        }
    }
}

/// The roles of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

impl Roles {
    /// Whether the process has this role.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether the process has every role.
    pub fn is_all(&self) -> bool {
        self.0.len() == Role::ALL.len()
    }
}

/// `all`, or a comma-separated list of roles.
pub(super) fn roles(text: &str) -> Result<Roles, String> {
    if text == "all" {
        return Ok(Roles(Role::ALL.into()));
    }
    let role = |word: &str| Role::ALL.into_iter().find(|role| role.as_str() == word.trim());
    text.split(',').map(role).collect::<Option<_>>().map(Roles).ok_or_else(|| {
        let known = Role::ALL.map(Role::as_str).join(", ");
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
