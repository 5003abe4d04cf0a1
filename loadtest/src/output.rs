//! Standard output and JSON files.
//!
//! Owns the writing of results: text to standard output, JSON to a file or, for `-`, to standard
//! output instead of the text. A closed pipe is an error like any other, not a panic.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::exit::{Failure, Outcome};

/// Where a command's result goes.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    json: Option<&'a Path>,
}

impl<'a> Output<'a> {
    pub(crate) fn new(json: Option<&'a Path>) -> Self {
        Self { json }
    }

    /// Whether standard output is the JSON's alone.
    fn is_machine(&self) -> bool {
        self.json.is_some_and(|path| path == Path::new("-"))
    }

    /// Writes text for people.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(crate) fn text(&self, text: &str) -> Outcome {
        if self.is_machine() {
            return Ok(());
        }
        write_out(text)
    }

    /// Writes the result for machines, where it was asked for.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn result(&self, value: &impl Serialize) -> Outcome {
        let Some(path) = self.json else { return Ok(()) };
        let mut text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::io("writing JSON")(error.into()))?;
        text.push('\n');
        if self.is_machine() {
            return write_out(&text);
        }
        fs::write(path, text).map_err(Failure::io(format!("writing {}", path.display())))
    }
}

fn write_out(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::io("standard output"))
}
