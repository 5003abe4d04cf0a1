//! Schedules of what is done to two bufferevents, on the machine that the tests of schedules use.
//!
//! `cargo +nightly fuzz run schedule` in `runtime`. What it finds is made short by
//! `SLUICEGATE_CASE=FILE cargo test -p sluicegate --test schedules`, and kept there as a test.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/schedules/machine/mod.rs"]
#[allow(dead_code, reason = "cases are written out only where they are kept")]
#[allow(unused_imports, reason = "as above")]
mod machine;
#[path = "../../tests/rig/mod.rs"]
mod rig;

fuzz_target!(|bytes: &[u8]| machine::run(&machine::Case::decode(bytes)));
