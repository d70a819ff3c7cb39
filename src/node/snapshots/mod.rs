//! Snapshots of a node: taking, listing, removing them; [`mod@restore`] is the way back.
//!
//! ```text
//! snapshots/<tag>/manifest.json                 written last: the snapshot counts      manifest.rs
//! snapshots/<tag>/schema.cql                    the schema, for people and for another cluster
//! snapshots/<tag>/IDENTITY                      the node's identity at that time
//! snapshots/<tag>/metadata/                     the schema with its ids, as a metadata log
//! snapshots/<tag>/<keyspace>/<table>-<id>/      the SSTables, as further names of the files
//! ```
//!
//! A directory without a manifest is half made, or half removed; the next start removes it.

pub(crate) mod manifest;
mod restore;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cql_lite::types::text::{hex, print_timestamp_iso, print_uuid};
use helenus_platform::checksum::crc32;
use helenus_platform::clock::Clock;
use helenus_platform::disk::Disk;
use helenus_platform::runtime::block_on;
use helenus_storage::model::{LogPosition, TableId};
use helenus_storage::{Engine, JobKind, SnapshotFile};

use crate::cluster::identity::{Identity, IdentityFile};
use crate::cluster::metadata::Metadata;
use crate::cluster::state::ClusterState;
use crate::error::{Error, Result};
use crate::schema::Table;
use manifest::{Manifest, ManifestFile, ManifestTable};
pub use restore::restore;

/// Says what is in a snapshot, by its manifest at `path`. Waits for the disk.
///
/// # Errors
/// A damaged or newer manifest is named.
pub(crate) fn inspect_snapshot(
    disk: &dyn Disk,
    path: &Path,
    line: &mut dyn FnMut(&str),
) -> Result<()> {
    let manifest = Manifest::load(disk, path.parent().unwrap_or(Path::new(".")))?;
    line(&format!("snapshot {} of host {}", manifest.tag, manifest.host_id));
    line(&format!("  taken at {}, by version {}", manifest.created_at, manifest.program));
    for table in &manifest.tables {
        line(&format!("  {}.{}, table {}", table.keyspace, table.table, table.id));
        for file in &table.files {
            line(&format!("    {} of {} bytes", file.name, file.bytes));
        }
    }
    Ok(())
}

const SCHEMA: &str = "schema.cql";
const TAG_CHARS_MAX: usize = 200;

/// The snapshots of one data directory.
pub(crate) struct Snapshots {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) engine: Engine,
    pub(super) identity: Arc<IdentityFile>,
    /// The data directory.
    pub(super) dir: PathBuf,
}

/// A snapshot that waits for its last flush.
pub(crate) struct Taking {
    snapshot: helenus_storage::Snapshot,
    manifest: Manifest,
    dir: PathBuf,
}

#[cfg(test)]
impl Taking {
    pub(super) fn poll(&self) -> Option<helenus_storage::Result<Vec<SnapshotFile>>> {
        self.snapshot.poll()
    }
}

/// One table in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ListedSnapshot {
    /// The snapshot's tag.
    pub snapshot_name: String,
    /// The table's keyspace.
    pub keyspace_name: String,
    /// The table.
    pub column_family_name: String,
    /// Bytes that only the snapshot keeps from being freed.
    pub true_size: u64,
    /// Bytes of all its files.
    pub size_on_disk: u64,
    /// When it was taken.
    pub creation_time: String,
}

fn io(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::server(format!("snapshot: {what} {}: {error}", path.display()))
}

