//! SYN, ACK and ACK2: comparing what two nodes have, and handing over what one of them lacks.

use std::cmp::Ordering;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::delta::NodeDelta;
use crate::digest::{Digest, Window};
use crate::id::Generation;
use crate::message::{Body, Message, Room, digest_len};
use crate::state::Key;
use crate::table::Opinion;
use crate::{Error, Gossip};

/// A delta of a heartbeat alone takes less than this; so it can be told quickly that all fit.
const BEAT_BYTES: usize = 48;

/// What a comparison of digests with our table finds.
#[derive(Default)]
struct Difference {
    /// Of these nodes we have more: their index, and the version up to which the other one is.
    ahead: Vec<(u32, u64)>,
    /// Of these nodes the other one has more; what we have.
    behind: Vec<Digest>,
    /// Somebody has this version of our own state, which is above ours.
    own_ahead: Option<u64>,
}

impl Gossip {
    /// Answers a SYN.
    pub(crate) fn answer(&mut self, from: SocketAddr, message: Message, in_shadow: bool) {
        let Body::Syn { window, digests } = message.body else { return };
        // Before we have announced ourselves, all we can say is that we know nothing.
        if in_shadow && !message.shadow {
            return;
        }
        if self.answers_left == 0 {
            self.counters.answers_refused += 1;
            return;
        }
        self.answers_left -= 1;
        self.counters.answers += 1;
        let empty = Body::Ack { requests: Vec::new(), deltas: Vec::new(), whole: false };
        let mut ack = self.message(message.exchange, message.shadow, empty);
        if !in_shadow {
            let mut difference = self.compare(window, &digests, message.shadow);
            if let Some(version) = difference.own_ahead {
                self.outrun(version);
                difference = self.compare(window, &digests, message.shadow);
            }
            let mut room = Room::of(&ack, self.config.message_bytes_max);
            let requests = self.requests(difference.behind, &mut room);
            let (deltas, whole) = self.deltas(&difference.ahead, &mut room);
            ack.body = Body::Ack { requests, deltas, whole: whole && window.is_all() };
        }
        self.send(from, ack);
    }

    /// Takes the answer to a SYN of ours.
    pub(crate) fn answered(&mut self, from: SocketAddr, message: Message) {
        if message.shadow {
            self.counters.late += 1;
            return;
        }
        let exchange = message.exchange;
        let under_way = self
            .outstanding
            .iter()
            .position(|begun| begun.address == from && begun.exchange == exchange);
        let Body::Ack { requests, deltas, .. } = message.body else { return };
        match under_way {
            Some(at) => {
                self.outstanding.swap_remove(at);
                self.counters.exchanges_answered += 1;
            }
            None => self.counters.late += 1,
        }
        let mut hint = 0;
        for delta in deltas {
            hint = self.apply(message.host, delta, hint);
        }
        // Each SYN is worth one ACK2 at most, however often its answer arrives.
        if under_way.is_none() || requests.is_empty() || self.removed {
            return;
        }
        let mut ahead = Vec::with_capacity(requests.len());
        let mut hint = 0;
        for has in requests {
            let Some(at) = self.table.find_near(has.host, hint) else { continue };
            hint = at + 1;
            let row = self.table.rows[at];
            match has.generation.cmp(&row.generation) {
                Ordering::Less => ahead.push((at as u32, 0)),
                Ordering::Equal if has.version < row.version => {
                    ahead.push((at as u32, has.version));
                }
                _ => {}
            }
        }
        let mut ack2 = self.message(exchange, false, Body::Ack2 { deltas: Vec::new() });
        let mut room = Room::of(&ack2, self.config.message_bytes_max);
        let (deltas, _) = self.deltas(&ahead, &mut room);
        if !deltas.is_empty() {
            ack2.body = Body::Ack2 { deltas };
            self.send(from, ack2);
        }
    }

    /// Says goodbye: tells everybody who is up that this life is over, so that nobody has to find
    /// out by our silence. To be called last; what is lost of it is found out that way.
    pub fn stop(&mut self, now: Duration) -> Result<(), Error> {
        self.go_on(now);
        if self.shadow.is_some() || self.removed {
            return Ok(());
        }
        self.local_update(Key::STOPPING, Arc::from([1]))?;
        let own = self.own_at();
        let mut goodbye = self.message(0, false, Body::Ack2 { deltas: Vec::new() });
        let mut room = Room::of(&goodbye, self.config.message_bytes_max);
        // All that we have ever said, so that it follows on whatever the others have.
        let (deltas, _) = self.deltas(&[(own as u32, 0)], &mut room);
        goodbye.body = Body::Ack2 { deltas };
        let up = |at: &usize| *at != own && self.table.health[*at].opinion == Opinion::Up;
        let up = (0..self.table.len()).filter(up);
        let peers: Vec<SocketAddr> = up.filter_map(|at| self.table.known[at].address).collect();
        for peer in peers {
            self.send(peer, goodbye.clone());
        }
        Ok(())
    }

