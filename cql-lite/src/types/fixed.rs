//! Values of fixed width: read only if there are exactly as many bytes as the type has, written
//! big-endian as the native protocol has them.

use helenus_platform::codec::{CodecError, Put, Reader};

/// Reads the whole of `bytes`, or nothing.
fn whole<'a, T>(
    bytes: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, CodecError>,
) -> Option<T> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader).ok()?;
    reader.is_empty().then_some(value)
}

macro_rules! fixed {
    ($($read:ident, $write:ident: $ty:ty = $get:ident, $put:ident;)*) => {
        $(
            pub(super) fn $read(bytes: &[u8]) -> Option<$ty> {
                whole(bytes, |reader| reader.$get())
            }

            pub(super) fn $write(value: $ty) -> Vec<u8> {
                let mut out = Vec::with_capacity(size_of::<$ty>());
                out.$put(value);
                out
            }
        )*
    };
}

fixed! {
    to_i16, from_i16: i16 = i16_be, put_i16_be;
    to_i32, from_i32: i32 = i32_be, put_i32_be;
    to_u32, from_u32: u32 = u32_be, put_u32_be;
    to_i64, from_i64: i64 = i64_be, put_i64_be;
    to_f32, from_f32: f32 = f32_be, put_f32_be;
    to_f64, from_f64: f64 = f64_be, put_f64_be;
}

/// A single byte.
pub(super) fn to_u8(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [byte] => Some(*byte),
        _ => None,
    }
}

/// A UUID's bytes.
pub(super) fn to_uuid(bytes: &[u8]) -> Option<[u8; 16]> {
    bytes.try_into().ok()
}
