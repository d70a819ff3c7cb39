//! `manifest.json` of a snapshot: what belongs to it. A snapshot counts once this file is there.
//!
//! ```text
//! {"crc32": "0123abcd", "manifest": {"version": 1, "tag": ..., "tables": [...], ...}}
//! ```
//!
//! The checksum is the CRC-32 of the text of the value of `manifest`, as it stands in the file.
//! SSTables, IDENTITY and the metadata log carry checksums of their own.
#![deny(clippy::indexing_slicing)]

use std::path::{Component, Path};

use helenus_platform::checksum::crc32;
use helenus_platform::disk::Disk;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

pub(super) const NAME: &str = "manifest.json";
const VERSION: u32 = 1;
/// Far more than the names of all files of a node.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// What belongs to a snapshot, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Of this format.
    pub(crate) version: u32,
    pub(crate) tag: String,
    /// When it was taken, for people.
    pub(crate) created_at: String,
    /// When it was taken, microseconds since the epoch.
    pub(crate) created_at_micros: i64,
    /// The version of the program that took it.
    pub(crate) program: String,
    pub(crate) host_id: String,
    /// Position of the commit log that it is of.
    pub(crate) position: u64,
    /// CRC-32 of `schema.cql`.
    pub(crate) schema_crc32: u32,
    pub(crate) tables: Vec<ManifestTable>,
}

/// One table's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestTable {
    pub(crate) keyspace: String,
    pub(crate) table: String,
    /// The id that its SSTables carry.
    pub(crate) id: u32,
    /// Where its SSTables are, below the snapshot's directory.
    pub(crate) directory: String,
    pub(crate) files: Vec<ManifestFile>,
}

/// One SSTable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestFile {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    crc32: String,
    #[serde(borrow)]
    manifest: &'a RawValue,
}

impl Manifest {
    pub(super) fn new(tag: &str) -> Manifest {
        Manifest {
            version: VERSION,
            tag: tag.to_string(),
            created_at: String::new(),
            created_at_micros: 0,
            program: env!("CARGO_PKG_VERSION").to_string(),
            host_id: String::new(),
            position: 0,
            schema_crc32: 0,
            tables: Vec::new(),
        }
    }

    /// Writes it, durably and all at once.
    pub(super) fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        let body = serde_json::to_string_pretty(self)
            .map_err(|error| Error::server(format!("snapshot {}: {error}", self.tag)))?;
        let crc = crc32(body.as_bytes());
        let text = format!("{{\"crc32\": \"{crc:08x}\", \"manifest\": {body}}}\n");
        let (path, temporary) = (dir.join(NAME), dir.join(format!("{NAME}.tmp")));
        let write = || {
            let file = disk.create(&temporary)?;
            file.write_all_at(0, text.as_bytes())?;
            file.sync_data()?;
            disk.rename(&temporary, &path)?;
            disk.sync_dir(dir)
        };
        write().map_err(|error| super::io("cannot write", &path, &error))
    }

    /// Reads the manifest of the snapshot in `dir`.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path) -> Result<Manifest> {
        let path = dir.join(NAME);
        let bytes = super::read(disk, &path, FILE_BYTES_MAX)?;
        let damaged = |what: &str| Error::server(format!("{} is damaged: {what}", path.display()));
        let envelope: Envelope<'_> =
            serde_json::from_slice(&bytes).map_err(|error| damaged(&error.to_string()))?;
        let body = envelope.manifest.get();
        if format!("{:08x}", crc32(body.as_bytes())) != envelope.crc32 {
            return Err(damaged("its checksum is wrong"));
        }
        let manifest: Manifest =
            serde_json::from_str(body).map_err(|error| damaged(&error.to_string()))?;
        if manifest.version > VERSION {
            return Err(Error::server(format!(
                "{} has format version {}, this program reads up to {VERSION}: use the newer one",
                path.display(),
                manifest.version
            )));
        }
        let inside = |name: &str| {
            let mut parts = Path::new(name).components();
            !name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        let names = manifest.tables.iter().flat_map(|table| {
            let files = table.files.iter().map(|file| file.name.as_str());
            files.chain([table.directory.as_str()])
        });
        for name in names {
            if !inside(name) {
                return Err(damaged(&format!("'{name}' leads out of the snapshot")));
            }
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helenus_platform::disk::MemoryDisk;

    fn manifest() -> Manifest {
        let files = vec![ManifestFile { name: "x.sst".into(), bytes: 7 }];
        let table = ManifestTable {
            keyspace: "k".into(),
            table: "t".into(),
            id: 42,
            directory: "k/t-00".into(),
            files,
        };
        Manifest { tables: vec![table], ..Manifest::new("a") }
    }

    #[test]
    fn every_flipped_bit_is_noticed_or_says_nothing_else() {
        let disk = MemoryDisk::new();
        let dir = Path::new("/s");
        disk.create_dir_all(dir).unwrap();
        manifest().store(&disk, dir).unwrap();
        assert_eq!(Manifest::load(&disk, dir).unwrap(), manifest());
        let file = disk.open_write(&dir.join(NAME)).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(0, &mut bytes).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            file.write_all_at(0, &damaged).unwrap();
            // White space around the values may change.
            assert!(Manifest::load(&disk, dir).map_or(true, |read| read == manifest()));
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let disk = MemoryDisk::new();
        for (index, name) in ["../x", "/etc/passwd", "", "a/../../b"].into_iter().enumerate() {
            let dir = Path::new("/s").join(index.to_string());
            disk.create_dir_all(&dir).unwrap();
            let mut manifest = manifest();
            manifest.tables[0].directory = name.into();
            manifest.store(&disk, &dir).unwrap();
            let error = Manifest::load(&disk, &dir).unwrap_err().to_string();
            assert!(error.contains("leads out of"), "{error}");
        }
    }
}
