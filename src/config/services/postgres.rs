//! `DB_*` and `DATABASE_URL`: the database, and how connections to PostgreSQL are protected.

use super::url::{host_of, parameter, unknown_parameter};
use crate::config::environment::Environment;
use crate::config::{Secret, values};
use std::fmt;
use std::path::PathBuf;

/// The database file, if no setting names another.
const SQLITE_FILE: &str = "airline_booking.db";

/// Parameters of `DATABASE_URL` that the driver knows, besides `options[NAME]`.
const PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// The database.
#[derive(Debug, Clone)]
pub enum Database {
    /// A file, for one process.
    Sqlite(PathBuf),
    /// A server, for any number of replicas.
    Postgres(PostgresSettings),
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => write!(f, "SQLite in {}", file.display()),
            Self::Postgres(PostgresSettings { url: Some(_), .. }) => {
                f.write_str("PostgreSQL at DATABASE_URL")
            }
            Self::Postgres(PostgresSettings { host, port, database, .. }) => {
                write!(f, "PostgreSQL, {database} on {host}:{port}")
            }
        }
    }
}

/// How to reach PostgreSQL.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// `DATABASE_URL`; overrides all fields except TLS, the pool and the read replica.
    pub url: Option<Secret>,
    /// `DB_HOST`.
    pub host: String,
    /// `DB_PORT`.
    pub port: u16,
    /// `DB_USER`.
    pub user: String,
    /// `DB_PASSWORD`.
    pub password: Secret,
    /// `DB_NAME`.
    pub database: String,
    /// `DB_SSL_MODE`, or `sslmode` of the URL; `None`: neither is set.
    pub ssl_mode: Option<SslMode>,
    /// `DB_SSL_ROOT_CERT`, or `sslrootcert` of the URL: a file of certificate authorities.
    pub ssl_root_cert: Option<PathBuf>,
    /// `DB_READ_HOST`: a read replica for searches; `None`: searches read the primary.
    pub read_host: Option<String>,
    /// `DB_MAX_CONNECTIONS`.
    pub connections_max: u32,
}

impl PostgresSettings {
    /// The primary, and the read replica.
    pub(super) fn hosts(&self) -> Vec<&str> {
        let primary = self.url.as_ref().map_or(self.host.as_str(), |url| host_of(url.expose()));
        [Some(primary), self.read_host.as_deref()].into_iter().flatten().collect()
    }
}

/// How a connection to PostgreSQL is protected, in libpq's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server offers it.
    Prefer,
    /// TLS, without verifying the server.
    Require,
    /// TLS; the server's certificate must be signed by a trusted authority.
    VerifyCa,
    /// TLS; the certificate must also name the host.
    VerifyFull,
}

