//! What stands between two streams of a stack: a filter, or a session.
//!
//! Owns the stage. Both are driven in the same way (`reactor/stack.rs`); who is asked for a session
//! finds it here.

use std::fmt;

#[cfg(feature = "tls")]
use core_buf::FilterStage;
use core_buf::{Bufferevent, Stage};
use groups::Time;

use crate::id::Key;
use crate::watchdog::Label;

/// A stage, by what else it can be asked.
pub(crate) enum Between {
    Filter(Box<dyn Stage>),
    #[cfg(feature = "tls")]
    Session(Box<tls::Session>),
}

impl Between {
    #[inline]
    pub(crate) fn stage(&mut self) -> &mut dyn Stage {
        match self {
            Self::Filter(stage) => stage.as_mut(),
            #[cfg(feature = "tls")]
            Self::Session(session) => session.as_mut(),
        }
    }

    /// A stream over it.
    pub(crate) fn stream(&self, now: Time) -> Bufferevent {
        match self {
            Self::Filter(_) => Bufferevent::over_stage(now),
            #[cfg(feature = "tls")]
            Self::Session(session) => Bufferevent::over_protocol(now, session.is_connecting()),
        }
    }

    /// Whether the peer can tell by what it puts out that something is lacking.
    pub(crate) fn marks_its_end(&self) -> bool {
        !matches!(self, Self::Filter(_))
    }

    /// Whether the next step may take as long as a handshake.
    #[inline]
    pub(crate) fn shakes_hands(&self) -> bool {
        match self {
            Self::Filter(_) => false,
            #[cfg(feature = "tls")]
            Self::Session(session) => session.is_connecting(),
        }
    }

    /// Whether the limits of the stream above are those of the one below.
    pub(crate) fn is_charged_below(&self) -> bool {
        match self {
            Self::Filter(_) => false,
            #[cfg(feature = "tls")]
            Self::Session(session) => session.charges() == tls::Charge::Ciphertext,
        }
    }

    #[cfg(feature = "tls")]
    pub(crate) fn session(&self) -> Option<&tls::Session> {
        match self {
            Self::Filter(_) => None,
            Self::Session(session) => Some(session),
        }
    }

    /// Takes the session, if it is one; a filter that changes nothing stays in its place.
    #[cfg(feature = "tls")]
    pub(crate) fn take_session(&mut self) -> Option<Box<tls::Session>> {
        match std::mem::replace(self, Self::Filter(Box::new(FilterStage::new(())))) {
            Self::Session(session) => Some(session),
            filter @ Self::Filter(_) => {
                *self = filter;
                None
            }
        }
    }

    #[cfg(feature = "tls")]
    pub(crate) fn session_mut(&mut self) -> Option<&mut tls::Session> {
        match self {
            Self::Filter(_) => None,
            Self::Session(session) => Some(session),
        }
    }
}

/// What a stream stands on that has another one below it.
pub(crate) struct Over {
    pub(crate) between: Between,
    /// What the stage is called.
    pub(crate) label: Label,
    pub(crate) lower: Key,
    /// Streams over stages from here down.
    pub(crate) height: usize,
    pub(crate) close_underlying: bool,
    /// The stream below has been given back; this one is at its end.
    pub(crate) released: bool,
}

impl fmt::Debug for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Over").field("lower", &self.lower).finish_non_exhaustive()
    }
}
