//! The thread that looks names up for all cores of a runtime.
//!
//! Owns the queue of questions; the thread starts with the first and ends when the cores have. It
//! is not waited for: a resolver that hangs keeps nobody from ending. Answers go back by message.
//!
//! Invariants: at most [`LOOKUPS_WAITING`] questions wait; the thread is never confined to the CPU
//! of the core that happened to start it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use parking_lot::Mutex;

use super::{HostError, LookUp, Question, Resolve};
use crate::handle::Handle;
use crate::placement::{CpuSet, confine};
use crate::reactor::Core;

/// Questions that may wait for the thread.
const LOOKUPS_WAITING: usize = 1024;

/// A question, and where its answer goes.
struct Letter {
    question: Question,
    handle: Handle,
    core: usize,
}

/// Takes the questions of all cores.
pub(crate) struct Desk {
    resolver: Arc<dyn Resolve>,
    /// Where the thread may run, if not where the one that starts it may.
    cpus: Option<CpuSet>,
    /// The way to the thread, once it has started. It ends when this is dropped.
    queue: Mutex<Option<SyncSender<Letter>>>,
}

impl Desk {
    pub(crate) fn new(resolver: Arc<dyn Resolve>, cpus: Option<CpuSet>) -> Self {
        Self { resolver, cpus, queue: Mutex::new(None) }
    }

    fn start(&self) -> io::Result<SyncSender<Letter>> {
        let (queue, letters) = sync_channel(LOOKUPS_WAITING);
        let (resolver, cpus) = (self.resolver.clone(), self.cpus.clone());
        let thread = thread::Builder::new().name(String::from("sluicegate-dns"));
        thread.spawn(move || {
            if let Some(error) = cpus.and_then(|cpus| confine(&cpus).err()) {
                tracing::warn!(%error, "the thread of lookups stays on the CPU of a core");
            }
            serve(resolver.as_ref(), &letters);
        })?;
        Ok(queue)
    }

    fn put(&self, letter: Letter) -> Result<(), HostError> {
        let host = |letter: &Letter| String::from(&*letter.question.host);
        let mut queue = self.queue.lock();
        let queue = match &mut *queue {
            Some(queue) => queue,
            none => {
                let started = self.start();
                none.insert(
                    started.map_err(|source| HostError::Thread { host: host(&letter), source })?,
                )
            }
        };
        queue.try_send(letter).map_err(|refused| match refused {
            TrySendError::Full(letter) => {
                HostError::Busy { host: host(&letter), waiting: LOOKUPS_WAITING }
            }
            TrySendError::Disconnected(letter) => {
                HostError::Thread { host: host(&letter), source: io::ErrorKind::BrokenPipe.into() }
            }
        })
    }
}

impl LookUp for Desk {
    fn look_up(&self, core: &mut Core, question: Question) -> Result<(), HostError> {
        self.put(Letter { question, handle: core.handle(), core: core.index() })
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("cpus", &self.cpus).finish_non_exhaustive()
    }
}

/// Answers until nobody can ask any more.
fn serve(resolver: &dyn Resolve, letters: &Receiver<Letter>) {
    for Letter { question, handle, core } in letters {
        if question.is_abandoned() {
            continue;
        }
        let answer = ask(resolver, &question);
        // A core that has stopped wants to know nothing.
        let _stopped = handle.submit_to(core, move |core| question.answer(core, answer));
    }
}

fn ask(resolver: &dyn Resolve, question: &Question) -> io::Result<Vec<SocketAddr>> {
    let ask = AssertUnwindSafe(|| resolver.resolve(&question.host, question.port));
    catch_unwind(ask).unwrap_or_else(|_| {
        tracing::error!(host = &*question.host, "the resolver panicked; that lookup has failed");
        Err(io::Error::other("the resolver panicked"))
    })
}
