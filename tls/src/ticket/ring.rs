//! The keys in use, newest first: one list for all cores, and each core's copy of it.
//!
//! Owns the rotation. A core looks at the shared list when its own newest key stops sealing and
//! when it meets a ticket of a key it does not know, which another core may have made since.
//!
//! Invariant: locks are taken in the order core, shared; OpenSSL's work is done under the core's.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use groups::Time;
use openssl::cipher::{Cipher, CipherRef};
use openssl::error::ErrorStack;
use parking_lot::Mutex;

use super::key::{NAME_BYTES, PERIODS, TicketKey};

/// The keys all cores seal and open tickets with.
#[derive(Debug, Default)]
pub(crate) struct TicketKeys {
    keys: Mutex<Vec<Arc<TicketKey>>>,
}

impl TicketKeys {
    /// Drops the keys that are of no more use, and makes a new one if none seals.
    fn rotate(&self, now: Time, lifetime: Duration) -> Result<Vec<Arc<TicketKey>>, ErrorStack> {
        let mut keys = self.keys.lock();
        if keys.first().is_none_or(|newest| newest.seals_until(lifetime) <= now) {
            keys.insert(0, Arc::new(TicketKey::random(now, lifetime)?));
        }
        keys.retain(|key| key.opens_until(lifetime) > now);
        keys.truncate(MAX_KEYS);
        Ok(keys.clone())
    }

    fn current(&self) -> Vec<Arc<TicketKey>> {
        self.keys.lock().clone()
    }
}

/// One core's copy of the keys.
pub(crate) struct CoreKeys {
    shared: Arc<TicketKeys>,
    lifetime: Duration,
    /// Looked up once: every look-up takes a lock of OpenSSL's that all cores share.
    cipher: Cipher,
    copy: Mutex<Copy>,
}

#[derive(Default)]
struct Copy {
    now: Time,
    keys: Vec<Arc<TicketKey>>,
}

impl CoreKeys {
    pub(crate) fn new(shared: Arc<TicketKeys>, lifetime: Duration) -> Result<Self, ErrorStack> {
        let cipher = Cipher::fetch(None, "AES-256-CBC", None)?;
        Ok(Self { shared, lifetime, cipher, copy: Mutex::default() })
    }

    /// Sees to it that there is a key to seal with at `now`.
    pub(crate) fn advance(&self, now: Time) -> Result<(), ErrorStack> {
        let mut copy = self.copy.lock();
        copy.now = copy.now.max(now);
        if copy.keys.first().is_none_or(|newest| newest.seals_until(self.lifetime) <= copy.now) {
            copy.keys = self.shared.rotate(copy.now, self.lifetime)?;
        }
        Ok(())
    }

    /// Lends the key that seals.
    pub(crate) fn seal<T>(&self, with: impl FnOnce(&CipherRef, &TicketKey) -> T) -> Option<T> {
        let copy = self.copy.lock();
        copy.keys.first().map(|newest| with(&self.cipher, newest))
    }

    /// Lends the key of that name if it still opens, and says whether it is the one that seals.
    pub(crate) fn open<T>(
        &self,
        name: &[u8; NAME_BYTES],
        with: impl FnOnce(&CipherRef, &TicketKey, bool) -> T,
    ) -> Option<T> {
        let mut copy = self.copy.lock();
        let find = |keys: &[Arc<TicketKey>]| keys.iter().position(|key| key.name == *name);
        let mut found = find(&copy.keys);
        if found.is_none() {
            copy.keys = self.shared.current();
            found = find(&copy.keys);
        }
        let opens = |key: &&Arc<TicketKey>| key.opens_until(self.lifetime) > copy.now;
        let key = copy.keys.get(found?).filter(opens)?;
        Some(with(&self.cipher, key, found == Some(0)))
    }
}

