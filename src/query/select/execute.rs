//! Runs a planned SELECT: one page of it, in as many steps as it takes.

use std::sync::Arc;

use cql_lite::types::functions::aggregates::Aggregate;
use cql_lite::wire::{Consistency, EncodedColumns, ResponseWriter};
use helenus_platform::codec::Reader;
use helenus_storage::model::{ColumnSet, LogPosition, PartitionKey, PositionRange, Slice, Token};
use helenus_storage::replica::Place;
use helenus_storage::{BlockList, Budget, Cursor, Partitions, Read, ReadCommand, SourceFate};

use crate::config::Guardrails as Limited;
use crate::coordinator::ReadRequested;
use crate::coordinator::read::Arrived;
use crate::error::{Error, Result};
use crate::query::execution::{Request, Step, Waited};
use crate::query::guardrails::read::{large, many_tombstones, too_large, too_many_tombstones};
use crate::query::guardrails::statement::{check_combinations, check_page_size, check_partitions};
use crate::query::restriction::{
    PartitionRestriction, key_of, partition_keys, slices, token_range,
};
use crate::query::row::CurrentRow;
use crate::query::services::Services;
use crate::query::source::{Source, SourceRead, ViewRead};
use crate::query::term::{Bound, Environment, Term};
use crate::schema::{Schema, TableSource};
use crate::telemetry::Trace;

use super::SelectPlan;
use super::evaluate::BoundTerms;
use super::paging::PagingState;
use super::selector::Selector;
use super::sink::{Limits, Progress, RowSink, write_cells};
use super::sort::Sorter;

/// Aggregates are computed in one go; their tombstones are counted as if they were read in pages
/// of so many rows, unless the client says of how many.
const AGGREGATE_PAGE_ROWS: u64 = 10_000;

/// A SELECT that is being run.
pub(crate) struct SelectExecution {
    plan: Arc<SelectPlan>,
    command: ReadCommand,
    source: Source,
    progress: Progress,
    /// Which query it is, for paging states.
    query: u64,
    /// LIMIT of rows that are sorted: all of them are read.
    sort_limit: u64,
    consistency: Consistency,
    /// Where, in rows read, tombstones were last counted from nothing.
    counted_from: u64,
    /// The rows of a page.
    page: u64,
    /// The most tombstones of one page.
    tombstones: u64,
    now: i64,
    now_seconds: i64,
    finished: bool,
}

impl SelectExecution {
    /// Begins: computes what is read, and begins the answer.
    pub(crate) fn begin(
        plan: &Arc<SelectPlan>,
        services: &Services,
        schema: &Schema,
        request: &Request<'_>,
        encoded: &EncodedColumns,
        query: u64,
        writer: &mut ResponseWriter<'_>,
    ) -> Result<SelectExecution> {
        let environment = request.environment(services);
        let mut limits = limits(plan, services, request, &environment)?;
        let sort_limit = limits.rows;
        if plan.sort.is_some() {
            limits.rows = u64::MAX;
        }
        let state = match request.options.paging_state {
            Some(bytes) => Some(PagingState::decode(bytes, plan.table.id, query)?),
            None => None,
        };
        let guardrails = &services.guardrails.limits;
        let page = request.options.page_size.filter(|size| *size > 0).map(i32::unsigned_abs);
        if plan.table.source == TableSource::Stored
            && let Some(page) = page
            && (plan.aggregates.is_some() || sort_limit > u64::from(page))
        {
            let warning = check_page_size(guardrails, &plan.table, u64::from(page))?;
            warning.into_iter().for_each(|warning| writer.warn(warning));
        }
        let command =
            command(plan, request.now_seconds, guardrails.tombstone.fail(), &environment)?;
        check_in(plan, guardrails, &command, writer)?;
        let mut execution = SelectExecution {
            plan: Arc::clone(plan),
            source: Source::Stored(Cursor::new(&command)),
            command,
            progress: progress(plan, limits, &environment)?,
            query,
            sort_limit,
            consistency: request.options.consistency,
            counted_from: 0,
            page: page.map_or(AGGREGATE_PAGE_ROWS, u64::from),
            tombstones: 0,
            now: request.now,
            now_seconds: request.now_seconds,
            finished: false,
        };
        let told = state.as_ref().map_or(0, |state| state.rows_told);
        if let Some(state) = state {
            execution.resume(state);
        }
        let after = execution.progress.last.clone();
        match plan.table.source {
            TableSource::View => execution.open_view(services, schema, after)?,
            TableSource::Stored => execution.open_replicas(services, schema, after, told)?,
        }
        execution.warn(writer);
        let changed = request.new_metadata_id();
        writer.begin_rows(encoded, request.options.skip_metadata, changed);
        Ok(execution)
    }

