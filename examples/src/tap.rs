//! A filter that shows what kinds of records of TLS pass it.
//!
//! Teaches: looking at what crosses a layer without touching it.

use std::fmt::Arguments;

use sluicegate::{Buffer, Filter, FilterResult, FlushMode};

/// Shows what passes below TLS, and changes nothing.
#[derive(Debug)]
pub struct Tap {
    show: fn(Arguments<'_>),
}

impl Tap {
    /// Each piece is shown by `show`.
    #[must_use]
    pub fn new(show: fn(Arguments<'_>)) -> Self {
        Self { show }
    }

    /// A filter is called with nothing to pass on as well, at a close for one.
    fn pass(&self, what: &str, src: &mut Buffer, dst: &mut Buffer) -> FilterResult {
        if !src.is_empty() {
            let bytes = src.to_vec();
            let kinds = kinds(&bytes).join(", ");
            (self.show)(format_args!("wire   {what} {} bytes: {kinds}", bytes.len()));
        }
        dst.append(src);
        FilterResult::Ok
    }
}

impl Filter for Tap {
    fn input(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        _limit: Option<usize>,
        _mode: FlushMode,
    ) -> FilterResult {
        self.pass("<-", src, dst)
    }

    fn output(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        _limit: Option<usize>,
        _mode: FlushMode,
    ) -> FilterResult {
        self.pass("->", src, dst)
    }
}

/// The kinds of the records, in their order.
///
/// A record of TLS is a kind, a version of two bytes, a length of two bytes, and as much as that.
fn kinds(mut bytes: &[u8]) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    while let Some((&[kind, _, _, high, low], rest)) = bytes.split_first_chunk() {
        let kind = match kind {
            20 | 22 => "handshake",
            21 => "alert",
            23 => "sealed",
            _ => "no TLS",
        };
        kinds.extend((kinds.last() != Some(&kind)).then_some(kind));
        let len = usize::from(u16::from_be_bytes([high, low]));
        bytes = rest.get(len..).unwrap_or_default();
    }
    kinds
}
