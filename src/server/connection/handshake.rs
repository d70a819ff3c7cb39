//! What is said before the first statement: OPTIONS and STARTUP (§4.1.1, §4.1.3), in Cassandra's
//! words where a driver may look for them.

use cql_lite::wire::frame::{Opcode, put_old_frame};
use cql_lite::wire::{
    Compression, ErrorBody, ProtocolVersion, ResponseWriter, unsupported_version_message,
};
use cql_lite::wire::{Response, segment::SegmentMode};
use helenus_platform::codec::Put;

use super::input::Framing;
use super::output::Output;

/// The version of CQL that we speak.
pub const CQL_VERSION: &str = "3.4.7";

/// What STARTUP settled.
pub(super) struct Startup {
    pub(super) framing: Framing,
    /// How bodies are compressed, one by one.
    pub(super) compression: Option<Compression>,
    /// Past a limit, the client wants an error.
    pub(super) throws_on_overload: bool,
    /// The options, by upper-case key.
    pub(super) options: Vec<(String, String)>,
}

/// What we support, for OPTIONS.
pub(super) fn supported() -> Response {
    let versions = ProtocolVersion::ALL.map(|version| version.to_string()).to_vec();
    let entry = |key: &str, values: Vec<String>| (key.to_owned(), values);
    Response::Supported(vec![
        entry("CQL_VERSION", vec![CQL_VERSION.to_owned()]),
        entry("COMPRESSION", vec!["snappy".to_owned(), "lz4".to_owned()]),
        entry("PROTOCOL_VERSIONS", versions),
        entry("HELENUS_VERSION", vec![env!("CARGO_PKG_VERSION").to_owned()]),
    ])
}

/// Judges the options of STARTUP. Keys that we do not know are kept and have no effect.
pub(super) fn startup(
    version: ProtocolVersion,
    options: &[(&str, &str)],
) -> Result<Startup, ErrorBody> {
    let options: Vec<(String, String)> = options
        .iter()
        .map(|(key, value)| (key.to_ascii_uppercase(), (*value).to_owned()))
        .collect();
    let find = |key: &str| options.iter().rfind(|(k, _)| k == key).map(|(_, value)| value.as_str());
    let Some(cql_version) = find("CQL_VERSION") else {
        return Err(ErrorBody::protocol("Missing value CQL_VERSION in STARTUP message"));
    };
    check_cql_version(cql_version)?;
    // The specification says true; Cassandra and its drivers say 1.
    let throws_on_overload = find("THROW_ON_OVERLOAD")
        .is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"));
    let asked = find("COMPRESSION").map(str::to_ascii_lowercase);
    let compression = match asked.as_deref() {
        None => None,
        Some("lz4") => Some(Compression::Lz4),
        Some("snappy") if version.has_segments() => {
            return Err(ErrorBody::protocol("Snappy compression is not supported in protocol V5"));
        }
        Some("snappy") => Some(Compression::Snappy),
        Some(other) => {
            return Err(ErrorBody::protocol(format!("Unknown compression algorithm: {other}")));
        }
    };
    let (framing, compression) = match (version.has_segments(), compression) {
        (false, compression) => (Framing::Bare, compression),
        (true, Some(_)) => (Framing::Segments(SegmentMode::Lz4), None),
        (true, None) => (Framing::Segments(SegmentMode::Plain), None),
    };
    Ok(Startup { framing, compression, throws_on_overload, options })
}

fn check_cql_version(text: &str) -> Result<(), ErrorBody> {
    let major = text.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        None => Err(ErrorBody::protocol(format!("Invalid version value: {text}"))),
        Some(0..=2) => Err(ErrorBody::protocol(format!(
            "CQL version {text} is not supported by the binary protocol \
             (supported version are >= 3.0.0)"
        ))),
        Some(_) => Ok(()),
    }
}

/// Refuses a version, in a frame that its speaker can read: versions 1 and 2 in their own, all
/// others in the newest that we speak.
pub(super) fn refuse_version(version: u8, stream: i16, output: &mut Output) {
    let error = ErrorBody::protocol(unsupported_version_message(version));
    if matches!(version, 1 | 2) {
        let mut body = Vec::new();
        error.put(ProtocolVersion::V3, &mut body);
        let mut frame = bytes::BytesMut::new();
        put_old_frame(&mut frame, version, stream as u8, Opcode::Error, &body);
        output.ready.put_bytes(&frame);
        return;
    }
    let mut writer = ResponseWriter::new(&mut output.ready, ProtocolVersion::LATEST, stream);
    writer.error(&error);
    writer.finish();
}
