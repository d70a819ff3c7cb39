//! Changes of the schema: how much it may hold, and what may be changed at all.

use cql_lite::types::CqlType;

use crate::config::Guardrails as Limits;
use crate::error::Result;
use crate::schema::{KeyspaceKind, Properties, Schema, Table, TableOptions, TableSource};

use super::{Guardrail, Passed};

const KEYSPACES: Guardrail = Guardrail::new("keyspaces");
const TABLES: Guardrail = Guardrail::new("tables");
const COLUMNS: Guardrail = Guardrail::new("columns_per_table");
const FIELDS: Guardrail = Guardrail::new("fields_per_udt");
const DIMENSIONS: Guardrail = Guardrail::new("vector_dimensions");
const REPLICAS_MIN: Guardrail = Guardrail::new("minimum_replication_factor");
const REPLICAS_MAX: Guardrail = Guardrail::new("maximum_replication_factor");
const PROPERTIES: Guardrail = Guardrail::new("table_properties");
const SIMPLE_STRATEGY: Guardrail = Guardrail::new("simplestrategy");
const ALTER_TABLE: Guardrail = Guardrail::new("alter_table");
const DROP_TABLE: Guardrail = Guardrail::new("drop_truncate_table_enabled");
const DROP_KEYSPACE: Guardrail = Guardrail::new("drop_keyspace_enabled");
const UNCOMPRESSED: Guardrail = Guardrail::new("uncompressed_tables_enabled");
const ZERO_TTL: Guardrail = Guardrail::because(
    "zero_ttl_on_twcs",
    "It is suspicious to use default_time_to_live set to 0 with such compaction strategy. Please \
     keep in mind that data will not start to automatically expire after they are older than a \
     respective compaction window unit of a certain size. Please set TTL for your INSERT or \
     UPDATE statements if you expect data to be expired as table settings will not do it. ",
);

/// What a change of the schema is judged by, and the warnings that it has earned.
#[derive(Debug)]
pub(crate) struct DefinitionGuard<'a> {
    limits: &'a Limits,
    warnings: Vec<String>,
}

impl<'a> DefinitionGuard<'a> {
    /// A guard of one statement.
    pub(crate) fn new(limits: &'a Limits) -> DefinitionGuard<'a> {
        DefinitionGuard { limits, warnings: Vec::new() }
    }

    /// The warnings.
    pub(crate) fn into_warnings(self) -> Vec<String> {
        self.warnings
    }

    /// Warns of something else.
    pub(crate) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// Judges one keyspace more.
    pub(crate) fn one_keyspace_more(&mut self, schema: &Schema, name: &str) -> Result<()> {
        let keyspaces = schema.keyspaces().values();
        let own = keyspaces.filter(|keyspace| keyspace.kind == KeyspaceKind::User).count();
        let count = own as u64 + 1;
        let warning = KEYSPACES.at_most(self.limits.keyspaces, count, |passed| match passed {
            Passed::Warning(threshold) => format!(
                "Creating keyspace {name}, current number of keyspaces {count} exceeds warning \
                 threshold of {threshold}."
            ),
            Passed::Failure(threshold) => format!(
                "Cannot have more than {threshold} keyspaces, aborting the creation of keyspace \
                 {name}"
            ),
        })?;
        self.warnings.extend(warning);
        Ok(())
    }

    /// Judges one table more.
    pub(crate) fn one_table_more(&mut self, schema: &Schema, name: &str) -> Result<()> {
        let user = |table: &Table| {
            let keyspace = schema.keyspace(&table.keyspace);
            keyspace.is_some_and(|keyspace| keyspace.kind == KeyspaceKind::User)
        };
        let tables = schema.tables().values().filter(|table| table.source == TableSource::Stored);
        let count = tables.filter(|table| user(table)).count() as u64 + 1;
        let warning = TABLES.at_most(self.limits.tables, count, |passed| match passed {
            Passed::Warning(threshold) => format!(
                "Creating table {name}, current number of tables {count} exceeds warning \
                 threshold of {threshold}."
            ),
            Passed::Failure(threshold) => format!(
                "Cannot have more than {threshold} tables, aborting the creation of table {name}"
            ),
        })?;
        self.warnings.extend(warning);
        Ok(())
    }

    /// Judges the columns of a table.
    pub(crate) fn columns(&mut self, table: &str, count: usize) -> Result<()> {
        let limit = self.limits.columns_per_table;
        let warning = COLUMNS.at_most(limit, count as u64, |passed| match passed {
            Passed::Warning(threshold) => format!(
                "The table {table} has {count} columns, this exceeds the warning threshold of \
                 {threshold}."
            ),
            Passed::Failure(threshold) => format!(
                "Tables cannot have more than {threshold} columns, but {count} provided for \
                 table {table}"
            ),
        })?;
        self.warnings.extend(warning);
        Ok(())
    }

    /// Judges the fields of a type.
    pub(crate) fn fields(&mut self, udt: &str, count: usize) -> Result<()> {
        let limit = self.limits.fields_per_udt;
        let warning = FIELDS.at_most(limit, count as u64, |passed| match passed {
            Passed::Warning(threshold) => format!(
                "The user type {udt} has {count} columns, this exceeds the warning threshold of \
                 {threshold}."
            ),
            Passed::Failure(threshold) => format!(
                "User types cannot have more than {threshold} columns, but {count} provided for \
                 user type {udt}."
            ),
        })?;
        self.warnings.extend(warning);
        Ok(())
    }

    /// Judges the vectors in the type of `what`.
    pub(crate) fn vectors(&mut self, what: &str, ty: &CqlType) -> Result<()> {
        if !self.limits.vector_dimensions.is_on() {
            return Ok(());
        }
        if let CqlType::Vector(_, dimensions) = ty {
            let limit = self.limits.vector_dimensions;
            let warning = DIMENSIONS.at_most(limit, *dimensions as u64, |passed| {
                format!(
                    "{what} has a vector of {dimensions} dimensions, this exceeds the {} \
                     threshold of {}.",
                    passed.name(),
                    passed.threshold()
                )
            })?;
            self.warnings.extend(warning);
        }
        // A user-defined type was judged when it was made.
        let own = !matches!(ty, CqlType::Udt(_));
        ty.children().into_iter().filter(|_| own).try_for_each(|part| self.vectors(what, part))
    }

    /// Judges the replicas of a keyspace.
    pub(crate) fn replicas(&mut self, keyspace: &str, count: usize) -> Result<()> {
        let sentence = |place: &'static str| {
            move |passed: Passed| {
                format!(
                    "The keyspace {keyspace} has a replication factor of {count}, {place} the {} \
                     threshold of {}.",
                    passed.name(),
                    passed.threshold()
                )
            }
        };
        let (least, most) =
            (self.limits.minimum_replication_factor, self.limits.maximum_replication_factor);
        self.warnings.extend(REPLICAS_MIN.at_least(least, count as u64, sentence("below"))?);
        self.warnings.extend(REPLICAS_MAX.at_most(most, count as u64, sentence("above"))?);
        Ok(())
    }

