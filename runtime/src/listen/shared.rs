//! What the cores share of one listener.
//!
//! Owns whether it accepts, the count of its connections where that is limited, and who is told of
//! errors. Every core looks here before each accept, so that whoever disables or closes a listener,
//! on whatever thread, has stopped it when the call returns: who accepts at that moment finishes
//! that one connection and takes no other.
//!
//! Orderings: the state is one word that orders nothing else; relaxed suffices. What has to be done
//! about it on each core comes by message.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use super::error::ListenError;
use super::options::ListenOptions;
use crate::balance::{AcceptMode, Tally};
use crate::reactor::{Core, Factory};

const ENABLED: u8 = 0;
const DISABLED: u8 = 1;
const CLOSED: u8 = 2;

/// Is told of accepts that fail.
pub(crate) type ErrorHandler = Arc<dyn Fn(&mut Core, &io::Error) + Send + Sync>;

/// What the cores share of one listener; it is also its name.
pub(crate) struct Common {
    state: AtomicU8,
    pub(crate) tally: Tally,
    on_error: Mutex<Option<ErrorHandler>>,
}

impl Common {
    pub(crate) fn is_enabled(&self) -> bool {
        self.state.load(Ordering::Relaxed) == ENABLED
    }

    /// Accepts again; `false` if it did, or never will.
    pub(super) fn enable(&self) -> bool {
        self.pass(DISABLED, ENABLED)
    }

    pub(super) fn disable(&self) {
        self.pass(ENABLED, DISABLED);
    }

    /// Accepts no more, for good.
    pub(super) fn close(&self) {
        self.state.store(CLOSED, Ordering::Relaxed);
    }

    fn pass(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    pub(super) fn set_on_error(&self, handler: ErrorHandler) {
        *self.on_error.lock() = Some(handler);
    }

    pub(crate) fn on_error(&self) -> Option<ErrorHandler> {
        self.on_error.lock().clone()
    }
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Common").field("tally", &self.tally).finish_non_exhaustive()
    }
}

/// A listener as each core that has a part in it gets it.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) common: Arc<Common>,
    pub(crate) mode: AcceptMode,
    pub(crate) accept_batch: u32,
    pub(crate) backlog: u32,
    pub(crate) factory: Factory,
}

impl Part {
    /// The parts of a listener of a whole runtime.
    pub(crate) fn of_runtime(
        cores: usize,
        options: &ListenOptions,
        factory: Factory,
    ) -> Result<Self, ListenError> {
        Ok(Self::new(options.mode(cores)?, cores, options, factory))
    }

    /// The parts of a listener of a whole runtime that has one socket; `refuse` says what is wrong
    /// with a mode that wants more.
    pub(crate) fn of_one_socket<E: From<ListenError>>(
        cores: usize,
        options: &ListenOptions,
        factory: Factory,
        refuse: impl FnOnce(AcceptMode) -> E,
    ) -> Result<Self, E> {
        let mode = options.mode_of_one_socket(cores)?.map_err(refuse)?;
        Ok(Self::new(mode, cores, options, factory))
    }

    /// The part of a core that listens alone.
    pub(crate) fn of_core(
        core: usize,
        options: &ListenOptions,
        factory: Factory,
    ) -> Result<Self, ListenError> {
        Ok(Self::new(options.own_mode(core)?, core + 1, options, factory))
    }

    fn new(mode: AcceptMode, cores: usize, options: &ListenOptions, factory: Factory) -> Self {
        let state = AtomicU8::new(if options.enabled { ENABLED } else { DISABLED });
        let tally = Tally::new(cores, options.max_connections);
        let common = Arc::new(Common { state, tally, on_error: Mutex::new(None) });
        let (accept_batch, backlog) = (options.accept_batch, options.backlog);
        Self { common, mode, accept_batch, backlog, factory }
    }

    /// Whether a core can get connections of it: it counts them then.
    pub(crate) fn reaches(&self, core: usize) -> bool {
        self.mode.accepts(core) || !self.mode.keeps()
    }
}
