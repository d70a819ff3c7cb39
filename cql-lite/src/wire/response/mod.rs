//! What servers send (§4.2). A server writes most answers piece by piece, rows above all; the
//! owned [`Response`] is for what is small, and for clients.

mod error_body;
mod event;
mod metadata;
mod rows;

use bytes::{Bytes, BytesMut};
use helenus_platform::codec::{Put, Reader};

pub use error_body::{ErrorBody, ErrorKind, Failures, Progress, failure_reason};
pub use event::{
    Event, EventKind, SchemaChange, SchemaChangeKind, SchemaTarget, StatusChangeKind,
    TopologyChangeKind,
};
pub use metadata::{ColumnSpec, EncodedColumns, Prepared, RowsMetadata};
pub use rows::{Rows, RowsEncoder};

use super::error::{Result, WireError};
use super::frame::{Opcode, flags};
use super::notation::{BytesMap, PutNotation, ReadNotation};
use super::version::ProtocolVersion;

/// Kinds of results (§4.2.5).
pub mod result_kind {
    /// Nothing to say.
    pub const VOID: u32 = 0x0001;
    /// Rows.
    pub const ROWS: u32 = 0x0002;
    /// The connection has another keyspace now.
    pub const SET_KEYSPACE: u32 = 0x0003;
    /// A prepared statement.
    pub const PREPARED: u32 = 0x0004;
    /// The schema changed.
    pub const SCHEMA_CHANGE: u32 = 0x0005;
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// The request failed.
    Error(ErrorBody),
    /// The connection is open.
    Ready,
    /// The client must authenticate with this class.
    Authenticate(String),
    /// What the server supports.
    Supported(Vec<(String, Vec<String>)>),
    /// The result of a statement.
    Result(ResultBody),
    /// Something happened.
    Event(Event),
    /// One more step of authentication.
    AuthChallenge(Option<Vec<u8>>),
    /// Authentication is done.
    AuthSuccess(Option<Vec<u8>>),
}

/// The result of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultBody {
    /// Nothing to say.
    Void,
    /// Rows.
    Rows(Rows),
    /// The connection has this keyspace now.
    SetKeyspace(String),
    /// A prepared statement.
    Prepared(Prepared),
    /// The schema changed.
    SchemaChange(SchemaChange),
}

impl Response {
    /// The opcode of its frame.
    pub fn opcode(&self) -> Opcode {
        match self {
            Response::Error(_) => Opcode::Error,
            Response::Ready => Opcode::Ready,
            Response::Authenticate(_) => Opcode::Authenticate,
            Response::Supported(_) => Opcode::Supported,
            Response::Result(_) => Opcode::Result,
            Response::Event(_) => Opcode::Event,
            Response::AuthChallenge(_) => Opcode::AuthChallenge,
            Response::AuthSuccess(_) => Opcode::AuthSuccess,
        }
    }

    /// Appends the body.
    pub fn encode_body(&self, version: ProtocolVersion, out: &mut BytesMut) {
        match self {
            Response::Error(error) => error.put(version, out),
            Response::Ready => {}
            Response::Authenticate(class) => out.put_string(class),
            Response::Supported(options) => {
                out.put_u16_be(options.len() as u16);
                for (key, values) in options {
                    out.put_string(key);
                    out.put_string_list(values);
                }
            }
            Response::Result(result) => result.put(version, out),
            Response::Event(event) => event.put(version, out),
            Response::AuthChallenge(token) | Response::AuthSuccess(token) => {
                out.put_bytes_or_null(token.as_deref());
            }
        }
    }
}

impl ResultBody {
    fn put(&self, version: ProtocolVersion, out: &mut BytesMut) {
        match self {
            ResultBody::Void => out.put_u32_be(result_kind::VOID),
            ResultBody::Rows(rows) => rows.put(out, version),
            ResultBody::SetKeyspace(keyspace) => {
                out.put_u32_be(result_kind::SET_KEYSPACE);
                out.put_string(keyspace);
            }
            ResultBody::Prepared(prepared) => {
                out.put_u32_be(result_kind::PREPARED);
                prepared.put(version, out);
            }
            ResultBody::SchemaChange(change) => {
                out.put_u32_be(result_kind::SCHEMA_CHANGE);
                change.put(version, out);
            }
        }
    }

