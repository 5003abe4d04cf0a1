//! What an application does with a connection.
//!
//! Owns the trait only. The reactor takes a handler out of its slot, calls it with a
//! [`Context`], and puts it back if the connection still lives: `&mut self` and the core never
//! alias, so there is no cell to borrow twice and no lock. Calls are never nested: what a handler
//! does to its own or another connection is remembered and called later.

use core_buf::{Event, EventFlags};

use crate::context::Context;

/// The callbacks of one connection.
///
/// # Shape
/// Lives on one core, in the slot of its connection, and is dropped with it. Need not be `Send`.
///
/// # Examples
/// ```
/// use sluicegate::{Context, Handler};
///
/// struct Echo;
/// impl Handler for Echo {
///     fn on_read(&mut self, cx: &mut Context<'_>) {
///         let (mut input, mut output) = cx.buffers();
///         output.append(&mut input);
///     }
/// }
/// ```
pub trait Handler: 'static {
    /// New bytes are in the input, at least as many as the low mark asks for.
    ///
    /// What is left in the input stays; the call is not repeated before more arrives. An input that
    /// is not consumed grows with what the peer sends, unless
    /// [`set_read_watermark`](crate::BevMut::set_read_watermark) bounds it.
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }

    /// The output has drained to its low mark.
    fn on_write(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }

    /// Something else happened. Unless overridden, closes on EOF, ERROR and TIMEOUT.
    ///
    /// What is left is written first, unless it was writing that failed or timed out.
    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        let failed = event.flags.intersects(EventFlags::ERROR | EventFlags::TIMEOUT);
        if failed && event.flags.contains(EventFlags::WRITING) {
            cx.me().close_now();
        } else if failed || event.flags.contains(EventFlags::EOF) {
            cx.me().close();
        }
    }

    /// The core is shutting down. Unless overridden, closes, which writes what is left first.
    ///
    /// A handler that wants to finish first has until the drain's deadline.
    fn on_drain(&mut self, cx: &mut Context<'_>) {
        cx.me().close();
    }

    /// What to call this handler in reports: of stalls, panics, and who was left at a shutdown.
    ///
    /// Asked once, before the first of its callbacks. Unless overridden, the name of its type. A
    /// few kinds, not a name for each connection: a runtime tells 4,096 labels apart.
    fn label(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// A handler that discards what comes in.
impl Handler for () {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, _) = cx.buffers();
        input.drain(usize::MAX);
    }
}
