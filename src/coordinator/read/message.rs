//! What a replica is asked, and what it answers: the payloads of `Verb::Read`.
//!
//! ```text
//! request: u8     version: 1
//!          u64    little-endian: the version of the metadata that the read was planned against; a
//!                 replica applies that first
//!          u8     what is wanted: 1 the page, 2 its digest
//!          the rest: a command, see `storage/src/replica/command_codec.rs`
//! answer:  u8     1: the rest is a page, see `storage/src/replica/page.rs`
//!          u8     2: u128, big-endian, the digest of one
//! ```
//!
//! Whatever a command says of `bytes_max`, a page ends once it has [`PAGE_BYTES_MAX`] bytes. Both
//! sides count on it: where a page ends decides its digest.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use bytes::Bytes;
use helenus_platform::codec::{CodecError, Put, Reader};
use helenus_storage::replica::ReplicaCommand;
use helenus_storage::{Error, ErrorKind};

/// The version of requests that is written.
pub const READ_MESSAGE_VERSION: u8 = 1;

/// Where pages between nodes end, in bytes. Part of the protocol.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

const PAGE: u8 = 1;
const DIGEST: u8 = 2;

/// What of a page is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The page itself.
    Page,
    /// What stands for it where only equality matters.
    Digest,
}

/// A read of a replica, as it travels.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    /// The replica must have applied this version.
    pub metadata_version: u64,
    /// What is wanted.
    pub asked: Asked,
    /// What is read.
    pub command: ReplicaCommand,
}

impl ReadRequest {
    /// The payload that asks for this.
    #[must_use]
    pub fn encode(metadata_version: u64, asked: Asked, command: &ReplicaCommand) -> Bytes {
        let mut out = Vec::with_capacity(REQUEST_BYTES_TYPICAL);
        out.put_u8(READ_MESSAGE_VERSION);
        out.put_u64_le(metadata_version);
        out.put_u8(match asked {
            Asked::Page => PAGE,
            Asked::Digest => DIGEST,
        });
        command.encode(&mut out);
        out.into()
    }

    /// What the payload of another node asks for, its command within the protocol's bounds.
    ///
    /// # Errors
    /// The payload breaks the layout, or is of a newer version.
    pub fn decode(payload: &[u8]) -> Result<ReadRequest, Error> {
        let mut reader = Reader::new(payload);
        let version = reader.u8()?;
        if version != READ_MESSAGE_VERSION {
            return Err(Error::new(
                if version > READ_MESSAGE_VERSION { ErrorKind::Newer } else { ErrorKind::Corrupt },
                format!("a read of version {version}, this is version {READ_MESSAGE_VERSION}"),
            ));
        }
        let metadata_version = reader.u64_le()?;
        let asked = match reader.u8()? {
            PAGE => Asked::Page,
            DIGEST => Asked::Digest,
            _ => return Err(reader.error("what is wanted of a read").into()),
        };
        let mut command = ReplicaCommand::decode(reader.rest())?;
        command.bytes_max = command.bytes_max.min(PAGE_BYTES_MAX);
        Ok(ReadRequest { metadata_version, asked, command })
    }
}

/// Room made at once for a request.
const REQUEST_BYTES_TYPICAL: usize = 128;

/// What a replica answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadAnswer {
    /// The bytes of a page, which nobody has looked at.
    Page(Bytes),
    /// The digest of one.
    Digest(u128),
}

impl ReadAnswer {
    /// What the payload of a replica says.
    ///
    /// # Errors
    /// It breaks the layout.
    pub fn decode(payload: &Bytes) -> Result<ReadAnswer, CodecError> {
        let mut reader = Reader::new(payload);
        match reader.u8()? {
            PAGE => Ok(ReadAnswer::Page(payload.slice(reader.position()..))),
            DIGEST => {
                let digest = reader.u128_be()?;
                match reader.is_empty() {
                    true => Ok(ReadAnswer::Digest(digest)),
                    false => Err(reader.error("the end of a digest")),
                }
            }
            _ => Err(CodecError { offset: 0, what: "an answer to a read" }),
        }
    }
}

/// Appends the answer that is a page.
pub fn put_page(out: &mut impl Put, page: &[u8]) {
    out.put_u8(PAGE);
    out.put_bytes(page);
}

/// Appends the answer that is a digest.
pub fn put_digest(out: &mut impl Put, digest: u128) {
    out.put_u8(DIGEST);
    out.put_u128_be(digest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use helenus_storage::model::{PartitionBound, TableId};
    use helenus_storage::{Partitions, ReadCommand};

    #[test]
    fn requests_come_back_with_their_pages_bounded() {
        let all = Partitions::Range { start: PartitionBound::Min, end: PartitionBound::Max };
        let mut command = ReplicaCommand::new(ReadCommand::new(TableId(3), all, 5));
        for (bytes_max, within) in [(usize::MAX, PAGE_BYTES_MAX), (77, 77)] {
            command.bytes_max = bytes_max;
            let payload = ReadRequest::encode(9, Asked::Digest, &command);
            let request = ReadRequest::decode(&payload).unwrap();
            assert_eq!((request.metadata_version, request.asked), (9, Asked::Digest));
            let expected = ReplicaCommand { bytes_max: within, ..command.clone() };
            assert_eq!(format!("{:?}", request.command), format!("{expected:?}"));
            assert!((0..payload.len()).all(|end| ReadRequest::decode(&payload[..end]).is_err()));
            let mut other = payload.to_vec();
            other[0] = 2;
            assert_eq!(ReadRequest::decode(&other).unwrap_err().kind(), ErrorKind::Newer);
            (other[0], other[9]) = (1, 3);
            assert_eq!(ReadRequest::decode(&other).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn answers_come_back() {
        let (mut page, mut digest) = (Vec::new(), Vec::new());
        put_page(&mut page, b"page");
        put_digest(&mut digest, 1 << 100);
        let decode = |bytes: &[u8]| ReadAnswer::decode(&Bytes::copy_from_slice(bytes));
        assert_eq!(decode(&page), Ok(ReadAnswer::Page(Bytes::from_static(b"page"))));
        assert_eq!(decode(&digest), Ok(ReadAnswer::Digest(1 << 100)));
        assert!((0..digest.len()).all(|end| decode(&digest[..end]).is_err()));
        digest.push(0);
        assert!(decode(&digest).is_err() && decode(&[3, 1]).is_err());
    }
}
