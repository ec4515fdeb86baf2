//! What spans call the parts outside, where it is not what the service itself calls them.

use crate::messages::Topic;
use std::collections::HashMap;

/// Names by OpenTelemetry's semantic conventions.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Which database the store is (`db.system.name`).
    pub database: &'static str,
    /// What topics are called (`KAFKA_TOPIC_*`); those that are not named here by their default.
    pub topics: HashMap<Topic, String>,
}
