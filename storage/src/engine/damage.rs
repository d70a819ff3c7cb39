//! SSTables that are damaged: who must not be answered without them, and the way out.
//!
//! An SSTable that cannot be opened is *unreadable*: it stays a part of its table, and a read that
//! may need anything of it is an error that names it. It is not known what it holds, but for the
//! tokens that the manifest has noted of it. So as long as it is there, no tombstone that could
//! hide anything of it is purged.
//!
//! An SSTable that was opened and has a bad block somewhere stays open: a read that needs the
//! block is the error, others are not. Compaction leaves both kinds alone.
//!
//! The way out is to put the file back from a copy and to open the directory again, or to set the
//! file aside: it is linked into `damaged/`, then the manifest forgets it, then its old name goes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::open::parse_id;
use super::{Shared, Table};
use crate::error::{Error, ErrorKind, Place, Result};
use crate::manifest::Edit;
use crate::model::{PartitionBound, SsTableId, TableId, Token};
use crate::sstable::{SsTable, file_name};

/// An SSTable that the manifest names and that could not be opened.
pub(crate) struct Unreadable {
    pub(crate) id: SsTableId,
    pub(crate) path: PathBuf,
    /// As the manifest says.
    pub(crate) file_bytes: u64,
    /// The tokens of its first and last partition; of some older files they are not known.
    tokens: Option<(Token, Token)>,
    /// Why it could not be opened.
    why: String,
}

impl Unreadable {
    pub(super) fn new(
        id: SsTableId,
        path: PathBuf,
        file_bytes: u64,
        tokens: Option<(Token, Token)>,
        why: &Error,
    ) -> Arc<Unreadable> {
        Arc::new(Unreadable { id, path, file_bytes, tokens, why: why.to_string() })
    }

    /// The lowest and the highest token that anything in it can have.
    pub(crate) fn tokens(&self) -> (Token, Token) {
        self.tokens.unwrap_or((Token(i64::MIN), Token(i64::MAX)))
    }

    /// Whether a partition with this token may be in it.
    pub(crate) fn may_contain(&self, token: Token) -> bool {
        let (first, last) = self.tokens();
        first <= token && token <= last
    }

    /// Whether anything between the bounds may be in it.
    pub(crate) fn meets(&self, start: &PartitionBound, end: &PartitionBound) -> bool {
        let (first, last) = self.tokens();
        *start < PartitionBound::After(last) && PartitionBound::Before(first) < *end
    }

    /// What a read is told that may need it.
    pub(crate) fn error(&self) -> Error {
        Error::corrupt("this read needs an SSTable that is damaged")
            .at_file(&self.path, None)
            .caused_by(self.why.clone())
    }
}

/// Open SSTables in which something was found to be damaged, and what.
pub(crate) type Blemishes = BTreeMap<SsTableId, String>;

/// A damaged SSTable of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The table that it is a part of.
    pub table: TableId,
    /// Its file.
    pub path: PathBuf,
    /// Bytes of the file, as the manifest says.
    pub file_bytes: u64,
    /// Nothing of it can be read; otherwise the rest of it is served.
    pub is_unreadable: bool,
    /// What is wrong with it.
    pub why: String,
}

impl Table {
    /// All that is known to be damaged of the table.
    pub(super) fn damages(&self) -> Vec<Damage> {
        let view = self.view.load();
        let blemishes = self.blemishes();
        let unreadable = view.unreadable.iter().map(|file| Damage {
            table: self.id,
            path: file.path.clone(),
            file_bytes: file.file_bytes,
            is_unreadable: true,
            why: file.why.clone(),
        });
        let blemished = view.sstables().iter().filter_map(|file| {
            Some(Damage {
                table: self.id,
                path: file.path().to_owned(),
                file_bytes: file.file_bytes(),
                is_unreadable: false,
                why: blemishes.get(&file.id())?.clone(),
            })
        });
        unreadable.chain(blemished).collect()
    }
}

