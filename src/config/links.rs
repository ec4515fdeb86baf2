//! How links to other machines are protected: what settings say of TLS, and what is left in the clear.

use super::{
    ClientCertificate, Config, Database, Environment, PostgresSettings, RedisSettings, Secret,
    SslMode, values,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::net::IpAddr;
use std::path::PathBuf;

/// Whether a host, as a URL or a list names it, is this machine: a loopback address, `localhost`, or the
/// path of a socket. An empty one is a client's default, which is this machine too.
pub(super) fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name.is_empty()
        || name.starts_with('/')
        || name.starts_with("%2f")
        || name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The host of `scheme://user:password@host:port/…`; of several, the first that is another machine's.
pub(super) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let hosts = || place.split(',').map(without_port);
    hosts().find(|host| !is_this_machine(host)).or_else(|| hosts().next()).unwrap_or_default()
}

/// `host` of `host:port` and `[address]:port`.
pub(super) fn without_port(place: &str) -> &str {
    let place = place.trim();
    match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => place,
    }
}

/// Parameters of `DATABASE_URL` that the driver knows, besides `options[NAME]`.
const POSTGRES_PARAMETERS: [&str; 18] = [
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

/// Characters of a parameter's name that is repeated at most.
const NAME_CHARS_MAX: usize = 40;

/// The parameters of a URL.
fn parameters(url: &str) -> form_urlencoded::Parse<'_> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.split('#').next().unwrap_or_default().as_bytes())
}

/// What is wrong with a URL that has a parameter which its driver would leave aside: a misspelt `sslmode`
/// would leave its connections in the clear.
///
/// No value is repeated, and no name that may be the rest of a password with a `?` in it.
fn unknown_parameter(url: &str, is_known: impl Fn(&str) -> bool) -> Option<String> {
    let (name, _) = parameters(url).find(|(name, _)| !is_known(name))?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-.[]".contains(c);
    let is_name = name.len() <= NAME_CHARS_MAX && name.chars().all(is_word);
    let (before, query) = url.split_once('?')?;
    // With a user before it and no `@` after it, the query is one.
    let named = is_name && before.contains('@') && !query.contains('@');
    let name = if named { format!(": {name}") } else { String::new() };
    Some(format!("has a parameter that is not known{name}"))
}

/// The last value of a parameter of a URL, by any of its names.
fn parameter(url: &str, names: &[&str]) -> Option<String> {
    parameters(url)
        .filter(|(name, _)| names.contains(&name.as_ref()))
        .map(|(_, value)| value.into_owned())
        .last()
}

impl<F: Fn(&str) -> Option<String>> Environment<F> {
    /// Refuses parameters of `DATABASE_URL` that mean nothing.
    pub(super) fn refuse_idle_parameters(&mut self, url: &str) {
        let is_known = |name: &str| {
            POSTGRES_PARAMETERS.contains(&name)
                || (name.starts_with("options[") && name.ends_with(']'))
        };
        if let Some(problem) = unknown_parameter(url, is_known) {
            let known = POSTGRES_PARAMETERS.join(", ");
            self.problems.push(format!("DATABASE_URL {problem}; known are {known}"));
        }
    }

