//! Statements before they run: whether what they say is allowed.

use cql_lite::wire::{Consistency, QueryOptions, ResponseWriter};

use crate::config::Guardrails as Limits;
use crate::error::Result;
use crate::query::modify::{ModifyPlan, WriteStatement, timestamp_value};
use crate::query::select::SelectPlan;
use crate::query::services::Services;
use crate::query::term::Environment;
use crate::schema::{Table, TableSource};

use super::{Guardrail, Passed};

const ALLOW_FILTERING: Guardrail = Guardrail::because(
    "allow_filtering",
    "ALLOW FILTERING can potentially visit all the data in the table and have unpredictable \
     performance.",
);
const GROUP_BY: Guardrail = Guardrail::new("group_by");
const READ_LEVELS: Guardrail = Guardrail::new("read_consistency_levels");
const WRITE_LEVELS: Guardrail = Guardrail::new("write_consistency_levels");
const PAGE_SIZE: Guardrail = Guardrail::new("page_size");
const PARTITION_KEYS: Guardrail = Guardrail::new("partition_keys_in_select");
const CARTESIAN: Guardrail = Guardrail::new("in_select_cartesian_product");
const USER_TIMESTAMPS: Guardrail = Guardrail::new("user_timestamps");
const LIST_OPERATIONS: Guardrail = Guardrail::new("read_before_write_list_operations");
const MAXIMUM_TIMESTAMP: Guardrail = Guardrail::because(
    "maximum_timestamp",
    "Timestamps too far in the future can lead to data that can't be easily overwritten",
);
const MINIMUM_TIMESTAMP: Guardrail = Guardrail::because(
    "minimum_timestamp",
    "Timestamps too far in the past can cause writes can be unexpectedly lost",
);

fn names(levels: &[Consistency]) -> Vec<&'static str> {
    levels.iter().map(|level| level.name()).collect()
}

/// Looks at a SELECT; called only if something is to be looked at.
#[cold]
pub(crate) fn check_select(
    limits: &Limits,
    plan: &SelectPlan,
    consistency: Consistency,
    writer: &mut ResponseWriter<'_>,
) -> Result<()> {
    let system = plan.table.source != TableSource::Stored;
    if plan.allow_filtering && !system {
        ALLOW_FILTERING.enabled(limits.allow_filtering_enabled, "Querying with ALLOW FILTERING")?;
    }
    if plan.has_groups() {
        GROUP_BY.enabled(limits.group_by_enabled, "GROUP BY functionality")?;
    }
    if system {
        return Ok(());
    }
    let (what, used) = ("read consistency levels", [consistency.name()]);
    let disallowed = names(&limits.read_consistency_levels_disallowed);
    READ_LEVELS.not_disallowed(&used, &disallowed, what)?;
    let warned = names(&limits.read_consistency_levels_warned);
    if let Some(warning) = READ_LEVELS.not_warned(&used, &warned, what) {
        writer.warn(warning);
    }
    Ok(())
}

/// Looks at the size of the pages that a client asks for.
#[inline]
pub(crate) fn check_page_size(limits: &Limits, table: &Table, rows: u64) -> Result<Option<String>> {
    PAGE_SIZE.at_most(limits.page_size, rows, |passed| {
        let name = &table.name;
        match passed {
            Passed::Warning(threshold) => format!(
                "Query for table {name} with page size {rows} exceeds warning threshold of \
                 {threshold}."
            ),
            Passed::Failure(threshold) => format!(
                "Aborting query for table {name}, page size {rows} exceeds fail threshold of \
                 {threshold}."
            ),
        }
    })
}

/// Looks at the number of partitions that an IN names.
#[inline]
pub(crate) fn check_partitions(
    limits: &Limits,
    table: &Table,
    count: u64,
) -> Result<Option<String>> {
    PARTITION_KEYS.at_most(limits.partition_keys_in_select, count, |passed| {
        let name = &table.name;
        match passed {
            Passed::Warning(threshold) => format!(
                "Query with partition keys in IN clause on table {name}, with number of partition \
                 keys {count} exceeds warning threshold of {threshold}."
            ),
            Passed::Failure(threshold) => format!(
                "Aborting query with partition keys in IN clause on table {name}, number of \
                 partition keys {count} exceeds fail threshold of {threshold}."
            ),
        }
    })
}

