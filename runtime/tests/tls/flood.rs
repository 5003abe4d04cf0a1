//! Floods on an open session: of what the protocol allows once, and a peer that takes no answers.

use std::time::Duration;

use sluicegate::openssl::ssl::SslVersion;

use crate::forge::{ALERT, DATA, Forger, HANDSHAKE, forged};

/// Records that are written at once.
const BATCH: usize = 100;
const BATCHES: usize = 40;

/// What the core may have put out for a peer that does not read: the answers, and those to one
/// batch more.
const MOST_WAITING: usize = (64 << 10) + BATCH * 64;

/// Writes the next record of a flood.
type Forge<'a> = &'a dyn Fn(&mut Forger) -> Vec<u8>;

/// What a flood ends in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// One ERROR whose words have these among them.
    Error(&'static str),
    /// None: it goes on to the last record.
    None,
}

#[test]
fn a_flood_on_an_open_session_is_borne_or_ends_in_an_error_that_names_it() {
    use SslVersion as V;
    let data = |it: &mut Forger| it.record(DATA, b"x");
    let empty = |it: &mut Forger| it.record(DATA, b"");
    // user_canceled, which alone goes on after it under TLS 1.3.
    let warning = |it: &mut Forger| it.record(ALERT, &[1, 90]);
    // The beginning of a client's first message, which is enough to be refused.
    let hello = |it: &mut Forger| it.record(HANDSHAKE, &[1, 0, 0, 0]);
    let update = |it: &mut Forger| it.key_update(false);
    let update_both = |it: &mut Forger| it.key_update(true);
    let warned = End::Error("too many warn alerts");
    let cases: [(&str, V, Forge<'_>, [End; 2]); 9] = [
        // What it ends in where the peer takes what comes, and where it does not.
        ("data", V::TLS1_2, &data, [End::None; 2]),
        ("data", V::TLS1_3, &data, [End::None; 2]),
        ("empty records", V::TLS1_2, &empty, [End::Error("record too small"); 2]),
        ("empty records", V::TLS1_3, &empty, [End::Error("record too small"); 2]),
        ("warnings", V::TLS1_2, &warning, [warned; 2]),
        ("warnings", V::TLS1_3, &warning, [warned; 2]),
        ("key updates", V::TLS1_3, &update, [End::None; 2]),
        ("mutual key updates", V::TLS1_3, &update_both, [End::None, End::Error("over and over")]),
        ("renegotiations", V::TLS1_2, &hello, [End::None, End::Error("over and over")]),
    ];
    for (what, version, forge, ends) in cases {
        for (takes, end) in [true, false].into_iter().zip(ends) {
            let case = format!("{what}, {version:?}, takes the answers: {takes}");
            flood(&case, version, forge, takes, end);
        }
    }
}

fn flood(case: &str, version: SslVersion, forge: Forge<'_>, takes: bool, end: End) {
    let (mut wired, mut forger) = forged(version);
    let turns = wired.sim.core().stats().turns;
    let mut batches = 0;
    while batches < BATCHES && wired.is_there() {
        let bytes: Vec<u8> = (0..BATCH).flat_map(|_| forge(&mut forger)).collect();
        assert_eq!(wired.sim.write(wired.peer, &bytes), bytes.len(), "{case}: the core reads");
        wired.rest(Duration::from_millis(1));
        if takes {
            let _answers = wired.sim.read(wired.peer);
        }
        let (_, waiting) = wired.sim.lengths(wired.bottom).unwrap_or_default();
        assert!(waiting <= MOST_WAITING, "{case}: {waiting} bytes wait");
        batches += 1;
    }
    let spent = wired.sim.core().stats().turns - turns;
    assert!(spent <= 10 * batches as u64 + 10, "{case}: {spent} turns for {batches} batches");
    if end == End::None {
        let before = wired.notes.all().len();
        wired.sim.write(wired.peer, &forger.record(DATA, b"and yet"));
        wired.rest(Duration::from_millis(1));
        assert_eq!(wired.notes.all().len(), before + 1, "{case}: it was read");
    }
    let told = wired.notes.all();
    let errors: Vec<_> = told.iter().filter(|it| it.contains("ERROR")).collect();
    match end {
        End::None => assert!(errors.is_empty(), "{case}: {errors:?}"),
        End::Error(words) => {
            assert_eq!(errors.len(), 1, "{case}: {told:?}");
            assert!(errors[0].contains("the peer"), "{case}: {errors:?}");
            assert!(errors[0].contains(words), "{case}: {errors:?}");
            // The rest is the close, which waits for a peer that reads nothing.
            wired.rest(Duration::from_secs(40));
            wired.assert_empty(case);
        }
    }
}
