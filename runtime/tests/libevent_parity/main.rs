//! libevent's own cases, restated for what stands in their place here.
//!
//! One test for each upstream case, named for it; the first line of its comment names the case. A
//! test asserts what we do: where that differs from libevent on purpose, the comment says how and
//! why. Upstream: libevent 2.2, `test/regress_bufferevent.c` and `test/regress_listener.c`; the
//! texts used are our own, sizes are upstream's where its assertions name them. Where upstream
//! joins two sockets, a core connects to itself on the simulated network; time is virtual but where
//! threads matter.
//!
//! A case that has no test gets a row instead, with the case as the tests name it and a reason.
//!
//! | left out | why |
//! |---|---|
//! | regress_bufferevent.c `iocp/*` | fifteen on Windows, most of them as below: Linux only |
//! | regress_listener.c `iocp/*` | `randport` and `error` on Windows: Linux only |
//!
//! `runtime/tests/tidy.rs` checks that tests and rows together are as many as the upstream cases.

mod connect;
#[path = "../../../examples/src/deflate.rs"]
#[expect(unreachable_pub, reason = "it is public where it is an example")]
mod deflate;
mod filter;
mod listener;
mod rate;
#[path = "../rig/mod.rs"]
mod rig;
mod timeout;
mod transfer;
mod trigger;

use rig::ends::{Link, over};
use sluicegate::Direction;

const READ: Direction = Direction::Read;
const WRITE: Direction = Direction::Write;

/// Turns in which whatever a test does must have settled.
const TURNS: usize = 10_000;
