//! Connections on their way from one core to another, and why one cannot go or is not taken.
//!
//! Owns a connection while no core does: its socket, and each stream of its stack with the stage it
//! stands on and the group it is to be a member of. What a core does with one is in
//! `reactor/hand_off.rs`.
//!
//! Invariants: a connection is somewhere: on a core, in the hands of who detached it, in a message,
//! or in the error that gives it back; dropped on the way, or lost with a core that panics as it
//! takes it, it is closed, by a reset if something was still to be written, so that its peer cannot
//! take what it got for whole.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use core_buf::Bufferevent;
use groups::{NoSeat, Time};

use crate::balance::Place;
use crate::bev::BevMut;
use crate::filter::TakenByFilter;
use crate::group::Group;
use crate::handle::{Handle, Shared, Stopped};
use crate::handler::Handler;
use crate::id::BevId;
use crate::priority::Priority;
use crate::promise::{Pending, Promise};
use crate::reactor::{Make, Over};
use crate::socket::Socket;

/// A connection that no core owns, whole: see [`Core::detach`](crate::Core::detach).
///
/// # Shape
/// `Send`, a pointer. Dropped, it is closed; by a reset, if output or bytes in its filters have not
/// been written.
pub struct Detached(pub(crate) Box<Cargo>);

/// What a connection consists of.
pub(crate) struct Cargo {
    /// The socket and the address of the peer, if its kind has one; `None` of a connection that has
    /// yet to be made.
    pub(crate) link: Option<(Socket, Option<SocketAddr>)>,
    /// The streams of the stack, from the bottom up.
    pub(crate) layers: Vec<Layer>,
    pub(crate) priority: Priority,
    /// When it left its core.
    pub(crate) left_at: Time,
}

/// One stream of a stack.
pub(crate) struct Layer {
    pub(crate) bev: Bufferevent,
    /// What it stands on, which still names the stream below by its old name; `None` at the bottom.
    pub(crate) over: Option<Box<Over>>,
    /// Where it is to be a member, of which weight.
    pub(crate) member: Option<(Group, NonZeroU32)>,
}

impl Detached {
    /// The address of the peer; `None` of a connection that has yet to be made, or in the Unix
    /// domain.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.0.link.as_ref().and_then(|&(_, peer)| peer)
    }

    /// Has it be a member of no group where it arrives, as on a core for which a group has no seat.
    pub fn leave_groups(&mut self) {
        for layer in &mut self.0.layers {
            layer.member = None;
        }
    }
}

impl Drop for Cargo {
    fn drop(&mut self) {
        let lacks = |layer: &Layer| layer.bev.holds_output() || layer.bev.is_truncated();
        let is_cut = self.layers.iter().any(lacks);
        if let Some((socket, _)) = self.link.take().filter(|_| is_cut) {
            socket.abort();
        }
    }
}

impl fmt::Debug for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detached")
            .field("peer", &self.peer_addr())
            .field("layers", &self.0.layers.len())
            .finish_non_exhaustive()
    }
}

