//! The types of CQL, and everything that depends on a type alone: the serialized form of values,
//! their order, their text, and the pure functions over them.
//!
//! # How frozen types are written down
//!
//! A [`CqlType`] has one canonical shape, so that `==` means "the same type":
//!
//! - [`CqlType::Frozen`] stands only at the top of a column's type or at the top of the type of a
//!   field of a UDT, and only around a collection or a UDT. Tuples and vectors are always frozen
//!   and carry no wrapper.
//! - Whatever lies inside another type (elements, keys, values, tuple components) is frozen by
//!   its place, so it carries no wrapper; [`Display`](std::fmt::Display) prints it with
//!   `frozen<…>`, as `system_schema` does: `List(Map(Text, Int))` prints `list<frozen<map<text, int>>>`.
//!
//! [`CqlType::canonical`] brings any tree into this shape.

pub mod calendar;
pub mod decimal;
mod display;
pub mod duration;
pub mod error;
mod fixed;
pub mod frames;
pub mod functions;
pub mod key;
pub mod names;
pub mod normalize;
pub mod order;
pub mod partition_key;
pub mod text;
pub mod validate;
pub mod value;

pub use error::{Result, ValueError, ValueErrorKind};
pub use normalize::normalize;
pub use order::compare;
pub use validate::validate;
pub use value::{Value, decode, encode};

use std::sync::Arc;

/// A type nests at most this deep; deeper ones are refused before anything recurses over them.
pub const NESTING_DEPTH_MAX: usize = 64;

/// A CQL type. See the module's head for the canonical shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CqlType {
    /// US-ASCII text.
    Ascii,
    /// A signed 64-bit integer.
    Bigint,
    /// Arbitrary bytes.
    Blob,
    /// True or false.
    Boolean,
    /// A distributed counter; only as the type of a whole column.
    Counter,
    /// A day, as a u32 with 1970-01-01 at 2^31.
    Date,
    /// A decimal number of any precision.
    Decimal,
    /// An IEEE 754 double.
    Double,
    /// Months, days and nanoseconds.
    Duration,
    /// An IEEE 754 float.
    Float,
    /// An IPv4 or IPv6 address.
    Inet,
    /// A signed 32-bit integer.
    Int,
    /// A signed 16-bit integer.
    Smallint,
    /// UTF-8 text; `varchar` is another name of it.
    Text,
    /// Nanoseconds since midnight.
    Time,
    /// Milliseconds since the epoch.
    Timestamp,
    /// A version 1 UUID, ordered by its time.
    Timeuuid,
    /// A signed 8-bit integer.
    Tinyint,
    /// Any UUID.
    Uuid,
    /// An integer of any size.
    Varint,
    /// A list.
    List(Box<CqlType>),
    /// A set, sorted by its element type.
    Set(Box<CqlType>),
    /// A map, sorted by its key type.
    Map(Box<CqlType>, Box<CqlType>),
    /// A tuple.
    Tuple(Vec<CqlType>),
    /// A user-defined type.
    Udt(Arc<UdtType>),
    /// A vector of a fixed number of elements, none of them null.
    Vector(Box<CqlType>, usize),
    /// A collection or a UDT that is stored as one value.
    Frozen(Box<CqlType>),
    /// The type of columns that hold nothing, as in compact tables.
    Empty,
    /// A type that only its Java class name describes.
    Custom(String),
}

/// A user-defined type with the definitions of its fields.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UdtType {
    /// The keyspace it belongs to.
    pub keyspace: String,
    /// Its name, as stored: without quotes, in the case it has.
    pub name: String,
    /// Names and types of the fields, in the order of definition.
    pub fields: Vec<(String, CqlType)>,
}

impl UdtType {
    /// The position and type of the field called `name`.
    pub fn field(&self, name: &str) -> Option<(usize, &CqlType)> {
        let found = self.fields.iter().enumerate().find(|(_, (field, _))| field == name);
        found.map(|(index, (_, ty))| (index, ty))
    }
}

