//! PostgreSQL, Redis and Kafka of the benchmark's own, by the scripts of the tests, and databases on
//! them.

use super::process::{self, Server};
use anyhow::{Context, ensure};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use uuid::Uuid;

/// Flights of a deployment under load, with as many seats as one can have.
pub const FLIGHTS: usize = 2_200;

/// The flight that has no end of seats.
pub const ENDLESS_FLIGHT: usize = 7;

/// Another one, which departs after the first has arrived once flights are connected.
pub const ENDLESS_CONNECTION: usize = ENDLESS_FLIGHT + 1;

/// The three services.
pub struct Services {
    postgres: Service,
    redis: Service,
    kafka: Service,
}

struct Service {
    name: &'static str,
    address: String,
    directory: TempDir,
}

impl Service {
    fn start(name: &'static str, variable: &str) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut up = script(name, "up", directory.path());
        match name {
            // Without the cluster, which would take time from what is measured.
            "redis" => _ = up.arg("single"),
            "kafka" => _ = up.arg("served"),
            _ => {}
        }
        let output = up.output()?;
        ensure!(output.status.success(), "tests/services/{name} up failed");
        let said = String::from_utf8(output.stdout)?;
        let address = said.lines().find_map(|line| line.strip_prefix(variable)?.strip_prefix('='));
        let address = address.context("no address")?.to_owned();
        Ok(Self { name, address, directory })
    }
}

impl Service {
    /// The process that the script started: its own, by a file that it left, or a container's.
    fn processes(&self, pid_file: &str) -> anyhow::Result<Vec<u32>> {
        let room = self.directory.path();
        let container = room.join(format!("{}-server/container", self.name));
        let text = match std::fs::read_to_string(container) {
            Ok(container) => {
                let mut docker = Command::new("docker");
                docker.args(["inspect", "--format", "{{.State.Pid}}", container.trim()]);
                String::from_utf8(docker.output()?.stdout)?
            }
            Err(_) => std::fs::read_to_string(room.join(pid_file))?,
        };
        Ok(vec![text.lines().next().context("no process")?.trim().parse()?])
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // What is left is a temporary directory's.
        let _ = script(self.name, "down", self.directory.path()).status();
    }
}

fn script(name: &str, verb: &str, directory: &Path) -> Command {
    let scripts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/services");
    let mut command = Command::new(scripts.join(name));
    command.arg(verb).arg(directory).stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// One deployment: its settings, its flights, and the directory that it runs in.
pub struct Deployment {
    /// The build whose schema it has.
    pub program: PathBuf,
    pub settings: Vec<(String, String)>,
    pub directory: TempDir,
    /// PostgreSQL's URL, where it is on PostgreSQL.
    pub database: Option<String>,
}

impl Services {
    pub async fn start() -> anyhow::Result<Self> {
        tokio::task::spawn_blocking(|| {
            Ok(Self {
                postgres: Service::start("postgres", "TEST_DATABASE_URL")?,
                redis: Service::start("redis", "TEST_REDIS_URL")?,
                kafka: Service::start("kafka", "TEST_KAFKA_BROKERS")?,
            })
        })
        .await?
    }

    /// The server of PostgreSQL, whose sessions are its children.
    pub fn postgres_processes(&self) -> anyhow::Result<Vec<u32>> {
        self.postgres.processes("postgres-server/data/postmaster.pid")
    }

    /// Redis.
    pub fn redis_processes(&self) -> anyhow::Result<Vec<u32>> {
        self.redis.processes("redis-server/single.pid")
    }

    /// Kafka.
    pub fn kafka_processes(&self) -> anyhow::Result<Vec<u32>> {
        self.kafka.processes("pid")
    }

    /// A new database, topics and groups, with flights of so many seats.
    pub async fn shared(&self, seats: usize) -> anyhow::Result<Deployment> {
        self.shared_of(Path::new(process::BINARY), seats).await
    }

    /// The same by another build, with settings that builds before this one know.
    pub async fn shared_of(&self, program: &Path, seats: usize) -> anyhow::Result<Deployment> {
        let name = format!("bench_{}", Uuid::new_v4().simple());
        let mut admin = PgConnection::connect(&self.postgres.address).await?;
        let statement = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(statement).execute(&mut admin).await?;
        let (server, _) = self.postgres.address.rsplit_once('/').context("no database")?;
        let url = format!("{server}/{name}");
        let mut settings = vec![
            ("DATABASE_URL".to_owned(), url.clone()),
            ("REDIS_URL".to_owned(), self.redis.address.clone()),
            ("KAFKA_BROKERS".to_owned(), self.kafka.address.clone()),
        ];
        for variable in [
            "KAFKA_GROUP_ID",
            "KAFKA_PAYMENT_GROUP_ID",
            "KAFKA_MESSAGE_GROUP_ID",
            "KAFKA_TOPIC_BOOKINGS",
            "KAFKA_TOPIC_PAYMENTS",
            "KAFKA_TOPIC_PAYMENT_REQUESTS",
            "KAFKA_TOPIC_EVENTS",
        ] {
            settings.push((variable.to_owned(), format!("{name}-{variable}")));
        }
        let deployment = Deployment::with(program, settings, Some(url.clone()), seats).await?;
        let mut database = PgConnection::connect(&url).await?;
        sqlx::raw_sql(endless(seats)).execute(&mut database).await?;
        // What every run leaves to the next: statistics of tables that are not empty.
        sqlx::raw_sql("ANALYZE").execute(&mut database).await?;
        Ok(deployment)
    }

    /// Ends a deployment on PostgreSQL, so that nothing of it (vacuum, statistics, checkpoints) takes
    /// time from the next.
    pub async fn drop(&self, deployment: Deployment) -> anyhow::Result<()> {
        let database = deployment.database.context("it is on PostgreSQL")?;
        let (_, name) = database.rsplit_once('/').context("no database")?;
        let mut admin = PgConnection::connect(&self.postgres.address).await?;
        let statement = AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
        sqlx::raw_sql(statement).execute(&mut admin).await?;
        sqlx::raw_sql("CHECKPOINT").execute(&mut admin).await?;
        Ok(())
    }

    /// A new file, with flights of so many seats.
    pub async fn embedded(&self, seats: usize) -> anyhow::Result<Deployment> {
        let settings = vec![("DATABASE_URL".to_owned(), "sqlite:bench.db".to_owned())];
        let deployment =
            Deployment::with(Path::new(process::BINARY), settings, None, seats).await?;
        let file =
            SqliteConnectOptions::new().filename(deployment.directory.path().join("bench.db"));
        let mut database = SqliteConnection::connect_with(&file).await?;
        sqlx::raw_sql(endless(seats)).execute(&mut database).await?;
        database.close().await?;
        Ok(deployment)
    }
}

/// Takes the end from two flights' seats, where flights have so many that none is to be sold out.
fn endless(seats: usize) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "UPDATE flights SET total_seats = 100000000, available_seats = 100000000
          WHERE id IN ({ENDLESS_FLIGHT}, {ENDLESS_CONNECTION}) AND {seats} > 1000"
    ))
}

