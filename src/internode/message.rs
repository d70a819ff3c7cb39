//! Messages, as they stand in the body of a frame.
//!
//! ```text
//! u32_be  bytes that follow
//! u8      kind: 1 one-way, 2 request, 3 answer, 4 failure
//! 1, 2  | u8 verb | u8 flags: 01 a trace id follows; others are zero
//!       | u32_be milliseconds until its deadline, when it left
//!       | u64_be request id (kind 2 only) | 16 bytes trace id (flag 01 only)
//!       | payload: the rest
//! 3     | u64_be request id | payload: the rest
//! 4     | u64_be request id | u16_be code | text: the rest, UTF-8, at most 4096 bytes
//! ```
//!
//! The deadline is relative, so that no clock is compared with another machine's. An answer
//! repeats the id of its request, which means nothing to whoever answers.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use helenus_platform::codec::{CodecError, Put, Reader};

use super::error::Failure;

const ONE_WAY: u8 = 1;
const REQUEST: u8 = 2;
const ANSWER: u8 = 3;
const FAILURE: u8 = 4;
const FLAG_TRACE: u8 = 1;
/// The length before each message.
const LENGTH_BYTES: usize = 4;

/// What a request or one-way message says besides its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Not necessarily a verb that this version knows.
    pub(super) verb: u8,
    /// Request id; none for one-way messages.
    pub(super) id: Option<u64>,
    /// Time until its deadline, in whole milliseconds.
    pub(super) remaining: Duration,
    pub(super) trace: Option<[u8; 16]>,
}

/// One message of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// Something to do.
    Work(Head, Bytes),
    /// What became of a request.
    Answer(u64, Result<Bytes, Failure>),
}

/// Appends a request or a one-way message.
pub(super) fn put_work(out: &mut BytesMut, head: &Head, payload: &[u8]) {
    let start = begin(out, if head.id.is_some() { REQUEST } else { ONE_WAY });
    out.put_u8(head.verb);
    out.put_u8(if head.trace.is_some() { FLAG_TRACE } else { 0 });
    // Less than a millisecond counts as one: what has no time left is not sent.
    let millis = head.remaining.as_nanos().div_ceil(1_000_000);
    out.put_u32_be(u32::try_from(millis).unwrap_or(u32::MAX));
    if let Some(id) = head.id {
        out.put_u64_be(id);
    }
    if let Some(trace) = &head.trace {
        out.put_bytes(trace);
    }
    out.put_bytes(payload);
    end(out, start);
}

/// Begins an answer: the payload follows, then [`end_answer`]. Gives where it began.
pub(super) fn begin_answer(out: &mut BytesMut, id: u64) -> usize {
    let start = begin(out, ANSWER);
    out.put_u64_be(id);
    start
}

/// Bytes of an answer before its payload.
pub(super) const ANSWER_HEAD_BYTES: usize = LENGTH_BYTES + 1 + 8;

/// The answer that began at `start` is complete.
pub(super) fn end_answer(out: &mut BytesMut, start: usize) {
    end(out, start);
}

/// Appends a failure.
pub(super) fn put_failure(out: &mut BytesMut, id: u64, failure: &Failure) {
    let start = begin(out, FAILURE);
    out.put_u64_be(id);
    out.put_u16_be(failure.code);
    let text = &failure.text;
    let cut = text.floor_char_boundary(Failure::TEXT_BYTES_MAX);
    out.put_bytes(text.get(..cut).unwrap_or_default().as_bytes());
    end(out, start);
}

fn begin(out: &mut BytesMut, kind: u8) -> usize {
    let start = out.len();
    out.put_u32_be(0);
    out.put_u8(kind);
    start
}

fn end(out: &mut BytesMut, start: usize) {
    let length = out.len().saturating_sub(start + LENGTH_BYTES);
    let mut bytes = Vec::with_capacity(LENGTH_BYTES);
    bytes.put_u32_be(u32::try_from(length).unwrap_or(u32::MAX));
    if let Some(place) = out.get_mut(start..start + LENGTH_BYTES) {
        place.copy_from_slice(&bytes);
    }
}

/// Takes the messages of a frame's body one by one.
#[derive(Debug)]
pub(super) struct Messages {
    body: Bytes,
}

