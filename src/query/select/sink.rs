//! Takes the rows that a read finds: filters, counts, groups, and writes them to the answer.

use cql_lite::wire::{RESPONSE_BYTES_MAX, ResponseWriter};
use helenus_platform::random::Random;
use helenus_storage::model::{PartitionKey, RowRef, Slice};
use helenus_storage::{Flow, Sink};

use cql_lite::types::functions::aggregates::Aggregate;

use crate::error::Result;
use crate::query::restriction::RowFilter;
use crate::query::row::CurrentRow;

use super::SelectPlan;
use super::evaluate::{BoundTerms, Evaluator};
use super::selector::Selector;
use super::sort::Sorter;

/// Limits of a running SELECT; `u64::MAX` for none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Rows (or groups) that LIMIT still allows.
    pub(super) rows: u64,
    /// Rows (or groups) of one partition.
    pub(super) per_partition: u64,
    /// Rows (or groups) on this page.
    pub(super) page: u64,
    /// Bytes past which no further row begins, and which an answer without pages may not have.
    pub(super) bytes: u64,
    /// The page ends when it has so many bytes.
    pub(super) page_bytes: usize,
}

impl Limits {
    /// Whether the answer, which is complete or not, has more bytes than it may have. A page
    /// holds at least one row, however large.
    pub(super) fn are_exceeded(&self, writer: &ResponseWriter<'_>) -> bool {
        self.page == u64::MAX && writer.body_bytes() as u64 > self.bytes
    }
}

/// What a running SELECT knows between two calls of the read.
pub(super) struct Progress {
    pub(super) current: CurrentRow,
    pub(super) filters: Vec<RowFilter>,
    pub(super) terms: BoundTerms,
    pub(super) limits: Limits,
    pub(super) accumulators: Vec<Aggregate>,
    pub(super) sorter: Sorter,
    /// Rows (or groups) on this page so far.
    pub(super) emitted: u64,
    /// Rows (or groups) of the current partition so far, earlier pages included.
    pub(super) in_partition: u64,
    /// Whether the current partition has shown a row on this page.
    pub(super) partition_has_rows: bool,
    /// The partition that the read is in.
    pub(super) key: Option<PartitionKey>,
    /// The last row, or partition, that went into the answer: where the next page goes on.
    pub(super) last: Option<(PartitionKey, Option<Slice>)>,
    /// Rows of `last`'s partition that went into answers.
    pub(super) last_in_partition: u64,
    /// The first row of the current group, with its bytes.
    pub(super) first_of_group: (CurrentRow, Vec<u8>),
    /// The values that are equal within the current group, and whether there is a group.
    pub(super) group: Option<Vec<Option<Vec<u8>>>>,
    /// Another row exists beyond the page.
    pub(super) more: bool,
    /// LIMIT is reached.
    pub(super) limit_reached: bool,
    /// Rows that were read, whether they went into the answer or not.
    pub(super) rows_read: u64,
    /// The answer would have more bytes than it may.
    pub(super) is_too_large: bool,
    pub(super) failure: Option<crate::error::Error>,
}

/// The sink of one call of the read.
pub(super) struct RowSink<'a, 'w> {
    pub(super) plan: &'a SelectPlan,
    pub(super) progress: &'a mut Progress,
    pub(super) writer: &'a mut ResponseWriter<'w>,
    pub(super) now: i64,
    pub(super) now_seconds: i64,
    pub(super) random: &'a dyn Random,
}

impl Sink for RowSink<'_, '_> {
    fn partition(&mut self, key: &PartitionKey, static_row: Option<RowRef<'_>>) -> Flow {
        let result = self.enter_partition(key, static_row);
        self.flow(result)
    }

    fn row(&mut self, position: &[u8], row: RowRef<'_>) -> Flow {
        let result = self.take_row(position, row);
        self.flow(result)
    }

    fn end_partition(&mut self) -> Flow {
        let result = self.leave_partition();
        self.flow(result)
    }
}

