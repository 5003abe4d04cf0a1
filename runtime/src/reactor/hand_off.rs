//! Connections from one core to another: taken apart here, put together there.
//!
//! Owns nothing: a connection on its way is a [`Detached`]. What leaves is the whole stack over a
//! socket, each stream with its buffers, limits and what it had still to tell; what stays is a
//! closed stream without a transport, for a handler that is being called and for whatever names the
//! slot in this turn. Everything else that knew of the stream, its timer, its seat in a group, its
//! listener, the figures, is told by [`Core::sign_off`].
//!
//! Invariants: a refusal changes nothing, here and there; on arrival both readiness bits are set,
//! as an edge told to the old core is not told to the new one; the stream waits in no queue then
//! but those it is put in.

use core_buf::{Readiness, Trigger};
use groups::Direction;

use super::Core;
use crate::bev::BevMut;
use crate::filter::TakenByFilter;
use crate::hand_off::{AttachError, AttachRefusal, Cargo, DetachError, Detached, Layer};
use crate::handle::Stopped;
use crate::handler::Handler;
use crate::id::{BevId, Key};
use crate::slot::Transport;

impl Core {
    /// Takes a connection off this core, whole, to be [attached](Self::attach) to another.
    ///
    /// Name it by the topmost of its stack: all filters go along, with what they remember, and of
    /// each layer both buffers; marks, switches and the largest single operations; its own limit,
    /// with what the bucket holds; a half close; events and callbacks that were not told yet.
    /// Timeouts have as much left on arrival as now. A member leaves its group here and joins it
    /// there with the same weight, behind those who wait. One without a socket can go too.
    ///
    /// This bufferevent is closed, and its name finds nothing any more. The handler is dropped, at
    /// the end of its call if it is running: what it wants to keep it moves out first, as in the
    /// example of [`Handle::attach`](crate::Handle::attach).
    ///
    /// # Errors
    /// It is not open on this core, is still connecting, is an end of a pair or has a filter over
    /// it, or the core is shutting down: nothing has changed.
    ///
    /// Source: libevent 2.1.12 `bufferevent_base_set`. Differs: there only a socket that has not
    /// been used yet; here one that lives, with all that belongs to it.
    pub fn detach(&mut self, id: BevId) -> Result<Detached, DetachError> {
        let keys = self.movable(id)?;
        let bottom = keys[keys.len() - 1];
        let link = match self.slots.look(bottom).map(|stream| &stream.transport) {
            Some(&Transport::Socket { peer }) => {
                Some((self.driver.detach(bottom).map_err(DetachError::Driver)?, peer))
            }
            _ => None,
        };
        let (priority, left_at) = (self.priority(id.key), self.driver.now());
        let layers = keys.into_iter().rev().filter_map(|key| self.lift_out(key)).collect();
        self.stats.handed_off += 1;
        Ok(Detached(Box::new(Cargo { link, layers, priority, left_at })))
    }

