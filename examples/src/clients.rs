//! One rate-limit group for each client address, for as long as that has connections.
//!
//! Teaches: groups made and dropped while a server runs. The table is locked when a connection
//! comes or goes, and never for a byte; it holds no more clients than there are connections. One
//! that closes its last connection and comes back has a full bucket again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use sluicegate::{BevMut, ConfigError, Group, TokenBucketConfig};

type Table = HashMap<IpAddr, (Group, usize)>;

/// The groups of the clients that are connected.
#[derive(Clone, Debug)]
pub struct Clients {
    limit: TokenBucketConfig,
    seats: usize,
    /// A client's group, and how many connections it has.
    table: Arc<Mutex<Table>>,
}

/// A connection's claim to the group of its client: keep it as long as the connection.
#[derive(Debug)]
pub struct Claim {
    clients: Clients,
    client: IpAddr,
}

impl Clients {
    /// Each client may move what `limit` says, over any of `cores` cores.
    ///
    /// # Errors
    /// The limit makes no group.
    pub fn new(limit: TokenBucketConfig, cores: usize) -> Result<Self, ConfigError> {
        Group::builder(limit.clone()).seats(cores).build()?;
        Ok(Self { limit, seats: cores, table: Arc::default() })
    }

    /// Has a connection join the group of its client.
    ///
    /// # Panics
    /// It has no peer, or there are more cores than were told.
    #[must_use]
    pub fn join(&self, conn: &mut BevMut<'_>) -> Claim {
        let client = conn.peer_addr().expect("it comes from a TCP listener").ip();
        let mut table = self.table();
        let (group, count) = table.entry(client).or_insert_with(|| {
            let group = Group::builder(self.limit.clone()).seats(self.seats);
            (group.name(client.to_string()).build().expect("one was made of the same before"), 0)
        });
        conn.join(group).expect("there is a seat for every core");
        *count += 1;
        Claim { clients: self.clone(), client }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nobody panics while it is held")
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut table = self.clients.table();
        let Some((_, count)) = table.get_mut(&self.client) else { return };
        *count -= 1;
        if *count == 0 {
            table.remove(&self.client);
        }
    }
}
