//! What a node says of itself: values under keys, each with the version at which it was set.
//!
//! A node has one counter of versions. Setting a value takes the next version and drops the
//! value's older one, and every round the heartbeat takes the next version. So "everything up to
//! version v" is a well-defined piece of a node's state: all values and the heartbeat whose
//! version is at most v. What another node has is always such a piece.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use helenus_platform::codec::{Put, Reader};

use crate::error::Error;

/// A value as it is gossiped. What the bytes mean is the key's matter.
pub type Value = Arc<[u8]>;

/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 1024;
/// Most keys of one node.
pub const KEYS_MAX: usize = 32;
/// Highest version; at a thousand rounds a second it lasts 8,900 years.
pub const VERSION_MAX: u64 = (1 << 48) - 1;

/// What a value says. Numbers are never reused; a key that is not known is passed on as it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u8);

impl Key {
    /// A [`Status`]: one byte.
    pub const STATUS: Key = Key(1);
    /// Where other nodes reach it: an address.
    pub const ADDRESS: Key = Key(2);
    /// Where clients reach it: an address.
    pub const CLIENT_ADDRESS: Key = Key(3);
    /// Its data centre: UTF-8.
    pub const DATA_CENTRE: Key = Key(4);
    /// Its rack: UTF-8.
    pub const RACK: Key = Key(5);
    /// Bytes of data that it holds: u64, big-endian.
    pub const LOAD: Key = Key(6);
    /// The newest version of the metadata log that it has applied: u64, big-endian.
    pub const METADATA_VERSION: Key = Key(7);
    /// The highest cluster feature level that its binary supports: u64, big-endian.
    pub const FEATURE_LEVEL: Key = Key(8);
    /// The version of its binary: UTF-8.
    pub const RELEASE: Key = Key(9);
    /// The node is stopping: this life of it says nothing after this, and counts as down at once.
    /// One byte, 1.
    pub const STOPPING: Key = Key(10);
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Key::STATUS => "status",
            Key::ADDRESS => "address",
            Key::CLIENT_ADDRESS => "client address",
            Key::DATA_CENTRE => "data centre",
            Key::RACK => "rack",
            Key::LOAD => "load",
            Key::METADATA_VERSION => "metadata version",
            Key::FEATURE_LEVEL => "feature level",
            Key::RELEASE => "release",
            Key::STOPPING => "stopping",
            Key(other) => return write!(f, "key {other}"),
        };
        f.write_str(name)
    }
}

/// Where a node stands in its life with the cluster. Whether it is up is not a part of this: that
/// is an opinion, which each node has for itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Status {
    /// It has announced itself and does not serve yet.
    Joining = 1,
    /// It serves.
    Normal = 2,
    /// It hands its data to others.
    Leaving = 3,
    /// It has gone for good, of its own will.
    Left = 4,
    /// It was taken out by others while it was down.
    Removed = 5,
}

impl Status {
    /// The status with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Status> {
        Some(match number {
            1 => Status::Joining,
            2 => Status::Normal,
            3 => Status::Leaving,
            4 => Status::Left,
            5 => Status::Removed,
            _ => return None,
        })
    }

    /// As a value.
    #[must_use]
    pub fn value(self) -> Value {
        Arc::from([self as u8])
    }

    /// What a value says; `None` for a status of a newer release.
    #[must_use]
    pub fn of(value: &[u8]) -> Option<Status> {
        match value {
            [number] => Status::from_number(*number),
            _ => None,
        }
    }

    /// Whether the node has gone for good.
    #[must_use]
    pub fn is_gone(self) -> bool {
        matches!(self, Status::Left | Status::Removed)
    }

    /// Whether a node may say this of itself after `before` (`None`: it has just started).
    #[must_use]
    pub fn may_follow(self, before: Option<Status>) -> bool {
        use Status::{Joining, Leaving, Left, Normal, Removed};
        match (before, self) {
            (_, Removed) => false,
            (None, _) => true,
            (Some(before), after) if before == after => true,
            (Some(Joining), after) => matches!(after, Normal | Left),
            (Some(Normal), after) => after == Leaving,
            // A node that could not hand over its data goes back.
            (Some(Leaving), after) => matches!(after, Normal | Left),
            (Some(Left | Removed), _) => false,
        }
    }
}

/// An address as a value: u8 4 or 6, the IP address's bytes, u16 port, big-endian.
#[must_use]
pub fn address_value(address: SocketAddr) -> Value {
    let mut bytes = Vec::with_capacity(19);
    match address.ip() {
        IpAddr::V4(ip) => {
            bytes.put_u8(4);
            bytes.put_bytes(&ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.put_u8(6);
            bytes.put_bytes(&ip.octets());
        }
    }
    bytes.put_u16_be(address.port());
    Arc::from(bytes)
}

/// The address that a value says; `None` if it is none, or one that nobody can connect to.
#[must_use]
pub fn address_of(value: &[u8]) -> Option<SocketAddr> {
    let mut reader = Reader::new(value);
    let ip: IpAddr = match reader.u8().ok()? {
        4 => Ipv4Addr::from_bits(reader.u32_be().ok()?).into(),
        6 => Ipv6Addr::from_bits(reader.u128_be().ok()?).into(),
        _ => return None,
    };
    let port = reader.u16_be().ok()?;
    let usable = reader.is_empty() && port != 0 && !ip.is_unspecified() && !ip.is_multicast();
    usable.then(|| SocketAddr::new(ip, port))
}

/// A number as a value.
#[must_use]
pub fn number_value(number: u64) -> Value {
    let mut bytes = Vec::with_capacity(8);
    bytes.put_u64_be(number);
    Arc::from(bytes)
}

/// The number that a value says.
#[must_use]
pub fn number_of(value: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(value);
    let number = reader.u64_be().ok()?;
    reader.is_empty().then_some(number)
}

/// One value of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// When it was set, in the node's own counting.
    pub version: u64,
    /// What it says.
    pub key: Key,
    /// How.
    pub value: Value,
}

