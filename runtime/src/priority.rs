//! How soon in a turn a bufferevent is served.
//!
//! Owns the name of a level only; what a turn does with it is in `reactor/order.rs`.
//! Source: libevent 2.1.12 `bufferevent_priority_set` (bufferevent.c). Differs: three levels, on
//! every kind of bufferevent, and none can keep another from being served.

/// How soon in a turn of its core a bufferevent is served; set it by
/// [`BevMut::set_priority`](crate::BevMut::set_priority).
///
/// Of the sockets that are ready in a turn those of a higher priority read, have their callbacks
/// and write before the first of a lower one reads. In memory a message goes one hop a round, and
/// each round serves the higher first. Priority says who goes first, not how much: what a stream
/// may move in a turn is the same for all, and a group serves its members by weight. Listeners are
/// [`Normal`](Self::Normal).
///
/// # Starvation
/// There is none: all are served in every turn, so that one of low priority waits for one read,
/// four writes and the callbacks of each of the others. Streams in memory share 1,024 operations a
/// turn. If the others have used them up, the first of each priority goes before everybody in the
/// next turn: it waits for as many turns as streams of its own priority stand before it.
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
    /// All of them in the order of a turn.
    pub(crate) const IN_ORDER: [Self; 3] = [Self::High, Self::Normal, Self::Low];
}
