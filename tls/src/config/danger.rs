//! The one way to turn verification off.
//!
//! Owns one method, in a file of its own so that whoever reviews can find it. Decides nothing: the
//! client's context (`client.rs`) heeds the choice.
//!
//! Invariant: nothing else takes verification away, and the name of the method says what it does.
//! Source: rustls, whose `dangerous()` stands before the same choice.

use super::builder::TlsConfigBuilder;
use super::client::ClientChoices;

impl TlsConfigBuilder<ClientChoices> {
    /// Accepts any certificate from anybody: **whoever is in between can read and change all.**
    ///
    /// Neither the chain nor the host name is checked. For tests against servers that are not
    /// one's own and measurements; to accept a self-signed certificate give it to
    /// [`roots`](Self::roots) instead.
    pub fn danger_accept_any_certificate(mut self) -> Self {
        self.role.verify = false;
        self
    }
}
