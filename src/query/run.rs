//! Runs statements: what a step of each kind does, and the answer that it writes.

use std::sync::Arc;

use cql_lite::wire::{BatchKind, Consistency, QueryOptions, ResponseWriter, SchemaChange, Values};
use helenus_storage::model::LogPosition;
use helenus_storage::{BlockList, Budget};

use crate::coordinator::PartitionGuard;
use crate::error::{Error, Result};
use crate::schema::{Change, Schema};
use crate::telemetry::Trace;

use super::bindings::Bindings;
use super::ddl::{self, DdlContext};
use super::describe;
use super::execution::{Request, Step};
use super::guardrails::definition::check_drop_table;
use super::guardrails::statement::{check_modifications, check_select};
use super::modify::{self, Begun, ModifyExecution, ModifyPlan, WriteStatement, WriteTimes};
use super::prepared::{BatchPlan, Plan, Prepared};
use super::select::SelectExecution;
use super::services::Services;

/// A statement, or a batch of them, that is being run.
pub struct Execution {
    state: State,
    /// Present if the client wants to know its steps.
    trace: Option<Arc<Trace>>,
    /// What clients are told of, once the statement is done.
    event: Option<SchemaChange>,
}

enum State {
    Select(Box<SelectExecution>),
    Modify(Box<ModifyExecution>),
    /// Changes the schema, or the data of a whole table: waits for the disk.
    Blocking {
        prepared: Arc<Prepared>,
        keyspace: Option<String>,
        now: i64,
    },
    /// The answer is written; it may leave when the log has reached the position.
    Done(Option<LogPosition>),
}

impl std::fmt::Debug for Execution {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match &self.state {
            State::Select(_) => "Execution(SELECT)",
            State::Modify(_) => "Execution(modification)",
            State::Blocking { .. } => "Execution(schema)",
            State::Done(_) => "Execution(done)",
        })
    }
}

/// How a statement is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Values, consistency, paging.
    pub options: &'a QueryOptions<'a>,
    /// The keyspace in use.
    pub keyspace: Option<&'a str>,
    /// What the client believes the result's columns to be (v5, EXECUTE).
    pub metadata_id: Option<&'a [u8]>,
    /// Present if the client wants to know the steps.
    pub trace: Option<&'a Arc<Trace>>,
}

/// What holds for a batch as a whole.
#[derive(Clone, Copy)]
struct Batched {
    kind: BatchKind,
    timestamp: Option<i64>,
}

/// The moment of a request, in microseconds, and in the seconds that expiry is judged by.
fn moment(services: &Services, options: &QueryOptions<'_>) -> (i64, i64) {
    let now = services.clock.wall_micros();
    let now_seconds = match options.now_in_seconds {
        Some(seconds) => i64::from(seconds),
        None => now.div_euclid(1_000_000),
    };
    (now, now_seconds)
}

impl Execution {
    fn new(state: State) -> Execution {
        Execution { state, trace: None, event: None }
    }

    /// Begins a statement; everything that is borrowed has been used when this returns.
    pub fn begin(
        services: &Services,
        schema: &Schema,
        prepared: &Arc<Prepared>,
        ask: Ask<'_>,
        writer: &mut ResponseWriter<'_>,
    ) -> Result<Execution> {
        let mut execution = Self::begin_untraced(services, schema, prepared, ask, writer)?;
        if let Some(trace) = ask.trace {
            execution.begin_trace(services, trace);
        }
        Ok(execution)
    }

