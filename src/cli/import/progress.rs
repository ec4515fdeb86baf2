//! Progress of an import: a bar on a terminal, otherwise an occasional line.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// Lines between two reports without a terminal.
const REPORT_EVERY: usize = 100_000;

/// Lines between two updates of the bar: an update costs more than a line.
const UPDATE_EVERY: usize = 1_000;

/// Prints to stderr how many lines are done.
pub(super) struct Progress {
    what: &'static str,
    bar: Option<ProgressBar>,
    reported: usize,
}

impl Progress {
    /// `lines`: their number, or zero if it is unknown.
    pub(super) fn start(what: &'static str, lines: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let (bar, template) = match lines {
                0 => (ProgressBar::new_spinner(), "{msg:>9} {spinner} {human_pos} lines"),
                _ => (
                    ProgressBar::new(lines as u64),
                    "{msg:>9} {wide_bar} {human_pos}/{human_len} lines, {eta} to go",
                ),
            };
            let style = ProgressStyle::with_template(template).expect("the template is sound");
            bar.with_style(style).with_message(what)
        });
        Self { what, bar, reported: 0 }
    }

    /// `lines` are done so far.
    pub(super) fn reached(&mut self, lines: usize) {
        let every = if self.bar.is_some() { UPDATE_EVERY } else { REPORT_EVERY };
        if lines < self.reported + every {
            return;
        }
        self.reported = lines;
        match &self.bar {
            Some(bar) => bar.set_position(lines as u64),
            None => eprintln!("{}: {lines} lines", self.what),
        }
    }

    /// Removes the bar.
    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
