//! One worker of COPY FROM: parses a chunk, and keeps its INSERTs under way on its connection.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cql_lite::types::CqlType;
use cql_lite::types::text::json::{Json, from_json, parse_json};
use cql_lite::wire::{
    Batch, BatchBuilder, BatchKind, BatchStatement, BoundValue, ErrorKind, Execute, Prepare,
    Prepared, ProtocolVersion, QueryOptions, Request, Response, ResultBody, StatementSource,
    ValuesBuilder,
};
use helenus_platform::channel::Receiver;

use super::csv::Field;
use super::options::CopyOptions;
use super::{Door, literal};
use crate::cli::shell::connection::Connection;
use crate::cli::shell::failure::Failure;
use crate::cli::shell::wait::within;

/// Bytes that are gathered before they are sent.
const SEND_BYTES: usize = 32 << 10;

/// Whole records of the file.
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
}

/// What the rows of a file become.
pub(super) struct Plan {
    pub(super) statement: String,
    /// For each column of the file, the marker that it is bound to; none for those left out.
    pub(super) places: Vec<Option<usize>>,
    /// The names of the markers' columns.
    pub(super) names: Vec<String>,
    /// Which markers belong to the primary key.
    pub(super) key: Vec<bool>,
    pub(super) counter: bool,
    pub(super) options: CopyOptions,
    pub(super) session_options: QueryOptions<'static>,
}

/// What all workers have come to.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) inserted: AtomicU64,
    pub(super) parse_errors: AtomicU64,
    pub(super) insert_errors: AtomicU64,
    /// Too much went wrong, or the user gave up: nobody goes on.
    pub(super) stop: AtomicBool,
    /// Records that failed, with why, until they are written to the error file.
    pub(super) failed: Mutex<Vec<(Vec<u8>, String)>>,
    /// Why a worker ended early.
    pub(super) fatal: Mutex<Option<Failure>>,
}

impl Tally {
    fn fail(&self, record: &[u8], why: String) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.push((record.to_vec(), why));
    }

    /// What failed since the last time.
    pub(super) fn take_failed(&self) -> Vec<(Vec<u8>, String)> {
        std::mem::take(&mut *self.failed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn end(&self, failure: Failure) {
        self.stop.store(true, Ordering::SeqCst);
        let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
        fatal.get_or_insert(failure);
    }
}

/// A row on its way to the node.
struct Row {
    values: ValuesBuilder,
    /// The serialized partition key, to find rows that can share a batch.
    partition: Vec<u8>,
    record: Range<usize>,
}

struct Sent {
    chunk: Arc<Chunk>,
    rows: Vec<Row>,
    attempts: u32,
}

/// Works on chunks until there are no more.
pub(super) async fn work(plan: &Plan, door: &Door, tally: &Tally, mut chunks: Receiver<Chunk>) {
    let mut worker = match Worker::start(plan, door, tally).await {
        Ok(worker) => worker,
        Err(failure) => return tally.end(failure),
    };
    while let Some(chunk) = chunks.recv().await {
        if tally.stop.load(Ordering::SeqCst) {
            return;
        }
        if let Err(failure) = worker.chunk(Arc::new(chunk)).await {
            return tally.end(failure);
        }
    }
    if let Err(failure) = worker.settle(0).await {
        tally.end(failure);
    }
}

struct Worker<'a> {
    plan: &'a Plan,
    door: &'a Door,
    tally: &'a Tally,
    connection: Connection,
    prepared: Prepared,
    under_way: HashMap<i16, Sent>,
    fields: Vec<Field>,
}

impl<'a> Worker<'a> {
    async fn start(plan: &'a Plan, door: &'a Door, tally: &'a Tally) -> Result<Self, Failure> {
        let mut connection = door.open().await?;
        let prepare = Request::Prepare(Prepare { text: &plan.statement, keyspace: None });
        let body = connection.ask(&prepare, false).await?;
        let Response::Result(ResultBody::Prepared(prepared)) = body.response else {
            return Err(Failure::unexpected(&body.response));
        };
        let (under_way, fields) = (HashMap::new(), Vec::new());
        Ok(Worker { plan, door, tally, connection, prepared, under_way, fields })
    }

