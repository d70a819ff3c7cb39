//! The segments of protocol v5, and the frames inside them.
//!
//! Input: 1 bit of mode, then bytes of the stream.

use bytes::BytesMut;
use cql_lite::wire::FrameHeader;
use cql_lite::wire::segment::{Segment, SegmentMode, bytes_missing, wrap_envelopes};

/// The longest payload of a segment, protocol v5 §2.2.
const PAYLOAD_BYTES_MAX: usize = (1 << 17) - 1;

/// A segment claims no more than arrived, expands to no more than a segment may hold, and what was
/// wrapped comes out again.
pub fn run(data: &[u8]) {
    let [mode, stream @ ..] = data else { return };
    let mode = if mode & 1 == 0 { SegmentMode::Plain } else { SegmentMode::Lz4 };
    let mut rest = stream;
    let mut envelopes = BytesMut::new();
    while let Ok(Some(segment)) = Segment::parse(rest, mode) {
        assert!(segment.wire_bytes > 0 && segment.wire_bytes <= rest.len());
        assert_eq!(bytes_missing(rest, mode), 0);
        let before = envelopes.len();
        if segment.append_payload(&mut envelopes).is_err() {
            break;
        }
        assert!(envelopes.len() - before <= PAYLOAD_BYTES_MAX);
        let _ = FrameHeader::parse(&envelopes);
        rest = &rest[segment.wire_bytes..];
    }
    let sent = envelope(stream);
    let mut wrapped = BytesMut::new();
    wrap_envelopes(&sent, mode, &mut wrapped);
    let (mut rest, mut unwrapped) = (&wrapped[..], BytesMut::new());
    while !rest.is_empty() {
        let segment = Segment::parse(rest, mode).unwrap().unwrap();
        segment.append_payload(&mut unwrapped).unwrap();
        rest = &rest[segment.wire_bytes..];
    }
    assert_eq!(unwrapped, sent);
}

/// A QUERY frame of protocol v5 around a body.
pub(crate) fn envelope(body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&[5, 0, 0, 0, 7], &length[..], body].concat()
}
