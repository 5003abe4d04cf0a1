//! A filter that compresses what is written and decompresses what is read.
//!
//! Teaches: honouring the limit, what a flush asks for, ending a stream of its own, telling a
//! stream that was cut short from one that ended.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use sluicegate::{Buffer, Filter, FilterError, FilterResult, FlushMode};

/// What is made at once.
const PIECE: usize = 8192;

/// A zlib stream in each direction.
#[derive(Debug)]
pub struct Deflate {
    deflater: Compress,
    inflater: Decompress,
    /// The peer's stream has ended; nothing belongs behind it.
    ended: bool,
}

impl Deflate {
    /// Two streams that have not begun.
    #[must_use]
    pub fn new() -> Self {
        let deflater = Compress::new(Compression::fast(), true);
        Self { deflater, inflater: Decompress::new(true), ended: false }
    }
}

impl Default for Deflate {
    fn default() -> Self {
        Self::new()
    }
}

impl Filter for Deflate {
    fn input(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        if self.ended {
            return FilterResult::NeedMore;
        }
        let before = self.inflater.total_out();
        let mut piece = [0; PIECE];
        let mut left = limit.unwrap_or(usize::MAX);
        let status = loop {
            let room = &mut piece[..left.min(PIECE)];
            let (took, made) = (self.inflater.total_in(), self.inflater.total_out());
            let status = match self.inflater.decompress(src.first(), room, FlushDecompress::None) {
                Ok(status) => status,
                Err(error) => return FilterResult::Error(FilterError::new(error)),
            };
            src.drain((self.inflater.total_in() - took) as usize);
            let count = (self.inflater.total_out() - made) as usize;
            dst.add(&room[..count]);
            left -= count;
            // What the inflater holds back for want of room, nobody would ask for later.
            if count < room.len() || left == 0 || status != Status::Ok {
                break status;
            }
        };
        self.ended = status == Status::StreamEnd;
        let moved = self.inflater.total_out() > before;
        if moved || !src.is_empty() && status == Status::Ok {
            return FilterResult::Ok;
        }
        let is_cut = mode == FlushMode::Finished && !self.ended && self.inflater.total_in() > 0;
        if is_cut {
            return FilterResult::Error(FilterError::new("the compressed stream is cut short"));
        }
        FilterResult::NeedMore
    }

    fn output(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        let mut piece = [0; PIECE];
        let room = &mut piece[..limit.unwrap_or(PIECE).min(PIECE)];
        let first = src.first();
        let flush = match mode {
            _ if first.len() < src.len() => FlushCompress::None,
            FlushMode::Normal => FlushCompress::None,
            FlushMode::Flush => FlushCompress::Sync,
            FlushMode::Finished => FlushCompress::Finish,
        };
        let (took, made) = (self.deflater.total_in(), self.deflater.total_out());
        if let Err(error) = self.deflater.compress(first, room, flush) {
            return FilterResult::Error(FilterError::new(error));
        }
        src.drain((self.deflater.total_in() - took) as usize);
        let count = (self.deflater.total_out() - made) as usize;
        dst.add(&room[..count]);
        // Room that was left over says that nothing more is inside.
        if src.is_empty() && count < room.len() { FilterResult::NeedMore } else { FilterResult::Ok }
    }
}