    /// `DB_SSL_MODE` and `DB_SSL_ROOT_CERT`, or what `DATABASE_URL` says in their place; `None`:
    /// neither does. Where both do they must agree, so that neither is dropped in silence.
    ///
    /// Authorities with `require` mean `verify-ca`, as they do to libpq.
    pub(super) fn postgres_tls(&mut self, url: Option<&str>) -> (Option<SslMode>, Option<PathBuf>) {
        let in_url = |names: &[&str]| url.and_then(|url| parameter(url, names));
        let (mode, root) = (self.value("DB_SSL_MODE"), self.value("DB_SSL_ROOT_CERT"));
        let url_mode = in_url(&["sslmode", "ssl-mode"]).map(|mode| mode.to_ascii_lowercase());
        let url_root = in_url(&["sslrootcert", "ssl-root-cert", "ssl-ca"]);
        for (name, parameter, set, url_set) in [
            ("DB_SSL_MODE", "sslmode", &mode, &url_mode),
            ("DB_SSL_ROOT_CERT", "sslrootcert", &root, &url_root),
        ] {
            if set.is_some() && url_set.is_some() && set != url_set {
                self.problems.push(format!(
                    "{name} and {parameter} of DATABASE_URL must agree; set only one of them"
                ));
            }
        }
        let mode = match (&mode, url_mode.as_deref()) {
            (Some(_), _) => Some(self.read("DB_SSL_MODE", values::ssl_mode)),
            // Only a URL can ask for it, and the driver knows it.
            (None, None | Some("allow")) => None,
            (None, Some(mode)) => match values::ssl_mode(mode) {
                Ok(mode) => Some(mode),
                Err(rule) => {
                    self.problems.push(format!("sslmode of DATABASE_URL {rule}"));
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

impl<F: Fn(&str) -> Option<String>> Environment<F> {
    /// `REDIS_URL`, or its parts; `None`: neither names a server.
    pub(super) fn redis(&mut self) -> Option<RedisSettings> {
        let is_cluster = self.read("REDIS_CLUSTER", values::yes_or_no);
        let is_protected = self.read("REDIS_TLS", values::yes_or_no);
        let authorities = self.value("REDIS_CA").map(PathBuf::from);
        let urls = match self.value("REDIS_URL") {
            Some(urls) => self.redis_urls(&urls),
            None => self.redis_parts(is_cluster, is_protected)?,
        };
        let is_plain = |url: &Secret| url.expose().starts_with("redis://");
        if urls.iter().any(is_plain) && (is_protected || authorities.is_some()) {
            self.problems.push(
                "REDIS_TLS must be true with REDIS_CA, and REDIS_URL, where it is set, rediss://"
                    .to_owned(),
            );
        }
        Some(RedisSettings { urls, is_cluster, authorities })
    }

    fn redis_urls(&mut self, urls: &str) -> Vec<Secret> {
        let urls: Vec<_> = urls.split(',').map(|url| Secret::from(url.trim())).collect();
        let is_known = |url: &Secret| {
            ["redis://", "rediss://"].iter().any(|scheme| url.expose().starts_with(scheme))
        };
        if !urls.iter().all(is_known) {
            self.problems.push("REDIS_URL must be redis://… or rediss://…".to_owned());
        }
        let mut unknown = urls
            .iter()
            .filter_map(|url| unknown_parameter(url.expose(), |name| name == "protocol"));
        if let Some(problem) = unknown.next() {
            self.problems.push(format!("REDIS_URL {problem}; known is protocol"));
        }
        let protocols = urls.iter().filter_map(|url| parameter(url.expose(), &["protocol"]));
        if protocols.into_iter().any(|p| !["2", "3", "resp2", "resp3"].contains(&p.as_str())) {
            self.problems.push("protocol of REDIS_URL must be resp2 or resp3".to_owned());
        }
        urls
    }

    fn redis_parts(&mut self, is_cluster: bool, is_protected: bool) -> Option<Vec<Secret>> {
        let hosts = self.value("REDIS_HOST")?;
        let port = self.read("REDIS_PORT", values::whole(1..=u16::MAX));
        let number = self.read("REDIS_DB", values::whole(0..=u16::MAX));
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let user = encoded(&self.text("REDIS_USER"));
        let credentials = match self.text("REDIS_PASSWORD") {
            password if !password.is_empty() => format!("{user}:{}@", encoded(&password)),
            _ if user.is_empty() => String::new(),
            _ => {
                self.problems.push("REDIS_USER needs REDIS_PASSWORD".to_owned());
                String::new()
            }
        };
        let scheme = if is_protected { "rediss" } else { "redis" };
        let url = |host: &str| {
            let host = host.trim();
            let place = if host.contains(':') { host.to_owned() } else { format!("{host}:{port}") };
            Secret(format!("{scheme}://{credentials}{place}/{number}"))
        };
        Some(if is_cluster { hosts.split(',').map(url).collect() } else { vec![url(&hosts)] })
    }

    /// `KAFKA_SSL_CERTIFICATE_LOCATION`, `KAFKA_SSL_KEY_LOCATION` and `KAFKA_SSL_KEY_PASSWORD`.
    pub(super) fn kafka_certificate(&mut self, protocol: &str) -> Option<ClientCertificate> {
        let key_password = self.value("KAFKA_SSL_KEY_PASSWORD").as_deref().map(Secret::from);
        let location = self.value("KAFKA_SSL_CERTIFICATE_LOCATION");
        match (location, self.value("KAFKA_SSL_KEY_LOCATION")) {
            (Some(location), Some(key_location)) => {
                Some(ClientCertificate { location, key_location, key_password })
            }
            (None, None) if key_password.is_none() => None,
            // Without TLS that has been told already.
            _ if !protocol.ends_with("ssl") => None,
            _ => {
                self.problems.push(
                    "KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION must both be set"
                        .to_owned(),
                );
                None
            }
        }
    }

    /// Refuses what protects nothing: settings of TLS or SASL that the protocol leaves aside.
    pub(super) fn refuse_idle_kafka_settings(&mut self, protocol: &str) {
        for (names, is_used, protocols) in [
            (
                &[
                    "KAFKA_SSL_CA_LOCATION",
                    "KAFKA_SSL_CERTIFICATE_LOCATION",
                    "KAFKA_SSL_KEY_LOCATION",
                    "KAFKA_SSL_KEY_PASSWORD",
                ][..],
                protocol.ends_with("ssl"),
                "ssl or sasl_ssl",
            ),
            (
                &["KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"],
                protocol.starts_with("sasl"),
                "sasl_ssl or sasl_plaintext",
            ),
        ] {
            let idle = names.iter().find(|name| self.value(name).is_some());
            if let Some(name) = idle.filter(|_| !is_used) {
                self.problems
                    .push(format!("{name} needs KAFKA_SECURITY_PROTOCOL to be {protocols}"));
            }
        }
    }
}

impl PostgresSettings {
    /// Hosts of other machines that are reached, maybe, in the clear.
    fn hosts_in_the_clear(&self) -> Vec<&str> {
        let is_protected =
            |mode| matches!(mode, Some(SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull));
        if is_protected(self.ssl_mode) {
            return Vec::new();
        }
        self.hosts().into_iter().filter(|host| !is_this_machine(host)).collect()
    }

    /// The primary, and the read replica.
    fn hosts(&self) -> Vec<&str> {
        let primary = self.url.as_ref().map_or(self.host.as_str(), |url| host_of(url.expose()));
        [Some(primary), self.read_host.as_deref()].into_iter().flatten().collect()
    }
}

impl Config {
    /// A line for each link that carries data or passwords to another machine in the clear.
    pub fn links_in_the_clear(&self) -> Vec<String> {
        let mut links = Vec::new();
        if let Database::Postgres(settings) = &self.database {
            for host in settings.hosts_in_the_clear() {
                links.push(format!(
                    "PostgreSQL on {host} is reached in the clear, or without checking who answers; set \
                     DB_SSL_MODE=verify-full"
                ));
            }
        }
        if let Some(redis) = &self.redis {
            let is_plain = |url: &&Secret| url.expose().starts_with("redis://");
            let hosts = redis.urls.iter().filter(is_plain).map(|url| host_of(url.expose()));
            for host in hosts.filter(|host| !is_this_machine(host)) {
                links.push(format!("Redis on {host} is reached in the clear; set REDIS_TLS=true"));
            }
        }
        if let Some(kafka) = &self.kafka
            && kafka.security_protocol.ends_with("plaintext")
            && !kafka.is_on_loopback()
        {
            let brokers = &kafka.brokers;
            links.push(format!(
                "Kafka on {brokers} is reached in the clear; set KAFKA_SECURITY_PROTOCOL to ssl or \
                 sasl_ssl"
            ));
        }
        if let Some(tracing) = &self.tracing
            && !is_this_machine(host_of(&tracing.endpoint))
        {
            links.push(format!(
                "traces go to {} in the clear; run a collector on this machine that sends them on by \
                 TLS",
                host_of(&tracing.endpoint)
            ));
        }
        if !self.is_on_loopback() && self.trusted_proxies.is_empty() {
            links.push(format!(
                "callers reach {} in the clear; put a proxy with TLS before it and name it in \
                 TRUSTED_PROXIES",
                self.server_host
            ));
        }
        links
    }

    /// Whether the password of PostgreSQL is the one that everyone knows, on another machine.
    pub fn has_known_password(&self) -> bool {
        let Database::Postgres(settings) = &self.database else { return false };
        let is_default = settings.password.expose() == super::settings::default_of("DB_PASSWORD");
        is_default && settings.url.is_none() && !is_this_machine(&settings.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<Config, String> {
        Config::of(variables).map_err(|error| error.to_string())
    }

    fn postgres(variables: &[(&str, &str)]) -> Result<PostgresSettings, String> {
        let Database::Postgres(settings) = config(variables)?.database else { panic!("SQLite") };
        Ok(settings)
    }

    #[test]
    fn tls_that_was_asked_for_by_variable_or_url_is_never_dropped() {
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
    fn redis_is_reached_by_user_and_tls_from_parts() {
        let redis = |variables: &[(&str, &str)]| {
            config(variables).map(|config| config.redis.expect("Redis"))
        };
        let (host, tls) = (("REDIS_HOST", "a,b:7001"), ("REDIS_TLS", "true"));
        let (user, password) = (("REDIS_USER", "seats/1"), ("REDIS_PASSWORD", "p@ss:hush"));
        let cluster = ("REDIS_CLUSTER", "true");
        let all = redis(&[host, cluster, tls, user, password, ("REDIS_CA", "ca.pem")]);
        let all = all.expect("sound");
        let urls: Vec<_> = all.urls.iter().map(Secret::expose).collect();
        let with = |place| format!("rediss://seats%2F1:p%40ss%3Ahush@{place}/0");
        assert_eq!(urls, [with("a:6379"), with("b:7001")]);
        assert_eq!(all.authorities.as_deref(), Some("ca.pem".as_ref()));
        assert_eq!(all.to_string(), "Redis Cluster at rediss://a:6379/0, rediss://b:7001/0");
        assert!(!format!("{all:?}").contains("hush"));
        let by_url = redis(&[("REDIS_URL", "rediss://h"), tls, ("REDIS_CA", "ca.pem")]);
        assert_eq!(by_url.expect("sound").authorities.as_deref(), Some("ca.pem".as_ref()));
        for (variables, rule) in [
            (&[("REDIS_HOST", "a"), ("REDIS_CA", "ca.pem")][..], "REDIS_TLS must be true"),
            (&[("REDIS_URL", "redis://h"), tls], "rediss://"),
            (&[("REDIS_URL", "rediss://h,redis://i"), ("REDIS_CA", "ca.pem")], "rediss://"),
            (&[("REDIS_HOST", "a"), user], "REDIS_USER needs REDIS_PASSWORD"),
        ] {
            let told = redis(variables).expect_err("refused");
            assert!(told.contains(rule), "{told}");
        }
    }

    #[test]
    fn what_protects_kafka_is_whole_and_used() {
        let kafka = |variables: &[(&str, &str)]| {
            let variables = [&[("KAFKA_BROKERS", "k:9092")], variables].concat();
            config(&variables).map(|config| config.kafka.expect("Kafka"))
        };
        let ssl = ("KAFKA_SECURITY_PROTOCOL", "ssl");
        let certificate = ("KAFKA_SSL_CERTIFICATE_LOCATION", "client.pem");
        let key = ("KAFKA_SSL_KEY_LOCATION", "client.key");
        let password = ("KAFKA_SSL_KEY_PASSWORD", "hush");
        let shown = kafka(&[ssl, certificate, key, password]).expect("sound").certificate;
        let shown = shown.expect("a certificate");
        assert_eq!((&*shown.location, &*shown.key_location), ("client.pem", "client.key"));
        assert_eq!(shown.key_password.as_ref().map(Secret::expose), Some("hush"));
        assert!(!format!("{shown:?}").contains("hush"));
        assert!(kafka(&[ssl]).expect("sound").certificate.is_none());
        for (variables, rule) in [
            (&[ssl, certificate][..], "must both be set"),
            (&[ssl, key], "must both be set"),
            (&[ssl, password], "must both be set"),
            (&[certificate, key], "KAFKA_SSL_CERTIFICATE_LOCATION needs KAFKA_SECURITY_PROTOCOL"),
            (&[("KAFKA_SSL_CA_LOCATION", "ca.pem")], "KAFKA_SSL_CA_LOCATION needs"),
            (&[ssl, ("KAFKA_SASL_PASSWORD", "hush")], "KAFKA_SASL_PASSWORD needs"),
            (&[("KAFKA_SASL_USERNAME", "seats")], "KAFKA_SASL_USERNAME needs"),
        ] {
            let told = kafka(variables).expect_err("refused");
            assert!(told.contains(rule) && !told.contains("hush"), "{told}");
            assert_eq!(told.lines().count(), 2, "{told}");
        }
    }

    #[test]
    fn links_in_the_clear_to_other_machines_are_told_one_by_one() {
        let traced = |endpoint| [("TRACING_ENABLED", "true"), ("TRACING_ENDPOINT", endpoint)];
        let (near, far) = (traced("http://localhost:4318"), traced("http://otel:4318"));
        let none: &[&str] = &[];
        for (variables, expected) in [
            (&[][..], none),
            (&[("DB_HOST", "localhost"), ("REDIS_HOST", "127.0.0.1")], none),
            (&[("DB_HOST", "db")], &["PostgreSQL"]),
            (&[("DB_HOST", "localhost"), ("DB_READ_HOST", "r")], &["PostgreSQL"]),
            (&[("DB_HOST", "db"), ("DB_SSL_MODE", "prefer")], &["PostgreSQL"]),
            (&[("DB_HOST", "db"), ("DB_SSL_MODE", "require")], none),
            (&[("DATABASE_URL", "postgres://u:hush@db:5432/d")], &["PostgreSQL"]),
            (&[("DATABASE_URL", "postgres://u:hush@[::1]:5432/d")], none),
            (&[("DATABASE_URL", "postgres://u:hush@%2Frun%2Fpostgresql/d")], none),
            (&[("DATABASE_URL", "postgres://u@db/d?sslmode=verify-full")], none),
            (&[("REDIS_HOST", "cache")], &["Redis"]),
            (&[("REDIS_URL", "redis://:hush@a,rediss://:hush@b")], &["Redis"]),
            (&[("REDIS_URL", "rediss://:hush@cache")], none),
            (&[("KAFKA_BROKERS", "k:9092")], &["Kafka"]),
            (&[("KAFKA_BROKERS", "k:9092"), ("KAFKA_SECURITY_PROTOCOL", "ssl")], none),
            (&near, none),
            (&far, &["traces"]),
            (&[("SERVER_HOST", "0.0.0.0")], &["callers"]),
            (&[("SERVER_HOST", "0.0.0.0"), ("TRUSTED_PROXIES", "10.0.0.1")], none),
            (&[("SERVER_HOST", "::1")], none),
        ] {
            let links = config(variables).expect("sound").links_in_the_clear();
            let first: Vec<_> = links.iter().filter_map(|link| link.split(' ').next()).collect();
            assert_eq!(first, expected, "{variables:?}");
            assert!(!links.concat().contains("hush"), "{links:?}");
        }
    }

    #[test]
    fn the_default_password_is_told_where_postgresql_is_on_another_machine() {
        let is_known =
            |variables: &[(&str, &str)]| config(variables).expect("sound").has_known_password();
        assert!(is_known(&[("DB_HOST", "db")]));
        assert!(!is_known(&[("DB_HOST", "localhost")]));
        assert!(!is_known(&[("DB_HOST", "db"), ("DB_PASSWORD", "hush")]));
        assert!(!is_known(&[("DATABASE_URL", "postgres://u:p@db/d")]));
        assert!(!is_known(&[]));
    }

    #[test]
    fn this_machine_is_told_from_others() {
        for host in ["localhost", "LOCALHOST.", "127.9.0.1", "[::1]", "::ffff:127.0.0.1", "/run"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["localhost.example", "10.0.0.1", "[2001:db8::1]", "0.0.0.0", "db"] {
            assert!(!is_this_machine(host), "{host}");
        }
        for (url, host) in [
            ("redis://:p@h@cache:6379/0", "cache"),
            ("postgres://u:p@[2001:db8::1]:5432/d?a=b@c", "[2001:db8::1]"),
            ("postgres://localhost,db:5432/d", "db"),
            ("postgres:///d", ""),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }

    #[test]
    fn a_parameter_that_its_driver_would_leave_aside_is_refused_without_its_value() {
        let told = |name, url| config(&[(name, url)]).expect_err(url);
        for (url, parameter) in [
            ("postgres://u:hush@db/d?sslmod=hush", ": sslmod;"),
            ("postgres://u:hush@db/d?sslmode=require&channel_binding=hush", ": channel_binding;"),
            ("postgresql://u@db/d?PASSWORD=hush", ": PASSWORD;"),
            ("postgres://u@db/d?hush%20=1", "not known;"),
            ("postgres://u@db/d?hush@hush", "not known;"),
            ("postgres://u:p?hush@db/d", "not known;"),
            ("postgres://u:p?hush=hush@db/d", "not known;"),
            ("postgres://u:p?hush", "not known;"),
        ] {
            let told = told("DATABASE_URL", url);
            assert!(told.contains("DATABASE_URL has a parameter that is not known"), "{told}");
            assert!(told.contains(parameter) && !told.contains("hush"), "{told}");
        }
        for (url, parameter) in [
            ("redis://:hush@cache/0?ssl=hush", "not known: ssl;"),
            ("redis://:p?hush@cache", "not known;"),
            ("rediss://:hush@cache?protocol=hush", "protocol of REDIS_URL must be"),
        ] {
            let told = told("REDIS_URL", url);
            assert!(told.contains(parameter) && !told.contains("hush"), "{told}");
        }
        for (name, url) in [
            ("DATABASE_URL", "postgres://u@db/d?application_name=x&statement-cache-capacity=9"),
            ("DATABASE_URL", "postgres://u@db/d?options[lock_timeout]=1s&options=-c%20jit=off"),
            ("DATABASE_URL", "postgres:///d?host=/run/postgresql&user=u&port=5433#x=y"),
            ("DATABASE_URL", "postgres://u@db/d?"),
            ("REDIS_URL", "redis://a?protocol=resp3,rediss://b"),
        ] {
            assert!(config(&[(name, url)]).is_ok(), "{url}");
        }
    }
}
