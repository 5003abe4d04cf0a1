//! An end of a simulated connection that neither a core nor the test drives.
//!
//! Owns the end until a core takes it in; dropped before, it is closed, as a socket is.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::network::Network;
use super::socket::End;

/// An end that nobody has registered.
pub(crate) struct LooseEnd {
    network: Arc<Mutex<Network>>,
    /// `None` once it has been taken in.
    end: Option<End>,
}

impl LooseEnd {
    pub(super) fn new(network: Arc<Mutex<Network>>, end: End) -> Self {
        Self { network, end: Some(end) }
    }

    /// Whether it is an end of a connection in this network.
    pub(super) fn is_of(&self, network: &Arc<Mutex<Network>>) -> bool {
        Arc::ptr_eq(&self.network, network)
    }

    /// The name of the end, which is the caller's from here on.
    pub(super) fn into_end(mut self) -> End {
        self.end.take().expect("only this takes it, with the value")
    }

    /// Closes the end by a reset.
    pub(crate) fn reset(mut self) {
        if let Some(end) = self.end.take() {
            self.network.lock().reset(end);
        }
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        let end = self.end.ok_or(ErrorKind::NotConnected)?;
        let mut network = self.network.lock();
        if network.socket(end).broken {
            return Err(ErrorKind::NotConnected.into());
        }
        Ok(network.socket(end.partner()).addr)
    }
}

impl Drop for LooseEnd {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            self.network.lock().close(end);
        }
    }
}

impl fmt::Debug for LooseEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LooseEnd").field(&self.end).finish()
    }
}
