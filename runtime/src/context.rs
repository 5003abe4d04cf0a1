//! What a handler sees while it is called.
//!
//! Owns nothing: a [`Context`] lends the core for the time of one call. [`Input`] only consumes and
//! [`Output`] only appends, which is libevent's freezing of buffers, in types.

use std::fmt;
use std::sync::Arc;

use core_buf::{Buffer, Filter};
use groups::Time;

use crate::bev::{BevMut, Two};
use crate::filter::{FilterOptions, StackError};
use crate::handler::Handler;
use crate::id::{BevId, Key};
use crate::pair::PairOptions;
use crate::reactor::Core;
use crate::slot::Stream;

/// The core and the connection a handler is called for.
///
/// # Shape
/// Borrows the core for one call; never leaves it.
pub struct Context<'a> {
    core: &'a mut Core,
    key: Key,
}

impl<'a> Context<'a> {
    pub(crate) fn new(core: &'a mut Core, key: Key) -> Self {
        Self { core, key }
    }

    /// The name of this connection.
    pub fn id(&self) -> BevId {
        self.core.id(self.key)
    }

    /// Both buffers of this connection, the input first.
    pub fn buffers(&mut self) -> (Input<'_>, Output<'_>) {
        let (input, output) = self.stream().bev.buffers();
        (Input(input), Output(output))
    }

    /// This connection.
    pub fn me(&mut self) -> BevMut<'_> {
        BevMut::new(self.core, self.key)
    }

    /// Another connection of this core, or this one, if it is open.
    pub fn get(&mut self, id: BevId) -> Option<BevMut<'_>> {
        self.core.get(id)
    }

    /// Two open connections of this core at once, for a proxy; `None` unless both are open and
    /// not the same.
    ///
    /// # Examples
    /// What bounds a connection's input is its own output, so a proxy has to stop reading while the
    /// other side is slow:
    /// ```
    /// use sluicegate::{BevId, Context, Direction, Handler};
    ///
    /// /// How much may wait for the slower side, in bytes.
    /// const WAITING: usize = 256 * 1024;
    ///
    /// /// Sends what comes in to the connection it is coupled with.
    /// struct Forward(BevId);
    /// impl Handler for Forward {
    ///     fn on_read(&mut self, cx: &mut Context<'_>) {
    ///         let me = cx.id();
    ///         if let Some(mut two) = cx.two(me, self.0) {
    ///             let ((mut input, _), (_, mut output)) = two.buffers();
    ///             output.append(&mut input);
    ///             if output.len() > WAITING {
    ///                 two.second().set_write_watermark(WAITING / 2);
    ///                 two.first().disable(Direction::Read);
    ///             }
    ///         } else {
    ///             cx.me().close();
    ///         }
    ///     }
    ///
    ///     fn on_write(&mut self, cx: &mut Context<'_>) {
    ///         if let Some(mut other) = cx.get(self.0) {
    ///             other.enable(Direction::Read);
    ///         }
    ///     }
    /// }
    /// ```
    pub fn two(&mut self, first: BevId, second: BevId) -> Option<Two<'_>> {
        self.core.two(first, second)
    }

    /// Joins two new bufferevents in memory: see [`Core::pair`].
    pub fn pair(
        &mut self,
        options: PairOptions,
        a: impl Handler,
        b: impl Handler,
    ) -> (BevId, BevId) {
        self.core.pair(options, a, b)
    }

    /// Puts a filter over a bufferevent of this core: see [`Core::filter`].
    ///
    /// # Errors
    /// `underlying` is not open on this core, or has a filter over it: use the topmost.
    pub fn filter(
        &mut self,
        underlying: BevId,
        filter: impl Filter + 'static,
        options: FilterOptions,
    ) -> Result<BevId, StackError> {
        self.core.filter(underlying, filter, options)
    }

    /// The core, to listen, connect, set timers or write to other cores.
    pub fn core(&mut self) -> &mut Core {
        self.core
    }

    /// The time of this turn.
    pub fn now(&self) -> Time {
        self.core.now()
    }

    fn stream(&mut self) -> &mut Stream {
        self.core.slots.stream(self.key).expect("a slot is not given up while its handler runs")
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// The bytes that have arrived; they can be looked at and consumed.
#[derive(Debug)]
pub struct Input<'a>(&'a mut Buffer);

impl<'a> Input<'a> {
    pub(crate) fn new(buffer: &'a mut Buffer) -> Self {
        Self(buffer)
    }

    /// Bytes that are there.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none are there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first contiguous piece; empty only if the whole input is.
    pub fn first(&self) -> &[u8] {
        self.0.first()
    }

    /// Copies bytes out from a position without consuming them; returns how many.
    pub fn copy_out(&self, offset: usize, out: &mut [u8]) -> usize {
        self.0.copy_out(offset, out)
    }

    /// Consumes up to `count` bytes; returns how many.
    pub fn drain(&mut self, count: usize) -> usize {
        self.0.drain(count)
    }

    /// Consumes bytes into `out`; returns how many.
    pub fn remove(&mut self, out: &mut [u8]) -> usize {
        self.0.remove(out)
    }

    /// Moves up to `count` bytes to an output, whole segments by reference; returns how many.
    pub fn move_to(&mut self, output: &mut Output<'_>, count: usize) -> usize {
        self.0.move_to(output.0, count)
    }

    /// Moves up to `count` bytes to a buffer, whole segments by reference; returns how many.
    pub fn move_to_buffer(&mut self, target: &mut Buffer, count: usize) -> usize {
        self.0.move_to(target, count)
    }
}

/// The bytes that wait to be written; more can be appended.
#[derive(Debug)]
pub struct Output<'a>(&'a mut Buffer);

impl<'a> Output<'a> {
    pub(crate) fn new(buffer: &'a mut Buffer) -> Self {
        Self(buffer)
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Moves a whole input here: segments, no copy.
    pub fn append(&mut self, input: &mut Input<'_>) {
        self.0.append(input.0);
    }

    /// Moves a whole buffer here: segments, no copy.
    pub fn append_buffer(&mut self, buffer: &mut Buffer) {
        self.0.append(buffer);
    }

    /// Appends a copy of `bytes`.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.add(bytes);
    }

    /// Appends shared bytes by reference: they are not copied and freed with their last reference.
    pub fn add_shared(&mut self, bytes: Arc<[u8]>) {
        self.0.add_shared(bytes);
    }
}
