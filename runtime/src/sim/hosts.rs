//! The name service of a simulation: a table, and how long an answer takes.
//!
//! Owns the table. Answers come by a timer of the core, so they cost no thread and come in virtual
//! time, in the same order in every run.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::dial::{HostError, LookUp, Question};
use crate::reactor::Core;

/// The hosts of a simulation; its clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts(Arc<Mutex<BTreeMap<String, Host>>>);

#[derive(Clone, Debug)]
struct Host {
    addresses: Vec<IpAddr>,
    delay: Duration,
}

impl Hosts {
    pub(super) fn set(&self, host: &str, addresses: &[IpAddr], delay: Duration) {
        let entry = Host { addresses: addresses.to_vec(), delay };
        self.0.lock().insert(host.to_owned(), entry);
    }
}

impl LookUp for Hosts {
    fn look_up(&self, core: &mut Core, question: Question) -> Result<(), HostError> {
        let host = self.0.lock().get(&*question.host).cloned();
        let delay = host.as_ref().map_or(UNKNOWN_DELAY, |host| host.delay);
        let port = question.port;
        let answer = match host {
            Some(host) => {
                Ok(host.addresses.into_iter().map(move |ip| SocketAddr::from((ip, port))))
            }
            None => Err(io::Error::new(io::ErrorKind::NotFound, "the simulation has no such host")),
        };
        core.after(delay, move |core| question.answer(core, answer.map(Iterator::collect)));
        Ok(())
    }
}

/// How long it takes to learn that there is no such host.
const UNKNOWN_DELAY: Duration = Duration::from_millis(1);
