//! TLS sessions on simulated cores.
#![cfg(feature = "tls")]

mod config;
mod data;
mod restart;
mod rig;
