//! `REDIS_*`: what replicas share in Redis.

use super::url::{parameter, unknown_parameter};
use crate::config::environment::Environment;
use crate::config::{Secret, values};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt;
use std::path::PathBuf;

/// How to reach Redis.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// `redis://` or `rediss://` with credentials: one server, or nodes of a cluster.
    pub urls: Vec<Secret>,
    /// `REDIS_CLUSTER`.
    pub is_cluster: bool,
    /// `REDIS_CA`: a file of trusted certificate authorities, for `rediss://`; `None`: the system's.
    pub authorities: Option<PathBuf>,
}

impl fmt::Display for RedisSettings {
    /// Without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |url: &Secret| {
            let (scheme, rest) = url.expose().split_once("://").unwrap_or_default();
            format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, place)| place))
        };
        let places: Vec<_> = self.urls.iter().map(place).collect();
        let kind = if self.is_cluster { "Redis Cluster" } else { "Redis" };
        write!(f, "{kind} at {}", places.join(", "))
    }
}

impl Environment<'_> {
    /// `REDIS_URL`, or `REDIS_HOST` and its parts; `None` if neither is set.
    pub(in crate::config) fn redis(&mut self) -> Option<RedisSettings> {
        let is_cluster = self.read("REDIS_CLUSTER", values::true_or_false);
        let has_tls = self.read("REDIS_TLS", values::true_or_false);
        let authorities = self.value("REDIS_CA").map(PathBuf::from);
        let urls = match self.value("REDIS_URL") {
            Some(urls) => self.redis_urls(&urls),
            None => self.redis_parts(is_cluster, has_tls)?,
        };
        let is_plain = |url: &Secret| url.expose().starts_with("redis://");
        if urls.iter().any(is_plain) && (has_tls || authorities.is_some()) {
            self.problem(
                "REDIS_CA needs REDIS_TLS=true, and with either REDIS_URL must be rediss://…",
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
            self.problem("REDIS_URL must be redis://… or rediss://…");
        }
        let mut unknown = urls
            .iter()
            .filter_map(|url| unknown_parameter(url.expose(), |name| name == "protocol"));
        if let Some(problem) = unknown.next() {
            self.problem(format!("REDIS_URL {problem}; it may have protocol"));
        }
        let protocols = urls.iter().filter_map(|url| parameter(url.expose(), &["protocol"]));
        if protocols.into_iter().any(|p| !["2", "3", "resp2", "resp3"].contains(&p.as_str())) {
            self.problem("protocol of REDIS_URL must be resp2 or resp3");
        }
        urls
    }

    fn redis_parts(&mut self, is_cluster: bool, has_tls: bool) -> Option<Vec<Secret>> {
        let hosts = self.value("REDIS_HOST")?;
        let port = self.read("REDIS_PORT", values::whole(1..=u16::MAX));
        let number = self.read("REDIS_DB", values::whole(0..=u16::MAX));
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let user = encoded(&self.text("REDIS_USER"));
        let credentials = match self.text("REDIS_PASSWORD") {
            password if !password.is_empty() => format!("{user}:{}@", encoded(&password)),
            _ if user.is_empty() => String::new(),
            _ => {
                self.problem("REDIS_USER needs REDIS_PASSWORD");
                String::new()
            }
        };
        let scheme = if has_tls { "rediss" } else { "redis" };
        let url = |host: &str| {
            let host = host.trim();
            let place = if host.contains(':') { host.to_owned() } else { format!("{host}:{port}") };
            Secret(format!("{scheme}://{credentials}{place}/{number}"))
        };
        Some(if is_cluster { hosts.split(',').map(url).collect() } else { vec![url(&hosts)] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn redis(variables: &[(&str, &str)]) -> Result<RedisSettings, String> {
        let config = Config::of(variables).map_err(|error| error.to_string())?;
        Ok(config.redis.expect("Redis"))
    }

    #[test]
    fn a_cluster_is_a_list_of_nodes() {
        let variables =
            [("REDIS_HOST", "a,b:7001"), ("REDIS_CLUSTER", "true"), ("REDIS_PASSWORD", "p@ss/1")];
        let redis = redis(&variables).expect("sound");
        let urls: Vec<_> = redis.urls.iter().map(Secret::expose).collect();
        assert_eq!(urls, ["redis://:p%40ss%2F1@a:6379/0", "redis://:p%40ss%2F1@b:7001/0"]);
    }

    #[test]
    fn user_password_and_tls_are_part_of_each_nodes_url() {
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
            (&[("REDIS_HOST", "a"), ("REDIS_CA", "ca.pem")][..], "REDIS_CA needs REDIS_TLS=true"),
            (&[("REDIS_URL", "redis://h"), tls], "rediss://"),
            (&[("REDIS_URL", "rediss://h,redis://i"), ("REDIS_CA", "ca.pem")], "rediss://"),
            (&[("REDIS_HOST", "a"), user], "REDIS_USER needs REDIS_PASSWORD"),
        ] {
            let told = redis(variables).expect_err("refused");
            assert!(told.contains(rule), "{told}");
        }
    }

    #[test]
    fn an_unknown_parameter_of_the_redis_url_is_refused_without_its_value() {
        for (url, parameter) in [
            ("redis://:hush@cache/0?ssl=hush", "unknown parameter: ssl;"),
            ("redis://:p?hush@cache", "unknown parameter;"),
            ("rediss://:hush@cache?protocol=hush", "protocol of REDIS_URL must be"),
        ] {
            let told = redis(&[("REDIS_URL", url)]).expect_err(url);
            assert!(told.contains(parameter) && !told.contains("hush"), "{told}");
        }
        assert!(redis(&[("REDIS_URL", "redis://a?protocol=resp3,rediss://b")]).is_ok());
    }
}
