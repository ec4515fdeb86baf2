//! `export` and `erase`: what is held of a user, for that user, and away.

use super::{existing_store, say};
use crate::config::Config;
use crate::domain::UserId;
use crate::people::erase::{Erase, Erased, Held, Kept, NAMED_MAX, Why};
use crate::people::export;
use crate::store::Scrubbed;
use anyhow::Context;
use std::fmt::Write as _;
use std::io::{BufWriter, ErrorKind, IntoInnerError, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// The user's number
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    user: i64,
    /// The file to write, readable by you alone; without it, or as -, standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct EraseArgs {
    /// The user's number
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    user: i64,
    /// Erase the passengers of bookings that are yet to fly, too
    #[arg(long)]
    all: bool,
    /// Do it; without this, only say what would be erased
    #[arg(long)]
    yes: bool,
}

/// What `--help` says beyond the arguments.
pub(super) const ERASE_HELP: &str = "\
Passengers are replaced by placeholders and idempotency keys are deleted; seats, money and the user's
number stay. A run that was stopped is gone on with by the next. Topics, logs and traces hold no
passengers; backups do: docs/operations.md, Personal data.";

pub(super) async fn export(config: &Config, args: &ExportArgs) -> anyhow::Result<()> {
    let (store, clock) = existing_store(config).await?;
    let (user, now) = (UserId(args.user), clock.now());
    let Some(file) = args.output.as_deref().filter(|file| *file != Path::new("-")) else {
        let mut out = BufWriter::new(std::io::stdout());
        let exported = export::export(&*store, user, now, &mut out).await;
        return match exported.and_then(|_| Ok(out.flush()?)) {
            // The reader has seen enough (`| head`).
            Err(error) if is_broken_pipe(&error) => Ok(()),
            exported => exported,
        };
    };
    let named = || format!("{} (--output)", file.display());
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    // Mode 0600, and in its place only once it is whole.
    let draft = NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).with_context(named)?;
    let mut out = BufWriter::new(draft);
    let bookings = export::export(&*store, user, now, &mut out).await?;
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
    let (store, clock) = existing_store(config).await?;
    let user = UserId(args.user);
    let erase = Erase { store: &*store, user, all: args.all, now: clock.now() };
    let held = erase.look().await?;
    say(&what_is_held(user, &held))?;
    if args.yes {
        say(&what_was_erased(&erase.run().await?))
    } else {
        say("\nnothing was erased: repeat it with --yes")
    }
}

fn what_is_held(user: UserId, held: &Held) -> String {
    let Held { due, erased, kept, named, keys } = held;
    let mut text = format!(
        "user {user}\n  {due} bookings whose passengers are to be erased, {erased} erased before\n  \
         {keys} idempotency keys to be deleted\n  {kept} bookings kept"
    );
    if *kept > 0 {
        text.push_str(", being yet to fly (--all erases their passengers too):");
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
            Why::Unreadable => write!(text, "\n    booking {booking}: a row of it can't be read"),
        };
    }
    if *kept > NAMED_MAX {
        let _ = write!(text, "\n    and {} more", kept - NAMED_MAX);
    }
    text
}

fn what_was_erased(Erased { bookings, keys, scrubbed }: &Erased) -> String {
    let left = match scrubbed {
        Some(Scrubbed::Whole) => "the file and its log hold nothing of them any more",
        Some(Scrubbed::LogAlone) => {
            "free space in the file may hold old copies: a service runs, and the file is too large to be \
             written again beside it. Stop the service and repeat this command"
        }
        Some(Scrubbed::Neither) | None => {
            "the file's log may hold old copies: another connection kept it. Repeat this command"
        }
        Some(Scrubbed::ByServer) => {
            "PostgreSQL keeps old rows until it vacuums, and its log and backups until they go"
        }
    };
    format!("\nerased: the passengers of {bookings} bookings, {keys} idempotency keys\n{left}")
}