    fn warn(&self, writer: &mut ResponseWriter<'_>) {
        if self.plan.aggregates.is_none() {
            return;
        }
        match &self.plan.restrictions.partition {
            PartitionRestriction::None => {
                writer.warn("Aggregation query used without partition key");
            }
            partition if partition.has_in() => {
                writer.warn("Aggregation query used on multiple partition keys (IN restriction)");
            }
            _ => {}
        }
    }

    /// Goes on where an earlier page ended.
    fn resume(&mut self, state: PagingState) {
        let key = key_of(&state.key);
        let position = state.position.as_deref().map(Slice::copy);
        let limit = &mut self.progress.limits.rows;
        *limit = (*limit).min(state.limit_left.unwrap_or(u64::MAX));
        self.progress.in_partition = u64::from(state.rows_told);
        self.progress.last_in_partition = u64::from(state.rows_told);
        let cursor = Cursor::resume(key.clone(), position.clone());
        self.source = Source::Stored(cursor.with_rows_told(state.rows_told));
        self.progress.last = Some((key, position));
    }

    /// Reads from several nodes, if the level asks for it or the data is elsewhere.
    fn open_replicas(
        &mut self,
        services: &Services,
        schema: &Schema,
        after: Option<(PartitionKey, Option<Slice>)>,
        told: u32,
    ) -> Result<()> {
        let table = &self.plan.table;
        let Some(keyspace) = schema.keyspace(&table.keyspace) else { return Ok(()) };
        let limits = &self.progress.limits;
        let reversed = self.command.reversed;
        let behind = |(key, at): (PartitionKey, Option<Slice>)| {
            Place::behind(key, at.as_ref(), reversed, told)
        };
        let asked = ReadRequested {
            keyspace: keyspace.id,
            consistency: self.consistency,
            speculative_retry: &table.options.speculative_retry,
            from: after.map(behind),
            // One more shows whether there is another page.
            rows: limits.page.min(limits.rows).saturating_add(1),
        };
        if let Some(read) = services.coordinator.read(&self.command, asked)? {
            self.source = Source::Replicas(read);
        }
        Ok(())
    }

    fn open_view(
        &mut self,
        services: &Services,
        schema: &Schema,
        after: Option<(PartitionKey, Option<Slice>)>,
    ) -> Result<()> {
        let keys = match &self.command.partitions {
            Partitions::One(key) => Some(std::slice::from_ref(key)),
            Partitions::Many(keys) => Some(keys.as_slice()),
            Partitions::Range { .. } => None,
        };
        let rows = services.views.rows(schema, &self.plan.table, keys)?;
        self.source = Source::View(ViewRead::new(&self.plan.table, rows, after)?);
        Ok(())
    }

    /// Reads on until the budget is spent, blocks are missing, or the page is complete.
    pub(crate) fn step(
        &mut self,
        services: &Services,
        writer: &mut ResponseWriter<'_>,
        budget: &mut Budget,
        trace: Option<&Trace>,
    ) -> Result<Step> {
        let read = if self.finished {
            SourceRead::Ended(Read::Done)
        } else {
            let mut sink = RowSink {
                plan: &self.plan,
                progress: &mut self.progress,
                writer,
                now: self.now,
                now_seconds: self.now_seconds,
                random: &*services.random,
            };
            let engine = &services.engine;
            self.source.read(engine, &self.command, &mut sink, budget, self.consistency)?
        };
        if let Some(error) = self.progress.failure.take() {
            return Err(error);
        }
        if self.progress.is_too_large {
            return Err(self.too_large(services));
        }
        self.count_tombstones();
        let read = match read {
            SourceRead::Ended(read) => read,
            SourceRead::Wait(arrived) => {
                return Ok(Step::Wait(Box::pin(async { Waited::Arrived(arrived.await) })));
            }
        };
        match read {
            Read::Yield => Ok(Step::Yield),
            Read::NeedsBlocks(blocks) => Ok(Step::NeedsBlocks(blocks)),
            Read::TombstoneLimit => Err(too_many_tombstones(services, self.consistency)),
            Read::Done | Read::Stopped => {
                self.finished = true;
                self.finish(services, writer)?;
                if let Some(trace) = trace {
                    self.trace_end(trace);
                }
                Ok(Step::Done { hold: self.newest() })
            }
        }
    }