impl Environment<'_> {
    pub(in crate::config) fn database(&mut self) -> Database {
        let url = self.value("DATABASE_URL");
        let is_postgres = url.as_deref().is_some_and(is_postgres_url);
        if !is_postgres && (url.is_some() || self.value("DB_HOST").is_none()) {
            return Database::Sqlite(self.read("DATABASE_URL", sqlite_file));
        }
        if let Some(url) = &url {
            self.refuse_unknown_parameters(url);
        }
        let (ssl_mode, ssl_root_cert) = self.postgres_tls(url.as_deref());
        Database::Postgres(PostgresSettings {
            url: url.as_deref().map(Secret::from),
            host: self.text("DB_HOST"),
            port: self.read("DB_PORT", values::whole(1..=u16::MAX)),
            user: self.text("DB_USER"),
            password: Secret(self.text("DB_PASSWORD")),
            database: self.text("DB_NAME"),
            ssl_mode,
            ssl_root_cert,
            read_host: self.value("DB_READ_HOST"),
            connections_max: self.read("DB_MAX_CONNECTIONS", values::whole(4..=1_000)),
        })
    }

    fn refuse_unknown_parameters(&mut self, url: &str) {
        let is_known = |name: &str| {
            PARAMETERS.contains(&name) || (name.starts_with("options[") && name.ends_with(']'))
        };
        if let Some(problem) = unknown_parameter(url, is_known) {
            let known = PARAMETERS.join(", ");
            self.problem(format!("DATABASE_URL {problem}; it may have {known}"));
        }
    }

    /// `DB_SSL_MODE` and `DB_SSL_ROOT_CERT`, or the parameters of `DATABASE_URL`; `None` if neither is set.
    /// If both are set they must agree, so that neither is silently dropped.
    ///
    /// `require` with authorities means `verify-ca`, as in libpq.
    fn postgres_tls(&mut self, url: Option<&str>) -> (Option<SslMode>, Option<PathBuf>) {
        let in_url = |names: &[&str]| url.and_then(|url| parameter(url, names));
        let (mode, root) = (self.value("DB_SSL_MODE"), self.value("DB_SSL_ROOT_CERT"));
        let url_mode = in_url(&["sslmode", "ssl-mode"]).map(|mode| mode.to_ascii_lowercase());
        let url_root = in_url(&["sslrootcert", "ssl-root-cert", "ssl-ca"]);
        for (name, parameter, set, url_set) in [
            ("DB_SSL_MODE", "sslmode", &mode, &url_mode),
            ("DB_SSL_ROOT_CERT", "sslrootcert", &root, &url_root),
        ] {
            if set.is_some() && url_set.is_some() && set != url_set {
                self.problem(format!(
                    "{name} and {parameter} of DATABASE_URL must agree; set only one of them"
                ));
            }
        }
        let mode = match (&mode, url_mode.as_deref()) {
            (Some(_), _) => Some(self.read("DB_SSL_MODE", ssl_mode)),
            // The driver knows this mode, but DB_SSL_MODE does not offer it.
            (None, None | Some("allow")) => None,
            (None, Some(mode)) => match ssl_mode(mode) {
                Ok(mode) => Some(mode),
                Err(rule) => {
                    self.problem(format!("sslmode of DATABASE_URL {rule}"));
                    None
                }
            },
        };
        let root = root.or(url_root).map(PathBuf::from);
        match mode {
            Some(SslMode::Require) if root.is_some() => (Some(SslMode::VerifyCa), root),
            mode => (mode, root),
        }
    }
}

fn is_postgres_url(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// The file of `sqlite:FILE` or `sqlite://FILE`.
fn sqlite_file(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Ok(SQLITE_FILE.into());
    }
    let file = text.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
    match file {
        Some(file) if !file.is_empty() && !file.starts_with(":memory:") => Ok(file.into()),
        _ => Err("must be postgres://…, or sqlite:FILE such as sqlite:airline_booking.db".into()),
    }
}

