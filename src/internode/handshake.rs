//! The first bytes of a connection, both ways: who is there, and who was meant.
//!
//! ```text
//! "HMNN" | u8 kind: 1 HELLO, 2 WELCOME, 3 REFUSED | u16_be length | content | u32_be CRC-32 of all before
//!
//! HELLO    u8 lowest, u8 highest version | identity | u8 flags: 01 LZ4
//!          | u8 channel | 16 bytes host id that is meant, zero for anybody
//! WELCOME  u8 version that is spoken from here on | identity | u8 flags: 01 LZ4 is used
//! REFUSED  u8 reason | text: the rest, UTF-8, at most 1024 bytes
//! identity 16 bytes cluster id, zero for none | 16 bytes host id | u64_be instance
//!          | u32_be feature level | u8 4 or 6 | 4 or 16 bytes IP address | u16_be port
//! ```
//!
//! Who connects says HELLO and waits; frames follow a WELCOME, in the version that it names, and
//! nothing follows a REFUSED. This layout is the same in all versions: newer ones append to the
//! content of HELLO and WELCOME, and what a reader does not know there, flags included, it ignores.
//! The instance is drawn when a node starts: it tells a node from a copy of it.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BytesMut};
use helenus_platform::checksum::crc32;
use helenus_platform::codec::{CodecError, Put, Reader};

use super::error::{Reason, Refusal};
use super::own::{Own, Versions};

const MAGIC: &[u8; 4] = b"HMNN";
const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const REFUSED: u8 = 3;
const FLAG_LZ4: u8 = 1;
/// Magic, kind and length.
const PREFIX_BYTES: usize = 7;
const CRC_BYTES: usize = 4;
/// Longest content that is read: what a newer version appends has room, a stranger's bytes do not.
const CONTENT_BYTES_MAX: usize = 2048;
const TEXT_BYTES_MAX: usize = 1024;

/// What who connects says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The versions that it speaks.
    pub versions: Versions,
    /// Who it is.
    pub own: Own,
    /// Drawn when it started.
    pub instance: u64,
    /// Who is meant, if somebody is.
    pub expected: Option<[u8; 16]>,
    /// The number of a [`Channel`](super::Channel).
    pub channel: u8,
    /// It can do LZ4 and wants to.
    pub lz4: bool,
}

/// The answer to a HELLO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// The version that is spoken.
    pub version: u8,
    /// Who answers.
    pub own: Own,
    /// Drawn when it started.
    pub instance: u64,
    /// Frames may be compressed.
    pub lz4: bool,
}

/// One of the three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Introduction {
    /// From who connects.
    Hello(Hello),
    /// From who accepts.
    Welcome(Welcome),
    /// From who does not want to.
    Refused(Refusal),
}

