//! Token buckets and rate-limit groups: how many bytes may pass, and when to ask again.
//!
//! Owns every decision about rates and shares. Never reads a clock (`now` is an argument), never
//! touches a socket, never starts a thread: state machines over plain integers, and one shared
//! atomic word for each direction of a group.
//!
//! [`TokenBucket`] limits one connection. [`Group`] limits any number of members on any number of
//! cores; each core takes a [`GroupShard`] and settles nearly every operation without touching
//! shared memory. **In any window of length T all cores together move at most ceil(R * T) + B
//! bytes: exact, not on average.** Among members with pending work, shares follow weight wherever
//! they live; what nobody claims is free to anyone.
//!
//! | feature | adds |
//! |---|---|
//! | `testing` | the module `testing`: whole groups in virtual time |
//!
//! Source: libevent's rate-limiting chapter for what it must do. Differs: exact over cores, fair by
//! deficit round robin, cost follows the members resumed and not the members waiting.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod board;
mod bucket;
mod clock;
mod config;
mod credit;
mod error;
mod grant;
mod group;
mod lane;
mod plan;
mod pool;
#[cfg(all(test, loom))]
mod pool_loom;
mod queue;
mod rate;
mod shard;
#[cfg(all(test, loom))]
mod shard_loom;
mod stats;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
mod time;

pub use bucket::TokenBucket;
pub use config::{Limit, RATE_LIMIT_MAX, TokenBucketConfig, TokenBucketConfigBuilder};
pub use error::{ConfigError, NoLimit, NoSeat, RateError};
pub use grant::{Grant, ShardState};
pub use group::{Group, GroupBuilder, GroupId, Rebalance, ServiceOrder, WeakGroup};
pub use queue::MemberId;
pub use rate::Rate;
pub use shard::GroupShard;
pub use stats::{GroupStats, SeatStats};
pub use time::{Direction, Time};