    /// Parses the records of a chunk and sends their rows.
    async fn chunk(&mut self, chunk: Arc<Chunk>) -> Result<(), Failure> {
        let mut at = 0;
        let mut run: Vec<Row> = Vec::new();
        while at < chunk.bytes.len() {
            let rest = chunk.bytes.get(at..).unwrap_or_default();
            let (length, row) = self.record(rest);
            let record = at..at + length;
            at += length.max(1);
            match row {
                Ok(Some(mut row)) => {
                    row.record = record;
                    let joins = run.first().is_none_or(|first| first.partition == row.partition);
                    if !joins || run.len() >= self.plan.options.batch_max {
                        self.send(&chunk, std::mem::take(&mut run)).await?;
                    }
                    run.push(row);
                }
                Ok(None) => {}
                Err(problem) => {
                    self.tally.fail(chunk.bytes.get(record).unwrap_or_default(), problem);
                    let errors = self.tally.parse_errors.fetch_add(1, Ordering::Relaxed) + 1;
                    if errors > self.plan.options.parse_errors_max {
                        return Err(too_many("parse", self.plan.options.parse_errors_max));
                    }
                }
            }
        }
        self.send(&chunk, run).await?;
        self.connection.flush().await
    }

    /// Reads one record; the row is none for an empty line.
    fn record(&mut self, bytes: &[u8]) -> (usize, Result<Option<Row>, String>) {
        if self.plan.options.json {
            let end =
                bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
            let line = bytes.get(..end).unwrap_or_default().trim_ascii();
            return (end, if line.is_empty() { Ok(None) } else { self.json_row(line).map(Some) });
        }
        let mut fields = std::mem::take(&mut self.fields);
        let (length, count) = self.plan.options.dialect.read(bytes, &mut fields);
        let read = fields.get(..count).unwrap_or_default();
        let blank = matches!(read, [only] if only.text.is_empty() && !only.quoted)
            && self.plan.places.len() > 1;
        let row = if blank { Ok(None) } else { self.csv_row(read).map(Some) };
        self.fields = fields;
        (length, row)
    }

    fn csv_row(&self, fields: &[Field]) -> Result<Row, String> {
        let wanted = self.plan.places.len();
        if fields.len() != wanted {
            return Err(format!("the row has {} fields instead of {wanted}", fields.len()));
        }
        let mut values = vec![None; self.plan.names.len()];
        let null = self.plan.options.style.null.as_bytes();
        for (field, place) in fields.iter().zip(&self.plan.places) {
            let Some(place) = *place else { continue };
            if !field.quoted && field.text == null {
                continue;
            }
            let text = std::str::from_utf8(&field.text);
            let text = text.map_err(|_| format!("{} is not UTF-8", self.name(place)))?;
            let parsed = literal::parse(&self.plan.options.style, self.ty(place)?, text);
            let parsed = parsed.map_err(|problem| format!("{}: {problem}", self.name(place)))?;
            if let Some(value) = values.get_mut(place) {
                *value = Some(parsed);
            }
        }
        self.row(&values)
    }

