//! The rules of batches.

use std::collections::BTreeMap;

use cql_lite::wire::{BatchKind, ResponseWriter};

use crate::error::{Error, Result};
use crate::query::services::Services;

use super::condition::Conditions;
use super::plan::ModifyPlan;

/// Checks which statements stand together.
pub(crate) fn check(kind: BatchKind, plans: &[&ModifyPlan], batch_timestamp: bool) -> Result<()> {
    let conditional = plans.iter().any(|plan| plan.conditions.is_some());
    let counters = plans.iter().filter(|plan| plan.table.counter).count();
    let others = plans.len() - counters;
    if batch_timestamp {
        if conditional {
            return Err(Error::invalid("Cannot provide custom timestamp for conditional BATCH"));
        }
        if kind == BatchKind::Counter {
            return Err(Error::invalid("Cannot provide custom timestamp for counter BATCH"));
        }
        if plans.iter().any(|plan| plan.timestamp.is_some()) {
            return Err(Error::invalid(
                "Timestamp must be set either on BATCH or individual statements",
            ));
        }
        if counters > 0 {
            return Err(Error::invalid(
                "Cannot provide custom timestamp for a BATCH containing counters",
            ));
        }
    }
    if kind == BatchKind::Counter && others > 0 {
        return Err(Error::invalid("Cannot include non-counter statement in a counter batch"));
    }
    if counters > 0 && others > 0 {
        return Err(Error::invalid(
            "Counter and non-counter mutations cannot exist in the same batch",
        ));
    }
    if kind == BatchKind::Logged && counters > 0 {
        return Err(Error::invalid("Cannot include a counter statement in a logged batch"));
    }
    if conditional
        && let Some((first, rest)) = plans.split_first()
        && rest.iter().any(|plan| plan.table.id != first.table.id)
    {
        return Err(Error::invalid("Batch with conditions cannot span multiple tables"));
    }
    Ok(())
}

/// Refuses batches that are too large, and warns of those that may be.
pub(super) fn check_size(
    services: &Services,
    kind: BatchKind,
    mutations: &[Vec<u8>],
    partitions: usize,
    tables: &[String],
    writer: &mut ResponseWriter<'_>,
) -> Result<()> {
    if partitions <= 1 {
        return Ok(());
    }
    let limits = &services.guardrails.limits;
    let bytes = mutations.iter().map(Vec::len).sum::<usize>() as u64;
    if bytes > limits.batch_size.fail() {
        return Err(Error::invalid("Batch too large"));
    }
    let warn = limits.batch_size.warn();
    let tables_shown = format!("[{}]", tables.join(", "));
    if bytes > warn {
        writer.warn(format!(
            "Batch for {tables_shown} is of size {bytes}, exceeding specified threshold of {warn} \
             by {}.",
            bytes - warn
        ));
    }
    let most = limits.unlogged_batch_across_partitions;
    if kind == BatchKind::Unlogged && most.is_passed(partitions as u64) {
        let plural = if tables.len() == 1 { "" } else { "s" };
        writer.warn(format!(
            "Unlogged batch covering {partitions} partitions detected against table{plural} \
             {tables_shown}. You should use a logged batch for atomicity, or asynchronous writes \
             for performance."
        ));
    }
    Ok(())
}

/// Which kinds of conditions the statements of a batch put on each row.
#[derive(Debug, Default)]
pub(super) struct RowConditions(BTreeMap<Option<Vec<u8>>, u8>);

const EXISTS: u8 = 1;
const NOT_EXISTS: u8 = 2;
const COLUMNS: u8 = 3;

impl RowConditions {
    /// Adds a statement's conditions; refuses those that contradict one another.
    pub(super) fn add(&mut self, position: Option<&[u8]>, conditions: &Conditions) -> Result<()> {
        let new = match conditions {
            Conditions::None => return Ok(()),
            Conditions::Exists => EXISTS,
            Conditions::NotExists => NOT_EXISTS,
            Conditions::Columns(_) => COLUMNS,
        };
        let old = *self.0.entry(position.map(<[u8]>::to_vec)).or_insert(new);
        if old == new {
            return Ok(());
        }
        Err(Error::invalid(match (old, new) {
            (COLUMNS, EXISTS) => "Cannot mix IF conditions and IF EXISTS for the same row",
            (COLUMNS, _) | (_, COLUMNS) => {
                "Cannot mix IF conditions and IF NOT EXISTS for the same row"
            }
            _ => "Cannot mix IF EXISTS and IF NOT EXISTS conditions for the same row",
        }))
    }
}
