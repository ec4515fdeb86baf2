//! Misspelt settings: a variable whose name is almost a setting's has no effect, and the default applies.

use super::SETTINGS;

/// Names up to this length may differ in one letter, longer ones in two. More would match variables of other
/// programs.
const SHORT: usize = 8;

/// The variables that are almost a setting, each with that setting. Reads no values.
pub fn misspelt(variables: impl IntoIterator<Item = String>) -> Vec<(String, &'static str)> {
    let mut found: Vec<_> =
        variables.into_iter().filter_map(|name| Some((meant(&name)?, name))).collect();
    found.sort();
    found.into_iter().map(|(setting, name)| (name, setting)).collect()
}

/// The setting that a name almost is; `None` for a setting itself.
fn meant(name: &str) -> Option<&'static str> {
    let settings = || SETTINGS.iter().map(|setting| setting.name);
    if settings().any(|setting| setting == name) {
        return None;
    }
    let wrong_max = if name.len() <= SHORT { 1 } else { 2 };
    settings()
        .filter(|setting| setting.len().abs_diff(name.len()) <= wrong_max)
        .map(|setting| (strsim::osa_distance(&name.to_ascii_uppercase(), setting), setting))
        .filter(|(wrong, _)| *wrong <= wrong_max)
        .min()
        .map(|(_, setting)| setting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str) -> Option<&'static str> {
        misspelt([name.to_owned()]).first().map(|(_, setting)| *setting)
    }

    #[test]
    fn a_name_with_one_or_two_wrong_letters_is_matched_to_its_setting() {
        for (name, setting) in [
            ("SERVER_PROT", "SERVER_PORT"),
            ("JWT_ISUER", "JWT_ISSUER"),
            ("KAFKA_BROKER", "KAFKA_BROKERS"),
            ("CORS_ORIGIN", "CORS_ORIGINS"),
            ("ALLOWED_HOST", "ALLOWED_HOSTS"),
            ("AUHT", "AUTH"),
            ("server_port", "SERVER_PORT"),
        ] {
            assert_eq!(found(name), Some(setting), "{name}");
        }
    }

    #[test]
    fn settings_and_variables_of_other_programs_are_not_misspelt() {
        for setting in SETTINGS {
            assert_eq!(found(setting.name), None, "{}", setting.name);
        }
        for name in [
            "PATH",
            "HOME",
            "PORT",
            "RUST_BACKTRACE",
            "REDIS_SERVICE_HOST",
            "REDIS_PORT_6379_TCP",
            "KAFKA_SERVICE_PORT",
            "OTEL_SERVICE_NAME",
            "DB_PORT_5432_TCP_ADDR",
            "TEST_DATABASE_URL",
        ] {
            assert_eq!(found(name), None, "{name}");
        }
    }
}
