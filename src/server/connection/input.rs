//! The way in: bytes from the network, through segments if there are some, to whole frames.

use bytes::{Buf, BytesMut};
use cql_lite::wire::frame::{HEADER_BYTES, split_version};
use cql_lite::wire::segment::{Segment, SegmentMode, bytes_missing};
use cql_lite::wire::{FrameHeader, ProtocolVersion, WireError};

/// A buffer that a longer frame than this has made grow is given back after it.
const BUFFER_BYTES_KEPT: usize = 128 << 10;
/// How much is read at once when nothing says how much is coming.
const READ_BYTES: usize = 16 << 10;
/// Most that is read at once.
const READ_BYTES_MAX: usize = 256 << 10;

/// How frames are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// One behind the other.
    Bare,
    /// In segments (v5, once the connection is set up).
    Segments(SegmentMode),
}

/// What the input begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A whole frame.
    Frame(FrameHeader),
    /// A frame that is longer than it may be. Its body will be passed over.
    TooLong(FrameHeader),
    /// A frame of a version that nobody here speaks.
    UnknownVersion { version: u8, stream: i16 },
    /// Not yet a whole frame: about so many bytes more are needed.
    More(usize),
    /// Nothing that could be understood any more.
    Corrupt(WireError),
}

#[derive(Debug)]
pub(super) struct Input {
    framing: Framing,
    /// As read from the network.
    raw: BytesMut,
    /// What came out of segments.
    envelopes: BytesMut,
    /// The last segment held a part of an envelope only.
    partial: bool,
    /// Bytes of a refused body that are still to come.
    skip: usize,
}

impl Input {
    pub(super) fn new() -> Self {
        Input {
            framing: Framing::Bare,
            raw: BytesMut::new(),
            envelopes: BytesMut::new(),
            partial: false,
            skip: 0,
        }
    }

