//! Runs modifications: those that only write at once, those that read first under the locks of
//! their partitions.

use std::sync::Arc;

use cql_lite::types::CqlType;
use cql_lite::wire::{
    BatchKind, ColumnSpec, Consistency, EncodedColumns, ProtocolVersion, ResponseWriter, WriteType,
};
use helenus_platform::random::Random;
use helenus_storage::model::{KeyspaceId, LogPosition, MutationRef};
use helenus_storage::{BlockList, Budget};

use crate::coordinator::{PartitionGuard, ReplicatedWrite, WriteOptions, Written};
use crate::error::{Error, Result};
use crate::query::bindings::{Bindings, OwnedBindings};
use crate::query::execution::{Step, Waited};
use crate::query::guardrails::read::too_many_tombstones;
use crate::query::guardrails::value::ValueGuard;
use crate::query::restriction::{ColumnRef, find_column};
use crate::query::run::replicated;
use crate::query::services::Services;
use crate::query::term::Environment;
use crate::schema::{Schema, Table};
use crate::telemetry::Trace;

use super::batch::check_size;
use super::condition::Conditions;
use super::limits::check_bytes;
use super::plan::ModifyPlan;
use super::read::{ReadOn, Reads};
use super::view::View;
use super::write::{MutationSet, WriteContext};

/// A statement of a request, with its values.
#[derive(Debug, Clone)]
pub(crate) struct WriteStatement<'a> {
    /// The plan.
    pub(crate) plan: Arc<ModifyPlan>,
    /// The values of its markers.
    pub(crate) bindings: Bindings<'a>,
}

/// What all statements of a request share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteTimes {
    /// The timestamp of writes that bring none: microseconds.
    pub(crate) timestamp: i64,
    /// The moment of the request: microseconds.
    pub(crate) now: i64,
    /// The same in seconds, or what the client wants it to be.
    pub(crate) now_seconds: i64,
    /// The level that is asked for, which errors name.
    pub(crate) consistency: Consistency,
}

/// Modifications that read before they write.
pub(crate) struct ModifyExecution {
    statements: Vec<(Arc<ModifyPlan>, OwnedBindings, KeyspaceId)>,
    batch: Option<BatchKind>,
    times: WriteTimes,
    reads: Reads,
    guard: Option<PartitionGuard>,
    replicas: Replicas,
    version: ProtocolVersion,
}

/// How far the write has come, if it is one for several nodes.
enum Replicas {
    /// Not that far, or on this node alone.
    No,
    /// They have been asked, and the answer waits for them; with the newest position read.
    Asked(LogPosition),
    /// Enough have it, or an error.
    Answered(Result<Option<LogPosition>>, LogPosition),
}

/// How a request of modifications begins.
pub(crate) enum Begun {
    /// It is written, and so is the answer.
    Done(Option<LogPosition>),
    /// Replicas have been asked; the answer is not written.
    Asked(ReplicatedWrite),
    /// It reads first.
    Reads(Box<ModifyExecution>),
}

fn context<'a>(
    environment: &'a Environment<'a>,
    times: WriteTimes,
    services: &'a Services,
    guard: &'a ValueGuard<'a>,
) -> WriteContext<'a> {
    WriteContext {
        environment,
        timestamp: times.timestamp,
        now_seconds: times.now_seconds,
        timestamps: &services.timestamps,
        counter_id: services.counter_id,
        bytes_max: services.engine.write_bytes_max(),
        guard,
    }
}

fn keyspace_of(schema: &Schema, table: &Table) -> Result<KeyspaceId> {
    match schema.keyspace(&table.keyspace) {
        Some(keyspace) => Ok(keyspace.id),
        None => Err(Error::invalid(format!("keyspace {} does not exist", table.keyspace))),
    }
}

