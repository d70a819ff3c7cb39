//! Whom to begin an exchange with, and what becomes of exchanges that are not answered.
//!
//! As Cassandra does: random nodes that are up; now and then one that is not, so that it is
//! noticed when it comes back; now and then a seed, so that parts of a cluster that know nothing
//! of one another come together.

use std::net::SocketAddr;

use crate::Gossip;
use crate::gossip::micros;
use crate::message::Body;
use crate::table::Opinion;

/// Rounds after which an exchange that is not answered is given up.
const DEADLINE_ROUNDS: u64 = 2;
/// Random tries before all candidates are listed.
const TRIES: usize = 8;

/// An exchange that we began and that is not answered yet. There is at most one with each peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outstanding {
    pub(crate) address: SocketAddr,
    pub(crate) exchange: u64,
    pub(crate) deadline: u64,
}

impl Gossip {
    pub(crate) fn expire_exchanges(&mut self) {
        let before = self.outstanding.len();
        let now = self.now;
        self.outstanding.retain(|exchange| exchange.deadline > now);
        self.counters.exchanges_timed_out += (before - self.outstanding.len()) as u64;
    }

    /// Begins this round's exchanges.
    pub(crate) fn begin_exchanges(&mut self) {
        let peers = self.choose();
        if peers.is_empty() {
            return;
        }
        let (window, digests) = self.digests();
        let interval = micros(self.config.interval);
        let deadline = self.now.saturating_add(interval * DEADLINE_ROUNDS);
        for address in peers {
            let exchange = self.random.next_u64() >> 32;
            self.outstanding.push(Outstanding { address, exchange, deadline });
            self.counters.exchanges_begun += 1;
            let digests = digests.clone();
            let syn = self.message(exchange, false, Body::Syn { window, digests });
            self.send(address, syn);
        }
    }

    fn choose(&mut self) -> Vec<SocketAddr> {
        let mut chosen = Vec::with_capacity(self.config.fan_out + 2);
        for _ in 0..self.config.fan_out.min(self.ups) {
            chosen.extend(self.pick(&chosen, |opinion| opinion == Opinion::Up));
        }
        let down = |opinion| matches!(opinion, Opinion::Down | Opinion::Unknown);
        let odds = self.downs as f64 / (self.ups + 1) as f64;
        if self.downs > 0 && self.random.chance(odds) {
            chosen.extend(self.pick(&chosen, down));
        }
        let has_seed = chosen.iter().any(|address| self.seeds.contains(address));
        if !self.seeds.is_empty() && (!has_seed || self.ups < self.seeds.len()) {
            let odds = self.seeds.len() as f64 / (self.ups + self.downs).max(1) as f64;
            if self.ups == 0 || self.random.chance(odds) {
                let seed = self.seeds[self.random.below(self.seeds.len() as u64) as usize];
                chosen.extend(Some(seed).filter(|seed| self.is_free(*seed, &chosen)));
            }
        }
        chosen
    }

    /// Whether we may begin an exchange with `address`.
    fn is_free(&self, address: SocketAddr, chosen: &[SocketAddr]) -> bool {
        address != self.own_address
            && !chosen.contains(&address)
            && !self.outstanding.iter().any(|exchange| exchange.address == address)
    }

    /// A random other node of which we think so.
    fn pick(
        &mut self,
        chosen: &[SocketAddr],
        suits: impl Fn(Opinion) -> bool,
    ) -> Option<SocketAddr> {
        let own = self.own_at();
        let candidate = |at: usize| {
            let address = self.table.known[at].address?;
            let suits = at != own && suits(self.table.health[at].opinion);
            (suits && self.is_free(address, chosen)).then_some(address)
        };
        let nodes = self.table.len();
        let random = || self.random.below(nodes as u64) as usize;
        if let Some(address) = (0..TRIES).find_map(|_| candidate(random())) {
            return Some(address);
        }
        let all: Vec<SocketAddr> = (0..nodes).filter_map(candidate).collect();
        all.get(self.random.below(all.len() as u64) as usize).copied()
    }
}
