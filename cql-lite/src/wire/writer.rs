//! Writes one answer of a server, piece by piece, straight into an output buffer: a frame's
//! header, then the body, of which rows grow cell by cell. What stands before something that is
//! known only later (the body's length, the count of rows, warnings) is filled in or inserted at
//! the end.
//!
//! An answer that has to wait half-way is taken out of the buffer by [`ResponseWriter::detach`]
//! and goes on in a buffer of its own.

use bytes::BytesMut;
use helenus_platform::codec::Put;

use super::frame::{
    Direction, HEADER_BYTES, Opcode, begin_frame, end_frame, flags, set_frame_flags,
    set_frame_opcode,
};
use super::notation::{PutNotation, insert, patch_u32};
use super::response::{
    EncodedColumns, ErrorBody, Prepared, Response, RowsEncoder, SchemaChange, result_kind,
};
use super::version::ProtocolVersion;

/// What is known of an answer beside its bytes. Offsets are relative to `start`.
#[derive(Debug)]
struct State {
    version: ProtocolVersion,
    stream: i16,
    /// Where the frame begins in the buffer.
    start: usize,
    rows: Option<RowsEncoder>,
    /// Where the cells of the row that is being written begin.
    row_at: usize,
    warnings: Vec<String>,
    tracing_id: Option<[u8; 16]>,
    keyspace: Option<String>,
}

impl State {
    fn new(version: ProtocolVersion, stream: i16, start: usize) -> Self {
        State {
            version,
            stream,
            start,
            rows: None,
            row_at: HEADER_BYTES,
            warnings: Vec::new(),
            tracing_id: None,
            keyspace: None,
        }
    }
}

/// Writes one answer into a buffer that may hold others before it. Every answer is a RESULT until
/// [`ResponseWriter::error`] or [`ResponseWriter::response`] makes it something else.
#[derive(Debug)]
pub struct ResponseWriter<'a> {
    out: &'a mut BytesMut,
    state: State,
}

/// What a finished answer leaves behind, beside its bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// The keyspace that the connection has from now on, if the answer says so.
    pub keyspace: Option<String>,
    /// Where the answer's frame begins in the buffer.
    pub start: usize,
}

impl<'a> ResponseWriter<'a> {
    /// Begins an answer at the end of `out`.
    pub fn new(out: &'a mut BytesMut, version: ProtocolVersion, stream: i16) -> Self {
        let start = begin_frame(out, version, Direction::Response, stream, Opcode::Result);
        ResponseWriter { out, state: State::new(version, stream, start) }
    }

    /// The version that the answer is written for.
    pub fn version(&self) -> ProtocolVersion {
        self.state.version
    }

    /// Bytes of the body so far.
    pub fn body_bytes(&self) -> usize {
        self.out.len() - self.state.start - HEADER_BYTES
    }

    /// Adds a warning (v4 on; older clients cannot be warned).
    pub fn warn(&mut self, warning: impl Into<String>) {
        if self.state.version >= ProtocolVersion::V4 {
            self.state.warnings.push(warning.into());
        }
    }

    /// Names the trace that was recorded.
    pub fn tracing_id(&mut self, id: [u8; 16]) {
        self.state.tracing_id = Some(id);
    }

    /// Answers with a result that says nothing.
    pub fn void(&mut self) {
        self.restart(Opcode::Result);
        self.out.put_u32_be(result_kind::VOID);
    }

    /// Answers that the connection has another keyspace now.
    pub fn set_keyspace(&mut self, keyspace: &str) {
        self.restart(Opcode::Result);
        self.out.put_u32_be(result_kind::SET_KEYSPACE);
        self.out.put_string(keyspace);
        self.state.keyspace = Some(keyspace.to_owned());
    }

    /// Answers that the schema changed.
    pub fn schema_change(&mut self, change: &SchemaChange) {
        self.restart(Opcode::Result);
        self.out.put_u32_be(result_kind::SCHEMA_CHANGE);
        change.put(self.state.version, self.out);
    }

    /// Answers with a prepared statement.
    pub fn prepared(&mut self, prepared: &Prepared) {
        self.restart(Opcode::Result);
        self.out.put_u32_be(result_kind::PREPARED);
        prepared.put(self.state.version, self.out);
    }

    /// Answers with an error, in place of whatever was written.
    pub fn error(&mut self, error: &ErrorBody) {
        self.restart(Opcode::Error);
        error.put(self.state.version, self.out);
    }

    /// Answers with any response.
    pub fn response(&mut self, response: &Response) {
        self.restart(response.opcode());
        response.encode_body(self.state.version, self.out);
    }

