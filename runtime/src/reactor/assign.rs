//! The way of an accepted connection to the core it lives on.
//!
//! Owns what is between accepting and the factory, which runs on the final core: the choice by
//! `balance`, the message that hands a socket over, and the connection for which no core has room,
//! of which a listener holds one at most. A core keeps what its mode makes it keep, and what it
//! chooses to keep of a listener without a limit, with the very calls of a core that is alone.
//!
//! Invariants: a connection counts for its core before the message is sent, so a core in its drain
//! knows that it is on its way and waits for it, up to the deadline; one whose core has gone comes
//! back and stays; a listener that rests for want of room is told when there is some: by the
//! message sent after the count went down from the limit, which it gets after having seen that.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use core_buf::Bufferevent;

use super::{Core, Factory};
use crate::balance::Place;
use crate::handle::{Message, Shared};
use crate::id::Key;
use crate::listen::Common;
use crate::slot::{Listener, Transport};
use crate::socket::Socket;
use crate::watchdog::Label;

/// An accepted socket that stands under no key yet.
#[derive(Debug)]
pub(crate) struct Accepted {
    socket: Socket,
    /// `None` in the Unix domain.
    peer: Option<SocketAddr>,
}

/// An accepted connection on its way to another core.
pub(crate) struct HandOver {
    accepted: Accepted,
    ticket: Ticket,
    factory: Factory,
    /// The core that has accepted it.
    from: u16,
}

/// The place of a connection on a core that has not got it yet; given back when dropped.
struct Ticket {
    place: Place,
    common: Arc<Common>,
    arrived: bool,
}

impl Ticket {
    /// Takes a place on a core, unless it has none left or takes no more from others.
    fn take(shared: &Arc<Shared>, common: &Arc<Common>, core: usize) -> Option<Self> {
        if !common.tally.try_add(core) {
            return None;
        }
        // The load last: one that is not counted after all would keep the core's drain waiting.
        let Some(place) = Place::take(shared, core) else {
            common.tally.sub(core);
            return None;
        };
        Some(Self { place, common: common.clone(), arrived: false })
    }

    /// The connection has arrived and counts by itself for its core; for the listener it goes on
    /// counting without a gap.
    fn redeem(mut self) {
        self.arrived = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.arrived {
            self.common.tally.sub(self.place.core());
        }
    }
}

/// How to accept the next connection.
enum Aim {
    /// Right under a key of this core.
    Here,
    /// Loose, for another core.
    There(usize),
    /// Loose, for whichever core is chosen when it is known who comes, or has room then.
    Anywhere,
    /// Not now: no core has room.
    Nowhere,
}

impl Core {
    /// Accepts one connection and sends it where it belongs; rests if no core has room.
    ///
    /// # Errors
    /// Those of accepting.
    pub(super) fn accept_one(&mut self, listener: Key) -> io::Result<()> {
        let chosen = match self.aim(listener) {
            Aim::Here => return self.accept_here(listener),
            Aim::There(core) => Some(core),
            Aim::Anywhere => None,
            Aim::Nowhere => {
                if let Some(entry) = self.slots.listener(listener) {
                    entry.resting = true;
                }
                return Ok(());
            }
        };
        let (socket, peer) = self.driver.accept_loose(listener)?;
        self.stats.accepted += 1;
        self.assign(listener, Accepted { socket, peer }, chosen);
        Ok(())
    }

    fn aim(&mut self, listener: Key) -> Aim {
        let (own, shared) = (self.index(), &self.shared);
        let Some(entry) = self.slots.listener(listener) else { return Aim::Nowhere };
        if entry.mode.keeps() {
            return if entry.common.tally.has_room(own) { Aim::Here } else { Aim::Nowhere };
        }
        if entry.mode.is_balanced() && !entry.common.tally.is_limited() {
            return match choose(shared, entry, own, None) {
                Some(core) if core != own => Aim::There(core),
                _ => Aim::Here,
            };
        }
        // Whose turn it is, or who comes: both are known only once somebody has come.
        let has_room = |core| look(shared, &entry.common, own, core).is_some();
        if (0..shared.core_count()).any(has_room) { Aim::Anywhere } else { Aim::Nowhere }
    }

