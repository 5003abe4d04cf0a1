//! The program from outside, as a user or a script meets it.
//!
//! Owns nothing but the order: each file tests one command or one side of it, all with runs of a
//! fraction of a second and without any expectation of speed.

mod ab;
mod churn;
mod doctor;
mod harness;
mod placed;
mod ratelimit;
mod refusal;
mod run;
mod simulate;
mod tls;
mod tune;
