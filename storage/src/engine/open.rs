//! Opening a data directory, step by step.
//!
//! 1. Lock the directory, check whose it is and its format, read the manifest (`manifest`).
//! 2. Agree on the tables: those that the caller names and the manifest does not know are new;
//!    those that he does not name are left alone, or dropped if the options say so.
//! 3. Open every SSTable that the manifest names. One that is damaged or missing stays a part of
//!    its table: a read that needs it is an error that names it (`damage`). One of a newer format
//!    is refused, and so is a table whose whole directory is missing.
//! 4. Open the commit log, which must be there if it ever was.
//! 5. Remove what the manifest proves to be garbage: dropped tables' directories, files with an
//!    id of our own that it does not name. Anything else that lies around is left alone, and so is
//!    all that a table has of which a file is missing or damaged: there may be use for it.
//! 6. Replay it into memtables, leaving out what SSTables cover, what was truncated or dropped
//!    (`replay`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use arc_swap::ArcSwap;
use helenus_platform::clock::Clock;
use helenus_platform::disk::{Disk, Entry};
use helenus_platform::random::Random;
use helenus_platform::signal::Signal;

use super::damage::Unreadable;
use super::health::Health;
use super::memory::{Generation, Memory};
use super::replay::replay;
use super::{Claims, Shared, Table, TrustedClock, planted};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{CommitLog, LogOptions, Replay};
use crate::manifest::{Directory, Edit, Manifest, SsTableState, State};
use crate::metrics::Metrics;
use crate::model::{KeyspaceId, LogPosition, SsTableId, TableId};
use crate::options::{Options, TableOptions};
use crate::sstable::{BlockCache, SsTable, UNFINISHED_SUFFIX, file_name};

pub(super) type Tables = BTreeMap<TableId, Arc<Table>>;

pub(super) fn open(
    options: Options,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    named: &[(TableId, KeyspaceId, TableOptions)],
) -> Result<Arc<Shared>> {
    let manifest = Arc::new(Manifest::open(disk.clone(), &options.dir, random.clone())?);
    create_new_tables(&manifest, named)?;
    if options.drop_unnamed_tables {
        drop_unnamed_tables(&manifest, named)?;
    }
    let metrics = Metrics::default();
    let cache = BlockCache::new(options.block_cache_bytes as u64);
    let memory = Arc::new(Memory::new(options.memtable_total_bytes_max));
    let mut tables = Tables::new();
    for (id, keyspace, table_options) in named {
        let (files, unreadable) = open_files(&manifest, *id, &cache)?;
        let start = LogPosition::START;
        let active = Generation::new(*id, options.memtable_shards, start, memory.clone());
        let table = Table::new(*id, *keyspace, table_options.clone(), active, files, unreadable);
        tables.insert(*id, table);
    }
    let (log, found) = open_log(&manifest, &options, disk, clock.clone(), random)?;
    remove_garbage(&manifest, &metrics, &tables)?;
    let state = manifest.state();
    let (gap, jump) = (options.clock_gap_max_seconds, options.clock_jump_max_seconds);
    let shared = Arc::new(Shared {
        options,
        trusted: TrustedClock::new(clock.clone(), state.time, gap, jump),
        clock,
        log,
        manifest,
        cache,
        memory,
        metrics,
        health: Health::default(),
        claims: Claims::default(),
        flush_signal: Signal::new(),
        compaction_signal: Signal::new(),
        phase: AtomicU8::new(super::OPEN),
        log_start: AtomicU64::new(0),
        log_damage: OnceLock::new(),
        tables: ArcSwap::from_pointee(tables),
        ddl: Mutex::new(()),
        working: RwLock::new(()),
    });
    let damage = replay(&shared, found, &state)?;
    // Nobody else has this engine yet.
    let _ = shared.log_damage.set(damage);
    shared.recycle_log()?;
    Ok(shared)
}

