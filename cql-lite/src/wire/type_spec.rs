//! The \[option\] that describes a type in result metadata (§4.2.5.2): a short code, and for some
//! codes a description.
//!
//! Types that a version does not know yet go as custom types by the name of their Java class:
//! `duration` before v5, `date`, `time`, `smallint` and `tinyint` before v4, vectors always.
//! Frozen and unfrozen types look alike.

use std::sync::Arc;

use helenus_platform::codec::{Put, Reader};

use super::class_name;
use super::error::{Result, WireError};
use super::notation::{PutNotation, ReadNotation};
use super::version::ProtocolVersion;
use crate::types::{CqlType, NESTING_DEPTH_MAX, UdtType};

/// Codes of \[option\].
mod code {
    pub(super) const CUSTOM: u16 = 0x0000;
    pub(super) const LIST: u16 = 0x0020;
    pub(super) const MAP: u16 = 0x0021;
    pub(super) const SET: u16 = 0x0022;
    pub(super) const UDT: u16 = 0x0030;
    pub(super) const TUPLE: u16 = 0x0031;
}

/// The plain types: code, the first version that knows it, type.
const PLAIN: &[(u16, ProtocolVersion, CqlType)] = &[
    (0x0001, ProtocolVersion::V3, CqlType::Ascii),
    (0x0002, ProtocolVersion::V3, CqlType::Bigint),
    (0x0003, ProtocolVersion::V3, CqlType::Blob),
    (0x0004, ProtocolVersion::V3, CqlType::Boolean),
    (0x0005, ProtocolVersion::V3, CqlType::Counter),
    (0x0006, ProtocolVersion::V3, CqlType::Decimal),
    (0x0007, ProtocolVersion::V3, CqlType::Double),
    (0x0008, ProtocolVersion::V3, CqlType::Float),
    (0x0009, ProtocolVersion::V3, CqlType::Int),
    (0x000B, ProtocolVersion::V3, CqlType::Timestamp),
    (0x000C, ProtocolVersion::V3, CqlType::Uuid),
    (0x000D, ProtocolVersion::V3, CqlType::Text),
    (0x000E, ProtocolVersion::V3, CqlType::Varint),
    (0x000F, ProtocolVersion::V3, CqlType::Timeuuid),
    (0x0010, ProtocolVersion::V3, CqlType::Inet),
    (0x0011, ProtocolVersion::V4, CqlType::Date),
    (0x0012, ProtocolVersion::V4, CqlType::Time),
    (0x0013, ProtocolVersion::V4, CqlType::Smallint),
    (0x0014, ProtocolVersion::V4, CqlType::Tinyint),
    (0x0015, ProtocolVersion::V5, CqlType::Duration),
];

/// Appends the description of `ty`.
pub fn put_type(ty: &CqlType, version: ProtocolVersion, out: &mut impl Put) {
    match ty {
        CqlType::Frozen(inner) => put_type(inner, version, out),
        CqlType::List(element) => {
            out.put_u16_be(code::LIST);
            put_type(element, version, out);
        }
        CqlType::Set(element) => {
            out.put_u16_be(code::SET);
            put_type(element, version, out);
        }
        CqlType::Map(key, value) => {
            out.put_u16_be(code::MAP);
            put_type(key, version, out);
            put_type(value, version, out);
        }
        CqlType::Tuple(components) => {
            out.put_u16_be(code::TUPLE);
            out.put_u16_be(components.len() as u16);
            for component in components {
                put_type(component, version, out);
            }
        }
        CqlType::Udt(udt) => {
            out.put_u16_be(code::UDT);
            out.put_string(&udt.keyspace);
            out.put_string(&udt.name);
            out.put_u16_be(udt.fields.len() as u16);
            for (name, field) in &udt.fields {
                out.put_string(name);
                put_type(field, version, out);
            }
        }
        plain => match PLAIN.iter().find(|(_, since, ty)| ty == plain && *since <= version) {
            Some((code, ..)) => out.put_u16_be(*code),
            None => {
                out.put_u16_be(code::CUSTOM);
                out.put_string(&class_name::print(plain));
            }
        },
    }
}

