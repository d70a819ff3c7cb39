//! Who a data directory belongs to: born once, with everything that has to be the same for ever.
//!
//! # File `IDENTITY`
//!
//! Replaced as a whole, by rename after sync. Integers are little endian.
//!
//! ```text
//! "HMID" | u16 format version (3) | u16 flags (1: stopped cleanly) |
//! 16 bytes cluster id | 16 bytes host id | u32 counter generation |
//! i64 timestamp ceiling, microseconds | u64 metadata version |
//! u64 gossip generation | u32 number of tokens | that many i64 | u32 CRC-32 of all before
//! ```
//!
//! Version 1 had no metadata version, and version 2 no gossip generation; they are read as 0.
//!
//! # The metadata version
//!
//! A change of the schema is committed to the metadata log, then its version is recorded here,
//! then the engine carries it out. So a metadata log that ends before this version has lost its
//! end, and is refused; and a table that the engine has and the log does not name was dropped.
#![deny(clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use helenus_platform::checksum::crc32;
use helenus_platform::codec::{CodecError, Put, Reader};
use helenus_platform::disk::Disk;
use helenus_platform::random::Random;

const MAGIC: &[u8; 4] = b"HMID";
const FORMAT_VERSION: u16 = 3;
const STOPPED_CLEANLY: u16 = 1;
const NAME: &str = "IDENTITY";
/// More tokens than any node has ever been given.
const TOKENS_MAX: u32 = 4096;
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Virtual nodes of a new node.
pub const TOKENS_DEFAULT: usize = 16;

/// What a data directory is born with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster that this node founded or joined.
    pub cluster_id: [u8; 16],
    /// The node, for ever.
    pub host_id: [u8; 16],
    /// Distinguishes the counter shards of this node before and after an unclean stop.
    pub counter_generation: u32,
    /// No timestamp above this one, in microseconds, has been given out by this node.
    pub timestamp_ceiling: i64,
    /// The engine has carried out no change of the schema later than this one.
    pub metadata_version: u64,
    /// The last life of the node among others; the next one has a higher number.
    pub gossip_generation: u64,
    /// Whether the node was stopped, not killed.
    pub stopped_cleanly: bool,
    /// The node's places on the ring.
    pub tokens: Vec<i64>,
}

/// Why a data directory has no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The disk failed.
    #[error("identity of the data directory: {what} {path}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not what was written.
    #[error("{path} is damaged: {what}")]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The directory was written by a newer version of the program.
    #[error(
        "{path} has format version {found}, this program reads up to {known}: use the newer one"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// Ours.
        known: u16,
    },
}

impl Identity {
    /// A new node of a new cluster.
    #[must_use]
    pub fn found(random: &dyn Random) -> Self {
        let offset = random.next_u64();
        let step = u64::MAX / TOKENS_DEFAULT as u64;
        // Evenly spaced from a random start: a ring of one node has nobody to be uneven with.
        let mut tokens: Vec<i64> = (0..TOKENS_DEFAULT as u64)
            .map(|i| (offset.wrapping_add(i * step)).cast_signed())
            .map(|token| token.max(i64::MIN + 1))
            .collect();
        tokens.sort_unstable();
        tokens.dedup();
        Self {
            cluster_id: random.uuid_v4(),
            host_id: random.uuid_v4(),
            counter_generation: 1,
            timestamp_ceiling: 0,
            metadata_version: 0,
            gossip_generation: 0,
            stopped_cleanly: true,
            tokens,
        }
    }

    /// Begins the next life among others at the wall clock's `micros`: its number.
    pub fn next_generation(&mut self, micros: i64) -> u64 {
        let seconds = u64::try_from(micros / 1_000_000).unwrap_or(0);
        self.gossip_generation = seconds.max(self.gossip_generation.saturating_add(1));
        self.gossip_generation
    }

