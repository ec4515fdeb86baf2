//! `KAFKA_*` and `EVENTS_*`: the topics, and how their messages are protected.

use super::url::{is_this_machine, without_port};
use crate::config::environment::Environment;
use crate::config::{Secret, secrets, values};
use std::time::Duration;

/// Minimum length of a secret that signs messages: that of the signature.
const EVENTS_SECRET_BYTES_MIN: usize = 32;

/// How to reach Kafka, and the names of topics there.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    /// `KAFKA_BROKERS`: `host:port`, comma-separated.
    pub brokers: String,
    /// `KAFKA_GROUP_ID`: settlement's consumer group.
    pub group_id: String,
    /// `KAFKA_PAYMENT_GROUP_ID`: the payment workers' consumer group.
    pub payment_group_id: String,
    /// `KAFKA_MESSAGE_GROUP_ID`: the consumer group that turns events into messages.
    pub message_group_id: String,
    /// `KAFKA_SALES_GROUP_ID`: the consumer group that counts sales.
    pub sales_group_id: String,
    /// `KAFKA_WEBHOOK_GROUP_ID`: the consumer group that queues events for webhooks.
    pub webhook_group_id: String,
    /// `KAFKA_TOPIC_*`.
    pub topics: TopicNames,
    /// `KAFKA_PARTITIONS` of topics that the service creates.
    pub partitions: i32,
    /// `KAFKA_REPLICATION` of topics that the service creates; -1: the brokers' default.
    pub replication: i32,
    /// `EVENT_RETENTION` of the topic of events, if the service creates it.
    pub event_retention: Duration,
    /// `KAFKA_SECURITY_PROTOCOL`.
    pub security_protocol: String,
    /// `KAFKA_SASL_MECHANISM`, `_USERNAME` and `_PASSWORD`, if the protocol has SASL.
    pub sasl: Option<(String, String, Secret)>,
    /// `KAFKA_SSL_CA_LOCATION`.
    pub ca_location: Option<String>,
    /// The client certificate (mutual TLS); `None`: the service sends none.
    pub certificate: Option<ClientCertificate>,
    /// `EVENTS_SECRET`: the first signs messages, all verify them. Empty: messages are not signed.
    pub events_secrets: Vec<Secret>,
    /// `EVENTS_REQUIRE`: whether unsigned messages are refused.
    pub events_required: bool,
}

impl KafkaSettings {
    /// Whether all brokers are on this machine.
    pub fn is_on_loopback(&self) -> bool {
        self.brokers.split(',').map(without_port).all(is_this_machine)
    }
}

/// A client certificate and its key.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// `KAFKA_SSL_CERTIFICATE_LOCATION`: a PEM file that starts with the client's certificate.
    pub location: String,
    /// `KAFKA_SSL_KEY_LOCATION`: the file of the private key.
    pub key_location: String,
    /// `KAFKA_SSL_KEY_PASSWORD`, if the key is encrypted.
    pub key_password: Option<Secret>,
}

/// The names of the topics.
#[derive(Debug, Clone)]
pub struct TopicNames {
    /// `KAFKA_TOPIC_PAYMENT_REQUESTS`.
    pub payment_requests: String,
    /// `KAFKA_TOPIC_PAYMENTS`.
    pub payment_events: String,
    /// `KAFKA_TOPIC_BOOKINGS`.
    pub flight_bookings: String,
    /// `KAFKA_TOPIC_EVENTS`.
    pub airline_events: String,
}

impl Environment<'_> {
    /// `None` without `KAFKA_BROKERS`.
    pub(in crate::config) fn kafka(&mut self, event_retention: Duration) -> Option<KafkaSettings> {
        let brokers = self.value("KAFKA_BROKERS")?;
        let security_protocol = self.read("KAFKA_SECURITY_PROTOCOL", security_protocol);
        self.refuse_unused_protection(&security_protocol);
        let sasl = security_protocol.starts_with("sasl").then(|| {
            (
                self.read("KAFKA_SASL_MECHANISM", sasl_mechanism),
                self.text("KAFKA_SASL_USERNAME"),
                Secret(self.text("KAFKA_SASL_PASSWORD")),
            )
        });
        let certificate = self.client_certificate(&security_protocol);
        let events_secrets = self.events_secrets();
        let events_required = self.read("EVENTS_REQUIRE", values::true_or_false);
        if events_required && events_secrets.is_empty() {
            self.problem("EVENTS_REQUIRE=true needs EVENTS_SECRET");
        }
        Some(KafkaSettings {
            brokers,
            group_id: self.text("KAFKA_GROUP_ID"),
            payment_group_id: self.text("KAFKA_PAYMENT_GROUP_ID"),
            message_group_id: self.text("KAFKA_MESSAGE_GROUP_ID"),
            sales_group_id: self.text("KAFKA_SALES_GROUP_ID"),
            webhook_group_id: self.text("KAFKA_WEBHOOK_GROUP_ID"),
            topics: TopicNames {
                payment_requests: self.text("KAFKA_TOPIC_PAYMENT_REQUESTS"),
                payment_events: self.text("KAFKA_TOPIC_PAYMENTS"),
                flight_bookings: self.text("KAFKA_TOPIC_BOOKINGS"),
                airline_events: self.text("KAFKA_TOPIC_EVENTS"),
            },
            partitions: self.read("KAFKA_PARTITIONS", values::whole(1..=1_000)),
            replication: self.read("KAFKA_REPLICATION", replication),
            event_retention,
            security_protocol,
            sasl,
            ca_location: self.value("KAFKA_SSL_CA_LOCATION"),
            certificate,
            events_secrets,
            events_required,
        })
    }

    /// Refuses settings of TLS or SASL that the protocol ignores: they would protect nothing.
    fn refuse_unused_protection(&mut self, protocol: &str) {
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
            let unused = names.iter().find(|name| !is_used && self.value(name).is_some());
            if let Some(name) = unused {
                self.problem(format!("{name} needs KAFKA_SECURITY_PROTOCOL to be {protocols}"));
            }
        }
    }

    fn client_certificate(&mut self, protocol: &str) -> Option<ClientCertificate> {
        let key_password = self.value("KAFKA_SSL_KEY_PASSWORD").as_deref().map(Secret::from);
        let location = self.value("KAFKA_SSL_CERTIFICATE_LOCATION");
        match (location, self.value("KAFKA_SSL_KEY_LOCATION")) {
            (Some(location), Some(key_location)) => {
                Some(ClientCertificate { location, key_location, key_password })
            }
            (None, None) if key_password.is_none() => None,
            // Without TLS `refuse_unused_protection` has noted the problem.
            _ if !protocol.ends_with("ssl") => None,
            _ => {
                self.problem(
                    "KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION must both be set",
                );
                None
            }
        }
    }

    fn events_secrets(&mut self) -> Vec<Secret> {
        let list = self.value("EVENTS_SECRET").unwrap_or_default();
        let secrets = list.split(',').map(str::trim).filter(|secret| !secret.is_empty());
        let secrets: Vec<_> = secrets.map(Secret::from).collect();
        let is_weak = |secret: &Secret| {
            secret.expose().len() < EVENTS_SECRET_BYTES_MIN || !secrets::is_random(secret.expose())
        };
        if secrets.iter().any(is_weak) {
            self.problem(format!(
                "EVENTS_SECRET must be a comma-separated list of secrets of at least \
                 {EVENTS_SECRET_BYTES_MIN} random bytes each (openssl rand -hex 32)"
            ));
        }
        secrets
    }
}

