//! The half that is a node inside this process. It asks the node as a connection would, in the
//! native protocol's own terms and bytes, so that what holds for a client over the network holds
//! here; what the node can answer at once is answered on the calling thread, without a task, a
//! thread or a wake-up between.

mod ask;
mod convert;
mod hold;
mod open;
mod prepared;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use cql_lite::wire::{
    Batch as WireBatch, BatchKind, BatchStatement, Execute, Prepare, Query, QueryOptions, Response,
    ResultBody, StatementSource, Values,
};
use helenus::node::Node;
use helenus::server::{Client, Handler};
use helenus_platform::runtime::{Runtime, TokioRuntime, block_on};

use crate::batch::{Batch, BatchItem};
use crate::bound::Bound;
use crate::error::{Error, ErrorKind, Result};
use crate::options::Settled;
use crate::rows::{Body, Page, PagingState};
use crate::statement::PreparedOf;

pub(crate) use open::{open, open_memory};
pub(crate) use prepared::PreparedHere;

use ask::{Answered, VERSION};
use prepared::wire_columns;

/// The native protocol's code for a statement that must be prepared again.
const UNPREPARED: i32 = 0x2500;

/// A session's node.
pub(crate) struct Embedded {
    handler: Arc<dyn Handler>,
    /// The session as the node sees a connection; replaced by USE.
    client: ArcSwap<Client>,
    /// Who measures timeouts; without it nothing times out.
    timer: Option<Arc<dyn Runtime>>,
    closed: AtomicBool,
    /// Present when the session opened the node itself.
    opened: Option<Opened>,
}

/// What a session opened, and closes.
struct Opened {
    node: Node,
    runtime: Arc<TokioRuntime>,
    /// The data directory; none in memory.
    dir: Option<PathBuf>,
}

impl Embedded {
    fn new(
        handler: Arc<dyn Handler>,
        timer: Option<Arc<dyn Runtime>>,
        opened: Option<Opened>,
    ) -> Self {
        let client = Client {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            version: VERSION,
            keyspace: None,
            options: Arc::default(),
        };
        let client = ArcSwap::from_pointee(client);
        Self { handler, client, timer, closed: AtomicBool::new(false), opened }
    }

    /// A session on a node that somebody else has opened, and will close.
    pub(crate) fn on(handler: Arc<dyn Handler>) -> Self {
        Self::new(handler, None, None)
    }

    pub(crate) fn node(&self) -> Option<&Node> {
        self.opened.as_ref().map(|opened| &opened.node)
    }

    pub(crate) fn dir(&self) -> Option<&PathBuf> {
        self.opened.as_ref()?.dir.as_ref()
    }

    /// Executes a statement as text, without values.
    pub(crate) async fn query(
        &self,
        text: &str,
        settled: &Settled,
        state: Option<&PagingState>,
    ) -> Result<Page> {
        let options = query_options(settled, state);
        let query = Query { text, options };
        let answered = self
            .ask(settled.timeout, |handler, context, out| handler.query(context, &query, out))
            .await?;
        page(answered, None)
    }

    pub(crate) async fn prepare(&self, text: &str, settled: &Settled) -> Result<PreparedHere> {
        let keyspace = self.client.load().keyspace.clone();
        self.prepare_in(text, keyspace, settled).await
    }

    async fn prepare_in(
        &self,
        text: &str,
        keyspace: Option<Arc<str>>,
        settled: &Settled,
    ) -> Result<PreparedHere> {
        let prepare = Prepare { text, keyspace: keyspace.as_deref() };
        let answered = self
            .ask(settled.timeout, |handler, context, out| handler.prepare(context, &prepare, out))
            .await?;
        match answered.response {
            Response::Result(ResultBody::Prepared(prepared)) => {
                Ok(PreparedHere::new(text, keyspace, prepared))
            }
            other => Err(ask::unclear(format!("PREPARE was answered with {other:?}"))),
        }
    }

    pub(crate) async fn execute(
        &self,
        prepared: &PreparedHere,
        bound: &Bound,
        settled: &Settled,
        state: Option<&PagingState>,
    ) -> Result<Page> {
        let values = bound.values()?;
        let answered = self.try_execute(prepared, values, settled, state).await;
        let answered = match answered {
            // The node has forgotten the statement, as it may: it is prepared once more.
            Err(error) if error.code() == Some(UNPREPARED) => {
                self.prepare_in(prepared.text(), prepared.keyspace(), settled).await?;
                self.try_execute(prepared, values, settled, state).await?
            }
            answered => answered?,
        };
        page(answered, Some(prepared))
    }

