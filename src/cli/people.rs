//! `export` and `erase`: a user's data, written out or erased.

use super::{on_existing_store, say};
use crate::app::Access;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::UserId;
use crate::people::erase::{Erase, Erased, Held, Kept, NAMED_MAX, Why};
use crate::people::export;
use crate::store::{Scrubbed, Store};
use anyhow::Context;
use std::fmt::Write as _;
use std::io::{BufWriter, ErrorKind, IntoInnerError, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::NamedTempFile;

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// User id (`user_id` of bookings)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    user: i64,
    /// File to write, readable only by you; default, and -: standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct EraseArgs {
    /// User id (`user_id` of bookings)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    user: i64,
    /// Also erase the passengers of bookings that have not flown yet
    #[arg(long)]
    all: bool,
    /// Erase; without --yes only report what would be erased
    #[arg(long)]
    yes: bool,
}

/// The end of `erase --help`.
pub(super) const ERASE_HELP: &str = "\
Passengers are replaced by placeholders, and idempotency keys are deleted. Seats, money and the user id
stay. An interrupted run is resumed by running the command again. Topics, logs and traces contain no
passengers; backups do. See docs/operations.md, Personal data.";

pub(super) async fn export(config: &Config, args: &ExportArgs) -> anyhow::Result<()> {
    let work = async |store: Arc<dyn Store>, clock: Arc<dyn Clock>| {
        export_from(&*store, &*clock, args).await
    };
    on_existing_store(config, Access::Read, work).await
}

async fn export_from(
    store: &dyn Store,
    clock: &dyn Clock,
    args: &ExportArgs,
) -> anyhow::Result<()> {
    let (user, now) = (UserId(args.user), clock.now());
    let Some(file) = args.output.as_deref().filter(|file| *file != Path::new("-")) else {
        let mut out = BufWriter::new(std::io::stdout());
        let exported = export::export(store, user, now, &mut out).await;
        return match exported.and_then(|_| Ok(out.flush()?)) {
            // The reader has closed the pipe (`| head`).
            Err(error) if is_broken_pipe(&error) => Ok(()),
            exported => exported,
        };
    };
    let named = || format!("{} (--output)", file.display());
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    // A temporary file has mode 0600. It gets its name only when it is complete.
    let draft = NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).with_context(named)?;
    let mut out = BufWriter::new(draft);
    let bookings = export::export(store, user, now, &mut out).await?;
    let draft = out.into_inner().map_err(IntoInnerError::into_error).with_context(named)?;
    draft.as_file().sync_all().with_context(named)?;
    draft.persist(file).map_err(|error| error.error).with_context(named)?;
    say(&format!("{bookings} bookings of user {user} are in {}", file.display()))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

pub(super) async fn erase(config: &Config, args: &EraseArgs) -> anyhow::Result<()> {
    let access = if args.yes { Access::Write } else { Access::Read };
    let work = async |store: Arc<dyn Store>, clock: Arc<dyn Clock>| {
        erase_from(&*store, &*clock, args).await
    };
    on_existing_store(config, access, work).await
}

async fn erase_from(store: &dyn Store, clock: &dyn Clock, args: &EraseArgs) -> anyhow::Result<()> {
    let user = UserId(args.user);
    let erase = Erase { store, user, all: args.all, now: clock.now() };
    let held = erase.look().await?;
    say(&what_is_held(user, &held))?;
    if args.yes {
        say(&what_was_erased(&erase.run().await?))
    } else {
        say("\nnothing was erased; add --yes to erase")
    }
}

fn what_is_held(user: UserId, held: &Held) -> String {
    let Held { due, erased, kept, named, keys } = held;
    let mut text = format!(
        "user {user}\n  {due} bookings whose passengers will be erased, {erased} erased before\n  \
         {keys} idempotency keys that will be deleted\n  {kept} bookings kept"
    );
    if *kept > 0 {
        text.push_str(" because they have not flown yet (--all erases their passengers too):");
    }
    for Kept { booking, why } in named {
        // Writing to a String cannot fail.
        let _ = match why {
            Why::YetToFly { status, source, destination, departs_at } => write!(
                text,
                "\n    booking {booking}, {}: {} to {}, departs {}",
                status.as_str(),
                &**source,
                &**destination,
                departs_at.format("%Y-%m-%dT%H:%M:%SZ"),
            ),
            Why::Waits => write!(text, "\n    entry {booking} of a waiting list, which waits"),
            Why::Unreadable => {
                write!(text, "\n    booking {booking}: one of its rows is unreadable")
            }
        };
    }
    if *kept > NAMED_MAX {
        let _ = write!(text, "\n    and {} more", kept - NAMED_MAX);
    }
    text
}

fn what_was_erased(Erased { bookings, keys, scrubbed }: &Erased) -> String {
    let left = match scrubbed {
        Some(Scrubbed::Whole) => "the database file and its log contain no copies of them",
        Some(Scrubbed::LogAlone) => {
            "free space in the database file may contain old copies: a service is running, and the file is too \
             large to be rewritten meanwhile. Stop the service and run this command again"
        }
        Some(Scrubbed::Neither) | None => {
            "the log of the database file may contain old copies, because another connection used it. Run this \
             command again"
        }
        Some(Scrubbed::ByServer) => {
            "PostgreSQL keeps old copies until it vacuums the tables; its log and backups keep them until they are \
             deleted"
        }
    };
    format!("\nerased: the passengers of {bookings} bookings, {keys} idempotency keys\n{left}")
}
