//! Two replicas, one of which is killed now and then.

use super::asker::Asker;
use super::callers::Bases;
use super::process::Server;
use super::replicas::Replicas;

const SETTINGS: [(&str, &str); 3] =
    [("SWEEP_INTERVAL", "1s"), ("MAX_PENDING_PER_USER", "0"), ("RUST_LOG", "error")];

pub struct Airline {
    pub replicas: Replicas,
    pub asker: Asker,
    bases: Bases,
    servers: [Option<Server>; 2],
    directory: tempfile::TempDir,
}

impl Airline {
    /// Starts both, with some settings more.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let mut replicas = Replicas::new().await;
        for (name, value) in SETTINGS.iter().chain(settings) {
            replicas.set(name, value);
        }
        let bases = Bases::new(vec![String::new(); 2]);
        let asker = Asker::new(&bases);
        let directory = tempfile::tempdir().expect("a directory");
        let mut airline = Self { replicas, asker, bases, servers: [None, None], directory };
        airline.start_replica(0).await;
        airline.start_replica(1).await;
        airline
    }

    async fn start_replica(&mut self, number: usize) {
        let server = Server::start(self.directory.path(), &self.replicas.settings()).await;
        let mut bases: Vec<_> = (0..2).map(|other| self.bases.of(other)).collect();
        bases[number].clone_from(&server.base);
        self.bases.set(bases);
        self.servers[number] = Some(server);
    }

    /// `kill -9` of one replica, in turn.
    pub async fn kill(&mut self, turn: usize) {
        self.servers[turn % 2].take().expect("it runs").kill().await;
    }

    /// Starts the one that was killed.
    pub async fn restart(&mut self, turn: usize) {
        self.start_replica(turn % 2).await;
    }
}
