//! How soon in a turn a bufferevent is served.
//!
//! Owns the name of a level only; what a turn does with it is in `reactor/order.rs`.
//! Source: libevent 2.1.12 `bufferevent_priority_set` (bufferevent.c). Differs: three levels, on
//! every kind of bufferevent, and none can keep another from being served.

/// How soon in a turn of its core a bufferevent is served; set it by
/// [`BevMut::set_priority`](crate::BevMut::set_priority).
///
/// Of those that are ready in a turn all of a higher priority read, have their callbacks and write
/// before the first of a lower one. Priority is about who goes first, not about how much: what a
/// stream may move in a turn is the same for all, and so is its share of a group, which serves its
/// members by weight.
///
/// # Starvation
/// Each is served in every turn, so one of low priority waits for at most one read, four writes and
/// the callbacks of every other in that turn. Streams in memory share 1,024 operations a turn: if
/// those above have used them up, the first of each priority goes before all others in the next
/// turn. Then one waits for as many turns as others of its own priority stand before it, at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// After all others: what may wait, such as copies and statistics.
    Low,
    /// The default; listeners have it too.
    #[default]
    Normal,
    /// Before all others: what others wait for, such as control connections.
    High,
}

impl Priority {
    /// How many there are.
    pub(crate) const COUNT: usize = 3;

    /// All of them in the order of a turn.
    pub(crate) const IN_ORDER: [Self; Self::COUNT] = [Self::High, Self::Normal, Self::Low];
}