/// Records the tables that the manifest does not know yet.
fn create_new_tables(
    manifest: &Manifest,
    named: &[(TableId, KeyspaceId, TableOptions)],
) -> Result<()> {
    let state = manifest.state();
    let directory = manifest.directory();
    let make = |path: &Path| {
        let made = directory.disk.create_dir_all(path);
        made.map_err(|error| Error::io("creating a directory", path, error))
    };
    let sync = |path: &Path| {
        let synced = directory.disk.sync_dir(path);
        synced.map_err(|error| Error::io("syncing a directory", path, error))
    };
    make(&directory.tables())?;
    let position = state.last_position();
    let mut edits = Vec::new();
    for (id, keyspace, _) in named {
        if state.dropped.contains_key(id) {
            return Err(Error::invalid(format!("table {} was dropped before", id.0)));
        }
        if !state.tables.contains_key(id) {
            make(&directory.table(*id))?;
            edits.push(Edit::CreateTable { table: *id, keyspace: *keyspace, position });
        }
    }
    sync(&directory.tables())?;
    sync(&directory.path)?;
    if edits.is_empty() { Ok(()) } else { manifest.commit(&edits) }
}

/// Records that tables which nobody names are dropped; their files go with the garbage.
fn drop_unnamed_tables(
    manifest: &Manifest,
    named: &[(TableId, KeyspaceId, TableOptions)],
) -> Result<()> {
    let state = manifest.state();
    let position = state.last_position();
    let is_named = |id: &TableId| named.iter().any(|(named, _, _)| named == id);
    let unnamed = state.tables.keys().filter(|id| !is_named(id));
    let edits: Vec<Edit> = unnamed.map(|&table| Edit::DropTable { table, position }).collect();
    if edits.is_empty() { Ok(()) } else { manifest.commit(&edits) }
}

/// SSTables that are open, and those that could not be opened.
type Opened = (Vec<Arc<SsTable>>, Vec<Arc<Unreadable>>);

/// Opens all SSTables of a table.
fn open_files(manifest: &Manifest, table: TableId, cache: &BlockCache) -> Result<Opened> {
    let state = manifest.state();
    let Some(known) = state.tables.get(&table) else { return Ok(Opened::default()) };
    let directory = manifest.directory();
    let (mut files, mut unreadable) = Opened::default();
    if !known.sstables.is_empty() && !directory.exists(&directory.table(table))? {
        let what = "a table's directory is missing, and with it all its SSTables; is something \
                    not mounted";
        return Err(Error::corrupt(what).at_file(&directory.table(table), None));
    }
    for (id, SsTableState { file_bytes, tokens }) in &known.sstables {
        let path = directory.table(table).join(file_name(*id));
        let opened = SsTable::open(directory.disk.as_ref(), &path, cache).and_then(|file| {
            let is_it = file.id() == *id
                && file.header().table == table
                && file.file_bytes() == *file_bytes;
            let what = "an SSTable is not the one that the manifest names";
            if is_it { Ok(file) } else { Err(Error::corrupt(what).at_file(&path, None)) }
        });
        match opened {
            Ok(file) => files.push(file),
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                unreadable.push(Unreadable::new(*id, path, *file_bytes, *tokens, &error));
            }
            Err(error) => {
                return Err(error.during("opening an SSTable that the manifest names"));
            }
        }
    }
    Ok((files, unreadable))
}

