//! The sessions a client may resume, by host, for one core's context.
//!
//! Owns at most [`MAX_SESSIONS`] of them; beyond, the oldest of the host that was used longest ago
//! goes. Of one host it keeps [`MAX_OF_HOST`], the newest, so that none can send so many tickets
//! that those of the others go. A TLS 1.3 ticket is given out once (RFC 8446 appendix C.4: whoever
//! sees a ticket twice knows that it is the same client); a TLS 1.2 session stays and is given out
//! again.
//!
//! A session is good for what its timeout says, counted from the last `now` seen before it came:
//! OpenSSL hands sessions over without a time, and this is never too late.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use groups::Time;
use openssl::error::ErrorStack;
use openssl::ssl::{SslRef, SslSession, SslSessionRef, SslVersion};
use parking_lot::Mutex;

use crate::ffi::Resumable;

/// What a connection remembers of where its sessions are kept.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) host: Arc<str>,
    pub(crate) sessions: Arc<Sessions>,
}

impl Origin {
    /// Offers the newest session kept for the host, if there is one, on a new connection to it.
    pub(crate) fn offer(&self, now: Time, ssl: &SslRef) -> Result<(), ErrorStack> {
        self.sessions.take(now, &self.host).map_or(Ok(()), |session| session.offer(ssl))
    }

    /// Keeps a session that OpenSSL made on this connection.
    pub(crate) fn keep(&self, ssl: &SslRef, session: SslSession) {
        let lifetime = Duration::from_secs(u64::try_from(session.timeout()).unwrap_or(0));
        let single_use = session.protocol_version() == SslVersion::TLS1_3;
        let session = Resumable::new(ssl, session);
        let mut kept = self.sessions.kept.lock();
        let good_until = kept.now + lifetime;
        kept.push(&self.host, Entry { session, good_until, single_use });
    }

    /// Keeps the session a resumed TLS 1.2 connection has, if a new ticket came with it.
    ///
    /// OpenSSL calls nobody back then. It puts the ticket into a copy of the session, so an object
    /// that is not the one given out is a new one.
    pub(crate) fn keep_renewed(&self, ssl: &SslRef) {
        if !ssl.session_reused() || ssl.version2() != Some(SslVersion::TLS1_2) {
            return;
        }
        let Some(session) = ssl.session() else { return };
        if !self.sessions.kept.lock().has(&self.host, session) {
            self.keep(ssl, session.to_owned());
        }
    }
}

/// Sessions by host.
#[derive(Default)]
pub(crate) struct Sessions {
    kept: Mutex<Kept>,
}

impl Sessions {
    /// Gives out the newest session for `host` that may be resumed.
    fn take(&self, now: Time, host: &Arc<str>) -> Option<Resumable> {
        let mut kept = self.kept.lock();
        kept.now = kept.now.max(now);
        kept.take(host)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("count", &self.kept.lock().count).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Kept {
    now: Time,
    count: usize,
    hosts: HashMap<Arc<str>, OfHost>,
    /// Hosts by the turn in which they were last used.
    turns: BTreeMap<u64, Arc<str>>,
    turn: u64,
}

#[derive(Default)]
struct OfHost {
    /// The oldest first; never empty between calls.
    entries: VecDeque<Entry>,
    turn: u64,
}

struct Entry {
    session: Resumable,
    good_until: Time,
    single_use: bool,
}

impl Kept {
    fn push(&mut self, host: &Arc<str>, entry: Entry) {
        let of_host = self.hosts.entry(Arc::clone(host)).or_default();
        if !entry.single_use {
            // One that can be used again is enough.
            self.count -= of_host.entries.len();
            of_host.entries.clear();
        }
        if of_host.entries.len() == MAX_OF_HOST {
            self.count -= usize::from(of_host.entries.pop_front().is_some());
        }
        of_host.entries.push_back(entry);
        self.count += 1;
        self.touch(host);
        if self.count > MAX_SESSIONS {
            self.evict();
        }
    }

    fn has(&self, host: &Arc<str>, session: &SslSessionRef) -> bool {
        let of_host = self.hosts.get(host);
        of_host.is_some_and(|host| host.entries.iter().any(|entry| entry.session.is(session)))
    }

    fn take(&mut self, host: &Arc<str>) -> Option<Resumable> {
        let now = self.now;
        let of_host = self.hosts.get_mut(host)?;
        let before = of_host.entries.len();
        of_host.entries.retain(|entry| entry.good_until > now && entry.session.is_resumable());
        let taken = match of_host.entries.back() {
            Some(entry) if !entry.single_use => Some(entry.session.clone()),
            Some(_) => of_host.entries.pop_back().map(|entry| entry.session),
            None => None,
        };
        self.count -= before - of_host.entries.len();
        self.touch(host);
        taken
    }

    /// Drops the oldest session of the host used longest ago.
    fn evict(&mut self) {
        let Some(host) = self.turns.values().next().cloned() else { return };
        if let Some(of_host) = self.hosts.get_mut(&host) {
            self.count -= usize::from(of_host.entries.pop_front().is_some());
            if of_host.entries.is_empty() {
                self.turns.remove(&of_host.turn);
                self.hosts.remove(&host);
            }
        }
    }

    /// Makes `host` the last used, or forgets it if it has no sessions left.
    fn touch(&mut self, host: &Arc<str>) {
        let Some(of_host) = self.hosts.get_mut(host) else { return };
        self.turns.remove(&of_host.turn);
        if of_host.entries.is_empty() {
            self.hosts.remove(host);
        } else {
            self.turn += 1;
            of_host.turn = self.turn;
            self.turns.insert(self.turn, Arc::clone(host));
        }
    }
}

/// The most sessions one core keeps.
pub(crate) const MAX_SESSIONS: usize = 1_024;

/// The most of them for one host, which decides how many tickets it sends.
const MAX_OF_HOST: usize = 64;
