//! Names of Cassandra's Java classes of types, as `org.apache.cassandra.db.marshal.ListType(…)`:
//! what a custom \[option\] carries, and what tables made for Java tools store.

use std::sync::Arc;

use crate::types::{CqlType, NESTING_DEPTH_MAX, UdtType};

const PACKAGE: &str = "org.apache.cassandra.db.marshal.";

/// Class names of plain types, without the package.
const PLAIN: &[(&str, CqlType)] = &[
    ("AsciiType", CqlType::Ascii),
    ("LongType", CqlType::Bigint),
    ("BytesType", CqlType::Blob),
    ("BooleanType", CqlType::Boolean),
    ("CounterColumnType", CqlType::Counter),
    ("SimpleDateType", CqlType::Date),
    ("DecimalType", CqlType::Decimal),
    ("DoubleType", CqlType::Double),
    ("DurationType", CqlType::Duration),
    ("FloatType", CqlType::Float),
    ("InetAddressType", CqlType::Inet),
    ("Int32Type", CqlType::Int),
    ("ShortType", CqlType::Smallint),
    ("UTF8Type", CqlType::Text),
    ("TimeType", CqlType::Time),
    ("TimestampType", CqlType::Timestamp),
    ("TimeUUIDType", CqlType::Timeuuid),
    ("ByteType", CqlType::Tinyint),
    ("UUIDType", CqlType::Uuid),
    ("IntegerType", CqlType::Varint),
    ("EmptyType", CqlType::Empty),
];

/// The class name of a type.
pub fn print(ty: &CqlType) -> String {
    let mut out = String::new();
    print_into(ty, &mut out);
    out
}

fn print_into(ty: &CqlType, out: &mut String) {
    if let CqlType::Custom(name) = ty {
        out.push_str(name);
        return;
    }
    out.push_str(PACKAGE);
    let mut nested = |class: &str, parts: &[&CqlType]| {
        out.push_str(class);
        out.push('(');
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            print_into(part, out);
        }
        out.push(')');
    };
    match ty {
        CqlType::List(element) => nested("ListType", &[element]),
        CqlType::Set(element) => nested("SetType", &[element]),
        CqlType::Map(key, value) => nested("MapType", &[key, value]),
        CqlType::Frozen(inner) => nested("FrozenType", &[inner]),
        CqlType::Tuple(components) => nested("TupleType", &components.iter().collect::<Vec<_>>()),
        CqlType::Vector(element, dimension) => {
            out.push_str("VectorType(");
            print_into(element, out);
            // The blanks are Cassandra's.
            out.push_str(&format!(" , {dimension})"));
        }
        CqlType::Udt(udt) => {
            out.push_str("UserType(");
            out.push_str(&udt.keyspace);
            out.push(',');
            push_hex(&udt.name, out);
            for (name, field) in &udt.fields {
                out.push(',');
                push_hex(name, out);
                out.push(':');
                print_into(field, out);
            }
            out.push(')');
        }
        plain => {
            let class = PLAIN.iter().find(|(_, ty)| ty == plain).map(|(class, _)| *class);
            out.push_str(class.unwrap_or("BytesType"));
        }
    }
}

fn push_hex(name: &str, out: &mut String) {
    for byte in name.bytes() {
        out.push_str(&format!("{byte:02x}"));
    }
}

/// The type that a class name stands for; none if the name is not one of Cassandra's own types.
/// `ReversedType` is read as what it wraps.
pub fn parse(name: &str) -> Option<CqlType> {
    let mut parser = Parser { rest: name };
    let ty = parser.ty(NESTING_DEPTH_MAX)?;
    parser.rest.trim().is_empty().then_some(ty)
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn ty(&mut self, depth: usize) -> Option<CqlType> {
        let depth = depth.checked_sub(1)?;
        let name = self.word();
        let class = name.strip_prefix(PACKAGE).unwrap_or(name);
        if let Some((_, ty)) = PLAIN.iter().find(|(known, _)| *known == class) {
            return Some(ty.clone());
        }
        self.token('(')?;
        let ty = match class {
            "ListType" => CqlType::List(Box::new(self.ty(depth)?)),
            "SetType" => CqlType::Set(Box::new(self.ty(depth)?)),
            "FrozenType" => CqlType::Frozen(Box::new(self.ty(depth)?)),
            "ReversedType" => self.ty(depth)?,
            "MapType" => {
                let key = self.ty(depth)?;
                self.token(',')?;
                CqlType::Map(Box::new(key), Box::new(self.ty(depth)?))
            }
            "VectorType" => {
                let element = self.ty(depth)?;
                self.token(',')?;
                CqlType::Vector(Box::new(element), self.word().parse().ok()?)
            }
            "TupleType" => {
                let mut components = vec![self.ty(depth)?];
                while self.token(',').is_some() {
                    components.push(self.ty(depth)?);
                }
                CqlType::Tuple(components)
            }
            "UserType" => self.udt(depth)?,
            _ => return None,
        };
        self.token(')')?;
        Some(ty)
    }

    fn udt(&mut self, depth: usize) -> Option<CqlType> {
        let keyspace = self.word().to_owned();
        self.token(',')?;
        let name = from_hex(self.word())?;
        let mut fields = Vec::new();
        while self.token(',').is_some() {
            let field = from_hex(self.word())?;
            self.token(':')?;
            fields.push((field, self.ty(depth)?));
        }
        Some(CqlType::Udt(Arc::new(UdtType { keyspace, name, fields })))
    }

    fn word(&mut self) -> &'a str {
        let text = self.rest.trim_start();
        let end = text.find(|c: char| "(),: ".contains(c)).unwrap_or(text.len());
        let (word, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        self.rest = rest;
        word
    }

    fn token(&mut self, token: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(token)?;
        Some(())
    }
}

fn from_hex(word: &str) -> Option<String> {
    let digits = word.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes = digits.chunks_exact(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    });
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let udt = UdtType {
            keyspace: "ks".to_owned(),
            name: "adresse".to_owned(),
            fields: vec![("straße".to_owned(), CqlType::Text), ("nr".to_owned(), CqlType::Int)],
        };
        let ty = CqlType::Map(
            Box::new(CqlType::Udt(Arc::new(udt))),
            Box::new(CqlType::Tuple(vec![
                CqlType::Vector(Box::new(CqlType::Float), 3),
                CqlType::Frozen(Box::new(CqlType::Set(Box::new(CqlType::Uuid)))),
            ])),
        );
        assert_eq!(parse(&print(&ty)), Some(ty));
    }

    #[test]
    fn spelling_is_cassandras() {
        let vector = CqlType::Vector(Box::new(CqlType::Float), 3);
        assert_eq!(
            print(&vector),
            "org.apache.cassandra.db.marshal.VectorType(\
             org.apache.cassandra.db.marshal.FloatType , 3)"
        );
        assert_eq!(parse("com.example.Mine"), None);
        assert_eq!(parse("ListType(Int32Type))"), None);
        assert_eq!(parse("ReversedType(Int32Type)"), Some(CqlType::Int));
        assert_eq!(parse(&"ListType(".repeat(10_000)), None);
    }
}
