//! The filters that the examples put on connections.
//!
//! Teaches: what a filter is called with, and what it answers. Each fits on a page and can be
//! copied: [`Deflate`] compresses, [`Frames`] puts messages behind their length.

#![forbid(unsafe_code)]

mod deflate;
mod frames;

pub use deflate::Deflate;
pub use frames::Frames;