    /// Judges the properties of a table, and takes out those that are to be ignored.
    pub(crate) fn properties(&mut self, given: &mut Properties) -> Result<()> {
        let what = "Table Properties";
        let names = |list: &'a [String]| list.iter().map(String::as_str).collect::<Vec<&str>>();
        let disallowed = names(&self.limits.table_properties_disallowed);
        let ignored = names(&self.limits.table_properties_ignored);
        let warned = names(&self.limits.table_properties_warned);
        let used: Vec<&str> = given.names().collect();
        PROPERTIES.not_disallowed(&used, &disallowed, what)?;
        if let Some(found) = super::common(&used, &ignored) {
            self.warnings.push(PROPERTIES.violated(&format!(
                "Ignoring provided values {found} as they are not supported for {what} (ignored \
                 values are: {})",
                super::list(&ignored)
            )));
        }
        self.warnings.extend(PROPERTIES.not_warned(&used, &warned, what));
        ignored.iter().for_each(|name| given.remove(name));
        Ok(())
    }

    /// Judges the options that a table would have.
    pub(crate) fn options(&mut self, options: &TableOptions) -> Result<()> {
        let enabled = self.limits.uncompressed_tables_enabled || options.is_compressed();
        UNCOMPRESSED.enabled(enabled, "Uncompressed table")?;
        if options.default_time_to_live != 0 || !options.has_time_windows() {
            return Ok(());
        }
        let feature = "0 default_time_to_live on a table with TimeWindowCompactionStrategy compaction \
             strategy";
        ZERO_TTL.enabled(self.limits.zero_ttl_on_twcs_enabled, feature)?;
        if self.limits.zero_ttl_on_twcs_warned {
            self.warnings.push(ZERO_TTL.violated(&format!("{feature} is not recommended")));
        }
        Ok(())
    }

    /// Judges the use of SimpleStrategy.
    pub(crate) fn simple_strategy(&self) -> Result<()> {
        SIMPLE_STRATEGY.enabled(self.limits.simplestrategy_enabled, "SimpleStrategy")
    }

    /// Judges ALTER TABLE that changes columns.
    pub(crate) fn alter_columns(&self) -> Result<()> {
        ALTER_TABLE.enabled(self.limits.alter_table_enabled, "ALTER TABLE changing columns")
    }
}

/// Judges DROP TABLE and TRUNCATE.
pub(crate) fn check_drop_table(limits: &Limits) -> Result<()> {
    let feature = "DROP and TRUNCATE TABLE functionality";
    DROP_TABLE.enabled(limits.drop_truncate_table_enabled, feature)
}

/// Judges DROP KEYSPACE.
pub(crate) fn check_drop_keyspace(limits: &Limits) -> Result<()> {
    DROP_KEYSPACE.enabled(limits.drop_keyspace_enabled, "DROP KEYSPACE functionality")
}
