//! The command line: `serve`, `import`, `migrate`, `doctor`, `audit`, `reconcile`, `export`, `erase`,
//! `health`, `openapi`.
//!
//! Reads the environment once and calls [`crate::app`]. Results go to stdout, problems to stderr. Exit codes:
//! 0 success, 1 failure or a violated invariant, 2 wrong usage.

mod audit;
mod doctor;
mod health;
mod import;
mod people;
mod reconcile;
mod release;
mod serve;
mod services;

use crate::app::Access;
use crate::clock::Clock;
use crate::config::{Config, ConfigError, Database, PostgresSettings, SETTINGS};
use crate::store::Store;
use crate::store::postgres::PostgresStore;
use crate::{app, telemetry};
use anyhow::{Context, bail};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

/// Sells seats on flights: search, hold, pay, settle.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = false)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Use PostgreSQL on localhost:5432, Redis on localhost:6379 and Kafka on localhost:9092, unless a setting
    /// names another address
    #[arg(long, global = true)]
    services: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API (the default command)
    Serve(ServeArgs),
    /// Import flights from a CSV file, plain or gzip; imports nothing if a line is invalid
    Import(import::ImportArgs),
    /// Update the database to this version's schema and exit; adopts the database of an earlier service
    Migrate(MigrateArgs),
    /// Check the PostgreSQL database of an earlier service before `migrate` adopts it
    Doctor,
    /// Check invariants I1 to I5 and I7 over the whole database; exit code 1 if one is violated
    Audit,
    /// Compare Stripe's payments and refunds with the database; exit code 1 if anything differs
    Reconcile(reconcile::ReconcileArgs),
    /// Write all stored data of a user as JSON
    Export(people::ExportArgs),
    /// Erase the personal data of a user; without --yes only report what would be erased
    #[command(after_help = people::ERASE_HELP)]
    Erase(people::EraseArgs),
    /// Ask the service on this machine whether it is ready; exit code 1 if not
    Health,
    /// Print the OpenAPI document as JSON
    Openapi,
}

#[derive(Debug, Default, clap::Args)]
struct ServeArgs {
    /// Add no sample flights. By default an empty database gets some, and new ones each day until it contains
    /// other flights
    #[arg(long)]
    no_sample: bool,
}

#[derive(Debug, clap::Args)]
struct MigrateArgs {
    /// Also widen `flights.version` to 64 bits; PostgreSQL rewrites the table, so no service may run meanwhile
    #[arg(long)]
    rewrite: bool,
    /// Put the seats of adopted bookings whose payment never ran back on sale; without --yes only report
    /// them
    #[arg(long)]
    release_stuck: bool,
    /// Carry out --release-stuck
    #[arg(long, requires = "release_stuck")]
    yes: bool,
}