fn read(disk: &dyn Disk, path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let read = || {
        let file = disk.open(path)?;
        let len = file.len()?;
        if len > bytes_max {
            return Err(std::io::Error::other(format!("{len} bytes are far too many")));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_exact_at(0, &mut bytes).map(|()| bytes)
    };
    read().map_err(|error| io("cannot read", path, &error))
}

/// Whether a tag can be the name of a directory, everywhere.
fn check_tag(tag: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if tag.is_empty()
        || tag.len() > TAG_CHARS_MAX
        || tag.starts_with('.')
        || !tag.chars().all(is_plain)
    {
        return Err(Error::invalid(format!(
            "'{tag}' cannot be the name of a snapshot: 1 to {TAG_CHARS_MAX} of letters, digits, \
             _, - and ., not beginning with a dot"
        )));
    }
    Ok(())
}

impl Snapshots {
    fn root(&self) -> PathBuf {
        self.dir.join("snapshots")
    }

    /// Begins a snapshot of `tables`, which the schema of `state` has: switches their memtables. Waits for the
    /// disk.
    pub(crate) fn begin(
        &self,
        state: &ClusterState,
        tag: &str,
        tables: &[Arc<Table>],
    ) -> Result<Taking> {
        check_tag(tag)?;
        let dir = self.root().join(tag);
        let disk = self.disk.as_ref();
        if disk.exists(&dir).map_err(|error| io("cannot look for", &dir, &error))? {
            return Err(Error::invalid(format!("Snapshot {tag} already exists.")));
        }
        let begun = self.begin_in(state, tag, tables, &dir);
        if begun.is_err() {
            self.remove(&dir);
        }
        begun
    }

    fn begin_in(
        &self,
        state: &ClusterState,
        tag: &str,
        tables: &[Arc<Table>],
        dir: &Path,
    ) -> Result<Taking> {
        let disk = self.disk.as_ref();
        let make = |path: &Path| {
            disk.create_dir_all(path).map_err(|error| io("cannot create", path, &error))
        };
        make(dir)?;
        let identity = self.identity.get();
        let mut manifest = Manifest::new(tag);
        manifest.host_id = print_uuid(&identity.host_id);
        manifest.created_at_micros = self.clock.wall_micros();
        manifest.created_at = print_timestamp_iso(manifest.created_at_micros / 1000);
        // Whoever comes back from here has not stopped cleanly.
        let metadata_version = state.version;
        let identity = Identity { stopped_cleanly: false, metadata_version, ..identity };
        identity.store(disk, dir).map_err(|error| Error::server(error.to_string()))?;
        let metadata = dir.join("metadata");
        make(&metadata)?;
        let (cluster_id, host_id) = (identity.cluster_id, identity.host_id);
        Metadata::export(state, &self.disk, &metadata, cluster_id, host_id)?;
        let script = crate::query::schema_script(&state.schema);
        manifest.schema_crc32 = crc32(script.as_bytes());
        self.write(&dir.join(SCHEMA), script.as_bytes())?;
        let mut targets = Vec::new();
        for table in tables {
            let directory = format!("{}/{}-{}", table.keyspace, table.name, hex(&table.uuid));
            let path = dir.join(&directory);
            make(&path)?;
            targets.push((table.id, path));
            manifest.tables.push(ManifestTable {
                keyspace: table.keyspace.clone(),
                table: table.name.clone(),
                id: table.id.0,
                directory,
                files: Vec::new(),
            });
        }
        let snapshot = self.engine.begin_snapshot(&targets)?;
        manifest.position = snapshot.position().0;
        Ok(Taking { snapshot, manifest, dir: dir.to_path_buf() })
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let write = || {
            let file = self.disk.create(path)?;
            file.write_all_at(0, bytes)?;
            file.sync_data()
        };
        write().map_err(|error| io("cannot write", path, &error))
    }

    /// Waits for the flushes that a snapshot needs.
    pub(crate) async fn flushed(&self, taking: &Taking) -> Result<Vec<SnapshotFile>> {
        let signal = self.engine.work_signal(JobKind::Flush);
        loop {
            let epoch = signal.epoch();
            if let Some(files) = taking.snapshot.poll() {
                return files.map_err(Error::from);
            }
            signal.wait_past(epoch).await;
        }
    }

    /// Makes a snapshot of which everything is linked count, or removes it. Waits for the disk.
    pub(crate) fn finish(&self, taking: Taking, files: Result<Vec<SnapshotFile>>) -> Result<()> {
        let dir = taking.dir.clone();
        let finished = files.and_then(|files| self.finish_in(taking, files));
        if finished.is_err() {
            self.remove(&dir);
        }
        finished
    }

    fn finish_in(&self, taking: Taking, files: Vec<SnapshotFile>) -> Result<()> {
        let Taking { mut manifest, dir, .. } = taking;
        let mut of: BTreeMap<TableId, Vec<ManifestFile>> = BTreeMap::new();
        for file in files {
            let name = file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let file_of = ManifestFile { name: name.to_string(), bytes: file.bytes };
            of.entry(file.table).or_default().push(file_of);
        }
        let mut parents = vec![dir.clone(), self.root(), self.dir.clone()];
        for table in &mut manifest.tables {
            table.files = of.remove(&TableId(table.id)).unwrap_or_default();
            parents.insert(0, dir.join(&table.keyspace));
        }
        parents.dedup();
        for path in &parents {
            self.disk.sync_dir(path).map_err(|error| io("cannot sync", path, &error))?;
        }
        manifest.store(self.disk.as_ref(), &dir)
    }

    /// A snapshot that TRUNCATE or DROP takes first, of those tables that hold anything. Waits
    /// for the disk, and for flushes.
    pub(crate) fn take_before(
        &self,
        what: &str,
        state: &ClusterState,
        name: &str,
        tables: &[Arc<Table>],
    ) -> Result<()> {
        let holds_anything = |table: &&Arc<Table>| {
            let is_flushed = self.engine.is_flushed(Some(table.id), LogPosition(u64::MAX));
            !is_flushed || self.engine.table_stats(table.id).is_some_and(|s| s.sstables > 0)
        };
        let tables: Vec<Arc<Table>> = tables.iter().filter(holds_anything).cloned().collect();
        if tables.is_empty() {
            return Ok(());
        }
        let mut millis = self.clock.wall_micros() / 1000;
        while self
            .disk
            .exists(&self.root().join(format!("{what}-{millis}-{name}")))
            .unwrap_or(false)
        {
            millis += 1;
        }
        let tag = format!("{what}-{millis}-{name}");
        let taken = self.begin(state, &tag, &tables).and_then(|taking| {
            let files = block_on(self.flushed(&taking));
            self.finish(taking, files)
        });
        taken.map_err(|error| {
            Error::server(format!(
                "nothing was changed: the snapshot that snapshot.auto asks for failed: {error}; \
                 mend that (free space if the disk is full, for instance with `helenus \
                 clearsnapshot`), or restart the node with --set snapshot.auto=false"
            ))
        })?;
        tracing::info!(snapshot = tag, "rows that are about to go are kept in a snapshot");
        Ok(())
    }

    /// Removes a directory that does not count; what cannot be removed, the next start removes.
    fn remove(&self, dir: &Path) {
        if self.disk.exists(dir).unwrap_or(false)
            && let Err(error) = self.disk.remove_dir_all(dir)
        {
            tracing::warn!(dir = %dir.display(), %error, "cannot remove a half-made snapshot");
        }
    }

    /// Removes what an interrupted run has left; called before any snapshot is taken.
    pub(super) fn remove_unfinished(&self) {
        for (dir, is_finished) in self.dirs().unwrap_or_default() {
            if !is_finished {
                tracing::info!(dir = %dir.display(), "removing a half-made snapshot");
                self.remove(&dir);
            }
        }
    }

    /// The directories of all snapshots, and whether each counts.
    fn dirs(&self) -> Result<Vec<(PathBuf, bool)>> {
        let (disk, root) = (self.disk.as_ref(), self.root());
        let failed = |error| io("cannot look into", &root, &error);
        if !disk.exists(&root).map_err(failed)? {
            return Ok(Vec::new());
        }
        let mut dirs = Vec::new();
        for entry in disk.list(&root).map_err(failed)? {
            let dir = root.join(&entry.name);
            if entry.is_dir {
                let is_finished = disk.exists(&dir.join(manifest::NAME)).map_err(failed)?;
                dirs.push((dir, is_finished));
            }
        }
        Ok(dirs)
    }

    /// Every table of every snapshot. Waits for the disk.
    pub(crate) fn list(&self) -> Result<Vec<ListedSnapshot>> {
        let mut listed = Vec::new();
        for (dir, is_finished) in self.dirs()? {
            if !is_finished {
                continue;
            }
            let manifest = Manifest::load(self.disk.as_ref(), &dir)?;
            for table in manifest.tables {
                let live = self.engine.table_files(TableId(table.id));
                let is_live =
                    |file: &&ManifestFile| live.iter().any(|(name, _)| *name == file.name);
                let size_on_disk = table.files.iter().map(|file| file.bytes).sum();
                let shared: u64 = table.files.iter().filter(is_live).map(|file| file.bytes).sum();
                listed.push(ListedSnapshot {
                    snapshot_name: manifest.tag.clone(),
                    keyspace_name: table.keyspace,
                    column_family_name: table.table,
                    true_size: size_on_disk - shared,
                    size_on_disk,
                    creation_time: manifest.created_at.clone(),
                });
            }
        }
        Ok(listed)
    }

    /// Removes the snapshot `tag`, or all; says which. Waits for the disk.
    pub(crate) fn clear(&self, tag: Option<&str>) -> Result<Vec<String>> {
        let disk = self.disk.as_ref();
        let mut cleared = Vec::new();
        for (dir, is_finished) in self.dirs()? {
            let name = dir.file_name().map(|name| name.to_string_lossy().into_owned());
            let Some(name) = name.filter(|name| is_finished && tag.is_none_or(|tag| tag == name))
            else {
                continue;
            };
            // Without its manifest it does not count, so half of it is never taken for a whole.
            let manifest = dir.join(manifest::NAME);
            let gone = disk.remove(&manifest).and_then(|()| disk.sync_dir(&dir));
            gone.and_then(|()| disk.remove_dir_all(&dir))
                .map_err(|error| io("cannot remove", &dir, &error))?;
            cleared.push(name);
        }
        match tag {
            Some(tag) if cleared.is_empty() => {
                Err(Error::invalid(format!("Snapshot {tag} does not exist.")))
            }
            _ => Ok(cleared),
        }
    }
}