    /// Reads the identity of the data directory `dir`; `None` if it has none yet.
    ///
    /// # Errors
    /// A damaged or newer file is named, never replaced.
    pub fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, IdentityError> {
        let path = dir.join(NAME);
        let io = |what| {
            let path = path.clone();
            move |source| IdentityError::Io { what, path, source }
        };
        if !disk.exists(&path).map_err(io("looking for"))? {
            return Ok(None);
        }
        let file = disk.open(&path).map_err(io("opening"))?;
        let len = file.len().map_err(io("measuring"))?;
        let corrupt = |what| IdentityError::Corrupt { path: path.clone(), what };
        if len > FILE_BYTES_MAX {
            return Err(corrupt("it is far too large"));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_exact_at(0, &mut bytes).map_err(io("reading"))?;
        let Some((body, sum)) = bytes.split_last_chunk::<4>() else {
            return Err(corrupt("it is cut short"));
        };
        if Reader::new(sum).u32_le() != Ok(crc32(body)) {
            return Err(corrupt("its checksum is wrong"));
        }
        match Self::decode(body) {
            Ok(Ok(identity)) => Ok(Some(identity)),
            Ok(Err(found)) => Err(IdentityError::Newer { path, found, known: FORMAT_VERSION }),
            Err(error) => Err(corrupt(error.what)),
        }
    }

    fn decode(body: &[u8]) -> Result<Result<Self, u16>, CodecError> {
        let mut reader = Reader::new(body);
        let error = |reader: &Reader<'_>, what| CodecError { offset: reader.position(), what };
        if reader.bytes(4)? != MAGIC {
            return Err(error(&reader, "it does not begin as an identity does"));
        }
        let found = reader.u16_le()?;
        if found > FORMAT_VERSION {
            return Ok(Err(found));
        }
        let flags = reader.u16_le()?;
        let id = |bytes: &[u8]| bytes.try_into().unwrap_or([0; 16]);
        let cluster_id = id(reader.bytes(16)?);
        let host_id = id(reader.bytes(16)?);
        let counter_generation = reader.u32_le()?;
        let timestamp_ceiling = reader.i64_le()?;
        let metadata_version = if found >= 2 { reader.u64_le()? } else { 0 };
        let gossip_generation = if found >= 3 { reader.u64_le()? } else { 0 };
        let count = reader.u32_le()?;
        if count > TOKENS_MAX {
            return Err(error(&reader, "it has too many tokens"));
        }
        let tokens = (0..count).map(|_| reader.i64_le()).collect::<Result<Vec<_>, _>>()?;
        if !reader.is_empty() {
            return Err(error(&reader, "bytes follow its end"));
        }
        let stopped_cleanly = flags & STOPPED_CLEANLY != 0;
        Ok(Ok(Self {
            cluster_id,
            host_id,
            counter_generation,
            timestamp_ceiling,
            metadata_version,
            gossip_generation,
            stopped_cleanly,
            tokens,
        }))
    }

    /// Writes the identity of the data directory `dir`, durably and all at once.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<(), IdentityError> {
        let path = dir.join(NAME);
        let temporary = dir.join(format!("{NAME}.tmp"));
        let io = |what| {
            let path = path.clone();
            move |source| IdentityError::Io { what, path, source }
        };
        if disk.exists(&temporary).map_err(io("looking for the temporary file of"))? {
            disk.remove(&temporary).map_err(io("removing the temporary file of"))?;
        }
        let file = disk.create(&temporary).map_err(io("creating"))?;
        file.write_all_at(0, &self.encode()).map_err(io("writing"))?;
        file.sync_data().map_err(io("syncing"))?;
        disk.rename(&temporary, &path).map_err(io("renaming to"))?;
        disk.sync_dir(dir).map_err(io("syncing the directory of"))
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.put_u16_le(FORMAT_VERSION);
        bytes.put_u16_le(if self.stopped_cleanly { STOPPED_CLEANLY } else { 0 });
        bytes.put_bytes(&self.cluster_id);
        bytes.put_bytes(&self.host_id);
        bytes.put_u32_le(self.counter_generation);
        bytes.put_i64_le(self.timestamp_ceiling);
        bytes.put_u64_le(self.metadata_version);
        bytes.put_u64_le(self.gossip_generation);
        bytes.put_u32_le(u32::try_from(self.tokens.len()).unwrap_or(u32::MAX));
        for token in &self.tokens {
            bytes.put_i64_le(*token);
        }
        let sum = crc32(&bytes);
        bytes.put_u32_le(sum);
        bytes
    }
}

/// The identity of an open data directory, in memory as it is on disk.
pub struct IdentityFile {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    identity: Mutex<Identity>,
}

impl IdentityFile {
    /// Keeps `identity`, which has been stored in `dir`.
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf, identity: Identity) -> Self {
        Self { disk, dir, identity: Mutex::new(identity) }
    }

    /// What was stored last.
    pub fn get(&self) -> Identity {
        self.lock().clone()
    }

    /// Changes the identity and stores it; it is changed only if it could be stored. Waits for
    /// the disk.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn update(&self, change: impl FnOnce(&mut Identity)) -> Result<(), IdentityError> {
        let mut identity = self.lock();
        let mut next = identity.clone();
        change(&mut next);
        next.store(self.disk.as_ref(), &self.dir)?;
        *identity = next;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helenus_platform::disk::MemoryDisk;
    use helenus_platform::random::SeededRandom;

    #[test]
    fn an_identity_comes_back_and_every_flipped_bit_is_noticed() {
        let disk = MemoryDisk::new();
        let dir = Path::new("/data");
        disk.create_dir_all(dir).unwrap();
        assert_eq!(Identity::load(&disk, dir).unwrap(), None);
        let identity = Identity::found(&SeededRandom::new(7));
        assert_eq!(identity.tokens.len(), TOKENS_DEFAULT);
        identity.store(&disk, dir).unwrap();
        identity.store(&disk, dir).unwrap();
        assert_eq!(Identity::load(&disk, dir).unwrap(), Some(identity.clone()));
        let bytes = identity.encode();
        let file = disk.open_write(&dir.join(NAME)).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            file.write_all_at(0, &damaged).unwrap();
            assert!(Identity::load(&disk, dir).is_err(), "bit {bit}");
        }
    }
}