/// Looks at the number of combinations of values on a partition or clustering key.
#[inline]
pub(crate) fn check_combinations(limits: &Limits, key: &str, count: u64) -> Result<Option<String>> {
    CARTESIAN.at_most(limits.in_select_cartesian_product, count, |passed| match passed {
        Passed::Warning(threshold) => format!(
            "The cartesian product of the IN restrictions on {key} produces {count} values, this \
             exceeds warning threshold of {threshold}."
        ),
        Passed::Failure(threshold) => format!(
            "Aborting query because the cartesian product of the IN restrictions on {key} \
             produces {count} values, this exceeds fail threshold of {threshold}."
        ),
    })
}

/// Looks at modifications; called only if something is to be looked at. `batch_timestamp` is that
/// of a batch as a whole, if it has one; `now` is in microseconds.
#[cold]
pub(crate) fn check_modifications(
    services: &Services,
    statements: &[WriteStatement<'_>],
    batch_timestamp: Option<i64>,
    options: &QueryOptions<'_>,
    now: i64,
    writer: &mut ResponseWriter<'_>,
) -> Result<()> {
    let limits = &services.guardrails.limits;
    let serial = options.serial_consistency.unwrap_or(Consistency::Serial);
    let (what, used) = ("write consistency levels", [options.consistency.name(), serial.name()]);
    let disallowed = names(&limits.write_consistency_levels_disallowed);
    WRITE_LEVELS.not_disallowed(&used, &disallowed, what)?;
    let warned = names(&limits.write_consistency_levels_warned);
    if let Some(warning) = WRITE_LEVELS.not_warned(&used, &warned, what) {
        writer.warn(warning);
    }
    for WriteStatement { plan, bindings } in statements {
        check_lists(limits, plan)?;
        let timestamp = match &plan.timestamp {
            None => batch_timestamp,
            Some(term) => {
                let environment = Environment::new(bindings, now, &*services.random);
                timestamp_value(term, &environment)?.or(Some(now))
            }
        };
        let Some(timestamp) = timestamp else { continue };
        let feature = "User provided timestamps (USING TIMESTAMP)";
        USER_TIMESTAMPS.enabled(limits.user_timestamps_enabled, feature)?;
        check_timestamp(limits, &plan.table, timestamp, now)?.into_iter().for_each(|w| {
            writer.warn(w);
        });
    }
    Ok(())
}

fn check_lists(limits: &Limits, plan: &ModifyPlan) -> Result<()> {
    if limits.read_before_write_list_operations_enabled {
        return Ok(());
    }
    let what = plan.operations().find_map(|action| action.read_before_write());
    what.map_or(Ok(()), |what| {
        LIST_OPERATIONS.enabled(false, &format!("{what} requiring read before write"))
    })
}

/// Looks at a client's timestamp, in microseconds; it has at most one warning.
fn check_timestamp(
    limits: &Limits,
    table: &Table,
    timestamp: i64,
    now: i64,
) -> Result<Option<String>> {
    let ahead = u64::try_from(timestamp.saturating_sub(now)).unwrap_or(0);
    let behind = u64::try_from(now.saturating_sub(timestamp)).unwrap_or(0);
    let name = &table.name;
    let too_late = MAXIMUM_TIMESTAMP.at_most(limits.maximum_timestamp, ahead, |passed| {
        let latest = now.saturating_add_unsigned(passed.threshold());
        format!(
            "The modification to table {name} has a timestamp {timestamp} after the maximum \
             allowable {} threshold {latest}",
            passed.name()
        )
    })?;
    let too_early = MINIMUM_TIMESTAMP.at_most(limits.minimum_timestamp, behind, |passed| {
        let earliest = now.saturating_sub_unsigned(passed.threshold());
        format!(
            "The modification to table {name} has a timestamp {timestamp} before the minimum \
             allowable {} threshold {earliest}",
            passed.name()
        )
    })?;
    Ok(too_late.or(too_early))
}
