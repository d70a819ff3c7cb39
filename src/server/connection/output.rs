//! The way out: finished frames, frames that wait for the log, and bytes for the network.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};
use cql_lite::wire::compression::compress_frame;
use cql_lite::wire::segment::wrap_envelopes;
use cql_lite::wire::{Compression, ErrorBody, ProtocolVersion, ResponseWriter};

use super::input::Framing;
use crate::server::handler::Position;
use crate::server::metrics::Timing;

/// A buffer that has held more than this is given back once it is empty.
const BUFFER_BYTES_KEPT: usize = 128 << 10;

/// A queue of bytes that gives its memory back after a burst.
#[derive(Debug, Default)]
struct Queue {
    bytes: BytesMut,
    /// Most bytes since it was new.
    peak: usize,
}

impl Queue {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.peak = self.peak.max(self.bytes.len());
    }

    fn pop(&mut self, bytes: usize) {
        self.bytes.advance(bytes.min(self.bytes.len()));
        if self.bytes.is_empty() && self.peak > BUFFER_BYTES_KEPT {
            *self = Queue::default();
        }
    }
}

#[derive(Debug)]
pub(super) struct Output {
    framing: Framing,
    /// How bodies are compressed, one by one (v3, v4).
    compression: Option<Compression>,
    /// Frames that may leave.
    pub(super) ready: BytesMut,
    held: Held,
    /// What goes to the network.
    wire: Queue,
}

/// Answers that wait for the log, oldest first. They leave from the front only: one that could go
/// earlier than those before it waits for them, which is at most one more sync.
#[derive(Debug, Default)]
struct Held {
    frames: Queue,
    entries: VecDeque<HeldEntry>,
    /// Newest position that anything was held for.
    newest: Position,
}

#[derive(Debug, Clone, Copy)]
struct HeldEntry {
    until: Position,
    stream: i16,
    bytes: usize,
    timing: Timing,
}

impl Output {
    pub(super) fn new() -> Self {
        Output {
            framing: Framing::Bare,
            compression: None,
            ready: BytesMut::new(),
            held: Held::default(),
            wire: Queue::default(),
        }
    }

    /// From here on, frames leave in another packing; those before leave in the old one.
    pub(super) fn set_framing(&mut self, framing: Framing, compression: Option<Compression>) {
        self.flush();
        self.framing = framing;
        self.compression = compression;
    }

    /// How bodies are compressed, one by one.
    pub(super) fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// The frame from `start` to the end of `ready` is finished.
    pub(super) fn finished(&mut self, start: usize) {
        if let Some(compression) = self.compression {
            compress_frame(compression, &mut self.ready, start);
        }
    }

    /// Forgets the frame from `start` to the end of `ready`, and the memory that it took.
    pub(super) fn take_back(&mut self, start: usize) {
        self.ready = BytesMut::from(self.ready.get(..start).unwrap_or_default());
    }

    /// The finished frame from `start` to the end of `ready` has to wait until the log has come to
    /// `until`.
    pub(super) fn hold(&mut self, start: usize, until: Position, stream: i16, timing: Timing) {
        let frame = self.ready.get(start..).unwrap_or_default();
        self.held.entries.push_back(HeldEntry { until, stream, bytes: frame.len(), timing });
        self.held.frames.push(frame);
        self.held.newest = self.held.newest.max(until);
        self.ready.truncate(start);
    }

    /// Lets go what has waited for a position up to `watermark`, and tells `each` of it.
    pub(super) fn release(&mut self, watermark: Position, each: impl Fn(Timing)) {
        let mut bytes = 0;
        while let Some(entry) = self.held.entries.front().filter(|e| e.until <= watermark) {
            bytes += entry.bytes;
            each(entry.timing);
            self.held.entries.pop_front();
        }
        if bytes > 0 {
            let released = self.held.frames.bytes.get(..bytes).unwrap_or_default();
            self.ready.extend_from_slice(released);
            self.held.frames.pop(bytes);
        }
    }

    /// Answers everything that still waits with `error`; says how much that was.
    pub(super) fn fail_held(&mut self, error: &ErrorBody, version: ProtocolVersion) -> usize {
        self.held.frames = Queue::default();
        let entries = std::mem::take(&mut self.held.entries);
        for entry in &entries {
            let mut writer = ResponseWriter::new(&mut self.ready, version, entry.stream);
            writer.error(error);
            writer.finish();
        }
        entries.len()
    }

    pub(super) fn holds(&self) -> bool {
        !self.held.entries.is_empty()
    }

    /// Newest position that an answer was held for.
    pub(super) fn newest_held(&self) -> Position {
        self.held.newest
    }

    pub(super) fn held_bytes(&self) -> usize {
        // Small answers cost their entry, too.
        self.held.frames.bytes.len() + self.held.entries.len() * size_of::<HeldEntry>()
    }

    /// Memory of the buffers.
    pub(super) fn buffer_bytes(&self) -> usize {
        self.ready.capacity()
            + self.wire.bytes.capacity()
            + self.held.frames.bytes.capacity()
            + self.held.entries.capacity() * size_of::<HeldEntry>()
    }

    /// Gives the memory of empty buffers back.
    pub(super) fn rest(&mut self) {
        if self.ready.is_empty() {
            self.ready = BytesMut::new();
        }
        if self.wire.bytes.is_empty() {
            self.wire = Queue::default();
        }
        if self.held.entries.is_empty() {
            self.held = Held { newest: self.held.newest, ..Held::default() };
        }
    }

    /// Bytes that wait for the client to read.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.ready.len() + self.wire.bytes.len()
    }

    /// Packs the frames that may leave for the network.
    pub(super) fn flush(&mut self) {
        if self.ready.is_empty() {
            return;
        }
        let wire = &mut self.wire;
        match self.framing {
            Framing::Bare if wire.bytes.is_empty() => {
                std::mem::swap(&mut self.ready, &mut wire.bytes);
            }
            Framing::Bare => wire.bytes.extend_from_slice(&self.ready),
            Framing::Segments(mode) => wrap_envelopes(&self.ready, mode, &mut wire.bytes),
        }
        wire.peak = wire.peak.max(wire.bytes.len());
        self.ready.clear();
        if self.ready.capacity() > BUFFER_BYTES_KEPT {
            self.ready = BytesMut::new();
        }
    }

    /// Bytes for the network, as far as they are packed.
    pub(super) fn wire(&self) -> &[u8] {
        &self.wire.bytes
    }

    /// The network took the first `bytes`.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.wire.pop(bytes);
    }
}
