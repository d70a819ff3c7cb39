//! The host id of a node that belongs to no cluster yet.
//!
//! # File `JOINING`
//!
//! Made before a node asks to be taken in, by rename after sync, and removed once `IDENTITY` is
//! there. A node that is interrupted between the two asks again under the same host id, and is
//! given the same tokens. Integers are little endian.
//!
//! ```text
//! "HMJN" | u16 format version (1) | 16 bytes host id | u32 CRC-32 of all before
//! ```
#![deny(clippy::indexing_slicing)]

use std::io;
use std::path::Path;

use helenus_platform::checksum::crc32;
use helenus_platform::codec::{Put, Reader};
use helenus_platform::disk::Disk;

/// The file's name.
pub const NAME: &str = "JOINING";
/// Its name while it is written.
pub const TEMPORARY: &str = "JOINING.tmp";
const MAGIC: &[u8; 4] = b"HMJN";
const FORMAT_VERSION: u16 = 1;
const FILE_BYTES: u64 = 26;

/// The host id that the directory `dir` was given for joining; none if there is none yet.
///
/// # Errors
/// Those of the disk; a file that is not what was written is `InvalidData`.
pub fn load(disk: &dyn Disk, dir: &Path) -> io::Result<Option<[u8; 16]>> {
    let path = dir.join(NAME);
    if !disk.exists(&path)? {
        return Ok(None);
    }
    let file = disk.open(&path)?;
    let damaged = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "it is damaged, or of a newer version: remove it, and the node joins under another \
             host id",
        )
    };
    if file.len()? != FILE_BYTES {
        return Err(damaged());
    }
    let mut bytes = [0; FILE_BYTES as usize];
    file.read_exact_at(0, &mut bytes)?;
    decode(&bytes).map(Some).ok_or_else(damaged)
}

fn decode(bytes: &[u8]) -> Option<[u8; 16]> {
    let (body, sum) = bytes.split_last_chunk::<4>()?;
    let mut reader = Reader::new(body);
    let is_ours = Reader::new(sum).u32_le() == Ok(crc32(body))
        && reader.bytes(4) == Ok(MAGIC)
        && reader.u16_le() == Ok(FORMAT_VERSION);
    is_ours.then(|| reader.rest().first_chunk().copied()).flatten()
}

/// Keeps `host_id` in the directory `dir`, durably.
///
/// # Errors
/// Those of the disk.
pub fn store(disk: &dyn Disk, dir: &Path, host_id: [u8; 16]) -> io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    bytes.put_u16_le(FORMAT_VERSION);
    bytes.put_bytes(&host_id);
    let sum = crc32(&bytes);
    bytes.put_u32_le(sum);
    let temporary = dir.join(TEMPORARY);
    if disk.exists(&temporary)? {
        disk.remove(&temporary)?;
    }
    let file = disk.create(&temporary)?;
    file.write_all_at(0, &bytes)?;
    file.sync_data()?;
    disk.rename(&temporary, &dir.join(NAME))?;
    disk.sync_dir(dir)
}

/// Forgets it, once the directory has its identity.
///
/// # Errors
/// Those of the disk.
pub fn forget(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let path = dir.join(NAME);
    if disk.exists(&path)? { disk.remove(&path) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helenus_platform::disk::MemoryDisk;

    #[test]
    fn a_host_id_comes_back_and_every_flipped_bit_is_noticed() {
        let disk = MemoryDisk::new();
        let dir = Path::new("/data");
        disk.create_dir_all(dir).unwrap();
        assert_eq!(load(&disk, dir).unwrap(), None);
        store(&disk, dir, [7; 16]).unwrap();
        store(&disk, dir, [9; 16]).unwrap();
        assert_eq!(load(&disk, dir).unwrap(), Some([9; 16]));
        let file = disk.open_write(&dir.join(NAME)).unwrap();
        let mut bytes = [0; FILE_BYTES as usize];
        file.read_exact_at(0, &mut bytes).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            file.write_all_at(0, &damaged).unwrap();
            assert!(load(&disk, dir).is_err(), "bit {bit}");
        }
        forget(&disk, dir).unwrap();
        forget(&disk, dir).unwrap();
        assert_eq!(load(&disk, dir).unwrap(), None);
    }
}
