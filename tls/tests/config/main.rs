//! `TlsConfig` by its handshakes, in memory: each clause of the documentation, kept and broken.
//!
//! Owns no test itself. `wire.rs` runs a handshake between an accepting and a connecting object,
//! `authority.rs` issues the certificates; each of the others is about one noun.

mod authority;
mod choice;
mod fault;
mod name;
mod reload;
mod resume;
mod trust;
mod wire;
