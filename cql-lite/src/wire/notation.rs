//! The notations of the specification (§3): strings, byte strings, lists, maps, addresses, and
//! consistency levels, on top of the checked codec. Everything is read without a copy.

use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;
use helenus_platform::codec::{Put, Reader};

use super::error::{Result, WireError};

/// Longest \[string\] and most elements of any list or map with a \[short\] count.
pub const SHORT_MAX: usize = u16::MAX as usize;

/// Reads notations.
pub trait ReadNotation<'a> {
    /// \[string\]: a short length and UTF-8.
    fn string(&mut self) -> Result<&'a str>;
    /// \[long string\]: an int length and UTF-8.
    fn long_string(&mut self) -> Result<&'a str>;
    /// \[short bytes\].
    fn short_bytes(&mut self) -> Result<&'a [u8]>;
    /// \[bytes\]: an int length, null if negative.
    fn bytes_or_null(&mut self) -> Result<Option<&'a [u8]>>;
    /// \[uuid\].
    fn uuid(&mut self) -> Result<[u8; 16]>;
    /// \[inetaddr\]: a byte of length and an address.
    fn inet_address(&mut self) -> Result<IpAddr>;
    /// \[inet\]: an address and an int of port.
    fn inet(&mut self) -> Result<SocketAddr>;
    /// \[string list\].
    fn string_list(&mut self) -> Result<Vec<String>>;
}

impl<'a> ReadNotation<'a> for Reader<'a> {
    fn string(&mut self) -> Result<&'a str> {
        let length = self.u16_be()?;
        utf8(self.bytes(length.into())?)
    }

    fn long_string(&mut self) -> Result<&'a str> {
        let length = self.i32_be()?;
        let length = usize::try_from(length)
            .map_err(|_| WireError::malformed(format!("negative length {length} of a string")))?;
        utf8(self.bytes(length)?)
    }

    fn short_bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.u16_be()?;
        Ok(self.bytes(length.into())?)
    }

    fn bytes_or_null(&mut self) -> Result<Option<&'a [u8]>> {
        match usize::try_from(self.i32_be()?) {
            Ok(length) => Ok(Some(self.bytes(length)?)),
            Err(_) => Ok(None),
        }
    }

    fn uuid(&mut self) -> Result<[u8; 16]> {
        let mut uuid = [0; 16];
        uuid.copy_from_slice(self.bytes(16)?);
        Ok(uuid)
    }

    fn inet_address(&mut self) -> Result<IpAddr> {
        let length = self.u8()?;
        let bytes = self.bytes(length.into())?;
        if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
            Ok(IpAddr::from(octets))
        } else if let Ok(octets) = <[u8; 16]>::try_from(bytes) {
            Ok(IpAddr::from(octets))
        } else {
            Err(WireError::malformed(format!("an address of {length} bytes")))
        }
    }

    fn inet(&mut self) -> Result<SocketAddr> {
        let address = self.inet_address()?;
        let port = self.i32_be()?;
        let port = u16::try_from(port)
            .map_err(|_| WireError::malformed(format!("{port} is not a port number")))?;
        Ok(SocketAddr::new(address, port))
    }

    fn string_list(&mut self) -> Result<Vec<String>> {
        let count = self.u16_be()?;
        (0..count).map(|_| Ok(self.string()?.to_owned())).collect()
    }
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        WireError::malformed(format!("a string is not UTF-8 from byte {}", error.valid_up_to()))
    })
}

/// Writes notations.
pub trait PutNotation: Put {
    /// \[string\]; longer ones are cut at [`SHORT_MAX`], at a character's border.
    fn put_string(&mut self, text: &str) {
        let text = cut(text, SHORT_MAX);
        self.put_u16_be(text.len() as u16);
        self.put_bytes(text.as_bytes());
    }

    /// \[long string\].
    fn put_long_string(&mut self, text: &str) {
        self.put_i32_be(text.len() as i32);
        self.put_bytes(text.as_bytes());
    }

    /// \[short bytes\]; used for ids, which are short.
    fn put_short_bytes(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= SHORT_MAX);
        let bytes = bytes.get(..SHORT_MAX).unwrap_or(bytes);
        self.put_u16_be(bytes.len() as u16);
        self.put_bytes(bytes);
    }

    /// \[bytes\], or a null of it.
    #[inline]
    fn put_bytes_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.put_i32_be(bytes.len() as i32);
                self.put_bytes(bytes);
            }
            None => self.put_i32_be(-1),
        }
    }

    /// \[inetaddr\].
    fn put_inet_address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                self.put_u8(4);
                self.put_bytes(&address.octets());
            }
            IpAddr::V6(address) => {
                self.put_u8(16);
                self.put_bytes(&address.octets());
            }
        }
    }

    /// \[inet\].
    fn put_inet(&mut self, address: SocketAddr) {
        self.put_inet_address(address.ip());
        self.put_i32_be(address.port().into());
    }

    /// \[string list\]; at most [`SHORT_MAX`] strings are written.
    fn put_string_list<S: AsRef<str>>(&mut self, list: &[S]) {
        let list = list.get(..SHORT_MAX).unwrap_or(list);
        self.put_u16_be(list.len() as u16);
        for text in list {
            self.put_string(text.as_ref());
        }
    }
}

