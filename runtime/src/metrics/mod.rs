//! The figures of a runtime for those who operate it: as text for Prometheus, and as a live page.
//!
//! Owns the listener, on the first core, and how a visitor is answered: a handler as any other, so
//! visits are connections in the figures that they show. What is answered is made in the files
//! below, each a function that knows nothing of sockets.
//!
//! Never blocks a core: a snapshot is taken in slices of a turn each, and its text is written as
//! far as the visitor takes it. Every visit ends: a silent one by a timeout, any by a deadline.
//!
//! Invariant: an answer is whole or can be told from one that is: a body without a length ends in
//! the last chunk, and is cut before it otherwise.

mod exposition;
mod figure;
mod registry;
mod request;
mod snapshot;
#[cfg(all(test, not(loom)))]
mod tests;
mod visit;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use groups::Direction;

pub(crate) use self::figure::{Figure, Kind, describe_kind};
pub(crate) use self::registry::Registry;
use self::visit::Visit;
use crate::bev::BevMut;
use crate::driver::Listening;
use crate::error::Error;
use crate::handle::{Handle, Shared};
use crate::listen::{self, ListenOptions, Part};
use crate::reactor::{Core, Factory};

/// The core that answers.
const CORE: usize = 0;

/// Visits at a time; more wait in the backlog.
const VISITS_MAX: u32 = 16;

/// How long a visitor may be silent, or take nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a visit may take in all.
const VISIT_MAX: Duration = Duration::from_secs(30);

/// Has the first core answer at an address, as soon as it runs; returns what that is bound to.
pub(crate) fn serve(shared: &Arc<Shared>, asked: SocketAddr) -> Result<SocketAddr, Error> {
    let options = options();
    let bind_error = |error| listen::bind_error(asked, error);
    let listener = listen::bind_alone(asked, &options).map_err(bind_error)?;
    let addr = listener.local_addr().map_err(bind_error)?;
    shared.list_groups();
    let part = Part::of_core(CORE, &options, factory(shared.clone()))?;
    Handle::new(shared.clone()).submit_to(CORE, move |core| {
        let added = core.add_listener(part, Listening::Socket(listener));
        if let Err(error) = added {
            tracing::error!(%error, %addr, "nobody answers there");
        }
    })?;
    Ok(addr)
}

fn options() -> ListenOptions {
    ListenOptions::new().max_connections(VISITS_MAX)
}

/// Makes the handler of a visit.
fn factory(shared: Arc<Shared>) -> Factory {
    Arc::new(move |conn: &mut BevMut<'_>| {
        conn.set_read_watermark(0, request::HEAD_MAX);
        for direction in Direction::ALL {
            conn.set_timeout(direction, Some(PATIENCE));
        }
        let id = conn.id();
        let deadline = conn.core().after(VISIT_MAX, move |core: &mut Core| {
            if let Some(mut visit) = core.get(id) {
                visit.close_now();
            }
        });
        Box::new(Visit::new(shared.clone(), deadline))
    })
}
