//! From a snapshot to a data directory that a node can open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use helenus_platform::checksum::crc32;
use helenus_platform::clock::Clock;
use helenus_platform::disk::Disk;
use helenus_platform::random::Random;
use helenus_storage::model::{KeyspaceId, TableId};

use super::manifest::{Manifest, ManifestTable};
use super::{SCHEMA, io, read};
use crate::cluster::identity::Identity;
use crate::cluster::metadata::Metadata;
use crate::error::{Error, Result};
use crate::schema::{Schema, TableSource};

/// Larger than any file of a metadata log.
const METADATA_BYTES_MAX: u64 = 1 << 30;
const SCHEMA_BYTES_MAX: u64 = 1 << 30;

/// What was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// The snapshot's tag.
    pub tag: String,
    /// When it was taken.
    pub created_at: String,
    /// Tables that have rows.
    pub tables: usize,
    /// SSTables.
    pub files: usize,
    /// Bytes of them.
    pub bytes: u64,
}

/// Makes `data_dir`, which must be empty or missing, the data directory of the node that took the
/// snapshot in `snapshot`, as it was then. Every byte is read and checked before it counts: the
/// identity comes last, and a directory without one is refused. Files are linked where the file
/// system can. Waits for the disk.
///
/// # Errors
/// Names the file that is missing or damaged, or says what is in the way.
pub fn restore(
    disk: &Arc<dyn Disk>,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
    snapshot: &Path,
    data_dir: &Path,
) -> Result<Restored> {
    let manifest = Manifest::load(disk.as_ref(), snapshot)?;
    check_whole(disk.as_ref(), snapshot, &manifest)?;
    let identity = Identity::load(disk.as_ref(), snapshot)
        .map_err(|error| Error::server(error.to_string()))?
        .ok_or_else(|| Error::server(format!("{} has no IDENTITY", snapshot.display())))?;
    disk.create_dir_all(data_dir).map_err(|error| io("cannot create", data_dir, &error))?;
    let _lock = disk
        .lock(&data_dir.join("LOCK"), "helenus restore")
        .map_err(|error| Error::server(error.to_string()))?;
    let entries = disk.list(data_dir).map_err(|error| io("cannot list", data_dir, &error))?;
    if let Some(entry) = entries.iter().find(|entry| entry.name != "LOCK") {
        return Err(Error::invalid(format!(
            "{} is not empty, it holds '{}': restore into an empty directory, then put it in the \
             place of the old one",
            data_dir.display(),
            entry.name
        )));
    }
    let schema = copy_metadata(disk, clock, snapshot, data_dir, &identity)?;
    let tables = tables(&schema, &manifest, snapshot)?;
    helenus_storage::restore(disk, random.clone(), &data_dir.join("engine"), &tables)?;
    disk.sync_dir(data_dir).map_err(|error| io("cannot sync", data_dir, &error))?;
    identity.store(disk.as_ref(), data_dir).map_err(|error| Error::server(error.to_string()))?;
    let files: Vec<_> = manifest.tables.iter().flat_map(|table| &table.files).collect();
    Ok(Restored {
        tag: manifest.tag.clone(),
        created_at: manifest.created_at.clone(),
        tables: manifest.tables.iter().filter(|table| !table.files.is_empty()).count(),
        files: files.len(),
        bytes: files.iter().map(|file| file.bytes).sum(),
    })
}

/// Every file is there with its length; what is in SSTables is checked when they are taken over.
fn check_whole(disk: &dyn Disk, snapshot: &Path, manifest: &Manifest) -> Result<()> {
    let schema = snapshot.join(SCHEMA);
    if crc32(&read(disk, &schema, SCHEMA_BYTES_MAX)?) != manifest.schema_crc32 {
        let text = format!("{} is damaged: its checksum is wrong", schema.display());
        return Err(Error::server(text));
    }
    for table in &manifest.tables {
        for file in &table.files {
            let path = path_of(snapshot, table, &file.name);
            let len = disk.open(&path).and_then(|file| file.len());
            let len = len.map_err(|error| io("cannot read", &path, &error))?;
            if len != file.bytes {
                return Err(Error::server(format!(
                    "{} has {len} bytes, and {} in the manifest",
                    path.display(),
                    file.bytes
                )));
            }
        }
    }
    Ok(())
}

fn path_of(snapshot: &Path, table: &ManifestTable, name: &str) -> PathBuf {
    snapshot.join(&table.directory).join(name)
}

fn copy_metadata(
    disk: &Arc<dyn Disk>,
    clock: &Arc<dyn Clock>,
    snapshot: &Path,
    data_dir: &Path,
    identity: &Identity,
) -> Result<Arc<Schema>> {
    let (from, to) = (snapshot.join("metadata"), data_dir.join("metadata"));
    disk.create_dir_all(&to).map_err(|error| io("cannot create", &to, &error))?;
    for entry in disk.list(&from).map_err(|error| io("cannot list", &from, &error))? {
        let bytes = read(disk.as_ref(), &from.join(&entry.name), METADATA_BYTES_MAX)?;
        let path = to.join(&entry.name);
        let write = || {
            let file = disk.create(&path)?;
            file.write_all_at(0, &bytes)?;
            file.sync_data()
        };
        write().map_err(|error| io("cannot write", &path, &error))?;
    }
    disk.sync_dir(&to).map_err(|error| io("cannot sync", &to, &error))?;
    Ok({
        let version = identity.metadata_version;
        let (cluster_id, host_id) = (identity.cluster_id, identity.host_id);
        Metadata::open(disk.clone(), clock.clone(), &to, cluster_id, host_id, version)?.schema()
    })
}

/// Every stored table of the schema, with its files; those that were not in the snapshot are empty.
fn tables(
    schema: &Schema,
    manifest: &Manifest,
    snapshot: &Path,
) -> Result<Vec<(TableId, KeyspaceId, Vec<PathBuf>)>> {
    if let Some(unknown) =
        manifest.tables.iter().find(|table| schema.table_by_id(TableId(table.id)).is_none())
    {
        return Err(Error::server(format!(
            "the snapshot has files of {}.{} (id {}), of which its schema knows nothing",
            unknown.keyspace, unknown.table, unknown.id
        )));
    }
    let stored = schema.tables().values().filter(|table| table.source == TableSource::Stored);
    Ok(stored
        .map(|table| {
            let part = manifest.tables.iter().find(|part| part.id == table.id.0);
            let files = part.into_iter().flat_map(|part| {
                part.files.iter().map(move |file| path_of(snapshot, part, &file.name))
            });
            let keyspace = schema.keyspace(&table.keyspace).map_or(KeyspaceId(0), |k| k.id);
            (table.id, keyspace, files.collect())
        })
        .collect())
}
