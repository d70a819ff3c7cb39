//! Merges sources into new files, in slices of work: what flush and compaction have in common.

use super::output::Output;
use super::purge::Purge;
use crate::error::{Error, Result};
use crate::model::{
    Deletion, PartitionBound, PartitionHead, PartitionKey, PositionRange, RowRef, Slice,
    Unfiltered, purge_row,
};
use crate::read::{Access, BlockList, Budget, Merge, PartitionWalk, Source, Step, Walk};
use crate::sstable::BlockAccess;

/// A rewriting in progress.
pub(crate) struct Rewrite {
    walk: PartitionWalk,
    merge: Merge,
    pub(crate) output: Output,
    current: Option<Current>,
    /// Everything before this has been rewritten.
    bound: PartitionBound,
    scratch: Vec<u8>,
    /// Rows of which nothing was left.
    pub(crate) dropped: u64,
}

/// The partition that is being rewritten.
struct Current {
    head: PartitionHead,
    purge: Purge,
    /// The output knows of it. A partition of which nothing is left is never begun.
    is_begun: bool,
    /// The range deletion in force in the output.
    open: Deletion,
}

impl Rewrite {
    pub(crate) fn new(sources: Vec<Source>, output: Output) -> Rewrite {
        let mut walk = PartitionWalk::default();
        walk.begin_all(sources);
        Rewrite {
            walk,
            merge: Merge::default(),
            output,
            current: None,
            bound: PartitionBound::Min,
            scratch: Vec::new(),
            dropped: 0,
        }
    }

    /// Rewrites until the budget is spent; whether everything has been rewritten.
    pub(crate) fn step(
        &mut self,
        blocks: &dyn BlockAccess,
        purge_of: &dyn Fn(&PartitionKey) -> Purge,
        budget: &mut Budget,
    ) -> Result<bool> {
        while !budget.is_spent() {
            // Blocks come from an access that waits, so none is ever missing.
            let mut missing = BlockList::default();
            let mut access = Access { blocks, missing: &mut missing };
            if self.current.is_some() {
                let step = self.merge.step(&mut self.walk.sources, &mut access)?;
                self.take(step, budget)?;
                continue;
            }
            budget.spend_row(0);
            match self.walk.open_next(&self.bound, &PartitionBound::Max, &mut access)? {
                Walk::At(head) => self.enter(head, purge_of)?,
                Walk::End => return Ok(true),
                Walk::Missing => return Err(block_missing()),
            }
        }
        Ok(false)
    }

    fn enter(
        &mut self,
        head: PartitionHead,
        purge_of: &dyn Fn(&PartitionKey) -> Purge,
    ) -> Result<()> {
        let purge = purge_of(&head.key);
        self.merge.set_partition_deletion(head.deletion);
        self.walk.start(&PositionRange::whole(), false);
        self.merge.begin(&self.walk.participants, false);
        let static_row = match &head.static_row {
            Some(row) => self.purged(row, head.deletion, &purge)?,
            None => None,
        };
        let deletion = purge.rest(head.deletion);
        let has_head = static_row.is_some() || !deletion.is_none();
        let head = PartitionHead { key: head.key, deletion, static_row };
        let mut current = Current { head, purge, is_begun: false, open: Deletion::NONE };
        if has_head {
            current.begin(&mut self.output)?;
        }
        self.current = Some(current);
        Ok(())
    }

    /// What is left of a row.
    fn purged(&mut self, row: &[u8], covering: Deletion, purge: &Purge) -> Result<Option<Slice>> {
        self.scratch.clear();
        let purges = |timestamp, time| purge.purges(timestamp, time);
        let row = RowRef::parse(row)?;
        let is_left = purge_row(row, covering, purge.now, &purges, &mut self.scratch)?;
        Ok(is_left.then(|| Slice::copy(&self.scratch)))
    }

    fn take(&mut self, step: Step, budget: &mut Budget) -> Result<()> {
        let Some(current) = &mut self.current else { return Ok(()) };
        match step {
            Step::Row => {
                let row = self.merge.row();
                budget.spend_row(row.len());
                self.scratch.clear();
                let purge = current.purge;
                let purges = |timestamp, time| purge.purges(timestamp, time);
                let (row, covering) = (RowRef::parse(row)?, self.merge.covering());
                if purge_row(row, covering, purge.now, &purges, &mut self.scratch)? {
                    let position = self.merge.position().clone();
                    let row = Slice::copy(&self.scratch);
                    current.begin(&mut self.output)?;
                    self.output.push(&Unfiltered::Row { position, row })?;
                } else {
                    self.dropped += 1;
                }
            }
            Step::Marker => {
                budget.spend_row(0);
                let (_, after) = self.merge.marker();
                let (before, after) = (current.open, current.purge.rest(after));
                if before != after {
                    current.begin(&mut self.output)?;
                    current.open = after;
                    let position = self.merge.position().clone();
                    self.output.push(&Unfiltered::Marker { position, before, after })?;
                }
            }
            Step::Missing => return Err(block_missing()),
            Step::End => {
                if current.is_begun {
                    self.output.end_partition()?;
                }
                self.bound = PartitionBound::AfterKey(current.head.key.clone());
                self.current = None;
                self.walk.pass();
            }
        }
        Ok(())
    }
}

/// Must not happen, and must above all not look like the end of the data.
fn block_missing() -> Error {
    Error::invalid("rewriting met a block that it did not wait for")
}

impl Current {
    fn begin(&mut self, output: &mut Output) -> Result<()> {
        if !std::mem::replace(&mut self.is_begun, true) {
            output.partition(&self.head)?;
        }
        Ok(())
    }
}
