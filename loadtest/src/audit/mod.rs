//! Proof that a limit was kept, from the log of every metered operation.
//!
//! Owns the log's format (`log`) and the exact search for the worst window (`window`). Pure: fed
//! with records, it needs no server, and its tests feed it with synthetic ones.

mod log;
mod service;
mod window;

pub(crate) use self::log::{AuditLog, Member, Moment, Record, Way};
pub(crate) use self::service::Service;
pub(crate) use self::window::{Budget, Span, worst_excess};