impl Messages {
    pub(super) fn new(body: Bytes) -> Self {
        Messages { body }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// The next one. After an error the rest means nothing.
    pub(super) fn next(&mut self) -> Result<Option<Message>, CodecError> {
        if self.body.is_empty() {
            return Ok(None);
        }
        let mut reader = Reader::new(&self.body);
        let length = reader.u32_be()? as usize;
        if length > reader.remaining() {
            return Err(reader.error("a message"));
        }
        let mut whole = self.body.split_to(LENGTH_BYTES + length);
        let _length = whole.split_to(LENGTH_BYTES);
        parse(whole).map(Some)
    }
}

fn parse(message: Bytes) -> Result<Message, CodecError> {
    let mut reader = Reader::new(&message);
    let kind = reader.u8()?;
    match kind {
        ONE_WAY | REQUEST => {
            let (verb, flags) = (reader.u8()?, reader.u8()?);
            if flags & !FLAG_TRACE != 0 {
                return Err(reader.error("the flags of a message"));
            }
            let remaining = Duration::from_millis(u64::from(reader.u32_be()?));
            let id = if kind == REQUEST { Some(reader.u64_be()?) } else { None };
            let trace = if flags & FLAG_TRACE != 0 {
                let bytes = reader.bytes(16)?;
                bytes.first_chunk().copied()
            } else {
                None
            };
            let at = reader.position();
            Ok(Message::Work(Head { verb, id, remaining, trace }, message.slice(at..)))
        }
        ANSWER => {
            let id = reader.u64_be()?;
            let at = reader.position();
            Ok(Message::Answer(id, Ok(message.slice(at..))))
        }
        FAILURE => {
            let (id, code) = (reader.u64_be()?, reader.u16_be()?);
            let text = reader.rest();
            if text.len() > Failure::TEXT_BYTES_MAX {
                return Err(reader.error("the text of a failure"));
            }
            let text = std::str::from_utf8(text).map_err(|_| reader.error("UTF-8"))?;
            Ok(Message::Answer(id, Err(Failure { code, text: text.to_owned() })))
        }
        _ => Err(reader.error("the kind of a message")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(id: Option<u64>, trace: Option<[u8; 16]>, micros: u64) -> Message {
        let remaining = Duration::from_micros(micros);
        let head = Head { verb: 200, id, remaining, trace };
        Message::Work(head, Bytes::from_static(b"payload"))
    }

    fn put(out: &mut BytesMut, message: &Message) {
        let start = out.len();
        match message {
            Message::Work(head, payload) => {
                put_work(out, head, payload);
                assert!(
                    out.len() - start - payload.len() <= super::super::frame::MESSAGE_OVERHEAD_MAX
                );
            }
            Message::Answer(id, Ok(payload)) => {
                let start = begin_answer(out, *id);
                assert_eq!(out.len() - start, ANSWER_HEAD_BYTES);
                out.put_bytes(payload);
                end_answer(out, start);
            }
            Message::Answer(id, Err(failure)) => put_failure(out, *id, failure),
        }
    }

    #[test]
    fn messages_come_back() {
        let failure = Failure::new(7, "é".repeat(5000));
        assert_eq!(failure.text.len(), 4096);
        let messages = [
            work(None, None, 5000),
            work(Some(u64::MAX), Some([3; 16]), 1000),
            Message::Answer(9, Ok(Bytes::new())),
            Message::Answer(10, Ok(Bytes::from_static(b"rows"))),
            Message::Answer(11, Err(failure)),
        ];
        let mut body = BytesMut::new();
        messages.iter().for_each(|message| put(&mut body, message));
        let whole = body.freeze();
        let mut reader = Messages::new(whole.clone());
        for message in &messages {
            assert_eq!(reader.next().as_ref(), Ok(&Some(message.clone())));
        }
        assert_eq!(reader.next(), Ok(None));
        for cut in 1..whole.len() {
            let mut reader = Messages::new(whole.slice(..cut));
            let ended = loop {
                match reader.next() {
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
            let at_an_end = ended == Ok(None);
            assert_eq!(at_an_end, cut_is_between(&messages, cut), "cut at {cut}");
        }
    }

    fn cut_is_between(messages: &[Message], cut: usize) -> bool {
        let mut body = BytesMut::new();
        messages.iter().any(|message| {
            put(&mut body, message);
            body.len() == cut
        })
    }

    #[test]
    fn a_deadline_is_never_rounded_away() {
        for (micros, millis) in [(1, 1), (1000, 1), (1001, 2)] {
            let mut out = BytesMut::new();
            put(&mut out, &work(None, None, micros));
            let Ok(Some(Message::Work(head, _))) = Messages::new(out.freeze()).next() else {
                panic!("no message")
            };
            assert_eq!(head.remaining, Duration::from_millis(millis));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bytes in [
            &[0, 0, 0, 0][..],
            &[0, 0, 0, 1, 9],
            &[0, 0, 0, 3, 1, 2, 0],
            &[0, 0, 0, 7, 1, 2, 8, 0, 0, 0, 1],
            &[0, 0, 0, 7, 1, 2, 1, 0, 0, 0, 1],
            &[0, 0, 0, 12, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff],
        ] {
            assert!(Messages::new(Bytes::from_static(bytes)).next().is_err(), "{bytes:?}");
        }
    }
}