    /// Notes what the read will look at.
    pub(crate) fn trace_sources(&self, services: &Services, trace: &Trace) {
        let table = &self.plan.table;
        let name = format!("{}.{}", table.keyspace, table.name);
        if table.source == TableSource::View {
            return trace.event(format!("Computing {name} from live state"));
        }
        trace.event(match &self.command.partitions {
            Partitions::One(_) => format!("Executing single-partition query on {name}"),
            Partitions::Many(keys) => {
                format!("Executing query of {} partitions on {name}", keys.len())
            }
            Partitions::Range { .. } => {
                format!("Executing seq scan across a token range of {name}")
            }
        });
        let Ok(survey) = services.engine.survey(&self.command) else { return };
        for (sstable, fate) in &survey.sstables {
            match fate {
                SourceFate::Read => {}
                SourceFate::SkippedByKey => {
                    trace.event(format!("Key range allows skipping sstable {sstable}"));
                }
                SourceFate::SkippedByFilter => {
                    trace.event(format!("Bloom filter allows skipping sstable {sstable}"));
                }
                SourceFate::SkippedByPosition => {
                    trace.event(format!("Clustering range allows skipping sstable {sstable}"));
                }
            }
        }
        let read = survey.sstables.iter().filter(|(_, fate)| *fate == SourceFate::Read);
        let read: Vec<&str> = read.map(|(name, _)| name.as_str()).collect();
        trace.event(format!(
            "Merging data from {} memtables and {} sstables {}",
            survey.memtables,
            read.len(),
            read.join(", ")
        ));
    }

    fn trace_end(&self, trace: &Trace) {
        let tombstones = self.source.tombstones();
        let rows = self.progress.emitted;
        trace.event(format!("Returning {rows} rows, having read {tombstones} tombstone cells"));
    }

    /// Fetches blocks. Waits for the disk.
    pub(crate) fn fetch(&mut self, services: &Services, blocks: BlockList) -> Result<()> {
        self.source.fetch(&services.engine, blocks)
    }

    /// Takes what other nodes have answered.
    pub(crate) fn waited(&mut self, arrived: Arrived) {
        self.source.waited(arrived);
    }

    fn newest(&self) -> Option<LogPosition> {
        self.source.newest()
    }

    /// Keeps the most tombstones of a page; an aggregate's pages begin and end here.
    fn count_tombstones(&mut self) {
        self.tombstones = self.tombstones.max(self.source.tombstones());
        let read = self.progress.rows_read;
        if self.plan.aggregates.is_some() && read - self.counted_from >= self.page {
            self.counted_from = read;
            self.source.forget_tombstones();
        }
    }

    /// The token of the partition that the read is in.
    fn token(&self) -> Option<Token> {
        self.source.token()
    }

    fn too_large(&self, services: &Services) -> Error {
        too_large(services, self.consistency, &self.plan.table, self.token())
    }

