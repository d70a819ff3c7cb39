//! Prepared statements by id, within a budget of bytes; the least recently used go first.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::query::Prepared;

/// What a plan takes beside its text, roughly.
const PLAN_BYTES: u64 = 2048;

#[derive(Clone)]
struct ByText;

impl Weighter<[u8; 16], Arc<Prepared>> for ByText {
    fn weight(&self, _id: &[u8; 16], prepared: &Arc<Prepared>) -> u64 {
        // The syntax tree of an unplanned statement is several times its text.
        PLAN_BYTES + 4 * prepared.text.len() as u64
    }
}

/// The cache.
pub(super) struct StatementCache {
    statements: Cache<[u8; 16], Arc<Prepared>, ByText>,
}

impl StatementCache {
    pub(super) fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max as u64;
        let items = usize::try_from(bytes_max / PLAN_BYTES).unwrap_or(1).max(1);
        Self { statements: Cache::with_weighter(items, bytes_max, ByText) }
    }

    pub(super) fn get(&self, id: &[u8]) -> Option<Arc<Prepared>> {
        let id: [u8; 16] = id.try_into().ok()?;
        self.statements.get(&id)
    }

    pub(super) fn put(&self, prepared: Arc<Prepared>) {
        self.statements.insert(prepared.id, prepared);
    }

    /// All that are kept, in any order.
    pub(super) fn all(&self) -> Vec<Arc<Prepared>> {
        self.statements.iter().map(|(_, prepared)| prepared).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.statements.len()
    }
}
