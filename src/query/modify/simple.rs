//! The short way of the commonest writes: one row of one partition, named by single values, with
//! whole values for plain columns. Nothing is allocated here but what storage keeps.
//!
//! What it writes is what the long way in `write` writes; a test compares them.

use std::borrow::Cow;

use cql_lite::types::key::clustering::{KeyColumn, ROW, spelling};
use cql_lite::types::key::{encode_component, needs_spelling};
use cql_lite::types::partition_key::{self, PARTITION_KEY_BYTES_MAX, PartitionKeyError};
use helenus_platform::murmur3;
use helenus_storage::model::{
    Cell, KeyspaceId, Liveness, MutationBuilder, PartitionKeyRef, RowBuilder, Token,
};

use crate::error::{Error, Result};
use crate::query::restriction::{KeyPart, null_value, unset_value};
use crate::query::term::{Bound, Environment, Term};

use super::limits::{CLUSTERING_BYTES_MAX, check_bytes, check_clustering};
use super::operation::Action;
use super::plan::{ModifyKind, ModifyPlan, Target};
use super::write::WriteContext;

impl ModifyPlan {
    /// Whether the short way will do.
    pub(super) fn is_simple(&self) -> bool {
        let plain = |action: &Action| matches!(action, Action::Set(_));
        self.kind != ModifyKind::Delete
            && self.statics.is_empty()
            && !self.conditions.is_some()
            && !self.table.counter
            && self.partition.iter().all(|part| matches!(part, KeyPart::One(_)))
            && self.regulars.iter().all(|o| plain(&o.action) && !o.column.ty.is_multi_cell())
            && match &self.target {
                Target::Rows(parts) => parts.iter().all(|part| part.single_term().is_some()),
                _ => false,
            }
    }

    /// The mutation of a simple plan; none if it says nothing.
    pub(super) fn write_simple(
        &self,
        keyspace: KeyspaceId,
        context: &WriteContext<'_>,
    ) -> Result<Option<Vec<u8>>> {
        let environment = context.environment;
        let times = self.times(context)?;
        let key = self.simple_key(environment)?;
        let mut row = RowBuilder::new();
        let mut position = Vec::new();
        self.simple_position(environment, &mut position, &mut row)?;
        if self.kind == ModifyKind::Insert {
            row.liveness(Liveness::expiring(times.timestamp, times.ttl, times.expiry()));
        }
        for operation in &self.regulars {
            let Action::Set(term) = &operation.action else { continue };
            let id = operation.column.id;
            match term.evaluate(environment)? {
                Bound::Unset => {}
                Bound::Null => {
                    row.cell(Cell::tombstone(id, times.timestamp, times.now_seconds));
                }
                Bound::Bytes(bytes) => {
                    context.guard.whole(&operation.column, &bytes)?;
                    let (ttl, expiry) = (times.ttl, times.expiry());
                    row.cell(Cell::expiring(id, times.timestamp, ttl, expiry, &bytes));
                }
            }
        }
        if row.is_empty() {
            return Ok(None);
        }
        let token = Token(murmur3::token(&key));
        let mut mutation = MutationBuilder::new(keyspace, PartitionKeyRef { token, key: &key });
        let row = row.finish()?;
        check_bytes(&self.table, &key, row.len(), context.bytes_max)?;
        mutation.table(self.table.id).row(&position, &row);
        let mutation = mutation.finish()?;
        check_bytes(&self.table, &key, mutation.len(), context.bytes_max)?;
        Ok(Some(mutation))
    }

    /// The bytes of the partition key.
    fn simple_key<'a>(&'a self, environment: &Environment<'a>) -> Result<Cow<'a, [u8]>> {
        if let [KeyPart::One(term)] = self.partition.as_slice() {
            let bytes = self.key_value(term, 0, environment)?;
            if bytes.is_empty() {
                return Err(Error::invalid("Key may not be empty"));
            }
            if bytes.len() > PARTITION_KEY_BYTES_MAX {
                let error = PartitionKeyError::TooLong(bytes.len());
                return Err(Error::invalid(error.to_string()));
            }
            return Ok(bytes);
        }
        let mut parts = Vec::with_capacity(self.partition.len());
        for (index, part) in self.partition.iter().enumerate() {
            if let KeyPart::One(term) = part {
                parts.push(self.key_value(term, index, environment)?);
            }
        }
        let parts: Vec<&[u8]> = parts.iter().map(AsRef::as_ref).collect();
        let key = partition_key::compose(&parts);
        key.map(Cow::Owned).map_err(|error| Error::invalid(error.to_string()))
    }