    fn finish(&mut self, services: &Services, writer: &mut ResponseWriter<'_>) -> Result<()> {
        if let Some(aggregates) = &self.plan.aggregates {
            // Without GROUP BY there is always one group, even of no rows.
            let group_left = self.progress.group.is_some();
            let only_group = aggregates.group_by.is_none() && self.progress.emitted == 0;
            let room = self.progress.emitted < self.progress.limits.rows;
            if (group_left || only_group) && room {
                let mut sink = RowSink {
                    plan: &self.plan,
                    progress: &mut self.progress,
                    writer,
                    now: self.now,
                    now_seconds: self.now_seconds,
                    random: &*services.random,
                };
                sink.end_group()?;
                if self.progress.is_too_large {
                    return Err(self.too_large(services));
                }
            }
        }
        if let Some(sort) = &self.plan.sort {
            let sorter = std::mem::take(&mut self.progress.sorter);
            let limit = usize::try_from(self.sort_limit).unwrap_or(usize::MAX);
            for cells in sorter.finish(sort).into_iter().take(limit) {
                write_cells(&self.plan, writer, &cells)?;
                if self.progress.limits.are_exceeded(writer) {
                    return Err(self.too_large(services));
                }
            }
        }
        let guardrails = &services.guardrails.limits;
        if self.tombstones > guardrails.tombstone.warn() {
            let (rows, text) = (self.progress.rows_read, &self.plan.text);
            writer.warn(many_tombstones(rows, self.tombstones, text, self.token()));
        }
        let warn = guardrails.coordinator_read_size.warn();
        if writer.body_bytes() as u64 > warn {
            writer.warn(large(&self.plan.table, warn, self.token()));
        }
        let state = self.paging_state();
        writer.finish_rows(state.as_deref());
        Ok(())
    }

    fn paging_state(&self) -> Option<Vec<u8>> {
        let progress = &self.progress;
        if !progress.more || progress.limit_reached {
            return None;
        }
        let (key, position) = progress.last.as_ref()?;
        let left = progress.limits.rows;
        let limit_left = (left != u64::MAX).then(|| left.saturating_sub(progress.emitted));
        let state = PagingState {
            table: self.plan.table.id,
            query: self.query,
            key: key.key.to_vec(),
            position: position.as_ref().map(|position| position.to_vec()),
            limit_left,
            rows_told: u32::try_from(progress.last_in_partition).unwrap_or(u32::MAX),
        };
        Some(state.encode())
    }
}

/// The value of a LIMIT.
fn limit_value(term: Option<&Term>, name: &str, environment: &Environment<'_>) -> Result<u64> {
    let Some(term) = term else { return Ok(u64::MAX) };
    match term.evaluate(environment)? {
        Bound::Unset => Ok(u64::MAX),
        Bound::Null => Err(Error::invalid("Invalid null value of limit")),
        Bound::Bytes(bytes) => match Reader::new(&bytes).i32_be() {
            Ok(limit) if limit > 0 => Ok(u64::from(limit.unsigned_abs())),
            Ok(_) => Err(Error::invalid(format!("{name} must be strictly positive"))),
            Err(_) => Err(Error::invalid("Invalid limit value")),
        },
    }
}

fn limits(
    plan: &SelectPlan,
    services: &Services,
    request: &Request<'_>,
    environment: &Environment<'_>,
) -> Result<Limits> {
    let rows = limit_value(plan.limit.as_ref(), "LIMIT", environment)?;
    let per_partition =
        limit_value(plan.per_partition_limit.as_ref(), "PER PARTITION LIMIT", environment)?;
    let mut page = match request.options.page_size {
        Some(size) if size > 0 => u64::from(size.unsigned_abs()),
        _ => u64::MAX,
    };
    if plan.sort.is_some() {
        if page != u64::MAX && page < rows {
            return Err(Error::invalid(
                "Cannot page queries with both ORDER BY and a IN restriction on the partition \
                 key; you must either remove the ORDER BY or the IN and sort client side, or \
                 disable paging for this query",
            ));
        }
        page = u64::MAX;
    }
    // One group needs no pages.
    if plan.aggregates.as_ref().is_some_and(|aggregates| aggregates.group_by.is_none()) {
        page = u64::MAX;
    }
    let bytes = services.guardrails.limits.coordinator_read_size.fail();
    Ok(Limits { rows, per_partition, page, bytes, page_bytes: services.page_bytes_max })
}

fn progress(plan: &SelectPlan, limits: Limits, environment: &Environment<'_>) -> Result<Progress> {
    let filters = plan.restrictions.filters.iter().map(|filter| filter.bind(environment));
    Ok(Progress {
        current: CurrentRow::default(),
        filters: filters.collect::<Result<_>>()?,
        terms: BoundTerms::new(&plan.outputs, environment)?,
        limits,
        accumulators: plan.start_aggregates(),
        sorter: Sorter::default(),
        emitted: 0,
        rows_read: 0,
        in_partition: 0,
        partition_has_rows: false,
        key: None,
        last: None,
        last_in_partition: 0,
        first_of_group: Default::default(),
        group: None,
        more: false,
        limit_reached: false,
        is_too_large: false,
        failure: None,
    })
}

