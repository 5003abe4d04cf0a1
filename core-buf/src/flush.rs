//! How much of what it holds back a flush asks a stream for.
//!
//! Owns the three modes and their order, nothing else; what each does is the business of the kind
//! of stream that is flushed.
//! Source: libevent 2.1.12 `enum bufferevent_flush_mode`.

/// How urgently bytes are to move on; each mode asks for more than the one before.
///
/// # Examples
/// ```
/// use sluicegate_core_buf::FlushMode;
///
/// assert!(FlushMode::Normal < FlushMode::Flush && FlushMode::Flush < FlushMode::Finished);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlushMode {
    /// What can be moved or converted conveniently.
    #[default]
    Normal,
    /// Everything that can be moved at all.
    Flush,
    /// Everything, and what belongs to the end of a stream.
    Finished,
}
