//! One simulated connection: two sides, and for each the bytes that it has written and the other
//! has not read.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::task::Waker;
use std::time::Duration;

use bytes::{Buf, Bytes};

use super::Direction;

/// What one direction holds before the writer has to wait.
pub(super) const PIPE_BYTES_MAX: usize = 64 << 10;

/// Who opened the connection, or who accepted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Opener = 0,
    Acceptor = 1,
}

impl Side {
    pub(super) fn other(self) -> Side {
        match self {
            Side::Opener => Side::Acceptor,
            Side::Acceptor => Side::Opener,
        }
    }
}

/// What arrives at some time; empty is the end of the stream.
struct Segment {
    at: Duration,
    bytes: Bytes,
}

/// What one side has, and what it has written.
#[derive(Default)]
struct End {
    /// Written here, on its way to the other side, in order of arrival.
    sent: VecDeque<Segment>,
    sent_bytes: usize,
    /// Nothing more is written here.
    shut: bool,
    /// The socket is gone.
    closed: bool,
    /// The host died.
    killed: bool,
    /// When the other side hears that this one has reset the connection.
    reset_at: Option<Duration>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl End {
    fn last_arrival(&self) -> Duration {
        self.sent.back().map_or(Duration::ZERO, |segment| segment.at)
    }

    fn wake(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(self.reader.take());
        woken.extend(self.writer.take());
    }
}

/// What a read finds.
pub(super) enum Found {
    Bytes(Bytes),
    End,
    Reset,
    Killed,
    /// Nothing yet; what is on its way arrives then.
    Nothing(Option<Duration>),
}

/// What a write finds.
pub(super) enum Room {
    Bytes(usize),
    Broken,
    Reset,
    Killed,
    /// None; a reset that is on its way arrives then.
    None(Option<Duration>),
}

pub(super) struct Connection {
    addresses: [SocketAddr; 2],
    ends: [End; 2],
}

impl Connection {
    pub(super) fn new(opener: SocketAddr, acceptor: SocketAddr) -> Self {
        Connection { addresses: [opener, acceptor], ends: [End::default(), End::default()] }
    }

    fn end(&mut self, side: Side) -> &mut End {
        let [opener, acceptor] = &mut self.ends;
        match side {
            Side::Opener => opener,
            Side::Acceptor => acceptor,
        }
    }

    /// Where the bytes go that `side` writes.
    pub(super) fn direction(&self, side: Side) -> Direction {
        let [opener, acceptor] = self.addresses.map(|address| address.ip());
        match side {
            Side::Opener => (opener, acceptor),
            Side::Acceptor => (acceptor, opener),
        }
    }

    /// The sides that live on this host and were not killed with an earlier life of it.
    pub(super) fn sides_of(&self, ip: IpAddr) -> Vec<Side> {
        let sides = [Side::Opener, Side::Acceptor].into_iter().zip(&self.ends);
        let own = sides.filter(|(side, end)| self.direction(*side).0 == ip && !end.killed);
        own.map(|(side, _)| side).collect()
    }

    /// Whether nobody is left.
    pub(super) fn is_over(&self) -> bool {
        self.ends.iter().all(|end| end.closed)
    }

    /// When the other side's reset was, or will be, heard of; `until` is up to when things arrive.
    fn reset_heard(&mut self, side: Side, until: Duration) -> Option<Result<(), Duration>> {
        let at = self.end(side.other()).reset_at?;
        Some(if at <= until { Ok(()) } else { Err(at) })
    }

    /// What `side` reads now, at most `max` bytes. `until`: what arrives later is not there yet.
    pub(super) fn read(&mut self, side: Side, until: Duration, max: usize) -> Found {
        if self.end(side).killed {
            return Found::Killed;
        }
        let reset = match self.reset_heard(side, until) {
            Some(Ok(())) => return Found::Reset,
            Some(Err(at)) => Some(at),
            None => None,
        };
        let from = self.end(side.other());
        let Some(front) = from.sent.front_mut() else { return Found::Nothing(reset) };
        if front.at > until {
            return Found::Nothing(Some(reset.map_or(front.at, |at| at.min(front.at))));
        }
        if front.bytes.is_empty() {
            return Found::End;
        }
        let taken = front.bytes.split_to(max.min(front.bytes.len()));
        if !front.bytes.has_remaining() {
            from.sent.pop_front();
        }
        from.sent_bytes -= taken.len();
        Found::Bytes(taken)
    }

