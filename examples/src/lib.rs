//! What examples share: the filters they put on connections, limits by client, and the flags that
//! place cores.
//!
//! Teaches: what a filter is called with, and what it answers. Each fits on a page and can be
//! copied: [`Deflate`] compresses, [`Frames`] puts messages behind their length, [`Clients`] has a
//! group for each address. Every program reads the variables `SLUICEGATE_CORES` and so on; some
//! have flags of the same names.

#![forbid(unsafe_code)]

mod clients;
mod deflate;
mod flags;
mod frames;
mod tap;

pub use clients::{Claim, Clients};
pub use deflate::Deflate;
pub use flags::PlacementFlags;
pub use frames::Frames;
pub use tap::Tap;
