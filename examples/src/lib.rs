//! What examples share: the filters they put on connections, and the flags that place cores.
//!
//! Teaches: what a filter is called with, and what it answers. Each fits on a page and can be
//! copied: [`Deflate`] compresses, [`Frames`] puts messages behind their length. Every program
//! reads the variables `SLUICEGATE_CORES` and so on; some have flags of the same names.

#![forbid(unsafe_code)]

mod deflate;
mod flags;
mod frames;

pub use deflate::Deflate;
pub use flags::PlacementFlags;
pub use frames::Frames;
