//! From a type as written to a type: names of user-defined types are looked up, and what may not
//! stand inside something else is refused with Cassandra's wording.

use std::sync::Arc;

use cql_lite::ast::{NativeType, TypeKind, TypeName};
use cql_lite::types::CqlType;

use crate::error::{Error, Result};
use crate::schema::Schema;

/// Most elements of a vector, as in Cassandra (a vector must fit a cell).
const VECTOR_DIMENSIONS_MAX: i32 = 8192;

/// The type of that name, for a statement on `keyspace`.
pub(crate) fn resolve(schema: &Schema, keyspace: &str, name: &TypeName) -> Result<CqlType> {
    resolve_inner(schema, keyspace, name, false).map(CqlType::canonical)
}

/// Whether the type was written as a user-defined one outside of `frozen<…>`.
pub(crate) fn is_bare_user_type(name: &TypeName) -> bool {
    matches!(name.kind, TypeKind::User { .. })
}

/// Whether a type as written is a counter.
pub(crate) fn is_counter(name: &TypeName) -> bool {
    matches!(name.kind, TypeKind::Native(NativeType::Counter))
}

/// The type without regard to the canonical shape; `frozen`: something around it is.
fn resolve_inner(
    schema: &Schema,
    keyspace: &str,
    name: &TypeName,
    frozen: bool,
) -> Result<CqlType> {
    let part = |part: &TypeName, frozen| resolve_inner(schema, keyspace, part, frozen);
    match &name.kind {
        TypeKind::Native(native) => Ok(native_type(*native)),
        TypeKind::List(element) => {
            check_collection_part(name, element, frozen)?;
            Ok(CqlType::List(Box::new(part(element, frozen)?)))
        }
        TypeKind::Set(element) => {
            check_collection_part(name, element, frozen)?;
            if matches!(element.kind, TypeKind::Native(NativeType::Duration)) {
                return Err(Error::invalid(format!(
                    "Durations are not allowed inside sets: {name}"
                )));
            }
            Ok(CqlType::Set(Box::new(part(element, frozen)?)))
        }
        TypeKind::Map(key, value) => {
            check_collection_part(name, value, frozen)?;
            if matches!(key.kind, TypeKind::Native(NativeType::Duration)) {
                return Err(Error::invalid(format!(
                    "Durations are not allowed as map keys: {name}"
                )));
            }
            check_collection_part(name, key, frozen)?;
            Ok(CqlType::Map(Box::new(part(key, frozen)?), Box::new(part(value, frozen)?)))
        }
        TypeKind::Tuple(components) => {
            if components.iter().any(is_counter) {
                return Err(Error::invalid("Counters are not allowed inside tuples"));
            }
            let components = components.iter().map(|component| part(component, true));
            Ok(CqlType::Tuple(components.collect::<Result<_>>()?))
        }
        TypeKind::Vector(element, dimensions) => vector(part(element, true)?, *dimensions),
        TypeKind::Frozen(inner) => Ok(CqlType::Frozen(Box::new(part(inner, true)?))),
        TypeKind::User { keyspace: written, name } => {
            user_type(schema, keyspace, written.as_ref().map(|ks| ks.as_str()), name.as_str())
        }
        TypeKind::Custom(class) => custom_type(class),
    }
}