impl RowSink<'_, '_> {
    fn flow(&mut self, result: Result<Flow>) -> Flow {
        match result {
            Ok(flow) => flow,
            Err(error) => {
                self.progress.failure = Some(error);
                Flow::Stop
            }
        }
    }

    fn enter_partition(
        &mut self,
        key: &PartitionKey,
        static_row: Option<RowRef<'_>>,
    ) -> Result<Flow> {
        let progress = &mut *self.progress;
        progress.current.enter(&self.plan.shape, key, static_row)?;
        let resumed = progress.last.as_ref().is_some_and(|(last, _)| last == key);
        if !resumed {
            progress.in_partition = 0;
        }
        progress.key = Some(key.clone());
        progress.rows_read += u64::from(static_row.is_some());
        progress.partition_has_rows = resumed;
        if !self.plan.distinct {
            return Ok(Flow::Continue);
        }
        progress.partition_has_rows = true;
        self.offer(None, &[])
    }

    fn take_row(&mut self, position: &[u8], row: RowRef<'_>) -> Result<Flow> {
        self.progress.partition_has_rows = true;
        self.progress.rows_read += 1;
        self.progress.current.step(&self.plan.shape, position, row)?;
        self.offer(Some(position), row.bytes())
    }

    fn leave_partition(&mut self) -> Result<Flow> {
        let lone_static =
            !self.progress.partition_has_rows && self.plan.restrictions.asks_whole_partitions();
        if lone_static {
            self.progress.current.leave_row(&self.plan.shape);
            return self.offer(None, &[]);
        }
        Ok(Flow::Continue)
    }

