//! The sessions of one context, and connections that resume them.
//!
//! Owns the context together with every session that came over its connections, because that is
//! what makes resuming sound. The newest is used first. Invariants: a bounded number is kept; the
//! last one is used again rather than used up, as under TLS 1.2 a resumed session brings no new
//! one.
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
}

impl Sessions {
    /// Keeps none where nothing is to be resumed.
    pub(super) fn new(mut context: SslContextBuilder, resume: bool) -> Self {
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        if resume {
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
        Self { context: context.build(), kept }
    }

    /// A connection that resumes a session if there is any.
    pub(super) fn ssl(&self) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        if let Some(session) = self.take() {
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