    fn accept_here(&mut self, listener: Key) -> io::Result<()> {
        let key = self.slots.reserve();
        let accepted = self.driver.accept(listener, key).inspect_err(|_| {
            self.slots.unreserve(key);
        })?;
        self.stats.accepted += 1;
        let own = self.index();
        if let Some(entry) = self.slots.listener(listener) {
            entry.common.tally.add(own);
            let factory = entry.factory.clone();
            self.stats.accepts_kept += 1;
            match accepted {
                Ok(peer) => self.welcome(key, peer, Some(listener), &factory),
                Err(error) => {
                    self.lose(key, Some(listener));
                    self.rest_after_loss(Some(listener), &error);
                }
            }
        }
        Ok(())
    }

    /// Finds a core for an accepted connection; without one the listener holds it and rests.
    fn assign(&mut self, listener: Key, accepted: Accepted, mut chosen: Option<usize>) {
        let own = self.index();
        // A choice fails only where another core has been quicker.
        for _ in 0..=self.shared.core_count() {
            let Some(entry) = self.slots.listener(listener) else { return };
            let peer = accepted.peer;
            let choice = chosen.take().or_else(|| choose(&self.shared, entry, own, peer));
            let Some(core) = choice else {
                entry.resting = true;
                entry.waiting = Some(accepted);
                return;
            };
            let factory = entry.factory.clone();
            if core != own {
                if let Some(ticket) = Ticket::take(&self.shared, &entry.common, core) {
                    self.stats.accepts_handed_over += 1;
                    let hand_over = HandOver { accepted, ticket, factory, from: self.index };
                    let hand_over = Box::new(hand_over);
                    return self.outbox[core].push(Message::HandOver(hand_over));
                }
            } else if entry.common.tally.try_add(own) {
                self.stats.accepts_kept += 1;
                return self.house_or_rest(accepted, Some(listener), &factory);
            }
        }
        if let Some(entry) = self.slots.listener(listener) {
            entry.waiting = Some(accepted);
            self.look_again(listener);
        }
    }

    /// Places the connection that a listener holds, if it holds one and there is room.
    pub(super) fn assign_waiting(&mut self, listener: Key) {
        if let Some(accepted) = self.slots.listener(listener).and_then(|entry| entry.waiting.take())
        {
            self.assign(listener, accepted, None);
        }
    }

    /// Keeps the connection that a listener holds, whatever its limit says: the listener ends.
    pub(super) fn keep_waiting(&mut self, listener: Key) {
        let Some(entry) = self.slots.listener(listener) else { return };
        let factory = entry.factory.clone();
        if let Some(accepted) = entry.waiting.take() {
            self.stats.accepts_kept += 1;
            self.keep(accepted, Some(listener), &factory);
        }
    }

    /// A connection that another core has accepted comes to live here.
    pub(super) fn receive_connection(&mut self, hand_over: HandOver) {
        let HandOver { accepted, ticket, factory, from } = hand_over;
        self.stats.accepts_received += 1;
        let common = ticket.common.clone();
        let listener = self.part_in(&common);
        ticket.redeem();
        if let Err(error) = self.house(accepted, listener, &factory) {
            // It is the core that accepts which has to rest.
            let rest = move |core: &mut Self| {
                let listener = core.part_in(&common);
                core.rest_after_loss(listener, &error);
            };
            self.outbox[usize::from(from)].push(Message::Run(Box::new(rest)));
        }
    }

    /// The core that a connection was sent to has gone: it stays here.
    pub(super) fn take_back_connection(&mut self, hand_over: HandOver) {
        let HandOver { accepted, ticket, factory, .. } = hand_over;
        let listener = self.part_in(&ticket.common);
        self.keep(accepted, listener, &factory);
    }