    fn passes(&self, row: &[u8]) -> Result<bool> {
        let progress = &*self.progress;
        for filter in &progress.filters {
            let value = progress.current.value(&self.plan.shape, row, filter.column);
            if !filter.passes(value)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A row that exists: takes it into the answer if it passes and there is room.
    fn offer(&mut self, position: Option<&[u8]>, row: &[u8]) -> Result<Flow> {
        if !self.passes(row)? {
            return Ok(Flow::Continue);
        }
        if self.plan.aggregates.is_some() {
            return self.offer_to_group(position, row);
        }
        if let Some(flow) = self.full() {
            return Ok(flow);
        }
        if !self.emit(row)? {
            return Ok(Flow::Stop);
        }
        if self.progress.limits.are_exceeded(self.writer) {
            self.progress.is_too_large = true;
            return Ok(Flow::Stop);
        }
        self.count(position);
        Ok(self.after_row())
    }

    /// Whether there is no room for another row (or group).
    fn full(&mut self) -> Option<Flow> {
        let progress = &mut *self.progress;
        if progress.emitted >= progress.limits.rows {
            progress.limit_reached = true;
            return Some(Flow::Stop);
        }
        if progress.in_partition >= progress.limits.per_partition {
            return Some(Flow::NextPartition);
        }
        let page_is_long = || self.writer.body_bytes() >= progress.limits.page_bytes;
        let is_paged = progress.limits.page != u64::MAX;
        if progress.emitted >= progress.limits.page
            || (is_paged && progress.emitted > 0 && page_is_long())
        {
            progress.more = true;
            return Some(Flow::Stop);
        }
        if self.writer.body_bytes() as u64 > progress.limits.bytes {
            progress.is_too_large = true;
            return Some(Flow::Stop);
        }
        None
    }

    fn count(&mut self, position: Option<&[u8]>) {
        let progress = &mut *self.progress;
        progress.emitted += 1;
        progress.in_partition += 1;
        self.remember(position);
    }

    /// The next page goes on after this row.
    fn remember(&mut self, position: Option<&[u8]>) {
        let progress = &mut *self.progress;
        if progress.limits.page == u64::MAX {
            return;
        }
        progress.last_in_partition = progress.in_partition;
        if let Some(key) = &progress.key {
            progress.last = Some((key.clone(), position.map(Slice::copy)));
        }
    }

    /// Stops as soon as nothing more can come.
    fn after_row(&mut self) -> Flow {
        let progress = &mut *self.progress;
        if progress.emitted >= progress.limits.rows {
            progress.limit_reached = true;
            return Flow::Stop;
        }
        if progress.in_partition >= progress.limits.per_partition {
            return Flow::NextPartition;
        }
        Flow::Continue
    }

    fn offer_to_group(&mut self, position: Option<&[u8]>, row: &[u8]) -> Result<Flow> {
        let group = self.group_of(row);
        if self.progress.group.as_ref() != Some(&group) {
            if self.progress.group.is_some() {
                self.end_group()?;
                if self.progress.is_too_large {
                    return Ok(Flow::Stop);
                }
            }
            if let Some(flow) = self.full() {
                return Ok(flow);
            }
            self.progress.in_partition += 1;
            self.begin_group(group, row)?;
        }
        self.accumulate(row)?;
        self.remember(position);
        Ok(Flow::Continue)
    }

    fn group_of(&self, row: &[u8]) -> Vec<Option<Vec<u8>>> {
        let columns = self.plan.aggregates.as_ref().and_then(|a| a.group_by.as_ref());
        let value = |column: &crate::query::restriction::ColumnRef| {
            let value = self.progress.current.value(&self.plan.shape, row, *column);
            value.map(<[u8]>::to_vec)
        };
        columns.map(|columns| columns.iter().map(value).collect()).unwrap_or_default()
    }

    fn begin_group(&mut self, group: Vec<Option<Vec<u8>>>, row: &[u8]) -> Result<()> {
        self.progress.group = Some(group);
        self.progress.accumulators = self.plan.start_aggregates();
        // Outputs that are no aggregates show the group's first row.
        self.progress.first_of_group = (self.progress.current.clone(), row.to_vec());
        Ok(())
    }

    fn accumulate(&mut self, row: &[u8]) -> Result<()> {
        let mut accumulators = std::mem::take(&mut self.progress.accumulators);
        let evaluator = self.evaluator(row, &[]);
        let result = accumulate_all(&self.plan.outputs, &evaluator, &mut accumulators);
        self.progress.accumulators = accumulators;
        result
    }

    /// Writes the group that ends.
    pub(super) fn end_group(&mut self) -> Result<()> {
        self.progress.group = None;
        let (current, row) = std::mem::take(&mut self.progress.first_of_group);
        let evaluator =
            Evaluator { current: &current, ..self.evaluator(&row, &self.progress.accumulators) };
        let Some(cells) = cells_of(self.plan, &evaluator)? else {
            self.progress.is_too_large = true;
            return Ok(());
        };
        write_cells(self.plan, self.writer, &cells)?;
        self.progress.is_too_large = self.progress.limits.are_exceeded(self.writer);
        self.progress.emitted += 1;
        Ok(())
    }

    fn evaluator<'a>(&'a self, row: &'a [u8], aggregates: &'a [Aggregate]) -> Evaluator<'a> {
        Evaluator {
            shape: &self.plan.shape,
            current: &self.progress.current,
            row,
            terms: &self.progress.terms,
            now_seconds: self.now_seconds,
            now: self.now,
            random: self.random,
            aggregates,
        }
    }

    /// Writes the row that the read stands at; false if it is more than any answer can hold,
    /// because the statement selects the same large values many times.
    fn emit(&mut self, row: &[u8]) -> Result<bool> {
        if let (Some(columns), None, None) = (&self.plan.plain, &self.plan.json, &self.plan.sort) {
            for column in columns {
                let value = self.progress.current.value(&self.plan.shape, row, *column);
                self.writer.cell(value);
                if self.writer.body_bytes() > ANSWER_BYTES_MAX {
                    self.progress.is_too_large = true;
                    return Ok(false);
                }
            }
            self.writer.end_row();
            return Ok(true);
        }
        let Some(cells) = cells_of(self.plan, &self.evaluator(row, &[]))? else {
            self.progress.is_too_large = true;
            return Ok(false);
        };
        let Some(sort) = &self.plan.sort else {
            write_cells(self.plan, self.writer, &cells)?;
            return Ok(true);
        };
        let key = |column: &super::sort::SortColumn| {
            let value = self.progress.current.value(&self.plan.shape, row, column.column);
            value.map(<[u8]>::to_vec)
        };
        let keys = sort.iter().map(key).collect();
        self.progress.sorter.push(keys, cells)?;
        Ok(true)
    }
}

