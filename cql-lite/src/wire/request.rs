//! What clients send (§4.1), decoded without copying: texts, ids and values are slices of the
//! network's buffer.
//!
//! Bytes behind the end of a message's body are ignored, as Cassandra does; an unknown flag is
//! refused, because what follows it could not be understood.

use helenus_platform::codec::{Put, Reader};

use super::consistency::{BatchKind, Consistency};
use super::error::{Result, WireError};
use super::frame::{Opcode, flags};
use super::notation::{BytesMap, PutNotation, ReadNotation};
use super::response::EventKind;
use super::values::Values;
use super::version::ProtocolVersion;

/// A decoded body of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestBody<'a> {
    /// The client asks for a trace.
    pub tracing: bool,
    /// Whatever the client sent along; there is no meaning in it for us.
    pub custom_payload: Option<BytesMap<'a>>,
    /// The request itself.
    pub request: Request<'a>,
}

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub enum Request<'a> {
    /// Opens the connection with these options, in the order of the wire.
    Startup(Vec<(&'a str, &'a str)>),
    /// Asks what the server supports.
    Options,
    /// A statement as text.
    Query(Query<'a>),
    /// Prepares a statement.
    Prepare(Prepare<'a>),
    /// Executes a prepared statement.
    Execute(Execute<'a>),
    /// Asks for these events.
    Register(Vec<EventKind>),
    /// Several statements as one.
    Batch(Batch<'a>),
    /// A step of authentication.
    AuthResponse(Option<&'a [u8]>),
}

/// QUERY (§4.1.4).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Query<'a> {
    /// The statement.
    pub text: &'a str,
    /// How to execute it.
    pub options: QueryOptions<'a>,
}

/// PREPARE (§4.1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepare<'a> {
    /// The statement.
    pub text: &'a str,
    /// The keyspace of unqualified names (v5).
    pub keyspace: Option<&'a str>,
}

/// EXECUTE (§4.1.6).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Execute<'a> {
    /// What PREPARE answered.
    pub id: &'a [u8],
    /// The version of the result's metadata that the client has (v5).
    pub result_metadata_id: Option<&'a [u8]>,
    /// How to execute it.
    pub options: QueryOptions<'a>,
}

/// BATCH (§4.1.7).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Batch<'a> {
    /// What is promised about the batch.
    pub kind: BatchKind,
    /// The statements with their values.
    pub statements: BatchStatements<'a>,
    /// How to execute it: the parts that concern values, metadata and paging have no meaning.
    pub options: QueryOptions<'a>,
}

/// How a statement is executed: the parameters of QUERY, EXECUTE and BATCH.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryOptions<'a> {
    /// How many replicas must answer.
    pub consistency: Consistency,
    /// The bound values.
    pub values: Values<'a>,
    /// The client knows the result's metadata.
    pub skip_metadata: bool,
    /// Most rows in one answer; zero and less mean all.
    pub page_size: Option<i32>,
    /// Where the last page ended.
    pub paging_state: Option<&'a [u8]>,
    /// The level of the linearizable part.
    pub serial_consistency: Option<Consistency>,
    /// The default timestamp of writes, in microseconds.
    pub timestamp: Option<i64>,
    /// The keyspace of unqualified names (v5).
    pub keyspace: Option<&'a str>,
    /// The time that expiry is judged by, in seconds since the epoch (v5).
    pub now_in_seconds: Option<i32>,
}

impl Default for QueryOptions<'_> {
    fn default() -> Self {
        QueryOptions {
            consistency: Consistency::One,
            values: Values::EMPTY,
            skip_metadata: false,
            page_size: None,
            paging_state: None,
            serial_consistency: None,
            timestamp: None,
            keyspace: None,
            now_in_seconds: None,
        }
    }
}

/// Bits of the parameters' flags: a byte before v5, an int from v5 on.
mod option {
    pub(super) const VALUES: u32 = 0x0001;
    pub(super) const SKIP_METADATA: u32 = 0x0002;
    pub(super) const PAGE_SIZE: u32 = 0x0004;
    pub(super) const PAGING_STATE: u32 = 0x0008;
    pub(super) const SERIAL_CONSISTENCY: u32 = 0x0010;
    pub(super) const TIMESTAMP: u32 = 0x0020;
    pub(super) const VALUE_NAMES: u32 = 0x0040;
    pub(super) const KEYSPACE: u32 = 0x0080;
    pub(super) const NOW_IN_SECONDS: u32 = 0x0100;
    /// Everything that has a meaning before v5.
    pub(super) const KNOWN_V4: u32 = 0x007F;
    /// Everything that has a meaning in v5.
    pub(super) const KNOWN_V5: u32 = 0x01FF;
}

