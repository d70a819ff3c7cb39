//! Types as written; resolving user-defined names needs the schema and happens elsewhere.

use super::{Identifier, Position};

/// A type as written in a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName {
    /// What it is.
    pub kind: TypeKind,
    /// Where it begins.
    pub position: Position,
}

/// The forms of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeKind {
    /// A built-in scalar type.
    Native(NativeType),
    /// `list<element>`
    List(Box<TypeName>),
    /// `set<element>`
    Set(Box<TypeName>),
    /// `map<key, value>`
    Map(Box<TypeName>, Box<TypeName>),
    /// `tuple<a, b, …>`; at least one component.
    Tuple(Vec<TypeName>),
    /// `vector<element, dimension>`; the dimension is not checked here.
    Vector(Box<TypeName>, i32),
    /// `frozen<type>`; never around a native or custom type.
    Frozen(Box<TypeName>),
    /// A user-defined type, perhaps of a named keyspace.
    User {
        /// The keyspace, if written.
        keyspace: Option<Identifier>,
        /// The type's name.
        name: Identifier,
    },
    /// A type by the name of its Java class, in single quotes.
    Custom(String),
}

macro_rules! native_types {
    ($($variant:ident $name:literal),* $(,)?) => {
        /// The built-in scalar types.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum NativeType {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl NativeType {
            /// Every native type.
            pub const ALL: &'static [NativeType] = &[$(NativeType::$variant),*];

            /// Its name in CQL.
            pub fn name(self) -> &'static str {
                match self { $(NativeType::$variant => $name,)* }
            }
        }
    };
}

native_types! {
    Ascii "ascii", Bigint "bigint", Blob "blob", Boolean "boolean", Counter "counter",
    Date "date", Decimal "decimal", Double "double", Duration "duration", Float "float",
    Inet "inet", Int "int", Smallint "smallint", Text "text", Time "time",
    Timestamp "timestamp", Timeuuid "timeuuid", Tinyint "tinyint", Uuid "uuid",
    Varchar "varchar", Varint "varint",
}