    fn read(
        reader: &mut Reader<'_>,
        version: ProtocolVersion,
        shared: Option<&Bytes>,
    ) -> Result<Self> {
        Ok(match reader.u32_be()? {
            result_kind::VOID => ResultBody::Void,
            result_kind::ROWS => ResultBody::Rows(Rows::read(reader, shared)?),
            result_kind::SET_KEYSPACE => ResultBody::SetKeyspace(reader.string()?.to_owned()),
            result_kind::PREPARED => ResultBody::Prepared(Prepared::read(reader, version)?),
            result_kind::SCHEMA_CHANGE => ResultBody::SchemaChange(SchemaChange::read(reader)?),
            kind => {
                return Err(WireError::malformed(format!("unknown kind of result {kind:#06x}")));
            }
        })
    }
}

/// A decoded body of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseBody {
    /// The id of the trace, if one was asked for.
    pub tracing_id: Option<[u8; 16]>,
    /// What the server warns of.
    pub warnings: Vec<String>,
    /// What the server sent along.
    pub custom_payload: Vec<(String, Vec<u8>)>,
    /// The response itself.
    pub response: Response,
}

/// Decodes a body that is not compressed: the client's half.
pub fn decode_response(
    version: ProtocolVersion,
    frame_flags: u8,
    opcode: Opcode,
    body: &[u8],
) -> Result<ResponseBody> {
    decode(version, frame_flags, opcode, body, None)
}

/// As [`decode_response`], of a body that can be shared: rows keep a slice of it, not a copy.
pub fn decode_shared_response(
    version: ProtocolVersion,
    frame_flags: u8,
    opcode: Opcode,
    body: &Bytes,
) -> Result<ResponseBody> {
    decode(version, frame_flags, opcode, body, Some(body))
}

fn decode(
    version: ProtocolVersion,
    frame_flags: u8,
    opcode: Opcode,
    body: &[u8],
    shared: Option<&Bytes>,
) -> Result<ResponseBody> {
    let mut reader = Reader::new(body);
    let has = |flag: u8| frame_flags & flag != 0;
    let tracing_id = if has(flags::TRACING) { Some(reader.uuid()?) } else { None };
    let warnings = if has(flags::WARNING) { reader.string_list()? } else { Vec::new() };
    let mut custom_payload = Vec::new();
    if has(flags::CUSTOM_PAYLOAD) {
        let map = BytesMap::read(&mut reader)?;
        let owned = |(key, value): (&str, Option<&[u8]>)| {
            (key.to_owned(), value.unwrap_or_default().to_vec())
        };
        custom_payload.extend(map.iter().map(owned));
    }
    let response = read_response(&mut reader, version, opcode, shared)?;
    Ok(ResponseBody { tracing_id, warnings, custom_payload, response })
}

fn read_response(
    reader: &mut Reader<'_>,
    version: ProtocolVersion,
    opcode: Opcode,
    shared: Option<&Bytes>,
) -> Result<Response> {
    let token = |reader: &mut Reader<'_>| -> Result<Option<Vec<u8>>> {
        Ok(reader.bytes_or_null()?.map(<[u8]>::to_vec))
    };
    Ok(match opcode {
        Opcode::Error => Response::Error(ErrorBody::read(reader, version)?),
        Opcode::Ready => Response::Ready,
        Opcode::Authenticate => Response::Authenticate(reader.string()?.to_owned()),
        Opcode::Supported => {
            let mut options = Vec::new();
            for _ in 0..reader.u16_be()? {
                options.push((reader.string()?.to_owned(), reader.string_list()?));
            }
            Response::Supported(options)
        }
        Opcode::Result => Response::Result(ResultBody::read(reader, version, shared)?),
        Opcode::Event => Response::Event(Event::read(reader)?),
        Opcode::AuthChallenge => Response::AuthChallenge(token(reader)?),
        Opcode::AuthSuccess => Response::AuthSuccess(token(reader)?),
        request => {
            return Err(WireError::malformed(format!("{request} is not a response")));
        }
    })
}