    /// From here on, frames come in another packing.
    pub(super) fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
    }

    /// Where the network appends.
    pub(super) fn raw(&mut self) -> &mut BytesMut {
        &mut self.raw
    }

    /// How much to read, when `missing` more bytes make a whole frame.
    pub(super) fn read_bytes(missing: usize) -> usize {
        missing.clamp(READ_BYTES, READ_BYTES_MAX)
    }

    fn frames(&mut self) -> &mut BytesMut {
        match self.framing {
            Framing::Bare => &mut self.raw,
            Framing::Segments(_) => &mut self.envelopes,
        }
    }

    /// Looks at the front. After [`Next::Frame`] call [`Input::take`].
    pub(super) fn next(&mut self, body_bytes_max: usize) -> Next {
        loop {
            let skipped = self.skip.min(self.frames().len());
            self.frames().advance(skipped);
            self.skip -= skipped;
            let next = if self.skip > 0 {
                // Passed over piece by piece, so nothing needs room for all of it.
                Next::More(self.skip.min(HEADER_BYTES))
            } else {
                look(self.frames(), body_bytes_max)
            };
            match (next, self.framing) {
                (Next::More(missing), Framing::Segments(mode)) => match self.unwrap_segment(mode) {
                    Ok(None) => {}
                    Ok(Some(segment)) => return Next::More(segment.max(missing)),
                    Err(error) => return Next::Corrupt(error),
                },
                (Next::TooLong(header), _) => {
                    self.pass_over(&header);
                    return Next::TooLong(header);
                }
                (next, _) => return next,
            }
        }
    }

    /// Passes over the frame at the front, of which perhaps only the header has come.
    fn pass_over(&mut self, header: &FrameHeader) {
        self.frames().advance(HEADER_BYTES);
        self.skip = header.body_bytes as usize;
    }

    /// Passes over a frame that is there in part; none if its header is not there yet.
    pub(super) fn refuse_partial(&mut self) -> Option<FrameHeader> {
        if self.skip > 0 {
            return None;
        }
        let header = FrameHeader::parse(self.frames())?;
        self.pass_over(&header);
        Some(header)
    }

    /// Whether a frame has begun and not ended.
    pub(super) fn is_partial(&self) -> bool {
        self.skip > 0 || !self.raw.is_empty() || !self.envelopes.is_empty()
    }

    /// Memory of the buffers.
    pub(super) fn held_bytes(&self) -> usize {
        self.raw.capacity() + self.envelopes.capacity()
    }

    /// How much more memory the buffers need for `missing` more bytes.
    pub(super) fn growth(&mut self, missing: usize) -> usize {
        let frames = self.frames();
        missing.saturating_sub(frames.capacity() - frames.len())
    }

    /// Makes room for a long frame at once: growing step by step would end with up to twice as
    /// much as it needs.
    pub(super) fn make_room(&mut self, missing: usize) {
        if missing > READ_BYTES_MAX {
            self.frames().reserve(missing);
        }
    }

    /// Gives the memory of empty buffers back.
    pub(super) fn rest(&mut self) {
        for buffer in [&mut self.raw, &mut self.envelopes] {
            if buffer.is_empty() {
                *buffer = BytesMut::new();
            }
        }
    }

    /// Moves the payload of the next segment to the envelopes; returns how many bytes are missing
    /// if it is not there whole.
    fn unwrap_segment(&mut self, mode: SegmentMode) -> Result<Option<usize>, WireError> {
        let Some(segment) = Segment::parse(&self.raw, mode)? else {
            return Ok(Some(bytes_missing(&self.raw, mode)));
        };
        let in_envelope = !self.envelopes.is_empty() || self.skip > 0;
        if in_envelope && (segment.self_contained || !self.partial) {
            return Err(WireError::corrupt("an envelope crosses the border of its segment"));
        }
        self.partial = !segment.self_contained;
        segment.append_payload(&mut self.envelopes)?;
        let wire_bytes = segment.wire_bytes;
        self.raw.advance(wire_bytes);
        Ok(None)
    }

    /// Lends the buffer that begins with a whole frame, so that its body can be read while the
    /// rest of the connection changes. Give it back with [`Input::put_back`].
    pub(super) fn take(&mut self) -> Taken {
        Taken { framing: self.framing, bytes: std::mem::take(self.frames()) }
    }

    /// Takes the buffer back, without its first `frame_bytes`.
    pub(super) fn put_back(&mut self, mut taken: Taken, frame_bytes: usize) {
        taken.bytes.advance(frame_bytes.min(taken.bytes.len()));
        if frame_bytes > BUFFER_BYTES_KEPT {
            taken.bytes = BytesMut::from(&taken.bytes[..]);
        }
        match taken.framing {
            Framing::Bare => self.raw = taken.bytes,
            Framing::Segments(_) => self.envelopes = taken.bytes,
        }
    }
}

/// A buffer lent by [`Input::take`].
pub(super) struct Taken {
    framing: Framing,
    bytes: BytesMut,
}

impl Taken {
    /// The body of the frame at the front.
    pub(super) fn body(&self, header: &FrameHeader) -> &[u8] {
        self.bytes.get(HEADER_BYTES..header.frame_bytes()).unwrap_or_default()
    }
}

fn look(bytes: &[u8], body_bytes_max: usize) -> Next {
    let Some(first) = bytes.first() else { return Next::More(HEADER_BYTES) };
    let (version, _) = split_version(*first);
    if ProtocolVersion::from_number(version).is_none() {
        return look_unknown(bytes, version);
    }
    let Some(header) = FrameHeader::parse(bytes) else {
        return Next::More(HEADER_BYTES - bytes.len());
    };
    if header.body_bytes as usize > body_bytes_max {
        Next::TooLong(header)
    } else if header.frame_bytes() > bytes.len() {
        Next::More(header.frame_bytes() - bytes.len())
    } else {
        Next::Frame(header)
    }
}

/// Versions 1 and 2 have one byte of stream, all later ones two, as far as anybody knows.
fn look_unknown(bytes: &[u8], version: u8) -> Next {
    let stream = match (version, bytes) {
        (0..=2, [_, _, stream, ..]) => i16::from(*stream),
        (3.., [_, _, high, low, ..]) => i16::from_be_bytes([*high, *low]),
        _ => return Next::More(HEADER_BYTES - bytes.len()),
    };
    Next::UnknownVersion { version, stream }
}
