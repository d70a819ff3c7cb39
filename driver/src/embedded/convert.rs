//! The node's words as the driver's: errors, consistency levels, types.

use std::borrow::Cow;
use std::sync::Arc;

use cql_lite::types::CqlType;
use cql_lite::wire::{ColumnSpec as WireColumn, Consistency as WireConsistency, ErrorBody};
use scylla_cql_core::frame::response::result::{
    CollectionType, ColumnType, NativeType, TableSpec, UserDefinedType,
};

use crate::error::Error;
use crate::{ColumnSpec, Consistency, SerialConsistency};

/// What a client over the network would be told.
pub(super) fn refused(error: ErrorBody) -> Error {
    Error::coded(i32::try_from(error.kind.code()).unwrap_or(0), error.message)
}

pub(super) fn consistency(level: Consistency) -> WireConsistency {
    // Both number them as the protocol does.
    WireConsistency::from_code(level as u16).unwrap_or(WireConsistency::LocalQuorum)
}

pub(super) fn serial_consistency(level: SerialConsistency) -> WireConsistency {
    match level {
        SerialConsistency::Serial => WireConsistency::Serial,
        SerialConsistency::LocalSerial => WireConsistency::LocalSerial,
    }
}

pub(super) fn column(column: WireColumn) -> ColumnSpec<'static> {
    let table = TableSpec::owned(column.keyspace, column.table);
    ColumnSpec::owned(column.name, column_type(&column.ty, false), table)
}

fn column_type(ty: &CqlType, frozen: bool) -> ColumnType<'static> {
    let inner = |ty: &CqlType| Box::new(column_type(ty, false));
    let native = match ty {
        CqlType::Ascii => NativeType::Ascii,
        CqlType::Bigint => NativeType::BigInt,
        // A type that only its Java class names is bytes to everybody else, and so is nothing.
        CqlType::Blob | CqlType::Empty | CqlType::Custom(_) => NativeType::Blob,
        CqlType::Boolean => NativeType::Boolean,
        CqlType::Counter => NativeType::Counter,
        CqlType::Date => NativeType::Date,
        CqlType::Decimal => NativeType::Decimal,
        CqlType::Double => NativeType::Double,
        CqlType::Duration => NativeType::Duration,
        CqlType::Float => NativeType::Float,
        CqlType::Inet => NativeType::Inet,
        CqlType::Int => NativeType::Int,
        CqlType::Smallint => NativeType::SmallInt,
        CqlType::Text => NativeType::Text,
        CqlType::Time => NativeType::Time,
        CqlType::Timestamp => NativeType::Timestamp,
        CqlType::Timeuuid => NativeType::Timeuuid,
        CqlType::Tinyint => NativeType::TinyInt,
        CqlType::Uuid => NativeType::Uuid,
        CqlType::Varint => NativeType::Varint,
        CqlType::List(element) => {
            return ColumnType::Collection { frozen, typ: CollectionType::List(inner(element)) };
        }
        CqlType::Set(element) => {
            return ColumnType::Collection { frozen, typ: CollectionType::Set(inner(element)) };
        }
        CqlType::Map(key, value) => {
            let typ = CollectionType::Map(inner(key), inner(value));
            return ColumnType::Collection { frozen, typ };
        }
        CqlType::Tuple(elements) => {
            return ColumnType::Tuple(elements.iter().map(|ty| column_type(ty, false)).collect());
        }
        CqlType::Udt(udt) => {
            let field =
                |(name, ty): &(String, CqlType)| (Cow::Owned(name.clone()), column_type(ty, false));
            let definition = Arc::new(UserDefinedType {
                name: Cow::Owned(udt.name.clone()),
                keyspace: Cow::Owned(udt.keyspace.clone()),
                field_types: udt.fields.iter().map(field).collect(),
            });
            return ColumnType::UserDefinedType { frozen, definition };
        }
        CqlType::Vector(element, dimensions) => {
            let dimensions = u16::try_from(*dimensions).unwrap_or(u16::MAX);
            return ColumnType::Vector { typ: inner(element), dimensions };
        }
        CqlType::Frozen(ty) => return column_type(ty, true),
    };
    ColumnType::Native(native)
}
