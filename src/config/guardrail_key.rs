//! The keys of the section `[guardrails]`.

use cql_lite::wire::{Consistency, RESPONSE_BYTES_MAX};

use super::guardrails::{Guardrails, OFF, Threshold};
use super::key::{Key, Range};
use super::units;

/// The largest number that a threshold may be, as in Cassandra.
const COUNT_MAX: u64 = i32::MAX as u64;
/// The largest size that a threshold may be.
const SIZE_MAX: u64 = 1 << 40;
/// The longest time that a threshold may be, in microseconds: 100 years.
const TIME_MAX: u64 = 36_500 * 86_400 * 1_000_000;

/// What switches a threshold off.
const NONE: &str = "-1";

const COUNT: Range = Range::Number(1, COUNT_MAX);
const SIZE: Range = Range::Size(1, SIZE_MAX);
const TIME: Range =
    Range::Time(std::time::Duration::from_micros(1), std::time::Duration::from_micros(TIME_MAX));

fn count(text: &str) -> Option<u64> {
    let within = |n: &u64| (1..=COUNT_MAX).contains(n);
    if text == NONE { Some(OFF) } else { units::parse_number(text).filter(within) }
}

fn show_count(value: u64) -> String {
    if value == OFF { NONE.to_owned() } else { value.to_string() }
}

fn size(text: &str) -> Option<u64> {
    let within = |n: &u64| (1..=SIZE_MAX).contains(n);
    if text == NONE { Some(OFF) } else { units::parse_size(text).filter(within) }
}

fn show_size(value: u64) -> String {
    if value == OFF { NONE.to_owned() } else { units::show_size(value) }
}

fn time(text: &str) -> Option<u64> {
    if text == NONE {
        return Some(OFF);
    }
    let micros = units::parse_duration(text)?.as_micros();
    u64::try_from(micros).ok().filter(|n| (1..=TIME_MAX).contains(n))
}

fn show_time(value: u64) -> String {
    if value == OFF {
        return NONE.to_owned();
    }
    units::show_duration(std::time::Duration::from_micros(value))
}

/// The parts of a list; an empty text is an empty list.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim();
    text.split(',').map(str::trim).filter(move |_| !text.is_empty())
}

fn levels(text: &str) -> Option<Vec<Consistency>> {
    parts(text).map(|name| Consistency::from_name(&name.to_uppercase())).collect()
}

fn show_levels(levels: &[Consistency]) -> String {
    levels.iter().map(|level| level.name()).collect::<Vec<_>>().join(", ")
}

fn names(text: &str) -> Option<Vec<String>> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    parts(text).map(|name| is_name(name).then(|| name.to_lowercase())).collect()
}

/// The keys of a threshold, and the table of pairs.
macro_rules! thresholds {
    ($($kind:ident $field:ident $warn:literal $fail:literal $past:literal $help:literal;)*) => {
        const THRESHOLDS: &[Key] = &[$(
            thresholds!(@key $kind $warn, $field.warn, concat!($help, " ", $past,
                " this the client is warned.")),
            thresholds!(@key $kind $fail, $field.fail, concat!($help, " ", $past,
                " this the request is refused.")),
        )*];

        /// The key of each warning with its threshold, and whether it lies below.
        const PAIRS: &[(&str, fn(&Guardrails) -> Threshold)] =
            &[$(($warn, |guardrails| guardrails.$field),)*];
    };
    (@key count $name:literal, $field:ident.$side:ident, $help:expr) => {
        thresholds!(@any $name, $field.$side, $help, COUNT, count, show_count)
    };
    (@key size $name:literal, $field:ident.$side:ident, $help:expr) => {
        thresholds!(@any $name, $field.$side, $help, SIZE, size, show_size)
    };
    (@key time $name:literal, $field:ident.$side:ident, $help:expr) => {
        thresholds!(@any $name, $field.$side, $help, TIME, time, show_time)
    };
    (@any $name:literal, $field:ident.$side:ident, $help:expr, $range:expr, $parse:ident,
        $show:ident) => {
        Key {
            name: concat!("guardrails.", $name),
            help: $help,
            range: Range::Optional(&$range),
            set: |config, text| {
                config.guardrails.$field.$side = $parse(text)?;
                Some(())
            },
            show: |config| $show(config.guardrails.$field.$side),
        }
    };
}

