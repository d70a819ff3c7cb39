//! A scripted workload whose every outcome is known: records that touch two tables, deletions, a
//! truncation, flushes and compactions with writes in between, restarts.
//!
//! After a crash the two tables must show what some first part of the script would have left, at
//! least as much as was promised, and of every record both halves or none.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use helenus_platform::disk::FaultyDisk;
use helenus_storage::model::{
    Cell, ColumnId, Deletion, Liveness, LogPosition, MutationBuilder, PartitionBound, RowBuilder,
    TableId,
};
use helenus_storage::options::PlantedFault;
use helenus_storage::{
    Budget, Durability, Error, JobKind, JobStep, Options, Partitions, ReadCommand, Result,
    TableOptions, Write,
};

use crate::collect::{Cuts, read};
use crate::harness::{Db, KEYSPACE, key, small_options};

/// The table that is truncated on the way.
pub(crate) const FIRST: TableId = TableId(1);
/// The one that is not.
pub(crate) const SECOND: TableId = TableId(2);
/// One that comes and goes.
const PASSING: TableId = TableId(3);

const GRACE_SECONDS: i64 = 100;

/// What the script has asked for, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Put(u32),
    Delete(u32),
    TruncateFirst,
}

/// The script as far as it has come.
pub(crate) struct Script {
    pub(crate) db: Db,
    events: Vec<(Event, Option<LogPosition>)>,
    /// So many of the events were promised to survive what is about to happen.
    promised: usize,
    /// Only the sync of the log promises anything: power may be cut.
    counts_durable: bool,
    next: u32,
}

/// Rows of both tables that a reader finds, by number.
type Rows = (BTreeSet<u32>, BTreeSet<u32>);

impl Script {
    pub(crate) fn new(
        seed: u64,
        durability: Durability,
        power: bool,
        fault: Option<PlantedFault>,
    ) -> Script {
        let options = Options {
            durability,
            segment_bytes: 2 << 10,
            memtable_shards: 1,
            planted_fault: fault,
            ..small_options()
        };
        let table = TableOptions { gc_grace_seconds: GRACE_SECONDS, ..TableOptions::default() };
        let db = Db::new(seed, options, &[(FIRST, table.clone()), (SECOND, table)]);
        let counts_durable = power || durability.answers_when_durable();
        Script { db, events: Vec::new(), promised: 0, counts_durable, next: 0 }
    }

    pub(crate) fn disk(&self) -> &FaultyDisk {
        &self.db.disk
    }

    /// Plays the script to its end, or to the first error.
    pub(crate) fn play(&mut self) -> Result<()> {
        self.db.open()?;
        self.puts(12)?;
        self.job(JobKind::Flush, 3)?;
        self.puts(8)?;
        self.deletes(4)?;
        self.job(JobKind::Flush, 2)?;
        self.db.engine().compact(FIRST)?;
        self.db.engine().compact(SECOND)?;
        self.job(JobKind::Compaction, 4)?;
        self.passing_table()?;
        self.truncate()?;
        self.puts(6)?;
        self.job(JobKind::Flush, 1)?;
        self.puts(3)?;
        self.db.clock.advance(Duration::from_secs(1000));
        self.job(JobKind::Flush, 0)?;
        self.db.engine().compact(SECOND)?;
        self.job(JobKind::Compaction, 0)?;
        self.db.close()?;
        self.db.open()?;
        self.deletes(2)?;
        self.puts(5)
    }

    /// Records without an answer yet, then a turn of the log's job that answers them.
    fn puts(&mut self, count: u32) -> Result<()> {
        for n in 0..count {
            let number = self.next;
            self.next += 1;
            self.write(Event::Put(number))?;
            if n % 3 == 2 {
                self.sync()?;
            }
        }
        self.sync()
    }

    fn deletes(&mut self, count: u32) -> Result<()> {
        for n in 0..count {
            let number = (self.next * 7 + n * 5) % self.next;
            self.write(Event::Delete(number))?;
        }
        self.sync()
    }

    fn write(&mut self, event: Event) -> Result<()> {
        let timestamp = 1000 + self.events.len() as i64;
        let now = self.db.now();
        let mutations = [FIRST, SECOND].map(|table| mutation(table, event, timestamp, now));
        // From here on the record may be there or not.
        self.events.push((event, None));
        match self.db.engine().write(&[&mutations[0], &mutations[1]])? {
            Write::Done { position, .. } => {
                if let Some(last) = self.events.last_mut() {
                    last.1 = Some(position);
                }
                Ok(())
            }
            Write::Full => Err(Error::invalid("the script is too small to fill anything")),
        }
    }

    /// Lets the log's job answer everything, and counts what was promised.
    fn sync(&mut self) -> Result<()> {
        let last = self.events.iter().filter_map(|(_, position)| *position).max();
        let synced = self.db.sync_until(last);
        self.count_promises();
        synced
    }

    fn count_promises(&mut self) {
        let engine = self.db.engine();
        let reached =
            if self.counts_durable { engine.durable_position() } else { engine.answer_position() };
        let kept = self
            .events
            .iter()
            .rposition(|(_, position)| position.is_some_and(|position| position <= reached));
        self.promised = self.promised.max(kept.map_or(0, |index| index + 1));
    }

    /// Runs a job in small slices with a write every so often, so many in all.
    fn job(&mut self, kind: JobKind, writes: u32) -> Result<()> {
        let mut left = writes;
        if kind == JobKind::Flush {
            self.db.engine().flush(None)?;
        }
        while let Some(mut job) = self.db.engine().next_job(kind) {
            loop {
                let step = job.step(&mut Budget::new(4))?;
                self.count_promises();
                if left > 0 {
                    left -= 1;
                    self.puts(1)?;
                }
                match step {
                    JobStep::Again => {}
                    JobStep::Done => break,
                    JobStep::WaitUntil(_) => {
                        self.db.clock.advance(Duration::from_millis(1));
                    }
                }
            }
        }
        Ok(())
    }