/// Removes what the manifest proves to be garbage.
fn remove_garbage(manifest: &Manifest, metrics: &Metrics, tables: &Tables) -> Result<()> {
    let state = manifest.state();
    let directory = manifest.directory();
    for entry in list(directory, &directory.tables())? {
        let Some(table) = parse_table(&entry) else { continue };
        let path = directory.table(table);
        if state.dropped.contains_key(&table) {
            let removed = directory.disk.remove_dir_all(&path);
            removed.map_err(|e| Error::io("removing a dropped table", &path, e))?;
            metrics.orphans_removed.add(1);
            continue;
        }
        let is_damaged =
            tables.get(&table).is_some_and(|table| !table.view.load().unreadable.is_empty());
        if is_damaged {
            continue;
        }
        for file in list(directory, &path)? {
            if is_orphan(&state, table, &file.name) {
                let path = path.join(&file.name);
                let removed = directory.disk.remove(&path);
                removed.map_err(|e| Error::io("removing an orphan", &path, e))?;
                metrics.orphans_removed.add(1);
            }
        }
    }
    Ok(())
}

fn list(directory: &Directory, path: &Path) -> Result<Vec<Entry>> {
    directory.disk.list(path).map_err(|error| Error::io("listing a directory", path, error))
}

fn parse_table(entry: &Entry) -> Option<TableId> {
    let is_ours = entry.is_dir && entry.name.len() == 8;
    is_ours.then(|| u32::from_str_radix(&entry.name, 16).ok().map(TableId)).flatten()
}

/// Whether a file was written by this directory's engine and is not part of the table.
fn is_orphan(state: &State, table: TableId, name: &str) -> bool {
    let finished = name.strip_suffix(UNFINISHED_SUFFIX).unwrap_or(name);
    let Some(id) = parse_id(finished) else { return false };
    let is_live = state.tables.get(&table).is_some_and(|t| t.sstables.contains_key(&id));
    let is_unfinished = finished.len() != name.len();
    state.is_own_id(&id) && (is_unfinished || !is_live)
}

/// The id in an SSTable's file name.
pub(super) fn parse_id(name: &str) -> Option<SsTableId> {
    let hex = name.get(..32)?;
    let mut id = [0; 16];
    for (index, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    let id = SsTableId(id);
    (file_name(id) == name).then_some(id)
}

fn open_log(
    manifest: &Manifest,
    options: &Options,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<(CommitLog, Replay)> {
    let state = manifest.state();
    let directory = manifest.directory();
    let path = directory.log();
    if state.has_log && !directory.exists(&path)? {
        return Err(Error::corrupt("the commit log is missing").at_file(&path, None));
    }
    for name in &state.log_files {
        let path = path.join(name);
        if !directory.exists(&path)? && !options.skip_damaged_log {
            let what = "a file that the commit log had when it was closed is missing";
            return Err(Error::corrupt(what).at_file(&path, None));
        }
    }
    if !state.log_files.is_empty() {
        // From here on the log may let go of some.
        manifest.commit(&[Edit::LogClosed { files: Vec::new() }])?;
    }
    let io = |error| Error::io("creating the commit log's directory", &path, error);
    disk.create_dir_all(&path).map_err(io)?;
    disk.sync_dir(&directory.path).map_err(io)?;
    let log_options = LogOptions {
        segment_bytes: options.segment_bytes,
        durability: options.durability,
        skip_corrupt: options.skip_damaged_log,
        min_position: state.last_position(),
        durable_position: state.log_durable,
        gaps: Some(state.log_gaps.clone()),
        ..LogOptions::default()
    };
    let disk = planted::log_disk(options, disk);
    let opened = CommitLog::open(disk, &path, &log_options, random, clock)?;
    if !state.has_log {
        manifest.commit(&[Edit::LogFounded])?;
    }
    let positions = opened.0.gaps();
    if !positions.is_subset(&state.log_gaps) {
        // Segments whose loss was passed over must not be missed again.
        manifest.commit(&[Edit::LogGaps { positions }])?;
    }
    Ok(opened)
}

/// The names of the commit log's files, without those that wait to be used again.
pub(super) fn log_files(directory: &Directory) -> Result<Vec<String>> {
    let entries = list(directory, &directory.log())?;
    let segments = entries.into_iter().filter(|entry| entry.name.starts_with("segment-"));
    Ok(segments.map(|entry| entry.name).collect())
}