/// The values of a node, by ascending version; one for each key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Entries(Vec<Entry>);

impl Entries {
    /// Those that were set after `version`.
    pub(crate) fn after(&self, version: u64) -> &[Entry] {
        // Nearly always there are none: look at the newest first.
        match self.0.last() {
            Some(newest) if newest.version > version => {
                let from = self.0.partition_point(|entry| entry.version <= version);
                self.0.get(from..).unwrap_or_default()
            }
            _ => &[],
        }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    /// Replaces the value of the entry's key. The version must be higher than all that are here.
    pub(crate) fn set(&mut self, entry: Entry) -> Result<(), Error> {
        debug_assert!(self.0.last().is_none_or(|newest| newest.version < entry.version));
        if entry.value.len() > VALUE_BYTES_MAX {
            return Err(Error::ValueTooLong { key: entry.key, bytes: entry.value.len() });
        }
        let before = self.0.len();
        self.0.retain(|old| old.key != entry.key);
        if self.0.len() == before && before >= KEYS_MAX {
            return Err(Error::TooManyKeys { key: entry.key });
        }
        self.0.push(entry);
        Ok(())
    }

    /// Gives every value a version above `version`, in the order that they have; the highest one.
    pub(crate) fn restamp(&mut self, mut version: u64) -> u64 {
        for entry in &mut self.0 {
            version += 1;
            entry.version = version;
        }
        version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: u64, key: u8) -> Entry {
        Entry { version, key: Key(key), value: number_value(version) }
    }

    #[test]
    fn values_stand_by_version_and_a_newer_one_replaces() {
        let mut entries = Entries::default();
        for (version, key) in [(1, 1), (2, 2), (3, 3), (7, 1)] {
            entries.set(entry(version, key)).unwrap();
        }
        let versions = |after| entries.after(after).iter().map(|e| e.version).collect::<Vec<_>>();
        assert_eq!(versions(0), [2, 3, 7]);
        assert_eq!(versions(2), [3, 7]);
        assert_eq!(versions(7), []);
        assert_eq!(entries.get(Key(1)).map(|e| e.version), Some(7));
    }

    #[test]
    fn keys_and_values_are_bounded() {
        let mut entries = Entries::default();
        for key in 1..=KEYS_MAX as u8 {
            entries.set(entry(u64::from(key), key)).unwrap();
        }
        assert!(matches!(entries.set(entry(100, 99)), Err(Error::TooManyKeys { key: Key(99) })));
        entries.set(entry(101, 5)).unwrap();
        let long = Entry { version: 102, key: Key(5), value: vec![0; VALUE_BYTES_MAX + 1].into() };
        assert!(matches!(entries.set(long), Err(Error::ValueTooLong { .. })));
        assert_eq!(entries.get(Key(5)).map(|e| e.version), Some(101));
    }

    #[test]
    fn restamping_keeps_order_and_values() {
        let mut entries = Entries::default();
        entries.set(entry(3, 2)).unwrap();
        entries.set(entry(9, 1)).unwrap();
        assert_eq!(entries.restamp(20), 22);
        assert_eq!(entries.get(Key(2)).map(|e| e.version), Some(21));
        assert_eq!(entries.get(Key(1)).map(|e| number_of(&e.value)), Some(Some(9)));
    }

    #[test]
    fn addresses_come_back_and_nonsense_does_not() {
        for text in ["127.0.0.1:7000", "[2001:db8::1]:7001"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(address_of(&address_value(address)), Some(address));
        }
        for text in ["0.0.0.0:7000", "127.0.0.1:0", "224.0.0.1:7000"] {
            assert_eq!(address_of(&address_value(text.parse().unwrap())), None, "{text}");
        }
        for bytes in [&[][..], &[4, 1, 2], &[5, 1, 2, 3, 4, 0, 1], &[4, 1, 2, 3, 4, 0, 1, 0]] {
            assert_eq!(address_of(bytes), None);
        }
    }

    #[test]
    fn a_status_follows_the_way_of_a_node() {
        use Status::{Joining, Leaving, Left, Normal, Removed};
        let all = [Joining, Normal, Leaving, Left, Removed];
        let may: Vec<_> = all
            .iter()
            .flat_map(|before| all.iter().map(move |after| (*before, *after)))
            .filter(|(before, after)| before != after && after.may_follow(Some(*before)))
            .collect();
        let expected = [
            (Joining, Normal),
            (Joining, Left),
            (Normal, Leaving),
            (Leaving, Normal),
            (Leaving, Left),
        ];
        assert_eq!(may, expected);
        for (number, status) in (1..).zip(all) {
            assert_eq!(status as u8, number);
            assert_eq!(Status::of(&status.value()), Some(status));
        }
        assert_eq!((Status::of(&[6]), Status::of(&[])), (None, None));
    }
}
