//! What a connection weighs: the memory that it holds, and the limits past which it takes no more
//! requests, or refuses them.
//!
//! Past a limit, a client that said `THROW_ON_OVERLOAD` in its STARTUP is answered with
//! OVERLOADED; any other is made to wait, by not reading what it sends. A client that does not
//! read its answers is made to wait in either case.

use std::task::Waker;
use std::time::Duration;

use cql_lite::wire::{ErrorBody, ErrorKind};

use super::Connection;
use super::input::Input;
use crate::server::memory::{OWN_BYTES, SMALL_ANSWER_BYTES};

/// How long a connection takes no requests after one was refused for want of memory, unless there
/// is memory again: it could go on asking, and others would wait while it is refused.
const REST: Duration = Duration::from_millis(100);
/// The least that it is worth reading.
const READ_BYTES_MIN: usize = 4 << 10;

/// Whether a connection may read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Room {
    /// So many bytes at most.
    Bytes(usize),
    /// The frame that it was for has been refused: have another turn.
    Refused,
    /// Not now; the waker is woken when there may be room.
    None,
}

/// What a request is answered with when the node has too much to do, in Cassandra's words.
pub fn overloaded() -> ErrorBody {
    let what = "Server is in overloaded state. Cannot accept more requests at this point";
    ErrorBody::new(ErrorKind::Overloaded, what)
}

impl Connection {
    /// Memory of its buffers.
    fn held_bytes(&self) -> usize {
        self.input.held_bytes() + self.output.buffer_bytes() + self.scratch.capacity()
    }

    /// Whether the client has more to read than it may leave.
    pub(super) fn has_much_to_send(&self) -> bool {
        self.output.waiting_bytes() >= self.services.limits.output_bytes_max
    }

    /// Whether another request would exceed a limit of the connection or of the node. What it
    /// waits for comes without the client's help, or has been sent to the client: a connection
    /// that has neither may always go on.
    pub(super) fn is_overloaded(&self) -> bool {
        let limits = &self.services.limits;
        let held = self.output.held_bytes();
        let answers = held + self.output.waiting_bytes();
        if self.pending > 0 {
            let node_pending = self.services.metrics.apart.get();
            let expected = self.pending.saturating_mul(self.answer_bytes_expected);
            if self.pending >= limits.pending_max
                || usize::try_from(node_pending).is_ok_and(|all| all >= limits.node_pending_max)
                || answers.saturating_add(expected) >= limits.connection_bytes_in_flight_max
                || self.services.handler.is_backlogged()
            {
                return true;
            }
        }
        let takes_memory = self.pending > 0 || self.client_is_behind || answers > OWN_BYTES / 2;
        held >= limits.held_bytes_max || (takes_memory && self.services.memory.is_short())
    }

    /// Whether no request is taken now.
    pub(super) fn is_blocked(&self) -> bool {
        self.has_much_to_send()
            || (!self.throws_on_overload && (self.is_overloaded() || self.is_resting()))
    }

    /// Begins a rest if an answer was refused for want of memory.
    pub(super) fn rest_if_refused(&mut self) {
        if self.answer_memory.take_refused() {
            self.rest_until = self.now + REST;
        }
    }

    fn is_resting(&self) -> bool {
        self.now < self.rest_until && self.services.memory.is_short()
    }

    /// How long it takes no requests, because it would only have to refuse more of them. Nobody
    /// wakes it when that is over.
    pub(in crate::server) fn rest_left(&self) -> Option<Duration> {
        let rests = self.is_resting() && !self.throws_on_overload;
        rests.then(|| self.rest_until.saturating_sub(self.now))
    }

    /// Whether to refuse a request at once.
    pub(super) fn refuses(&self) -> bool {
        self.throws_on_overload && self.is_overloaded()
    }

    /// Counts the answer from `start` on, which has just been written; false if the node has no
    /// memory for it, so that it must be replaced.
    pub(super) fn has_memory_for_answer(&mut self, start: usize) -> bool {
        let held = self.held_bytes();
        if held <= self.share.covered() || self.share.try_cover(held) {
            return true;
        }
        let is_small = self.output.ready.len().saturating_sub(start) <= SMALL_ANSWER_BYTES;
        if is_small {
            self.share.cover(held);
        }
        if !is_small {
            self.answer_memory.refuse();
        }
        is_small
    }

