//! Prepared statements: parsed, checked and planned once, run many times.

use std::sync::{Arc, OnceLock};

use cql_lite::ast::{self, Modification, Statement};
use cql_lite::parse;
use cql_lite::wire::{BatchKind, ColumnSpec, EncodedColumns, ProtocolVersion};
use md5::{Digest, Md5};

use crate::error::{Error, Result};
use crate::schema::{Schema, Table, TableSource};
use crate::telemetry::Trace;

use super::ddl::{self, keyspace_of};
use super::modify::{
    ModifyPlan, attributes, check_batch, prepare_delete, prepare_insert, prepare_update,
};
use super::select::{self, SelectPlan};
use super::term::{Markers, Term, TermCompiler};

/// The most bytes of a statement's text.
pub const STATEMENT_BYTES_MAX: usize = 16 << 20;

/// What a statement does when it is run.
#[derive(Debug)]
pub(crate) enum Plan {
    Select(Arc<SelectPlan>),
    Modify(Arc<ModifyPlan>),
    Batch(BatchPlan),
    Use(String),
    Truncate(Arc<Table>),
    Describe(ast::Describe),
    /// Planned when it is run, against the schema of that moment.
    Ddl(Box<Statement>),
}

/// A planned `BEGIN BATCH … APPLY BATCH`.
#[derive(Debug)]
pub(crate) struct BatchPlan {
    pub(crate) kind: BatchKind,
    pub(crate) timestamp: Option<Term>,
    /// Their markers are numbered through the whole text.
    pub(crate) statements: Vec<Arc<ModifyPlan>>,
}

/// A statement that is ready to run.
#[derive(Debug)]
pub struct Prepared {
    /// What clients call it: MD5 of keyspace and text.
    pub id: [u8; 16],
    /// The keyspace that was in use when it was prepared.
    pub keyspace: Option<String>,
    /// Its text.
    pub text: Arc<str>,
    /// Its markers.
    pub markers: Vec<ColumnSpec>,
    /// For each component of the partition key the marker that gives it; empty if not all are
    /// given by markers alone.
    pub key_indexes: Vec<u16>,
    /// What the result's columns are called; none for statements without rows.
    pub columns: Option<Vec<ColumnSpec>>,
    /// Names the columns: clients notice by it that they have changed.
    pub metadata_id: [u8; 16],
    pub(crate) plan: Plan,
    /// The version of the schema that it was planned against.
    schema_version: u64,
    /// Which query a paging state belongs to.
    pub(crate) fingerprint: u64,
    encoded: [OnceLock<EncodedColumns>; 3],
}

impl Prepared {
    /// The result's columns in the form of this version.
    pub(crate) fn encoded_columns(&self, version: ProtocolVersion) -> &EncodedColumns {
        let index = match version {
            ProtocolVersion::V3 => 0,
            ProtocolVersion::V4 => 1,
            ProtocolVersion::V5 => 2,
        };
        let columns = self.columns.as_deref().unwrap_or_default();
        #[expect(clippy::indexing_slicing, reason = "three versions, three places")]
        self.encoded[index].get_or_init(|| EncodedColumns::new(columns, version))
    }

    /// What PREPARE answers.
    pub fn answer(&self) -> cql_lite::wire::Prepared {
        cql_lite::wire::Prepared {
            id: self.id.to_vec(),
            result_metadata_id: self.metadata_id.to_vec(),
            bindings: self.markers.clone(),
            key_indexes: self.key_indexes.clone(),
            columns: self.columns.clone(),
        }
    }

    /// Whether the plan still holds under this schema; if not, prepare the text again.
    pub fn is_current(&self, schema: &Schema) -> bool {
        if self.schema_version == schema.version {
            return true;
        }
        let same = |table: &Arc<Table>| {
            schema.table_by_id(table.id).is_some_and(|current| Arc::ptr_eq(current, table))
        };
        match &self.plan {
            Plan::Select(plan) => same(&plan.table),
            Plan::Modify(plan) => same(&plan.table),
            Plan::Batch(batch) => batch.statements.iter().all(|plan| same(&plan.table)),
            Plan::Truncate(table) => same(table),
            Plan::Use(_) | Plan::Describe(_) | Plan::Ddl(_) => true,
        }
    }
}