    /// Whether `side` can write.
    pub(super) fn room(&mut self, side: Side, until: Duration) -> Room {
        if self.end(side).killed {
            return Room::Killed;
        }
        let reset = match self.reset_heard(side, until) {
            Some(Ok(())) => return Room::Reset,
            Some(Err(at)) => Some(at),
            None => None,
        };
        let end = self.end(side);
        if end.shut {
            return Room::Broken;
        }
        match PIPE_BYTES_MAX.saturating_sub(end.sent_bytes) {
            0 => Room::None(reset),
            room => Room::Bytes(room),
        }
    }

    /// Puts `bytes` on their way; they arrive at `at`, or behind what was written before. Writing
    /// to who is gone is answered by a reset, which arrives at `back`.
    pub(super) fn write(
        &mut self,
        side: Side,
        bytes: Bytes,
        at: Duration,
        back: Duration,
        woken: &mut Vec<Waker>,
    ) {
        if self.end(side.other()).closed {
            self.end(side.other()).reset_at.get_or_insert(back);
            self.end(side).wake(woken);
            return;
        }
        let end = self.end(side);
        let at = at.max(end.last_arrival());
        end.sent_bytes += bytes.len();
        end.sent.push_back(Segment { at, bytes });
        woken.extend(self.end(side.other()).reader.take());
    }

    /// Nothing more is written by `side`.
    pub(super) fn shut(&mut self, side: Side, at: Duration, woken: &mut Vec<Waker>) {
        let end = self.end(side);
        if !std::mem::replace(&mut end.shut, true) {
            let at = at.max(end.last_arrival());
            end.sent.push_back(Segment { at, bytes: Bytes::new() });
        }
        woken.extend(self.end(side.other()).reader.take());
    }

    /// The socket of `side` is gone. With unread bytes that is a reset.
    pub(super) fn close(&mut self, side: Side, at: Duration, woken: &mut Vec<Waker>) {
        let unread = self.end(side.other()).sent_bytes > 0;
        self.end(side).closed = true;
        if self.end(side).killed {
            return;
        }
        if unread {
            self.end(side).reset_at.get_or_insert(at);
            self.end(side.other()).wake(woken);
        } else {
            self.shut(side, at, woken);
        }
    }

    /// The host of `side` died; the other side hears of it at `at`.
    pub(super) fn kill(&mut self, side: Side, at: Duration, woken: &mut Vec<Waker>) {
        let end = self.end(side);
        end.killed = true;
        end.reset_at.get_or_insert(at);
        self.ends.iter_mut().for_each(|end| end.wake(woken));
    }

    /// Both sides hear of a reset at once, whatever the links are like.
    pub(super) fn reset_now(&mut self, woken: &mut Vec<Waker>) {
        for end in &mut self.ends {
            end.reset_at = Some(Duration::ZERO);
            end.wake(woken);
        }
    }

    /// What `side` has written and what had not arrived by `since` arrives at `again` instead.
    pub(super) fn resend(
        &mut self,
        side: Side,
        since: Duration,
        again: Duration,
        woken: &mut Vec<Waker>,
    ) {
        let end = self.end(side);
        for segment in end.sent.iter_mut().filter(|segment| segment.at > since) {
            segment.at = segment.at.max(again);
        }
        end.reset_at = end.reset_at.map(|at| if at > since { at.max(again) } else { at });
        self.end(side.other()).wake(woken);
    }

    /// Who is woken when there is something to read.
    pub(super) fn await_bytes(&mut self, side: Side, waker: &Waker) {
        self.end(side).reader = Some(waker.clone());
    }

    /// Who is woken when there is room again.
    pub(super) fn await_room(&mut self, side: Side, waker: &Waker) {
        self.end(side).writer = Some(waker.clone());
    }

    /// `side` has read: the other one has room.
    pub(super) fn made_room(&mut self, side: Side, woken: &mut Vec<Waker>) {
        woken.extend(self.end(side.other()).writer.take());
    }
}
