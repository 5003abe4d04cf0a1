//! One bufferevent, borrowed from its core.
//!
//! Owns nothing. Every command goes to the state machine in `core-buf` or to the core's table of
//! groups; when the borrow ends the core looks at the stream again and queues what it has to do,
//! so nothing an application does here needs a second call to take effect.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use core_buf::{Bufferevent, EventFlags, Filter, FlushMode, Suspend, Trigger};
use groups::Direction;

use crate::context::{Input, Output, lend};
use crate::filter::{FilterOptions, StackError, TakenByFilter};
use crate::handler::Handler;
use crate::id::{BevId, Key};
use crate::pair::FlushError;
use crate::priority::Priority;
use crate::reactor::Core;
use crate::slot::{Stream, Transport};

mod limit;
#[cfg(feature = "tls")]
mod session;
mod socket;

/// How long a close waits for the peer to take what is left, unless told otherwise.
pub const DEFAULT_LINGER: Duration = Duration::from_secs(30);

/// A bufferevent of this core.
///
/// # Shape
/// Borrows the core; get it from [`Context::me`](crate::Context::me),
/// [`Context::get`](crate::Context::get) or [`Core::get`].
pub struct BevMut<'a> {
    core: &'a mut Core,
    key: Key,
}

impl<'a> BevMut<'a> {
    /// `key` names an occupied slot, which lives at least as long as the borrow of the core.
    pub(crate) fn new(core: &'a mut Core, key: Key) -> Self {
        Self { core, key }
    }

    /// The name of this bufferevent.
    pub fn id(&self) -> BevId {
        self.core.id(self.key)
    }