    fn key_value<'a>(
        &self,
        term: &'a Term,
        index: usize,
        environment: &Environment<'a>,
    ) -> Result<Cow<'a, [u8]>> {
        let name = || self.table.partition_key.get(index).map_or("", |c| c.name.as_str());
        match term.evaluate(environment)? {
            Bound::Bytes(bytes) => Ok(bytes),
            Bound::Null => Err(null_value(name())),
            Bound::Unset => Err(unset_value(name())),
        }
    }

    /// The row's position; its spelling goes into the row where it needs one.
    fn simple_position(
        &self,
        environment: &Environment<'_>,
        position: &mut Vec<u8>,
        row: &mut RowBuilder,
    ) -> Result<()> {
        let Target::Rows(parts) = &self.target else { return Ok(()) };
        let mut spelled = false;
        let mut too_long = false;
        for (part, column) in parts.iter().zip(&self.table.clustering) {
            let Some(term) = part.single_term() else { continue };
            match term.evaluate(environment)? {
                Bound::Bytes(bytes) => {
                    too_long |= bytes.len() > CLUSTERING_BYTES_MAX;
                    spelled |= needs_spelling(&column.ty, &bytes);
                    encode_component(&column.ty, Some(&bytes), column.descending, position)?;
                }
                Bound::Null => return Err(null_value(&column.name)),
                Bound::Unset => return Err(unset_value(&column.name)),
            }
        }
        if too_long {
            return self.check_lengths(environment);
        }
        position.push(ROW);
        if spelled {
            self.put_spelling(environment, row)?;
        }
        Ok(())
    }

    fn check_lengths(&self, environment: &Environment<'_>) -> Result<()> {
        let Target::Rows(parts) = &self.target else { return Ok(()) };
        let mut lengths = Vec::with_capacity(parts.len());
        for term in parts.iter().filter_map(|part| part.single_term()) {
            lengths.push(term.evaluate(environment)?.bytes().map_or(0, <[u8]>::len));
        }
        check_clustering(lengths.iter().copied())
    }

    fn put_spelling(&self, environment: &Environment<'_>, row: &mut RowBuilder) -> Result<()> {
        let Target::Rows(parts) = &self.target else { return Ok(()) };
        let mut values = Vec::with_capacity(parts.len());
        for part in parts {
            if let Some(term) = part.single_term() {
                values.push(term.evaluate(environment)?);
            }
        }
        let values: Vec<Option<&[u8]>> = values.iter().map(Bound::bytes).collect();
        let columns = self.table.clustering.iter();
        let columns: Vec<KeyColumn<'_>> = columns
            .map(|column| KeyColumn { ty: &column.ty, descending: column.descending })
            .collect();
        if let Some(bytes) = spelling(&columns, &values) {
            row.spelling(&bytes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use helenus_platform::clock::ManualClock;
    use helenus_platform::random::SeededRandom;
    use helenus_storage::model::counter::CounterId;

    use super::*;
    use crate::coordinator::Timestamps;
    use crate::query::Guardrails;
    use crate::query::bindings::Bindings;
    use crate::query::guardrails::value::ValueGuard;
    use crate::query::modify::read::Reads;
    use crate::query::modify::write::MutationSet;
    use crate::query::prepare;
    use crate::query::prepared::Plan;
    use crate::query::tests::schema_of;

    #[test]
    fn the_short_way_writes_what_the_long_way_writes() {
        let schema = schema_of(&[
            "CREATE TABLE ks.a (k int PRIMARY KEY, v text, n int)",
            "CREATE TABLE ks.b (k int, l text, c decimal, d text, v int, w blob, \
             PRIMARY KEY ((k, l), c, d)) WITH CLUSTERING ORDER BY (c DESC, d ASC) \
             AND default_time_to_live = 60",
        ]);
        let statements = [
            "INSERT INTO ks.a (k, v, n) VALUES (1, 'x', 5)",
            "INSERT INTO ks.a (n, k, v) VALUES (5, 1, null) USING TTL 5 AND TIMESTAMP 7",
            "INSERT INTO ks.a (k) VALUES (1)",
            "UPDATE ks.a SET n = 4, v = 'y' WHERE k = 9",
            "INSERT INTO ks.b (k, l, c, d, w, v) VALUES (1, 'l', 1.00, 'd', 0xff, 2)",
            "UPDATE ks.b USING TTL 0 SET v = null WHERE k = 1 AND l = '' AND c = 2 AND d = ''",
        ];
        let clock = Arc::new(ManualClock::new(1_000_000));
        let timestamps = Timestamps::new(clock, 0);
        let random = SeededRandom::new(1);
        let guardrails = Guardrails::default();
        for text in statements {
            let prepared = prepare(&schema, None, text, None).unwrap();
            let Plan::Modify(plan) = &prepared.plan else { panic!("{text}") };
            assert!(plan.is_simple(), "{text}");
            let bindings = Bindings::EMPTY;
            let environment = Environment::new(&bindings, 1_000_000, &random);
            let context = WriteContext {
                environment: &environment,
                timestamp: 99,
                now_seconds: 1,
                timestamps: &timestamps,
                counter_id: CounterId { host: [0; 16], generation: 0 },
                bytes_max: 1 << 20,
                guard: &ValueGuard::new(&guardrails),
            };
            let keyspace = KeyspaceId(3);
            let short = plan.write_simple(keyspace, &context).unwrap();
            let mut long = MutationSet::default();
            plan.write(keyspace, &context, &mut Reads::default(), &mut long).unwrap();
            assert_eq!(long.finish().unwrap().pop(), short, "{text}");
        }
    }
}
