//! The way of a write: check, memory, log, memtables.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::memory::WriterGuard;
use super::{Shared, Table};
use crate::error::{Error, Result};
use crate::log::Append;
use crate::model::{LogPosition, MutationRef, PartitionKeyRef, TableId, TableUpdateRef};

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub enum Write {
    /// Every mutation is applied.
    Done {
        /// The answer may leave once `answer_position` has reached this.
        position: LogPosition,
        /// How full memory is, 0 to 1: from 0 upwards a writer should slow down accordingly.
        pressure: f32,
    },
    /// Nothing is applied: memory for memtables, or the log's buffer, is exhausted for now.
    Full,
}

/// A table's part of a mutation.
struct Update<'a> {
    key: PartitionKeyRef<'a>,
    update: TableUpdateRef<'a>,
    /// Index into the tables of the write.
    table: usize,
}

impl Shared {
    pub(super) fn write(&self, mutations: &[&[u8]], deferred: bool) -> Result<Write> {
        self.check_open()?;
        if self.memory.is_full() {
            self.metrics.writes_full.add(1);
            self.nudge_flush();
            return Ok(Write::Full);
        }
        let mut tables: Vec<Arc<Table>> = Vec::with_capacity(1);
        let updates = self.updates(mutations, &mut tables)?;
        let ids: Vec<TableId> = tables.iter().map(|table| table.id).collect();
        let mut guards = Vec::with_capacity(tables.len());
        // The lock order: nothing but atomics is touched under the log's append lock.
        let enter = |_| {
            guards.extend(tables.iter().map(|table| table.view.load().active.enter()));
        };
        let appended = if deferred {
            self.log.append_deferred(mutations, &ids, enter)?
        } else {
            self.log.append(mutations, &ids, enter)?
        };
        let Append::Done(appended) = appended else {
            self.metrics.writes_full.add(1);
            return Ok(Write::Full);
        };
        for Update { key, update, table } in &updates {
            if let Some(guard) = guards.get(*table) {
                guard.generation().memtable.apply(*key, update, appended.end)?;
            }
        }
        for (table, guard) in tables.iter().zip(guards) {
            self.applied(table, guard);
        }
        self.metrics.writes.add(1);
        self.metrics.write_bytes.add(mutations.iter().map(|bytes| bytes.len() as u64).sum());
        let pressure = self.memory.pressure();
        if pressure > 0.0 || self.log_is_long(appended.end) {
            self.nudge_flush();
        }
        Ok(Write::Done { position: appended.end, pressure })
    }

    /// Takes the mutations apart and checks them whole: what is in the log must apply.
    fn updates<'a>(
        &self,
        mutations: &[&'a [u8]],
        tables: &mut Vec<Arc<Table>>,
    ) -> Result<Vec<Update<'a>>> {
        if mutations.is_empty() {
            return Err(Error::invalid("a write without mutations"));
        }
        let mut updates = Vec::with_capacity(mutations.len());
        for bytes in mutations {
            let mutation = MutationRef::parse(bytes)?;
            mutation.validate()?;
            let key = mutation.key();
            let before = updates.len();
            for update in mutation.tables() {
                let update = update?;
                let known = tables.iter().position(|table| table.id == update.table());
                let table = match known {
                    Some(index) => index,
                    None => {
                        let table = self.table(update.table())?;
                        if table.keyspace != mutation.keyspace() {
                            let what = "a mutation for a table of another keyspace";
                            return Err(Error::invalid(what));
                        }
                        tables.push(table);
                        tables.len() - 1
                    }
                };
                updates.push(Update { key, update, table });
            }
            if updates.len() == before {
                return Err(Error::invalid("a mutation that updates no table"));
            }
        }
        Ok(updates)
    }

    /// Keeps account of a memtable after a write, and sees to its flush.
    fn applied(&self, table: &Table, guard: WriterGuard) {
        table.writes.fetch_add(1, Ordering::Relaxed);
        let bytes = guard.generation().account();
        let is_awaited = guard.is_awaited();
        drop(guard);
        let is_large = bytes >= self.options.memtable_bytes_max && !is_awaited;
        if is_large && !table.wants_flush.swap(true, Ordering::AcqRel) || is_awaited {
            self.flush_signal.notify_all();
        }
    }

    /// Wakes whoever flushes, once until they have looked.
    pub(super) fn nudge_flush(&self) {
        if !self.claims.is_nudged.swap(true, Ordering::AcqRel) {
            self.flush_signal.notify_all();
        }
    }

    /// Whether the log, which ends at `tail`, is longer than it should be.
    pub(super) fn log_is_long(&self, tail: LogPosition) -> bool {
        let start = self.log_start.load(Ordering::Relaxed);
        tail.0.saturating_sub(start) > self.options.log_bytes_max
    }
}
