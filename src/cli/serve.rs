//! `serve`: binds, starts the service, prints how to try it, and stops gracefully on a signal.

use super::health::reachable;
use super::{logs, say, services};
use crate::app::App;
use crate::config::{Config, Database, JwtSettings, Role, misspelt};
use crate::domain::Flight;
use anyhow::{Context, anyhow};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;
use tracing::{info, warn};

/// Serves until Ctrl-C or SIGTERM. With `services` it waits for the services on this machine, and also
/// listens on an address that their containers can reach.
pub(super) async fn serve(config: Config, sample: bool, services: bool) -> anyhow::Result<()> {
    if services {
        services::wait(&config).await?;
    }
    let _logs = logs(&config)?;
    warn_of_misspelt_settings();
    raise_file_limit();
    let listener = bind(&config, "SERVER_PORT", config.server_port).await?;
    let address = listener.local_addr()?;
    let mut listeners = vec![listener];
    if services {
        listeners.extend(bind_for_containers(&config, address).await);
    }
    let operators = match config.metrics_port {
        Some(port) => Some(bind(&config, "METRICS_PORT", port).await?),
        None => None,
    };
    let stop = stop_signal()?;
    let mut app = App::compose(config.clone()).await?;
    let mut metrics_at = address;
    if let Some(operators) = operators {
        metrics_at = operators.local_addr()?;
        app = app.with_operators_at(operators);
    }
    if sample && config.roles.has(Role::Api) {
        app.add_sample_flights().await?;
        app.keep_adding_sample_flights();
    }
    warn_of_what_is_open(&config, address);
    warn_of_what_cannot_work(&config);
    let flight = app.first_flight().await?;
    say(&start_message(&config, address, metrics_at, flight.as_ref()))?;
    Box::pin(app.serve(listeners, stop)).await
}

/// Raises the limit of open files to the maximum that the system allows: each connection is one, and the
/// default of 1,024 is for old programs.
#[cfg(unix)]
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "cannot raise the limit of open files");
    }
}

#[cfg(not(unix))]
fn raise_file_limit() {}

/// Warns of settings that leave the service open to others.
fn warn_of_what_is_open(config: &Config, address: SocketAddr) {
    match &config.auth {
        None if !address.ip().is_loopback() => warn!(
            "AUTH is off: anyone who reaches {address} can book, read and change everything; set AUTH=jwt"
        ),
        Some(JwtSettings { keys, .. }) if keys.can_be_forged() => warn!(
            "JWT_JWKS is read over plain http: anyone in between can replace the keys and forge tokens; \
             use https"
        ),
        _ => {}
    }
    if let Some(kafka) = &config.kafka
        && kafka.events_secrets.is_empty()
        && !kafka.is_on_loopback()
    {
        warn!(
            "EVENTS_SECRET is empty: anyone with write access to Kafka's topics can complete bookings \
             without a payment; set it, and grant topics by role"
        );
    }
    if let Some(JwtSettings { audience: None, .. }) = &config.auth {
        warn!("JWT_AUDIENCE is empty: tokens for other services of the same issuer are accepted");
    }
    for link in config.links_without_tls() {
        warn!("{link}");
    }
    if config.has_default_password() {
        warn!("DB_PASSWORD is the public default; set another");
    }
}

/// Warns of settings that are valid one by one and do not fit together.
fn warn_of_what_cannot_work(config: &Config) {
    let (hold, redrive) = (config.lock_ttl, config.payment_redrive_after);
    if hold < redrive {
        warn!(
            "LOCK_TTL ({hold:?}) is below PAYMENT_REDRIVE_AFTER ({redrive:?}): a hold lapses before an \
             unanswered payment request is sent again"
        );
    }
    if let Some(max) = config.max_pending_per_user
        && max < config.max_party_size
    {
        let party = config.max_party_size;
        warn!(
            "MAX_PENDING_PER_USER ({max}) is below MAX_PARTY_SIZE ({party}): larger parties are refused"
        );
    }
}

/// Warns of misspelt settings: the default applies, which may be less safe.
fn warn_of_misspelt_settings() {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for (name, setting) in misspelt(names) {
        warn!("{name} is not a setting and is ignored; did you mean {setting}?");
    }
}

/// Listens on a port; `setting` is the variable that names it.
async fn bind(config: &Config, setting: &str, port: u16) -> anyhow::Result<TcpListener> {
    let host = config.server_host;
    TcpListener::bind((host, port)).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "port {port} on {host} is taken by another process; choose another port with {setting}=…"
        ),
        ErrorKind::AddrNotAvailable => {
            anyhow!("SERVER_HOST {host} is not an address of this machine; 0.0.0.0 is every IPv4 address")
        }
        ErrorKind::PermissionDenied => {
            anyhow!("this user may not listen on port {port} ({setting}); choose a port above 1023")
        }
        _ => anyhow!(error).context(format!("cannot listen on {host}, port {port}")),
    })
}

/// Listens on Docker's bridge too, so that Prometheus and others in containers can reach a service on the
/// loopback address. Does nothing with another `SERVER_HOST`.
async fn bind_for_containers(config: &Config, bound: SocketAddr) -> Option<TcpListener> {
    if config.server_host != Ipv4Addr::LOCALHOST {
        return None;
    }
    let bridge = SocketAddr::new(services::address_for_containers()?.into(), bound.port());
    match TcpListener::bind(bridge).await {
        Ok(listener) => {
            info!("containers can reach the service on {bridge}, as host.docker.internal");
            Some(listener)
        }
        Err(error) => {
            warn!(%error, "containers can't reach the service: cannot listen on {bridge}");
            None
        }
    }
}

