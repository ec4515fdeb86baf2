//! Secrets: texts that are never printed, the files that contain them, and a check that they are random.

use super::SETTINGS;
use super::environment::Environment;
use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::Read as _;

/// Maximum size of a secret's file: a wrong path, such as a database or a device, is not read whole.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Minimum number of distinct bytes in a random secret. 32 random hexadecimal digits have fewer once in
/// 8,000 times.
const DIFFERENT_BYTES_MIN: usize = 10;

/// Placeholders that manuals and generators put in place of a secret, without hyphens, underscores and
/// spaces.
const EXAMPLES: [&str; 11] = [
    "256bit",
    "changeme",
    "changethis",
    "replaceme",
    "yoursecret",
    "mysecret",
    "supersecret",
    "jwtsecret",
    "secretkey",
    "password",
    "qwerty",
];

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(super) String);

impl Secret {
    /// The text itself, to be sent to the service that asks for it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"…\"")
    }
}

/// Whether a secret looks random: it is no placeholder, no repetition, and no sequence of letters or digits.
/// The caller checks its length.
pub(super) fn is_random(text: &str) -> bool {
    let bytes = text.as_bytes();
    let different = bytes.iter().collect::<HashSet<_>>().len();
    let repeats =
        (1..=bytes.len() / 2).any(|period| bytes[period..] == bytes[..bytes.len() - period]);
    let in_order = bytes.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 1).count();
    let plain = text.to_lowercase().replace(['-', '_', ' '], "");
    different >= DIFFERENT_BYTES_MIN
        && !repeats
        && in_order * 2 < bytes.len()
        && !EXAMPLES.iter().any(|example| plain.contains(example))
}

impl Environment<'_> {
    /// Reads the file that a variable `NAME_FILE` names, as the value of `NAME`.
    ///
    /// Errors contain neither the text nor the path, which may be the secret itself by mistake.
    pub(super) fn read_files(&mut self) {
        for setting in SETTINGS {
            let Some(name) = setting.name.strip_suffix("_FILE") else { continue };
            let Some(path) = self.value(setting.name) else { continue };
            if self.value(name).is_some() {
                self.problem(format!("{name} and {name}_FILE must not both be set"));
                continue;
            }
            match one_line(&path) {
                Ok(line) => drop(self.files.insert(name, line)),
                Err(why) => self.problem(format!("{name}_FILE must name a file {why}")),
            }
        }
    }
}

/// The only line of a file, without its line break. An error continues "must name a file".
fn one_line(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| format!("that can be read: {error}"))?;
    let line = text.trim_end_matches(['\r', '\n']);
    if read as u64 > FILE_BYTES_MAX || line.contains(['\r', '\n', '\0']) {
        return Err("with a single line of text, up to 64 KiB".into());
    }
    if line.trim().is_empty() {
        return Err("that is not empty".into());
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Database};

    fn config(variables: &[(&str, &str)]) -> Result<Config, String> {
        Config::of(variables).map_err(|error| error.to_string())
    }

    fn password(variables: &[(&str, &str)]) -> Result<String, String> {
        let variables = [&[("DB_HOST", "db")], variables].concat();
        let Database::Postgres(settings) = config(&variables)?.database else { panic!("SQLite") };
        Ok(settings.password.expose().to_owned())
    }

    #[test]
    fn a_secret_is_the_only_line_of_its_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("password");
        let path = path.to_str().expect("UTF-8");
        for text in ["hush #1", "hush #1\n", "hush #1\r\n"] {
            std::fs::write(path, text).expect("written");
            assert_eq!(password(&[("DB_PASSWORD_FILE", path)]).as_deref(), Ok("hush #1"));
        }
        std::fs::write(path, " hush ").expect("written");
        assert_eq!(password(&[("DB_PASSWORD_FILE", path)]).as_deref(), Ok(" hush "));
        assert_eq!(password(&[("DB_PASSWORD_FILE", " ")]).as_deref(), Ok("password"));
    }

    #[test]
    fn an_unusable_secret_file_is_refused_without_repeating_text_or_path() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("hush-path");
        let path = path.to_str().expect("UTF-8");
        let told = password(&[("DB_PASSWORD_FILE", path)]).expect_err("no such file");
        assert!(told.contains("DB_PASSWORD_FILE must name a file that can be read: No such file"));
        assert!(!told.contains("hush"), "{told}");
        let long = "hush".repeat(20_000);
        for text in [&b""[..], b"\n", b" \n", b"hush\nhush\n", b"hush\0", b"\xff", long.as_bytes()]
        {
            std::fs::write(path, text).expect("written");
            let told = password(&[("DB_PASSWORD_FILE", path)]).expect_err("no secret");
            assert!(told.contains("DB_PASSWORD_FILE must name a file"), "{told}");
            assert!(!told.contains("hush"), "{told}");
        }
        std::fs::write(path, "hush").expect("written");
        let both = [("DB_PASSWORD_FILE", path), ("DB_PASSWORD", "hush")];
        let told = password(&both).expect_err("both");
        assert!(told.contains("DB_PASSWORD and DB_PASSWORD_FILE must not both be set"), "{told}");
        assert!(!told.contains("hush"), "{told}");
        let directory = directory.path().to_str().expect("UTF-8");
        let told = password(&[("DB_PASSWORD_FILE", directory)]).expect_err("a directory");
        assert!(told.contains("Is a directory"), "{told}");
    }

    #[test]
    fn every_secret_can_be_read_from_a_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("secret");
        let path = path.to_str().expect("UTF-8");
        for setting in SETTINGS {
            let name = setting.name;
            // The keys of JWT_JWKS are public, and in a file of their own. PUBLIC_URL and SMS_URL are origins, without a password.
            let is_secret = crate::config::settings::may_hold_a_secret(name)
                && !["JWT_JWKS", "TRACING_ENDPOINT", "PUBLIC_URL", "SMS_URL"].contains(&name);
            let variable = format!("{name}_FILE");
            let file = SETTINGS.iter().find(|setting| setting.name == variable);
            assert_eq!(file.is_some(), is_secret, "{name}");
            let Some(file) = file else { continue };
            std::fs::write(path, "bad:hush").expect("written");
            let lookup = |name: &str| (name == file.name).then(|| path.to_owned());
            let mut environment = Environment::new(&lookup);
            environment.read_files();
            assert_eq!(environment.value(name).as_deref(), Some("bad:hush"), "{name}");
        }
    }

    #[test]
    fn a_guessable_secret_is_not_random() {
        for weak in [
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "0123456789abcdef0123456789abcdef",
            "abcdefghijklmnopqrstuvwxyz123456",
            "zyxwvutsrqponmlkjihgfedcba987654",
            "correct horse battery staple correct horse battery staple ",
            "a-string-secret-at-least-256-bits-long",
            "your-256-bit-secret-your-256-bit-secret-",
            "My Super Secret Key for the airline, 2025",
            "please-CHANGE_ME-before-production-1",
        ] {
            assert!(!is_random(weak), "{weak}");
        }
        for sound in [
            "7c9f0a3b5e1d48268fb2c4d6e0913a57",
            "bl1mYz0XU3lVAn4vF2eB5pWmQ9rTgKsH6dJcN8uEoI0=",
            "the quick brown fox jumps over a lazy dog",
        ] {
            assert!(is_random(sound), "{sound}");
        }
    }
}
