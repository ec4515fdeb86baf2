//! The names of external systems in spans.

use crate::messages::Topic;
use std::collections::HashMap;

/// Names as OpenTelemetry's semantic conventions define them.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// The database system (`db.system.name`).
    pub database: &'static str,
    /// Names of topics (`KAFKA_TOPIC_*`). A topic that is missing here has its default name.
    pub topics: HashMap<Topic, String>,
}
