//! A group with many members over TLS: the limit holds in every window and is made use of, and what
//! is counted is what passes the sockets, to the byte, or the user's bytes where that is asked for.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use sluicegate::sim::Simulation;
use sluicegate::tls::{Charge, TlsVersion};
use sluicegate::{
    BevId, BevMut, Context, Direction, Event, EventFlags, Group, Handler, ListenOptions, TlsOptions,
};

use crate::outer::audit::{burst, worst_excess};
use crate::outer::log::Log;
use crate::outer::pattern;
use crate::outer::sim::{ADDR, LIMIT, per_second};
use crate::outer::tls::{Configs, HOST};

const MEMBERS: usize = 64;
const RATE: u64 = 2_000_000;
/// What each end sends: some seconds' worth for all.
const EACH: usize = 100_000;
/// After so long the handshakes are over and the bursts used up.
const WARM: Duration = Duration::from_millis(500);
/// For how long all members are busy then.
const SPAN: Duration = Duration::from_secs(2);

/// Writes what it has when it may, and counts what comes.
struct Talker(Arc<AtomicUsize>);

impl Handler for Talker {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        self.0.fetch_add(cx.me().input().drain(usize::MAX), Ordering::Relaxed);
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        assert_eq!(event.flags, EventFlags::CONNECTED, "{:?}", event.error);
        cx.me().output().add(&pattern(EACH));
    }
}

/// Servers that are members of the group; returns the names of their sockets and of what is above.
fn serve(
    sim: &mut Simulation,
    configs: &Configs,
    group: &Group,
    charge: Charge,
    got: &Arc<AtomicUsize>,
) -> mpsc::Receiver<(BevId, BevId)> {
    let (server, group, got) = (configs.server.clone(), group.clone(), got.clone());
    let (made, ids) = mpsc::channel();
    let factory = move |conn: &mut BevMut<'_>| {
        let options = TlsOptions::new().charge(charge);
        let top = conn.tls_accept(&server, options).expect("it has just been accepted");
        conn.core().get(top).expect("it is open").join(&group).expect("a seat");
        made.send((conn.id(), top)).expect("the test waits");
        Talker(got.clone())
    };
    sim.core().listen(ADDR, ListenOptions::new(), factory).expect("it is free");
    ids
}

#[test]
fn many_members_keep_to_the_limit_in_every_window_counted_where_it_is_said() {
    for (version, charge) in [
        (TlsVersion::Tls12, Charge::Ciphertext),
        (TlsVersion::Tls13, Charge::Ciphertext),
        (TlsVersion::Tls13, Charge::Plaintext),
    ] {
        let case = format!("{version:?} {charge:?}");
        let (mut sim, log) = (Simulation::new(8), Log::default());
        sim.observe(log.clone());
        let (configs, config) = (Configs::new(version), per_second(RATE));
        let burst = burst(&config);
        let group = Group::builder(config).clock(sim.clock()).build().expect("valid");
        let got: [Arc<AtomicUsize>; 2] = Default::default();
        let ids = serve(&mut sim, &configs, &group, charge, &got[0]);
        let to = ADDR.parse().expect("an address");
        for _ in 0..MEMBERS {
            let (client, options) = (Talker(got[1].clone()), TlsOptions::new());
            sim.core().tls_connect(to, HOST, &configs.client, options, client).expect("it can be");
        }
        sim.run_for(WARM);
        let before = group.totals();
        sim.run_for(SPAN);
        let after = group.totals();
        let all = MEMBERS * EACH;
        let over = |_: &mut Simulation| got.iter().all(|it| it.load(Ordering::Relaxed) == all);
        assert!(sim.run_until(LIMIT, over), "{case}: it stands still");
        let members: HashSet<BevId> = ids
            .try_iter()
            .map(|(socket, top)| if charge == Charge::Ciphertext { socket } else { top })
            .collect();
        assert_eq!(members.len(), MEMBERS, "{case}");
        for (direction, moved) in
            Direction::ALL.into_iter().zip([after.0 - before.0, after.1 - before.1])
        {
            let operations = log.of(direction);
            assert_eq!(worst_excess(&operations, RATE, burst), 0, "{case} {direction:?}");
            assert!(operations.iter().all(|it| members.contains(&it.bev)), "{case} {direction:?}");
            let used = moved as f64 / (RATE * SPAN.as_secs()) as f64;
            assert!(used >= 0.99, "{case} {direction:?}: {used}");
        }
        let (totals, plain) = (group.totals(), all as u64);
        assert_eq!(totals, (log.bytes(Direction::Read), log.bytes(Direction::Write)), "{case}");
        match charge {
            // The sockets of both ends are on this core: each byte is read once and written once.
            Charge::Ciphertext => {
                let stats = sim.core().stats();
                assert_eq!(totals.0 + totals.1, stats.bytes_in, "{case}");
                assert_eq!(totals.0 + totals.1, stats.bytes_out, "{case}");
                assert!(totals.0 > plain && totals.1 > plain, "{case}: {totals:?}");
            }
            Charge::Plaintext => assert_eq!(totals, (plain, plain), "{case}"),
        }
    }
}