/// The id of a prepared statement: a pure function of keyspace and text, the same on every node.
pub fn statement_id(keyspace: Option<&str>, text: &str) -> [u8; 16] {
    let mut digest = Md5::new();
    digest.update(keyspace.unwrap_or_default().as_bytes());
    digest.update(text.as_bytes());
    digest.finalize().into()
}

/// Parses a statement.
pub(crate) fn parse_statement(text: &str) -> Result<Statement> {
    if text.len() > STATEMENT_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a statement of {} bytes is over the maximum of {STATEMENT_BYTES_MAX} bytes",
            text.len()
        )));
    }
    parse(text).map_err(|error| Error::syntax(error.to_string()))
}

/// Prepares a statement. `keyspace`: the one in use.
pub fn prepare(
    schema: &Schema,
    keyspace: Option<&str>,
    text: &str,
    trace: Option<&Trace>,
) -> Result<Prepared> {
    if let Some(trace) = trace {
        trace.event(format!("Parsing {text}"));
    }
    let statement = parse_statement(text)?;
    let whole: Arc<str> = text.into();
    if let Some(trace) = trace {
        trace.event("Preparing statement");
    }
    let mut key_indexes = Vec::new();
    let mut markers = Vec::new();
    let mut columns = None;
    let plan = match statement {
        Statement::Select(select) => {
            let table = find_table(schema, keyspace, &select.table)?;
            let mut compiler = TermCompiler::new(schema, &table.keyspace, &table.name);
            let plan = select::prepare(&mut compiler, &table, &select, &whole)?;
            markers = finish(compiler.markers)?;
            key_indexes = plan.key_markers();
            columns = Some(plan.columns.clone());
            Plan::Select(Arc::new(plan))
        }
        Statement::Insert(insert) => modify(
            schema,
            keyspace,
            &Modification::Insert(*insert),
            &mut markers,
            &mut key_indexes,
        )?,
        Statement::Update(update) => modify(
            schema,
            keyspace,
            &Modification::Update(*update),
            &mut markers,
            &mut key_indexes,
        )?,
        Statement::Delete(delete) => modify(
            schema,
            keyspace,
            &Modification::Delete(*delete),
            &mut markers,
            &mut key_indexes,
        )?,
        Statement::Use(name) => Plan::Use(name.name),
        Statement::Truncate(name) => {
            let table = find_table(schema, keyspace, &name)?;
            if table.source == TableSource::View {
                return Err(Error::invalid("Cannot truncate virtual tables"));
            }
            Plan::Truncate(table)
        }
        Statement::Batch(batch) => {
            batch_plan(schema, keyspace, batch, &mut markers, &mut key_indexes)?
        }
        Statement::Describe(describe) => Plan::Describe(describe),
        ddl_statement => {
            debug_assert!(ddl::is_ddl(&ddl_statement));
            Plan::Ddl(Box::new(ddl_statement))
        }
    };
    let id = statement_id(keyspace, text);
    let [a, b, c, d, e, f, g, h, ..] = statement_id(None, text);
    let fingerprint = [a, b, c, d, e, f, g, h].iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    Ok(Prepared {
        id,
        keyspace: keyspace.map(str::to_owned),
        text: whole,
        markers,
        key_indexes,
        metadata_id: metadata_id(columns.as_deref()),
        columns,
        plan,
        schema_version: schema.version,
        fingerprint,
        encoded: [const { OnceLock::new() }; 3],
    })
}

fn finish(markers: Markers) -> Result<Vec<ColumnSpec>> {
    markers.finish()
}