impl CqlType {
    /// Brings a tree with `Frozen` at any place into the canonical shape.
    pub fn canonical(self) -> CqlType {
        match self {
            CqlType::Frozen(inner) => inner.frozen(),
            other => other.map_nested(),
        }
    }

    /// The frozen form of this type: collections and UDTs are wrapped, others stay as they are.
    pub fn frozen(self) -> CqlType {
        let bare = self.into_unfrozen().map_nested();
        match bare {
            CqlType::List(_) | CqlType::Set(_) | CqlType::Map(..) | CqlType::Udt(_) => {
                CqlType::Frozen(Box::new(bare))
            }
            other => other,
        }
    }

    /// This type without its outermost `frozen<…>`.
    pub fn unfrozen(&self) -> &CqlType {
        let mut ty = self;
        while let CqlType::Frozen(inner) = ty {
            ty = inner;
        }
        ty
    }

    fn into_unfrozen(self) -> CqlType {
        let mut ty = self;
        while let CqlType::Frozen(inner) = ty {
            ty = *inner;
        }
        ty
    }

    /// Canonical children: inside another type nothing carries the wrapper.
    fn map_nested(self) -> CqlType {
        let bare = |ty: CqlType| ty.into_unfrozen().map_nested();
        match self {
            CqlType::List(element) => CqlType::List(Box::new(bare(*element))),
            CqlType::Set(element) => CqlType::Set(Box::new(bare(*element))),
            CqlType::Map(key, value) => CqlType::Map(Box::new(bare(*key)), Box::new(bare(*value))),
            CqlType::Tuple(components) => {
                CqlType::Tuple(components.into_iter().map(bare).collect())
            }
            CqlType::Vector(element, dimension) => {
                CqlType::Vector(Box::new(bare(*element)), dimension)
            }
            other => other,
        }
    }

    /// A column of this type is stored as one cell per element or field.
    pub fn is_multi_cell(&self) -> bool {
        matches!(self, CqlType::List(_) | CqlType::Set(_) | CqlType::Map(..) | CqlType::Udt(_))
    }

    /// A list, set or map, frozen or not.
    pub fn is_collection(&self) -> bool {
        matches!(self.unfrozen(), CqlType::List(_) | CqlType::Set(_) | CqlType::Map(..))
    }

    /// A user-defined type, frozen or not.
    pub fn is_udt(&self) -> bool {
        matches!(self.unfrozen(), CqlType::Udt(_))
    }

    /// A tuple (a UDT is not one here, though Cassandra's code treats it as such).
    pub fn is_tuple(&self) -> bool {
        matches!(self.unfrozen(), CqlType::Tuple(_))
    }

    /// A vector.
    pub fn is_vector(&self) -> bool {
        matches!(self.unfrozen(), CqlType::Vector(..))
    }

    /// The `counter` type.
    pub fn is_counter(&self) -> bool {
        matches!(self, CqlType::Counter)
    }

    /// Written as a frozen value: an explicit wrapper, a tuple or a vector.
    pub fn is_frozen(&self) -> bool {
        matches!(self, CqlType::Frozen(_) | CqlType::Tuple(_) | CqlType::Vector(..))
    }

    /// A number that arithmetic works on.
    pub fn is_numeric(&self) -> bool {
        self.is_integer() || matches!(self, CqlType::Float | CqlType::Double | CqlType::Decimal)
    }

    /// A whole number.
    pub fn is_integer(&self) -> bool {
        matches!(
            self,
            CqlType::Tinyint
                | CqlType::Smallint
                | CqlType::Int
                | CqlType::Bigint
                | CqlType::Counter
                | CqlType::Varint
        )
    }

    /// A `duration` stands here or anywhere inside; such a type has no order.
    pub fn contains_duration(&self) -> bool {
        self.any(&|ty| matches!(ty, CqlType::Duration))
    }

    /// A `counter` stands here or anywhere inside.
    pub fn contains_counter(&self) -> bool {
        self.any(&|ty| matches!(ty, CqlType::Counter))
    }