impl fmt::Debug for CoreKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoreKeys").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// The most keys kept: the newest, those of the lifetime before, and one that a core whose clock
/// is behind may still need.
const MAX_KEYS: usize = PERIODS as usize + 2;

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(400);

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    fn core(shared: &Arc<TicketKeys>) -> CoreKeys {
        core_for(shared, LIFETIME)
    }

    fn core_for(shared: &Arc<TicketKeys>, lifetime: Duration) -> CoreKeys {
        CoreKeys::new(Arc::clone(shared), lifetime).expect("OpenSSL has AES")
    }

    fn sealing(core: &CoreKeys) -> [u8; NAME_BYTES] {
        core.seal(|_, key| key.name).expect("advanced before")
    }

    #[test]
    fn a_key_seals_for_a_quarter_and_opens_for_a_lifetime_more() {
        let shared = Arc::default();
        let core = core(&shared);
        assert!(core.seal(|_, _| ()).is_none(), "no key before the first time");
        core.advance(at(1_000)).expect("random bytes");
        let first = sealing(&core);
        for (seconds, seals, opens) in
            [(1_099, true, true), (1_100, false, true), (1_499, false, true), (1_500, false, false)]
        {
            core.advance(at(seconds)).expect("random bytes");
            assert_eq!(sealing(&core) == first, seals, "{seconds}");
            assert_eq!(
                core.open(&first, |_, _, newest| newest),
                opens.then_some(seals),
                "{seconds}"
            );
        }
    }

    #[test]
    fn cores_seal_alike_and_open_each_others_at_once() {
        let shared = Arc::default();
        let (one, two) = (core(&shared), core(&shared));
        one.advance(at(0)).expect("random bytes");
        two.advance(at(50)).expect("random bytes");
        assert_eq!(sealing(&one), sealing(&two));
        one.advance(at(100)).expect("random bytes");
        assert_ne!(sealing(&one), sealing(&two), "the other has not looked yet");
        assert_eq!(two.open(&sealing(&one), |_, _, newest| newest), Some(true));
        assert_eq!(sealing(&one), sealing(&two), "and now it has");
        assert_eq!(two.open(&[7; NAME_BYTES], |_, _, _| ()), None);
    }

    #[test]
    fn another_lifetime_shortens_the_life_of_keys_and_lengthens_none() {
        // A key made at 0 for the first; when it seals and opens for the second.
        for (first, second, seals, opens) in
            [(4_000, 400, 100, 500), (400, 400, 100, 500), (400, 4_000, 100, 500)]
        {
            for seconds in [1, seals - 1, seals, opens - 1, opens] {
                let shared: Arc<TicketKeys> = Arc::default();
                let before = core_for(&shared, Duration::from_secs(first));
                before.advance(at(0)).expect("random bytes");
                let key = sealing(&before);
                let after = core_for(&shared, Duration::from_secs(second));
                after.advance(at(seconds)).expect("random bytes");
                let case = format!("{first} to {second} s after {seconds} s");
                assert_eq!(sealing(&after) == key, seconds < seals, "{case}");
                assert_eq!(after.open(&key, |_, _, _| ()).is_some(), seconds < opens, "{case}");
                let kept = shared.current().iter().any(|it| it.name == key);
                assert_eq!(kept, seconds < opens, "{case}");
            }
        }
    }

    #[test]
    fn time_that_goes_back_makes_no_keys() {
        let shared = Arc::default();
        let core = core(&shared);
        core.advance(at(1_000)).expect("random bytes");
        let key = sealing(&core);
        for seconds in [999, 0, 1_050] {
            core.advance(at(seconds)).expect("random bytes");
            assert_eq!(sealing(&core), key);
        }
        assert_eq!(shared.current().len(), 1);
    }

    #[test]
    fn keys_are_few_however_long_it_runs() {
        let shared: Arc<TicketKeys> = Arc::default();
        let core = core(&shared);
        for seconds in (0..10_000).step_by(7) {
            core.advance(at(seconds)).expect("random bytes");
            assert!(shared.current().len() < MAX_KEYS);
        }
        core.advance(at(1_000_000)).expect("random bytes");
        assert_eq!(shared.current().len(), 1, "all others are past their use");
    }
}