impl Shared {
    /// Remembers which SSTable an error is about, so that compaction leaves it alone and an
    /// operator can see it. Errors about anything else say nothing here.
    pub(crate) fn note_damage(&self, error: &Error) {
        if !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Io) {
            return;
        }
        let Place::File { path, .. } = error.place() else { return };
        for table in self.tables.load().values() {
            let view = table.view.load();
            if let Some(file) = view.sstables().iter().find(|file| file.path() == path) {
                table.blemishes().entry(file.id()).or_insert_with(|| error.to_string());
            }
        }
    }

    /// All damaged SSTables.
    pub(super) fn damages(&self) -> Vec<Damage> {
        self.tables.load().values().flat_map(|table| table.damages()).collect()
    }

    /// Takes a damaged SSTable out of its table; says where the file is now. See
    /// [`super::Engine::set_aside`].
    pub(super) fn set_aside(&self, file: &str) -> Result<PathBuf> {
        let _working = self.working();
        self.check_not_closed()?;
        let name = Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or(file);
        let Some(id) = parse_id(name) else {
            let what = format!("{file:?} is not the name of an SSTable's file");
            return Err(Error::invalid(what));
        };
        let tables = self.tables.load();
        let table = tables.values().find(|table| table.view.load().has(id));
        let table = table.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("no table has an SSTable {name}"))
        })?;
        let open = table.view.load().sstables().iter().find(|file| file.id() == id).cloned();
        if let Some(file) = &open {
            check_damaged(table, file)?;
        }
        let change = table.begin_change();
        let view = table.view.load_full();
        if !view.has(id) {
            let what = format!("{name} is no part of its table any more");
            return Err(Error::new(ErrorKind::NotFound, what));
        }
        let (path, kept) = self.keep_aside(table.id, id)?;
        self.commit(vec![Edit::SetAside { table: table.id, id }])?;
        table.install_compaction(&change, &[id], &[]);
        drop(change);
        if let Some(file) = open {
            self.cache.forget(file.handle());
        }
        let directory = self.manifest.directory();
        if directory.exists(&path)? {
            let removed = directory.disk.remove(&path);
            removed.map_err(|e| Error::io("removing an SSTable that was set aside", &path, e))?;
        }
        table.wants_compaction.store(true, std::sync::atomic::Ordering::Release);
        self.compaction_signal.notify_all();
        Ok(kept)
    }

    /// Gives an SSTable's file a name in the directory for damaged ones, durably; its old path
    /// and its new one. A file that is missing stays missing.
    fn keep_aside(&self, table: TableId, id: SsTableId) -> Result<(PathBuf, PathBuf)> {
        let directory = self.manifest.directory();
        let disk = &directory.disk;
        let (from, dir) = (directory.table(table).join(file_name(id)), directory.damaged(table));
        let to = dir.join(file_name(id));
        let io = |error| Error::io("keeping a damaged SSTable", &to, error);
        disk.create_dir_all(&dir).map_err(io)?;
        // An attempt that was cut off may have linked it already.
        if directory.exists(&from)? && !directory.exists(&to)? {
            // Not every file system has links; a file without its old name is only missed more.
            disk.hard_link(&from, &to).or_else(|_| disk.rename(&from, &to)).map_err(io)?;
        }
        for dir in dir.ancestors().take(3) {
            disk.sync_dir(dir).map_err(io)?;
        }
        Ok((from, to))
    }
}

/// An SSTable of which every byte is right is not given up. Waits for the disk.
fn check_damaged(table: &Table, file: &SsTable) -> Result<()> {
    if table.blemishes().contains_key(&file.id()) {
        return Ok(());
    }
    match file.verify() {
        Ok(()) => {
            let what = "every byte of this SSTable is as it was written: it is not set aside";
            Err(Error::invalid(what).at_file(file.path(), None))
        }
        Err(_) => Ok(()),
    }
}