    async fn try_execute(
        &self,
        prepared: &PreparedHere,
        values: Values<'_>,
        settled: &Settled,
        state: Option<&PagingState>,
    ) -> Result<Answered> {
        let result = prepared.result();
        let skip_metadata = result.columns.is_some();
        let options = QueryOptions { values, skip_metadata, ..query_options(settled, state) };
        let execute =
            Execute { id: prepared.id(), result_metadata_id: Some(&result.metadata_id), options };
        self.ask(settled.timeout, |handler, context, out| handler.execute(context, &execute, out))
            .await
    }

    pub(crate) async fn batch(&self, batch: &Batch, settled: &Settled) -> Result<Page> {
        let answered = match self.try_batch(batch, settled).await {
            Err(error) if error.code() == Some(UNPREPARED) => {
                for item in &batch.items {
                    if let BatchItem::Prepared(PreparedOf::Embedded(prepared), _) = item {
                        self.prepare_in(prepared.text(), prepared.keyspace(), settled).await?;
                    }
                }
                self.try_batch(batch, settled).await?
            }
            answered => answered?,
        };
        page(answered, None)
    }

    async fn try_batch(&self, batch: &Batch, settled: &Settled) -> Result<Answered> {
        let mut builder = cql_lite::wire::BatchBuilder::new();
        for item in &batch.items {
            let statement = match item {
                BatchItem::Text(text) => {
                    BatchStatement { source: StatementSource::Text(text), values: Values::EMPTY }
                }
                BatchItem::Prepared(PreparedOf::Embedded(prepared), bound) => BatchStatement {
                    source: StatementSource::Prepared(prepared.id()),
                    values: bound.values()?,
                },
                #[cfg(feature = "cluster")]
                BatchItem::Prepared(PreparedOf::Cluster(_), _) => return Err(Error::elsewhere()),
            };
            builder.push(&statement).map_err(|e| Error::new(ErrorKind::Invalid, e.to_string()))?;
        }
        let kind = match batch.kind {
            crate::batch::Kind::Logged => BatchKind::Logged,
            crate::batch::Kind::Unlogged => BatchKind::Unlogged,
            crate::batch::Kind::Counter => BatchKind::Counter,
        };
        let options = query_options(settled, None);
        let statements = builder.statements(VERSION);
        let batch = WireBatch { kind, statements, options };
        self.ask(settled.timeout, |handler, context, out| handler.batch(context, &batch, out)).await
    }

    /// Closes the node, if the session opened it, and waits for its threads.
    pub(crate) fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let Some(opened) = &self.opened else { return Ok(()) };
        if opened.runtime.is_worker() {
            // The last handle was dropped by a waker on a thread of the node itself, which cannot
            // wait for its own end.
            let node = opened.node.clone();
            let close = async move { drop(node.close().await) };
            opened.runtime.spawn_worker("helenus-close", Box::pin(close));
            return Ok(());
        }
        let closed = block_on(opened.node.close());
        opened.runtime.join_workers();
        closed.map_err(open::storage_error)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // Nobody is left to be told; the next open recovers what is not done here.
        drop(self.close());
    }
}

fn query_options<'a>(settled: &Settled, state: Option<&'a PagingState>) -> QueryOptions<'a> {
    QueryOptions {
        consistency: convert::consistency(settled.consistency),
        page_size: Some(settled.page_size),
        paging_state: state.map(PagingState::as_bytes),
        serial_consistency: Some(convert::serial_consistency(settled.serial_consistency)),
        timestamp: settled.timestamp,
        ..QueryOptions::default()
    }
}

/// An answer as a page. The columns are `prepared`'s unless the answer brings others.
fn page(answered: Answered, prepared: Option<&PreparedHere>) -> Result<Page> {
    let warnings = answered.warnings;
    let Response::Result(ResultBody::Rows(rows)) = answered.response else {
        return Ok(Page { warnings, ..Page::default() });
    };
    let (metadata, count, cells) = rows.into_parts();
    let columns = match metadata.columns {
        Some(columns) => {
            let columns = wire_columns(columns);
            if let (Some(prepared), Some(id)) = (prepared, metadata.new_metadata_id) {
                prepared.replace_result(id, columns.clone());
            }
            columns
        }
        None => prepared
            .and_then(|prepared| prepared.result().columns.clone())
            .ok_or_else(|| ask::unclear("rows without columns".into()))?,
    };
    if columns.len() != metadata.column_count {
        let (known, count) = (columns.len(), metadata.column_count);
        return Err(ask::unclear(format!("rows of {count} columns, of which {known} are known")));
    }
    let next = metadata.paging_state.map(PagingState::from_bytes);
    Ok(Page { body: Body::Cells { columns, count, cells }, warnings, next })
}
