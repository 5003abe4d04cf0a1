//! The figures of each core, readable by anyone without a lock.
//!
//! Owns the list of figures and one cell for each, on cache lines that only their core writes. The
//! core counts in plain integers and copies them here before it sleeps, and while it does not every
//! few microseconds (`reactor/meter.rs`); readers on other threads see each figure as it was then,
//! and exactly once the core is quiet. Relaxed order suffices: the figures publish no other data,
//! and each has one writer; the longest idle time shown, which its readers raise, is one word that
//! only grows.
//!
//! Invariant: a counter never goes back for a reader who reads it twice. That holds for the time a
//! core sleeps too, which goes on while nobody writes it: see [`Published::fall_asleep`]; readers
//! keep the longest they have shown, so it may be ahead of the core's own account by what lies
//! between two readings of the clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam::utils::CachePadded;
use groups::Time;

use crate::metrics::{Figure, Kind, describe_kind};

/// Lists the figures: documentation, name, kind unless it is a counter, name outside if another.
macro_rules! figures {
    (@kind) => { Kind::Counter };
    (@kind $kind:ident) => { Kind::$kind };
    (@stem) => { None };
    (@stem $stem:literal) => { Some($stem) };
    ($($(#[doc = $doc:literal])+ $name:ident $(: $kind:ident)? $(= $stem:literal)?,)+) => {
        /// What one core has done so far, and how it stands.
        ///
        /// Counters wrap at 2^64. Where nothing else is said they count what their name says.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct CoreStats {
            $(
                $(#[doc = $doc])+
                ///
                #[doc = describe_kind!($($kind)?)]
                pub $name: u64,
            )+
        }

        impl CoreStats {
            /// Every figure, in the order of [`values`](Self::values).
            pub(crate) const FIGURES: &[Figure] = &[$(Figure {
                name: stringify!($name),
                stem: figures!(@stem $($stem)?),
                kind: figures!(@kind $($kind)?),
                help: concat!($($doc),+),
            },)+];

            pub(crate) fn values(&self) -> [u64; Self::FIGURES.len()] {
                [$(self.$name,)+]
            }
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
    /// Waits for events, also those that did not sleep.
    polls,
    /// Waits for events that were allowed to sleep.
    sleeps,
    /// Events that came from the system: a stream or listener that may be ready.
    events,
    /// Time spent working, looks for events that did not sleep included.
    busy_ns: Nanos,
    /// Time spent asleep until an event, a message or a timer.
    idle_ns: Nanos,
    /// Time spent looking for events without work, where the idle policy says so instead of
    /// sleeping.
    spin_ns: Nanos,
    /// Reads from streams, also those that found nothing.
    reads,
    /// Writes to streams, also those that moved nothing.
    writes,
    /// Reads and writes of streams that moved nothing, as the socket was not ready.
    would_block,
    /// Accepts, also those that found nobody.
    accepts,
    /// Connections alive now or still to be made, sockets only.
    connections: Level,
    /// Attempts to reach an address of a host that run now.
    attempts: Level,
    /// Ends of pairs alive now.
    pair_ends: Level,
    /// Bufferevents that stand over a filter or a TLS session now.
    filters: Level,
    /// TLS handshakes that were made, renegotiations apart.
    handshakes,
    /// TLS handshakes that resumed an earlier session.
    handshakes_resumed,
    /// TLS handshakes that failed or were given up.
    handshakes_failed,
    /// Connections over which TLS had said goodbye and that were reset, as the peer did not take
    /// what was left in time.
    goodbyes_lost,
    /// Places taken by streams, listeners and attempts to connect.
    slots: Level,
    /// Connections accepted, also those that other cores got.
    accepted,
    /// Accepted connections that stayed on the core.
    accepts_kept,
    /// Accepted connections that were sent to other cores, those included that stayed after all
    /// because that core had ended.
    accepts_handed_over,
    /// Connections that other cores have accepted and handed over to this one.
    accepts_received,
    /// Connections [detached](crate::Core::detach) from this core, to live on another.
    handed_off,
    /// Connections [attached](crate::Core::attach) to this core, from another.
    taken_over,
    /// Times accepting rested because no descriptor or memory was left, here or on the core that
    /// was to have the connection.
    accept_backoffs,
    /// Accepts that failed for the sake of the one connection, and accepted connections that were
    /// lost because the core could not wait for them.
    accept_errors,
    /// Bytes read from sockets.
    bytes_in: Bytes = "received",
    /// Bytes written to sockets.
    bytes_out: Bytes = "sent",
    /// Reads and writes that a limit metered.
    metered_operations,
    /// Times a direction had to wait for tokens.
    limit_waits,
    /// Draws from the tokens that the cores share, for groups with members here.
    draws,
    /// Times tokens that were drawn and not used went back.
    refunds,
    /// Times the share of this core in a group was settled with the others.
    rebalances,
    /// Read or write timeouts that were excused because the stream waited for our tokens.
    excused_timeouts,
    /// Callbacks made.
    callbacks,
    /// Handlers, factories and tasks that panicked; their connections were closed.
    handler_panics,
    /// Messages taken from the mailbox.
    messages,
    /// Messages that wait in the mailbox now.
    mailbox_depth: Level,
    /// Messages that a turn found in the mailbox.
    mailbox_depth_max: Most,
    /// Times a sender had to wake this core: each is a system call of the sender.
    wakes_sent,
    /// Sends that found this core awake or already woken.
    wakes_suppressed,
    /// 1 if the core was to be tied to CPUs and could not be.
    pin_failures: Level,
    /// Timers that are armed now.
    timers: Level,
    /// Timers that were armed.
    timers_armed,
    /// Timers that have fired.
    timers_fired,
    /// Blocks of memory for buffers that this core's thread took from its free list.
    blocks_reused,
    /// Blocks of memory for buffers that the allocator had to make for this core's thread.
    blocks_allocated,
    /// Blocks of memory that were given up on this core's thread, wherever they were taken: over
    /// all threads, those reused and allocated less these are in use.
    blocks_returned,
    /// Blocks of memory on the free list of this core's thread.
    blocks_kept: Level,
    /// A turn of the loop, waiting apart.
    longest_turn_ns: Longest,
    /// How long the core was away from its events beyond the sleep it meant: for a long turn, or a
    /// wake-up that came late because the thread got no CPU.
    longest_gap_ns: Longest,
    /// Calls of user code that took longer than the watchdog's threshold, those apart whose thread
    /// got no CPU meanwhile.
    stalls,
    /// Times the thread got no CPU for longer than the watchdog's threshold, within a call.
    starvations,
    /// Time spent in stalls that are over.
    stalled_ns: Nanos,
    /// A stall; one that goes on counts as far as it was noticed.
    longest_stall_ns: Longest,
    /// Connections that ended in the shutdown with all their output written.
    drained,
    /// Connections that ended in the shutdown with output discarded.
    cut,
    /// Bytes of output that a shutdown has discarded.
    cut_bytes: Bytes = "cut",
}

/// The published figures of one core.
#[derive(Debug, Default)]
pub(crate) struct Published {
    cells: CachePadded<Cells>,
    /// The longest idle time that a reader has seen. The readers write it, on a line of its own.
    seen_idle_ns: CachePadded<AtomicU64>,
}

impl Published {
    pub(crate) fn publish(&self, stats: &CoreStats) {
        self.cells.publish(stats);
    }

    /// Publishes, and has the idle time go on from `since`: the core sleeps, and may sleep long.
    ///
    /// One word says both how long it had been idle and since when it is again, so that no reader
    /// counts a sleep twice or not at all.
    pub(crate) fn fall_asleep(&self, stats: &CoreStats, since: Time) {
        let began = since.as_nanos().wrapping_sub(stats.idle_ns);
        self.publish(&CoreStats { idle_ns: ASLEEP | began, ..*stats });
    }

    /// The core is awake, and has been idle for so long.
    pub(crate) fn wake(&self, idle_ns: u64) {
        self.cells.idle_ns.store(idle_ns, Ordering::Relaxed);
    }

    /// The figures at a time that was read before: a sleep that ended since is then counted whole.
    ///
    /// Reader and core read the clock apart from the word, and either may be kept from going on in
    /// between: the core may then have slept for longer by the reader's clock than by its own, or
    /// sleep again by the time the reader looks. What was shown once stands until it is passed.
    pub(crate) fn read(&self, now: Time) -> CoreStats {
        let stats = self.cells.read();
        let idle_ns = match stats.idle_ns & ASLEEP {
            0 => stats.idle_ns,
            _ => now.as_nanos().saturating_sub(stats.idle_ns & !ASLEEP),
        };
        let seen = self.seen_idle_ns.fetch_max(idle_ns, Ordering::Relaxed);
        CoreStats { idle_ns: idle_ns.max(seen), ..stats }
    }
}

/// In the cell of the idle time: the core sleeps, and the rest is the time at which it would have
/// fallen asleep had it been idle ever since. No time reaches this bit within 292 years.
const ASLEEP: u64 = 1 << 63;

/// What the watchdog has found out about one core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StallStats {
    pub(crate) stalls: u64,
    pub(crate) starvations: u64,
    pub(crate) stalled_ns: u64,
    pub(crate) longest_stall_ns: u64,
}

impl StallStats {
    pub(crate) fn note_length(&mut self, lasted: Duration) {
        let lasted_ns = u64::try_from(lasted.as_nanos()).unwrap_or(u64::MAX);
        self.longest_stall_ns = self.longest_stall_ns.max(lasted_ns);
    }
}

/// The same for any thread to read: the watchdog alone writes it, on a line of its own.
#[derive(Debug, Default)]
pub(crate) struct PublishedStalls(CachePadded<[AtomicU64; 4]>);

impl PublishedStalls {
    pub(crate) fn publish(&self, stats: &StallStats) {
        let StallStats { stalls, starvations, stalled_ns, longest_stall_ns } = *stats;
        let values = [stalls, starvations, stalled_ns, longest_stall_ns];
        for (cell, value) in self.0.iter().zip(values) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> StallStats {
        let [stalls, starvations, stalled_ns, longest_stall_ns] =
            self.0.each_ref().map(|cell| cell.load(Ordering::Relaxed));
        StallStats { stalls, starvations, stalled_ns, longest_stall_ns }
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
        assert_eq!(published.read(Time::ZERO), stats);
    }

    #[test]
    fn idle_time_goes_on_while_a_core_sleeps_and_never_goes_back() {
        let published = Published::default();
        let at = Time::from_nanos;
        let stats = CoreStats { idle_ns: 40, ..CoreStats::default() };
        published.publish(&stats);
        assert_eq!(published.read(at(98)).idle_ns, 40);
        published.fall_asleep(&stats, at(100));
        // The first has read the clock before the core fell asleep.
        assert_eq!([99, 100, 160].map(|now| published.read(at(now)).idle_ns), [40, 40, 100]);
        // The core has read the clock before the last reader did, and says so after.
        published.wake(95);
        assert_eq!(published.read(at(161)).idle_ns, 100);
        published.wake(105);
        assert_eq!(published.read(at(170)).idle_ns, 105, "it stands while the core is awake");
    }

    #[test]
    fn every_figure_has_a_name_of_its_own_and_a_sentence() {
        let mut metrics: Vec<String> =
            CoreStats::FIGURES.iter().map(|figure| figure.metric("")).collect();
        metrics.sort();
        metrics.dedup();
        assert_eq!(metrics.len(), CoreStats::FIGURES.len());
        for figure in CoreStats::FIGURES {
            assert!(figure.help.trim_end().ends_with('.'), "{figure:?}");
        }
    }

    #[test]
    fn a_value_stands_where_its_figure_does() {
        let stats = CoreStats { turns: 7, cut: 9, ..CoreStats::default() };
        let value = |name: &str| {
            let at = CoreStats::FIGURES.iter().position(|figure| figure.name == name);
            stats.values()[at.expect("it is listed")]
        };
        assert_eq!((value("turns"), value("cut"), value("polls")), (7, 9, 0));
    }

    #[test]
    fn each_figure_of_the_watchdog_comes_back_as_itself() {
        let published = PublishedStalls::default();
        let stats =
            StallStats { stalls: 1, starvations: 2, stalled_ns: 3, longest_stall_ns: 1 << 40 };
        published.publish(&stats);
        assert_eq!(published.read(), stats);
    }
}
