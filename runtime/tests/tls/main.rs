//! TLS sessions on simulated cores.
#![cfg(feature = "tls")]

mod data;
mod restart;
mod rig;
