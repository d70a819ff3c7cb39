//! How types print: Cassandra's spelling in `system_schema` and in error messages.

use super::CqlType;
use super::names::maybe_quote;
use std::fmt;

impl fmt::Display for CqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CqlType::Frozen(inner) => nested(inner, f),
            CqlType::Tuple(_) => nested(self, f),
            other => bare(other, f),
        }
    }
}

/// A type in a place that freezes it.
fn nested(ty: &CqlType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match ty {
        CqlType::Frozen(inner) => nested(inner, f),
        CqlType::List(_)
        | CqlType::Set(_)
        | CqlType::Map(..)
        | CqlType::Udt(_)
        | CqlType::Tuple(_) => {
            f.write_str("frozen<")?;
            bare(ty, f)?;
            f.write_str(">")
        }
        other => bare(other, f),
    }
}

fn bare(ty: &CqlType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match ty {
        CqlType::List(element) => parameters("list", &[element], f),
        CqlType::Set(element) => parameters("set", &[element], f),
        CqlType::Map(key, value) => parameters("map", &[key, value], f),
        CqlType::Tuple(components) => {
            parameters("tuple", &components.iter().collect::<Vec<_>>(), f)
        }
        CqlType::Vector(element, dimension) => {
            f.write_str("vector<")?;
            nested(element, f)?;
            write!(f, ", {dimension}>")
        }
        CqlType::Udt(udt) => f.write_str(&maybe_quote(&udt.name)),
        CqlType::Frozen(inner) => nested(inner, f),
        CqlType::Custom(class) => write!(f, "'{class}'"),
        plain => f.write_str(plain_name(plain)),
    }
}

fn parameters(name: &str, types: &[&CqlType], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{name}<")?;
    for (index, ty) in types.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        nested(ty, f)?;
    }
    f.write_str(">")
}

fn plain_name(ty: &CqlType) -> &'static str {
    match ty {
        CqlType::Ascii => "ascii",
        CqlType::Bigint => "bigint",
        CqlType::Blob => "blob",
        CqlType::Boolean => "boolean",
        CqlType::Counter => "counter",
        CqlType::Date => "date",
        CqlType::Decimal => "decimal",
        CqlType::Double => "double",
        CqlType::Duration => "duration",
        CqlType::Float => "float",
        CqlType::Inet => "inet",
        CqlType::Int => "int",
        CqlType::Smallint => "smallint",
        CqlType::Text => "text",
        CqlType::Time => "time",
        CqlType::Timestamp => "timestamp",
        CqlType::Timeuuid => "timeuuid",
        CqlType::Tinyint => "tinyint",
        CqlType::Uuid => "uuid",
        CqlType::Varint => "varint",
        _ => "empty",
    }
}

/// The plain type called `name` (any case; `varchar` is `text`), or `None` for others.
pub(super) fn plain_type(name: &str) -> Option<CqlType> {
    Some(match name.to_ascii_lowercase().as_str() {
        "ascii" => CqlType::Ascii,
        "bigint" => CqlType::Bigint,
        "blob" => CqlType::Blob,
        "boolean" => CqlType::Boolean,
        "counter" => CqlType::Counter,
        "date" => CqlType::Date,
        "decimal" => CqlType::Decimal,
        "double" => CqlType::Double,
        "duration" => CqlType::Duration,
        "float" => CqlType::Float,
        "inet" => CqlType::Inet,
        "int" => CqlType::Int,
        "smallint" => CqlType::Smallint,
        "text" | "varchar" => CqlType::Text,
        "time" => CqlType::Time,
        "timestamp" => CqlType::Timestamp,
        "timeuuid" => CqlType::Timeuuid,
        "tinyint" => CqlType::Tinyint,
        "uuid" => CqlType::Uuid,
        "varint" => CqlType::Varint,
        "empty" => CqlType::Empty,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::UdtType;
    use super::*;
    use std::sync::Arc;

    fn list(ty: CqlType) -> CqlType {
        CqlType::List(Box::new(ty))
    }

    fn map(key: CqlType, value: CqlType) -> CqlType {
        CqlType::Map(Box::new(key), Box::new(value))
    }

    #[test]
    fn nested_collections_print_as_frozen() {
        let ty = list(map(CqlType::Text, CqlType::Int));
        assert_eq!(ty.to_string(), "list<frozen<map<text, int>>>");
        assert_eq!(ty.frozen().to_string(), "frozen<list<frozen<map<text, int>>>>");
        let tuple = CqlType::Tuple(vec![CqlType::Int, list(CqlType::Text)]);
        assert_eq!(tuple.to_string(), "frozen<tuple<int, frozen<list<text>>>>");
        let vector = CqlType::Vector(Box::new(CqlType::Float), 3);
        assert_eq!(vector.to_string(), "vector<float, 3>");
        assert_eq!(list(vector).to_string(), "list<vector<float, 3>>");
    }

    #[test]
    fn udts_print_by_name_quoted_where_needed() {
        let udt = |name: &str| {
            let fields = vec![("a".to_owned(), CqlType::Int)];
            let (keyspace, name) = ("ks".to_owned(), name.to_owned());
            CqlType::Udt(Arc::new(UdtType { keyspace, name, fields }))
        };
        assert_eq!(udt("address").to_string(), "address");
        assert_eq!(udt("Address").frozen().to_string(), "frozen<\"Address\">");
        assert_eq!(list(udt("select")).to_string(), "list<frozen<\"select\">>");
    }

    #[test]
    fn canonical_drops_wrappers_that_the_place_implies() {
        let spelled = list(CqlType::Frozen(Box::new(list(CqlType::Int))));
        assert_eq!(spelled.canonical(), list(list(CqlType::Int)));
        let frozen_int = CqlType::Frozen(Box::new(CqlType::Int));
        assert_eq!(frozen_int.canonical(), CqlType::Int);
        let twice = CqlType::Frozen(Box::new(list(CqlType::Int).frozen()));
        assert_eq!(twice.canonical(), list(CqlType::Int).frozen());
    }
}
