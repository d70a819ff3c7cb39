//! Events on their way from whoever notices them to every connection that registered for them, in
//! the order of their publication.
//!
//! The hub keeps the last [`EVENTS_KEPT`] events. A connection that is further behind has lost
//! some and must close: its driver then connects again and reads the whole schema, which is right,
//! where a missing event would leave it wrong for good.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use cql_lite::wire::Event;
use helenus_platform::signal::{Signal, Slot};

/// Events that a slow connection can be behind.
pub const EVENTS_KEPT: usize = 1024;

/// Takes events in and keeps them for the connections.
#[derive(Debug, Default)]
pub struct EventHub {
    state: Mutex<State>,
    signal: Signal,
}

#[derive(Debug, Default)]
struct State {
    /// Number of the event after the last one.
    next: u64,
    /// The last events; the newest has number `next - 1`.
    kept: VecDeque<Arc<Event>>,
}

impl EventHub {
    /// A hub that has seen nothing.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Tells every registered connection. To be called before the change's own answer is given, so
    /// that a client that gets the answer can rely on its own event being on the way.
    pub fn publish(&self, event: Event) {
        {
            let mut state = self.lock();
            if state.kept.len() == EVENTS_KEPT {
                state.kept.pop_front();
            }
            state.kept.push_back(Arc::new(event));
            state.next += 1;
        }
        self.signal.notify_all();
    }

    /// Sees every event from now on.
    pub fn subscribe(self: &Arc<Self>) -> Subscription {
        let next = self.lock().next;
        Subscription { hub: self.clone(), next, slot: Slot::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's view of the events.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<EventHub>,
    /// Number of the next event to be seen.
    next: u64,
    slot: Slot,
}

/// The events were more than the hub keeps: some are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lagged;

impl Subscription {
    /// The next event, if there is one.
    pub fn try_next(&mut self) -> Result<Option<Arc<Event>>, Lagged> {
        let state = self.hub.lock();
        let behind = state.next - self.next;
        let Some(behind) = usize::try_from(behind).ok().filter(|n| *n <= state.kept.len()) else {
            return Err(Lagged);
        };
        let event = state.kept.get(state.kept.len() - behind).cloned();
        if event.is_some() {
            self.next += 1;
        }
        Ok(event)
    }

    /// Wakes `waker` when another event is published. Look for one after this call.
    pub fn register(&mut self, waker: &Waker) {
        self.hub.signal.register(&mut self.slot, waker);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.signal.unregister(&mut self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cql_lite::wire::{SchemaChange, SchemaChangeKind};

    fn event(number: usize) -> Event {
        Event::Schema(SchemaChange::keyspace(SchemaChangeKind::Created, format!("ks{number}")))
    }

    #[test]
    fn events_come_in_order_and_only_from_the_subscription_on() {
        let hub = EventHub::new();
        hub.publish(event(0));
        let mut early = hub.subscribe();
        hub.publish(event(1));
        let mut late = hub.subscribe();
        hub.publish(event(2));
        let all = |subscription: &mut Subscription| {
            std::iter::from_fn(|| subscription.try_next().unwrap())
                .map(|event| (*event).clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(all(&mut early), [event(1), event(2)]);
        assert_eq!(all(&mut late), [event(2)]);
    }

    #[test]
    fn who_is_too_far_behind_learns_it() {
        let hub = EventHub::new();
        let mut slow = hub.subscribe();
        for number in 0..EVENTS_KEPT {
            hub.publish(event(number));
        }
        assert_eq!(slow.try_next().unwrap().as_deref(), Some(&event(0)));
        hub.publish(event(EVENTS_KEPT));
        assert!(slow.try_next().unwrap().is_some());
        hub.publish(event(EVENTS_KEPT + 1));
        hub.publish(event(EVENTS_KEPT + 2));
        assert_eq!(slow.try_next(), Err(Lagged));
    }
}
