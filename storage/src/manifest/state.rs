//! What the manifest says: the fold over all its edits.

use std::collections::{BTreeMap, BTreeSet};

use super::edit::Edit;
use super::intervals::IntervalSet;
use crate::model::{KeyspaceId, LogPosition, SsTableId, TableId, Token};

/// Everything that must be known of a data directory apart from its files' contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// First half of the ids of all SSTables written here.
    pub(crate) instance: [u8; 8],
    /// Sequence numbers of SSTables below this may have been used.
    pub(crate) reserved: u64,
    /// Latest trusted wall clock, seconds since the epoch; 0 if none was recorded.
    pub(crate) time: i64,
    /// The commit log has been begun.
    pub(crate) has_log: bool,
    /// Up to here the commit log has been durable.
    pub(crate) log_durable: LogPosition,
    /// Files that the commit log had when it was closed; empty since it was opened.
    pub(crate) log_files: Vec<String>,
    /// Where segments of the commit log began that were recycled, and may still be named by others.
    pub(crate) log_gaps: BTreeSet<LogPosition>,
    /// Tables that exist.
    pub(crate) tables: BTreeMap<TableId, TableState>,
    /// Tables that existed, and where in the log they ended.
    pub(crate) dropped: BTreeMap<TableId, LogPosition>,
}

/// One table that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableState {
    pub(crate) keyspace: KeyspaceId,
    pub(crate) created: LogPosition,
    /// Records that end here or before were truncated away.
    pub(crate) truncated: LogPosition,
    /// Log intervals that replay must not apply again.
    pub(crate) covered: IntervalSet,
    /// Live SSTables.
    pub(crate) sstables: BTreeMap<SsTableId, SsTableState>,
    /// SSTables that were damaged and given up.
    pub(crate) set_aside: BTreeSet<SsTableId>,
}

/// What is known of a live SSTable without its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SsTableState {
    /// The length of its file.
    pub(crate) file_bytes: u64,
    /// The tokens of its first and last partition, if they were noted.
    pub(crate) tokens: Option<(Token, Token)>,
}

