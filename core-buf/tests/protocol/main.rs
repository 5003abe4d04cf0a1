//! Streams over a stage that speaks on its own account, without TLS: a script in its place.
//!
//! Owns no test itself. `script.rs` is the stage and counts its calls; `greeting.rs` is about what
//! comes before the first byte, `wants.rs` about when a stage is called and when not, `ends.rs`
//! about closes, ends and errors, `time.rs` about limits, timeouts and a way to another owner.

mod ends;
mod greeting;
mod script;
mod time;
mod wants;