/// The flag of PREPARE (v5): a keyspace follows.
const PREPARE_KEYSPACE: u32 = 0x01;

/// The statements of a batch, checked and read in place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchStatements<'a> {
    count: u16,
    version: ProtocolVersion,
    bytes: &'a [u8],
}

/// A statement of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchStatement<'a> {
    /// What to execute.
    pub source: StatementSource<'a>,
    /// Its values, never named.
    pub values: Values<'a>,
}

/// A statement by its text or by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementSource<'a> {
    /// Text to parse.
    Text(&'a str),
    /// The id of a prepared statement.
    Prepared(&'a [u8]),
}

impl<'a> BatchStatements<'a> {
    fn read(reader: &mut Reader<'a>, version: ProtocolVersion) -> Result<Self> {
        let count = reader.u16_be()?;
        let rest = reader.rest();
        for _ in 0..count {
            BatchStatement::read(reader, version)?;
        }
        let bytes = rest.get(..rest.len() - reader.remaining()).unwrap_or_default();
        Ok(BatchStatements { count, version, bytes })
    }

    /// How many statements there are.
    pub fn len(&self) -> usize {
        self.count.into()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The statements, in order.
    pub fn iter(&self) -> impl Iterator<Item = BatchStatement<'a>> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        let version = self.version;
        (0..self.count).map_while(move |_| BatchStatement::read(&mut reader, version).ok())
    }
}

impl<'a> BatchStatement<'a> {
    fn read(reader: &mut Reader<'a>, version: ProtocolVersion) -> Result<Self> {
        let source = match reader.u8()? {
            0 => StatementSource::Text(reader.long_string()?),
            1 => StatementSource::Prepared(reader.short_bytes()?),
            kind => {
                return Err(WireError::malformed(format!(
                    "Invalid query kind in BATCH messages. Must be 0 or 1 but got {kind}"
                )));
            }
        };
        let values = Values::read(reader, version, false)?;
        Ok(BatchStatement { source, values })
    }

    fn put(&self, out: &mut impl Put) {
        match self.source {
            StatementSource::Text(text) => {
                out.put_u8(0);
                out.put_long_string(text);
            }
            StatementSource::Prepared(id) => {
                out.put_u8(1);
                out.put_short_bytes(id);
            }
        }
        self.values.put(out);
    }
}

/// Builds the statements of a batch: the client's half.
#[derive(Debug, Clone, Default)]
pub struct BatchBuilder {
    count: u16,
    bytes: Vec<u8>,
}

impl BatchBuilder {
    /// No statements yet.
    pub fn new() -> Self {
        BatchBuilder::default()
    }

    /// Appends a statement.
    pub fn push(&mut self, statement: &BatchStatement<'_>) -> Result<()> {
        self.count = self
            .count
            .checked_add(1)
            .ok_or_else(|| WireError::malformed("a batch has at most 65535 statements"))?;
        statement.put(&mut self.bytes);
        Ok(())
    }

    /// The statements, for a connection of this version.
    pub fn statements(&self, version: ProtocolVersion) -> BatchStatements<'_> {
        BatchStatements { count: self.count, version, bytes: &self.bytes }
    }
}

/// Decodes a body that is not compressed.
pub fn decode_request(
    version: ProtocolVersion,
    frame_flags: u8,
    opcode: Opcode,
    body: &[u8],
) -> Result<RequestBody<'_>> {
    let mut reader = Reader::new(body);
    let custom_payload = if frame_flags & flags::CUSTOM_PAYLOAD == 0 {
        None
    } else if version >= ProtocolVersion::V4 {
        Some(BytesMap::read(&mut reader)?)
    } else {
        return Err(WireError::malformed(
            "Received frame with CUSTOM_PAYLOAD flag for native protocol version < 4",
        ));
    };
    let request = read_request(&mut reader, version, opcode)?;
    Ok(RequestBody { tracing: frame_flags & flags::TRACING != 0, custom_payload, request })
}