    /// Takes what we asked for.
    pub(crate) fn completed(&mut self, message: Message) {
        let Body::Ack2 { deltas } = message.body else { return };
        let mut hint = 0;
        for delta in deltas {
            hint = self.apply(message.host, delta, hint);
        }
    }

    /// Compares what another node has with what we have, in one pass over both.
    fn compare(&mut self, window: Window, digests: &[Digest], shadow: bool) -> Difference {
        let own = self.own_at();
        let hosts = &self.table.hosts;
        let mut found = Difference::default();
        let mut at = 0;
        let mut claimed = None;
        for theirs in digests {
            while hosts.get(at).is_some_and(|host| *host < theirs.host) {
                if window.contains(hosts[at]) {
                    found.ahead.push((at as u32, 0));
                }
                at += 1;
            }
            if hosts.get(at) != Some(&theirs.host) {
                if !shadow && self.may_learn(theirs) {
                    let nothing = Digest { generation: Generation(0), version: 0, ..*theirs };
                    found.behind.push(nothing);
                }
                continue;
            }
            let row = self.table.rows[at];
            let ours = Digest { generation: row.generation, version: row.version, ..*theirs };
            match theirs.generation.cmp(&row.generation) {
                Ordering::Less => found.ahead.push((at as u32, 0)),
                Ordering::Equal if theirs.version < row.version => {
                    found.ahead.push((at as u32, theirs.version));
                }
                Ordering::Equal if theirs.version == row.version => {}
                Ordering::Equal if at == own => found.own_ahead = Some(theirs.version),
                Ordering::Greater if at == own && theirs.generation != Generation::REMOVED => {
                    claimed = Some(theirs.generation);
                }
                _ if !shadow && !self.is_absurd(theirs.generation) => found.behind.push(ours),
                _ => {}
            }
            at += 1;
        }
        for (at, host) in hosts.iter().enumerate().skip(at) {
            if window.contains(*host) {
                found.ahead.push((at as u32, 0));
            }
        }
        if let Some(generation) = claimed {
            self.impersonated(generation);
        }
        found
    }

    /// Whether a node that we do not know may get a place.
    fn may_learn(&self, theirs: &Digest) -> bool {
        self.table.len() < self.config.nodes_max
            && !self.quarantine.refuses(theirs.host, theirs.generation)
            && !self.is_absurd(theirs.generation)
    }

    /// As many requests as fit into half of the room, beginning anywhere.
    fn requests(&self, mut behind: Vec<Digest>, room: &mut Room) -> Vec<Digest> {
        let base = self.own_generation;
        let half = room.left() / 2;
        let all: usize = behind.iter().map(|digest| digest_len(digest, base)).sum();
        if all <= half {
            room.take(all);
            return behind;
        }
        let start = self.random.below(behind.len() as u64) as usize;
        behind.rotate_left(start);
        let mut used = 0;
        let fits = behind.iter().take_while(|digest| {
            used += digest_len(digest, base);
            used <= half && room.take(digest_len(digest, base))
        });
        let fits = fits.count();
        behind.truncate(fits);
        behind
    }

    /// Deltas of these nodes, as many as fit, and whether that is all.
    fn deltas(&self, ahead: &[(u32, u64)], room: &mut Room) -> (Vec<NodeDelta>, bool) {
        let base = self.own_generation;
        let start = match ahead.len() {
            nodes if nodes * BEAT_BYTES > room.left() => self.random.below(nodes as u64) as usize,
            _ => 0,
        };
        let (before, from) = ahead.split_at_checked(start).unwrap_or_default();
        let mut deltas = Vec::with_capacity(ahead.len());
        for (at, after) in from.iter().chain(before) {
            let source = self.table.source(*at as usize);
            match source.cut(*after, base, room.left()) {
                Some((delta, bytes, whole)) => {
                    room.take(bytes);
                    deltas.push(delta);
                    if !whole {
                        return (deltas, false);
                    }
                }
                None => return (deltas, false),
            }
        }
        (deltas, true)
    }
}