    /// The address of the peer, also through filters; `None` where there is no socket, or one of
    /// the Unix domain.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.socket().and_then(|(_, peer)| peer)
    }

    /// Our own address, also through filters; `None` where there is no socket, or one of the Unix
    /// domain.
    ///
    /// Costs a system call. Of a connection that is still being made it is what the kernel has
    /// chosen for it so far.
    pub fn local_addr(&mut self) -> Option<SocketAddr> {
        let (key, _) = self.socket()?;
        self.core.driver.local_addr(key).ok()
    }

    /// The other end, if this is an end of a pair and the other has not been closed.
    pub fn partner(&self) -> Option<BevId> {
        self.core.partner(self.key)
    }

    /// Moves on what waits in a direction, without waiting for what usually holds it back.
    ///
    /// On a pair, [`Normal`](FlushMode::Normal) and [`Flush`](FlushMode::Flush) take what is in the
    /// writing end's output now to the reading end's input, past the marks of both and even if they
    /// are disabled, though not past limits: what has to wait for tokens follows when they come.
    /// Flushing reading moves what the partner has written. [`Finished`](FlushMode::Finished) also
    /// tells the partner when that has happened, by an EOF event with READING if this end flushed
    /// writing, else WRITING; it ends nothing, and either end may write on.
    ///
    /// On a socket it tries the operation once more. Over a filter its function is called at least
    /// once in that mode, past marks though not past limits, soon after this call; then the flush
    /// goes on below. Flushing reading begins at the bottom, so that all there is comes up.
    ///
    /// # Errors
    /// The other end of the pair is gone.
    pub fn flush(&mut self, direction: Direction, mode: FlushMode) -> Result<(), FlushError> {
        self.core.flush(self.key, direction, mode)
    }

    /// The core it lives on: a factory connects onwards, sets timers or listens by it.
    pub fn core(&mut self) -> &mut Core {
        self.core
    }

    /// The bytes that have arrived.
    pub fn input(&mut self) -> Input<'_> {
        self.buffers().0
    }

    /// The bytes that wait to be written.
    pub fn output(&mut self) -> Output<'_> {
        self.buffers().1
    }

    /// Both buffers, the input first.
    pub fn buffers(&mut self) -> (Input<'_>, Output<'_>) {
        lend(self.bev())
    }

    /// Lets a direction run that is not over; both do from the start.
    ///
    /// Enabling writing with nothing to write triggers one write callback.
    pub fn enable(&mut self, direction: Direction) {
        let now = self.core.now;
        self.bev().enable(now, direction);
    }

    /// Stops a direction until it is enabled again; costs no system call.
    pub fn disable(&mut self, direction: Direction) {
        let now = self.core.now;
        self.bev().disable(now, direction);
    }

    /// Whether a direction is enabled and not over.
    pub fn is_enabled(&self, direction: Direction) -> bool {
        self.look().bev.is_enabled(direction)
    }

    /// Whether the connection is still being made, here or in any layer below: the socket's, or a
    /// handshake.
    pub fn is_connecting(&self) -> bool {
        let mut next = Some(self.key);
        while let Some(stream) = next.and_then(|key| self.core.slots.look(key)) {
            if stream.bev.is_connecting() {
                return true;
            }
            next = stream.transport.lower();
        }
        false
    }

    /// Why a direction stands still; empty if it does not.
    pub fn suspended(&self, direction: Direction) -> Suspend {
        self.look().bev.suspended(direction)
    }

    /// Sets the read marks in bytes: the callback waits for `low`, reading rests at `high` (0:
    /// never). Of a bufferevent below a filter or session only `high` counts.
    pub fn set_read_watermark(&mut self, low: usize, high: usize) {
        self.bev().set_read_watermark(low, high);
    }

    /// The read marks in bytes, low and high.
    pub fn read_watermark(&self) -> (usize, usize) {
        self.look().bev.read_watermark()
    }

    /// Sets the write marks in bytes: the callback runs when the output has drained to `low`; a
    /// [`HIGH_WATER`](EventFlags::HIGH_WATER) event comes when it has grown to `high` (0: never).
    ///
    /// For whoever has bytes from elsewhere: stop on the event, go on in the callback. The event
    /// comes once, and again only after the output has been at `low` or below. It stops nobody by
    /// itself; a producer within a loop asks [`Output::room`]. For output that answers what the
    /// peer sends [`set_max_output`] does: it stops reading from that peer and asks no handler.
    ///
    /// A filter over this bufferevent puts out no more than fits below `high`; its handler hears of
    /// the marks of the topmost. A `high` that is not above `low` is `low + 1`.
    ///
    /// [`set_max_output`]: Self::set_max_output
    pub fn set_write_watermark(&mut self, low: usize, high: usize) {
        self.bev().set_write_watermark(low, high);
    }

    /// The write marks in bytes, low and high; a high mark of 0 is none.
    pub fn write_watermark(&self) -> (usize, usize) {
        self.look().bev.write_watermark()
    }

    /// Sets how many bytes of output may wait before reading rests. Default 1 MiB.
    pub fn set_max_output(&mut self, bytes: usize) {
        self.bev().set_max_output(bytes);
    }

    /// How many bytes of output may wait before reading rests.
    pub fn max_output(&self) -> usize {
        self.look().bev.max_output()
    }

    /// Sets, or with `None` removes, the time the peer has to act; then a TIMEOUT event comes and
    /// the direction is disabled.
    pub fn set_timeout(&mut self, direction: Direction, timeout: Option<Duration>) {
        let now = self.core.now;
        self.bev().set_timeout(now, direction, timeout);
    }

    /// The time the peer has to act in a direction.
    pub fn timeout(&self, direction: Direction) -> Option<Duration> {
        self.look().bev.timeout(direction)
    }

    /// Sets the largest single read, in bytes; 0 or more than `isize::MAX` restores the default:
    /// 16384, and of pairs and filters `isize::MAX`, as they move segments.
    pub fn set_max_single_read(&mut self, bytes: usize) {
        self.bev().set_max_single(Direction::Read, bytes);
    }

    /// Sets the largest single write, as [`set_max_single_read`](Self::set_max_single_read).
    pub fn set_max_single_write(&mut self, bytes: usize) {
        self.bev().set_max_single(Direction::Write, bytes);
    }

    /// The largest single read, in bytes.
    pub fn max_single_read(&self) -> usize {
        self.look().bev.max_single(Direction::Read)
    }

    /// The largest single write, in bytes.
    pub fn max_single_write(&self) -> usize {
        self.look().bev.max_single(Direction::Write)
    }

    /// Sets how soon in a turn this bufferevent is served, from when it next has something to do.
    ///
    /// A stack of filters has one priority, whichever of its layers is told, as bytes climb through
    /// it in one go; each end of a pair has its own. It stays while what is left is written.
    ///
    /// # Examples
    /// ```
    /// use sluicegate::{Context, Handler, Priority};
    ///
    /// /// Is served before the bulk of the connections, once it has said that it is in charge.
    /// struct Control;
    /// impl Handler for Control {
    ///     fn on_read(&mut self, cx: &mut Context<'_>) {
    ///         assert_eq!(cx.me().priority(), Priority::Normal);
    ///         cx.me().set_priority(Priority::High);
    ///     }
    /// }
    /// ```
    pub fn set_priority(&mut self, priority: Priority) {
        self.core.set_priority(self.key, priority);
    }

    /// How soon in a turn this bufferevent is served.
    pub fn priority(&self) -> Priority {
        self.core.priority(self.key)
    }

    /// Replaces the handler; the old one is dropped, or at the end of its call if it is running.
    ///
    /// The new one is called for what happens from here on, not for input that is there already:
    /// [`trigger`](Self::trigger) calls it for that. The handler `()` stands for none: it discards
    /// what comes in and closes at the end.
    ///
    /// # Errors
    /// A filter stands over this bufferevent and has taken its handler: set that of the topmost.
    pub fn set_handler(&mut self, handler: impl Handler) -> Result<(), TakenByFilter> {
        self.keeps_handler()?;
        self.stream().set_handler(Some(Box::new(handler)));
        Ok(())
    }

    /// Has the handler called as if bytes had come in or gone out; soon after this call, like all
    /// callbacks, and once if that was due anyway.
    ///
    /// [`IfDue`](Trigger::IfDue) looks at the low marks first. For input that a handler has left
    /// there, or to begin writing. Nothing happens where this is closed already.
    ///
    /// # Errors
    /// A filter stands over this bufferevent and has taken its handler: trigger the topmost.
    pub fn trigger(&mut self, direction: Direction, trigger: Trigger) -> Result<(), TakenByFilter> {
        self.keeps_handler()?;
        self.bev().trigger(direction, trigger);
        Ok(())
    }

    /// Has the handler told an event that the application makes up, soon after this call and
    /// together with those that wait already.
    ///
    /// It is told and nothing else: no direction ends by it. A handler that does not override
    /// [`on_event`](Handler::on_event) closes on some, as on those of the world.
    ///
    /// # Errors
    /// A filter stands over this bufferevent and has taken its handler: trigger the topmost.
    pub fn trigger_event(&mut self, flags: EventFlags) -> Result<(), TakenByFilter> {
        self.keeps_handler()?;
        self.bev().trigger_event(flags, None);
        Ok(())
    }

    /// Puts a filter over this bufferevent; returns the name of the one that is on top then.
    ///
    /// As [`Core::filter`], where a factory or handler has this bufferevent in hand.
    ///
    /// # Errors
    /// It is closing, or has a filter over it.
    pub fn filter(
        &mut self,
        filter: impl Filter + 'static,
        options: FilterOptions,
    ) -> Result<BevId, StackError> {
        let id = self.id();
        self.core.filter(id, filter, options)
    }

    /// The bufferevent below, if this one stands over a filter.
    pub fn underlying(&self) -> Option<BevId> {
        self.look().transport.lower().map(|key| self.core.id(key))
    }

    /// The bufferevent above, if a filter stands over this one.
    pub fn above(&self) -> Option<BevId> {
        self.look().above.map(|key| self.core.id(key))
    }

    /// Ends the filter and gives the bufferevent below back, with the handler of this one, which is
    /// closed. Events that wait to be told come from the one below.
    ///
    /// `None` if it is not the topmost over a filter, is closing, has lost bytes that it was to
    /// write, or has ended writing behind bytes that have not passed.
    ///
    /// What has not passed the filter yet is lost on the way down and stays below on the way up: if
    /// there is some the handler is called for it. Wait for [`FLUSHED`](crate::EventFlags::FLUSHED)
    /// first if bytes matter.
    pub fn release(&mut self) -> Option<BevId> {
        self.core.release(self.key)
    }

    /// Ends writing, though not reading: what is in the output is written first, under its limits,
    /// then the peer reads the end of the stream.
    ///
    /// A socket sends its FIN, the partner of a pair gets EOF with READING, and a filter is
    /// finished before the bufferevent below ends writing in its turn. Where the connection is
    /// still to be made it is made first. The write timeout holds until everything is written;
    /// there are no more write callbacks. Nothing closes by this, not even when the peer has ended
    /// too: [`close`](Self::close) then waits for nothing.
    ///
    /// Output added from here on is discarded, and told by an ERROR event with WRITING whose error
    /// carries [`WriteEnded`](crate::WriteEnded). Enabling does not bring writing back and a second
    /// call changes nothing; but another [socket](Self::set_socket) can be written to again, once
    /// the peer of this one was told.
    ///
    /// Where a filter stands over this bufferevent, end the topmost: what the filter puts out
    /// after this is output added too late.
    pub fn shutdown_write(&mut self) {
        let now = self.core.now;
        self.bev().shutdown_write(now);
    }

    /// Stops reading, writes what is left and closes; after [`DEFAULT_LINGER`] at the latest.
    ///
    /// What the peer has not taken by then is discarded, and it sees a reset instead of a good end.
    /// So it may if it goes on sending: the kernel answers what nobody will read with a reset.
    /// Output added to a connection that is closed already is discarded in the same way.
    pub fn close(&mut self) {
        self.close_within(DEFAULT_LINGER);
    }

    /// As [`close`](Self::close), with another deadline for what is left.
    pub fn close_within(&mut self, linger: Duration) {
        let until = self.core.driver.now() + linger;
        self.bev().close(until);
    }

    /// Closes at once; what was not written is discarded, and then the peer sees a reset.
    pub fn close_now(&mut self) {
        self.bev().close_now();
    }

    /// The socket at the bottom, where there is one: its key and the peer's address.
    fn socket(&self) -> Option<(Key, Option<SocketAddr>)> {
        let key = self.core.bottom(self.key);
        match &self.core.slots.look(key)?.transport {
            Transport::Socket { peer } => Some((key, *peer)),
            _ => None,
        }
    }

    /// Whether its handler stands here and not over a filter.
    fn keeps_handler(&self) -> Result<(), TakenByFilter> {
        match self.look().above {
            None => Ok(()),
            Some(_) => Err(TakenByFilter(self.core.id(self.core.top(self.key)))),
        }
    }

    fn stream(&mut self) -> &mut Stream {
        self.core.slots.stream(self.key).expect("slots are given up between turns only")
    }

    fn look(&self) -> &Stream {
        self.core.slots.look(self.key).expect("slots are given up between turns only")
    }

    fn bev(&mut self) -> &mut Bufferevent {
        &mut self.stream().bev
    }
}