impl State {
    /// Applies one edit; an edit that contradicts the state is an error that says how.
    pub(crate) fn apply(&mut self, edit: &Edit) -> Result<(), &'static str> {
        match edit {
            Edit::Instance(instance) => self.instance = *instance,
            Edit::CreateTable { table, keyspace, position } => {
                if self.tables.contains_key(table) || self.dropped.contains_key(table) {
                    return Err("a table is created twice");
                }
                let state = TableState {
                    keyspace: *keyspace,
                    created: *position,
                    truncated: LogPosition(0),
                    covered: IntervalSet::default(),
                    sstables: BTreeMap::new(),
                    set_aside: BTreeSet::new(),
                };
                self.tables.insert(*table, state);
            }
            Edit::DropTable { table, position } => {
                self.tables.remove(table);
                self.dropped.insert(*table, *position);
            }
            Edit::TruncateTable { table, position, sstables } => {
                let state = self.table(table)?;
                state.truncated = state.truncated.max(*position);
                state.covered.insert(LogPosition(0), *position);
                for id in sstables {
                    state.sstables.remove(id).ok_or("an unknown SSTable is truncated")?;
                }
            }
            Edit::AddSsTable { table, id, file_bytes } => {
                let sstable = SsTableState { file_bytes: *file_bytes, tokens: None };
                let added = self.table(table)?.sstables.insert(*id, sstable);
                if added.is_some() {
                    return Err("an SSTable is added twice");
                }
            }
            Edit::RemoveSsTable { table, id } => {
                let removed = self.table(table)?.sstables.remove(id);
                removed.ok_or("an unknown SSTable is removed")?;
            }
            Edit::Tokens { table, id, first, last } => {
                let sstable = self.table(table)?.sstables.get_mut(id);
                sstable.ok_or("the tokens of an unknown SSTable are noted")?.tokens =
                    Some((*first, *last));
            }
            // A snapshot has only the outcome: then it is not there to be removed.
            Edit::SetAside { table, id } => {
                let table = self.table(table)?;
                table.sstables.remove(id);
                table.set_aside.insert(*id);
            }
            Edit::Covered { table, start, end } => {
                self.table(table)?.covered.insert(*start, *end);
            }
            Edit::ReserveIds { next } => self.reserved = self.reserved.max(*next),
            Edit::Time { seconds } => self.time = self.time.max(*seconds),
            Edit::LogFounded => self.has_log = true,
            Edit::LogClosed { files } => self.log_files.clone_from(files),
            Edit::LogGaps { positions } => self.log_gaps.clone_from(positions),
            Edit::LogDurable { position } => self.log_durable = self.log_durable.max(*position),
        }
        Ok(())
    }

    fn table(&mut self, table: &TableId) -> Result<&mut TableState, &'static str> {
        self.tables.get_mut(table).ok_or("an unknown table is changed")
    }

    /// Edits that build this state from nothing.
    pub(crate) fn snapshot(&self) -> Vec<Edit> {
        let mut edits = vec![
            Edit::Instance(self.instance),
            Edit::ReserveIds { next: self.reserved },
            Edit::Time { seconds: self.time },
        ];
        if self.has_log {
            edits.push(Edit::LogFounded);
            edits.push(Edit::LogDurable { position: self.log_durable });
            edits.push(Edit::LogClosed { files: self.log_files.clone() });
            edits.push(Edit::LogGaps { positions: self.log_gaps.clone() });
        }
        for (&table, state) in &self.tables {
            let (keyspace, position) = (state.keyspace, state.created);
            edits.push(Edit::CreateTable { table, keyspace, position });
            if state.truncated > LogPosition(0) {
                let position = state.truncated;
                edits.push(Edit::TruncateTable { table, position, sstables: Vec::new() });
            }
            for (start, end) in state.covered.iter() {
                edits.push(Edit::Covered { table, start, end });
            }
            for (&id, &SsTableState { file_bytes, tokens }) in &state.sstables {
                edits.push(Edit::AddSsTable { table, id, file_bytes });
                let noted = tokens.map(|(first, last)| Edit::Tokens { table, id, first, last });
                edits.extend(noted);
            }
            edits.extend(state.set_aside.iter().map(|&id| Edit::SetAside { table, id }));
        }
        for (&table, &position) in &self.dropped {
            edits.push(Edit::DropTable { table, position });
        }
        edits
    }

    /// The largest log position that anything here remembers.
    pub(crate) fn last_position(&self) -> LogPosition {
        let tables = self.tables.values().map(|table| {
            let covered = table.covered.iter().map(|(_, end)| end).max().unwrap_or_default();
            covered.max(table.truncated).max(table.created)
        });
        let all = tables.chain(self.dropped.values().copied()).chain([self.log_durable]);
        all.max().unwrap_or_default()
    }

    /// Whether replay must leave out the part for `table` of records within `(start, end)`.
    pub(crate) fn covers(&self, table: TableId, start: LogPosition, end: LogPosition) -> bool {
        match self.tables.get(&table) {
            Some(state) => state.covered.covers(start, end),
            None => self.dropped.contains_key(&table),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: TableId = TableId(1);

    fn state(edits: &[Edit]) -> State {
        let mut state = State::default();
        edits.iter().for_each(|edit| state.apply(edit).unwrap());
        state
    }

    fn create() -> Edit {
        Edit::CreateTable { table: TABLE, keyspace: KeyspaceId(1), position: LogPosition(5) }
    }

    fn add(n: u8) -> Edit {
        Edit::AddSsTable { table: TABLE, id: SsTableId([n; 16]), file_bytes: 10 }
    }

    #[test]
    fn a_snapshot_rebuilds_the_state() {
        let whole = state(&[
            Edit::Instance([3; 8]),
            Edit::ReserveIds { next: 7 },
            Edit::Time { seconds: 99 },
            Edit::LogFounded,
            Edit::LogDurable { position: LogPosition(4711) },
            Edit::LogClosed { files: vec!["segment".to_owned()] },
            Edit::LogGaps { positions: BTreeSet::from([LogPosition(3)]) },
            create(),
            add(1),
            add(2),
            add(3),
            Edit::Tokens {
                table: TABLE,
                id: SsTableId([2; 16]),
                first: Token(-4),
                last: Token(i64::MAX),
            },
            Edit::SetAside { table: TABLE, id: SsTableId([3; 16]) },
            Edit::TruncateTable {
                table: TABLE,
                position: LogPosition(50),
                sstables: vec![SsTableId([1; 16])],
            },
            Edit::Covered { table: TABLE, start: LogPosition(60), end: LogPosition(70) },
            Edit::DropTable { table: TableId(2), position: LogPosition(3) },
        ]);
        assert_eq!(state(&whole.snapshot()), whole);
    }

    #[test]
    fn contradictions_are_refused() {
        let mut state = state(&[create(), add(1)]);
        assert!(state.apply(&create()).is_err());
        assert!(state.apply(&add(1)).is_err());
        let remove = Edit::RemoveSsTable { table: TABLE, id: SsTableId([9; 16]) };
        assert!(state.apply(&remove).is_err());
        let drop = Edit::DropTable { table: TABLE, position: LogPosition(9) };
        state.apply(&drop).unwrap();
        assert!(state.apply(&create()).is_err());
    }

    #[test]
    fn truncation_covers_all_that_came_before() {
        let mut state = state(&[create()]);
        let position = LogPosition(50);
        state.apply(&Edit::TruncateTable { table: TABLE, position, sstables: Vec::new() }).unwrap();
        assert!(state.covers(TABLE, LogPosition(10), LogPosition(50)));
        assert!(!state.covers(TABLE, LogPosition(40), LogPosition(51)));
        assert!(!state.covers(TableId(9), LogPosition(0), LogPosition(1)));
    }
}
