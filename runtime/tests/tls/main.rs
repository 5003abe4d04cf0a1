//! TLS sessions on simulated cores.
//!
//! Owns no test itself. `rig.rs` makes two ends that speak TLS, `wired.rs` one with OpenSSL by hand
//! at the other end of its wire; `authority.rs` issues the certificates, `forge.rs` writes records
//! that OpenSSL would not. Each of the others is about one noun:
//!
//! - how a session is made: `begin`, `config`, `identity`, and `timeout` until it is;
//! - what it carries: `data` in each `record`, new `keys` meanwhile, a `limit`, a `group` of them;
//! - how it ends: one side first in `half`, both in `end`, and again from there in `restart`;
//! - who would harm it: a `bad` peer, a `flood`, a `crowd`, and errors that are `stale`.
#![cfg(feature = "tls")]

mod bad;
mod begin;
mod config;
mod course;
mod crowd;
mod data;
mod end;
mod flood;
mod forge;
mod group;
mod half;
mod identity;
mod keys;
mod limit;
#[path = "../rig/mod.rs"]
mod outer;
mod record;
mod restart;
mod rig;
mod stale;
mod timeout;
mod wired;
