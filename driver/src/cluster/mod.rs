//! The half that is a cluster, through the `scylla` crate.

mod errors;

use std::sync::atomic::{AtomicBool, Ordering};

use helenus_platform::runtime::TokioRuntime;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session as Driver;
use scylla::client::session_builder::SessionBuilder as DriverBuilder;
use scylla::response::query_result::QueryResult;
use scylla::response::{PagingState as DriverState, PagingStateResponse};
use scylla::statement::batch::{Batch as DriverBatch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::unprepared::Statement as DriverStatement;

use crate::batch::{Batch, BatchItem, Kind};
use crate::bound::Bound;
use crate::builder::SessionBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::options::Settled;
use crate::rows::{Body, Page, PagingState};
use crate::statement::PreparedOf;

/// Connections to a cluster.
pub(crate) struct Cluster {
    driver: Driver,
    /// Where the driver's tasks and timers run: the program's own tokio, or one of ours in a
    /// program without.
    runtime: TokioRuntime,
    closed: AtomicBool,
}

/// Sets on a statement of the driver's, of whatever kind, what was settled.
macro_rules! settle {
    ($statement:expr, $settled:expr) => {{
        let (statement, settled) = ($statement, $settled);
        statement.set_consistency(settled.consistency);
        statement.set_serial_consistency(Some(settled.serial_consistency));
        statement.set_request_timeout(settled.timeout);
        statement.set_timestamp(settled.timestamp);
        statement.set_is_idempotent(settled.idempotent);
    }};
}

impl Cluster {
    pub(crate) async fn connect(builder: &SessionBuilder, nodes: &[String]) -> Result<Self> {
        let runtime = TokioRuntime::current_or_new(1).map_err(|error| {
            Error::caused(ErrorKind::Failed, format!("cannot start threads: {error}"), error)
        })?;
        // Timeouts are settled for each statement; without one it waits for ever.
        let profile = ExecutionProfile::builder().request_timeout(None).build();
        let mut connecting = DriverBuilder::new()
            .known_nodes(nodes)
            .default_execution_profile_handle(profile.into_handle())
            .fetch_schema_metadata(false);
        if let Some((name, password)) = &builder.user {
            connecting = connecting.user(name, password);
        }
        if let Some(datacenter) = &builder.datacenter {
            connecting = connecting.prefer_datacenter(datacenter.clone());
        }
        let connected = runtime.within(connecting.build()).await;
        let driver = connected.map_err(|error| errors::connecting(error, nodes))?;
        Ok(Self { driver, runtime, closed: AtomicBool::new(false) })
    }

    fn driver(&self) -> Result<&Driver> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Closed, "the session has been closed"));
        }
        Ok(&self.driver)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(crate) async fn query(
        &self,
        text: &str,
        settled: &Settled,
        state: Option<&PagingState>,
    ) -> Result<Page> {
        let mut statement = DriverStatement::new(text).with_page_size(settled.page_size);
        settle!(&mut statement, settled);
        let asked = self.driver()?.query_single_page(statement, (), driver_state(state));
        page(self.runtime.within(asked).await.map_err(errors::execution)?)
    }

    pub(crate) async fn prepare(&self, text: &str, settled: &Settled) -> Result<PreparedStatement> {
        let mut statement = DriverStatement::new(text);
        settle!(&mut statement, settled);
        let asked = self.driver()?.prepare(statement);
        self.runtime.within(asked).await.map_err(errors::preparing)
    }

    pub(crate) async fn execute(
        &self,
        prepared: &PreparedStatement,
        bound: &Bound,
        settled: &Settled,
        state: Option<&PagingState>,
    ) -> Result<Page> {
        let mut prepared = prepared.clone();
        settle!(&mut prepared, settled);
        prepared.set_page_size(settled.page_size);
        let asked = self.driver()?.execute_single_page(&prepared, bound, driver_state(state));
        page(self.runtime.within(asked).await.map_err(errors::execution)?)
    }

    pub(crate) async fn batch(&self, batch: &Batch, settled: &Settled) -> Result<Page> {
        let kind = match batch.kind {
            Kind::Logged => BatchType::Logged,
            Kind::Unlogged => BatchType::Unlogged,
            Kind::Counter => BatchType::Counter,
        };
        let mut asked = DriverBatch::new(kind);
        settle!(&mut asked, settled);
        let nothing = Bound::default();
        let mut values = Vec::with_capacity(batch.items.len());
        for item in &batch.items {
            match item {
                BatchItem::Text(text) => {
                    asked.append_statement(text.as_str());
                    values.push(&nothing);
                }
                BatchItem::Prepared(PreparedOf::Cluster(prepared), bound) => {
                    asked.append_statement(prepared.as_ref().clone());
                    values.push(bound);
                }
                #[cfg(feature = "embedded")]
                BatchItem::Prepared(PreparedOf::Embedded(_), _) => return Err(Error::elsewhere()),
            }
        }
        let answered = self.runtime.within(self.driver()?.batch(&asked, values)).await;
        page((answered.map_err(errors::execution)?, PagingStateResponse::NoMorePages))
    }
}

fn driver_state(state: Option<&PagingState>) -> DriverState {
    state.map_or_else(DriverState::start, |state| DriverState::new_from_raw_bytes(state.as_bytes()))
}

fn page((result, state): (QueryResult, PagingStateResponse)) -> Result<Page> {
    let warnings = result.warnings().map(str::to_owned).collect();
    let next = match state {
        PagingStateResponse::HasMorePages { state } => {
            state.as_bytes_slice().map(|bytes| PagingState::from_bytes(bytes.clone()))
        }
        PagingStateResponse::NoMorePages => None,
    };
    if !result.is_rows() {
        return Ok(Page { warnings, next, ..Page::default() });
    }
    let rows = result.into_rows_result().map_err(|error| {
        Error::caused(ErrorKind::Failed, format!("the answer has no rows: {error}"), error)
    })?;
    Ok(Page { body: Body::Cluster(Box::new(rows)), warnings, next })
}
