//! The sessions of one context, and connections that resume them.
//!
//! Owns the context together with every session that came over its connections, because that is
//! what makes resuming sound, and which connections resume: the wanted share of them, evenly. The
//! newest session is used first. Invariants: a bounded number is kept; the last one is used again
//! rather than used up, as under TLS 1.2 a resumed session brings no new one.
//!
//! Rules of the one unsafe call: 1. a session is given to a connection of the context it came from,
//! alone.
#![expect(unsafe_code, reason = "the openssl crate cannot tell where a session comes from")]

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslSession, SslSessionCacheMode};

/// A context and its sessions; its clones share both.
#[derive(Clone)]
pub(super) struct Sessions {
    context: SslContext,
    kept: Arc<Mutex<VecDeque<SslSession>>>,
    turns: Arc<Mutex<Turns>>,
}

/// Whose turn it is to resume.
#[derive(Debug)]
struct Turns {
    /// Of all connections, from 0 to 1.
    share: f64,
    /// How far the next turn has come; at 1 it is there.
    due: f64,
}

impl Turns {
    /// Whether it is the next connection's.
    fn take(&mut self) -> bool {
        self.due += self.share;
        let is_due = self.due >= 1.0 - ROUNDING;
        self.due -= f64::from(u8::from(is_due));
        is_due
    }
}

impl Sessions {
    /// Has this share of the connections resume, from 0 to 1; keeps none where none does.
    pub(super) fn new(mut context: SslContextBuilder, share: f64) -> Self {
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        if share > 0.0 {
            let mode = SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL;
            context.set_session_cache_mode(mode);
            let keep = Arc::clone(&kept);
            context.set_new_session_callback(move |_, session| {
                let mut kept = keep.lock().expect(HELD);
                if kept.len() == MOST_SESSIONS {
                    kept.pop_back();
                }
                kept.push_front(session);
            });
        }
        let turns = Arc::new(Mutex::new(Turns { share, due: 0.0 }));
        Self { context: context.build(), kept, turns }
    }

    /// A connection, which resumes a session if it is its turn and there is any.
    pub(super) fn ssl(&self) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        let resumes = self.turns.lock().expect(HELD).take();
        if let Some(session) = resumes.then(|| self.take()).flatten() {
            // SAFETY: rule 1; `kept` is filled by the callback of `context` alone, and `ssl` is of
            // that context.
            unsafe { ssl.set_session(&session) }?;
        }
        Ok(ssl)
    }

    fn take(&self) -> Option<SslSession> {
        let mut kept = self.kept.lock().expect(HELD);
        if kept.len() > 1 { kept.pop_front() } else { kept.front().cloned() }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

const HELD: &str = "nobody panics while holding it";
/// Sessions kept.
const MOST_SESSIONS: usize = 1024;
/// What a hundred shares of a hundredth may lack of 1.
const ROUNDING: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_resumes_is_exact_and_spread() {
        for (percent, longest_wait) in [(0, 1000), (1, 100), (30, 4), (50, 2), (99, 2), (100, 1)] {
            let mut turns = Turns { share: f64::from(percent) / 100.0, due: 0.0 };
            let taken: Vec<bool> = (0..1000).map(|_| turns.take()).collect();
            let count = taken.iter().filter(|&&taken| taken).count();
            assert_eq!(count, percent as usize * 10, "{percent} %");
            let waits = taken.split(|&taken| taken).map(|wait| wait.len() + 1);
            let longest = waits.max().unwrap_or_default();
            assert!(longest <= longest_wait || percent == 0, "{percent} %: {longest}");
        }
    }
}
