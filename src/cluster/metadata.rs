//! The schema and its history: what is planned against one snapshot is committed only if that
//! snapshot is still the newest, then it is the next one (decision D6).

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use helenus_platform::clock::Clock;
use helenus_platform::codec::{Put, Reader};
use helenus_platform::disk::Disk;

use super::metadata_log::{MetadataLog, MetadataLogError};
use crate::error::{Error, Result};
use crate::schema::{CHANGE_VERSION, Change, Schema, system};

/// Version of the encoding of an entry: a count and that many changes.
const ENTRY_VERSION: u8 = 1;
/// A snapshot begins with the ids that are next, which the definitions alone do not tell.
const STATE_VERSION: u8 = 1;

/// Who makes the effects of a change real, between its commit and its becoming visible.
pub trait Applier: Send + Sync {
    /// Called before the changes are committed, with the snapshot that they were planned against.
    ///
    /// # Errors
    /// Nothing is committed.
    fn prepare(&self, _before: &Schema, _changes: &[Change]) -> Result<()> {
        Ok(())
    }

    /// Called with the snapshots before and after, on the thread that committed.
    ///
    /// # Errors
    /// The change is committed and will be applied at the next start; the node must not go on
    /// as if it had been.
    fn apply(&self, before: &Schema, after: &Schema, changes: &[Change]) -> Result<()>;
}

/// The metadata log with the schema that it leads to.
pub struct Metadata {
    schema: ArcSwap<Schema>,
    /// Held while a change is planned, committed and applied: changes happen one at a time.
    log: Mutex<MetadataLog>,
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metadata").field("version", &self.schema.load().version).finish()
    }
}

impl Metadata {
    /// Founds the metadata of a new cluster in `dir`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn create(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        dir: &Path,
        cluster_id: [u8; 16],
    ) -> std::result::Result<Self, MetadataLogError> {
        let log = MetadataLog::create(disk, clock, dir, cluster_id)?;
        let schema = Schema::with_system_keyspaces(system::keyspaces());
        Ok(Self { schema: ArcSwap::from_pointee(schema), log: Mutex::new(log) })
    }

    /// Reads the metadata in `dir`, in which the change `committed` must be.
    ///
    /// # Errors
    /// Damaged and newer files are named.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        dir: &Path,
        cluster_id: [u8; 16],
        committed: u64,
    ) -> Result<Self> {
        let (log, recovered) =
            MetadataLog::open(disk, clock, dir, cluster_id, committed).map_err(|e| damaged(&e))?;
        let mut schema = Schema::with_system_keyspaces(system::keyspaces());
        let first = log.version() - recovered.entries.len() as u64;
        let (log_path, snapshot_path) = log.paths();
        let in_file =
            |path: &Path, error: Error| Error::server(format!("{}: {error}", path.display()));
        if let Some(state) = recovered.snapshot {
            let decoded = decode_state(&schema, &state, first);
            schema = decoded.map_err(|error| in_file(&snapshot_path, error))?;
        }
        for (version, entry) in (first + 1..).zip(&recovered.entries) {
            let applied = decode_entry(entry).and_then(|c| schema.apply_all(&c, version));
            schema = applied.map_err(|error| in_file(&log_path, error))?;
        }
        Ok(Self { schema: ArcSwap::from_pointee(schema), log: Mutex::new(log) })
    }

    /// Founds a metadata log in `dir`, which must exist, that begins with `schema`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn export(
        schema: &Schema,
        disk: &Arc<dyn Disk>,
        clock: &Arc<dyn Clock>,
        dir: &Path,
        cluster_id: [u8; 16],
    ) -> Result<()> {
        let (disk, clock) = (disk.clone(), clock.clone());
        let state = encode_state(schema);
        MetadataLog::create_at(disk, clock, dir, cluster_id, schema.version, &state)
            .map_err(|error| Error::server(error.to_string()))
    }

    /// Runs `action` with the newest snapshot while no change can happen.
    pub fn held<T>(&self, action: impl FnOnce(&Schema) -> T) -> T {
        let _log = self.lock();
        action(&self.schema())
    }

    /// The newest snapshot.
    #[must_use]
    pub fn schema(&self) -> Arc<Schema> {
        self.schema.load_full()
    }

    /// Plans a change against the newest snapshot, commits it durably, applies it and makes it
    /// visible. No change planned means nothing is committed. Blocks on the disk.
    ///
    /// # Errors
    /// Those of `plan`, of the log, and of the applier.
    pub fn change(
        &self,
        applier: &dyn Applier,
        plan: impl FnOnce(&Schema) -> Result<Vec<Change>>,
    ) -> Result<(Arc<Schema>, Vec<Change>)> {
        let mut log = self.lock();
        let before = self.schema();
        let changes = plan(&before)?;
        if changes.is_empty() {
            return Ok((before, changes));
        }
        let after = Arc::new(before.apply_all(&changes, before.version + 1)?);
        applier.prepare(&before, &changes)?;
        log.append(&encode_entry(&changes)).map_err(|e| Error::server(e.to_string()))?;
        if let Err(error) = applier.apply(&before, &after, &changes) {
            // Committed, but not in force: planning on would be against a schema that is not so.
            log.refuse_changes();
            return Err(error);
        }
        self.schema.store(after.clone());
        if log.wants_snapshot() {
            log.snapshot(&encode_state(&after)).map_err(|e| Error::server(e.to_string()))?;
        }
        Ok((after, changes))
    }

    fn lock(&self) -> MutexGuard<'_, MetadataLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn damaged(error: &impl std::fmt::Display) -> Error {
    Error::server(error.to_string())
}

