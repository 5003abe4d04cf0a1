//! The figures of each core, readable by anyone without a lock.
//!
//! Owns one line of atomic cells per core. The core counts in plain integers and copies them here
//! at the end of each turn; readers on other threads see each figure as it was at some recent turn,
//! and exactly once the core is quiet. Relaxed order suffices: the figures publish no other data,
//! and each has one writer.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

macro_rules! figures {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// What one core has done so far; counters unless said otherwise.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct CoreStats {
            $($(#[$doc])+ pub $name: u64,)+
        }

        #[derive(Debug, Default)]
        struct Cells {
            $($name: AtomicU64,)+
        }

        impl Cells {
            fn publish(&self, stats: &CoreStats) {
                $(self.$name.store(stats.$name, Ordering::Relaxed);)+
            }

            fn read(&self) -> CoreStats {
                CoreStats { $($name: self.$name.load(Ordering::Relaxed),)+ }
            }
        }
    };
}

figures! {
    /// Turns of the loop.
    turns,
    /// System calls of the driver, all kinds.
    system_calls,
    /// Waits for events.
    polls,
    /// Reads from streams, also those that found nothing.
    reads,
    /// Writes to streams, also those that moved nothing.
    writes,
    /// Accepts, also those that found nobody.
    accepts,
    /// Connections alive now or still to be made, sockets only (a level).
    connections,
    /// Attempts to reach an address of a host that run now (a level).
    attempts,
    /// Ends of pairs alive now (a level).
    pair_ends,
    /// Bufferevents that stand over a filter now (a level).
    filters,
    /// Connections accepted, also those that other cores got.
    accepted,
    /// Accepted connections that stayed on the core.
    accepts_kept,
    /// Accepted connections that were handed over to other cores.
    accepts_handed_over,
    /// Connections that other cores have accepted and handed over to this one.
    accepts_received,
    /// Connections [detached](crate::Core::detach) from this core, to live on another.
    handed_off,
    /// Connections [attached](crate::Core::attach) to this core, from another.
    taken_over,
    /// Times accepting rested because no descriptor or memory was left.
    accept_backoffs,
    /// Accepts that failed for the sake of the one connection.
    accept_errors,
    /// Bytes read from sockets.
    bytes_in,
    /// Bytes written to sockets.
    bytes_out,
    /// Reads and writes that a limit metered.
    metered_operations,
    /// Times a direction had to wait for tokens.
    limit_waits,
    /// Read or write timeouts that were excused because the stream waited for our tokens.
    excused_timeouts,
    /// Callbacks made.
    callbacks,
    /// Handlers, factories and tasks that panicked; their connections were closed.
    handler_panics,
    /// Messages taken from the mailbox.
    messages,
    /// Messages that wait in the mailbox now (a level).
    mailbox_depth,
    /// Times a sender had to wake this core: each is a system call of the sender.
    wakes_sent,
    /// Sends that found this core awake or already woken.
    wakes_suppressed,
    /// Timers that are armed now (a level).
    timers,
    /// The longest turn, waiting apart, in nanoseconds.
    longest_turn_ns,
    /// The longest a core was away from its events beyond the sleep it meant, in nanoseconds: a
    /// long turn, or a wake-up that came late because the thread got no CPU.
    longest_gap_ns,
    /// Connections that ended in the shutdown with all their output written.
    drained,
    /// Connections that ended in the shutdown with output discarded.
    cut,
}

/// The published figures of one core.
#[derive(Debug, Default)]
pub(crate) struct Published(CachePadded<Cells>);

impl Published {
    pub(crate) fn publish(&self, stats: &CoreStats) {
        self.0.publish(stats);
    }

    pub(crate) fn read(&self) -> CoreStats {
        self.0.read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_see_what_was_published() {
        let published = Published::default();
        let stats = CoreStats { turns: 3, bytes_in: 1 << 40, cut: 1, ..CoreStats::default() };
        published.publish(&stats);
        assert_eq!(published.read(), stats);
    }
}