    /// Begins rows. `skip_metadata` is the client's wish; `new_metadata_id` is set when the
    /// client's columns are out of date (v5).
    pub fn begin_rows(
        &mut self,
        columns: &EncodedColumns,
        skip_metadata: bool,
        new_metadata_id: Option<&[u8]>,
    ) {
        debug_assert_eq!(columns.version(), self.state.version);
        self.restart(Opcode::Result);
        let start = self.state.start;
        let rows = RowsEncoder::begin(self.out, start, columns, skip_metadata, new_metadata_id);
        self.state.rows = Some(rows);
        self.state.row_at = self.out.len() - start;
    }

    /// Appends a cell to the row; none is null.
    #[inline]
    pub fn cell(&mut self, value: Option<&[u8]>) {
        self.out.put_bytes_or_null(value);
    }

    /// Appends a cell that `write` puts together in place.
    pub fn cell_with(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let at = self.out.len();
        self.out.put_i32_be(0);
        write(self.out);
        let length = self.out.len() - at - 4;
        patch_u32(self.out, at, length as u32);
    }

    /// The cells since the last row make up a row.
    #[inline]
    pub fn end_row(&mut self) {
        debug_assert!(self.state.rows.is_some());
        if let Some(rows) = &mut self.state.rows {
            rows.end_row();
        }
        self.state.row_at = self.out.len() - self.state.start;
    }

    /// Takes back the cells since the last row.
    pub fn discard_row(&mut self) {
        self.out.truncate(self.state.start + self.state.row_at);
    }

    /// Rows so far.
    pub fn rows(&self) -> u32 {
        self.state.rows.as_ref().map_or(0, RowsEncoder::rows)
    }

    /// Ends the rows, with the paging state if more pages follow.
    pub fn finish_rows(&mut self, paging_state: Option<&[u8]>) {
        self.discard_row();
        if let Some(rows) = self.state.rows.take() {
            rows.finish(self.out, self.state.start, paging_state);
        }
    }

    /// Takes the answer out of the buffer, as far as it is written, to go on elsewhere. The
    /// buffer is as it was before this answer, and nothing may be written here any more.
    pub fn detach(&mut self) -> DetachedResponse {
        // A copy: a part of the buffer would keep all of it from being freed.
        let written = self.out.get(self.state.start..).unwrap_or_default();
        let out = BytesMut::from(written);
        self.out.truncate(self.state.start);
        let left = State::new(self.state.version, self.state.stream, self.out.len());
        let mut state = std::mem::replace(&mut self.state, left);
        state.start = 0;
        DetachedResponse { out, state }
    }

    /// Whether nothing is written yet: no answer at all, or a detached one.
    pub fn is_empty(&self) -> bool {
        self.out.len() <= self.state.start + HEADER_BYTES
    }

    /// Takes the answer back as if it had never begun.
    pub fn abandon(self) {
        self.out.truncate(self.state.start);
    }

    /// Completes the frame. Without this call the answer is not a message.
    pub fn finish(self) -> Finished {
        finish(self.out, self.state)
    }

    /// Throws away what was written and begins again.
    fn restart(&mut self, opcode: Opcode) {
        debug_assert!(self.out.len() >= self.state.start + HEADER_BYTES);
        self.out.truncate(self.state.start + HEADER_BYTES);
        set_frame_opcode(self.out, self.state.start, opcode);
        self.state.rows = None;
        self.state.keyspace = None;
    }
}

/// Bytes that a detached answer may leave unused of its buffer.
const SPARE_BYTES_MAX: usize = 4 << 10;

/// An answer with a buffer of its own.
#[derive(Debug)]
pub struct DetachedResponse {
    out: BytesMut,
    state: State,
}

impl DetachedResponse {
    /// Begins an answer.
    pub fn new(version: ProtocolVersion, stream: i16) -> Self {
        let mut out = BytesMut::new();
        ResponseWriter::new(&mut out, version, stream).detach()
    }

    /// The stream that the answer goes to.
    pub fn stream(&self) -> i16 {
        self.state.stream
    }