impl Drop for BevMut<'_> {
    fn drop(&mut self) {
        self.core.handle_touched(self.key);
    }
}

impl fmt::Debug for BevMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BevMut").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// Two different bufferevents of this core.
///
/// # Shape
/// Borrows the core; get it from [`Context::two`](crate::Context::two) or [`Core::two`].
pub struct Two<'a> {
    core: &'a mut Core,
    keys: (Key, Key),
}

impl<'a> Two<'a> {
    /// `keys` name two occupied slots, which live at least as long as the borrow of the core.
    pub(crate) fn new(core: &'a mut Core, keys: (Key, Key)) -> Self {
        Self { core, keys }
    }

    /// The first of them.
    pub fn first(&mut self) -> BevMut<'_> {
        BevMut::new(self.core, self.keys.0)
    }

    /// The second of them.
    pub fn second(&mut self) -> BevMut<'_> {
        BevMut::new(self.core, self.keys.1)
    }

    /// The buffers of both at once: of the first, then of the second, each the input first.
    pub fn buffers(&mut self) -> ((Input<'_>, Output<'_>), (Input<'_>, Output<'_>)) {
        let streams = self.core.slots.two_streams(self.keys.0, self.keys.1);
        let Some((first, second)) = streams else {
            unreachable!("slots are given up between turns only")
        };
        (lend(&mut first.bev), lend(&mut second.bev))
    }
}

impl Drop for Two<'_> {
    fn drop(&mut self) {
        self.core.handle_touched(self.keys.0);
        self.core.handle_touched(self.keys.1);
    }
}

impl fmt::Debug for Two<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = (self.core.id(self.keys.0), self.core.id(self.keys.1));
        f.debug_struct("Two").field("names", &names).finish_non_exhaustive()
    }
}
