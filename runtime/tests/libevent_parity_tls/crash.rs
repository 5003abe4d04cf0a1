//! Two crashes that users of libevent reported with limits over TLS, and that no case of its suite
//! covers: each a scene in which it happened, here to be survived with every byte in its place.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use sluicegate::sim::{Faults, Simulation};
use sluicegate::tls::Charge;
use sluicegate::{
    BevId, BevMut, Context, Event, EventFlags, Group, Handler, ListenOptions, Suspend, TlsOptions,
};

use crate::rig::ends::settle;
use crate::rig::log::{Log, bytes};
use crate::rig::pattern;
use crate::rig::sim::{ADDR, LIMIT, per_second};
use crate::rig::tls::{Configs, HOST, VERSIONS};
use crate::{READ, TURNS};

/// What a client of the tests is to get.
#[derive(Debug, Default)]
struct Got {
    bytes: Vec<u8>,
    eof: bool,
    failed: bool,
}

/// Takes what comes, and closes at the end.
#[derive(Clone, Default)]
struct Taker(Rc<RefCell<Got>>);

impl Handler for Taker {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        let mut came = vec![0; me.input().len()];
        me.input().remove(&mut came);
        self.0.borrow_mut().bytes.extend(came);
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        if event.flags != EventFlags::CONNECTED {
            let mut got = self.0.borrow_mut();
            got.eof |= event.flags.contains(EventFlags::EOF);
            got.failed |= event.flags.contains(EventFlags::ERROR);
            cx.me().close();
        }
    }
}

/// Keeps what comes in its input.
struct Keep;

impl Handler for Keep {}

/// Connects so many clients, which take what comes.
fn clients(sim: &mut Simulation, configs: &Configs, count: usize) -> Vec<(BevId, Taker)> {
    let to = ADDR.parse().expect("an address");
    let connect = |_| {
        let (taker, options) = (Taker::default(), TlsOptions::new());
        let id = sim.core().tls_connect(to, HOST, &configs.client, options, taker.clone());
        (id.expect("it can be tried"), taker)
    };
    (0..count).map(connect).collect()
}

/// Whether a limit keeps a session from reading, be it there or at the socket below.
fn is_limited(sim: &mut Simulation, id: BevId) -> bool {
    let below = sim.core().get(id).expect("it is open").underlying().expect("a socket");
    [id, below].into_iter().any(|id| {
        let suspended = sim.core().get(id).expect("it is open").suspended(READ);
        suspended.intersects(Suspend::OWN_LIMIT | Suspend::GROUP_LIMIT)
    })
}

/// The assertion of libevent's #1440: two clients of a server with a read limit. One has used up
/// what there was when the other asks, and gets leave to read nothing.
#[test]
fn issue_1440_a_read_of_nothing_under_a_limit_over_tls() {
    const CLIENTS: usize = 2;
    const RATE: u64 = 100_000;
    // Far below a record, so that a grant ends within one, and often with nothing left.
    const BURST: u64 = 500;
    const SENT: usize = 100_000;
    for (version, charge, by_group) in VERSIONS
        .into_iter()
        .flat_map(|version| [Charge::Ciphertext, Charge::Plaintext].map(|it| (version, it)))
        .flat_map(|(version, charge)| [false, true].map(|it| (version, charge, it)))
    {
        let case = format!("{version:?} {charge:?}, by a group: {by_group}");
        let (mut sim, log) = (Simulation::with_faults(6, Faults::none()), Log::default());
        sim.observe(log.clone());
        let configs = Configs::new(version);
        let limit = per_second(RATE).with_burst(BURST).expect("valid");
        let group = Group::builder(limit.clone()).clock(sim.clock()).build().expect("valid");
        let (made, ids) = mpsc::channel();
        let (accepting, member_of) = (configs.server.clone(), group.clone());
        let options = TlsOptions::new().charge(charge).handshake_timeout(None);
        let factory = move |conn: &mut BevMut<'_>| {
            let id = conn.tls_accept(&accepting, options).expect("it has just been accepted");
            let mut top = conn.core().get(id).expect("it is open");
            match by_group {
                true => top.join(&member_of).expect("a seat"),
                false => top.set_rate_limit(Some(limit.clone())),
            }
            made.send(id).expect("the test waits");
            Keep
        };
        sim.core().listen(ADDR, ListenOptions::new(), factory).expect("it is free");
        for (id, _) in clients(&mut sim, &configs, CLIENTS) {
            sim.core().get(id).expect("it is open").output().add(&pattern(SENT));
        }
        let mut members = Vec::new();
        assert!(sim.run_until(LIMIT, |_| {
            members.extend(ids.try_iter());
            members.len() == CLIENTS
        }));
        let mut met = [false; CLIENTS];
        sim.run_until(LIMIT, |sim| {
            for (&id, met) in members.iter().zip(&mut met) {
                *met |= is_limited(sim, id);
            }
            met == [true; CLIENTS]
        });
        assert_eq!(met, [true; CLIENTS], "{case}: the limit was never met");
        // From here on nobody looks at them in a way that makes the core look too.
        let all = |sim: &Simulation| members.iter().all(|&id| sim.lengths(id) == Some((SENT, 0)));
        assert!(sim.run_until(LIMIT, |sim| all(sim)), "{case}: it stands still");
        let operations = log.of(READ);
        assert!(operations.iter().all(|it| it.bytes <= BURST), "{case}");
        let counted = bytes(&operations);
        assert!(counted >= (CLIENTS * SENT) as u64, "{case}: {counted} bytes");
        for id in members {
            let mut bev = sim.core().get(id).expect("it is open");
            assert!(bev.input().pull_up(SENT) == Some(&pattern(SENT)[..]), "{case}");
        }
    }
}