    /// Takes over a connection that another core, or this one, has detached; returns its new name.
    ///
    /// `handler` is told what was not told before and, if there is input at its low mark, that it
    /// can be read. What the peer sent meanwhile is read now. On a core that drains it is told so.
    ///
    /// # Errors
    /// A group of it has no seat for this core, or the core ends or has no use for its socket: the
    /// connection comes back as it was.
    ///
    /// # Examples
    /// The busiest connection of this core goes to the core that has the fewest:
    /// ```
    /// use std::cell::RefCell;
    /// use std::collections::HashMap;
    /// use std::rc::Rc;
    ///
    /// use sluicegate::sim::{Faults, Simulation};
    /// use sluicegate::{BevId, Context, Core, Handler};
    ///
    /// /// Bytes of each connection since the last look.
    /// type Traffic = Rc<RefCell<HashMap<BevId, usize>>>;
    ///
    /// #[derive(Default)]
    /// struct Echo(Traffic);
    /// impl Handler for Echo {
    ///     fn on_read(&mut self, cx: &mut Context<'_>) {
    ///         *self.0.borrow_mut().entry(cx.id()).or_default() += cx.buffers().0.len();
    ///         let (mut input, mut output) = cx.buffers();
    ///         output.append(&mut input);
    ///     }
    /// }
    ///
    /// /// To be called now and then, as by a timer.
    /// fn level_out(core: &mut Core, traffic: &Traffic) {
    ///     let loads = core.handle().stats();
    ///     let (to, load) = loads.iter().enumerate().min_by_key(|(_, it)| it.connections).unwrap();
    ///     let spare = loads[core.index()].connections.saturating_sub(load.connections) > 1;
    ///     let busiest = traffic.borrow_mut().drain().max_by_key(|&(_, bytes)| bytes);
    ///     let Some((id, _)) = busiest.filter(|_| spare) else { return };
    ///     // One that has closed meanwhile or is closing stays where it is.
    ///     let Ok(detached) = core.detach(id) else { return };
    ///     // There it counts for that core. Should it be refused there it is closed.
    ///     match core.handle().attach(to, detached, |_| Echo::default()) {
    ///         Ok(pending) => drop(pending),
    ///         Err(stopped) => {
    ///             let back = core.attach(stopped.detached, Echo(traffic.clone()));
    ///             back.expect("it has just left here");
    ///         }
    ///     }
    /// }
    ///
    /// let mut sim = Simulation::with_cores(2, 1, Faults::none());
    /// let traffic = Traffic::default();
    /// let peers = [4000, 4001].map(|port| {
    ///     let (socket, peer) = sim.socket(([10, 0, 0, 9], port).into());
    ///     sim.core().adopt(socket, Echo(traffic.clone())).expect("it is connected");
    ///     peer
    /// });
    /// sim.write(peers[1], b"busy");
    /// sim.run_for(std::time::Duration::from_millis(1));
    /// level_out(sim.core(), &traffic);
    /// sim.run_for(std::time::Duration::from_millis(1));
    /// let connections = [0, 1].map(|core| sim.core_at(core).stats().connections);
    /// assert_eq!((connections, sim.read(peers[1])), ([1, 1], b"busy".to_vec()));
    /// ```
    pub fn attach(
        &mut self,
        detached: Detached,
        handler: impl Handler,
    ) -> Result<BevId, AttachError> {
        self.take_over(detached, |_| Box::new(handler))
    }