/// A protocol in Kafka's terms, returned in lower case.
fn security_protocol(text: &str) -> Result<String, String> {
    let known = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
    one_of(&known, text.to_ascii_lowercase())
}

/// A mechanism in Kafka's terms, returned in upper case.
fn sasl_mechanism(text: &str) -> Result<String, String> {
    one_of(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], text.to_ascii_uppercase())
}

fn one_of(known: &[&str], word: String) -> Result<String, String> {
    if known.contains(&word.as_str()) {
        return Ok(word);
    }
    Err(format!("must be one of {}", known.join(", ")))
}

/// A number of replicas, or -1 for the brokers' default.
fn replication(text: &str) -> Result<i32, String> {
    let number = text.parse().ok().filter(|number| *number == -1 || (1..=100).contains(number));
    number.ok_or_else(|| "must be -1, or a whole number from 1 to 100".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn kafka_certificates_are_complete_and_used() {
        let kafka = |variables: &[(&str, &str)]| {
            let variables = [&[("KAFKA_BROKERS", "k:9092")], variables].concat();
            let config = Config::of(&variables).map_err(|error| error.to_string());
            config.map(|config| config.kafka.expect("Kafka"))
        };
        let ssl = ("KAFKA_SECURITY_PROTOCOL", "ssl");
        let certificate = ("KAFKA_SSL_CERTIFICATE_LOCATION", "client.pem");
        let key = ("KAFKA_SSL_KEY_LOCATION", "client.key");
        let password = ("KAFKA_SSL_KEY_PASSWORD", "hush");
        let sent = kafka(&[ssl, certificate, key, password]).expect("sound").certificate;
        let sent = sent.expect("a certificate");
        assert_eq!((&*sent.location, &*sent.key_location), ("client.pem", "client.key"));
        assert_eq!(sent.key_password.as_ref().map(Secret::expose), Some("hush"));
        assert!(!format!("{sent:?}").contains("hush"));
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
    fn secrets_of_messages_are_long_and_required_signatures_need_one() {
        let with = |secret: &str, required: &str| {
            Config::of(&[
                ("KAFKA_BROKERS", "k:9092"),
                ("EVENTS_SECRET", secret),
                ("EVENTS_REQUIRE", required),
            ])
        };
        let long = "7c9f0a3b5e1d48268fb2c4d6e0913a57";
        let kafka = with(&format!("{long}, {long}x"), "true").expect("sound").kafka.expect("Kafka");
        let secrets: Vec<_> = kafka.events_secrets.iter().map(Secret::expose).collect();
        assert_eq!(secrets, [long, &format!("{long}x")]);
        assert!(kafka.events_required);
        assert!(with("", "false").expect("sound").kafka.expect("Kafka").events_secrets.is_empty());
        let known = "hush0123456789abcdefghijklmnopqrstuvwxyz";
        for (secret, required, name) in [
            ("", "true", "EVENTS_REQUIRE"),
            (&format!("{long},hush"), "false", "EVENTS_SECRET"),
            (&format!("{long},{known}"), "false", "EVENTS_SECRET"),
        ] {
            let error = with(secret, required).expect_err("refused").to_string();
            assert!(error.contains(name) && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn kafka_is_on_this_machine_only_if_all_brokers_are() {
        for (brokers, here) in [
            ("localhost:9092", true),
            ("127.0.0.1:9092,[::1]:9092", true),
            ("kafka:9092", false),
            ("localhost:9092,10.0.0.1:9092", false),
        ] {
            let kafka = Config::of(&[("KAFKA_BROKERS", brokers)]).expect("sound").kafka;
            assert_eq!(kafka.expect("Kafka").is_on_loopback(), here, "{brokers}");
        }
    }
}