fn collect_aggregates(selector: &Selector, found: &mut Vec<(usize, Aggregate)>) {
    match selector {
        Selector::Aggregate { function, index, .. } => found.push((*index, function.start())),
        Selector::Call(call) => {
            call.arguments.iter().for_each(|part| collect_aggregates(part, found));
        }
        Selector::Composite { parts, .. } => {
            parts.iter().for_each(|part| collect_aggregates(part, found));
        }
        Selector::Field { base, .. }
        | Selector::Element { base, .. }
        | Selector::Slice { base, .. } => collect_aggregates(base, found),
        Selector::Column { .. } | Selector::Term { .. } | Selector::Info { .. } => {}
    }
}

/// Looks at how much the INs of a SELECT name.
fn check_in(
    plan: &SelectPlan,
    guardrails: &Limited,
    command: &ReadCommand,
    writer: &mut ResponseWriter<'_>,
) -> Result<()> {
    let watched = guardrails.partition_keys_in_select.is_on()
        || guardrails.in_select_cartesian_product.is_on();
    if !watched {
        return Ok(());
    }
    let mut warnings = Vec::new();
    if plan.restrictions.partition.has_in() {
        let count = match &command.partitions {
            Partitions::Many(keys) => keys.len() as u64,
            Partitions::One(_) | Partitions::Range { .. } => 1,
        };
        warnings.push(check_combinations(guardrails, "partition key", count)?);
        warnings.push(check_partitions(guardrails, &plan.table, count)?);
    }
    let mut clustering = plan.restrictions.clustering.iter();
    if clustering.any(|part| !part.is_equal() && !part.is_slice()) {
        let count = command.slices.len() as u64;
        warnings.push(check_combinations(guardrails, "clustering key", count)?);
    }
    warnings.into_iter().flatten().for_each(|warning| writer.warn(warning));
    Ok(())
}

/// What storage is asked for.
fn command(
    plan: &SelectPlan,
    now_seconds: i64,
    tombstones_max: u64,
    environment: &Environment<'_>,
) -> Result<ReadCommand> {
    let restrictions = &plan.restrictions;
    let mut partitions = match &restrictions.partition {
        PartitionRestriction::Keys(parts) => {
            let mut keys = partition_keys(&plan.table, parts, environment)?;
            match keys.len() {
                1 => Partitions::One(keys.swap_remove(0)),
                _ => Partitions::Many(keys),
            }
        }
        other => match token_range(other, environment)? {
            Some((start, end)) => Partitions::Range { start, end },
            None => Partitions::Many(Vec::new()),
        },
    };
    let slices = if restrictions.clustering.is_empty() {
        vec![PositionRange::whole()]
    } else {
        slices(&restrictions.clustering, &plan.table.clustering, environment)?
    };
    // Restrictions that nothing can fulfil select nothing, not even static rows.
    if slices.is_empty() {
        partitions = Partitions::Many(Vec::new());
    }
    let shaped = plan.restrictions.filters.is_empty() && plan.aggregates.is_none();
    let per_partition = match (shaped, &plan.per_partition_limit) {
        (true, Some(term)) => limit_value(Some(term), "PER PARTITION LIMIT", environment)?,
        _ => u64::MAX,
    };
    Ok(ReadCommand {
        table: plan.table.id,
        partitions,
        slices,
        reversed: plan.reversed,
        columns: plan.column_set(),
        now: now_seconds,
        rows_per_partition_max: u32::try_from(per_partition).unwrap_or(u32::MAX),
        distinct: plan.distinct,
        tombstones_max,
    })
}

impl SelectPlan {
    /// All aggregates, over nothing yet.
    pub(super) fn start_aggregates(&self) -> Vec<Aggregate> {
        let mut found = Vec::new();
        self.outputs.iter().for_each(|output| collect_aggregates(output, &mut found));
        found.sort_by_key(|(index, _)| *index);
        found.into_iter().map(|(_, aggregate)| aggregate).collect()
    }

    fn column_set(&self) -> ColumnSet {
        self.shape.column_set()
    }
}