impl<P: Put + ?Sized> PutNotation for P {}

/// The longest prefix of `text` that has at most `max` bytes.
fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

/// Overwrites four bytes at `at`, which were written before.
pub(super) fn patch_u32(out: &mut BytesMut, at: usize, value: u32) {
    debug_assert!(at + 4 <= out.len());
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// Inserts `bytes` at `at`, moving what stands behind it.
pub(super) fn insert(out: &mut BytesMut, at: usize, bytes: &[u8]) {
    let end = out.len();
    debug_assert!(at <= end);
    out.put_bytes(bytes);
    if at < end {
        out.copy_within(at..end, at + bytes.len());
        if let Some(place) = out.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}

/// A \[bytes map\] that has been checked and is read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BytesMap<'a> {
    count: u16,
    bytes: &'a [u8],
}

impl<'a> BytesMap<'a> {
    /// Checks and takes a map.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self> {
        let count = reader.u16_be()?;
        let rest = reader.rest();
        for _ in 0..count {
            reader.string()?;
            reader.bytes_or_null()?;
        }
        let bytes = rest.get(..rest.len() - reader.remaining()).unwrap_or_default();
        Ok(BytesMap { count, bytes })
    }

    /// The entries, in the order of the wire.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        (0..self.count)
            .map_while(move |_| Some((reader.string().ok()?, reader.bytes_or_null().ok()?)))
    }
}

/// Appends a \[bytes map\].
pub fn put_bytes_map(out: &mut impl Put, map: &[(String, Vec<u8>)]) {
    let map = map.get(..SHORT_MAX).unwrap_or(map);
    out.put_u16_be(map.len() as u16);
    for (key, value) in map {
        out.put_string(key);
        out.put_bytes_or_null(Some(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notations_come_back() {
        let mut out = Vec::new();
        out.put_string("föö");
        out.put_long_string("bar");
        out.put_short_bytes(b"id");
        out.put_bytes_or_null(None);
        out.put_bytes_or_null(Some(b"x"));
        out.put_inet("10.0.0.1:9042".parse().unwrap());
        out.put_inet("[::1]:9042".parse().unwrap());
        out.put_string_list(&["a", "b"]);
        put_bytes_map(&mut out, &[("k".to_owned(), b"v".to_vec())]);
        let mut reader = Reader::new(&out);
        assert_eq!(reader.string().unwrap(), "föö");
        assert_eq!(reader.long_string().unwrap(), "bar");
        assert_eq!(reader.short_bytes().unwrap(), b"id");
        assert_eq!(reader.bytes_or_null().unwrap(), None);
        assert_eq!(reader.bytes_or_null().unwrap(), Some(&b"x"[..]));
        assert_eq!(reader.inet().unwrap(), "10.0.0.1:9042".parse().unwrap());
        assert_eq!(reader.inet().unwrap(), "[::1]:9042".parse().unwrap());
        assert_eq!(reader.string_list().unwrap(), ["a", "b"]);
        let map = BytesMap::read(&mut reader).unwrap();
        assert_eq!(map.iter().collect::<Vec<_>>(), [("k", Some(&b"v"[..]))]);
        assert!(reader.is_empty());
    }

    #[test]
    fn bad_notations_are_refused() {
        assert!(Reader::new(b"\x00\x02\xff\xff").string().is_err());
        assert!(Reader::new(b"\xff\xff\xff\xffabc").long_string().is_err());
        assert!(Reader::new(b"\x03abc\0\0\0\0").inet().is_err());
        assert!(Reader::new(b"\x04abcd\0\x01\0\0").inet().is_err());
        assert!(BytesMap::read(&mut Reader::new(b"\xff\xff\0")).is_err());
    }

    #[test]
    fn a_long_string_is_cut_between_characters() {
        let mut out = Vec::new();
        out.put_string(&"ä".repeat(SHORT_MAX));
        assert_eq!(Reader::new(&out).string().unwrap().len(), SHORT_MAX - 1);
    }

    #[test]
    fn insertion_moves_the_tail() {
        let mut out = BytesMut::from(&b"abef"[..]);
        insert(&mut out, 2, b"cd");
        insert(&mut out, 6, b"gh");
        insert(&mut out, 0, b"");
        assert_eq!(&out[..], b"abcdefgh");
    }
}