    fn truncate(&mut self) -> Result<()> {
        self.events.push((Event::TruncateFirst, None));
        self.db.engine().truncate(FIRST)?;
        self.promised = self.promised.max(self.events.len());
        if self.counts_durable {
            // Truncating makes nothing else durable: what was promised of the rest stays.
            let rest = self.events.iter().rposition(|(_, position)| {
                position.is_some_and(|position| position <= self.db.engine().durable_position())
            });
            let is_all = rest.is_some_and(|rest| rest + 2 >= self.events.len());
            if !is_all {
                self.sync()?;
            }
        }
        Ok(())
    }

    fn passing_table(&mut self) -> Result<()> {
        let engine = self.db.engine().clone();
        engine.create_table(PASSING, KEYSPACE, TableOptions::default())?;
        let mutation = mutation(PASSING, Event::Put(0), 1, self.db.now());
        let Write::Done { position, .. } = engine.write(&[&mutation])? else {
            return Err(Error::invalid("the script is too small to fill anything"));
        };
        self.db.sync_until(Some(position))?;
        engine.drop_table(PASSING)
    }

    /// Opens what the crash has left and compares. What is wrong, if anything is.
    pub(crate) fn verify(&mut self) -> std::result::Result<(), String> {
        self.db.forget();
        self.db.open().map_err(|error| format!("cannot open: {error}"))?;
        let found = self.rows().map_err(|error| format!("cannot read: {error}"))?;
        let outcomes: Vec<Rows> =
            (self.promised..=self.events.len()).map(|count| self.after(count)).collect();
        let is_truncating = (self.promised..self.events.len())
            .any(|index| self.events[index].0 == Event::TruncateFirst);
        let is_right = outcomes.contains(&found)
            // A truncation is durable before the log's records that came before it.
            || is_truncating && found.0.is_empty() && outcomes.iter().any(|o| o.1 == found.1);
        if !is_right {
            return Err(format!(
                "found {found:?}, promised {:?}, at most {:?}",
                outcomes.first(),
                outcomes.last()
            ));
        }
        self.check_alive(&found).map_err(|error| format!("not usable afterwards: {error}"))
    }

    /// The database takes writes, flushes, compacts and opens again.
    fn check_alive(&mut self, found: &Rows) -> Result<()> {
        let mutations =
            [FIRST, SECOND].map(|table| mutation(table, Event::Put(900), 1 << 40, self.db.now()));
        self.db.write(&[&mutations[0], &mutations[1]])?;
        self.db.flush()?;
        self.db.compact()?;
        self.db.close()?;
        self.db.open()?;
        let mut expected = found.clone();
        expected.0.insert(900);
        expected.1.insert(900);
        let rows = self.rows()?;
        if rows != expected {
            return Err(Error::invalid(format!("{rows:?} instead of {expected:?}")));
        }
        Ok(())
    }

    /// What the first `count` events leave.
    fn after(&self, count: usize) -> Rows {
        let (mut first, mut second) = (BTreeSet::new(), BTreeSet::new());
        for (event, _) in &self.events[..count] {
            match event {
                Event::Put(number) => {
                    first.insert(*number);
                    second.insert(*number);
                }
                Event::Delete(number) => {
                    first.remove(number);
                    second.remove(number);
                }
                Event::TruncateFirst => first.clear(),
            }
        }
        (first, second)
    }

    fn rows(&self) -> Result<Rows> {
        Ok((rows_of(&self.db, FIRST)?, rows_of(&self.db, SECOND)?))
    }
}

/// The numbers of all rows of a table; a row must be where and what its number says.
pub(crate) fn rows_of(db: &Db, table: TableId) -> Result<BTreeSet<u32>> {
    let (start, end) = (PartitionBound::Min, PartitionBound::Max);
    let command = ReadCommand::new(table, Partitions::Range { start, end }, db.now());
    let mut rows = BTreeSet::new();
    for partition in read(db.engine(), &command, Cuts::NONE)? {
        for (position, row) in partition.rows {
            let number = u32::from(position[1]) << 8 | u32::from(position[2]);
            assert_eq!(row.cells[0].3.0, value(number), "row {number} has another's value");
            assert_eq!(partition.key, key_of(table, number));
            assert!(rows.insert(number));
        }
    }
    Ok(rows)
}

fn key_of(table: TableId, number: u32) -> helenus_storage::model::PartitionKey {
    key((number % 5 + table.0) as u8)
}

fn value(number: u32) -> Vec<u8> {
    vec![number as u8; 10 + number as usize % 90]
}

fn mutation(table: TableId, event: Event, timestamp: i64, now: i64) -> Vec<u8> {
    let mut row = RowBuilder::new();
    let (Event::Put(number) | Event::Delete(number)) = event else { return Vec::new() };
    let value = value(number);
    if matches!(event, Event::Put(_)) {
        row.liveness(Liveness::new(timestamp));
        row.cell(Cell::live(ColumnId(1), timestamp, &value));
    } else {
        row.deletion(Deletion::new(timestamp, now));
    }
    let key = key_of(table, number);
    let mut mutation = MutationBuilder::new(KEYSPACE, key.as_ref());
    let position = [0x30, (number >> 8) as u8, number as u8, 0x80];
    mutation.table(table).row(&position, &row.finish().unwrap());
    mutation.finish().unwrap()
}
