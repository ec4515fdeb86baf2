//! Settings of logs and traces.

use super::environment::Environment;
use super::values;
use std::io::IsTerminal;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Plain text for a terminal.
    Pretty,
    /// A JSON object per line.
    Json,
}

/// Which traces are sent, and where to.
#[derive(Debug, Clone)]
pub struct TracingSettings {
    /// `TRACING_ENDPOINT`, including the path that receives traces.
    pub endpoint: String,
    /// `TRACING_SERVICE_NAME`.
    pub service_name: String,
    /// `TRACING_ENVIRONMENT`.
    pub environment: String,
    /// `TRACING_SAMPLER_RATIO`: the share of traces to keep, from 0 to 1, if the caller has not decided.
    pub sampler_ratio: f64,
    /// `TRACING_TRUST_CALLER`: whether a request's span continues the caller's trace; `None`: only for
    /// callers on this machine.
    pub trust_caller: Option<bool>,
}

impl Environment<'_> {
    /// `None` with `TRACING_ENABLED=false`. The other settings are checked anyway.
    pub(super) fn tracing(&mut self) -> Option<TracingSettings> {
        let enabled = self.read("TRACING_ENABLED", values::true_or_false);
        let settings = TracingSettings {
            endpoint: self.read("TRACING_ENDPOINT", traces_endpoint),
            service_name: self.text("TRACING_SERVICE_NAME"),
            environment: self.text("TRACING_ENVIRONMENT"),
            sampler_ratio: self.read("TRACING_SAMPLER_RATIO", ratio),
            trust_caller: self
                .read("TRACING_TRUST_CALLER", values::optional(values::true_or_false)),
        };
        enabled.then_some(settings)
    }
}

/// `pretty` or `json`. Empty: `pretty` if standard error is a terminal, else `json`.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "" if std::io::stderr().is_terminal() => Ok(LogFormat::Pretty),
        "pretty" => Ok(LogFormat::Pretty),
        "" | "json" => Ok(LogFormat::Json),
        _ => Err("must be pretty or json".into()),
    }
}

/// A collector's address as `http://HOST:PORT`. Returns it with the path that receives traces.
fn traces_endpoint(text: &str) -> Result<String, String> {
    const PATH: &str = "/v1/traces";
    let rule = "must be http://HOST:PORT of a collector, without a password; for TLS run a collector \
                beside the service that forwards the traces";
    let rest = text.strip_prefix("http://").ok_or(rule)?.trim_end_matches('/');
    let rest = rest.strip_suffix(PATH).unwrap_or(rest);
    let address = format!("http://{rest}{PATH}");
    let uri: http::Uri = address.parse().map_err(|_| rule)?;
    let authority = uri.authority().ok_or(rule)?;
    let is_address = authority.as_str() == authority.host() || authority.port_u16().is_some();
    let is_plain = !authority.host().is_empty() && !rest.contains(['@', '?', '#']);
    if is_address && is_plain { Ok(address) } else { Err(rule.into()) }
}

/// A share from 0 to 1.
fn ratio(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be a number from 0 to 1".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn traces_are_off_by_default() {
        assert!(Config::of(&[]).expect("sound").tracing.is_none());
        let traced = Config::of(&[("TRACING_ENABLED", "true"), ("TRACING_SAMPLER_RATIO", "0.25")]);
        let tracing = traced.expect("sound").tracing.expect("enabled");
        assert_eq!(tracing.endpoint, "http://localhost:4318/v1/traces");
        assert_eq!(
            (tracing.service_name.as_str(), tracing.sampler_ratio),
            ("airline-booking-service", 0.25)
        );
    }

    #[test]
    fn traces_go_to_a_collector_over_http() {
        for text in ["http://h:4318", "http://h:4318/", "http://h:4318/v1/traces"] {
            assert_eq!(traces_endpoint(text), Ok("http://h:4318/v1/traces".into()), "{text}");
        }
        assert_eq!(traces_endpoint("http://h/otlp"), Ok("http://h/otlp/v1/traces".into()));
        for text in ["h:4318", "https://h", "http://", "http://u:p@h", "http://h:x", "http://h?a"] {
            assert!(traces_endpoint(text).is_err(), "{text}");
        }
        assert!(ratio("0.5").is_ok() && ratio("1.1").is_err() && ratio("NaN").is_err());
    }
}