impl Deployment {
    async fn with(
        program: &Path,
        mut settings: Vec<(String, String)>,
        database: Option<String>,
        seats: usize,
    ) -> anyhow::Result<Self> {
        settings.push(("PAYMENT_LATENCY".to_owned(), "0s".to_owned()));
        settings.push(("MAX_IN_FLIGHT".to_owned(), "100000".to_owned()));
        settings.push(("RATE_LIMIT_RPS".to_owned(), "0".to_owned()));
        let directory = tempfile::tempdir()?;
        let mut flights =
            String::from("flight_number,source,destination,timestamp,total_seats,price\n");
        for number in 0..FLIGHTS {
            let (source, destination) = (number % 40, number / 40);
            // Writing to a String cannot fail.
            let _ = writeln!(
                flights,
                "F{number},S{source},D{destination},2030-06-01T10:00:00Z,{seats},2500.00"
            );
        }
        std::fs::write(directory.path().join("flights.csv"), flights)?;
        for arguments in [&["migrate"][..], &["import", "flights.csv"]] {
            process::run_of(program, directory.path(), &settings, arguments).await?;
        }
        Ok(Self { program: program.to_owned(), settings, directory, database })
    }

    /// Gives every flight with an odd number an arrival, and lets those with an even number depart three hours
    /// after it, so that any two make an order.
    pub async fn connect_flights(&self) -> anyhow::Result<()> {
        let statement = |hour: &str| {
            AssertSqlSafe(format!(
                "UPDATE flights SET arrival_timestamp = timestamp + {hour} WHERE id % 2 = 1;
                 UPDATE flights SET timestamp = timestamp + 4 * {hour} WHERE id % 2 = 0"
            ))
        };
        if let Some(url) = &self.database {
            let mut database = PgConnection::connect(url).await?;
            sqlx::raw_sql(statement("interval '1 hour'")).execute(&mut database).await?;
            sqlx::raw_sql("VACUUM ANALYZE flights").execute(&mut database).await?;
        } else {
            let file = SqliteConnectOptions::new().filename(self.directory.path().join("bench.db"));
            let mut database = SqliteConnection::connect_with(&file).await?;
            sqlx::raw_sql(statement("3600000000")).execute(&mut database).await?;
            database.close().await?;
        }
        Ok(())
    }

    /// The settings and one more.
    pub fn settings_and(&self, name: &str, value: &str) -> Vec<(String, String)> {
        let mut settings = self.settings.clone();
        settings.push((name.to_owned(), value.to_owned()));
        settings
    }

    /// Fails unless every invariant holds.
    pub async fn audit(&self) -> anyhow::Result<()> {
        let (program, directory) = (&self.program, self.directory.path());
        process::run_of(program, directory, &self.settings, &["audit"]).await
    }

    /// Starts the build that it was made by on it.
    pub async fn serve(&self) -> anyhow::Result<Server> {
        Server::start_of(&self.program, self.directory.path(), &self.settings).await
    }
}