    fn begin_untraced(
        services: &Services,
        schema: &Schema,
        prepared: &Arc<Prepared>,
        ask: Ask<'_>,
        writer: &mut ResponseWriter<'_>,
    ) -> Result<Execution> {
        let (now, now_seconds) = moment(services, ask.options);
        let bindings = Bindings::new(&ask.options.values, &prepared.markers)?;
        match &prepared.plan {
            Plan::Select(plan) => {
                check_read(ask.options.consistency)?;
                let guardrails = &services.guardrails;
                if guardrails.watches_reads {
                    check_select(&guardrails.limits, plan, ask.options.consistency, writer)?;
                }
                let known = ask.metadata_id.is_none_or(|id| id == prepared.metadata_id);
                let request = Request {
                    bindings,
                    options: ask.options,
                    version: writer.version(),
                    now,
                    now_seconds,
                    changed_metadata: (!known).then_some(prepared.metadata_id),
                };
                let encoded = prepared.encoded_columns(request.version);
                let select = SelectExecution::begin(
                    plan,
                    services,
                    schema,
                    &request,
                    encoded,
                    prepared.fingerprint,
                    writer,
                )?;
                Ok(Execution::new(State::Select(Box::new(select))))
            }
            Plan::Modify(plan) => {
                let statement = WriteStatement { plan: Arc::clone(plan), bindings };
                let statements = std::slice::from_ref(&statement);
                Self::write(services, schema, statements, None, ask, writer)
            }
            Plan::Batch(batch) => {
                let statement = |plan: &Arc<ModifyPlan>| WriteStatement {
                    plan: Arc::clone(plan),
                    bindings: bindings.clone(),
                };
                let statements: Vec<WriteStatement<'_>> =
                    batch.statements.iter().map(statement).collect();
                let timestamp = batch.timestamp(&bindings, services, now)?;
                let batched = Some(Batched { kind: batch.kind, timestamp });
                Self::write(services, schema, &statements, batched, ask, writer)
            }
            Plan::Use(name) => {
                if schema.keyspace(name).is_none() {
                    return Err(Error::invalid(format!("Keyspace '{name}' does not exist")));
                }
                writer.set_keyspace(name);
                Ok(Execution::new(State::Done(None)))
            }
            Plan::Describe(describe) => {
                describe::answer(services, schema, ask.keyspace, describe, writer)?;
                Ok(Execution::new(State::Done(None)))
            }
            Plan::Truncate(_) | Plan::Ddl(_) => Ok(Execution::new(State::Blocking {
                prepared: Arc::clone(prepared),
                keyspace: ask.keyspace.map(str::to_owned),
                now,
            })),
        }
    }

