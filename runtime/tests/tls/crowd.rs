//! Many handshakes at once: a few steps of them a turn, and who is connected goes on meanwhile; as
//! he does beside clients that ask for new handshakes without end.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use sluicegate::openssl::ssl::{Ssl, SslContext, SslVersion};
use sluicegate::sim::{Faults, Peer, Simulation};
use sluicegate::tls::TlsVersion;
use sluicegate::{
    BevId, BevMut, Charge, Context, Event, EventFlags, Group, Handler, ListenOptions, PairOptions,
    TlsOptions, TlsState,
};

use crate::outer::sim::{ADDR, per_second};
use crate::outer::tls::{Configs, HOST};
use crate::rig::{Keeper, Notes, VERSIONS, context};
use crate::wired::Wired;

const CLIENTS: usize = 100;

/// Steps of handshakes that one turn makes.
const STEPS_PER_TURN: u64 = 16;

/// More turns than all of the handshakes take, of some four steps for each end.
const MOST_TURNS: usize = 100;

#[test]
fn a_crowd_of_handshakes_takes_a_few_steps_a_turn_and_the_connected_go_on() {
    for version in VERSIONS {
        let mut wired = connected(version);
        let told = crowd(&mut wired.sim, &context(version));
        let all = wired.sim.core().stats().handshakes + 2 * CLIENTS as u64;
        for turn in 0.. {
            let before = wired.sim.core().stats().handshakes;
            if before == all {
                break;
            }
            let case = format!("{version:?}, turn {turn}, {} to go", all - before);
            turn_with_a_byte(&case, &mut wired);
            // Each takes several steps.
            let made = wired.sim.core().stats().handshakes - before;
            assert!(made <= STEPS_PER_TURN, "{case}: {made} at once");
            assert!(turn < MOST_TURNS, "{case}");
        }
        assert_eq!(told.all(), ["EventFlags(CONNECTED)"; 2 * CLIENTS], "{version:?}");
    }
}

/// A connection of which nothing is on its way when a turn begins.
fn connected(version: SslVersion) -> Wired {
    let mut wired = Wired::open(version, TlsOptions::new());
    let at_once = Duration::ZERO..Duration::ZERO;
    wired.sim.set_faults(Faults { delay: at_once, ..Faults::none() });
    wired
}

/// One turn, in which the connection is brought a byte, and must get it.
fn turn_with_a_byte(case: &str, wired: &mut Wired) {
    let told = wired.notes.all().len();
    wired.write(b"x");
    wired.send();
    wired.sim.turn();
    assert_eq!(wired.notes.all().len(), told + 1, "{case}: the connected waited");
}

/// Sessions over pairs that begin at once.
fn crowd(sim: &mut Simulation, context: &SslContext) -> Notes {
    let told = Notes::default();
    for _ in 0..CLIENTS {
        let keeper = || Keeper { notes: told.clone(), echoes: false };
        let (a, b) = sim.core().pair(PairOptions::new(), keeper(), keeper());
        let mut over = |id: BevId, state| {
            let ssl = Ssl::new(context).expect("an object");
            sim.core().tls_filter(id, ssl, state, TlsOptions::new()).expect("a session");
        };
        over(a, TlsState::Connecting);
        over(b, TlsState::Accepting);
    }
    told
}

#[test]
fn members_of_a_group_that_is_used_up_shake_hands_no_faster_and_no_slower() {
    for version in VERSIONS {
        let mut wired = connected(version);
        let slow = per_second(1_000).with_burst(1_000).expect("valid");
        let group = Group::builder(slow).clock(wired.sim.clock()).build().expect("valid");
        let mut user = wired.bev();
        user.join(&group).expect("a seat");
        user.output().add(&[7; 10_000]);
        drop(user);
        wired.rest(Duration::from_secs(2));
        let context = context(version);
        let options = TlsOptions::new().charge(Charge::Plaintext);
        let peers: Vec<Peer> = (0..CLIENTS as u16)
            .map(|i| {
                let (socket, peer) = wired.sim.socket(([10, 0, 0, 9], 4_000 + i).into());
                let ssl = Ssl::new(&context).expect("an object");
                let id = wired.sim.core().tls_socket(
                    Some(socket),
                    ssl,
                    TlsState::Accepting,
                    options,
                    Keeper { notes: Notes::default(), echoes: false },
                );
                let mut bev = wired.sim.core().get(id.expect("a session")).expect("it is open");
                bev.join(&group).expect("a seat");
                peer
            })
            .collect();
        wired.rest(Duration::from_millis(1));
        for peer in peers {
            wired.sim.write(peer, b"no TLS at all");
        }
        for turn in 0..=CLIENTS / STEPS_PER_TURN as usize + 1 {
            let before = wired.sim.core().stats().handshakes_failed;
            wired.sim.turn();
            let made = wired.sim.core().stats().handshakes_failed - before;
            assert!(made <= STEPS_PER_TURN, "{version:?}, turn {turn}: {made} at once");
        }
        assert_eq!(wired.sim.core().stats().handshakes_failed, CLIENTS as u64, "{version:?}");
    }
}

/// Asks for new keys whenever there are some, and counts how often there were.
struct Asks(Rc<Cell<usize>>);

impl Handler for Asks {
    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        assert_eq!(event.flags, EventFlags::CONNECTED, "{:?}", event.error);
        self.0.set(self.0.get() + 1);
        cx.me().renegotiate().expect("it may");
    }
}

#[test]
fn clients_that_renegotiate_without_end_get_one_each_a_turn_and_the_connected_go_on() {
    const TURNS: usize = 60;
    let configs = Configs::new(TlsVersion::Tls12);
    let mut wired = connected(SslVersion::TLS1_2);
    let counts: Vec<Rc<Cell<usize>>> = (0..CLIENTS).map(|_| Rc::default()).collect();
    let server = configs.server;
    let factory = move |conn: &mut BevMut<'_>| {
        conn.tls_accept(&server, TlsOptions::new()).expect("it is new");
        Keeper { notes: Notes::default(), echoes: false }
    };
    let listener = wired.sim.core().listen(ADDR, ListenOptions::new(), factory);
    let to = listener.expect("it is free").local_addr();
    for count in &counts {
        let (asks, options) = (Asks(count.clone()), TlsOptions::new());
        let made = wired.sim.core().tls_connect(to, HOST, &configs.client, options, asks);
        made.expect("it can be tried");
    }
    for turn in 0..TURNS {
        let before: Vec<usize> = counts.iter().map(|count| count.get()).collect();
        turn_with_a_byte(&format!("turn {turn}"), &mut wired);
        for (before, count) in before.into_iter().zip(&counts) {
            let made = count.get() - before;
            assert!(made <= 1, "turn {turn}: {made} for one client");
        }
    }
    // Nobody is kept from his by the others.
    let least = counts.iter().map(|count| count.get()).min().unwrap_or_default();
    let most = counts.iter().map(|count| count.get()).max().unwrap_or_default();
    assert!(least > 2 && most <= 2 * least, "{counts:?}");
}
