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
        let (group, claim) = self.claim(client);
        conn.join(&group).expect("there is a seat for every core");
        claim
    }

    fn claim(&self, client: IpAddr) -> (Group, Claim) {
        let mut table = self.table();
        let (group, count) = table.entry(client).or_insert_with(|| {
            let group = Group::builder(self.limit.clone()).seats(self.seats);
            (group.name(client.to_string()).build().expect("one was made of the same before"), 0)
        });
        *count += 1;
        (group.clone(), Claim { clients: self.clone(), client })
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use sluicegate::GroupId;
    use sluicegate::sim::{Faults, Simulation};

    use super::*;

    /// A connection from an address: the group that it has joined, and its claim.
    fn comes(sim: &mut Simulation, core: usize, clients: &Clients, from: &str) -> (GroupId, Claim) {
        let from: SocketAddr = from.parse().expect("an address");
        let (socket, _peer) = sim.socket(from);
        let core = sim.core_at(core);
        let id = core.adopt(socket, ()).expect("there is room");
        let mut conn = core.get(id).expect("it is open");
        let claim = clients.join(&mut conn);
        let group = conn.group().expect("it has joined one");
        assert_eq!(group.name(), Some(&*from.ip().to_string()));
        (group.id(), claim)
    }

    #[test]
    fn an_address_has_one_group_as_long_as_it_has_connections() {
        let limit = TokenBucketConfig::per_second("1MB/s".parse().expect("a rate"));
        let clients = Clients::new(limit, 1).expect("it makes a group");
        let mut sim = Simulation::new(1);
        let mut comes = |from| comes(&mut sim, 0, &clients, from);
        let (first, first_claim) = comes("10.0.0.1:1000");
        let (second, second_claim) = comes("10.0.0.1:2000");
        let (other, other_claim) = comes("10.0.0.2:1000");
        assert_eq!(first, second, "two ports are one client");
        assert_ne!(first, other, "two addresses are two clients");
        drop(first_claim);
        let (third, third_claim) = comes("10.0.0.1:3000");
        assert_eq!(first, third, "it had a connection all the time");
        drop((second_claim, third_claim));
        assert_eq!(clients.table().len(), 1, "one is still connected");
        let (again, again_claim) = comes("10.0.0.1:4000");
        assert_ne!(first, again, "it had left");
        drop((other_claim, again_claim));
        assert!(clients.table().is_empty(), "all have left");
    }

    #[test]
    fn one_that_finds_no_seat_leaves_the_others_theirs() {
        let limit = TokenBucketConfig::per_second("1MB/s".parse().expect("a rate"));
        let clients = Clients::new(limit, 1).expect("it makes a group");
        let mut sim = Simulation::with_cores(2, 1, Faults::none());
        let mut comes = |core| comes(&mut sim, core, &clients, "10.0.0.1:1000");
        let (_, first_claim) = comes(0);
        let second = catch_unwind(AssertUnwindSafe(|| comes(1)));
        assert!(second.is_err(), "its core is one more than were told");
        assert_eq!(clients.table().len(), 1, "the first is connected");
        drop(first_claim);
        assert!(clients.table().is_empty(), "all have left");
    }
}