impl Introduction {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut content = Vec::new();
        let kind = match self {
            Introduction::Hello(hello) => {
                content.put_u8(hello.versions.lowest);
                content.put_u8(hello.versions.highest);
                put_identity(&mut content, &hello.own, hello.instance);
                content.put_u8(if hello.lz4 { FLAG_LZ4 } else { 0 });
                content.put_u8(hello.channel);
                content.put_bytes(&hello.expected.unwrap_or_default());
                HELLO
            }
            Introduction::Welcome(welcome) => {
                content.put_u8(welcome.version);
                put_identity(&mut content, &welcome.own, welcome.instance);
                content.put_u8(if welcome.lz4 { FLAG_LZ4 } else { 0 });
                WELCOME
            }
            Introduction::Refused(refusal) => {
                content.put_u8(refusal.reason.map_or(0, |reason| reason as u8));
                let cut = refusal.text.floor_char_boundary(TEXT_BYTES_MAX);
                content.put_bytes(refusal.text.get(..cut).unwrap_or_default().as_bytes());
                REFUSED
            }
        };
        let mut whole = MAGIC.to_vec();
        whole.put_u8(kind);
        whole.put_u16_be(content.len() as u16);
        whole.put_bytes(&content);
        whole.put_u32_be(crc32(&whole));
        out.put_bytes(&whole);
    }

    /// Takes an introduction off `input`; none if it is not complete yet.
    ///
    /// # Errors
    /// Where the bytes stop being one. That can be known before they are complete.
    pub fn take(input: &mut BytesMut) -> Result<Option<Introduction>, CodecError> {
        let known = MAGIC.iter().zip(input.iter()).take_while(|(a, b)| a == b).count();
        if known < MAGIC.len().min(input.len()) {
            return Err(CodecError { offset: known, what: "HMNN" });
        }
        let Some(prefix) = input.get(..PREFIX_BYTES) else { return Ok(None) };
        let mut reader = Reader::new(prefix);
        reader.skip(MAGIC.len())?;
        let (kind, length) = (reader.u8()?, usize::from(reader.u16_be()?));
        if length > CONTENT_BYTES_MAX {
            return Err(reader.error("the length of an introduction"));
        }
        let end = PREFIX_BYTES + length;
        let Some(rest) = input.get(end..end + CRC_BYTES) else { return Ok(None) };
        let whole = input.get(..end).unwrap_or_default();
        if Reader::new(rest).u32_be()? != crc32(whole) {
            return Err(CodecError { offset: end, what: "an introduction that fits its checksum" });
        }
        let introduction = parse(kind, whole.get(PREFIX_BYTES..).unwrap_or_default());
        input.advance(end + CRC_BYTES);
        introduction.map(Some)
    }
}

