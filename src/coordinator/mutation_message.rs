//! A mutation on its way to a replica ([`Verb::Mutation`](crate::internode::Verb) and
//! `HintedMutation`):
//!
//! ```text
//! u8 version (1) | u64 LE metadata version that it was planned at | mutation (storage)
//! ```
//!
//! The answer is empty, and comes when the mutation is as durable as the replica's mode promises.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use bytes::{BufMut, Bytes, BytesMut};
use helenus_platform::codec::{CodecError, Reader};

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 9;

/// The payload for these bytes of a mutation.
pub fn encode(metadata_version: u64, mutation: &[u8]) -> Bytes {
    let mut payload = BytesMut::with_capacity(HEAD_BYTES + mutation.len());
    payload.put_u8(VERSION);
    payload.put_u64_le(metadata_version);
    payload.put_slice(mutation);
    payload.freeze()
}

/// The metadata version and the mutation, which is not looked at.
///
/// # Errors
/// Another version, or not enough bytes.
pub fn decode(payload: &[u8]) -> Result<(u64, &[u8]), CodecError> {
    let mut reader = Reader::new(payload);
    let error = reader.error("mutation message of version 1");
    if reader.u8()? != VERSION {
        return Err(error);
    }
    Ok((reader.u64_le()?, reader.rest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_arrives_and_other_versions_are_refused() {
        let payload = encode(7, b"mutation");
        assert_eq!(decode(&payload).unwrap(), (7, &b"mutation"[..]));
        assert!(decode(&payload[..8]).is_err());
        let mut newer = payload.to_vec();
        newer[0] = 2;
        assert!(decode(&newer).is_err());
    }
}