    /// Begins a batch of statements, each with its own values.
    pub fn begin_batch(
        services: &Services,
        schema: &Schema,
        kind: BatchKind,
        statements: &[(Arc<Prepared>, Values<'_>)],
        ask: Ask<'_>,
        writer: &mut ResponseWriter<'_>,
    ) -> Result<Execution> {
        let mut planned = Vec::with_capacity(statements.len());
        for (prepared, values) in statements {
            let Plan::Modify(plan) = &prepared.plan else {
                return Err(Error::invalid(
                    "Invalid statement in batch: only UPDATE, INSERT and DELETE statements are \
                     allowed.",
                ));
            };
            let bindings = Bindings::new(values, &prepared.markers)?;
            planned.push(WriteStatement { plan: Arc::clone(plan), bindings });
        }
        let plans: Vec<&ModifyPlan> = planned.iter().map(|s| &*s.plan).collect();
        modify::check_batch(kind, &plans, false)?;
        let batched = Some(Batched { kind, timestamp: None });
        let mut execution = Self::write(services, schema, &planned, batched, ask, writer)?;
        if let Some(trace) = ask.trace {
            execution.begin_trace(services, trace);
        }
        Ok(execution)
    }

    /// Notes what has begun, and keeps the trace for the steps.
    #[cold]
    fn begin_trace(&mut self, services: &Services, trace: &Arc<Trace>) {
        match &self.state {
            State::Select(select) => select.trace_sources(services, trace),
            State::Modify(_) => {
                trace.event("Reading before the write, under the locks of its partitions")
            }
            State::Blocking { .. } => trace.event("Planning the change of the schema on a worker"),
            State::Done(_) => {}
        }
        self.trace = Some(Arc::clone(trace));
    }

    fn write(
        services: &Services,
        schema: &Schema,
        statements: &[WriteStatement<'_>],
        batched: Option<Batched>,
        ask: Ask<'_>,
        writer: &mut ResponseWriter<'_>,
    ) -> Result<Execution> {
        let options = ask.options;
        check_write(statements, options)?;
        let (now, now_seconds) = moment(services, options);
        if services.guardrails.watches_writes {
            let batch = batched.and_then(|batch| batch.timestamp);
            check_modifications(services, statements, batch, options, now, writer)?;
        }
        let timestamp = match batched.and_then(|batch| batch.timestamp).or(options.timestamp) {
            Some(timestamp) => timestamp,
            None => services.timestamps.next(),
        };
        let consistency = options.consistency;
        let times = WriteTimes { timestamp, now, now_seconds, consistency };
        let batch = batched.map(|batch| batch.kind);
        let trace = ask.trace.map(|trace| &**trace);
        let begun = modify::begin(services, schema, statements, batch, times, trace, writer)?;
        Ok(Execution::new(match begun {
            Begun::Done(position) => State::Done(position),
            Begun::Reads(execution) => State::Modify(execution),
        }))
    }

    /// Notes a step, if the client wants to know them.
    pub fn note(&self, activity: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            trace.event(activity());
        }
    }

    /// Goes on, without waiting.
    pub fn step(
        &mut self,
        services: &Services,
        writer: &mut ResponseWriter<'_>,
        budget: &mut Budget,
    ) -> Result<Step> {
        let trace = self.trace.as_deref();
        match &mut self.state {
            State::Select(select) => select.step(services, writer, budget, trace),
            State::Modify(modify) => modify.step(services, writer, budget, trace),
            State::Blocking { .. } => Ok(Step::Block),
            State::Done(position) => Ok(Step::Done { hold: *position }),
        }
    }

    /// Fetches blocks for a read. Waits for the disk.
    pub fn fetch(&mut self, services: &Services, blocks: BlockList) -> Result<()> {
        match &mut self.state {
            State::Select(select) => match select.cursor() {
                Some(cursor) => Ok(services.engine.fetch(blocks, cursor)?),
                None => Ok(()),
            },
            State::Modify(modify) => modify.fetch(services, blocks),
            State::Blocking { .. } | State::Done(_) => Ok(()),
        }
    }

    /// Takes the guard that the last step asked for.
    pub fn locked(&mut self, guard: PartitionGuard) {
        if let State::Modify(modify) = &mut self.state {
            modify.locked(guard);
        }
    }

    /// Does what waits for the disk, and writes the answer.
    pub fn block(&mut self, services: &Services, writer: &mut ResponseWriter<'_>) -> Result<()> {
        let State::Blocking { prepared, keyspace, now } = &self.state else { return Ok(()) };
        let mut planned = None;
        let metadata = &services.metadata;
        match &prepared.plan {
            Plan::Truncate(table) => {
                check_drop_table(&services.guardrails.limits)?;
                let change = Change::Truncate { table: table.id };
                metadata.change(&*services.applier, |_| Ok(vec![change.clone()]))?;
            }
            Plan::Ddl(statement) => {
                let uuid = services.random.uuid_v4();
                metadata.change(&*services.applier, |schema| {
                    let context = DdlContext {
                        keyspace: keyspace.as_deref(),
                        now: *now,
                        uuid,
                        datacenters: &services.datacenters,
                        limits: &services.guardrails.limits,
                    };
                    let plan = ddl::plan(schema, &context, statement)?;
                    let changes = plan.changes.clone();
                    planned = Some(plan);
                    Ok(changes)
                })?;
            }
            _ => {}
        }
        let plan = planned.unwrap_or_default();
        match &plan.event {
            Some(change) => writer.schema_change(change),
            None => writer.void(),
        }
        plan.warnings.iter().for_each(|warning| writer.warn(warning.clone()));
        self.event = plan.event;
        self.state = State::Done(None);
        Ok(())
    }

    /// The change of the schema that clients must be told of, once the statement is done.
    pub fn event(&self) -> Option<&SchemaChange> {
        self.event.as_ref()
    }
}

impl BatchPlan {
    /// USING TIMESTAMP of the batch.
    fn timestamp(
        &self,
        bindings: &Bindings<'_>,
        services: &Services,
        now: i64,
    ) -> Result<Option<i64>> {
        let environment = super::term::Environment::new(bindings, now, &*services.random);
        self.timestamp.as_ref().map_or(Ok(None), |term| modify::timestamp_value(term, &environment))
    }
}

fn check_read(consistency: Consistency) -> Result<()> {
    if consistency == Consistency::Any {
        return Err(Error::invalid("ANY ConsistencyLevel is only supported for writes"));
    }
    Ok(())
}

fn check_write(statements: &[WriteStatement<'_>], options: &QueryOptions<'_>) -> Result<()> {
    if options.consistency.is_serial() {
        return Err(Error::invalid("You must use conditional updates for serializable writes"));
    }
    let counter = statements.iter().map(|s| &s.plan.table).find(|table| table.counter);
    if let Some(table) = counter
        && options.consistency == Consistency::Any
    {
        return Err(Error::invalid(format!(
            "Consistency level ANY is not yet supported for counter table {}",
            table.name
        )));
    }
    let conditional = statements.iter().any(|s| s.plan.is_conditional());
    if conditional && options.serial_consistency.is_some_and(|level| !level.is_serial()) {
        return Err(Error::invalid(
            "Invalid consistency for conditional update. Must be one of SERIAL or LOCAL_SERIAL",
        ));
    }
    Ok(())
}
