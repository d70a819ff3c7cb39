//! Rust values as CQL's serialized ones.

use helenus_platform::codec::Put;

/// A value that can be bound to a statement. The node checks that its length fits the type.
pub trait ToCql: Sync {
    /// The serialized value, or `None` for null.
    fn to_cql(&self) -> Option<Vec<u8>>;
}

impl<T: ToCql + ?Sized> ToCql for &T {
    fn to_cql(&self) -> Option<Vec<u8>> {
        (**self).to_cql()
    }
}

impl<T: ToCql> ToCql for Option<T> {
    fn to_cql(&self) -> Option<Vec<u8>> {
        self.as_ref().and_then(ToCql::to_cql)
    }
}

impl ToCql for str {
    fn to_cql(&self) -> Option<Vec<u8>> {
        Some(self.as_bytes().to_vec())
    }
}

impl ToCql for String {
    fn to_cql(&self) -> Option<Vec<u8>> {
        self.as_str().to_cql()
    }
}

/// A blob, or any value that is serialized already.
impl ToCql for [u8] {
    fn to_cql(&self) -> Option<Vec<u8>> {
        Some(self.to_vec())
    }
}

impl ToCql for Vec<u8> {
    fn to_cql(&self) -> Option<Vec<u8>> {
        self.as_slice().to_cql()
    }
}

impl ToCql for bool {
    fn to_cql(&self) -> Option<Vec<u8>> {
        Some(vec![u8::from(*self)])
    }
}

/// An int.
impl ToCql for i32 {
    fn to_cql(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(4);
        bytes.put_i32_be(*self);
        Some(bytes)
    }
}

/// A bigint, a counter or a timestamp in milliseconds.
impl ToCql for i64 {
    fn to_cql(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(8);
        bytes.put_i64_be(*self);
        Some(bytes)
    }
}

/// A double.
impl ToCql for f64 {
    fn to_cql(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(8);
        bytes.put_u64_be(self.to_bits());
        Some(bytes)
    }
}
