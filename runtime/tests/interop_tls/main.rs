//! TLS with programs that others have written: OpenSSL's `s_client` and `s_server`, and curl.
//!
//! Needs `openssl` and `curl`, which `.ci/run` installs: with `SLUICEGATE_REQUIRE_INTEROP` set the
//! absence of one is a failure, else the tests say that they are skipped.
#![cfg(feature = "tls")]

mod client;
mod curl;
mod ears;
mod material;
mod program;
#[path = "../rig/mod.rs"]
mod rig;
mod server;
