//! Tables come, change and go.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::{Shared, Table};
use crate::error::{Error, Result};
use crate::manifest::Edit;
use crate::model::{KeyspaceId, TableId};
use crate::options::TableOptions;

impl Shared {
    pub(super) fn create_table(
        &self,
        id: TableId,
        keyspace: KeyspaceId,
        options: TableOptions,
    ) -> Result<()> {
        let _working = self.working();
        self.check_open()?;
        let _alone = self.ddl.lock().unwrap_or_else(PoisonError::into_inner);
        if self.tables.load().contains_key(&id) {
            return self.alter_table(id, options);
        }
        let position = self.log.with_lock(|tail| tail);
        if !self.manifest.state().tables.contains_key(&id) {
            self.make_directory(id)?;
            self.commit(vec![Edit::CreateTable { table: id, keyspace, position }])?;
        } else {
            let what = format!(
                "table {} is on disk and was not named when the engine was opened: \
                 open it again with the table, or drop it",
                id.0
            );
            return Err(Error::invalid(what));
        }
        let active = self.new_generation(id, position);
        let table = Table::new(id, keyspace, options, active, Vec::new(), Vec::new());
        self.change_tables(|tables| {
            tables.insert(id, table);
        });
        Ok(())
    }

    pub(super) fn make_directory(&self, id: TableId) -> Result<()> {
        let directory = self.manifest.directory();
        let path = directory.table(id);
        let io = |error| Error::io("creating a table's directory", &path, error);
        directory.disk.create_dir_all(&path).map_err(io)?;
        directory.disk.sync_dir(&directory.tables()).map_err(io)?;
        directory.disk.sync_dir(&directory.path).map_err(io)
    }

    pub(super) fn alter_table(&self, id: TableId, options: TableOptions) -> Result<()> {
        let table = self.table(id)?;
        table.options.store(Arc::new(options));
        table.wants_compaction.store(true, Ordering::Release);
        self.compaction_signal.notify_all();
        Ok(())
    }

    pub(super) fn drop_table(&self, id: TableId) -> Result<()> {
        let _working = self.working();
        self.check_open()?;
        let _alone = self.ddl.lock().unwrap_or_else(PoisonError::into_inner);
        let table = self.tables.load().get(&id).cloned();
        if table.is_none() && !self.manifest.state().tables.contains_key(&id) {
            return Ok(());
        }
        if let Some(table) = table {
            let change = table.begin_change();
            let position = self.log.with_lock(|tail| tail);
            self.commit(vec![Edit::DropTable { table: id, position }])?;
            table.is_dropped.store(true, Ordering::Release);
            table.abandon_pins();
            let next = self.new_generation(id, position);
            let view = self.log.with_lock(|_| table.clear(&change, next));
            view.sstables().iter().for_each(|file| self.cache.forget(file.handle()));
        } else {
            let position = self.log.with_lock(|tail| tail);
            self.commit(vec![Edit::DropTable { table: id, position }])?;
        }
        self.change_tables(|tables| {
            tables.remove(&id);
        });
        self.remove_directory(id)?;
        self.recycle_log()
    }

    /// Removes the directory of a table that the manifest knows to be dropped.
    pub(super) fn remove_directory(&self, id: TableId) -> Result<()> {
        let directory = self.manifest.directory();
        let path = directory.table(id);
        if !directory.exists(&path)? {
            return Ok(());
        }
        // A flush that has not noticed yet may put a file into it at the same moment.
        let remove = || directory.disk.remove_dir_all(&path);
        let removed = remove().or_else(|_| remove());
        removed.map_err(|e| Error::io("removing a dropped table's directory", &path, e))
    }

    pub(super) fn truncate(&self, id: TableId) -> Result<()> {
        let _working = self.working();
        self.check_open()?;
        let table = self.table(id)?;
        let change = table.begin_change();
        let (position, view) =
            self.log.with_lock(|tail| (tail, table.clear(&change, self.new_generation(id, tail))));
        table.abandon_pins();
        let open = view.sstables().iter().map(|file| file.id());
        let sstables = open.chain(view.unreadable.iter().map(|file| file.id)).collect();
        self.commit(vec![Edit::TruncateTable { table: id, position, sstables }]).inspect_err(
            |error| {
                // Readers have been shown the empty table, and a restart may bring the data back.
                self.health.fail(Arc::new(Error::invalid(format!("truncating failed: {error}"))));
            },
        )?;
        drop(change);
        self.remove_files(view.sstables())?;
        for file in view.unreadable.iter() {
            let directory = self.manifest.directory();
            if directory.exists(&file.path)? {
                let removed = directory.disk.remove(&file.path);
                removed.map_err(|e| Error::io("removing an SSTable", &file.path, e))?;
            }
        }
        self.recycle_log()
    }

    /// Replaces the map of tables; called with `ddl` held.
    fn change_tables(&self, change: impl FnOnce(&mut BTreeMap<TableId, Arc<Table>>)) {
        let mut tables = BTreeMap::clone(&self.tables.load());
        change(&mut tables);
        self.tables.store(Arc::new(tables));
    }
}
