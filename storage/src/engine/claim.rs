//! Who is doing which background work, so that nobody else does it too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Shared;
use crate::model::TableId;

/// Which tables are being worked on.
#[derive(Default)]
pub(crate) struct Claims {
    state: Mutex<State>,
    /// A writer has noticed that memory or log are filling up, and nobody has looked since.
    pub(crate) is_nudged: AtomicBool,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) flushing: BTreeSet<TableId>,
    /// After a failure: not before this monotonic time.
    pub(crate) flush_not_before: BTreeMap<TableId, Duration>,
    pub(crate) compaction_not_before: BTreeMap<TableId, Duration>,
    /// When all tables were last looked at for compactions.
    pub(crate) compaction_looked_at: Option<Duration>,
}

impl Claims {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The flush of one table; given back when dropped.
pub(crate) struct Claim {
    shared: Arc<Shared>,
    table: TableId,
}

impl Claim {
    /// Claims a table that nobody else has claimed.
    pub(crate) fn flush(shared: &Arc<Shared>, table: TableId) -> Option<Claim> {
        let is_new = shared.claims.lock().flushing.insert(table);
        is_new.then(|| Claim { shared: shared.clone(), table })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared.claims.lock().flushing.remove(&self.table);
        self.shared.flush_signal.notify_all();
    }
}