/// Why a connection cannot leave its core.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DetachError {
    /// It is closed or closing, or what it stands on is: detach before.
    #[error("{0} is closed or closing: detach a connection before it ends")]
    NotOpen(BevId),
    /// It lives on another core: detach it there, by [`Handle::submit_to`].
    #[error("{id} lives on core {core}, not here: detach it there, by `submit_to`")]
    Elsewhere {
        /// Its name.
        id: BevId,
        /// The core of that name.
        core: usize,
    },
    /// Its connection is still being made: wait for CONNECTED.
    #[error("the connection is still being made: wait for CONNECTED")]
    Connecting,
    /// It is an end of a pair, or stands on one, and what joins the two cannot move: make the pair
    /// where its ends are to live, by [`Handle::pair`].
    #[error("an end of a pair cannot move: make the pair across the cores, by `Handle::pair`")]
    InMemory,
    /// A filter stands over it: detach the topmost, and all below goes with it.
    #[error(transparent)]
    Taken(#[from] TakenByFilter),
    /// The core shuts down and drains what it has: let it.
    #[error("core {core} is shutting down and drains its connections itself")]
    Draining {
        /// The core.
        core: usize,
    },
    /// The core cannot let go of the socket; it stays.
    #[error("the core cannot let go of the socket: {0}")]
    Driver(#[source] io::Error),
}

/// Why a core has not taken a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachRefusal {
    /// The core has stopped or ends at once: take another.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A group it is a member of has no seat for that core: take one that has, build the group with
    /// more `seats`, or call [`Detached::leave_groups`].
    #[error(transparent)]
    NoSeat(#[from] NoSeat),
    /// The core cannot use the socket: it has no memory left, or the socket is of another kind, as
    /// a simulated one is for real cores.
    #[error("the core cannot wait for this socket: {0}")]
    Driver(#[source] io::Error),
}

/// A core has not taken a connection, which comes back as it was.
#[derive(Debug, thiserror::Error)]
#[error("the connection was not attached and is given back: {reason}")]
pub struct AttachError {
    /// Why.
    #[source]
    pub reason: AttachRefusal,
    /// The connection.
    pub detached: Detached,
}

/// Why a connection that was sent to a core is not there.
#[derive(Debug, thiserror::Error)]
pub enum NotAttached {
    /// The core has not taken it: attach it elsewhere.
    #[error(transparent)]
    Refused(#[from] AttachError),
    /// Something panicked while the core took it, which has closed it with all that was on it.
    #[error("the connection is lost: core {core} panicked while it took it, and has closed it")]
    Lost {
        /// The core.
        core: usize,
    },
}

/// The name of a connection on the core that it was sent to, once it has arrived; or the connection
/// itself, if it was refused.
///
/// # Shape
/// `Send`. Dropping it changes nothing for a connection that is taken; one that is refused is
/// dropped with it.
#[derive(Debug)]
#[must_use = "a connection that is refused comes back by this, and is closed if nobody asks"]
pub struct PendingAttach(Pending<Answer>);

type Answer = Result<BevId, NotAttached>;

impl PendingAttach {
    /// Waits for the answer. Not for code that runs on a core, which would wait for itself.
    ///
    /// # Errors
    /// The core has refused the connection, or has lost it by a panic.
    pub fn wait(self) -> Result<BevId, NotAttached> {
        self.0.wait(Option::take)
    }

    /// The answer, or this again while there is none.
    ///
    /// # Errors
    /// There is no answer yet: ask again later.
    pub fn try_wait(self) -> Result<Result<BevId, NotAttached>, Self> {
        self.0.look(Option::take).ok_or(self)
    }
}

/// Answers for a connection that is sent to a core: with its name there, or dropped, with itself.
struct Journey {
    core: usize,
    /// Counts for the core, unless that takes no more from others and is only asked to. Given back
    /// before the answer, as whoever hears that may look.
    place: Option<Place>,
    /// Holds the connection.
    promise: Promise<Answer>,
}

impl Journey {
    fn begin(
        shared: &Arc<Shared>,
        core: usize,
        detached: Detached,
    ) -> Result<(PendingAttach, Self), AttachError> {
        let refused = |detached| AttachError { reason: Stopped { core }.into(), detached };
        if core >= shared.core_count() {
            return Err(refused(detached));
        }
        let (pending, promise) = Promise::new(Err(refused(detached).into()));
        let place = Place::take(shared, core);
        Ok((PendingAttach(pending), Self { core, place, promise }))
    }

    /// Lets `attach` have the connection and passes on what it says.
    fn end(mut self, attach: impl FnOnce(Detached) -> Result<BevId, AttachError>) {
        // Should attaching unwind.
        let lost = NotAttached::Lost { core: self.core };
        if let Some(Err(NotAttached::Refused(held))) = self.promise.fall_back_on(Err(lost)) {
            let answer = attach(held.detached).map_err(NotAttached::from);
            // It counts by itself now, or has not come.
            self.place = None;
            self.promise.keep(answer);
        }
    }
}

impl Handle {
    /// Sends a connection to a core, where it goes on with the handler that `make` makes there.
    ///
    /// As [`Core::attach`](crate::Core::attach), from anywhere. Never blocks; the [`PendingAttach`]
    /// tells its name on the new core, or gives it back if it is refused there. It counts for that
    /// core at once, for listeners that choose where the next connection goes.
    ///
    /// # Errors
    /// The core has stopped or there is none of that number: the connection comes back at once.
    ///
    /// # Examples
    /// A connection that begins as an echo moves on when it has said enough:
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    ///
    /// use sluicegate::{Context, Handler, Runtime, Shutdown};
    ///
    /// /// Echoes, and goes to core 1 with what it has counted.
    /// struct Roaming {
    ///     messages: usize,
    /// }
    /// impl Handler for Roaming {
    ///     fn on_read(&mut self, cx: &mut Context<'_>) {
    ///         let (mut input, mut output) = cx.buffers();
    ///         output.append(&mut input);
    ///         self.messages += 1;
    ///         if self.messages == 2 {
    ///             let messages = self.messages;
    ///             let detached = cx.detach().expect("it is open");
    ///             let handle = cx.core().handle();
    ///             let sent = handle.attach(1, detached, move |_| Roaming { messages });
    ///             drop(sent.expect("core 1 runs"));
    ///         }
    ///     }
    /// }
    ///
    /// let mut runtime = Runtime::builder().cores(2).build()?;
    /// let addr = runtime.listen("127.0.0.1:0", |_| Roaming { messages: 0 })?;
    /// let running = runtime.start()?;
    /// let mut client = TcpStream::connect(addr)?;
    /// for word in [b"here ", b"then ", b"there"] {
    ///     client.write_all(word)?;
    ///     let mut echo = [0; 5];
    ///     client.read_exact(&mut echo)?;
    ///     assert_eq!(&echo, word);
    /// }
    /// running.handle().shutdown(Shutdown::Drain);
    /// running.join();
    /// # Ok::<(), sluicegate::Error>(())
    /// ```
    pub fn attach<H: Handler>(
        &self,
        core: usize,
        detached: Detached,
        make: impl FnOnce(&mut BevMut<'_>) -> H + Send + 'static,
    ) -> Result<PendingAttach, AttachError> {
        let make: Make = Box::new(|conn| Box::new(make(conn)));
        let (pending, journey) = Journey::begin(&self.0, core, detached)?;
        // Where the core has stopped the task is dropped here, and the journey with it.
        let sent = self.submit_to(core, move |core| {
            journey.end(|detached| core.take_over(detached, make));
        });
        match sent {
            Ok(()) => Ok(pending),
            Err(_stopped) => match pending.wait() {
                Err(NotAttached::Refused(refused)) => Err(refused),
                other => unreachable!("nobody was asked to attach it: {other:?}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::sim::{Faults, Simulation};

    #[test]
    fn one_on_its_way_counts_where_it_goes_and_nowhere_else() {
        let mut sim = Simulation::with_cores(2, 1, Faults::none());
        let (socket, _peer) = sim.socket(([10, 0, 0, 9], 4000).into());
        let id = sim.core().adopt(socket, ()).expect("it is connected");
        let shared = sim.core().handle().0;
        let loads = || [0, 1].map(|core| shared.load(core).count());
        assert_eq!(loads(), [1, 0]);
        let detached = sim.core().detach(id).expect("it is open");
        assert_eq!(loads(), [0, 0]);
        let pending = sim.core().handle().attach(1, detached, |_| ()).expect("it runs");
        assert_eq!(loads(), [0, 1]);
        sim.run_for(Duration::from_millis(1));
        assert_eq!(loads(), [0, 1]);
        let id = pending.wait().expect("it was taken");
        let detached = sim.core_at(1).detach(id).expect("it is open");
        shared.mailbox(0).close(drop);
        let refused = sim.core().handle().attach(0, detached, |_| ()).expect_err("it is closed");
        assert_eq!((loads(), refused.detached.peer_addr().is_some()), ([0, 0], true));
    }
}
