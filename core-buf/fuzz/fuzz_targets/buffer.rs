//! Operations on buffers, eight bytes each, against the model that the tests of buffers use.
//!
//! `cargo +nightly fuzz run buffer` in `core-buf`. What it finds is kept as a test, in
//! `core-buf/tests/buffer_model`.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/buffer_model/model.rs"]
mod model;
#[path = "../../tests/buffer_model/operation.rs"]
mod operation;
#[path = "../../tests/buffer_model/shadow.rs"]
mod shadow;

use operation::Operation;

fuzz_target!(|bytes: &[u8]| {
    let (operations, _) = bytes.as_chunks();
    model::run(operations.iter().take(MAX_OPERATIONS).copied().map(Operation::decode));
});

/// More are not run, so that an input takes milliseconds.
const MAX_OPERATIONS: usize = 200;