/// How a connection that waits for leave to write ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Close,
    CloseNow,
    LeavesAndCloses,
    UnlimitedAndCloses,
    ClientCloses,
    ClientVanishes,
}

impl End {
    const ALL: [Self; 6] = [
        Self::Close,
        Self::CloseNow,
        Self::LeavesAndCloses,
        Self::UnlimitedAndCloses,
        Self::ClientCloses,
        Self::ClientVanishes,
    ];

    /// Whether the client gets all that was written for it.
    fn is_whole(self) -> bool {
        matches!(self, Self::Close | Self::LeavesAndCloses | Self::UnlimitedAndCloses)
    }

    fn bring_about(self, sim: &mut Simulation, client: BevId, server: BevId) {
        match self {
            Self::ClientCloses => sim.core().get(client).expect("it is open").close(),
            Self::ClientVanishes => sim.core().get(client).expect("it is open").close_now(),
            Self::CloseNow => sim.core().get(server).expect("it is open").close_now(),
            Self::Close | Self::LeavesAndCloses | Self::UnlimitedAndCloses => {
                let mut bev = sim.core().get(server).expect("it is open");
                if self == Self::LeavesAndCloses {
                    bev.leave();
                }
                if self == Self::UnlimitedAndCloses {
                    bev.set_rate_limit(None);
                }
                bev.close();
            }
        }
    }
}

/// Bytes that wait to be written, as they were given and as records.
fn waits(sim: &mut Simulation, id: BevId) -> usize {
    let below = sim.core().get(id).expect("it is open").underlying().expect("a socket");
    [id, below].into_iter().filter_map(|id| Some(sim.lengths(id)?.1)).sum()
}

/// The memory corruption of libevent's #1439: a write limit over TLS, and connections that come and
/// go for hours. There a bufferevent that is being freed is woken once more, when tokens come.
#[test]
fn issue_1439_connections_end_while_a_write_limit_over_tls_holds_them() {
    const ANSWER: usize = 60_000;
    const ROUNDS: u64 = 12;
    for version in VERSIONS {
        let mut sim = Simulation::new(7);
        let configs = Configs::new(version);
        let limit = per_second(50_000).with_burst(2_000).expect("valid");
        let group = Group::builder(limit).clock(sim.clock()).build().expect("valid");
        let own = per_second(20_000).with_burst(1_000).expect("valid");
        let (made, ids) = mpsc::channel();
        let (accepting, member_of) = (configs.server.clone(), group.clone());
        let factory = move |conn: &mut BevMut<'_>| {
            let options = TlsOptions::new().handshake_timeout(None);
            let id = conn.tls_accept(&accepting, options).expect("it has just been accepted");
            let mut top = conn.core().get(id).expect("it is open");
            top.join(&member_of).expect("a seat");
            top.set_rate_limit(Some(own.clone()));
            top.output().add(&pattern(ANSWER));
            made.send(id).expect("the test waits");
            Keep
        };
        let listener = sim.core().listen(ADDR, ListenOptions::new(), factory);
        listener.expect("it is free");
        for round in 0..ROUNDS {
            let clients = clients(&mut sim, &configs, End::ALL.len());
            // A different moment of the handshake or of the answer each time.
            sim.run_for(Duration::from_millis(1 + 37 * round));
            let servers: Vec<BevId> = ids.try_iter().collect();
            assert_eq!(servers.len(), clients.len(), "{version:?}, round {round}");
            for ((client, server), end) in clients.iter().zip(servers).zip(End::ALL) {
                assert!(waits(&mut sim, server) > 0, "{version:?}, round {round}, {end:?}");
                end.bring_about(&mut sim, client.0, server);
            }
            // Tokens come while some are gone and some still write.
            sim.run_for(Duration::from_secs(3_600));
            for ((_, taker), end) in clients.iter().zip(End::ALL) {
                let got = taker.0.borrow();
                let case = format!("{version:?}, round {round}, {end:?}: {}", got.bytes.len());
                assert!(pattern(ANSWER).starts_with(&got.bytes), "{case}");
                assert_eq!(got.bytes.len() == ANSWER, end.is_whole(), "{case}");
                assert_eq!(got.eof, end.is_whole(), "{case}");
            }
            let (held, stats) = (sim.held(), sim.core().stats());
            assert_eq!((stats.connections, stats.filters), (0, 0), "{version:?}, round {round}");
            assert_eq!((held.slots, held.timers, held.seats), (1, 0, 0), "{held:?}");
        }
        settle(&mut sim, TURNS);
        // Alive and whole: the next one is served as if nothing had been.
        let (_, last) = clients(&mut sim, &configs, 1).remove(0);
        sim.run_until(LIMIT, |_| last.0.borrow().bytes.len() == ANSWER);
        assert!(last.0.borrow().bytes == pattern(ANSWER), "{version:?}");
        // Of those that are whole one has left the group.
        assert!(group.totals().1 > ROUNDS * 2 * ANSWER as u64, "it has counted");
    }
}
