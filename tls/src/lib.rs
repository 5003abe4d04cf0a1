//! OpenSSL for sluicegate: made ready for many cores, and put between two buffers.
//!
//! [`init()`] finds out who does OpenSSL's locking, supplies the locks where the library is too old
//! to bring its own, and refuses to go on without threads or entropy; [`thread_stop`] frees what
//! OpenSSL keeps for one thread. [`TlsConfig`] makes an `Ssl` ready for a connection, with one
//! context a core; a [`Session`] is a stage between plaintext and ciphertext around such an `Ssl`.
//!
//! It opens no socket, starts no thread and reads no clock. `unsafe` stands in `ffi/` alone.
//!
//! | file | what it owns |
//! |---|---|
//! | `session/` | [`Session`]: handshake, data, new keys, goodbye; its options and errors |
//! | `init.rs` | [`init()`] itself: look, decide, install, remember |
//! | `threading.rs` | [`Threading`] and the decision, a pure function of what was found |
//! | `error.rs` | [`InitError`], each variant with its remedy |
//! | `lock_table.rs` | the locks lent to a library that has none |
//! | `config/` | [`TlsConfig`]: certificates, trust, choices, reload; sessions to resume |
//! | `ticket/` | [`Tickets`] and the keys that seal them, rotated |
//! | `ffi/` | the C edge: symbols, calls, callbacks |
//!
//! # Features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `vendored` | no | builds OpenSSL from source; needs perl and make |

#![warn(missing_docs)]

#[cfg(not(target_os = "linux"))]
compile_error!("sluicegate runs on Linux only");

extern crate sluicegate_core_buf as core_buf;
extern crate sluicegate_groups as groups;

mod config;
mod error;
mod ffi;
mod init;
mod lock_table;
mod session;
mod threading;
mod ticket;

pub use config::{
    Certificate, ClientCertificates, ClientChoices, Roots, ServerChoices, TlsConfig,
    TlsConfigBuilder, TlsConfigError, TlsRole, TlsVersion,
};
pub use error::InitError;
pub use openssl;

pub use init::{init, thread_stop};
pub use session::{
    Charge, DEFAULT_FAREWELL, DEFAULT_HANDSHAKE, MAX_PENDING_ERRORS, Session, Shutdown, TlsError,
    TlsOptions, TlsState, into_ssl,
};
pub use threading::Threading;
pub use ticket::Tickets;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