/// Begins a request of modifications: writes them at once if they need no reads.
pub(crate) fn begin(
    services: &Services,
    schema: &Schema,
    statements: &[WriteStatement<'_>],
    batch: Option<BatchKind>,
    times: WriteTimes,
    trace: Option<&Trace>,
    writer: &mut ResponseWriter<'_>,
) -> Result<Begun> {
    let random: &dyn Random = &*services.random;
    let guard = ValueGuard::new(&services.guardrails);
    if let ([statement], None) = (statements, batch)
        && statement.plan.is_simple()
    {
        let environment = Environment::new(&statement.bindings, times.now, random);
        let keyspace = keyspace_of(schema, &statement.plan.table)?;
        let context = context(&environment, times, services, &guard);
        let mutation = statement.plan.write_simple(keyspace, &context)?;
        let options = write_options(&statement.plan, None, times, true);
        let written = match &mutation {
            Some(mutation) => Some(write_now(services, &[mutation], options, trace)?),
            None => None,
        };
        guard.into_warnings().into_iter().for_each(|warning| writer.warn(warning));
        return Ok(begun(written, writer));
    }
    let mut reads = Reads::default();
    if !statements.iter().any(|statement| statement.plan.reads()) {
        let mut mutations = MutationSet::default();
        for statement in statements {
            let environment = Environment::new(&statement.bindings, times.now, random);
            let keyspace = keyspace_of(schema, &statement.plan.table)?;
            let context = context(&environment, times, services, &guard);
            statement.plan.write(keyspace, &context, &mut reads, &mut mutations)?;
        }
        let encoded = finish(services, mutations, batch, writer, &|| tables(statements))?;
        let records: Vec<&[u8]> = encoded.iter().map(Vec::as_slice).collect();
        let written = match (records.as_slice(), statements.first()) {
            ([], _) | (_, None) => None,
            (records, Some(first)) => {
                let options = write_options(&first.plan, batch, times, true);
                Some(write_now(services, records, options, trace)?)
            }
        };
        guard.into_warnings().into_iter().for_each(|warning| writer.warn(warning));
        return Ok(begun(written, writer));
    }
    let conditional = statements.iter().any(|statement| statement.plan.conditions.is_some());
    let mut owned = Vec::with_capacity(statements.len());
    for statement in statements {
        let environment = Environment::new(&statement.bindings, times.now, random);
        if conditional {
            check_conditional(&statement.plan, batch.is_some())?;
        }
        if conditional || statement.plan.reads() {
            statement.plan.want(&environment, &mut reads)?;
        }
        let keyspace = keyspace_of(schema, &statement.plan.table)?;
        owned.push((Arc::clone(&statement.plan), statement.bindings.to_owned(), keyspace));
    }
    if conditional && reads.partitions().count() > 1 {
        return Err(Error::invalid("Batch with conditions cannot span multiple partitions"));
    }
    check_place(services, schema, &reads, conditional)?;
    Ok(Begun::Reads(Box::new(ModifyExecution {
        statements: owned,
        batch,
        times,
        reads,
        guard: None,
        replicas: Replicas::No,
        version: writer.version(),
    })))
}

/// Refuses what is to read and write on other nodes in a way that is not built.
fn check_place(
    services: &Services,
    schema: &Schema,
    reads: &Reads,
    conditional: bool,
) -> Result<()> {
    for (id, key) in reads.wanted() {
        let Some(table) = schema.table_by_id(id) else { continue };
        let keyspace = keyspace_of(schema, table)?;
        let coordinator = &services.coordinator;
        match (conditional, table.counter) {
            (true, _) => coordinator.check_conditional(keyspace, &table.keyspace, key.token)?,
            (false, true) => coordinator.check_leader(keyspace, key.token)?,
            (false, false) => coordinator.check_here(keyspace, key.token)?,
        }
    }
    Ok(())
}

/// Conditional statements name one row, or the static row.
fn check_conditional(plan: &ModifyPlan, batch: bool) -> Result<()> {
    let what = if plan.is_deletion() { "deletions" } else { "updates" };
    if plan.has_key_in() {
        return Err(Error::invalid(if batch {
            "Batch with conditions cannot span multiple partitions (you cannot use IN on the \
             partition key)"
                .to_owned()
        } else {
            format!("IN on the partition key is not supported with conditional {what}")
        }));
    }
    if plan.has_clustering_in() {
        return Err(Error::invalid(format!(
            "IN on the clustering key columns is not supported with conditional {what}"
        )));
    }
    Ok(())
}

fn tables<'s>(statements: &'s [WriteStatement<'_>]) -> Vec<&'s Table> {
    statements.iter().map(|statement| &*statement.plan.table).collect()
}

/// The full names of tables, each once.
fn names(tables: &[&Table]) -> Vec<String> {
    let tables = tables.iter();
    let mut names: Vec<String> = tables.map(|t| format!("{}.{}", t.keyspace, t.name)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The mutations as the engine takes them.
fn finish<'t>(
    services: &Services,
    mutations: MutationSet,
    batch: Option<BatchKind>,
    writer: &mut ResponseWriter<'_>,
    tables: &dyn Fn() -> Vec<&'t Table>,
) -> Result<Vec<Vec<u8>>> {
    let partitions = mutations.len();
    let encoded = mutations.finish()?;
    if let Some(kind) = batch {
        check_size(services, kind, &encoded, partitions, &names(&tables()), writer)?;
    }
    let bytes: usize = encoded.iter().map(Vec::len).sum();
    if bytes > services.engine.write_bytes_max() {
        return Err(oversized(services, &encoded, bytes, &tables()));
    }
    Ok(encoded)
}

/// The error for mutations that are too large together; names the largest.
fn oversized(services: &Services, encoded: &[Vec<u8>], bytes: usize, tables: &[&Table]) -> Error {
    let max = services.engine.write_bytes_max();
    let largest = encoded.iter().max_by_key(|mutation| mutation.len());
    let largest = largest.and_then(|mutation| MutationRef::parse(mutation).ok());
    let id = largest.and_then(|mutation| mutation.tables().find_map(|t| Some(t.ok()?.table())));
    let table = tables.iter().find(|table| Some(table.id) == id);
    let refused = largest
        .zip(table)
        .and_then(|(mutation, table)| check_bytes(table, mutation.key().key, bytes, max).err());
    refused.unwrap_or_else(|| Error::invalid(format!("a mutation of {bytes} bytes is over {max}")))
}

/// The answer of what only wrote.
fn begun(written: Option<Written>, writer: &mut ResponseWriter<'_>) -> Begun {
    let position = match written {
        None => None,
        Some(Written::Here(position)) => Some(position),
        Some(Written::Asked(write)) => return Begun::Asked(write),
    };
    writer.void();
    Begun::Done(position)
}

fn write_options(
    plan: &ModifyPlan,
    batch: Option<BatchKind>,
    times: WriteTimes,
    deferred: bool,
) -> WriteOptions {
    let kind = match batch {
        _ if plan.table.counter => WriteType::Counter,
        _ if plan.is_conditional() => WriteType::Cas,
        None => WriteType::Simple,
        Some(BatchKind::Logged) => WriteType::Batch,
        Some(_) => WriteType::UnloggedBatch,
    };
    WriteOptions { consistency: times.consistency, kind, deferred }
}

/// Writes what the connection's own task may leave to itself to write out. A traced write leaves
/// nothing: its answer waits elsewhere.
fn write_now(
    services: &Services,
    records: &[&[u8]],
    options: WriteOptions,
    trace: Option<&Trace>,
) -> Result<Written> {
    match trace {
        None => services.coordinator.write(records, options),
        Some(trace) => write_traced(services, records, options, trace),
    }
}

#[cold]
fn write_traced(
    services: &Services,
    records: &[&[u8]],
    options: WriteOptions,
    trace: &Trace,
) -> Result<Written> {
    let bytes: usize = records.iter().map(|record| record.len()).sum();
    let mutations = records.len();
    trace.event(format!("Appending to commitlog: {mutations} mutations, {bytes} bytes"));
    let options = WriteOptions { deferred: false, ..options };
    let written = services.coordinator.write(records, options)?;
    if let Written::Here(position) = &written {
        trace.event(format!("Added to memtable at log position {}", position.0));
    }
    Ok(written)
}

impl ModifyExecution {
    /// Goes on, without waiting.
    pub(crate) fn step(
        &mut self,
        services: &Services,
        writer: &mut ResponseWriter<'_>,
        budget: &mut Budget,
        trace: Option<&Trace>,
    ) -> Result<Step> {
        match std::mem::replace(&mut self.replicas, Replicas::No) {
            Replicas::No => {}
            Replicas::Asked(newest) => {
                self.replicas = Replicas::Asked(newest);
                return Err(Error::server("a write is stepped while it waits for its replicas"));
            }
            Replicas::Answered(done, newest) => {
                let position = done?;
                self.answer(writer);
                return Ok(Step::Done { hold: position.or(Some(newest)) });
            }
        }
        if self.guard.is_none() {
            self.guard = services.locks.try_lock(self.reads.partitions());
            if self.guard.is_none() {
                let lock = services.locks.lock(self.reads.partitions());
                if let Some(trace) = trace {
                    trace.event("Waiting for the lock of a partition".to_owned());
                }
                return Ok(Step::Wait(Box::pin(async { Waited::Locked(lock.await) })));
            }
        }
        match self.reads.step(services, self.times.now_seconds, budget)? {
            ReadOn::Yield => Ok(Step::Yield),
            ReadOn::TombstoneLimit => Err(too_many_tombstones(services, self.times.consistency)),
            ReadOn::NeedsBlocks(blocks) => Ok(Step::NeedsBlocks(blocks)),
            ReadOn::Complete => {
                let step = self.write(services, writer, trace)?;
                // Of what is replicated, this node's part is written.
                self.guard = None;
                Ok(step)
            }
        }
    }

    /// Takes the locks that were waited for.
    pub(crate) fn locked(&mut self, guard: PartitionGuard) {
        self.guard = Some(guard);
    }

    /// Takes what became of the write on its replicas.
    pub(crate) fn written(&mut self, done: Result<Option<LogPosition>>) {
        if let Replicas::Asked(newest) = self.replicas {
            self.replicas = Replicas::Answered(done, newest);
        }
    }

    /// Fetches blocks for the read under way. Waits for the disk.
    pub(crate) fn fetch(&mut self, services: &Services, blocks: BlockList) -> Result<()> {
        self.reads.fetch(services, blocks)
    }

    fn write(
        &mut self,
        services: &Services,
        writer: &mut ResponseWriter<'_>,
        trace: Option<&Trace>,
    ) -> Result<Step> {
        let conditional = self.statements.iter().any(|(plan, ..)| plan.conditions.is_some());
        if conditional && !self.conditions_hold(services)? {
            if let Some(trace) = trace {
                trace.event("CAS precondition does not match current values");
            }
            self.answer_not_applied(services, writer)?;
            return Ok(Step::Done { hold: Some(self.reads.newest()) });
        }
        if conditional {
            // Given out under the locks: of two conditional writes, the one that comes second has
            // the larger timestamp. What a client brings is for writes without conditions.
            self.times.timestamp = services.timestamps.next();
        }
        let random: &dyn Random = &*services.random;
        let guard = ValueGuard::new(&services.guardrails);
        let mut mutations = MutationSet::default();
        for (plan, bindings, keyspace) in &self.statements {
            let bindings = bindings.borrow();
            let environment = Environment::new(&bindings, self.times.now, random);
            let context = context(&environment, self.times, services, &guard);
            plan.write(*keyspace, &context, &mut self.reads, &mut mutations)?;
        }
        let tables = || self.statements.iter().map(|(plan, ..)| &*plan.table).collect();
        let encoded = finish(services, mutations, self.batch, writer, &tables)?;
        let records: Vec<&[u8]> = encoded.iter().map(Vec::as_slice).collect();
        let newest = self.reads.newest();
        guard.into_warnings().into_iter().for_each(|warning| writer.warn(warning));
        let Some((first, ..)) = self.statements.first().filter(|_| !records.is_empty()) else {
            self.answer(writer);
            return Ok(Step::Done { hold: Some(newest) });
        };
        // Not deferred: this may run on a thread where nobody writes out what it leaves.
        let options = write_options(first, self.batch, self.times, false);
        match write_now(services, &records, options, trace)? {
            Written::Here(position) => {
                self.answer(writer);
                Ok(Step::Done { hold: Some(position) })
            }
            Written::Asked(write) => {
                self.replicas = Replicas::Asked(newest);
                Ok(Step::Wait(replicated(write)))
            }
        }
    }

    /// The answer of what has been written.
    fn answer(&self, writer: &mut ResponseWriter<'_>) {
        if self.statements.iter().any(|(plan, ..)| plan.conditions.is_some()) {
            self.answer_applied(writer);
        } else {
            writer.void();
        }
    }

    fn conditions_hold(&self, services: &Services) -> Result<bool> {
        let random: &dyn Random = &*services.random;
        let mut seen = super::batch::RowConditions::default();
        let mut all = true;
        for (plan, bindings, _) in &self.statements {
            let bindings = bindings.borrow();
            let environment = Environment::new(&bindings, self.times.now, random);
            let Some(key) = plan.keys(&environment)?.pop() else { continue };
            let position = plan.positions(&environment)?.pop();
            seen.add(position.as_deref(), &plan.conditions)?;
            let view = View::new(&plan.table, &self.reads, &key, position.as_deref())?;
            let holds = match &plan.conditions {
                Conditions::None => true,
                Conditions::Exists => view.exists,
                Conditions::NotExists => !view.exists,
                Conditions::Columns(conditions) => {
                    let mut holds = true;
                    for condition in conditions {
                        let value = view.value(condition.column);
                        holds &= condition.holds(value, &environment)?;
                    }
                    holds
                }
            };
            all &= holds;
        }
        Ok(all)
    }

    fn spec(table: &Table, name: &str, ty: CqlType) -> ColumnSpec {
        let (keyspace, table) = (table.keyspace.clone(), table.name.clone());
        ColumnSpec { keyspace, table, name: name.to_owned(), ty }
    }

    fn answer_applied(&self, writer: &mut ResponseWriter<'_>) {
        let Some((plan, ..)) = self.statements.first() else { return };
        let applied = Self::spec(&plan.table, "[applied]", CqlType::Boolean);
        writer.begin_rows(&EncodedColumns::new(&[applied], self.version), false, None);
        writer.cell(Some(&[1]));
        writer.end_row();
        writer.finish_rows(None);
    }

    /// `[applied]: false` with what was found instead.
    fn answer_not_applied(
        &self,
        services: &Services,
        writer: &mut ResponseWriter<'_>,
    ) -> Result<()> {
        let Some((first, bindings, _)) = self.statements.first() else { return Ok(()) };
        let table = &first.table;
        let columns = self.shown_columns(table)?;
        let bindings = bindings.borrow();
        let random: &dyn Random = &*services.random;
        let environment = Environment::new(&bindings, self.times.now, random);
        let key = first.keys(&environment)?.pop();
        let found = key.and_then(|key| Some((self.reads.found(table.id, &key)?, key)));
        let mut specs = vec![Self::spec(table, "[applied]", CqlType::Boolean)];
        let has_rows = found
            .as_ref()
            .is_some_and(|(found, _)| found.static_row.is_some() || !found.rows.is_empty());
        if !has_rows {
            writer.begin_rows(&EncodedColumns::new(&specs, self.version), false, None);
            writer.cell(Some(&[0]));
            writer.end_row();
            writer.finish_rows(None);
            return Ok(());
        }
        for (_, name, ty) in &columns {
            specs.push(Self::spec(table, name, ty.clone()));
        }
        writer.begin_rows(&EncodedColumns::new(&specs, self.version), false, None);
        if let Some((found, key)) = found {
            let mut positions: Vec<Option<&[u8]>> =
                found.rows.keys().map(|position| Some(position.as_slice())).collect();
            if positions.is_empty() {
                positions.push(None);
            }
            for position in positions {
                let view = View::new(table, &self.reads, &key, position)?;
                writer.cell(Some(&[0]));
                columns.iter().for_each(|(column, ..)| writer.cell(view.value(*column)));
                writer.end_row();
            }
        }
        writer.finish_rows(None);
        Ok(())
    }

    /// The columns that an answer shows when conditions do not hold.
    fn shown_columns(&self, table: &Table) -> Result<Vec<(ColumnRef, String, CqlType)>> {
        let mut names: Vec<&str> = Vec::new();
        let exists = self.statements.iter().any(|(plan, ..)| {
            matches!(plan.conditions, Conditions::Exists | Conditions::NotExists)
        });
        if exists {
            names.extend(table.columns().map(|column| column.name.as_str()));
        } else {
            if self.batch.is_some() {
                let keys = table.partition_key.iter().chain(&table.clustering);
                names.extend(keys.map(|column| column.name.as_str()));
            }
            // Conditions on regular columns come before those on static ones.
            let conditions =
                || self.statements.iter().flat_map(|(plan, ..)| plan.conditions.columns());
            for regular in [true, false] {
                for condition in conditions() {
                    let is_regular = condition.column.kind == crate::schema::ColumnKind::Regular;
                    if let Some(column) = column_at(table, condition.column)
                        && is_regular == regular
                        && !names.contains(&column)
                    {
                        names.push(column);
                    }
                }
            }
        }
        let found = names.into_iter().map(|name| {
            let (reference, column) = find_column(table, name)?;
            Ok((reference, column.name.clone(), column.ty.clone()))
        });
        found.collect()
    }
}

fn column_at(table: &Table, column: ColumnRef) -> Option<&str> {
    let list = match column.kind {
        crate::schema::ColumnKind::Static => &table.statics,
        _ => &table.regulars,
    };
    list.get(column.index).map(|column| column.name.as_str())
}
