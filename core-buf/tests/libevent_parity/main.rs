//! libevent's own cases, restated for what stands in their place here.
//!
//! One test for each upstream case, named for it; the first line of its comment names the case. A
//! test asserts what we do: where that differs from libevent on purpose, the comment says how and
//! why. Upstream: libevent 2.2, `test/regress_buffer.c`; the texts and sizes used are our own.
//!
//! A case that has no meaning here gets a row instead of a test, with the case as the tests name it
//! and a reason. So far all have one.
//!
//! | left out | why |
//! |---|---|
//!
//! `runtime/tests/tidy.rs` checks that tests and rows together are as many as the upstream cases.

mod basics;
mod empty;
mod ends;
mod file;
mod peek;
mod reference;
mod reserve;
mod text;

use std::sync::Arc;

use sluicegate_core_buf::Buffer;

/// A reference to a copy of `bytes`.
fn shared(bytes: &[u8]) -> Arc<[u8]> {
    bytes.into()
}

/// An owner of bytes, and the count that tells whether it still lives: 2 while it does.
fn watched(bytes: &[u8]) -> (impl AsRef<[u8]> + Send + Sync + 'static, Arc<[u8]>) {
    let seen = shared(bytes);
    (Arc::clone(&seen), seen)
}

/// A buffer with one segment for each of the pieces, shared memory all of them.
fn in_pieces(pieces: &[&[u8]]) -> Buffer {
    let mut buffer = Buffer::new();
    pieces.iter().for_each(|piece| buffer.add_shared(shared(piece)));
    buffer
}

/// Everything in one piece, as `evbuffer_pullup(buf, -1)` shows it.
fn all(buffer: &mut Buffer) -> &[u8] {
    let len = buffer.len();
    buffer.pull_up(len).expect("no more than there is")
}
