//! A progress bar on standard error, where that is a terminal.
//!
//! Owns nothing else on the screen. Draws at most four times a second from the main thread, which
//! is otherwise asleep. Without a terminal, or with NO_COLOR set, it stays plain or silent.

use std::env;
use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows how far a command has come.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Where the current step began, and where it ends.
    step: (Duration, Duration),
}

impl Progress {
    /// A bar for everything that will take `total`.
    pub(crate) fn new(total: Duration) -> Self {
        let target = if stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total.as_millis() as u64), target);
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let template =
            if plain { "{msg} {bar:40} {percent}%" } else { "{msg} {bar:40.cyan/dim} {percent}%" };
        bar.set_style(ProgressStyle::with_template(template).expect("both templates are valid"));
        Self { bar, step: (Duration::ZERO, Duration::ZERO) }
    }

    /// Names the step that begins now, `length` long.
    pub(crate) fn step(&mut self, name: &str, length: Duration) {
        self.bar.set_message(name.to_owned());
        self.step = (self.step.1, self.step.1 + length);
        self.advance(Duration::ZERO);
    }

    /// Writes something else while the bar is out of the way.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Moves within the current step.
    pub(crate) fn advance(&mut self, elapsed: Duration) {
        let (began, ends) = self.step;
        self.bar.set_position((began + elapsed).min(ends).as_millis() as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

const DRAWS_PER_SECOND: u8 = 4;
