//! Choices that are one word each: reading and printing them by one table.
//!
//! Owns the way from a word to its meaning and back, and the error that lists the words there are.

use super::error::PlacementError;
use super::nearest::nearest;

/// The words of one kind of choice, and what each means.
pub(super) struct Words<T: 'static> {
    /// What a word of this table is, as in "no way to pin".
    pub(super) what: &'static str,
    /// A meaning prints as the first word it has.
    pub(super) table: &'static [(&'static str, T)],
}

impl<T: Copy + PartialEq> Words<T> {
    pub(super) fn parse(&self, text: &str) -> Result<T, PlacementError> {
        let word = text.trim();
        let found = self.table.iter().find(|(known, _)| *known == word);
        found.map(|&(_, meaning)| meaning).ok_or_else(|| PlacementError::UnknownWord {
            what: self.what,
            text: text.to_owned(),
            known: self.table.iter().map(|(known, _)| *known).collect(),
            nearest: nearest(word, self.table.iter().map(|(known, _)| *known)),
        })
    }

    pub(super) fn name(&self, meaning: T) -> &'static str {
        let found = self.table.iter().find(|(_, known)| *known == meaning);
        found.expect("a table has a word for every meaning").0
    }
}
