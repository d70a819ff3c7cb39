//! How far a COPY is: a line that moves on a terminal, nothing elsewhere, a sum at the end.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The progress of one COPY.
pub(super) struct Progress {
    bar: ProgressBar,
    began: Duration,
    shown_at: Duration,
    every: Duration,
}

impl Progress {
    /// Begins at `now`; `bytes` is the size of what is read, if it is known.
    pub(super) fn new(visible: bool, bytes: Option<u64>, now: Duration, every: Duration) -> Self {
        let target =
            if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(bytes, target);
        let template = match bytes {
            Some(_) => "{bar:30} {percent:>3}%  {msg}",
            None => "{spinner} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Progress { bar, began: now, shown_at: now, every }
    }

    /// Shows how far it is, if it is time to.
    pub(super) fn show(&mut self, now: Duration, rows: u64, bytes: u64) {
        if now.saturating_sub(self.shown_at) < self.every {
            return;
        }
        self.shown_at = now;
        self.bar.set_position(bytes);
        self.bar.set_message(format!("{rows} rows, {} rows/s", self.rate(now, rows)));
        self.bar.tick();
    }

    fn rate(&self, now: Duration, rows: u64) -> u64 {
        let seconds = now.saturating_sub(self.began).as_secs_f64().max(0.001);
        (rows as f64 / seconds) as u64
    }

    /// Clears the line and says the sum.
    pub(super) fn end(self, now: Duration, rows: u64, what: &str) -> String {
        self.bar.finish_and_clear();
        let seconds = now.saturating_sub(self.began).as_secs_f64();
        let rate = self.rate(now, rows);
        format!("{rows} rows {what} in {seconds:.3} seconds ({rate} rows/s).\n")
    }
}
