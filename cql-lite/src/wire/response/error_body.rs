//! The body of ERROR (§9): a code, a message, and for some codes more.
//!
//! Codes that a version does not know yet become the nearest one that it knows, as Cassandra does
//! it: in v3 failures are timeouts and failed functions are invalid requests, before v5 an unknown
//! outcome of a conditional write is a timeout.

use std::net::IpAddr;

use helenus_platform::codec::{Put, Reader};

use crate::wire::consistency::{Consistency, WriteType};
use crate::wire::error::{Result, WireError};
use crate::wire::notation::{PutNotation, ReadNotation};
use crate::wire::version::ProtocolVersion;

/// An error as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorBody {
    /// What happened, in Cassandra's words where it has some.
    pub message: String,
    /// What kind of error it is, with the details that drivers act on.
    pub kind: ErrorKind,
}

/// What kind of error it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// 0x0000: a bug of ours, or a failure of the node.
    Server,
    /// 0x000A: the client broke the protocol.
    Protocol,
    /// 0x0100: authentication failed.
    BadCredentials,
    /// 0x1000: too few replicas are alive.
    Unavailable {
        /// The level that was asked for.
        consistency: Consistency,
        /// Replicas that it needs.
        required: i32,
        /// Replicas that are alive.
        alive: i32,
    },
    /// 0x1001: the node has too much to do.
    Overloaded,
    /// 0x1002: the node is still joining.
    Bootstrapping,
    /// 0x1003: a truncation failed.
    Truncate,
    /// 0x1100: too few replicas acknowledged a write in time.
    WriteTimeout {
        /// How far it came.
        progress: Progress,
        /// What kind of write it was.
        write_type: WriteType,
        /// Rounds of Paxos that were lost, for conditional writes (v5).
        contentions: Option<u16>,
    },
    /// 0x1200: too few replicas answered a read in time.
    ReadTimeout {
        /// How far it came.
        progress: Progress,
        /// The replica that was asked for the data answered.
        data_present: bool,
    },
    /// 0x1300: replicas failed a read (v4 on).
    ReadFailure {
        /// How far it came.
        progress: Progress,
        /// Who failed.
        failures: Failures,
        /// The replica that was asked for the data answered.
        data_present: bool,
    },
    /// 0x1400: a function failed (v4 on).
    FunctionFailure {
        /// Its keyspace.
        keyspace: String,
        /// Its name.
        function: String,
        /// The types of its arguments.
        arguments: Vec<String>,
    },
    /// 0x1500: replicas failed a write (v4 on).
    WriteFailure {
        /// How far it came.
        progress: Progress,
        /// Who failed.
        failures: Failures,
        /// What kind of write it was.
        write_type: WriteType,
    },
    /// 0x1600: change data capture has no room (v4 on).
    CdcWriteFailure,
    /// 0x1700: a conditional write may or may not have happened (v5).
    CasWriteUnknown {
        /// How far it came.
        progress: Progress,
    },
    /// 0x2000: the statement is not CQL.
    Syntax,
    /// 0x2100: the user may not do this.
    Unauthorized,
    /// 0x2200: the statement makes no sense here.
    Invalid,
    /// 0x2300: a definition makes no sense.
    Config,
    /// 0x2400: what is to be created exists.
    AlreadyExists {
        /// Its keyspace.
        keyspace: String,
        /// Its name; empty for a keyspace.
        table: String,
    },
    /// 0x2500: the id of a prepared statement is not known here.
    Unprepared {
        /// The id.
        id: Vec<u8>,
    },
}

/// How far a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The level that was asked for.
    pub consistency: Consistency,
    /// Replicas that answered.
    pub received: i32,
    /// Replicas whose answer the level needs.
    pub block_for: i32,
}

/// Replicas that failed: versions before 5 only learn how many.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failures {
    /// How many.
    pub count: i32,
    /// Who and why; see [`failure_reason`]. Empty when decoded from v4.
    pub reasons: Vec<(IpAddr, u16)>,
}

/// Why a replica failed (v5).
pub mod failure_reason {
    /// Something else.
    pub const UNKNOWN: u16 = 0;
    /// A read met more tombstones than it may.
    pub const READ_TOO_MANY_TOMBSTONES: u16 = 1;
    /// The replica ran out of time.
    pub const TIMEOUT: u16 = 2;
    /// The replica has another schema.
    pub const INCOMPATIBLE_SCHEMA: u16 = 3;
    /// A read's answer was larger than it may be.
    pub const READ_SIZE: u16 = 4;
}

