//! How far an import is: a bar on a terminal, a line now and then elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// Lines between two reports where there is no terminal.
const REPORT_EVERY: usize = 100_000;

/// Lines between two updates of the bar, which costs more than a line does.
const UPDATE_EVERY: usize = 1_000;

/// Shows on stderr how many lines of how many are done.
pub(super) struct Progress {
    what: &'static str,
    bar: Option<ProgressBar>,
    reported: usize,
}

impl Progress {
    /// Begins at zero of `lines`; zero where their number is not known yet.
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

    /// So many lines are done.
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

    /// All are done.
    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