    /// Takes a connection over with the handler that `make` makes.
    pub(crate) fn take_over(
        &mut self,
        mut detached: Detached,
        make: impl FnOnce(&mut BevMut<'_>) -> Box<dyn Handler>,
    ) -> Result<BevId, AttachError> {
        let cargo = &mut *detached.0;
        let keys: Vec<Key> = cargo.layers.iter().map(|_| self.slots.reserve()).collect();
        let bottom = match self.prepare(&keys, cargo) {
            Ok(bottom) => bottom,
            Err(reason) => {
                self.take_back_seats(cargo);
                keys.into_iter().for_each(|key| self.slots.unreserve(key));
                return Err(AttachError { reason, detached });
            }
        };
        let top = keys[keys.len() - 1];
        self.put_together(&keys, cargo, bottom);
        self.set_priority(top, cargo.priority);
        self.stats.taken_over += 1;
        // Each layer may have something of its own to do: wait for tokens, pass a flush on.
        keys.into_iter().for_each(|key| self.handle_step(key));
        self.furnish(top, make);
        if let Some(stream) = self.slots.stream(top)
            && !stream.bev.input().is_empty()
        {
            // Whoever was called for what is there has gone.
            stream.bev.trigger(Direction::Read, Trigger::IfDue);
        }
        self.update(top);
        Ok(self.id(top))
    }

    /// The streams of a stack that may leave, from the top down.
    fn movable(&self, id: BevId) -> Result<Vec<Key>, DetachError> {
        if id.core() != self.index() {
            return Err(DetachError::Elsewhere { id, core: id.core() });
        }
        let mut keys = Vec::new();
        let mut next = Some(id.key);
        while let Some(key) = next {
            let stream = self.slots.look(key).filter(|stream| !stream.bev.is_closing());
            let Some(stream) = stream else { return Err(DetachError::NotOpen(self.id(key))) };
            if keys.is_empty() && stream.above.is_some() {
                return Err(TakenByFilter(self.id(self.top(key))).into());
            }
            match stream.transport {
                Transport::Pair(_) => return Err(DetachError::InMemory),
                Transport::Dialing(_) => return Err(DetachError::Connecting),
                _ if stream.bev.is_connecting() => return Err(DetachError::Connecting),
                _ => {}
            }
            keys.push(key);
            next = stream.transport.lower();
        }
        if self.drain.has_begun() {
            return Err(DetachError::Draining { core: self.index() });
        }
        Ok(keys)
    }

    /// Takes one stream out of its slot, which keeps a closed one until the turn is over.
    fn lift_out(&mut self, key: Key) -> Option<Layer> {
        let now = self.now;
        let membership = self.slots.look(key)?.bev.membership();
        let member = membership.and_then(|membership| self.shards.standing(membership));
        let stream = self.slots.stream(key)?;
        let transport = std::mem::replace(&mut stream.transport, Transport::Gone);
        stream.above = None;
        let ties = stream.untie();
        let bev = stream.bev.depart(now);
        self.sign_off(&transport, ties);
        self.update(key);
        let over = match transport {
            Transport::Stage(over) => Some(over),
            _ => None,
        };
        Some(Layer { bev, over, member })
    }

    /// Makes a connection at home here, but for its slots: what of it may fail. Returns what it
    /// stands on.
    fn prepare(&mut self, keys: &[Key], cargo: &mut Cargo) -> Result<Transport, AttachRefusal> {
        if self.refuses_streams() {
            return Err(Stopped { core: self.index() }.into());
        }
        for (&key, layer) in keys.iter().zip(&mut cargo.layers) {
            if let Some((group, weight)) = &layer.member {
                let membership = self.seat(key, group, *weight)?;
                layer.bev.set_membership(membership);
            }
        }
        let Some((socket, peer)) = cargo.link.take() else {
            return Ok(Transport::Vacant);
        };
        self.driver.attach(keys[0], socket).map_err(|(socket, error)| {
            cargo.link = Some((socket, peer));
            AttachRefusal::Driver(error)
        })?;
        Ok(Transport::Socket { peer })
    }

    /// Gives back the seats that a connection was given which is refused after all.
    fn take_back_seats(&mut self, cargo: &mut Cargo) {
        for layer in &mut cargo.layers {
            if let Some(membership) = layer.bev.membership() {
                layer.bev.set_membership(None);
                self.shards.leave(membership, &mut self.wheel);
            }
        }
    }

    /// Puts each stream in its slot, over the one below it.
    fn put_together(&mut self, keys: &[Key], cargo: &mut Cargo, bottom: Transport) {
        let now = self.driver.now();
        let away = now.saturating_since(cargo.left_at);
        let (mut lower, mut bottom) = (keys[0], Some(bottom));
        for (&key, layer) in keys.iter().zip(cargo.layers.drain(..)) {
            let Layer { mut bev, over, .. } = layer;
            bev.arrive(now, away);
            let transport = match over {
                Some(mut over) => {
                    over.lower = lower;
                    over.between.stage().delay(away);
                    Transport::Stage(over)
                }
                None => bottom.take().unwrap_or(Transport::Vacant),
            };
            if matches!(transport, Transport::Socket { .. }) {
                bev.handle_ready(Readiness::READABLE | Readiness::WRITABLE);
            }
            self.occupy(key, bev, None, transport, None);
            if let Some(under) = self.slots.stream(lower).filter(|_| lower != key) {
                under.above = Some(key);
            }
            lower = key;
        }
    }
}