impl ErrorBody {
    /// An error with a message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        ErrorBody { message: message.into(), kind }
    }

    /// 0x0000.
    pub fn server(message: impl Into<String>) -> Self {
        ErrorBody::new(ErrorKind::Server, message)
    }

    /// 0x000A.
    pub fn protocol(message: impl Into<String>) -> Self {
        ErrorBody::new(ErrorKind::Protocol, message)
    }

    /// 0x2200.
    pub fn invalid(message: impl Into<String>) -> Self {
        ErrorBody::new(ErrorKind::Invalid, message)
    }

    /// Appends the body.
    pub fn put(&self, version: ProtocolVersion, out: &mut impl Put) {
        match self.kind.for_version(version) {
            Some(known) => {
                ErrorBody { message: self.message.clone(), kind: known }.put_known(version, out)
            }
            None => self.put_known(version, out),
        }
    }

    fn put_known(&self, version: ProtocolVersion, out: &mut impl Put) {
        out.put_u32_be(self.kind.code());
        out.put_string(&self.message);
        self.kind.put_details(version, out);
    }

    /// Reads a body.
    pub fn read(reader: &mut Reader<'_>, version: ProtocolVersion) -> Result<Self> {
        let code = reader.u32_be()?;
        let message = reader.string()?.to_owned();
        Ok(ErrorBody { message, kind: ErrorKind::read(reader, version, code)? })
    }
}

impl ErrorKind {
    /// Its code.
    pub fn code(&self) -> u32 {
        match self {
            ErrorKind::Server => 0x0000,
            ErrorKind::Protocol => 0x000A,
            ErrorKind::BadCredentials => 0x0100,
            ErrorKind::Unavailable { .. } => 0x1000,
            ErrorKind::Overloaded => 0x1001,
            ErrorKind::Bootstrapping => 0x1002,
            ErrorKind::Truncate => 0x1003,
            ErrorKind::WriteTimeout { .. } => 0x1100,
            ErrorKind::ReadTimeout { .. } => 0x1200,
            ErrorKind::ReadFailure { .. } => 0x1300,
            ErrorKind::FunctionFailure { .. } => 0x1400,
            ErrorKind::WriteFailure { .. } => 0x1500,
            ErrorKind::CdcWriteFailure => 0x1600,
            ErrorKind::CasWriteUnknown { .. } => 0x1700,
            ErrorKind::Syntax => 0x2000,
            ErrorKind::Unauthorized => 0x2100,
            ErrorKind::Invalid => 0x2200,
            ErrorKind::Config => 0x2300,
            ErrorKind::AlreadyExists { .. } => 0x2400,
            ErrorKind::Unprepared { .. } => 0x2500,
        }
    }

    /// What takes its place in a version that does not know it; none if the version does.
    fn for_version(&self, version: ProtocolVersion) -> Option<ErrorKind> {
        let v3 = version < ProtocolVersion::V4;
        match self {
            ErrorKind::CasWriteUnknown { progress } if version < ProtocolVersion::V5 => {
                let write_type = WriteType::Cas;
                Some(ErrorKind::WriteTimeout { progress: *progress, write_type, contentions: None })
            }
            ErrorKind::WriteFailure { progress, write_type, .. } if v3 => {
                let (progress, write_type) = (*progress, *write_type);
                Some(ErrorKind::WriteTimeout { progress, write_type, contentions: None })
            }
            ErrorKind::ReadFailure { progress, data_present, .. } if v3 => {
                let (progress, data_present) = (*progress, *data_present);
                Some(ErrorKind::ReadTimeout { progress, data_present })
            }
            ErrorKind::FunctionFailure { .. } | ErrorKind::CdcWriteFailure if v3 => {
                Some(ErrorKind::Invalid)
            }
            _ => None,
        }
    }

    fn put_details(&self, version: ProtocolVersion, out: &mut impl Put) {
        match self {
            ErrorKind::Unavailable { consistency, required, alive } => {
                out.put_u16_be(consistency.code());
                out.put_i32_be(*required);
                out.put_i32_be(*alive);
            }
            ErrorKind::WriteTimeout { progress, write_type, contentions } => {
                progress.put(out);
                out.put_string(write_type.name());
                if version >= ProtocolVersion::V5 && *write_type == WriteType::Cas {
                    out.put_u16_be(contentions.unwrap_or(0));
                }
            }
            ErrorKind::ReadTimeout { progress, data_present } => {
                progress.put(out);
                out.put_u8((*data_present).into());
            }
            ErrorKind::ReadFailure { progress, failures, data_present } => {
                progress.put(out);
                failures.put(version, out);
                out.put_u8((*data_present).into());
            }
            ErrorKind::WriteFailure { progress, failures, write_type } => {
                progress.put(out);
                failures.put(version, out);
                out.put_string(write_type.name());
            }
            ErrorKind::FunctionFailure { keyspace, function, arguments } => {
                out.put_string(keyspace);
                out.put_string(function);
                out.put_string_list(arguments);
            }
            ErrorKind::CasWriteUnknown { progress } => progress.put(out),
            ErrorKind::AlreadyExists { keyspace, table } => {
                out.put_string(keyspace);
                out.put_string(table);
            }
            ErrorKind::Unprepared { id } => out.put_short_bytes(id),
            _ => {}
        }
    }

