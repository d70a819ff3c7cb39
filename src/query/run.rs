//! Runs statements: what a step of each kind does, and the answer that it writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use cql_lite::types::text::print_uuid;
use cql_lite::wire::{BatchKind, Consistency, QueryOptions, ResponseWriter, Values};
use helenus_platform::runtime::BoxFuture;
use helenus_storage::model::LogPosition;
use helenus_storage::{BlockList, Budget};

use crate::cluster::change::Change;
use crate::cluster::state::ClusterState;
use crate::coordinator::ReplicatedWrite;
use crate::error::{Error, Result};
use crate::schema::{self, Schema, Table};
use crate::telemetry::Trace;

use super::bindings::Bindings;
use super::ddl::{self, DdlContext, DdlPlan};
use super::describe;
use super::execution::{Request, Step, Waited};
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
}

enum State {
    Select(Box<SelectExecution>),
    Modify(Box<ModifyExecution>),
    /// Waits for replicas; none while it does.
    Write(Option<ReplicatedWrite>),
    /// They have it, or too few have.
    Written(Result<Option<LogPosition>>),
    /// Changes the schema, or the data of a whole table: waits for the cluster.
    Change {
        prepared: Arc<Prepared>,
        keyspace: Option<String>,
        now: i64,
    },
    /// That is done, or failed.
    Changed(Result<Box<DdlPlan>>),
    /// The answer is written; it may leave when the log has reached the position.
    Done(Option<LogPosition>),
}

impl std::fmt::Debug for Execution {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match &self.state {
            State::Select(_) => "Execution(SELECT)",
            State::Modify(_) | State::Write(_) | State::Written(_) => "Execution(modification)",
            State::Change { .. } | State::Changed(_) => "Execution(schema)",
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
        Execution { state, trace: None }
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
            Plan::Truncate(_) | Plan::Ddl(_) => Ok(Execution::new(State::Change {
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
            State::Change { .. } => trace.event("Planning the change of the schema"),
            State::Write(_) => trace.event("Sending the mutations to their replicas"),
            State::Written(_) | State::Changed(_) | State::Done(_) => {}
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
            Begun::Asked(write) => State::Write(Some(write)),
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
            State::Change { prepared, keyspace, now } => {
                let change = change(services, prepared.clone(), keyspace.take(), *now)?;
                Ok(Step::Wait(change))
            }
            State::Changed(_) => self.finish_change(writer),
            State::Write(write) => match write.take() {
                Some(write) => Ok(Step::Wait(replicated(write))),
                None => Err(Error::server("a write is stepped while it waits for its replicas")),
            },
            State::Written(_) => {
                let State::Written(done) = std::mem::replace(&mut self.state, State::Done(None))
                else {
                    return Ok(Step::Yield);
                };
                let hold = done?;
                writer.void();
                Ok(Step::Done { hold })
            }
            State::Done(position) => Ok(Step::Done { hold: *position }),
        }
    }

    /// Fetches blocks for a read. Waits for the disk.
    pub fn fetch(&mut self, services: &Services, blocks: BlockList) -> Result<()> {
        match &mut self.state {
            State::Select(select) => select.fetch(services, blocks),
            State::Modify(modify) => modify.fetch(services, blocks),
            State::Write(_)
            | State::Written(_)
            | State::Change { .. }
            | State::Changed(_)
            | State::Done(_) => Ok(()),
        }
    }

    /// Takes what the last step wanted to wait for.
    pub fn waited(&mut self, waited: Waited) {
        match (waited, &mut self.state) {
            (Waited::Locked(guard), State::Modify(modify)) => modify.locked(guard),
            (Waited::Changed(done), State::Change { .. }) => self.state = State::Changed(done),
            (Waited::Arrived(arrived), State::Select(select)) => select.waited(arrived),
            (Waited::Written(done), State::Modify(modify)) => modify.written(done),
            (Waited::Written(done), State::Write(_)) => self.state = State::Written(done),
            // Nobody waits for these there.
            (
                Waited::Locked(_) | Waited::Changed(_) | Waited::Written(_) | Waited::Arrived(_),
                _,
            ) => {}
        }
    }

    /// Writes the answer of a change that is done.
    fn finish_change(&mut self, writer: &mut ResponseWriter<'_>) -> Result<Step> {
        let State::Changed(done) = std::mem::replace(&mut self.state, State::Done(None)) else {
            return Ok(Step::Yield);
        };
        let plan = done?;
        match &plan.event {
            Some(change) => writer.schema_change(change),
            None => writer.void(),
        }
        plan.warnings.iter().for_each(|warning| writer.warn(warning.clone()));
        Ok(Step::Done { hold: None })
    }
}

/// Waits for the replicas of a write.
pub(super) fn replicated(write: ReplicatedWrite) -> BoxFuture<'static, Waited> {
    Box::pin(async move { Waited::Written(write.outcome().await) })
}

/// Begins to change the schema, or the data of a whole table.
fn change(
    services: &Services,
    prepared: Arc<Prepared>,
    keyspace: Option<String>,
    now: i64,
) -> Result<BoxFuture<'static, Waited>> {
    if matches!(prepared.plan, Plan::Truncate(_)) {
        check_drop_table(&services.guardrails.limits)?;
    }
    let metadata = Arc::clone(&services.metadata);
    let limits = services.guardrails.limits.clone();
    let uuid = services.random.uuid_v4();
    Ok(Box::pin(async move {
        let mut planned = DdlPlan::default();
        let plan = |state: &ClusterState| {
            planned = match &prepared.plan {
                Plan::Truncate(table) => truncate(state, table)?,
                Plan::Ddl(statement) => {
                    let ring = &state.ring;
                    let owned = |(name, nodes): (&str, usize)| (name.to_owned(), nodes);
                    let datacenters: BTreeMap<String, usize> =
                        ring.data_centers().into_iter().map(owned).collect();
                    let context = DdlContext {
                        keyspace: keyspace.as_deref(),
                        now,
                        uuid,
                        datacenters: &datacenters,
                        limits: &limits,
                    };
                    ddl::plan(&state.schema, &context, statement)?
                }
                _ => DdlPlan::default(),
            };
            Ok(planned.changes.iter().cloned().map(Change::from).collect())
        };
        let changed = metadata.change(plan).await;
        Waited::Changed(changed.map(|changed| {
            planned.warnings.extend(changed.behind.iter().map(|host| {
                let host = print_uuid(host);
                format!("The change is decided, but host {host} has not confirmed it yet")
            }));
            Box::new(planned)
        }))
    }))
}

fn truncate(state: &ClusterState, table: &Table) -> Result<DdlPlan> {
    // It may have been dropped while the statement waited for its turn.
    if state.schema.table_by_id(table.id).is_none() {
        return Err(Error::invalid(format!("table {} does not exist", table.name)));
    }
    let changes = vec![schema::Change::Truncate { table: table.id }];
    Ok(DdlPlan { changes, ..DdlPlan::default() })
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
