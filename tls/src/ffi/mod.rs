//! The C edge of OpenSSL: every `unsafe` block of the crate stands in a file of this folder.
//!
//! Owns no state and decides nothing. Each file states its numbered rules and offers safe
//! functions over them; no pointer of C and no unwinding panic crosses its edge: a callback that
//! panics aborts.
//! Source: the headers of OpenSSL 3.0 to 3.6, where the `openssl` crate has no safe call.

pub(crate) mod bio;
mod library;
pub(crate) mod session;
mod ticket;

pub(crate) use self::library::{OldLibrary, is_seeded, thread_id, thread_stop};
pub(crate) use self::ticket::{Resumable, cleanse, offer_none, use_ticket_keys};