/// Runs the command that the arguments name. Prints an error to stderr.
///
/// The runtime starts here and not in the binary: what a crate awaits is compiled into it.
#[tokio::main]
pub async fn run() -> ExitCode {
    let matches = Cli::command()
        .after_help("Settings are environment variables; --help lists them.")
        .after_long_help(settings_help())
        .get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let command = cli.command.unwrap_or(Command::Serve(ServeArgs::default()));
    // On the heap, because the future holds the whole service.
    match Box::pin(command.run(cli.services)).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("airline-booking: {}", causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes on one line. Leaves out a cause that the preceding text ends with already, because
/// drivers repeat their causes.
fn causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

impl Command {
    async fn run(self, services: bool) -> anyhow::Result<ExitCode> {
        let config = || config(services);
        match self {
            Self::Serve(args) => {
                let config = Config::for_serving(environment(services))?;
                Box::pin(serve::serve(config, !args.no_sample, services)).await?;
            }
            Self::Import(args) => return import::import(&config()?, &args).await,
            Self::Migrate(args) => return migrate(&config()?, &args).await,
            Self::Doctor => return doctor::doctor(&config()?).await,
            Self::Health => return health::health(&config()?).await,
            Self::Audit => return audit::audit(&config()?).await,
            Self::Reconcile(args) => return reconcile::reconcile(&config()?, &args).await,
            Self::Export(args) => people::export(&config()?, &args).await?,
            Self::Erase(args) => people::erase(&config()?, &args).await?,
            Self::Openapi => {
                say(&serde_json::to_string_pretty(&crate::http::openapi())?)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn migrate(config: &Config, args: &MigrateArgs) -> anyhow::Result<ExitCode> {
    let _logs = logs(config)?;
    let postgres = match &config.database {
        Database::Postgres(settings) if args.rewrite => Some(settings),
        _ => None,
    };
    if let Some(settings) = postgres {
        PostgresStore::refuse_in_use(settings).await?;
    }
    app::with_store(config, Access::Migrate, async |store, clock| {
        report_schema(config, postgres, args.rewrite).await?;
        if args.release_stuck {
            return release::release_stuck(config, store, clock, args.yes).await;
        }
        Ok(ExitCode::SUCCESS)
    })
    .await
}

async fn report_schema(
    config: &Config,
    postgres: Option<&PostgresSettings>,
    rewrite: bool,
) -> anyhow::Result<()> {
    say(&format!("{} has this version's schema", config.database))?;
    if rewrite {
        say(match postgres {
            None => "nothing to rewrite: SQLite keeps flight versions in 64 bits",
            Some(settings) if PostgresStore::widen_versions(settings).await? => {
                "flights.version is rewritten and has 64 bits now"
            }
            Some(_) => "nothing to rewrite: flights.version has 64 bits",
        })?;
    }
    Ok(())
}

/// Works on an existing database, on which a service may be running.
async fn on_existing_store<T>(
    config: &Config,
    access: Access,
    work: impl AsyncFnOnce(Arc<dyn Store>, Arc<dyn Clock>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    must_exist(config)?;
    app::with_store(config, access, work).await
}

/// Fails if the database is a file that does not exist: opening would create it, and it would have nothing to report.
fn must_exist(config: &Config) -> anyhow::Result<()> {
    if let Database::Sqlite(file) = &config.database
        && !file.exists()
    {
        bail!("there is no database {}; set DATABASE_URL or DB_HOST", file.display());
    }
    Ok(())
}

fn config(services: bool) -> Result<Config, ConfigError> {
    Config::from_env(environment(services))
}

/// Gives the value of a setting by its name.
type Lookup = Box<dyn Fn(&str) -> Option<String>>;

/// The process's environment. `services`: adds the default addresses of services that it does not name.
fn environment(services: bool) -> Lookup {
    let variable = |name: &str| std::env::var(name).ok();
    if services { Box::new(services::with_defaults(variable)) } else { Box::new(variable) }
}

/// Starts logging.
fn logs(config: &Config) -> anyhow::Result<impl Sized> {
    telemetry::logging::init(config.log_format, &config.log_filter)
        .context("RUST_LOG must be a filter such as info or warn,airline_booking=debug")
}

/// Prints text and a line break to stdout.
fn say(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        // The reader has closed the pipe (`| head`).
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn settings_help() -> String {
    let mut help = String::from("Settings (environment variables):\n");
    for setting in SETTINGS {
        let default = match setting.default {
            "" => String::new(),
            default => format!(" [default: {default}]"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(help, "  {}{default}\n          {}", setting.name, setting.help);
    }
    help
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_cause_that_a_driver_repeats_is_printed_once() {
        let refused = anyhow::anyhow!("connection refused");
        let repeated = refused.context("cannot connect: connection refused").context("no store");
        assert_eq!(causes(&repeated), "no store: cannot connect: connection refused");
        assert_eq!(causes(&anyhow::anyhow!("why").context("what")), "what: why");
    }

    #[test]
    fn help_lists_every_setting_with_its_default() {
        let help = settings_help();
        for setting in SETTINGS {
            assert!(help.contains(setting.name) && help.contains(setting.default));
        }
    }
}
