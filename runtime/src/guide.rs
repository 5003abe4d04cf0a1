//! The guide: chapters to read in order, whose every example is compiled and run.
//!
//! 1. [`first_server`]: a handler, a listener, a test in virtual time.
//! 2. [`limits_and_groups`]: how many bytes may pass, for one and for many.
//! 3. [`filters_and_pairs`]: bytes that become other bytes, and bufferevents without a socket.
//! 4. [`tls`]: sessions, certificates, how they end, what limits count.
//! 5. [`placement_and_operations`]: what runs on which CPU, what an operator sees, how it ends.
//! 6. [`porting_from_libevent`]: every function of libevent's bufferevents and what it is here.
//!
//! Owns no code. The texts are files of `runtime/guide`, readable there as well; the README is
//! compiled with them.

#[doc = include_str!("../guide/first-server.md")]
pub mod first_server {}

#[doc = include_str!("../guide/limits-and-groups.md")]
pub mod limits_and_groups {}

#[doc = include_str!("../guide/filters-and-pairs.md")]
pub mod filters_and_pairs {}

#[cfg(feature = "tls")]
#[doc = include_str!("../guide/tls.md")]
pub mod tls {}

#[doc = include_str!("../guide/placement-and-operations.md")]
pub mod placement_and_operations {}

#[doc = include_str!("../guide/porting-from-libevent.md")]
pub mod porting_from_libevent {}

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
