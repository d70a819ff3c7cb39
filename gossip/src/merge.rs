//! Taking what others say: states go up by (generation, version), opinions follow.

use crate::Gossip;
use crate::delta::NodeDelta;
use crate::detector::Detector;
use crate::event::Event;
use crate::gossip::micros;
use crate::id::{Generation, HostId};
use crate::state::{Entry, Key, Status};
use crate::table::{Health, Known, Opinion, Row};

/// A node that is not up is up when its heartbeat has moved on so often, or when it has brought us
/// a newer heartbeat itself. Once is not enough: heartbeats of a node that has died since may
/// still be on their way.
const SIGNS_OF_LIFE: u8 = 3;

impl Gossip {
    /// Takes news of a node from `sender`. `hint` is about where the node stands in the table;
    /// returned is where the next one may.
    pub(crate) fn apply(&mut self, sender: HostId, delta: NodeDelta, hint: usize) -> usize {
        let direct = sender == delta.host;
        let Some(at) = self.table.find_near(delta.host, hint) else {
            self.discover(direct, delta);
            return hint;
        };
        if delta.host == self.own_host {
            self.news_of_ourselves(&delta);
            return at + 1;
        }
        match delta.generation.cmp(&self.table.rows[at].generation) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => self.extend(at, direct, delta),
            std::cmp::Ordering::Greater => self.replace(at, direct, delta),
        }
        at + 1
    }

    /// Whether a generation is further in the future than any clock that is about right.
    pub(crate) fn is_absurd(&self, generation: Generation) -> bool {
        let most = self.own_generation.0.saturating_add(self.config.generation_ahead_max);
        let most = most.saturating_add(self.now / 1_000_000);
        generation.0 > most && generation != Generation::REMOVED
    }

    /// More of a life that we know.
    fn extend(&mut self, at: usize, direct: bool, delta: NodeDelta) {
        let row = &mut self.table.rows[at];
        if delta.after > row.version {
            self.counters.refused_gap += 1;
            return;
        }
        // One at or below what we have cannot be news; two things never have one version.
        let beats = delta.heartbeat > row.version;
        if !delta.entries.is_empty() {
            let host = delta.host;
            let before = self.table.known[at].status;
            let mut up_to = delta.up_to();
            for entry in delta.entries {
                let Entry { version, key, .. } = entry;
                if version <= self.table.rows[at].version {
                    continue;
                }
                if self.table.set(at, entry).is_err() {
                    // What follows is not taken either: what we have stays without holes.
                    self.counters.refused_value += 1;
                    up_to = version - 1;
                    break;
                }
                self.event(Event::Changed { host, key });
            }
            let row = &mut self.table.rows[at];
            row.version = row.version.max(up_to);
            if beats && delta.heartbeat <= row.version {
                row.heartbeat = delta.heartbeat;
            }
            if self.table.known[at].status != before {
                self.status_changed(at);
            }
            self.check_stopping(at);
        } else if beats {
            row.heartbeat = delta.heartbeat;
            row.version = row.version.max(delta.heartbeat);
        }
        if beats {
            self.heard(at, direct, true);
        }
    }

    /// The state that a delta of a whole life says; `None` if it is none that we take.
    fn first_state(&mut self, delta: NodeDelta) -> Option<(Row, Known)> {
        if delta.after > 0 {
            self.counters.refused_gap += 1;
            return None;
        }
        if self.is_absurd(delta.generation) {
            self.counters.refused_generation += 1;
            return None;
        }
        let mut known = Known::default();
        let mut version = 0;
        let newest = delta.up_to();
        for entry in delta.entries {
            let next = entry.version;
            if known.set(entry).is_err() {
                self.counters.refused_value += 1;
                return None;
            }
            version = next;
        }
        debug_assert!(version <= newest);
        // Nobody but a remover may use that generation, and it may say nothing else.
        let removed = known.status == Some(Status::Removed) && known.entries.iter().count() == 1;
        if (delta.generation == Generation::REMOVED) != (known.status == Some(Status::Removed))
            || (delta.generation == Generation::REMOVED && !removed)
        {
            self.counters.refused_value += 1;
            return None;
        }
        let heartbeat = delta.heartbeat;
        let generation = delta.generation;
        Some((Row { generation, version: newest, heartbeat, values: version }, known))
    }

    /// A node that we did not know.
    fn discover(&mut self, direct: bool, delta: NodeDelta) {
        let host = delta.host;
        if self.table.len() >= self.config.nodes_max {
            self.counters.refused_full += 1;
            return;
        }
        if self.quarantine.refuses(host, delta.generation) {
            self.counters.refused_quarantined += 1;
            return;
        }
        let Some((row, known)) = self.first_state(delta) else { return };
        let detector = Detector::new(self.time.now(), &self.tuning);
        let health = Health { detector, opinion: Opinion::Unknown, signs: 0, since: self.now };
        let at = self.table.insert(host, row, health, known);
        self.event(Event::Discovered(host));
        self.status_changed(at);
        if direct && row.heartbeat > 0 {
            self.heard(at, true, false);
        }
    }

    /// A later life of a node that we know.
    fn replace(&mut self, at: usize, direct: bool, delta: NodeDelta) {
        let host = delta.host;
        let Some((row, known)) = self.first_state(delta) else { return };
        self.table.rows[at] = row;
        self.table.known[at] = known;
        if row.generation != Generation::REMOVED {
            self.event(Event::Restarted(host));
        }
        self.status_changed(at);
        self.check_stopping(at);
        if row.heartbeat > 0 {
            // The time that it was away says nothing of how often news of it comes.
            self.heard(at, direct, false);
        }
    }

    /// Makes a node of ours a removed one, as everybody who removes it does.
    pub(crate) fn make_removed(&mut self, at: usize) {
        let value = Status::Removed.value();
        let delta = NodeDelta {
            host: self.table.hosts[at],
            generation: Generation::REMOVED,
            after: 0,
            heartbeat: 0,
            entries: vec![Entry { version: 1, key: Key::STATUS, value }],
        };
        if self.table.rows[at].generation < Generation::REMOVED {
            self.replace(at, false, delta);
        }
    }

    /// The opinion follows the status.
    fn status_changed(&mut self, at: usize) {
        let host = self.table.hosts[at];
        let gone = self.table.known[at].status.filter(|status| status.is_gone());
        let health = &mut self.table.health[at];
        match gone {
            Some(status) => {
                let was_up = health.opinion == Opinion::Up;
                if health.opinion != Opinion::Gone {
                    health.opinion = Opinion::Gone;
                    health.since = self.now;
                }
                if was_up {
                    self.event(Event::Down(host));
                }
                let removed = status == Status::Removed;
                self.event(if removed { Event::Removed(host) } else { Event::Left(host) });
            }
            None if health.opinion == Opinion::Gone => {
                health.opinion = Opinion::Unknown;
                health.signs = 0;
                health.since = self.now;
            }
            None => {}
        }
        self.table.known[at].view = None;
    }

    /// Who has said that it stops is down, without waiting for its silence.
    fn check_stopping(&mut self, at: usize) {
        let health = &mut self.table.health[at];
        if self.table.known[at].is_stopping && health.opinion == Opinion::Up {
            health.opinion = Opinion::Down;
            health.signs = 0;
            health.since = self.now;
            self.table.known[at].view = None;
            self.event(Event::Down(self.table.hosts[at]));
        }
    }

    /// The heartbeat of a node has moved on.
    fn heard(&mut self, at: usize, direct: bool, counts: bool) {
        if self.table.known[at].is_stopping {
            return;
        }
        let health = &mut self.table.health[at];
        let now = self.time.now();
        let is_up = health.opinion == Opinion::Up;
        if is_up && counts {
            let silence = health.detector.silence(now);
            self.counters.silence_micros_max = self.counters.silence_micros_max.max(silence);
        }
        health.detector.arrival(now, is_up && counts, &self.tuning);
        if matches!(health.opinion, Opinion::Unknown | Opinion::Down) {
            health.signs += 1;
            if direct || health.signs >= SIGNS_OF_LIFE {
                health.opinion = Opinion::Up;
                health.signs = 0;
                self.table.known[at].view = None;
                let host = self.table.hosts[at];
                self.event(Event::Up(host));
            }
        }
    }

    /// Convicts who has been silent for too long, and counts the others.
    pub(crate) fn watch(&mut self) {
        let own = self.own_at();
        let now = self.time.now();
        let mut convicted = Vec::new();
        (self.ups, self.downs) = (0, 0);
        for (at, health) in self.table.health.iter_mut().enumerate() {
            match health.opinion {
                Opinion::Up if at == own => {}
                Opinion::Up if health.detector.convicts(now) => {
                    health.opinion = Opinion::Down;
                    health.signs = 0;
                    health.since = self.now;
                    self.downs += 1;
                    convicted.push(at);
                }
                Opinion::Up => self.ups += 1,
                Opinion::Down | Opinion::Unknown => self.downs += 1,
                Opinion::Gone => {}
            }
        }
        for at in convicted {
            self.counters.convictions += 1;
            self.table.known[at].view = None;
            self.event(Event::Down(self.table.hosts[at]));
        }
    }

    /// Forgets who is gone for long enough, and joined and never made it.
    pub(crate) fn sweep(&mut self) {
        self.quarantine.sweep(self.now);
        let now = self.now;
        let passed = |since: u64, limit: u64| now.saturating_sub(since) >= limit;
        let retention = micros(self.config.tombstone_retention);
        let joining = micros(self.config.joining_timeout);
        let until = now.saturating_add(micros(self.config.quarantine));
        let mut at = 0;
        while at < self.table.len() {
            let Health { opinion, since, .. } = self.table.health[at];
            let is_joining = self.table.known[at].status == Some(Status::Joining);
            let over = match opinion {
                Opinion::Gone => passed(since, retention),
                Opinion::Down | Opinion::Unknown => is_joining && passed(since, joining),
                Opinion::Up => false,
            };
            if over {
                let generation = self.table.rows[at].generation;
                self.quarantine.add(self.table.hosts[at], generation, until);
                self.forget(at);
            } else {
                at += 1;
            }
        }
    }

    pub(crate) fn forget(&mut self, at: usize) {
        let host = self.table.hosts[at];
        self.table.remove(at);
        self.event(Event::Forgotten(host));
    }

    /// Others say something of ourselves that we did not say.
    fn news_of_ourselves(&mut self, delta: &NodeDelta) {
        let value = |key| delta.entries.iter().find(|entry| entry.key == key);
        let status = value(Key::STATUS).and_then(|entry| Status::of(&entry.value));
        if delta.generation == Generation::REMOVED {
            if status == Some(Status::Removed) && !self.removed {
                self.removed = true;
                self.take_outputs();
                self.event(Event::RemovedOurselves);
            }
        } else if delta.generation > self.own_generation {
            self.impersonated(delta.generation);
        }
    }

    /// Somebody else claims to be a life of ours.
    pub(crate) fn impersonated(&mut self, generation: Generation) {
        let is_new = self.impersonator.is_none_or(|known| known < generation);
        if generation > self.own_generation && is_new {
            self.impersonator = Some(generation);
            self.event(Event::Impersonated { generation });
        }
    }
}