thresholds! {
    count tombstone "tombstone_warn_threshold" "tombstone_failure_threshold" "Past"
        "Tombstones that one page of a SELECT may step over.";
    size batch_size "batch_size_warn_threshold" "batch_size_fail_threshold" "Past"
        "Size of one batch of several partitions.";
    count page_size "page_size_warn_threshold" "page_size_fail_threshold" "Past"
        "Rows of a page that a client may ask for.";
    count partition_keys_in_select "partition_keys_in_select_warn_threshold"
        "partition_keys_in_select_fail_threshold" "Past"
        "Partitions that the IN of a SELECT may name.";
    count in_select_cartesian_product "in_select_cartesian_product_warn_threshold"
        "in_select_cartesian_product_fail_threshold" "Past"
        "Combinations of values that several INs of a SELECT may make.";
    size column_value_size "column_value_size_warn_threshold" "column_value_size_fail_threshold"
        "Past" "Size of a value that is written to a column, or to an element of one.";
    size collection_size "collection_size_warn_threshold" "collection_size_fail_threshold" "Past"
        "Size of the elements that one statement writes to a collection.";
    count items_per_collection "items_per_collection_warn_threshold"
        "items_per_collection_fail_threshold" "Past"
        "Elements that one statement writes to a collection.";
    time maximum_timestamp "maximum_timestamp_warn_threshold" "maximum_timestamp_fail_threshold"
        "Past" "How far in the future USING TIMESTAMP may lie.";
    time minimum_timestamp "minimum_timestamp_warn_threshold" "minimum_timestamp_fail_threshold"
        "Past" "How far in the past USING TIMESTAMP may lie.";
    count keyspaces "keyspaces_warn_threshold" "keyspaces_fail_threshold" "Past"
        "Keyspaces of users.";
    count tables "tables_warn_threshold" "tables_fail_threshold" "Past" "Tables of users.";
    count columns_per_table "columns_per_table_warn_threshold" "columns_per_table_fail_threshold"
        "Past" "Columns of a table.";
    count fields_per_udt "fields_per_udt_warn_threshold" "fields_per_udt_fail_threshold" "Past"
        "Fields of a user-defined type.";
    count vector_dimensions "vector_dimensions_warn_threshold" "vector_dimensions_fail_threshold"
        "Past" "Dimensions of a vector.";
    count minimum_replication_factor "minimum_replication_factor_warn_threshold"
        "minimum_replication_factor_fail_threshold" "Below"
        "Replicas of a keyspace in a data centre.";
    count maximum_replication_factor "maximum_replication_factor_warn_threshold"
        "maximum_replication_factor_fail_threshold" "Past"
        "Replicas of a keyspace in a data centre.";
}

macro_rules! switches {
    ($($field:ident $help:literal;)*) => {
        &[$(Key {
            name: concat!("guardrails.", stringify!($field)),
            help: $help,
            range: Range::Switch,
            set: |config, text| {
                config.guardrails.$field = text.parse().ok()?;
                Some(())
            },
            show: |config| config.guardrails.$field.to_string(),
        },)*]
    };
}

const SWITCHES: &[Key] = switches! {
    user_timestamps_enabled "Whether statements may say USING TIMESTAMP.";
    allow_filtering_enabled "Whether SELECTs may say ALLOW FILTERING.";
    group_by_enabled "Whether SELECTs may say GROUP BY.";
    read_before_write_list_operations_enabled
        "Whether elements of lists may be set and removed by index, and removed by value: each \
         reads before it writes.";
    drop_truncate_table_enabled "Whether DROP TABLE and TRUNCATE are allowed.";
    drop_keyspace_enabled "Whether DROP KEYSPACE is allowed.";
    alter_table_enabled "Whether ALTER TABLE may add, drop and rename columns.";
    uncompressed_tables_enabled "Whether tables may be without compression.";
    simplestrategy_enabled "Whether keyspaces may have SimpleStrategy.";
    zero_ttl_on_twcs_warned
        "Whether a table of TimeWindowCompactionStrategy whose default_time_to_live is 0 is \
         warned of.";
    zero_ttl_on_twcs_enabled
        "Whether a table of TimeWindowCompactionStrategy may have a default_time_to_live of 0.";
};

macro_rules! lists {
    ($($field:ident $what:literal $parse:ident $show:expr, $help:literal;)*) => {
        &[$(Key {
            name: concat!("guardrails.", stringify!($field)),
            help: $help,
            range: Range::List($what),
            set: |config, text| {
                config.guardrails.$field = $parse(text)?;
                Some(())
            },
            show: |config| $show(&config.guardrails.$field),
        },)*]
    };
}

fn joined(names: &[String]) -> String {
    names.join(", ")
}

const LISTS: &[Key] = lists! {
    table_properties_warned "table properties" names joined,
        "Properties of CREATE and ALTER TABLE that a client is warned of.";
    table_properties_ignored "table properties" names joined,
        "Properties of CREATE and ALTER TABLE that have no effect, with a warning.";
    table_properties_disallowed "table properties" names joined,
        "Properties of CREATE and ALTER TABLE that are refused.";
    read_consistency_levels_warned "consistency levels" levels show_levels,
        "Consistency levels of SELECTs that a client is warned of.";
    read_consistency_levels_disallowed "consistency levels" levels show_levels,
        "Consistency levels of SELECTs that are refused.";
    write_consistency_levels_warned "consistency levels" levels show_levels,
        "Consistency levels, serial ones included, of modifications that a client is warned of. A \
         modification that says no serial level has SERIAL.";
    write_consistency_levels_disallowed "consistency levels" levels show_levels,
        "Consistency levels, serial ones included, of modifications that are refused. A \
         modification that says no serial level has SERIAL.";
};

