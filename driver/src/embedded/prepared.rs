//! A statement that the node inside this process has prepared.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use cql_lite::wire::{ColumnSpec as WireColumn, Prepared as WirePrepared};

use super::convert::column;
use crate::ColumnSpec;

/// What PREPARE answered.
pub(crate) struct PreparedHere {
    text: Box<str>,
    keyspace: Option<Arc<str>>,
    id: Vec<u8>,
    markers: Vec<ColumnSpec<'static>>,
    /// Replaced when the schema has changed under the statement.
    result: ArcSwap<ResultColumns>,
}

/// The columns of the statement's result, as the node last described them.
pub(super) struct ResultColumns {
    pub(super) metadata_id: Vec<u8>,
    /// None for statements without a result, or with one that varies.
    pub(super) columns: Option<Arc<[ColumnSpec<'static>]>>,
}

impl std::fmt::Debug for PreparedHere {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Prepared").field("text", &self.text).finish_non_exhaustive()
    }
}

pub(super) fn wire_columns(columns: Vec<WireColumn>) -> Arc<[ColumnSpec<'static>]> {
    columns.into_iter().map(column).collect()
}

impl PreparedHere {
    pub(super) fn new(text: &str, keyspace: Option<Arc<str>>, prepared: WirePrepared) -> Self {
        let columns = prepared.columns.filter(|columns| !columns.is_empty()).map(wire_columns);
        let result = ResultColumns { metadata_id: prepared.result_metadata_id, columns };
        Self {
            text: text.into(),
            keyspace,
            id: prepared.id,
            markers: prepared.bindings.into_iter().map(column).collect(),
            result: ArcSwap::from_pointee(result),
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn keyspace(&self) -> Option<Arc<str>> {
        self.keyspace.clone()
    }

    pub(super) fn id(&self) -> &[u8] {
        &self.id
    }

    pub(crate) fn markers(&self) -> &[ColumnSpec<'static>] {
        &self.markers
    }

    pub(super) fn result(&self) -> Guard<Arc<ResultColumns>> {
        self.result.load()
    }

    pub(super) fn replace_result(&self, metadata_id: Vec<u8>, columns: Arc<[ColumnSpec<'static>]>) {
        self.result.store(Arc::new(ResultColumns { metadata_id, columns: Some(columns) }));
    }
}
