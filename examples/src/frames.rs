//! A filter that sends each line as a message behind its length, and makes lines of what it gets.
//!
//! Teaches: waiting for a whole message, refusing one that is too long before it is there.

use sluicegate::{Buffer, Filter, FilterError, FilterResult, FlushMode};

/// Bytes of a length.
const HEAD: usize = 4;

/// Messages behind their length, of up to a number of bytes; lines for whoever is above.
///
/// Whoever wants to limit what waits for a message to be whole sets its longest.
#[derive(Debug)]
pub struct Frames {
    longest: usize,
}

impl Frames {
    /// Messages of up to `longest` bytes.
    #[must_use]
    pub fn new(longest: usize) -> Self {
        Self { longest }
    }

    fn refuse(&self, len: usize) -> FilterResult {
        let longest = self.longest;
        FilterResult::Error(FilterError::new(format!("a message of {len} bytes; {longest} may be")))
    }
}

impl Filter for Frames {
    fn input(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        _limit: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        let mut head = [0; HEAD];
        let is_cut = mode == FlushMode::Finished && !src.is_empty();
        let len = if src.copy_out(0, &mut head) == HEAD { u32::from_be_bytes(head) } else { 0 };
        let len = len as usize;
        if len > self.longest {
            return self.refuse(len);
        }
        if src.len() < HEAD || src.len() - HEAD < len {
            return if is_cut {
                FilterResult::Error(FilterError::new("the last message is cut short"))
            } else {
                FilterResult::NeedMore
            };
        }
        src.drain(HEAD);
        src.move_to(dst, len);
        dst.add(b"\n");
        FilterResult::Ok
    }

    fn output(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        _limit: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        let line = src.slices().flatten().take(self.longest + 1).position(|&byte| byte == b'\n');
        let len = match line {
            Some(len) => len,
            None if src.len() > self.longest => return self.refuse(src.len()),
            // The last line may lack its end.
            None if mode > FlushMode::Normal && !src.is_empty() => src.len(),
            None => return FilterResult::NeedMore,
        };
        dst.add(&(len as u32).to_be_bytes());
        src.move_to(dst, len);
        src.drain(1);
        FilterResult::Ok
    }
}