fn read_request<'a>(
    reader: &mut Reader<'a>,
    version: ProtocolVersion,
    opcode: Opcode,
) -> Result<Request<'a>> {
    Ok(match opcode {
        Opcode::Startup => Request::Startup(read_startup(reader)?),
        Opcode::Options => Request::Options,
        Opcode::Query => Request::Query(Query {
            text: reader.long_string()?,
            options: QueryOptions::read(reader, version)?,
        }),
        Opcode::Prepare => Request::Prepare(Prepare::read(reader, version)?),
        Opcode::Execute => Request::Execute(Execute::read(reader, version)?),
        Opcode::Register => Request::Register(read_register(reader)?),
        Opcode::Batch => Request::Batch(Batch::read(reader, version)?),
        Opcode::AuthResponse => Request::AuthResponse(reader.bytes_or_null()?),
        response => {
            return Err(WireError::malformed(format!(
                "Wrong protocol direction (expected REQUEST, got RESPONSE) for opcode {} ({})",
                response as u8,
                response.name()
            )));
        }
    })
}

fn read_startup<'a>(reader: &mut Reader<'a>) -> Result<Vec<(&'a str, &'a str)>> {
    let count = reader.u16_be()?;
    (0..count).map(|_| Ok((reader.string()?, reader.string()?))).collect()
}

fn read_register(reader: &mut Reader<'_>) -> Result<Vec<EventKind>> {
    let count = reader.u16_be()?;
    (0..count)
        .map(|_| {
            let name = reader.string()?;
            EventKind::from_name(name)
                .ok_or_else(|| WireError::malformed(format!("Invalid value '{name}' for Type")))
        })
        .collect()
}

impl<'a> Prepare<'a> {
    fn read(reader: &mut Reader<'a>, version: ProtocolVersion) -> Result<Self> {
        let text = reader.long_string()?;
        let flags = if version >= ProtocolVersion::V5 { reader.u32_be()? } else { 0 };
        check_flags(flags, PREPARE_KEYSPACE)?;
        let keyspace = if flags & PREPARE_KEYSPACE != 0 { Some(reader.string()?) } else { None };
        Ok(Prepare { text, keyspace })
    }
}

impl<'a> Execute<'a> {
    fn read(reader: &mut Reader<'a>, version: ProtocolVersion) -> Result<Self> {
        let id = reader.short_bytes()?;
        let has_metadata_id = version >= ProtocolVersion::V5;
        let result_metadata_id = if has_metadata_id { Some(reader.short_bytes()?) } else { None };
        Ok(Execute { id, result_metadata_id, options: QueryOptions::read(reader, version)? })
    }
}

impl<'a> Batch<'a> {
    fn read(reader: &mut Reader<'a>, version: ProtocolVersion) -> Result<Self> {
        let code = reader.u8()?;
        let kind = BatchKind::from_code(code)
            .ok_or_else(|| WireError::malformed(format!("Invalid BATCH message type {code}")))?;
        let statements = BatchStatements::read(reader, version)?;
        Ok(Batch { kind, statements, options: QueryOptions::read(reader, version)? })
    }
}

fn check_flags(flags: u32, known: u32) -> Result<()> {
    match flags & !known {
        0 => Ok(()),
        unknown => Err(WireError::malformed(format!("unknown request flags {unknown:#x}"))),
    }
}

impl<'a> QueryOptions<'a> {
    fn read(reader: &mut Reader<'a>, version: ProtocolVersion) -> Result<Self> {
        let consistency = Consistency::decode(reader.u16_be()?)?;
        let (flags, known) = if version >= ProtocolVersion::V5 {
            (reader.u32_be()?, option::KNOWN_V5)
        } else {
            (reader.u8()?.into(), option::KNOWN_V4)
        };
        check_flags(flags, known)?;
        let has = |bit: u32| flags & bit != 0;
        let mut options = QueryOptions { consistency, ..QueryOptions::default() };
        if has(option::VALUES) {
            options.values = Values::read(reader, version, has(option::VALUE_NAMES))?;
        }
        options.skip_metadata = has(option::SKIP_METADATA);
        if has(option::PAGE_SIZE) {
            options.page_size = Some(reader.i32_be()?);
        }
        if has(option::PAGING_STATE) {
            options.paging_state = reader.bytes_or_null()?;
        }
        if has(option::SERIAL_CONSISTENCY) {
            options.serial_consistency = Some(Consistency::decode(reader.u16_be()?)?);
        }
        if has(option::TIMESTAMP) {
            let timestamp = reader.i64_be()?;
            if timestamp == i64::MIN {
                return Err(WireError::malformed(format!(
                    "Out of bound timestamp, must be in [{}, {}] (got {timestamp})",
                    i64::MIN + 1,
                    i64::MAX
                )));
            }
            options.timestamp = Some(timestamp);
        }
        if has(option::KEYSPACE) {
            options.keyspace = Some(reader.string()?);
        }
        if has(option::NOW_IN_SECONDS) {
            options.now_in_seconds = Some(reader.i32_be()?);
        }
        Ok(options)
    }

