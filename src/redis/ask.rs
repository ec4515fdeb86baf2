//! Commands and scripts for Redis.

use redis::Cmd;
use std::fmt;
use std::sync::LazyLock;

/// A script. It is sent by its digest, and by its text if the server does not know it.
pub struct Script {
    text: &'static str,
    digest: LazyLock<String>,
}

impl Script {
    /// A script with this text.
    pub const fn new(text: &'static str, digest: fn() -> String) -> Self {
        Self { text, digest: LazyLock::new(digest) }
    }
}

/// The digest by which Redis knows a script's text.
pub fn digest_of(text: &str) -> String {
    redis::Script::new(text).get_hash().to_owned()
}

/// A command or a script call. Its keys share a slot, so that a Cluster can run it.
pub struct Ask {
    verb: Verb,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

enum Verb {
    Command(&'static str),
    Script(&'static Script),
}

impl Ask {
    /// A command without a key.
    pub(super) fn of_nothing(name: &'static str) -> Self {
        Self { verb: Verb::Command(name), keys: Vec::new(), arguments: Vec::new() }
    }

    /// A command on a key.
    pub fn command(name: &'static str, key: String) -> Self {
        Self { verb: Verb::Command(name), keys: vec![key], arguments: Vec::new() }
    }

    /// A script on keys.
    pub fn script(script: &'static Script, keys: Vec<String>) -> Self {
        Self { verb: Verb::Script(script), keys, arguments: Vec::new() }
    }

    /// Adds an argument after the keys.
    #[must_use]
    pub fn with(mut self, argument: impl fmt::Display) -> Self {
        self.arguments.push(argument.to_string().into_bytes());
        self
    }

    /// Adds an argument of bytes.
    #[must_use]
    pub fn with_bytes(mut self, argument: &[u8]) -> Self {
        self.arguments.push(argument.to_vec());
        self
    }

    pub(super) fn is_script(&self) -> bool {
        matches!(self.verb, Verb::Script(_))
    }

    /// The command on the wire; a script by its digest or its text.
    pub(super) fn wire(&self, by_text: bool) -> Cmd {
        let mut cmd = match self.verb {
            Verb::Command(name) => redis::cmd(name),
            Verb::Script(script) => {
                let mut cmd = redis::cmd(if by_text { "EVAL" } else { "EVALSHA" });
                cmd.arg(if by_text { script.text } else { &*script.digest });
                cmd.arg(self.keys.len());
                cmd
            }
        };
        cmd.arg(&self.keys).arg(&self.arguments);
        cmd
    }
}
