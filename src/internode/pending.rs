//! Requests that wait for their answers, by id and by deadline.
//!
//! An id is a place in a table and how often that place was used, so an answer finds its request
//! without hashing, and a late one finds nobody. Deadlines are kept in ticks; what was answered is
//! left there until its tick comes, or until there is more of that than of what waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::error::RequestError;

/// Takes the answers of requests: one value for all requests of a coordinator's operation, which
/// tells them apart by their tags, so that a request allocates nothing.
pub trait Responses: Send + Sync {
    /// Called exactly once for each request that was accepted, on whichever task finds out. It
    /// must not block. `tag` is what the request was sent with.
    fn respond(&self, tag: u32, response: Result<Bytes, RequestError>);
}

/// Who waits for an answer.
pub(super) struct Waiting {
    /// None: internode itself, which only wants to know that the peer is there.
    pub(super) to: Option<Arc<dyn Responses>>,
    pub(super) tag: u32,
    /// It has left.
    pub(super) sent: bool,
    deadline: Duration,
}

#[derive(Default)]
struct Place {
    used: u32,
    waiting: Option<Waiting>,
}

/// How long a tick of the table of deadlines is.
const TICK: Duration = Duration::from_millis(16);
/// Answered requests that may stay in the table of deadlines whatever waits.
const STALE_MAX: usize = 1024;

#[derive(Default)]
pub(super) struct Pending {
    places: Vec<Place>,
    free: Vec<u32>,
    count: usize,
    deadlines: BTreeMap<u64, Vec<u64>>,
    /// Entries in `deadlines`.
    noted: usize,
}

fn tick_of(deadline: Duration) -> u64 {
    u64::try_from(deadline.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX)
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Adds a request, and gives its id.
    pub(super) fn add(
        &mut self,
        to: Option<Arc<dyn Responses>>,
        tag: u32,
        deadline: Duration,
    ) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        let mut id = u64::from(index);
        if let Some(place) = self.places.get_mut(index as usize) {
            id |= u64::from(place.used) << 32;
            place.waiting = Some(Waiting { to, tag, sent: false, deadline });
        }
        self.count += 1;
        if self.noted > STALE_MAX + 2 * self.count {
            self.forget_answered();
        }
        self.deadlines.entry(tick_of(deadline)).or_default().push(id);
        self.noted += 1;
        id
    }

    fn get(&mut self, id: u64) -> Option<&mut Waiting> {
        let place = self.places.get_mut(id as u32 as usize)?;
        if place.used == (id >> 32) as u32 { place.waiting.as_mut() } else { None }
    }

    /// The request has left.
    pub(super) fn mark_sent(&mut self, id: u64) {
        if let Some(waiting) = self.get(id) {
            waiting.sent = true;
        }
    }

    /// Takes the request with this id out, if it still waits.
    pub(super) fn take(&mut self, id: u64) -> Option<Waiting> {
        self.get(id)?;
        let index = id as u32;
        let place = self.places.get_mut(index as usize)?;
        // After four thousand million uses of one place, an answer as late as that could be taken
        // for another's.
        place.used = place.used.wrapping_add(1);
        self.count -= 1;
        self.free.push(index);
        place.waiting.take()
    }

    /// Takes those out whose deadline has passed by `now`, in order of their ticks.
    pub(super) fn take_expired(&mut self, now: Duration, out: &mut Vec<Waiting>) {
        while let Some(entry) = self.deadlines.first_entry() {
            if *entry.key() > tick_of(now) {
                return;
            }
            let is_now = *entry.key() == tick_of(now);
            let ids = entry.remove();
            self.noted -= ids.len();
            let mut left = Vec::new();
            for id in ids {
                match self.get(id).map(|waiting| waiting.deadline) {
                    Some(deadline) if deadline <= now => out.extend(self.take(id)),
                    Some(_) => left.push(id),
                    None => {}
                }
            }
            self.noted += left.len();
            if !left.is_empty() {
                self.deadlines.insert(tick_of(now), left);
            }
            if is_now {
                return;
            }
        }
    }

    /// Takes all of them out.
    pub(super) fn take_all(&mut self) -> Vec<Waiting> {
        let all = std::mem::take(self);
        all.places.into_iter().filter_map(|place| place.waiting).collect()
    }

    fn forget_answered(&mut self) {
        let mut deadlines = std::mem::take(&mut self.deadlines);
        for ids in deadlines.values_mut() {
            ids.retain(|id| self.get(*id).is_some());
        }
        deadlines.retain(|_, ids| !ids.is_empty());
        self.noted = deadlines.values().map(Vec::len).sum();
        self.deadlines = deadlines;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn an_answer_finds_its_request_once() {
        let mut pending = Pending::default();
        let first = pending.add(None, 1, millis(100));
        let second = pending.add(None, 2, millis(100));
        assert_eq!(pending.take(first).map(|w| w.tag), Some(1));
        assert!(pending.take(first).is_none());
        let third = pending.add(None, 3, millis(100));
        assert_ne!(first, third);
        assert!(pending.take(first).is_none(), "its place belongs to another");
        assert_eq!(pending.take(third).map(|w| w.tag), Some(3));
        pending.mark_sent(second);
        assert!(pending.take(second).unwrap().sent);
        assert!(pending.take(u64::MAX).is_none());
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn deadlines_pass_when_they_do_and_not_before() {
        let mut pending = Pending::default();
        for (tag, deadline) in [(1, 50), (2, 10), (3, 60), (4, 51), (5, 1000)] {
            pending.add(None, tag, millis(deadline));
        }
        let mut at = |now| {
            let mut out = Vec::new();
            pending.take_expired(millis(now), &mut out);
            out.iter().map(|waiting| waiting.tag).collect::<Vec<u32>>()
        };
        assert!(at(9).is_empty());
        assert_eq!(at(50), [2, 1]);
        assert!(at(50).is_empty());
        assert_eq!(at(59), [4]);
        assert_eq!(at(500), [3]);
        assert!(at(999).is_empty());
        assert_eq!(at(5000), [5]);
        assert_eq!(pending.noted, 0);
    }

    #[test]
    fn what_was_answered_does_not_pile_up() {
        let mut pending = Pending::default();
        for n in 0..1_000_000_u64 {
            let id = pending.add(None, 0, millis(10_000 + n / 100));
            if n % 100_000 != 0 {
                pending.take(id);
            }
            assert!(pending.noted <= STALE_MAX + 2 * (pending.count + 1) + 1);
        }
        assert_eq!(pending.len(), 10);
        assert!(pending.places.len() < 20);
        let mut out = Vec::new();
        pending.take_expired(millis(100_000), &mut out);
        assert_eq!(out.len(), 10);
    }
}