fn put_changes(changes: &[Change], out: &mut Vec<u8>) {
    out.put_varint(changes.len() as u64);
    for change in changes {
        change.encode(out);
    }
}

fn read_changes(reader: &mut Reader<'_>) -> Result<Vec<Change>> {
    let what = |e: &dyn std::fmt::Display| Error::server(format!("metadata log: an entry: {e}"));
    let count = reader.varint().map_err(|e| what(&e))?;
    let mut changes = Vec::new();
    for _ in 0..count {
        version_of(&mut reader.clone(), "a change", CHANGE_VERSION)?;
        changes.push(Change::decode(reader).map_err(|e| what(&e))?);
    }
    if !reader.is_empty() {
        return Err(Error::server("metadata log: bytes follow the end of an entry"));
    }
    Ok(changes)
}

fn version_of(reader: &mut Reader<'_>, whose: &str, known: u8) -> Result<()> {
    let found = reader.u8().map_err(|e| damaged(&e))?;
    if found != known {
        return Err(Error::server(format!(
            "metadata log: {whose} has version {found}, this program reads {known}: use the \
             program that wrote it"
        )));
    }
    Ok(())
}

fn encode_entry(changes: &[Change]) -> Vec<u8> {
    let mut bytes = vec![ENTRY_VERSION];
    put_changes(changes, &mut bytes);
    bytes
}

/// The changes that an entry of the log holds.
pub(super) fn changes_of_entry(bytes: &[u8]) -> Result<Vec<Change>> {
    decode_entry(bytes)
}

/// The changes that make the state of a snapshot.
pub(super) fn changes_of_state(bytes: &[u8]) -> Result<Vec<Change>> {
    read_state(bytes).map(|(_, _, changes)| changes)
}

fn decode_entry(bytes: &[u8]) -> Result<Vec<Change>> {
    let mut reader = Reader::new(bytes);
    version_of(&mut reader, "an entry", ENTRY_VERSION)?;
    read_changes(&mut reader)
}

fn encode_state(schema: &Schema) -> Vec<u8> {
    let mut bytes = vec![STATE_VERSION];
    bytes.put_u32_le(schema.next_keyspace_id().0);
    bytes.put_u32_le(schema.next_table_id().0);
    put_changes(&schema.as_changes(), &mut bytes);
    bytes
}

fn read_state(bytes: &[u8]) -> Result<(u32, u32, Vec<Change>)> {
    let mut reader = Reader::new(bytes);
    version_of(&mut reader, "a snapshot's state", STATE_VERSION)?;
    let next_keyspace_id = reader.u32_le().map_err(|e| damaged(&e))?;
    let next_table_id = reader.u32_le().map_err(|e| damaged(&e))?;
    Ok((next_keyspace_id, next_table_id, read_changes(&mut reader)?))
}

fn decode_state(empty: &Schema, bytes: &[u8], version: u64) -> Result<Schema> {
    let (next_keyspace_id, next_table_id, changes) = read_state(bytes)?;
    Ok(empty.apply_all(&changes, version)?.with_next_ids(next_keyspace_id, next_table_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{KeyspaceDefinition, KeyspaceKind, KeyspaceOptions};
    use helenus_platform::clock::ManualClock;
    use helenus_platform::disk::MemoryDisk;

    struct Nothing;

    impl Applier for Nothing {
        fn apply(&self, _: &Schema, _: &Schema, _: &[Change]) -> Result<()> {
            Ok(())
        }
    }

    fn put(schema: &Schema, name: &str) -> Vec<Change> {
        vec![Change::PutKeyspace(KeyspaceDefinition {
            id: schema.next_keyspace_id(),
            name: name.into(),
            kind: KeyspaceKind::User,
            options: KeyspaceOptions { replication: [].into(), durable_writes: true },
        })]
    }

    #[test]
    fn a_schema_survives_restarts_and_snapshots_and_ids_are_never_reused() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(0));
        let dir = Path::new("/m");
        disk.create_dir_all(dir).unwrap();
        let metadata = Metadata::create(disk.clone(), clock.clone(), dir, [1; 16]).unwrap();
        metadata.change(&Nothing, |schema| Ok(put(schema, "a"))).unwrap();
        metadata.change(&Nothing, |schema| Ok(put(schema, "b"))).unwrap();
        let dropped = Change::DropKeyspace { name: "b".into() };
        metadata.change(&Nothing, |_| Ok(vec![dropped])).unwrap();
        let before = metadata.schema();
        drop(metadata);
        let metadata = Metadata::open(disk.clone(), clock.clone(), dir, [1; 16], 3).unwrap();
        let after = metadata.schema();
        assert_eq!(after.schema_version, before.schema_version);
        assert_eq!((after.version, after.next_keyspace_id()), (3, before.next_keyspace_id()));
        metadata.lock().snapshot(&encode_state(&after)).unwrap();
        drop(metadata);
        let again = Metadata::open(disk, clock, dir, [1; 16], 3).unwrap().schema();
        assert_eq!(again.schema_version, before.schema_version);
        assert_eq!((again.version, again.next_keyspace_id()), (3, before.next_keyspace_id()));
        assert!(again.keyspace("a").is_some() && again.keyspace("b").is_none());
    }

    #[test]
    fn what_cannot_be_planned_changes_nothing() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(0));
        let dir = Path::new("/m");
        disk.create_dir_all(dir).unwrap();
        let metadata = Metadata::create(disk, clock, dir, [1; 16]).unwrap();
        assert!(metadata.change(&Nothing, |_| Err(Error::invalid("no"))).is_err());
        assert_eq!(metadata.schema().version, 0);
    }
}
