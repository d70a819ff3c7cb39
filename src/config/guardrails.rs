//! The section `[guardrails]`: what one statement or one definition may ask of the node before its
//! client is warned, and before it is refused. Names, defaults and meaning are those of
//! Cassandra's `cassandra.yaml`, so that what an operator knows of the one holds for the other;
//! `src/query/guardrails.rs` acts on them, in Cassandra's sentences.

use cql_lite::wire::Consistency;

/// No threshold.
pub(super) const OFF: u64 = u64::MAX;

/// Where warnings begin, and where failures do; neither need be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    pub(super) warn: u64,
    pub(super) fail: u64,
}

impl Threshold {
    /// Neither.
    pub const OFF: Threshold = Threshold::new(OFF, OFF);

    /// Warns past `warn` and fails past `fail`; `u64::MAX` is never.
    #[must_use]
    pub const fn new(warn: u64, fail: u64) -> Threshold {
        Threshold { warn, fail }
    }

    /// Past what a request fails; `u64::MAX` if it never does.
    #[must_use]
    pub const fn fail(self) -> u64 {
        self.fail
    }

    /// Past what a client is warned; `u64::MAX` if it never is.
    #[must_use]
    pub const fn warn(self) -> u64 {
        self.warn
    }

    /// Whether there is one.
    #[must_use]
    pub const fn is_on(self) -> bool {
        self.warn != OFF || self.fail != OFF
    }

    /// Whether a value is past one of the two.
    #[inline]
    #[must_use]
    pub const fn is_passed(self, value: u64) -> bool {
        value > self.warn || value > self.fail
    }
}

/// What may be asked of the node; a field is named as its keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table of keys says what each one means")]
pub struct Guardrails {
    // What a read may cost.
    pub tombstone: Threshold,
    pub coordinator_read_size: Threshold,
    pub page_size: Threshold,
    pub partition_keys_in_select: Threshold,
    pub in_select_cartesian_product: Threshold,
    // What a write may be.
    pub batch_size: Threshold,
    pub unlogged_batch_across_partitions: Threshold,
    pub column_value_size: Threshold,
    pub collection_size: Threshold,
    pub items_per_collection: Threshold,
    /// Microseconds after the moment of the request.
    pub maximum_timestamp: Threshold,
    /// Microseconds before the moment of the request.
    pub minimum_timestamp: Threshold,
    // What the schema may hold.
    pub keyspaces: Threshold,
    pub tables: Threshold,
    pub columns_per_table: Threshold,
    pub fields_per_udt: Threshold,
    pub vector_dimensions: Threshold,
    /// Warns and fails below.
    pub minimum_replication_factor: Threshold,
    pub maximum_replication_factor: Threshold,
    // What is allowed at all.
    pub user_timestamps_enabled: bool,
    pub allow_filtering_enabled: bool,
    pub group_by_enabled: bool,
    pub read_before_write_list_operations_enabled: bool,
    pub drop_truncate_table_enabled: bool,
    pub drop_keyspace_enabled: bool,
    pub alter_table_enabled: bool,
    pub uncompressed_tables_enabled: bool,
    pub simplestrategy_enabled: bool,
    pub zero_ttl_on_twcs_warned: bool,
    pub zero_ttl_on_twcs_enabled: bool,
    pub table_properties_warned: Vec<String>,
    pub table_properties_ignored: Vec<String>,
    pub table_properties_disallowed: Vec<String>,
    pub read_consistency_levels_warned: Vec<Consistency>,
    pub read_consistency_levels_disallowed: Vec<Consistency>,
    pub write_consistency_levels_warned: Vec<Consistency>,
    pub write_consistency_levels_disallowed: Vec<Consistency>,
}

impl Default for Guardrails {
    fn default() -> Self {
        Guardrails {
            tombstone: Threshold::new(1000, 100_000),
            // Cassandra has none. Without a bound one SELECT without pages could take all memory.
            coordinator_read_size: Threshold::new(OFF, 64 << 20),
            page_size: Threshold::OFF,
            partition_keys_in_select: Threshold::OFF,
            in_select_cartesian_product: Threshold::OFF,
            batch_size: Threshold::new(5 << 10, 50 << 10),
            unlogged_batch_across_partitions: Threshold::new(10, OFF),
            column_value_size: Threshold::OFF,
            collection_size: Threshold::OFF,
            items_per_collection: Threshold::OFF,
            maximum_timestamp: Threshold::OFF,
            minimum_timestamp: Threshold::OFF,
            keyspaces: Threshold::OFF,
            tables: Threshold::OFF,
            columns_per_table: Threshold::OFF,
            fields_per_udt: Threshold::OFF,
            vector_dimensions: Threshold::OFF,
            minimum_replication_factor: Threshold::OFF,
            maximum_replication_factor: Threshold::OFF,
            user_timestamps_enabled: true,
            allow_filtering_enabled: true,
            group_by_enabled: true,
            read_before_write_list_operations_enabled: true,
            drop_truncate_table_enabled: true,
            drop_keyspace_enabled: true,
            alter_table_enabled: true,
            uncompressed_tables_enabled: true,
            simplestrategy_enabled: true,
            zero_ttl_on_twcs_warned: true,
            zero_ttl_on_twcs_enabled: true,
            table_properties_warned: Vec::new(),
            table_properties_ignored: Vec::new(),
            table_properties_disallowed: Vec::new(),
            read_consistency_levels_warned: Vec::new(),
            read_consistency_levels_disallowed: Vec::new(),
            write_consistency_levels_warned: Vec::new(),
            write_consistency_levels_disallowed: Vec::new(),
        }
    }
}

impl Guardrails {
    /// Whether the value of every cell has to be looked at.
    #[must_use]
    pub fn watches_values(&self) -> bool {
        self.column_value_size.is_on()
            || self.collection_size.is_on()
            || self.items_per_collection.is_on()
    }

    /// Whether a SELECT has to be looked at before it runs.
    #[must_use]
    pub fn watches_reads(&self) -> bool {
        !self.allow_filtering_enabled
            || !self.group_by_enabled
            || !self.read_consistency_levels_warned.is_empty()
            || !self.read_consistency_levels_disallowed.is_empty()
    }

    /// Whether a modification has to be looked at before it runs.
    #[must_use]
    pub fn watches_writes(&self) -> bool {
        !self.user_timestamps_enabled
            || !self.read_before_write_list_operations_enabled
            || self.maximum_timestamp.is_on()
            || self.minimum_timestamp.is_on()
            || !self.write_consistency_levels_warned.is_empty()
            || !self.write_consistency_levels_disallowed.is_empty()
    }
}
