//! Answers that wait for the commit log, oldest first. They leave from the front only: one that
//! could go earlier than those before it waits for them, which is at most one more sync.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};

use super::error::Failure;
use super::frame::FrameWriter;
use super::handler::Position;
use super::message;

/// A buffer that has held more than this is given back once it is empty.
const BUFFER_BYTES_KEPT: usize = 128 << 10;

#[derive(Debug, Default)]
pub(super) struct Held {
    messages: BytesMut,
    entries: VecDeque<Entry>,
    newest: Position,
    peak: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    until: Position,
    id: u64,
    bytes: usize,
}

impl Held {
    /// Keeps `message`, the answer to request `id`, back until the log has come to `until`.
    pub(super) fn push(&mut self, message: &[u8], id: u64, until: Position) {
        self.messages.extend_from_slice(message);
        self.entries.push_back(Entry { until, id, bytes: message.len() });
        self.newest = self.newest.max(until);
        self.peak = self.peak.max(self.messages.len());
    }

    /// Lets go what has waited for a position up to `watermark`; says how much that was.
    pub(super) fn release(&mut self, watermark: Position, out: &mut FrameWriter) -> usize {
        let before = self.entries.len();
        while let Some(entry) = self.entries.front().filter(|entry| entry.until <= watermark) {
            let message = self.messages.get(..entry.bytes).unwrap_or_default();
            out.begin().extend_from_slice(message);
            out.end();
            self.messages.advance(entry.bytes.min(self.messages.len()));
            self.entries.pop_front();
        }
        if self.entries.is_empty() && self.peak > BUFFER_BYTES_KEPT {
            *self = Held { newest: self.newest, ..Held::default() };
        }
        before - self.entries.len()
    }

    /// Answers everything that still waits with `failure`.
    pub(super) fn fail(&mut self, failure: &Failure, out: &mut FrameWriter) {
        for entry in std::mem::take(self).entries {
            message::put_failure(out.begin(), entry.id, failure);
            out.end();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Newest position that an answer was held for.
    pub(super) fn newest(&self) -> Position {
        self.newest
    }

    pub(super) fn bytes(&self) -> usize {
        // Small answers cost their entry, too.
        self.messages.len() + self.entries.len() * size_of::<Entry>()
    }
}
