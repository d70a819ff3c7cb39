//! Bodies of requests and responses, as each protocol version decodes them.
//!
//! Input: version (modulo 3), flags, opcode, then the body.

use bytes::BytesMut;
use cql_lite::wire::compression::decompress_body;
use cql_lite::wire::{Compression, Opcode, ProtocolVersion, decode_request, decode_response};

const VERSIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V3, ProtocolVersion::V4, ProtocolVersion::V5];

/// What decodes encodes to something that decodes and encodes to the same bytes.
pub fn run(data: &[u8]) {
    let [version, flags, opcode, body @ ..] = data else { return };
    let version = VERSIONS[usize::from(*version) % VERSIONS.len()];
    let mut decompressed = Vec::new();
    for compression in [Compression::Lz4, Compression::Snappy] {
        let _ = decompress_body(compression, body, 1 << 20, &mut decompressed);
        assert!(decompressed.len() <= 1 << 20);
    }
    let Some(opcode) = Opcode::from_byte(*opcode) else { return };
    if let Ok(decoded) = decode_request(version, *flags, opcode, body) {
        let encode = |request: &cql_lite::wire::Request<'_>| {
            let mut out = BytesMut::new();
            request.encode_body(version, &mut out);
            out
        };
        let encoded = encode(&decoded.request);
        let again = decode_request(version, 0, opcode, &encoded)
            .unwrap_or_else(|error| panic!("{:?} does not decode: {error}", decoded.request));
        assert_eq!(encode(&again.request), encoded, "{:?}", decoded.request);
    }
    if let Ok(decoded) = decode_response(version, *flags, opcode, body) {
        // Laid out again in its own way, so only the second and third forms must agree.
        let encode = |response: &cql_lite::wire::Response| {
            let mut out = BytesMut::new();
            response.encode_body(version, &mut out);
            out
        };
        let second = encode(&decoded.response);
        if let Ok(again) = decode_response(version, 0, opcode, &second) {
            assert_eq!(encode(&again.response), second);
        }
    }
}