    /// Counts what is held, whatever the limit says.
    pub(super) fn count_memory(&mut self) {
        self.share.cover(self.held_bytes());
    }

    /// The next answer may be as long as the last one; many short ones make one forget a long one.
    pub(super) fn expect_answers_like(&mut self, bytes: usize) {
        self.answer_bytes_expected = bytes.max(self.answer_bytes_expected / 2);
    }

    /// How much to read at most, after a turn that ended with
    /// [`Turn::NeedInput`](super::Turn::NeedInput). A frame is begun only when there is memory for
    /// all of it, so that no two frames wait for each other.
    pub(in crate::server) fn room_to_read(&mut self, missing: usize, waker: &Waker) -> Room {
        if !self.cover_reading(missing) {
            // What stands empty is not needed now.
            self.rest();
            if self.throws_on_overload
                && !self.cover_reading(missing)
                && let Some(header) = self.input.refuse_partial()
            {
                self.answer_error(&header, &overloaded());
                return Room::Refused;
            }
            self.services.memory.freed().register(&mut self.memory_slot, waker);
            if !self.cover_reading(missing) {
                return Room::None;
            }
        }
        self.input.make_room(missing);
        self.bytes_to_come = self.input.growth(missing).max(READ_BYTES_MIN);
        let room = self.share.covered().saturating_sub(self.held_bytes()).max(READ_BYTES_MIN);
        Room::Bytes(Input::read_bytes(missing).min(room))
    }

    fn cover_reading(&mut self, missing: usize) -> bool {
        let need = self.input.growth(missing).max(READ_BYTES_MIN);
        self.share.try_cover(self.held_bytes() + need)
    }

    /// Whether the socket took all that there was for the client. One that is behind gets no
    /// further requests executed while memory is short: their answers would be thrown away.
    pub(in crate::server) fn note_sent(&mut self, all: bool) {
        self.client_is_behind = !all;
    }

    /// After a turn that was blocked: whether it can go on after all. If not, and if it is for
    /// want of memory, `waker` is woken when there is some.
    pub(in crate::server) fn awaits_room(&mut self, waker: &Waker) -> bool {
        if !self.services.memory.is_short() {
            return self.can_go_on();
        }
        self.services.memory.freed().register(&mut self.memory_slot, waker);
        self.can_go_on()
    }

    /// Before the connection sleeps: gives back what it does not need. `is_paused`: it takes no
    /// requests because of a limit.
    pub(in crate::server) fn settle(&mut self, is_paused: bool) {
        self.share.shrink(self.held_bytes() + self.bytes_to_come);
        if is_paused != self.is_paused {
            self.is_paused = is_paused;
            self.services.metrics.paused.add(if is_paused { 1 } else { -1 });
        }
    }

    /// Gives the memory of empty buffers back: nothing has come or gone for a while.
    pub(in crate::server) fn rest(&mut self) {
        self.input.rest();
        self.output.rest();
        self.scratch = Vec::new();
        self.started = Vec::new();
        self.share.shrink(self.held_bytes() + self.bytes_to_come);
    }

    /// Whether it has buffers.
    pub(in crate::server) fn has_buffers(&self) -> bool {
        self.held_bytes() > 0
    }

    /// Bytes that have come and gone.
    pub(in crate::server) fn moved_bytes(&self) -> u64 {
        self.moved_bytes
    }

    /// Whether others need the memory that it holds for a client that has to move first.
    pub(in crate::server) fn is_in_the_way(&self) -> bool {
        let waits_for_client = self.output.waiting_bytes() > 0 || self.input.is_partial();
        waits_for_client && self.share.covered() > OWN_BYTES && self.services.memory.is_missed()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.services.handler.watermark_signal().unregister(&mut self.watermark_slot);
        self.services.memory.freed().unregister(&mut self.memory_slot);
        self.services.metrics.apart.add(-(self.pending as i64));
        if self.is_paused {
            self.services.metrics.paused.add(-1);
        }
    }
}