    fn json_row(&self, line: &[u8]) -> Result<Row, String> {
        let text = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned())?;
        let json = parse_json(text).map_err(|error| error.message)?;
        let Json::Object(members) = json else {
            return Err("the line is no JSON object".to_owned());
        };
        let mut values = vec![None; self.plan.names.len()];
        for (name, json) in &members {
            let place = self.plan.names.iter().position(|known| known == name);
            let Some(place) = place else {
                if self.plan.options.skip_columns.contains(name) {
                    continue;
                }
                return Err(format!("there is no column {name}"));
            };
            let value = from_json(self.ty(place)?, json);
            let value = value.map_err(|error| format!("{name}: {}", error.message))?;
            if let Some(slot) = values.get_mut(place) {
                *slot = value;
            }
        }
        self.row(&values)
    }

    fn name(&self, place: usize) -> &str {
        self.plan.names.get(place).map_or("?", String::as_str)
    }

    fn ty(&self, place: usize) -> Result<&CqlType, String> {
        let spec = self.prepared.bindings.get(place);
        spec.map(|spec| &spec.ty).ok_or_else(|| "the statement has too few markers".to_owned())
    }

    fn row(&self, values: &[Option<Vec<u8>>]) -> Result<Row, String> {
        let mut builder = ValuesBuilder::positional();
        for (place, value) in values.iter().enumerate() {
            let bound = match value {
                Some(bytes) => BoundValue::Bytes(bytes),
                None if self.plan.key.get(place) == Some(&true) => {
                    return Err(format!(
                        "Cannot insert null value for primary key column '{}'",
                        self.name(place)
                    ));
                }
                // Unset leaves no tombstone, as null would.
                None if self.connection.version() >= ProtocolVersion::V4 => BoundValue::Unset,
                None => BoundValue::Null,
            };
            builder.push(bound).map_err(|error| error.to_string())?;
        }
        let mut partition = Vec::new();
        for index in &self.prepared.key_indexes {
            let value =
                values.get(usize::from(*index)).and_then(Option::as_deref).unwrap_or_default();
            partition.extend_from_slice(&(value.len() as u64).to_be_bytes());
            partition.extend_from_slice(value);
        }
        Ok(Row { values: builder, partition, record: 0..0 })
    }

    /// Sends rows of one partition: as a batch if they are many enough, else one by one.
    async fn send(&mut self, chunk: &Arc<Chunk>, rows: Vec<Row>) -> Result<(), Failure> {
        let batch = rows.len() >= self.plan.options.batch_min.max(2)
            && !self.plan.counter
            && !self.prepared.key_indexes.is_empty();
        if batch {
            return self.queue(Sent { chunk: chunk.clone(), rows, attempts: 1 }).await;
        }
        for row in rows {
            self.queue(Sent { chunk: chunk.clone(), rows: vec![row], attempts: 1 }).await?;
        }
        Ok(())
    }

    async fn queue(&mut self, sent: Sent) -> Result<(), Failure> {
        if self.under_way.len() >= self.plan.options.requests {
            self.settle(self.plan.options.requests / 2).await?;
        }
        let stream = self.encode(&sent)?;
        self.under_way.insert(stream, sent);
        if self.connection.queued_bytes() >= SEND_BYTES {
            self.connection.flush().await?;
        }
        Ok(())
    }

    fn encode(&mut self, sent: &Sent) -> Result<i16, Failure> {
        let options = QueryOptions { page_size: None, ..self.plan.session_options };
        if let [row] = sent.rows.as_slice() {
            let options =
                QueryOptions { values: row.values.values(), skip_metadata: true, ..options };
            let metadata = Some(self.prepared.result_metadata_id.as_slice());
            let execute = Execute { id: &self.prepared.id, result_metadata_id: metadata, options };
            return Ok(self.connection.queue(&Request::Execute(execute), false));
        }
        let mut batch = BatchBuilder::new();
        for row in &sent.rows {
            let source = StatementSource::Prepared(&self.prepared.id);
            let pushed = batch.push(&BatchStatement { source, values: row.values.values() });
            pushed.map_err(|error| Failure::Failed(error.to_string()))?;
        }
        let statements = batch.statements(self.connection.version());
        let batch = Batch { kind: BatchKind::Unlogged, statements, options };
        Ok(self.connection.queue(&Request::Batch(batch), false))
    }

    /// Waits until at most `most` requests are under way.
    async fn settle(&mut self, most: usize) -> Result<(), Failure> {
        self.connection.flush().await?;
        while self.under_way.len() > most {
            let timeout = self.plan.options.page_timeout.max(std::time::Duration::from_secs(60));
            let received =
                within(self.door.runtime.as_ref(), timeout, self.connection.receive()).await;
            let lost = || Failure::lost(format!("no answer within {} s", timeout.as_secs()));
            let (stream, body) = received.unwrap_or_else(|| Err(lost()))?;
            let Some(sent) = self.under_way.remove(&stream) else { continue };
            match body.response {
                Response::Error(error) => {
                    let again = may_be_tried_again(&error.kind) && !self.plan.counter;
                    if again && sent.attempts < self.plan.options.attempts {
                        let sent = Sent { attempts: sent.attempts + 1, ..sent };
                        let stream = self.encode(&sent)?;
                        self.under_way.insert(stream, sent);
                        self.connection.flush().await?;
                    } else {
                        self.refused(&sent, &Failure::Refused(error).to_string())?;
                    }
                }
                _ => drop(self.tally.inserted.fetch_add(sent.rows.len() as u64, Ordering::Relaxed)),
            }
        }
        Ok(())
    }

    fn refused(&self, sent: &Sent, why: &str) -> Result<(), Failure> {
        for row in &sent.rows {
            let record = sent.chunk.bytes.get(row.record.clone()).unwrap_or_default();
            self.tally.fail(record, why.to_owned());
        }
        let rows = sent.rows.len() as u64;
        let errors = self.tally.insert_errors.fetch_add(rows, Ordering::Relaxed) + rows;
        if errors > self.plan.options.insert_errors_max {
            return Err(too_many("insert", self.plan.options.insert_errors_max));
        }
        Ok(())
    }
}

impl Drop for Worker<'_> {
    /// What was under way when the worker ended may or may not have been written: it counts as
    /// failed, so that it is in the error file. An INSERT may be repeated.
    fn drop(&mut self) {
        for sent in self.under_way.values() {
            for row in &sent.rows {
                let record = sent.chunk.bytes.get(row.record.clone()).unwrap_or_default();
                self.tally.fail(record, "the copy ended before it was answered".to_owned());
            }
        }
    }
}

fn too_many(what: &str, most: u64) -> Failure {
    Failure::Failed(format!("Exceeded maximum number of {what} errors {most}"))
}

fn may_be_tried_again(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Overloaded
            | ErrorKind::Bootstrapping
            | ErrorKind::Unavailable { .. }
            | ErrorKind::WriteTimeout { .. }
            | ErrorKind::WriteFailure { .. }
    )
}