    /// Has a connection live here, whatever the limit of its listener says.
    fn keep(&mut self, accepted: Accepted, listener: Option<Key>, factory: &Factory) {
        let own = self.index();
        if let Some(entry) = listener.and_then(|listener| self.slots.listener(listener)) {
            entry.common.tally.add(own);
        }
        self.house_or_rest(accepted, listener, factory);
    }

    fn house_or_rest(&mut self, accepted: Accepted, listener: Option<Key>, factory: &Factory) {
        if let Err(error) = self.house(accepted, listener, factory) {
            self.rest_after_loss(listener, &error);
        }
    }

    /// Makes a stream of an accepted socket that has been counted for its listener. One that the
    /// core cannot wait for is lost.
    fn house(
        &mut self,
        accepted: Accepted,
        listener: Option<Key>,
        factory: &Factory,
    ) -> io::Result<()> {
        let Accepted { socket, peer } = accepted;
        let key = self.slots.reserve();
        self.driver.attach(key, socket).map_err(|(_closed, error)| {
            self.lose(key, listener);
            error
        })?;
        self.welcome(key, peer, listener, factory);
        Ok(())
    }

    /// The core cannot wait for an accepted connection, which is closed.
    #[cold]
    fn lose(&mut self, key: Key, listener: Option<Key>) {
        self.slots.unreserve(key);
        self.stats.accept_errors += 1;
        if let Some(listener) = listener {
            self.count_departure(listener);
        }
    }

    /// An accepted connection was lost, here or on the core it was sent to: others would be too,
    /// and each with a line in the log.
    #[cold]
    fn rest_after_loss(&mut self, listener: Option<Key>, error: &io::Error) {
        match listener {
            // A core that ends accepts nobody, and one that has panicked calls nobody.
            Some(listener) if !self.refuses_streams() => self.back_off(listener, error),
            _ => tracing::warn!(%error, "an accepted connection is lost"),
        }
    }

    fn welcome(
        &mut self,
        key: Key,
        peer: Option<SocketAddr>,
        listener: Option<Key>,
        factory: &Factory,
    ) {
        let transport = Transport::Socket { peer };
        self.occupy(key, Bufferevent::connected(self.now), None, transport, listener);
        let entry = listener.and_then(|listener| self.slots.listener(listener));
        let label = entry.map_or(Label::OTHER, |entry| entry.label);
        if self.refuses_streams() {
            return self.turn_away(key, label);
        }
        self.pulse.beat(label);
        self.furnish(key, |conn| factory(conn));
        self.pulse.beat(Label::CORE);
    }

    /// A connection of a listener is gone.
    pub(super) fn count_departure(&mut self, listener: Key) {
        let own = self.index();
        let Some(entry) = self.slots.listener(listener) else { return };
        if !entry.common.tally.sub(own) {
            return;
        }
        // There was no room and now there is: whoever rests for want of it looks again.
        let (mode, common) = (entry.mode, entry.common.clone());
        if entry.resting {
            self.resume_accepting(listener);
        }
        if mode.keeps() {
            return;
        }
        let others =
            (0..self.shared.core_count()).filter(|&core| core != own && mode.accepts(core));
        for core in others {
            let common = common.clone();
            let resume = move |core: &mut Self| core.resume_listener(&common);
            self.outbox[core].push(Message::Run(Box::new(resume)));
        }
    }
}

fn choose(
    shared: &Shared,
    entry: &mut Listener,
    own: usize,
    peer: Option<SocketAddr>,
) -> Option<usize> {
    let common = &entry.common;
    let peer = peer.map(|peer| peer.ip());
    entry.chooser.choose(entry.mode, peer, |core| look(shared, common, own, core))
}