fn put_identity(out: &mut Vec<u8>, own: &Own, instance: u64) {
    out.put_bytes(&own.cluster_id.unwrap_or_default());
    out.put_bytes(&own.host_id);
    out.put_u64_be(instance);
    out.put_u32_be(own.feature_level);
    match own.address.ip() {
        IpAddr::V4(ip) => {
            out.put_u8(4);
            out.put_bytes(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put_u8(6);
            out.put_bytes(&ip.octets());
        }
    }
    out.put_u16_be(own.address.port());
}

fn id(reader: &mut Reader<'_>) -> Result<[u8; 16], CodecError> {
    let bytes = reader.bytes(16)?;
    bytes.first_chunk().copied().ok_or_else(|| reader.error("an id"))
}

/// Zero is none.
fn some(id: [u8; 16]) -> Option<[u8; 16]> {
    (id != [0; 16]).then_some(id)
}

fn identity(reader: &mut Reader<'_>) -> Result<(Own, u64), CodecError> {
    let cluster_id = some(id(reader)?);
    let Some(host_id) = some(id(reader)?) else { return Err(reader.error("a host id")) };
    let (instance, feature_level) = (reader.u64_be()?, reader.u32_be()?);
    let ip = match reader.u8()? {
        4 => reader.bytes(4)?.first_chunk::<4>().map(|ip| IpAddr::from(*ip)),
        6 => reader.bytes(16)?.first_chunk::<16>().map(|ip| IpAddr::from(*ip)),
        _ => None,
    };
    let Some(ip) = ip else { return Err(reader.error("an IP address")) };
    let address = SocketAddr::new(ip, reader.u16_be()?);
    Ok((Own { cluster_id, host_id, address, feature_level }, instance))
}

fn parse(kind: u8, content: &[u8]) -> Result<Introduction, CodecError> {
    let mut reader = Reader::new(content);
    match kind {
        HELLO => {
            let versions = Versions { lowest: reader.u8()?, highest: reader.u8()? };
            let (own, instance) = identity(&mut reader)?;
            let (lz4, channel) = (reader.u8()? & FLAG_LZ4 != 0, reader.u8()?);
            let expected = some(id(&mut reader)?);
            Ok(Introduction::Hello(Hello { versions, own, instance, expected, channel, lz4 }))
        }
        WELCOME => {
            let version = reader.u8()?;
            let (own, instance) = identity(&mut reader)?;
            let lz4 = reader.u8()? & FLAG_LZ4 != 0;
            Ok(Introduction::Welcome(Welcome { version, own, instance, lz4 }))
        }
        REFUSED => {
            let reason = Reason::from_code(reader.u8()?);
            let text = reader.rest();
            if text.len() > TEXT_BYTES_MAX {
                return Err(reader.error("the text of a refusal"));
            }
            let text = std::str::from_utf8(text).map_err(|_| reader.error("UTF-8"))?;
            // It goes to the log, where a line is a line.
            let text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            Ok(Introduction::Refused(Refusal { reason, text }))
        }
        _ => Err(reader.error("the kind of an introduction")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(address: &str) -> Own {
        Own {
            cluster_id: Some([7; 16]),
            host_id: [1; 16],
            address: address.parse().unwrap(),
            feature_level: 3,
        }
    }

    fn all() -> Vec<Introduction> {
        let versions = Versions { lowest: 1, highest: 4 };
        let hello = Hello {
            versions,
            own: own("10.0.0.1:7000"),
            instance: 99,
            expected: Some([2; 16]),
            channel: 200,
            lz4: true,
        };
        let alone = Own { cluster_id: None, ..own("[2001:db8::1]:7001") };
        vec![
            Introduction::Hello(hello),
            Introduction::Hello(Hello { own: alone, expected: None, lz4: false, ..hello }),
            Introduction::Welcome(Welcome { version: 1, own: alone, instance: 5, lz4: true }),
            Introduction::Refused(Refusal::new(Reason::OtherCluster, "go away")),
        ]
    }

    #[test]
    fn introductions_come_back_however_they_arrive() {
        for introduction in all() {
            let mut whole = BytesMut::new();
            introduction.encode(&mut whole);
            whole.put_bytes(b"frames");
            let mut input = BytesMut::new();
            let mut taken = None;
            for byte in &whole {
                input.put_u8(*byte);
                if taken.is_none() {
                    taken = Introduction::take(&mut input).unwrap();
                }
            }
            assert_eq!(taken, Some(introduction));
            assert_eq!(&input[..], b"frames");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for introduction in all() {
            let mut whole = BytesMut::new();
            introduction.encode(&mut whole);
            for bit in 0..whole.len() * 8 {
                let mut damaged = whole.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                // A length that has become larger waits for bytes that do not come.
                let taken = Introduction::take(&mut damaged);
                assert!(!matches!(taken, Ok(Some(_))), "bit {bit}: {taken:?}");
            }
        }
    }

    #[test]
    fn strangers_are_known_by_their_first_bytes() {
        for stranger in [&b"GET / HTTP/1.1\r\n"[..], b"\x04\x00\x00\x00\x05", b"HMNX", b"\x16\x03"]
        {
            assert!(Introduction::take(&mut BytesMut::from(stranger)).is_err(), "{stranger:?}");
        }
        assert_eq!(Introduction::take(&mut BytesMut::from(&b"HMN"[..])), Ok(None));
        let mut long = BytesMut::from(&b"HMNN\x01\xff\xff"[..]);
        assert!(Introduction::take(&mut long).is_err());
    }

    #[test]
    fn what_a_newer_version_appends_is_ignored() {
        let mut whole = BytesMut::new();
        let [hello, ..] = &all()[..] else { panic!() };
        hello.encode(&mut whole);
        let content = &whole[PREFIX_BYTES..whole.len() - CRC_BYTES];
        let mut longer = MAGIC.to_vec();
        longer.put_u8(HELLO);
        longer.put_u16_be(content.len() as u16 + 3);
        longer.put_bytes(content);
        longer.put_bytes(b"new");
        longer.put_u32_be(crc32(&longer));
        let taken = Introduction::take(&mut BytesMut::from(&longer[..])).unwrap();
        assert_eq!(taken.as_ref(), Some(hello));
    }
}