    fn read(reader: &mut Reader<'_>, version: ProtocolVersion, code: u32) -> Result<Self> {
        Ok(match code {
            0x1000 => ErrorKind::Unavailable {
                consistency: Consistency::decode(reader.u16_be()?)?,
                required: reader.i32_be()?,
                alive: reader.i32_be()?,
            },
            0x1100 => {
                let progress = Progress::read(reader)?;
                let write_type = read_write_type(reader)?;
                let counted = version >= ProtocolVersion::V5 && write_type == WriteType::Cas;
                let contentions = if counted { Some(reader.u16_be()?) } else { None };
                ErrorKind::WriteTimeout { progress, write_type, contentions }
            }
            0x1200 => ErrorKind::ReadTimeout {
                progress: Progress::read(reader)?,
                data_present: reader.u8()? != 0,
            },
            0x1300 => ErrorKind::ReadFailure {
                progress: Progress::read(reader)?,
                failures: Failures::read(reader, version)?,
                data_present: reader.u8()? != 0,
            },
            0x1400 => ErrorKind::FunctionFailure {
                keyspace: reader.string()?.to_owned(),
                function: reader.string()?.to_owned(),
                arguments: reader.string_list()?,
            },
            0x1500 => ErrorKind::WriteFailure {
                progress: Progress::read(reader)?,
                failures: Failures::read(reader, version)?,
                write_type: read_write_type(reader)?,
            },
            0x1700 => ErrorKind::CasWriteUnknown { progress: Progress::read(reader)? },
            0x2400 => ErrorKind::AlreadyExists {
                keyspace: reader.string()?.to_owned(),
                table: reader.string()?.to_owned(),
            },
            0x2500 => ErrorKind::Unprepared { id: reader.short_bytes()?.to_vec() },
            code => ErrorKind::from_plain_code(code)
                .ok_or_else(|| WireError::malformed(format!("unknown error code {code:#06x}")))?,
        })
    }

    /// The kinds that carry nothing but a message.
    fn from_plain_code(code: u32) -> Option<Self> {
        [
            ErrorKind::Server,
            ErrorKind::Protocol,
            ErrorKind::BadCredentials,
            ErrorKind::Overloaded,
            ErrorKind::Bootstrapping,
            ErrorKind::Truncate,
            ErrorKind::CdcWriteFailure,
            ErrorKind::Syntax,
            ErrorKind::Unauthorized,
            ErrorKind::Invalid,
            ErrorKind::Config,
        ]
        .into_iter()
        .find(|kind| kind.code() == code)
    }
}

impl Progress {
    fn put(&self, out: &mut impl Put) {
        out.put_u16_be(self.consistency.code());
        out.put_i32_be(self.received);
        out.put_i32_be(self.block_for);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Progress {
            consistency: Consistency::decode(reader.u16_be()?)?,
            received: reader.i32_be()?,
            block_for: reader.i32_be()?,
        })
    }
}

impl Failures {
    fn put(&self, version: ProtocolVersion, out: &mut impl Put) {
        if version < ProtocolVersion::V5 {
            out.put_i32_be(self.count);
            return;
        }
        out.put_i32_be(self.reasons.len() as i32);
        for (address, reason) in &self.reasons {
            out.put_inet_address(*address);
            out.put_u16_be(*reason);
        }
    }

    fn read(reader: &mut Reader<'_>, version: ProtocolVersion) -> Result<Self> {
        let count = reader.i32_be()?;
        let mut reasons = Vec::new();
        if version >= ProtocolVersion::V5 {
            for _ in 0..count {
                reasons.push((reader.inet_address()?, reader.u16_be()?));
            }
        }
        Ok(Failures { count, reasons })
    }
}

fn read_write_type(reader: &mut Reader<'_>) -> Result<WriteType> {
    let name = reader.string()?;
    WriteType::from_name(name)
        .ok_or_else(|| WireError::malformed(format!("unknown write type {name}")))
}
