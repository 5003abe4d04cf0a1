//! Ciphertext that somebody in between has changed, on the machine of the tests.
//!
//! `cargo +nightly fuzz run adversary` in `tls`.

#![no_main]

extern crate sluicegate_core_buf as core_buf;
extern crate sluicegate_groups as groups;

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/adversary/machine.rs"]
mod machine;

fuzz_target!(|course: &[u8]| machine::run(course));
