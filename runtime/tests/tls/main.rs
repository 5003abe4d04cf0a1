//! TLS sessions on simulated cores.
#![cfg(feature = "tls")]

mod bad;
mod begin;
mod config;
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
