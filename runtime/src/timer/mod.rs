//! Timers of one core: deadlines in, expired values out.
//!
//! Owns the tick (one millisecond), the hierarchical wheel that sorts deadlines by it, and the
//! keys that cancel them. Never reads a clock, never calls user code, never touches a thread or
//! a system call: the reactor passes `now` and takes one expired value at a time, so its own
//! budget bounds the work of a turn.
//!
//! Invariants: a timer never fires before its deadline; a key finds its own timer or nothing,
//! never a later one in the same place.

mod slab;
#[cfg(test)]
mod tests;
mod wheel;

pub(crate) use slab::TimerKey;
pub(crate) use wheel::Wheel;