/// Resolves on Ctrl-C or SIGTERM.
///
/// The handlers are in place when this returns, so a signal during the start is not lost.
#[cfg(unix)]
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves on Ctrl-C.
#[cfg(not(unix))]
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        // Without a handler Ctrl-C ends the process by itself.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// The message of a start: the address, each part and why it was chosen, and commands that work without
/// changes.
pub(super) fn start_message(
    config: &Config,
    address: SocketAddr,
    metrics_at: SocketAddr,
    flight: Option<&Flight>,
) -> String {
    let base = format!("http://{}", reachable(address));
    let metrics = format!("http://{}/metrics", reachable(metrics_at));
    format!(
        "airline-booking {version} is ready on {base}

  store:    {store}
  cache:    {cache}
  bus:      {bus}
  payments: simulated; payment_method pm_card_declined is declined
  metrics:  {metrics}

Try it:
{commands}

Ctrl-C stops it.
",
        version = env!("CARGO_PKG_VERSION"),
        store = match config.database {
            Database::Sqlite(_) => format!("{} (DB_HOST is not set)", config.database),
            Database::Postgres(_) => config.database.to_string(),
        },
        cache = match &config.redis {
            None => "in this process (REDIS_HOST is not set)".to_owned(),
            Some(redis) => redis.to_string(),
        },
        bus = match &config.kafka {
            None => "in this process (KAFKA_BROKERS is not set)".to_owned(),
            Some(kafka) => format!("Kafka on {}", kafka.brokers),
        },
        commands = if config.roles.has(Role::Api) {
            callers_commands(config, &base, flight)
        } else {
            format!("  curl {base}/api/v1/health\n  curl {metrics}")
        },
    )
}

/// Commands for a search, or for a first flight if there is none; for a booking; for a user's bookings.
fn callers_commands(config: &Config, base: &str, flight: Option<&Flight>) -> String {
    let first = if let Some(flight) = flight {
        let (source, destination) = (in_url(&flight.source), in_url(&flight.destination));
        let date = config.schedule_timezone.day_of(flight.departs_at);
        format!(
            r#"curl "{base}/api/v1/flights/search?source={source}&destination={destination}&date={date}""#
        )
    } else {
        format!(
            "curl -X POST {base}/api/v1/flights -H 'Content-Type: application/json' \
             -d '{{\"source\":\"Delhi\",\"destination\":\"Mumbai\",\
             \"timestamp\":\"2025-01-20T10:00:00Z\",\"available_seats\":150,\
             \"total_seats\":180,\"price\":2500.00}}'"
        )
    };
    format!(
        "  {first}
  curl -X POST {base}/api/v1/bookings -H 'Content-Type: application/json' -H 'Prefer: wait=5' \
         -d '{booking}'
  curl {base}/api/v1/users/123/bookings",
        booking = format_args!(
            r#"{{"flight_id":{id},"user_id":123,"seats_booked":1,"passenger_details":[{{"name":"John Doe","email":"john@example.com","phone":"1234567890","age":30,"gender":"male"}}]}}"#,
            id = flight.map_or(1, |flight| flight.id.0)
        ),
    )
}

/// Encodes a city's name for a URL.
fn in_url(city: &str) -> String {
    utf8_percent_encode(city, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::FlightId;

    fn message(flight: Option<&Flight>) -> String {
        let config = Config::from_env(|_| None).expect("the defaults");
        let address = ([0, 0, 0, 0], 4711).into();
        start_message(&config, address, address, flight)
    }

    #[test]
    fn the_start_message_has_each_part_and_three_commands_with_the_real_port() {
        let now = "2025-01-14T20:00:00Z".parse().expect("an instant");
        let inr = "INR".parse().expect("a currency");
        let sample = crate::app::samples::flights::flights(now, inr).remove(0);
        let sample = sample.into_flight(FlightId(1), inr, now);
        let message = message(Some(&sample));
        assert!(message.contains("SQLite in airline_booking.db (DB_HOST is not set)"));
        assert!(message.contains("ready on http://127.0.0.1:4711\n"));
        assert!(message.contains("source=Delhi&destination=Mumbai&date=2025-01-15"));
        assert_eq!(message.matches("  curl ").count(), 3);
    }

    #[test]
    fn without_the_role_api_no_command_makes_a_booking() {
        let variables = [("ROLES", "relay"), ("DB_HOST", "db"), ("KAFKA_BROKERS", "k:9092")];
        let config = Config::from_env(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        });
        let address = ([127, 0, 0, 1], 4711).into();
        let message = start_message(&config.expect("sound"), address, address, None);
        assert!(message.contains("curl http://127.0.0.1:4711/metrics"), "{message}");
        assert!(!message.contains("/bookings"), "{message}");
    }

    #[test]
    fn without_flights_the_first_command_creates_one() {
        let message = message(None);
        assert!(message.contains("curl -X POST http://127.0.0.1:4711/api/v1/flights -H"));
        assert_eq!(message.matches("  curl ").count(), 3);
    }
}