/// A mode in libpq's terms.
fn ssl_mode(text: &str) -> Result<SslMode, String> {
    Ok(match text {
        "disable" => SslMode::Disable,
        "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => return Err("must be disable, prefer, require, verify-ca or verify-full".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn postgres(variables: &[(&str, &str)]) -> Result<PostgresSettings, String> {
        let config = Config::of(variables).map_err(|error| error.to_string())?;
        let Database::Postgres(settings) = config.database else { panic!("SQLite") };
        Ok(settings)
    }

    #[test]
    fn sqlite_needs_a_file() {
        assert_eq!(sqlite_file("sqlite:a/b.db"), Ok("a/b.db".into()));
        assert_eq!(sqlite_file("sqlite:///var/b.db"), Ok("/var/b.db".into()));
        for text in ["sqlite:", "sqlite::memory:", "b.db", "mysql://host/db"] {
            assert!(sqlite_file(text).is_err(), "{text}");
        }
        assert_eq!(sqlite_file(""), Ok(SQLITE_FILE.into()));
        assert!(is_postgres_url("postgresql://host/db") && !is_postgres_url("postgres.db"));
    }

    #[test]
    fn answers_of_a_read_replica_are_cached_for_a_second() {
        let primary = Config::of(&[("DB_HOST", "db")]).expect("sound");
        assert_eq!(primary.answers_kept_for().as_secs(), 3_600);
        let replica = Config::of(&[("DB_HOST", "db"), ("DB_READ_HOST", "r")]).expect("sound");
        assert_eq!(replica.answers_kept_for().as_secs(), 1);
    }

    #[test]
    fn an_error_does_not_repeat_the_database_url() {
        let error = Config::of(&[("DATABASE_URL", "mysql://user:secret@host/db")])
            .expect_err("neither of the two")
            .to_string();
        assert!(error.contains("DATABASE_URL must be"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn tls_set_by_variable_or_by_url_is_never_dropped() {
        let url = |query: &str| format!("postgres://u:hush@h/d{query}");
        let (mode, root) = ("DB_SSL_MODE", "DB_SSL_ROOT_CERT");
        for (query, variables, expected) in [
            ("", &[][..], (None, None)),
            ("", &[(mode, "verify-full")], (Some(SslMode::VerifyFull), None)),
            ("", &[(mode, "verify-full"), (root, "a")], (Some(SslMode::VerifyFull), Some("a"))),
            ("?sslmode=verify-full", &[], (Some(SslMode::VerifyFull), None)),
            ("?ssl-mode=Require", &[(mode, "require")], (Some(SslMode::Require), None)),
            ("?sslmode=require", &[(root, "a")], (Some(SslMode::VerifyCa), Some("a"))),
            ("?sslrootcert=a%2Fb", &[(mode, "require")], (Some(SslMode::VerifyCa), Some("a/b"))),
            ("?sslmode=disable", &[], (Some(SslMode::Disable), None)),
            ("?sslmode=allow", &[], (None, None)),
        ] {
            let url = url(query);
            let variables = [&[("DATABASE_URL", url.as_str())], variables].concat();
            let settings = postgres(&variables).expect(query);
            let root = settings.ssl_root_cert.as_deref().map(|file| file.to_str().expect("UTF-8"));
            assert_eq!((settings.ssl_mode, root), expected, "{query}");
        }
        for (query, variables, told) in [
            ("?sslmode=disable", &[(mode, "verify-full")][..], "DB_SSL_MODE and sslmode"),
            ("?sslmode=verify-full", &[(mode, "disable")], "DB_SSL_MODE and sslmode"),
            ("?sslmode=allow", &[(mode, "prefer")], "DB_SSL_MODE and sslmode"),
            ("?sslrootcert=a", &[(root, "b")], "DB_SSL_ROOT_CERT and sslrootcert"),
            ("?sslmode=strict", &[], "sslmode of DATABASE_URL must be"),
            ("", &[(mode, "strict")], "DB_SSL_MODE must be"),
        ] {
            let url = url(query);
            let variables = [&[("DATABASE_URL", url.as_str())], variables].concat();
            let error = postgres(&variables).expect_err(query);
            assert!(error.contains(told) && !error.contains("hush"), "{error}");
        }
        let parts = [("DB_HOST", "h"), (mode, "require"), (root, "a")];
        assert_eq!(postgres(&parts).expect("sound").ssl_mode, Some(SslMode::VerifyCa));
    }

    #[test]
    fn an_unknown_parameter_of_the_database_url_is_refused_without_its_value() {
        for (url, parameter) in [
            ("postgres://u:hush@db/d?sslmod=hush", ": sslmod;"),
            ("postgres://u:hush@db/d?sslmode=require&channel_binding=hush", ": channel_binding;"),
            ("postgresql://u@db/d?PASSWORD=hush", ": PASSWORD;"),
            ("postgres://u@db/d?hush%20=1", "parameter;"),
            ("postgres://u@db/d?hush@hush", "parameter;"),
            ("postgres://u:p?hush@db/d", "parameter;"),
            ("postgres://u:p?hush=hush@db/d", "parameter;"),
            ("postgres://u:p?hush", "parameter;"),
        ] {
            let told = postgres(&[("DATABASE_URL", url)]).expect_err(url);
            assert!(told.contains("DATABASE_URL has an unknown parameter"), "{told}");
            assert!(told.contains(parameter) && !told.contains("hush"), "{told}");
        }
        for url in [
            "postgres://u@db/d?application_name=x&statement-cache-capacity=9",
            "postgres://u@db/d?options[lock_timeout]=1s&options=-c%20jit=off",
            "postgres:///d?host=/run/postgresql&user=u&port=5433#x=y",
            "postgres://u@db/d?",
        ] {
            assert!(postgres(&[("DATABASE_URL", url)]).is_ok(), "{url}");
        }
    }
}