/// The type behind the Java class name of a plain type.
fn custom_type(class: &str) -> Result<CqlType> {
    const PACKAGE: &str = "org.apache.cassandra.db.marshal.";
    Ok(match class.strip_prefix(PACKAGE).unwrap_or(class) {
        "AsciiType" => CqlType::Ascii,
        "BooleanType" => CqlType::Boolean,
        "ByteType" => CqlType::Tinyint,
        "BytesType" => CqlType::Blob,
        "CounterColumnType" => CqlType::Counter,
        "DecimalType" => CqlType::Decimal,
        "DoubleType" => CqlType::Double,
        "DurationType" => CqlType::Duration,
        "EmptyType" => CqlType::Empty,
        "FloatType" => CqlType::Float,
        "InetAddressType" => CqlType::Inet,
        "Int32Type" => CqlType::Int,
        "IntegerType" => CqlType::Varint,
        "LongType" => CqlType::Bigint,
        "ShortType" => CqlType::Smallint,
        "SimpleDateType" => CqlType::Date,
        "TimeType" => CqlType::Time,
        "TimeUUIDType" => CqlType::Timeuuid,
        "TimestampType" => CqlType::Timestamp,
        "UTF8Type" => CqlType::Text,
        "UUIDType" => CqlType::Uuid,
        short => {
            let package = if short.contains('.') { "" } else { PACKAGE };
            return Err(Error::config(format!(
                "Unable to find abstract-type class '{package}{short}'"
            )));
        }
    })
}

fn vector(element: CqlType, dimensions: i32) -> Result<CqlType> {
    if dimensions <= 0 {
        return Err(Error::invalid(format!(
            "vectors may only have positive dimensions; given {dimensions}"
        )));
    }
    if dimensions > VECTOR_DIMENSIONS_MAX {
        return Err(Error::invalid(format!(
            "vectors may have at most {VECTOR_DIMENSIONS_MAX} dimensions; given {dimensions}"
        )));
    }
    let dimensions = usize::try_from(dimensions).unwrap_or_default();
    Ok(CqlType::Vector(Box::new(element), dimensions))
}

fn user_type(
    schema: &Schema,
    keyspace: &str,
    written: Option<&str>,
    name: &str,
) -> Result<CqlType> {
    if let Some(written) = written
        && written != keyspace
    {
        return Err(Error::invalid(format!(
            "Statement on keyspace {keyspace} cannot refer to a user type in keyspace {written}; \
             user types can only be used in the keyspace they are defined in"
        )));
    }
    match schema.user_type(keyspace, name) {
        Some(udt) => Ok(CqlType::Udt(Arc::clone(udt))),
        None => Err(Error::invalid(format!("Unknown type {keyspace}.{name}"))),
    }
}

fn check_collection_part(whole: &TypeName, part: &TypeName, frozen: bool) -> Result<()> {
    if is_counter(part) {
        return Err(Error::invalid(format!(
            "Counters are not allowed inside collections: {whole}"
        )));
    }
    if frozen {
        return Ok(());
    }
    match part.kind {
        TypeKind::List(_) | TypeKind::Set(_) | TypeKind::Map(..) => Err(Error::invalid(format!(
            "Non-frozen collections are not allowed inside collections: {whole}"
        ))),
        TypeKind::User { .. } => Err(Error::invalid(format!(
            "Non-frozen UDTs are not allowed inside collections: {whole}"
        ))),
        _ => Ok(()),
    }
}

/// The type that a native name stands for.
pub(crate) fn native_type(native: NativeType) -> CqlType {
    match native {
        NativeType::Ascii => CqlType::Ascii,
        NativeType::Bigint => CqlType::Bigint,
        NativeType::Blob => CqlType::Blob,
        NativeType::Boolean => CqlType::Boolean,
        NativeType::Counter => CqlType::Counter,
        NativeType::Date => CqlType::Date,
        NativeType::Decimal => CqlType::Decimal,
        NativeType::Double => CqlType::Double,
        NativeType::Duration => CqlType::Duration,
        NativeType::Float => CqlType::Float,
        NativeType::Inet => CqlType::Inet,
        NativeType::Int => CqlType::Int,
        NativeType::Smallint => CqlType::Smallint,
        NativeType::Text | NativeType::Varchar => CqlType::Text,
        NativeType::Time => CqlType::Time,
        NativeType::Timestamp => CqlType::Timestamp,
        NativeType::Timeuuid => CqlType::Timeuuid,
        NativeType::Tinyint => CqlType::Tinyint,
        NativeType::Uuid => CqlType::Uuid,
        NativeType::Varint => CqlType::Varint,
    }
}
