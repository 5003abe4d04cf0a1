//! Many handshakes at once: a few steps of them a turn, and who is connected goes on meanwhile.

use std::time::Duration;

use sluicegate::openssl::ssl::{Ssl, SslContext, SslVersion};
use sluicegate::sim::{Faults, Simulation};
use sluicegate::{BevId, PairOptions, TlsOptions, TlsState};

use crate::rig::{Keeper, Notes, context};
use crate::wired::Wired;

const VERSIONS: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];

const CLIENTS: usize = 100;

/// Steps of handshakes that one turn makes.
const STEPS_PER_TURN: u64 = 16;

/// More turns than all of the handshakes take, of some four steps for each end.
const MOST_TURNS: usize = 100;

#[test]
fn a_crowd_of_handshakes_takes_a_few_steps_a_turn_and_the_connected_go_on() {
    for version in VERSIONS {
        // Nothing is on its way when a turn begins.
        let mut wired = Wired::open(version, TlsOptions::new());
        let at_once = Duration::ZERO..Duration::ZERO;
        wired.sim.set_faults(Faults { delay: at_once, ..Faults::none() });
        let told = crowd(&mut wired.sim, &context(version));
        let all = wired.sim.core().stats().handshakes + 2 * CLIENTS as u64;
        for turn in 0.. {
            let before = (wired.sim.core().stats().handshakes, wired.notes.all().len());
            if before.0 == all {
                break;
            }
            wired.write(b"x");
            wired.send();
            wired.sim.turn();
            let case = format!("{version:?}, turn {turn}, {} to go", all - before.0);
            // Each takes several steps.
            let made = wired.sim.core().stats().handshakes - before.0;
            assert!(made <= STEPS_PER_TURN, "{case}: {made} at once");
            assert_eq!(wired.notes.all().len(), before.1 + 1, "{case}: the connected waited");
            assert!(turn < MOST_TURNS, "{case}");
        }
        assert_eq!(told.all(), ["EventFlags(CONNECTED)"; 2 * CLIENTS], "{version:?}");
    }
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