    fn flags(&self) -> u32 {
        let bit = |present: bool, bit: u32| if present { bit } else { 0 };
        bit(!self.values.is_empty(), option::VALUES)
            | bit(!self.values.is_empty() && self.values.is_named(), option::VALUE_NAMES)
            | bit(self.skip_metadata, option::SKIP_METADATA)
            | bit(self.page_size.is_some(), option::PAGE_SIZE)
            | bit(self.paging_state.is_some(), option::PAGING_STATE)
            | bit(self.serial_consistency.is_some(), option::SERIAL_CONSISTENCY)
            | bit(self.timestamp.is_some(), option::TIMESTAMP)
            | bit(self.keyspace.is_some(), option::KEYSPACE)
            | bit(self.now_in_seconds.is_some(), option::NOW_IN_SECONDS)
    }

    fn put(&self, version: ProtocolVersion, out: &mut impl Put) {
        out.put_u16_be(self.consistency.code());
        let v5 = version >= ProtocolVersion::V5;
        if v5 {
            out.put_u32_be(self.flags());
        } else {
            out.put_u8((self.flags() & option::KNOWN_V4) as u8);
        }
        if !self.values.is_empty() {
            self.values.put(out);
        }
        if let Some(page_size) = self.page_size {
            out.put_i32_be(page_size);
        }
        if let Some(state) = self.paging_state {
            out.put_bytes_or_null(Some(state));
        }
        if let Some(consistency) = self.serial_consistency {
            out.put_u16_be(consistency.code());
        }
        if let Some(timestamp) = self.timestamp {
            out.put_i64_be(timestamp);
        }
        if let Some(keyspace) = self.keyspace.filter(|_| v5) {
            out.put_string(keyspace);
        }
        if let Some(now) = self.now_in_seconds.filter(|_| v5) {
            out.put_i32_be(now);
        }
    }
}

impl Request<'_> {
    /// The opcode of its frame.
    pub fn opcode(&self) -> Opcode {
        match self {
            Request::Startup(_) => Opcode::Startup,
            Request::Options => Opcode::Options,
            Request::Query(_) => Opcode::Query,
            Request::Prepare(_) => Opcode::Prepare,
            Request::Execute(_) => Opcode::Execute,
            Request::Register(_) => Opcode::Register,
            Request::Batch(_) => Opcode::Batch,
            Request::AuthResponse(_) => Opcode::AuthResponse,
        }
    }

    /// Appends the body: the client's half. What `version` cannot say is left out.
    pub fn encode_body(&self, version: ProtocolVersion, out: &mut impl Put) {
        match self {
            Request::Startup(options) => {
                out.put_u16_be(options.len() as u16);
                for (key, value) in options {
                    out.put_string(key);
                    out.put_string(value);
                }
            }
            Request::Options => {}
            Request::Query(query) => {
                out.put_long_string(query.text);
                query.options.put(version, out);
            }
            Request::Prepare(prepare) => prepare.put(version, out),
            Request::Execute(execute) => execute.put(version, out),
            Request::Register(kinds) => {
                let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
                out.put_string_list(&names);
            }
            Request::Batch(batch) => {
                out.put_u8(batch.kind.code());
                out.put_u16_be(batch.statements.count);
                out.put_bytes(batch.statements.bytes);
                batch.options.put(version, out);
            }
            Request::AuthResponse(token) => out.put_bytes_or_null(*token),
        }
    }
}

impl Prepare<'_> {
    fn put(&self, version: ProtocolVersion, out: &mut impl Put) {
        out.put_long_string(self.text);
        if version >= ProtocolVersion::V5 {
            match self.keyspace {
                Some(keyspace) => {
                    out.put_u32_be(PREPARE_KEYSPACE);
                    out.put_string(keyspace);
                }
                None => out.put_u32_be(0),
            }
        }
    }
}

impl Execute<'_> {
    fn put(&self, version: ProtocolVersion, out: &mut impl Put) {
        out.put_short_bytes(self.id);
        if version >= ProtocolVersion::V5 {
            out.put_short_bytes(self.result_metadata_id.unwrap_or_default());
        }
        self.options.put(version, out);
    }
}
