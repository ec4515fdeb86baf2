//! `--services`: PostgreSQL, Redis and Kafka on their default ports on this machine.
//!
//! Services that were just started may need seconds to answer, so the start waits for them. It names a
//! service that does not answer, and the command that starts it.

use crate::app::{Missing, Services};
use crate::config::Config;
use anyhow::bail;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long to wait for the services: containers that were just started need about ten seconds.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Pause between two checks.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// The environment, with default addresses for services that it does not name.
pub(super) fn with_defaults(
    lookup: impl Fn(&str) -> Option<String>,
) -> impl Fn(&str) -> Option<String> {
    move |name| {
        let is_set = |name| lookup(name).is_some_and(|value| !value.trim().is_empty());
        let (overriding, default) = match name {
            "DB_HOST" => ("DATABASE_URL", "localhost"),
            "REDIS_HOST" => ("REDIS_URL", "localhost"),
            "KAFKA_BROKERS" => ("KAFKA_BROKERS", "localhost:9092"),
            _ => return lookup(name),
        };
        if is_set(name) || is_set(overriding) { lookup(name) } else { Some(default.to_owned()) }
    }
}

/// Waits until the services answer; fails if one has not within [`WAIT_MAX`], or refuses.
pub(super) async fn wait(config: &Config) -> anyhow::Result<()> {
    let services = Services::of(config)?;
    let deadline = Instant::now() + WAIT_MAX;
    let mut is_announced = false;
    loop {
        let missing = services.missing().await;
        if missing.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline || missing.iter().any(|service| service.is_refusal) {
            bail!("--services needs services that do not answer or refuse:\n{}", advice(&missing));
        }
        if !is_announced {
            eprintln!("airline-booking: waiting up to {WAIT_MAX:?} for\n{}", advice(&missing));
            is_announced = true;
        }
        sleep(AGAIN_AFTER).await;
    }
}

/// The missing services, and what the operator can do.
fn advice(missing: &[Missing]) -> String {
    let mut advice = String::new();
    // Writing to a String cannot fail.
    for Missing { what, why, settings, .. } in missing {
        let _ = writeln!(advice, "  {what}: {why}\n    if it is elsewhere, set {settings}");
    }
    let silent: Vec<_> = missing.iter().filter(|service| !service.is_refusal).collect();
    if !silent.is_empty() {
        let names: Vec<_> = silent.iter().map(|service| service.container).collect();
        let _ = writeln!(advice, "To start here: docker-compose up -d {}", names.join(" "));
    }
    advice.push_str("Without --services none of them is needed.");
    advice
}

/// The address of Docker's bridge, by which containers reach this machine as `host.docker.internal`. `None`
/// without a bridge; Docker Desktop then uses the loopback address.
pub(super) fn address_for_containers() -> Option<Ipv4Addr> {
    let (network, mask) = network_of("docker0", &std::fs::read_to_string("/proc/net/route").ok()?)?;
    // Nothing is sent: connecting a UDP socket only selects the local address.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::from_bits(network.to_bits() + 1), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ip) if ip.to_bits() & mask.to_bits() == network.to_bits() => Some(ip),
        _ => None,
    }
}

/// A device's network and mask, from the lines of `/proc/net/route`.
fn network_of(device: &str, routes: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let route = routes.lines().find(|line| line.split_whitespace().next() == Some(device))?;
    // Hexadecimal, in the machine's byte order.
    let address = |text: &str| {
        let bits = u32::from_str_radix(text, 16).ok()?;
        Some(Ipv4Addr::from(bits.to_ne_bytes()))
    };
    let mut columns = route.split_whitespace();
    Some((columns.nth(1).and_then(address)?, columns.nth(5).and_then(address)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Database;

    fn config(variables: &[(&str, &str)]) -> Config {
        let set = |name: &str| {
            let set = variables.iter().find(|(known, _)| *known == name);
            set.map(|(_, value)| (*value).to_owned())
        };
        Config::from_env(with_defaults(set)).expect("sound")
    }

    #[test]
    fn services_without_a_setting_are_on_their_default_ports_of_this_machine() {
        for variables in [&[][..], &[("DB_HOST", ""), ("KAFKA_BROKERS", " ")]] {
            let config = config(variables);
            let database = config.database.to_string();
            assert_eq!(database, "PostgreSQL, airline_booking on localhost:5432");
            let redis = config.redis.expect("Redis").to_string();
            assert_eq!(redis, "Redis at redis://localhost:6379/0");
            assert_eq!(config.kafka.expect("Kafka").brokers, "localhost:9092");
        }
    }

    #[test]
    fn a_setting_that_names_a_service_overrides_its_default() {
        let config = config(&[
            ("DATABASE_URL", "sqlite:some.db"),
            ("REDIS_HOST", "cache"),
            ("KAFKA_BROKERS", "k1:9092"),
        ]);
        assert!(matches!(config.database, Database::Sqlite(_)));
        assert!(config.redis.expect("Redis").to_string().contains("cache:6379"));
        assert_eq!(config.kafka.expect("Kafka").brokers, "k1:9092");
    }

    #[test]
    fn advice_names_missing_services_and_the_command_that_starts_them() {
        let missing = |container, is_refusal| Missing {
            what: format!("the {container} of this machine"),
            why: "Connection refused".to_owned(),
            container,
            settings: "SOME_HOST",
            is_refusal,
        };
        let text = advice(&[missing("redis", false), missing("kafka", false)]);
        assert!(text.contains("the redis of this machine: Connection refused"), "{text}");
        assert!(text.contains("docker-compose up -d redis kafka\n"), "{text}");
        let text = advice(&[missing("postgres", true)]);
        assert!(text.contains("SOME_HOST") && !text.contains("docker-compose"), "{text}");
    }

    #[test]
    fn the_network_of_a_device_is_read_from_the_routes() {
        let bits = |text: &str| u32::from_ne_bytes(text.parse::<Ipv4Addr>().expect("IP").octets());
        let (network, mask) = (bits("172.17.0.0"), bits("255.255.0.0"));
        let routes = format!(
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
             docker0\t{network:08X}\t00000000\t0001\t0\t0\t0\t{mask:08X}\t0\t0\t0\n"
        );
        let found = network_of("docker0", &routes).expect("a route");
        assert_eq!(found, (Ipv4Addr::new(172, 17, 0, 0), Ipv4Addr::new(255, 255, 0, 0)));
        assert_eq!(network_of("docker1", &routes), None);
    }
}
