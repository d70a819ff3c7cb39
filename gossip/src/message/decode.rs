//! Reading a message: every number is checked before it is used, and memory is taken only for
//! what is really there.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::sync::Arc;

use helenus_platform::checksum::crc32;
use helenus_platform::codec::Reader;

use super::{
    Body, CLUSTER_NAME_BYTES_MAX, FLAG_SHADOW, FLAG_WHOLE, KIND_ACK, KIND_ACK2, KIND_SYN, MAGIC,
    MESSAGE_BYTES_MAX, Message, VERSION,
};
use crate::delta::NodeDelta;
use crate::digest::{Digest, Window};
use crate::error::MessageError;
use crate::id::{ClusterId, Generation, HostId};
use crate::state::{Entry, KEYS_MAX, Key, VALUE_BYTES_MAX, VERSION_MAX};

/// Fewest bytes of a digest.
const DIGEST_BYTES_MIN: usize = 18;
/// Fewest bytes of a delta that says something.
const DELTA_BYTES_MIN: usize = 20;

pub(super) fn message(bytes: &[u8]) -> Result<Message, MessageError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(MessageError::TooLong(bytes.len()));
    }
    let mut reader = Reader::new(bytes);
    if reader.bytes(MAGIC.len()).ok() != Some(&MAGIC[..]) {
        return Err(MessageError::Magic);
    }
    match reader.u8()? {
        VERSION => {}
        other => return Err(MessageError::Version(other)),
    }
    if reader.u32_be()? != crc32(reader.rest()) {
        return Err(MessageError::Checksum);
    }
    let kind = reader.u8()?;
    let flags = reader.u8()?;
    let allowed = if kind == KIND_ACK { FLAG_SHADOW | FLAG_WHOLE } else { FLAG_SHADOW };
    if flags & !allowed != 0 {
        return Err(nonsense(&reader, "a flag"));
    }
    let name = reader.bytes_varint(CLUSTER_NAME_BYTES_MAX)?;
    let cluster_name: Arc<str> = match std::str::from_utf8(name) {
        Ok(name) if !name.is_empty() => Arc::from(name),
        _ => return Err(nonsense(&reader, "the cluster's name")),
    };
    let cluster_id = Some(reader.u128_be()?).filter(|id| *id != 0).map(ClusterId);
    let host = HostId(reader.u128_be()?);
    let generation = Generation(reader.varint()?);
    if generation > Generation::MAX {
        return Err(nonsense(&reader, "the sender's generation"));
    }
    let exchange = reader.varint()?;
    let body = match kind {
        KIND_SYN => {
            let window =
                Window { start: HostId(reader.u128_be()?), end: HostId(reader.u128_be()?) };
            let digests = digests(&mut reader, generation)?;
            let ascend = digests.is_sorted_by(|a, b| a.host < b.host);
            if !ascend || !digests.iter().all(|digest| window.contains(digest.host)) {
                return Err(nonsense(&reader, "the order of digests"));
            }
            Body::Syn { window, digests: digests.into() }
        }
        KIND_ACK => Body::Ack {
            requests: digests(&mut reader, generation)?,
            deltas: deltas(&mut reader, generation)?,
            whole: flags & FLAG_WHOLE != 0,
        },
        KIND_ACK2 => Body::Ack2 { deltas: deltas(&mut reader, generation)? },
        _ => return Err(nonsense(&reader, "the kind")),
    };
    if !reader.is_empty() {
        return Err(nonsense(&reader, "what follows the message"));
    }
    let shadow = flags & FLAG_SHADOW != 0;
    Ok(Message { cluster_name, cluster_id, host, generation, exchange, shadow, body })
}

fn nonsense(reader: &Reader<'_>, what: &'static str) -> MessageError {
    MessageError::Nonsense { what, offset: reader.position() }
}

/// A count of things of which each takes at least `bytes_min`.
fn count(reader: &mut Reader<'_>, bytes_min: usize) -> Result<usize, MessageError> {
    let count = reader.varint()?;
    match usize::try_from(count) {
        Ok(count) if count <= reader.remaining() / bytes_min => Ok(count),
        _ => Err(nonsense(reader, "a count")),
    }
}

fn generation(reader: &mut Reader<'_>, base: Generation) -> Result<Generation, MessageError> {
    let distance = reader.zigzag()?;
    let generation = base.0.checked_add_signed(distance).map(Generation);
    generation.filter(|g| g.is_valid()).ok_or_else(|| nonsense(reader, "a generation"))
}

fn version(reader: &mut Reader<'_>, base: u64) -> Result<u64, MessageError> {
    let version = reader.varint()?.checked_add(base);
    version.filter(|v| *v <= VERSION_MAX).ok_or_else(|| nonsense(reader, "a version"))
}

fn digests(reader: &mut Reader<'_>, base: Generation) -> Result<Vec<Digest>, MessageError> {
    let count = count(reader, DIGEST_BYTES_MIN)?;
    let mut digests = Vec::with_capacity(count);
    for _ in 0..count {
        let host = HostId(reader.u128_be()?);
        let generation = generation(reader, base)?;
        digests.push(Digest { host, generation, version: version(reader, 0)? });
    }
    Ok(digests)
}

fn deltas(reader: &mut Reader<'_>, base: Generation) -> Result<Vec<NodeDelta>, MessageError> {
    let count = count(reader, DELTA_BYTES_MIN)?;
    let mut deltas = Vec::with_capacity(count);
    for _ in 0..count {
        deltas.push(delta(reader, base)?);
    }
    Ok(deltas)
}

fn delta(reader: &mut Reader<'_>, base: Generation) -> Result<NodeDelta, MessageError> {
    let host = HostId(reader.u128_be()?);
    let generation = generation(reader, base)?;
    let after = version(reader, 0)?;
    let beat = version(reader, after)?;
    let heartbeat = if beat > after { beat } else { 0 };
    let count = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
    if count > KEYS_MAX {
        return Err(nonsense(reader, "a count of values"));
    }
    if count == 0 && heartbeat == 0 {
        return Err(nonsense(reader, "a delta without news"));
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    let mut newest = after;
    for _ in 0..count {
        let key = Key(reader.u8()?);
        let version = version(reader, newest)?;
        if version == newest || version == heartbeat {
            return Err(nonsense(reader, "a version that is there already"));
        }
        if key.0 == 0 || entries.iter().any(|entry| entry.key == key) {
            return Err(nonsense(reader, "a key"));
        }
        newest = version;
        let value = Arc::from(reader.bytes_varint(VALUE_BYTES_MAX)?);
        entries.push(Entry { version, key, value });
    }
    Ok(NodeDelta { host, generation, after, heartbeat, entries })
}
