//! What can be refused, and why.

use helenus_platform::codec::CodecError;
use thiserror::Error;

use crate::state::{KEYS_MAX, Key, Status, VALUE_BYTES_MAX};

/// Something that the node itself asked for and cannot have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that cannot work.
    #[error("gossip: {setting} is {value}; {must}")]
    Config {
        /// Its name.
        setting: &'static str,
        /// What it was set to.
        value: String,
        /// What it must be.
        must: &'static str,
    },
    /// The value does not fit into a message.
    #[error("gossip: the value of {key:?} has {bytes} bytes; the most is {VALUE_BYTES_MAX}")]
    ValueTooLong {
        /// Whose value.
        key: Key,
        /// Its length.
        bytes: usize,
    },
    /// A node has its full number of keys already.
    #[error("gossip: {key:?} would be one key too many; a node has at most {KEYS_MAX}")]
    TooManyKeys {
        /// The one too many.
        key: Key,
    },
    /// A value that the key does not allow.
    #[error("gossip: this value of {key:?} is none that the key can have")]
    NotAValue {
        /// The key.
        key: Key,
    },
    /// A status that does not follow from the present one.
    #[error("gossip: a node that is {before:?} cannot become {after:?}")]
    Status {
        /// What it is.
        before: Option<Status>,
        /// What it was to become.
        after: Status,
    },
    /// Nothing is known of the node.
    #[error("gossip: no node has the host id {host}")]
    UnknownNode {
        /// The one that was asked for.
        host: crate::HostId,
    },
    /// Only a node that is down can be removed.
    #[error("gossip: {host} is up; stop it, or let it leave by itself")]
    NodeIsUp {
        /// The one that was to be removed.
        host: crate::HostId,
    },
    /// The generation is not above the one that the cluster knows.
    #[error("gossip: generation {generation} is not above {known}, which the cluster knows of us")]
    Generation {
        /// What was to be announced.
        generation: u64,
        /// What others have.
        known: u64,
    },
}

/// Bytes from a peer that are no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Cut off, or a number out of its bounds.
    #[error("gossip message: {0}")]
    Codec(#[from] CodecError),
    /// Not a gossip message at all.
    #[error("gossip message: does not begin as one")]
    Magic,
    /// From a newer release.
    #[error("gossip message: version {0} is not known; this release knows version 1")]
    Version(u8),
    /// Damaged on its way.
    #[error("gossip message: its checksum is wrong")]
    Checksum,
    /// Longer than any that is sent.
    #[error("gossip message: {0} bytes, more than any message has")]
    TooLong(usize),
    /// Something that no sender writes.
    #[error("gossip message: {what} at byte {offset} is nothing that a node sends")]
    Nonsense {
        /// What is wrong.
        what: &'static str,
        /// Where.
        offset: usize,
    },
}