    /// Goes on with it.
    pub fn with<T>(&mut self, write: impl FnOnce(&mut ResponseWriter<'_>) -> T) -> T {
        let fresh = State::new(self.state.version, self.state.stream, 0);
        let state = std::mem::replace(&mut self.state, fresh);
        let mut writer = ResponseWriter { out: &mut self.out, state };
        let result = write(&mut writer);
        self.state = writer.state;
        result
    }

    /// The memory that it takes, which is more than what is written.
    pub fn buffer_bytes(&self) -> usize {
        self.out.capacity()
    }

    /// Completes the frame; `start` in what is left behind is zero. The frame takes hardly more
    /// memory than it has bytes: it may be kept for long.
    pub fn finish(mut self) -> (BytesMut, Finished) {
        let finished = finish(&mut self.out, self.state);
        if self.out.capacity() - self.out.len() > SPARE_BYTES_MAX.max(self.out.len() / 8) {
            self.out = BytesMut::from(&*self.out);
        }
        (self.out, finished)
    }
}

/// Inserts what leads the body (§2.2: trace id, then warnings) and fills in the length.
fn finish(out: &mut BytesMut, state: State) -> Finished {
    let mut lead = Vec::new();
    let mut bits = 0;
    if let Some(id) = state.tracing_id {
        lead.put_bytes(&id);
        bits |= flags::TRACING;
    }
    if !state.warnings.is_empty() {
        lead.put_string_list(&state.warnings);
        bits |= flags::WARNING;
    }
    if bits != 0 {
        insert(out, state.start + HEADER_BYTES, &lead);
        set_frame_flags(out, state.start, bits);
    }
    end_frame(out, state.start);
    Finished { keyspace: state.keyspace, start: state.start }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::CqlType;
    use crate::wire::{ColumnSpec, FrameHeader, ResultBody, decode_response};

    fn columns(version: ProtocolVersion) -> EncodedColumns {
        let name = |name: &str| name.to_owned();
        let ty = CqlType::Blob;
        let spec = ColumnSpec { keyspace: name("ks"), table: name("t"), name: name("c"), ty };
        EncodedColumns::new(&[spec], version)
    }

    fn decode(out: &[u8], version: ProtocolVersion) -> crate::wire::ResponseBody {
        let header = FrameHeader::parse(out).unwrap();
        assert_eq!(header.frame_bytes(), out.len());
        assert_eq!(header.stream, 9);
        let opcode = Opcode::from_byte(header.opcode).unwrap();
        decode_response(version, header.flags, opcode, &out[HEADER_BYTES..]).unwrap()
    }

    #[test]
    fn rows_warnings_and_a_paging_state_go_together_in_one_answer() {
        for version in ProtocolVersion::ALL {
            let mut out = BytesMut::from(&b"before"[..]);
            let mut writer = ResponseWriter::new(&mut out, version, 9);
            writer.begin_rows(&columns(version), false, None);
            writer.cell(Some(b"one"));
            writer.end_row();
            writer.cell(Some(b"taken back"));
            writer.discard_row();
            // Goes on elsewhere and comes back with more.
            let mut detached = writer.detach();
            assert!(writer.is_empty());
            detached.with(|writer| {
                writer.cell_with(|out| out.put_bytes(b"two"));
                writer.end_row();
                writer.warn("careful");
                writer.tracing_id([7; 16]);
                assert_eq!(writer.rows(), 2);
                writer.finish_rows(Some(b"state"));
            });
            let (bytes, finished) = detached.finish();
            assert_eq!(finished, Finished::default());
            assert_eq!(&out[..], b"before");
            let body = decode(&bytes, version);
            assert_eq!(body.tracing_id, Some([7; 16]));
            let warned = version >= ProtocolVersion::V4;
            assert_eq!(body.warnings.len(), usize::from(warned));
            match body.response {
                Response::Result(ResultBody::Rows(rows)) => {
                    let cells: Vec<_> = rows.iter().map(|row| row[0].unwrap().to_vec()).collect();
                    assert_eq!(cells, [b"one", b"two"]);
                    assert_eq!(rows.metadata.paging_state.as_deref(), Some(&b"state"[..]));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_error_takes_the_place_of_what_was_written() {
        let version = ProtocolVersion::V4;
        let mut out = BytesMut::new();
        let mut writer = ResponseWriter::new(&mut out, version, 9);
        writer.begin_rows(&columns(version), true, None);
        writer.cell(None);
        writer.error(&ErrorBody::server("no"));
        writer.finish();
        assert_eq!(decode(&out, version).response, Response::Error(ErrorBody::server("no")));
    }

    #[test]
    fn a_keyspace_is_reported_to_the_connection() {
        let mut out = BytesMut::from(&b"12345"[..]);
        let mut writer = ResponseWriter::new(&mut out, ProtocolVersion::V5, 9);
        writer.set_keyspace("ks");
        let finished = writer.finish();
        assert_eq!(finished, Finished { keyspace: Some("ks".to_owned()), start: 5 });
    }
}