/// How many connections a core has, if it takes one more of a listener from core `own`.
fn look(shared: &Shared, common: &Common, own: usize, core: usize) -> Option<u64> {
    let load = shared.load(core);
    // Its own shutdown keeps a core from nothing that it has accepted itself.
    let count = if core == own { Some(load.count()) } else { load.open() };
    count.filter(|_| common.tally.has_room(core))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::listen::ListenOptions;
    use crate::sim::{Faults, Simulation};

    /// Has core 0 send a connection to core 1, whose end comes before the message does.
    fn bounced(max_connections: u32) -> (Simulation, crate::sim::Peer) {
        let mut sim = Simulation::with_cores(2, 1, Faults::none());
        let options = ListenOptions::new().max_connections(max_connections);
        let greets = |conn: &mut crate::BevMut<'_>| conn.output().add(b"welcome");
        let listener = sim.listen_with("10.0.0.1:80", options, greets).expect("it is free");
        let (socket, peer) = sim.socket(listener.local_addr());
        let core = sim.core();
        let key = core.listeners[0];
        let entry = core.slots.listener(key).expect("it listens");
        let (common, factory) = (entry.common.clone(), entry.factory.clone());
        let ticket = Ticket::take(&core.shared, &common, 1).expect("it takes more");
        let accepted = Accepted { socket, peer: Some(listener.local_addr()) };
        core.stats.accepts_handed_over += 1;
        let message = Message::HandOver(Box::new(HandOver { accepted, ticket, factory, from: 0 }));
        core.outbox[1].push(message);
        core.shared.mailbox(1).close(drop);
        (sim, peer)
    }

    #[test]
    fn a_connection_whose_core_has_gone_stays_where_it_was_accepted() {
        for max_connections in [1, 9] {
            let (mut sim, peer) = bounced(max_connections);
            sim.run_for(Duration::from_millis(1));
            assert_eq!(sim.read(peer), b"welcome");
            let stats = sim.core().stats();
            assert_eq!((stats.accepts_kept, stats.accepts_handed_over), (0, 1), "none goes back");
            let loads = [0, 1].map(|core| sim.core().shared.load(core).count());
            assert_eq!(loads, [1, 0], "it counts where it lives");
            sim.close(peer);
            sim.run_for(Duration::from_millis(1));
            assert_eq!(sim.core().shared.load(0).count(), 0);
        }
    }

    /// Has core 0 count a connection for core 1 that it has yet to send.
    fn on_its_way() -> (Simulation, Box<HandOver>, crate::sim::Peer) {
        let mut sim = Simulation::with_cores(2, 1, Faults::none());
        let greets = |conn: &mut crate::BevMut<'_>| conn.output().add(b"welcome");
        let listener = sim.listen_with("10.0.0.1:80", ListenOptions::new(), greets);
        let addr = listener.expect("it is free").local_addr();
        let (socket, peer) = sim.socket(addr);
        let core = sim.core();
        let entry = core.slots.listener(core.listeners[0]).expect("it listens");
        let (common, factory) = (entry.common.clone(), entry.factory.clone());
        let ticket = Ticket::take(&core.shared, &common, 1).expect("it takes more");
        let accepted = Accepted { socket, peer: Some(addr) };
        (sim, Box::new(HandOver { accepted, ticket, factory, from: 0 }), peer)
    }

    #[test]
    fn a_core_in_its_drain_waits_for_what_is_on_its_way() {
        let (mut sim, hand_over, peer) = on_its_way();
        sim.core().handle().shutdown(crate::Shutdown::Drain);
        sim.run_for(Duration::from_millis(1));
        assert!(sim.core_at(0).drain.is_over() && !sim.core_at(1).drain.is_over());
        let shared = sim.core().shared.clone();
        assert!(shared.mailbox(1).send(Message::HandOver(hand_over)).is_ok(), "it takes mail");
        assert!(sim.run_until(Duration::from_secs(1), |sim| sim.is_stopped()));
        sim.run_for(Duration::from_millis(1));
        assert_eq!(sim.read(peer), b"welcome");
    }

    #[test]
    fn a_core_that_is_to_end_waits_for_nobody() {
        for now in [false, true] {
            let (mut sim, hand_over, _peer) = on_its_way();
            sim.core().handle().shutdown(crate::Shutdown::Drain);
            sim.run_for(Duration::from_millis(1));
            assert!(!sim.core_at(1).drain.is_over(), "a connection is on its way");
            let mut most = sim.core_at(1).drain.timeout + Duration::from_secs(1);
            if now {
                sim.core().handle().shutdown(crate::Shutdown::Now);
                most = Duration::from_millis(1);
            }
            assert!(sim.run_until(most, |sim| sim.is_stopped()), "now: {now}");
            assert!(sim.core().shared.mailbox(1).send(Message::HandOver(hand_over)).is_err());
        }
    }

    #[test]
    fn a_connection_that_comes_too_late_is_cut_and_reported() {
        let (mut sim, hand_over, peer) = on_its_way();
        let core = sim.core();
        core.handle().shutdown(crate::Shutdown::Now);
        assert!(core.shared.mailbox(1).send(Message::HandOver(hand_over)).is_ok());
        assert!(sim.run_until(Duration::from_secs(1), |sim| sim.is_stopped()));
        sim.run_for(Duration::from_millis(1));
        let end = sim.end_of(1).expect("it has ended");
        let left: Vec<_> = end.left.iter().map(|left| left.count).collect();
        assert_eq!((end.cut, end.drained, left), (1, 0, vec![1]));
        assert!(sim.is_reset(peer));
    }

    #[test]
    fn a_core_that_cannot_wait_for_what_it_accepts_rests() {
        let mut sim = Simulation::new(1);
        let listener = sim.listen_with("10.0.0.1:80", ListenOptions::new(), |_| ());
        let peer = Some(listener.expect("it is free").local_addr());
        let core = sim.core();
        let key = core.listeners[0];
        // It has no use for sockets of another network.
        let mut other = Simulation::new(1);
        for lost in 1..=3 {
            let (socket, _) = other.socket(([10, 0, 0, 9], 4000).into());
            core.assign(key, Accepted { socket, peer }, Some(0));
            let stats = core.stats();
            assert_eq!((stats.accept_errors, stats.accept_backoffs), (lost, 1), "one rest");
            assert!(!core.slots.listener(key).expect("it listens").accepts());
        }
        sim.run_for(Duration::from_millis(150));
        let core = sim.core();
        let entry = core.slots.listener(key).expect("it listens");
        assert!(entry.backs_off.is_none(), "the rest is over");
    }

    #[test]
    fn a_core_that_has_panicked_tells_nobody_of_what_it_loses() {
        let faults = Faults { register_errors: 1.0, ..Faults::none() };
        let mut sim = Simulation::with_faults(1, faults);
        let listener = sim.listen_with("10.0.0.1:80", ListenOptions::new(), |_| ());
        let listener = listener.expect("it is free");
        listener.on_error(|_, _| unreachable!("the core is not what it was"));
        let (socket, _peer) = sim.socket(listener.local_addr());
        let core = sim.core();
        let key = core.listeners[0];
        let held = Accepted { socket, peer: Some(listener.local_addr()) };
        core.slots.listener(key).expect("it listens").waiting = Some(held);
        core.abandon();
        let stats = core.stats();
        assert_eq!((stats.accept_errors, stats.accept_backoffs, stats.handler_panics), (1, 0, 0));
    }

    #[test]
    fn a_place_that_is_not_taken_is_given_back() {
        let (mut sim, _peer) = bounced(1);
        let core = sim.core();
        let common = core.slots.listener(core.listeners[0]).expect("it listens").common.clone();
        assert!(Ticket::take(&core.shared, &common, 1).is_none(), "one is on its way");
        core.outbox[1].clear();
        assert_eq!(core.shared.load(1).count(), 0);
        core.shared.load(1).close();
        assert!(Ticket::take(&core.shared, &common, 1).is_none(), "it takes no more");
        assert!(common.tally.has_room(1), "and nothing was counted");
    }
}