const ANSWERS: &[Key] = &[
    thresholds!(
        @any "coordinator_read_size_warn_threshold", coordinator_read_size.warn,
        "Size of the rows of one answer. Past this the client is warned.", SIZE, size, show_size
    ),
    Key {
        name: "guardrails.coordinator_read_size_fail_threshold",
        help: "Size of the rows of one answer. A larger one fails the request, which should ask \
               for pages; a page of one row may be larger. Always on, because an answer is held \
               in memory whole, and no client takes one of more than 256 MiB.",
        range: Range::Size(1 << 10, RESPONSE_BYTES_MAX as u64),
        set: |config, text| {
            let within = |n: &u64| (1 << 10..=RESPONSE_BYTES_MAX as u64).contains(n);
            let bytes = units::parse_size(text).filter(within)?;
            config.guardrails.coordinator_read_size.fail = bytes;
            Some(())
        },
        show: |config| units::show_size(config.guardrails.coordinator_read_size.fail),
    },
    thresholds!(
        @any "unlogged_batch_across_partitions_warn_threshold",
        unlogged_batch_across_partitions.warn,
        "Partitions of one unlogged batch. Past this the client is warned.", COUNT, count,
        show_count
    ),
];

/// All of them.
pub(super) const ALL: &[&[Key]] = &[THRESHOLDS, ANSWERS, SWITCHES, LISTS];

/// Refuses warnings that could never be seen, because the failure comes first.
pub(super) fn check(guardrails: &Guardrails) -> Result<(), String> {
    let size = [("coordinator_read_size_warn_threshold", guardrails.coordinator_read_size)];
    let pairs = PAIRS.iter().map(|(name, threshold)| (*name, threshold(guardrails))).chain(size);
    for (name, Threshold { warn, fail }) in pairs {
        let below = name.starts_with("minimum_replication");
        let (wrong, should) = if below { (warn < fail, "greater") } else { (warn > fail, "lower") };
        if warn != OFF && fail != OFF && wrong {
            return Err(format!(
                "guardrails: The warn threshold {warn} for {name} should be {should} than the \
                 fail threshold {fail}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn thresholds_have_units_and_can_be_switched_off() {
        let mut config = Config::default();
        config.set("guardrails.tables_fail_threshold", "12").unwrap();
        config.set("guardrails.batch_size_warn_threshold", "-1").unwrap();
        config.set("guardrails.maximum_timestamp_warn_threshold", "1d").unwrap();
        assert!(config.guardrails.tables.is_passed(13) && !config.guardrails.tables.is_passed(12));
        assert_eq!(config.guardrails.batch_size.warn(), u64::MAX);
        assert_eq!(config.guardrails.maximum_timestamp.warn(), 86_400_000_000);
        let shown = |name| config.settings().find(|(key, _)| *key == name).unwrap().1;
        assert_eq!(shown("guardrails.batch_size_warn_threshold"), "-1");
        assert_eq!(shown("guardrails.batch_size_fail_threshold"), "50KiB");
        assert_eq!(shown("guardrails.maximum_timestamp_warn_threshold"), "1d");
        let wrong = config.set("guardrails.tables_fail_threshold", "0").unwrap_err();
        assert!(wrong.ends_with("'0' is not a whole number from 1 to 2147483647, or -1 for none"));
        assert!(config.set("guardrails.coordinator_read_size_fail_threshold", "-1").is_err());
    }

    #[test]
    fn lists_are_names_with_commas() {
        let mut config = Config::default();
        config.set("guardrails.read_consistency_levels_disallowed", "all, LOCAL_ONE").unwrap();
        let levels = &config.guardrails.read_consistency_levels_disallowed;
        assert_eq!(levels, &[Consistency::All, Consistency::LocalOne]);
        config.set("guardrails.table_properties_ignored", "comment").unwrap();
        assert_eq!(config.guardrails.table_properties_ignored, ["comment"]);
        config.set("guardrails.table_properties_ignored", " ").unwrap();
        assert!(config.guardrails.table_properties_ignored.is_empty());
        for wrong in ["all,,one", "most", "all,"] {
            assert!(config.set("guardrails.read_consistency_levels_warned", wrong).is_err());
        }
    }

    #[test]
    fn a_warning_behind_its_failure_is_refused() {
        let mut config = Config::default();
        config.set("guardrails.tables_warn_threshold", "50").unwrap();
        config.check().unwrap();
        config.set("guardrails.tables_fail_threshold", "30").unwrap();
        let sentence = "The warn threshold 50 for tables_warn_threshold should be lower than the \
                        fail threshold 30";
        assert!(config.check().unwrap_err().ends_with(sentence));
        let mut config = Config::default();
        config.set("guardrails.minimum_replication_factor_warn_threshold", "2").unwrap();
        config.set("guardrails.minimum_replication_factor_fail_threshold", "3").unwrap();
        assert!(config.check().unwrap_err().contains("should be greater than"));
    }
}
