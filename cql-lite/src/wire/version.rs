//! Versions of the native protocol, and the sentence by which drivers find one that both speak.

use std::fmt;

/// A version of the native protocol that both halves of this codec speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ProtocolVersion {
    /// Version 3: Cassandra 2.1.
    V3 = 3,
    /// Version 4: Cassandra 2.2.
    V4 = 4,
    /// Version 5: Cassandra 4.0; checksummed segments around the frames.
    V5 = 5,
}

impl ProtocolVersion {
    /// All versions, oldest first.
    pub const ALL: [ProtocolVersion; 3] =
        [ProtocolVersion::V3, ProtocolVersion::V4, ProtocolVersion::V5];
    /// The newest version.
    pub const LATEST: ProtocolVersion = ProtocolVersion::V5;

    /// The version with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            3 => Some(ProtocolVersion::V3),
            4 => Some(ProtocolVersion::V4),
            5 => Some(ProtocolVersion::V5),
            _ => None,
        }
    }

    /// Its number, as the low seven bits of a frame's first byte.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Whether frames travel inside checksummed segments once the connection is set up.
    pub fn has_segments(self) -> bool {
        self >= ProtocolVersion::V5
    }
}

/// As SUPPORTED lists it: `4/v4`.
impl fmt::Display for ProtocolVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{0}/v{0}", self.number())
    }
}

/// Cassandra's sentence for a version that is not spoken. Drivers search it for its words.
pub fn unsupported_version_message(number: u8) -> String {
    let spoken = ProtocolVersion::ALL.map(|version| version.to_string()).join(", ");
    format!("Invalid or unsupported protocol version ({number}); supported versions are ({spoken})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_is_the_one_that_drivers_know() {
        assert_eq!(
            unsupported_version_message(66),
            "Invalid or unsupported protocol version (66); \
             supported versions are (3/v3, 4/v4, 5/v5)"
        );
    }
}
