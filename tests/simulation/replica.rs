//! A replica: the real [`App`] with all its workers, on simulated ports.

use super::ports::process::Process;
use super::world::World;
use airline_booking::app::{App, Ports};
use airline_booking::booking::{Bookings, Flights, PaymentHints, WaitingList};
use airline_booking::config::Config;
use airline_booking::domain::{ReferenceKey, References};
use airline_booking::itineraries::Itineraries;
use airline_booking::payments::news::GatewayNews;
use airline_booking::search::Search;
use airline_booking::tasks::{Switch, Tasks};
use airline_booking::telemetry::{Metrics, Tracing};
use std::sync::Arc;
use std::time::Duration;

/// What a request needs of a running replica. Its requests end with it.
#[derive(Clone)]
pub struct Service {
    /// Name in traces.
    pub name: String,
    /// Booking use cases.
    pub bookings: Bookings,
    /// Flight use cases.
    pub flights: Flights,
    /// Waiting list use cases.
    pub waiting_list: WaitingList,
    /// Searches.
    pub search: Search,
    /// Searches for connections.
    pub itineraries: Itineraries,
    /// Takes the provider's news of payments.
    pub hints: PaymentHints,
    /// Takes its news of refunds and disputes.
    pub news: GatewayNews,
    /// Runs its requests.
    pub tasks: Tasks,
}

/// A running replica.
pub struct Replica {
    pub service: Service,
    pub app: App,
    pub clock: Arc<super::ports::clock::SimClock>,
    process: Killed,
}

/// A process that is killed when it is dropped, also in the middle of its start or stop.
struct Killed(Switch);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill();
    }
}

impl Replica {
    /// Starts a replica of the world.
    pub async fn start(world: &World, number: usize, config: &Config) -> Self {
        let killed = Killed(Switch::default());
        let name = format!("replica {number}");
        let process = Process::new(&name, &world.chance, &killed.0);
        let clock = world.clock();
        let tasks = Tasks::killed_by(&killed.0);
        let ports = Ports {
            store: Arc::new(world.store(&process)),
            gateway: Arc::new(world.gateway(&process)),
            sandbox: None,
            bus: Arc::new(world.bus(&process)),
            locks: Arc::new(world.locks(&process)),
            cache: Arc::new(world.cache(&process)),
            clock: clock.clone(),
            ids: world.ids(),
            references: References::new(&ReferenceKey([7; 32])),
            tasks: tasks.clone(),
            metrics: Metrics::new(),
            tracing: Tracing::default(),
        };
        let app = App::assemble(config.clone(), ports);
        loop {
            match app.start_pipeline().await {
                Ok(()) => break,
                // A process that can't start is started again by its supervisor.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        app.start_sweeper();
        let service = Service {
            name,
            bookings: app.bookings.clone(),
            flights: app.flights.clone(),
            waiting_list: app.waiting_list.clone(),
            search: app.search.clone(),
            itineraries: app.itineraries.clone(),
            hints: app.payment_hints(),
            news: app.gateway_news(),
            tasks: tasks.another_group(),
        };
        Self { service, app, clock, process: killed }
    }

    /// Ends the process at once, as `kill -9` does.
    pub fn kill(self) {
        drop(self);
    }

    /// Stops in order; what is left after that is killed with the process.
    pub async fn stop(self) {
        let Self { app, process, .. } = self;
        app.stop().await;
        drop(process);
    }
}