/// Reads the description of a type. The names of Cassandra's own classes become the types that
/// they stand for; other custom types keep their name.
pub fn read_type(reader: &mut Reader<'_>) -> Result<CqlType> {
    read_nested(reader, NESTING_DEPTH_MAX)
}

fn read_nested(reader: &mut Reader<'_>, depth: usize) -> Result<CqlType> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(WireError::malformed("a type is nested too deep"));
    };
    let boxed = |ty: CqlType| Box::new(ty);
    Ok(match reader.u16_be()? {
        code::CUSTOM => {
            let name = reader.string()?;
            class_name::parse(name).unwrap_or_else(|| CqlType::Custom(name.to_owned()))
        }
        // The text type of protocol versions 1 and 2.
        0x000A => CqlType::Text,
        code::LIST => CqlType::List(boxed(read_nested(reader, depth)?)),
        code::SET => CqlType::Set(boxed(read_nested(reader, depth)?)),
        code::MAP => {
            let key = read_nested(reader, depth)?;
            CqlType::Map(boxed(key), boxed(read_nested(reader, depth)?))
        }
        code::TUPLE => {
            let count = reader.u16_be()?;
            let components = (0..count).map(|_| read_nested(reader, depth));
            CqlType::Tuple(components.collect::<Result<_>>()?)
        }
        code::UDT => {
            let keyspace = reader.string()?.to_owned();
            let name = reader.string()?.to_owned();
            let count = reader.u16_be()?;
            let fields =
                (0..count).map(|_| Ok((reader.string()?.to_owned(), read_nested(reader, depth)?)));
            let fields = fields.collect::<Result<_>>()?;
            CqlType::Udt(Arc::new(UdtType { keyspace, name, fields }))
        }
        code => match PLAIN.iter().find(|(known, ..)| *known == code) {
            Some((.., ty)) => ty.clone(),
            None => return Err(WireError::malformed(format!("unknown type code {code:#06x}"))),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(ty: &CqlType, version: ProtocolVersion) -> Vec<u8> {
        let mut out = Vec::new();
        put_type(ty, version, &mut out);
        out
    }

    fn sample() -> CqlType {
        let udt = UdtType {
            keyspace: "ks".to_owned(),
            name: "t".to_owned(),
            fields: vec![
                ("a".to_owned(), CqlType::Duration),
                ("b".to_owned(), CqlType::Vector(Box::new(CqlType::Float), 3)),
            ],
        };
        CqlType::Map(
            Box::new(CqlType::Tuple(vec![CqlType::Text, CqlType::Date])),
            Box::new(CqlType::List(Box::new(CqlType::Udt(Arc::new(udt))))),
        )
    }

    #[test]
    fn types_come_back_in_every_version() {
        for version in ProtocolVersion::ALL {
            for ty in PLAIN.iter().map(|(.., ty)| ty.clone()).chain([sample(), CqlType::Empty]) {
                let wire = bytes(&ty, version);
                let mut reader = Reader::new(&wire);
                assert_eq!(read_type(&mut reader).unwrap(), ty, "{version}");
                assert!(reader.is_empty());
                for cut in 0..wire.len() {
                    assert!(read_type(&mut Reader::new(&wire[..cut])).is_err());
                }
            }
        }
    }

    #[test]
    fn young_types_are_custom_to_old_versions() {
        assert_eq!(bytes(&CqlType::Duration, ProtocolVersion::V5), [0, 0x15]);
        let old = bytes(&CqlType::Duration, ProtocolVersion::V4);
        assert_eq!(&old[..4], [0, 0, 0, 44]);
        assert_eq!(&old[4..], b"org.apache.cassandra.db.marshal.DurationType");
        let frozen = CqlType::Frozen(Box::new(CqlType::List(Box::new(CqlType::Int))));
        assert_eq!(bytes(&frozen, ProtocolVersion::V4), [0, 0x20, 0, 9]);
    }

    #[test]
    fn deep_nesting_is_refused() {
        let wire = [0, 0x20].repeat(100_000);
        assert!(read_type(&mut Reader::new(&wire)).is_err());
    }
}
