//! The C edge of OpenSSL: every `unsafe` block of the crate stands in a file of this folder.
//!
//! Owns no state. Each file states its numbered rules and offers safe functions over them.

mod library;
pub(crate) mod session;
mod ticket;

pub(crate) use self::library::{OldLibrary, is_seeded, thread_id, thread_stop};
pub(crate) use self::ticket::{Resumable, cleanse, offer_none, use_ticket_keys};