/// The most bytes of an answer, one that has begun its last row included.
const ANSWER_BYTES_MAX: usize = 2 * RESPONSE_BYTES_MAX;

/// The values of one row's outputs.
type Cells = Vec<Option<Vec<u8>>>;

/// The outputs' values; none if they are more than any answer can hold.
fn cells_of(plan: &SelectPlan, evaluator: &Evaluator<'_>) -> Result<Option<Cells>> {
    let mut cells = Vec::with_capacity(plan.outputs.len());
    let mut bytes = 0;
    evaluator.all(&plan.outputs, &mut |_, value| {
        bytes += value.as_ref().map_or(0, |value| value.len());
        cells.push(value.filter(|_| bytes <= ANSWER_BYTES_MAX).map(|value| value.into_owned()));
        Ok(())
    })?;
    Ok((bytes <= ANSWER_BYTES_MAX).then_some(cells))
}

/// Writes a row of these outputs, as JSON if that is asked for.
pub(super) fn write_cells(
    plan: &SelectPlan,
    writer: &mut ResponseWriter<'_>,
    cells: &[Option<Vec<u8>>],
) -> Result<()> {
    match &plan.json {
        None => cells.iter().for_each(|cell| writer.cell(cell.as_deref())),
        Some(names) => {
            let mut text = String::from("{");
            let outputs = names.iter().zip(&plan.outputs).zip(cells);
            for (index, ((name, output), cell)) in outputs.enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                text.push_str(&cql_lite::types::text::json::quote(name));
                text.push_str(": ");
                text.push_str(&cql_lite::types::text::json::to_json(
                    &output.ty(),
                    cell.as_deref(),
                )?);
            }
            text.push('}');
            writer.cell(Some(text.as_bytes()));
        }
    }
    writer.end_row();
    Ok(())
}

/// Feeds every aggregate in the outputs with the row that the evaluator stands at.
fn accumulate_all(
    outputs: &[Selector],
    evaluator: &Evaluator<'_>,
    accumulators: &mut [Aggregate],
) -> Result<()> {
    let mut next_term = 0;
    for output in outputs {
        accumulate_in(output, evaluator, accumulators, &mut next_term)?;
    }
    Ok(())
}

fn accumulate_in(
    selector: &Selector,
    evaluator: &Evaluator<'_>,
    accumulators: &mut [Aggregate],
    next_term: &mut usize,
) -> Result<()> {
    match selector {
        Selector::Aggregate { argument, index, .. } => {
            let Some(accumulator) = accumulators.get_mut(*index) else { return Ok(()) };
            let value = match argument {
                None => None,
                Some(argument) => evaluator.value(argument, next_term)?,
            };
            Ok(accumulator.add(value.as_deref())?)
        }
        Selector::Call(call) => call
            .arguments
            .iter()
            .try_for_each(|part| accumulate_in(part, evaluator, accumulators, next_term)),
        Selector::Composite { parts, .. } => parts
            .iter()
            .try_for_each(|part| accumulate_in(part, evaluator, accumulators, next_term)),
        Selector::Field { base, .. } => accumulate_in(base, evaluator, accumulators, next_term),
        Selector::Term { .. } => {
            *next_term += 1;
            Ok(())
        }
        Selector::Element { base, .. } => {
            accumulate_in(base, evaluator, accumulators, next_term)?;
            *next_term += 1;
            Ok(())
        }
        Selector::Slice { base, from, to, .. } => {
            accumulate_in(base, evaluator, accumulators, next_term)?;
            *next_term += usize::from(from.is_some()) + usize::from(to.is_some());
            Ok(())
        }
        Selector::Column { .. } | Selector::Info { .. } => Ok(()),
    }
}