    /// The UDT called `keyspace.name` stands here or anywhere inside.
    pub fn references_udt(&self, keyspace: &str, name: &str) -> bool {
        self.any(&|ty| match ty {
            CqlType::Udt(udt) => udt.keyspace == keyspace && udt.name == name,
            _ => false,
        })
    }

    /// `test` holds for this type or for one inside it, fields of UDTs included.
    pub fn any(&self, test: &dyn Fn(&CqlType) -> bool) -> bool {
        test(self) || self.children().iter().any(|child| child.any(test))
    }

    /// The types directly inside this one, in order.
    pub fn children(&self) -> Vec<&CqlType> {
        match self {
            CqlType::List(element) | CqlType::Set(element) | CqlType::Vector(element, _) => {
                vec![element]
            }
            CqlType::Frozen(inner) => vec![inner],
            CqlType::Map(key, value) => vec![key, value],
            CqlType::Tuple(components) => components.iter().collect(),
            CqlType::Udt(udt) => udt.fields.iter().map(|(_, ty)| ty).collect(),
            _ => Vec::new(),
        }
    }

    /// How deep this type nests; a plain type has depth 1.
    pub fn depth(&self) -> usize {
        1 + self.children().into_iter().map(CqlType::depth).max().unwrap_or(0)
    }

    /// The number of bytes every non-empty value has, where that is fixed. Decides the layout of
    /// vectors: elements of fixed length are written without a length.
    pub fn fixed_length(&self) -> Option<usize> {
        match self {
            CqlType::Boolean => Some(1),
            CqlType::Int | CqlType::Float => Some(4),
            CqlType::Bigint | CqlType::Double | CqlType::Timestamp => Some(8),
            CqlType::Uuid | CqlType::Timeuuid => Some(16),
            CqlType::Vector(element, dimension) => {
                element.fixed_length().and_then(|length| length.checked_mul(*dimension))
            }
            CqlType::Frozen(inner) => inner.fixed_length(),
            _ => None,
        }
    }

    /// A zero-length value is allowed and is not null: text and blobs, where it is an ordinary
    /// value, and most others, where it is what Cassandra calls an empty value.
    pub fn allows_empty(&self) -> bool {
        match self {
            CqlType::Tinyint
            | CqlType::Smallint
            | CqlType::Date
            | CqlType::Time
            | CqlType::Duration
            | CqlType::Counter
            | CqlType::List(_)
            | CqlType::Set(_)
            | CqlType::Map(..)
            | CqlType::Vector(..) => false,
            CqlType::Frozen(inner) => inner.allows_empty(),
            _ => true,
        }
    }

    /// Zero bytes are an ordinary value of this type, not the "empty" one.
    pub fn is_empty_meaningful(&self) -> bool {
        matches!(
            self,
            CqlType::Ascii | CqlType::Text | CqlType::Blob | CqlType::Empty | CqlType::Custom(_)
        )
    }

    /// Bytes of `other` are valid values of this type and mean the same: Cassandra's
    /// `isValueCompatibleWith`.
    pub fn is_value_compatible_with(&self, other: &CqlType) -> bool {
        use CqlType::*;
        let (this, other) = (self.unfrozen(), other.unfrozen());
        match (this, other) {
            (Blob, _) => !matches!(other, Counter),
            (Text, Ascii) | (Uuid, Timeuuid) => true,
            (Varint, Int | Bigint | Timestamp | Smallint | Tinyint) => true,
            (Bigint, Timestamp) | (Timestamp, Bigint) | (Time, Bigint) => true,
            (Date, Int) => true,
            (List(a), List(b)) | (Set(a), Set(b)) => a.is_value_compatible_with(b),
            (Map(k, v), Map(k2, v2)) => {
                k.is_value_compatible_with(k2) && v.is_value_compatible_with(v2)
            }
            (Tuple(a), Tuple(b)) => {
                a.len() >= b.len() && a.iter().zip(b).all(|(x, y)| x.is_value_compatible_with(y))
            }
            _ => this == other,
        }
    }
}
