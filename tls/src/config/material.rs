//! What a configuration is made of, and what one core makes of it.
//!
//! Owns the two-sided pair of types between the handle and the sides: [`Material`] never changes
//! and is shared, a [`Core`] belongs to one core.

use std::sync::Arc;

use openssl::error::ErrorStack;

use super::client::{ClientCore, ClientMaterial};
use super::role::TlsRole;
use super::server::{ServerCore, ServerMaterial};
use crate::ticket::TicketKeys;

/// The choices and certificates of one side.
#[derive(Clone, Debug)]
pub(crate) enum Material {
    Server(Arc<ServerMaterial>),
    Client(Arc<ClientMaterial>),
}

impl Material {
    pub(crate) fn role(&self) -> TlsRole {
        match self {
            Self::Server(_) => TlsRole::Server,
            Self::Client(_) => TlsRole::Client,
        }
    }

    /// Makes one core's context.
    pub(crate) fn core(&self, keys: &Arc<TicketKeys>) -> Result<Core, ErrorStack> {
        Ok(match self {
            Self::Server(material) => Core::Server(ServerCore::new(material, keys)?),
            Self::Client(material) => Core::Client(ClientCore::new(material)?),
        })
    }
}

/// One core's context and what belongs to it.
#[derive(Debug)]
pub(crate) enum Core {
    Server(ServerCore),
    Client(ClientCore),
}
