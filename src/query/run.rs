//! Runs statements: what a step of each kind does, and the answer that it writes.

use std::sync::Arc;

use cql_lite::wire::{QueryOptions, ResponseWriter, SchemaChange};
use helenus_storage::{BlockList, Budget, Write};

use crate::coordinator::PartitionGuard;
use crate::error::{Error, Result};
use crate::schema::{Change, Schema};

use super::bindings::Bindings;
use super::ddl::{self, DdlContext};
use super::execution::{Request, Step};
use super::modify::{ModifyPlan, MutationSet, WriteContext};
use super::prepared::{Plan, Prepared};
use super::select::SelectExecution;
use super::services::Services;

/// A statement that is being run.
pub struct Execution {
    prepared: Arc<Prepared>,
    state: State,
    /// What clients are told of, once the statement is done.
    event: Option<SchemaChange>,
    warnings: Vec<String>,
}

enum State {
    Select(Box<SelectExecution>),
    /// Changes the schema, or the data of a whole table: waits for the disk.
    Blocking {
        keyspace: Option<String>,
        now: i64,
    },
    /// The answer is written; it may leave when the log has reached the position.
    Done(Option<helenus_storage::model::LogPosition>),
}

impl std::fmt::Debug for Execution {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Execution").field("text", &self.prepared.text).finish()
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
}

impl Execution {
    /// Begins a statement; everything that is borrowed has been used when this returns.
    pub fn begin(
        services: &Services,
        schema: &Schema,
        prepared: &Arc<Prepared>,
        ask: Ask<'_>,
        writer: &mut ResponseWriter<'_>,
    ) -> Result<Execution> {
        let now = services.clock.wall_micros();
        let now_seconds = match ask.options.now_in_seconds {
            Some(seconds) => i64::from(seconds),
            None => now.div_euclid(1_000_000),
        };
        let known = ask.metadata_id.is_none_or(|id| id == prepared.metadata_id);
        let request = Request {
            bindings: Bindings::new(&ask.options.values, &prepared.markers)?,
            options: ask.options,
            version: writer.version(),
            now,
            now_seconds,
            changed_metadata: (!known && prepared.returns_rows()).then_some(prepared.metadata_id),
        };
        let state = match &prepared.plan {
            Plan::Select(plan) => {
                let encoded = prepared.encoded_columns(request.version);
                State::Select(Box::new(SelectExecution::begin(
                    plan,
                    services,
                    schema,
                    &request,
                    encoded,
                    prepared.fingerprint,
                    writer,
                )?))
            }
            Plan::Modify(plan) if plan.reads() => {
                return Err(Error::invalid("writes that read first are not supported yet"));
            }
            Plan::Modify(plan) => {
                let position = write(services, schema, plan, &request)?;
                writer.void();
                State::Done(position)
            }
            Plan::Use(name) => {
                if schema.keyspace(name).is_none() {
                    return Err(Error::invalid(format!("Keyspace '{name}' does not exist")));
                }
                writer.set_keyspace(name);
                State::Done(None)
            }
            Plan::Truncate(_) | Plan::Ddl(_) => {
                State::Blocking { keyspace: ask.keyspace.map(str::to_owned), now }
            }
        };
        let prepared = Arc::clone(prepared);
        Ok(Execution { prepared, state, event: None, warnings: Vec::new() })
    }

    /// Goes on, without waiting.
    pub fn step(
        &mut self,
        services: &Services,
        writer: &mut ResponseWriter<'_>,
        budget: &mut Budget,
    ) -> Result<Step> {
        match &mut self.state {
            State::Select(select) => select.step(services, writer, budget),
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
            _ => Ok(()),
        }
    }

    /// Takes the guard that the last step asked for.
    pub fn locked(&mut self, guard: PartitionGuard) {
        drop(guard);
    }

    /// Does what waits for the disk, and writes the answer.
    pub fn block(&mut self, services: &Services, writer: &mut ResponseWriter<'_>) -> Result<()> {
        let State::Blocking { keyspace, now } = &self.state else { return Ok(()) };
        let mut plan = None;
        let metadata = &services.metadata;
        match &self.prepared.plan {
            Plan::Truncate(table) => {
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
                    };
                    let planned = ddl::plan(schema, &context, statement)?;
                    let changes = planned.changes.clone();
                    plan = Some(planned);
                    Ok(changes)
                })?;
            }
            _ => {}
        }
        let plan = plan.unwrap_or_default();
        match &plan.event {
            Some(change) => writer.schema_change(change),
            None => writer.void(),
        }
        plan.warnings.iter().for_each(|warning| writer.warn(warning.clone()));
        self.event = plan.event;
        self.warnings = plan.warnings;
        self.state = State::Done(None);
        Ok(())
    }

    /// The change of the schema that clients must be told of, once the statement is done.
    pub fn event(&self) -> Option<&SchemaChange> {
        self.event.as_ref()
    }
}

/// Writes what a modification that needs no read says.
fn write(
    services: &Services,
    schema: &Schema,
    plan: &ModifyPlan,
    request: &Request<'_>,
) -> Result<Option<helenus_storage::model::LogPosition>> {
    let environment = request.environment(services);
    let context = WriteContext {
        environment: &environment,
        timestamp: match request.options.timestamp {
            Some(timestamp) => timestamp,
            None => services.timestamps.next(),
        },
        now_seconds: request.now_seconds,
        list_moment: request.now,
    };
    let keyspace = schema.keyspace(&plan.table.keyspace).ok_or_else(|| {
        Error::invalid(format!("keyspace {} does not exist", plan.table.keyspace))
    })?;
    let mut mutations = MutationSet::default();
    plan.write(keyspace.id, &context, &mut mutations)?;
    store(services, mutations)
}

/// Hands mutations to the engine.
pub(crate) fn store(
    services: &Services,
    mutations: MutationSet,
) -> Result<Option<helenus_storage::model::LogPosition>> {
    let encoded = mutations.finish()?;
    if encoded.is_empty() {
        return Ok(None);
    }
    let records: Vec<&[u8]> = encoded.iter().map(Vec::as_slice).collect();
    match services.engine.write(&records)? {
        Write::Done { position, .. } => Ok(Some(position)),
        Write::Full => Err(Error::overloaded(
            "memory for writes is exhausted until a flush has ended; try again later",
        )),
    }
}