/// Digest of the result's columns: what clients of v5 compare.
fn metadata_id(columns: Option<&[ColumnSpec]>) -> [u8; 16] {
    let mut digest = Md5::new();
    for column in columns.unwrap_or_default() {
        for part in [&column.keyspace, &column.table, &column.name, &column.ty.to_string()] {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
    }
    digest.finalize().into()
}

/// The table that a statement names.
pub(crate) fn find_table(
    schema: &Schema,
    in_use: Option<&str>,
    name: &ast::QualifiedName,
) -> Result<Arc<Table>> {
    let keyspace = keyspace_of(name, in_use)?;
    if schema.keyspace(keyspace).is_none() {
        return Err(Error::invalid(format!("keyspace {keyspace} does not exist")));
    }
    match schema.table(keyspace, name.name.as_str()) {
        Some(table) => Ok(Arc::clone(table)),
        None => Err(Error::invalid(format!("table {} does not exist", name.name.as_str()))),
    }
}

fn modify(
    schema: &Schema,
    keyspace: Option<&str>,
    statement: &Modification,
    markers: &mut Vec<ColumnSpec>,
    key_indexes: &mut Vec<u16>,
) -> Result<Plan> {
    let table = find_table(schema, keyspace, table_name(statement))?;
    let mut compiler = TermCompiler::new(schema, &table.keyspace, &table.name);
    let plan = plan_modification(&mut compiler, &table, statement)?;
    *markers = finish(compiler.markers)?;
    *key_indexes = plan.key_markers();
    Ok(Plan::Modify(Arc::new(plan)))
}

fn table_name(statement: &Modification) -> &ast::QualifiedName {
    match statement {
        Modification::Insert(insert) => &insert.table,
        Modification::Update(update) => &update.table,
        Modification::Delete(delete) => &delete.table,
    }
}

fn batch_plan(
    schema: &Schema,
    keyspace: Option<&str>,
    batch: ast::Batch,
    markers: &mut Vec<ColumnSpec>,
    key_indexes: &mut Vec<u16>,
) -> Result<Plan> {
    let mut all = Markers::default();
    let mut statements = Vec::with_capacity(batch.statements.len());
    for statement in &batch.statements {
        let table = find_table(schema, keyspace, table_name(statement))?;
        let mut compiler = TermCompiler::new(schema, &table.keyspace, &table.name);
        compiler.markers = all;
        statements.push(Arc::new(plan_modification(&mut compiler, &table, statement)?));
        all = compiler.markers;
    }
    let mut compiler = TermCompiler::new(schema, "[batch]", "[batch]");
    compiler.markers = all;
    let (timestamp, ttl) = attributes(&mut compiler, &batch.attributes)?;
    *markers = compiler.markers.finish()?;
    if ttl.is_some() {
        return Err(Error::invalid("Global TTL on the BATCH statement is not supported."));
    }
    let kind = match batch.kind {
        ast::BatchKind::Logged => BatchKind::Logged,
        ast::BatchKind::Unlogged => BatchKind::Unlogged,
        ast::BatchKind::Counter => BatchKind::Counter,
    };
    let plans: Vec<&ModifyPlan> = statements.iter().map(|plan| &**plan).collect();
    check_batch(kind, &plans, timestamp.is_some())?;
    // The first statement's key routes the batch, if all are on one table.
    if let Some((first, rest)) = plans.split_first()
        && rest.iter().all(|plan| plan.table.id == first.table.id)
    {
        *key_indexes = first.key_markers();
    }
    Ok(Plan::Batch(BatchPlan { kind, timestamp, statements }))
}

/// Plans an INSERT, UPDATE or DELETE.
pub(crate) fn plan_modification(
    compiler: &mut TermCompiler<'_>,
    table: &Arc<Table>,
    statement: &Modification,
) -> Result<ModifyPlan> {
    if table.source == TableSource::View {
        return Err(Error::invalid(format!(
            "Modification is not supported by table {}.{}",
            table.keyspace, table.name
        )));
    }
    match statement {
        Modification::Insert(insert) => prepare_insert(compiler, table, insert),
        Modification::Update(update) => prepare_update(compiler, table, update),
        Modification::Delete(delete) => prepare_delete(compiler, table, delete),
    }
}
