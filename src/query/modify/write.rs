//! A planned modification with the client's values becomes storage's mutations.

use std::collections::{BTreeMap, HashSet};

use cql_lite::types::key::clustering::{KeyColumn, row as row_position, spelling};
use cql_lite::types::key::path;
use cql_lite::types::{CqlType, frames};
use helenus_platform::codec::Reader;
use helenus_storage::model::counter::CounterId;
use helenus_storage::model::{
    Cell, Deletion, KeyspaceId, Liveness, MutationBuilder, PartitionKey, RowBuilder,
};

use crate::coordinator::Timestamps;
use crate::error::{Error, Result};
use crate::query::guardrails::value::ValueGuard;
use crate::query::number::to_i64;
use crate::query::restriction::{partition_keys, row_keys, slices};
use crate::query::term::{Bound, Environment, Term};
use crate::schema::{MAX_TTL_SECONDS, Table};

use super::limits::{check_bytes, check_clustering, check_row};
use super::list_paths::ListPaths;
use super::operation::{Action, Operation};
use super::plan::{ModifyKind, ModifyPlan, Target};
use super::read::{Reads, Scope};

/// What all statements of one request share when they are written.
pub(crate) struct WriteContext<'a> {
    /// Values and the moment.
    pub(crate) environment: &'a Environment<'a>,
    /// The timestamp of what does not bring its own: microseconds.
    pub(crate) timestamp: i64,
    /// Seconds since the epoch: when deletions happen and expiry is counted from.
    pub(crate) now_seconds: i64,
    /// Gives the moments, which no other request has, that list elements are added at.
    pub(crate) timestamps: &'a Timestamps,
    /// The shard that increments go to.
    pub(crate) counter_id: CounterId,
    /// The most bytes that all mutations of one request may have.
    pub(crate) bytes_max: usize,
    /// Looks at every value.
    pub(crate) guard: &'a ValueGuard<'a>,
}

/// A search through more partitions than these is by a map.
const SEARCHED_MAX: usize = 16;

/// Mutations being built, one for each partition of each keyspace.
#[derive(Debug, Default)]
pub(crate) struct MutationSet {
    mutations: Vec<(KeyspaceId, PartitionKey, MutationBuilder)>,
    /// Where each is, once there are more than [`SEARCHED_MAX`].
    places: BTreeMap<(KeyspaceId, PartitionKey), usize>,
    /// Bytes of rows added so far, a little less than what they will be when encoded.
    bytes: usize,
}

impl MutationSet {
    /// The mutation of this partition.
    pub(crate) fn partition(
        &mut self,
        keyspace: KeyspaceId,
        key: &PartitionKey,
    ) -> &mut MutationBuilder {
        let known = if self.mutations.len() <= SEARCHED_MAX {
            self.mutations.iter().position(|(ks, k, _)| *ks == keyspace && k == key)
        } else {
            self.place(keyspace, key)
        };
        let index = known.unwrap_or_else(|| {
            let builder = MutationBuilder::new(keyspace, key.as_ref());
            self.mutations.push((keyspace, key.clone(), builder));
            self.mutations.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed just above")]
        &mut self.mutations[index].2
    }

    /// Looks a partition up in the map, which is brought up to date.
    fn place(&mut self, keyspace: KeyspaceId, key: &PartitionKey) -> Option<usize> {
        let new = self.mutations.iter().enumerate().skip(self.places.len());
        self.places.extend(new.map(|(index, (ks, key, _))| ((*ks, key.clone()), index)));
        self.places.get(&(keyspace, key.clone())).copied()
    }

    /// The tables and keys are not known here; only how many partitions are touched.
    pub(crate) fn len(&self) -> usize {
        self.mutations.len()
    }

    /// The encoded mutations; those that say nothing are left out.
    pub(crate) fn finish(self) -> Result<Vec<Vec<u8>>> {
        let said = self.mutations.into_iter().filter(|(_, _, builder)| !builder.is_empty());
        said.map(|(_, _, builder)| Ok(builder.finish()?)).collect()
    }
}

/// Times of one statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) timestamp: i64,
    pub(super) ttl: u32,
    pub(super) now_seconds: i64,
}

impl Times {
    pub(super) fn expiry(&self) -> i64 {
        self.now_seconds.saturating_add(i64::from(self.ttl))
    }

    fn deletion(&self) -> Deletion {
        Deletion::new(self.timestamp, self.now_seconds)
    }
}

impl ModifyPlan {
    /// The partitions that the statement names.
    pub(crate) fn keys(&self, environment: &Environment<'_>) -> Result<Vec<PartitionKey>> {
        partition_keys(&self.table, &self.partition, environment)
    }

    /// Adds what the statement writes; `reads` has what it had to read.
    pub(crate) fn write(
        &self,
        keyspace: KeyspaceId,
        context: &WriteContext<'_>,
        reads: &mut Reads,
        mutations: &mut MutationSet,
    ) -> Result<()> {
        let times = self.times(context)?;
        for key in self.keys(context.environment)? {
            self.write_partition(keyspace, &key, times, context, reads, mutations)?;
        }
        Ok(())
    }

    /// Asks for the rows that the statement must read.
    pub(crate) fn want(&self, environment: &Environment<'_>, reads: &mut Reads) -> Result<()> {
        let exists = self.conditions.is_some() && self.conditions.columns().is_empty();
        let only_static = self.is_static() || self.conditions.only_static();
        for key in self.keys(environment)? {
            let operations = self.regulars.iter().any(|o| o.action.reads());
            if !self.is_static() && (operations || !only_static || exists) {
                for position in self.positions(environment)? {
                    reads.want_row(self.table.id, &key, &position);
                }
            }
            // With static conditions alone, a partition that has rows differs from one that has
            // nothing.
            let first_row = self.conditions.is_some() && only_static;
            reads.want_partition(self.table.id, &key, first_row);
        }
        Ok(())
    }

    /// The positions of the rows that the statement names.
    pub(crate) fn positions(&self, environment: &Environment<'_>) -> Result<Vec<Vec<u8>>> {
        let Target::Rows(parts) = &self.target else { return Ok(Vec::new()) };
        let rows = row_keys(parts, &self.table.clustering, environment)?;
        rows.iter().map(|values| Ok(position(&self.table, values)?.0)).collect()
    }

    pub(super) fn times(&self, context: &WriteContext<'_>) -> Result<Times> {
        let timestamp = match &self.timestamp {
            None => context.timestamp,
            Some(term) => timestamp_value(term, context.environment)?.unwrap_or(context.timestamp),
        };
        let default = self.table.options.default_time_to_live;
        let ttl = match &self.ttl {
            None => default,
            Some(term) => ttl_value(term, default, context.environment)?,
        };
        let ttl = u32::try_from(ttl).unwrap_or_default();
        Ok(Times { timestamp, ttl, now_seconds: context.now_seconds })
    }

    fn write_partition(
        &self,
        keyspace: KeyspaceId,
        key: &PartitionKey,
        times: Times,
        context: &WriteContext<'_>,
        reads: &mut Reads,
        mutations: &mut MutationSet,
    ) -> Result<()> {
        let environment = context.environment;
        let scope = Scope { table: self.table.id, key, position: None };
        let mut bytes = mutations.bytes;
        let table = mutations.partition(keyspace, key).table(self.table.id);
        if !self.statics.is_empty() {
            let mut row = RowBuilder::new();
            for operation in &self.statics {
                apply(&mut row, operation, times, context, &scope, reads)?;
            }
            if !row.is_empty() {
                let row = row.finish()?;
                bytes += row.len();
                check_bytes(&self.table, &key.key, bytes, context.bytes_max)?;
                table.static_row(&row)?;
            }
        }
        match &self.target {
            Target::Static => {}
            Target::Partition => {
                table.partition_deletion(times.deletion());
            }
            Target::Range(parts) => {
                for range in slices(parts, &self.table.clustering, environment)? {
                    bytes += range.start.len() + range.end.len();
                    check_bytes(&self.table, &key.key, bytes, context.bytes_max)?;
                    table.range_tombstone(&range, times.deletion());
                }
            }
            Target::Rows(parts) => {
                for values in row_keys(parts, &self.table.clustering, environment)? {
                    let (position, spelling) = position(&self.table, &values)?;
                    let mut row = RowBuilder::new();
                    let scope = Scope { position: Some(&position), ..scope };
                    // The spelling stands before the cells, but alone it makes no row.
                    if let Some(spelling) = spelling {
                        row.spelling(&spelling);
                    }
                    self.fill_row(&mut row, times, context, &scope, reads)?;
                    if row.is_empty() {
                        continue;
                    }
                    let row = row.finish()?;
                    bytes += position.len() + row.len();
                    check_bytes(&self.table, &key.key, bytes, context.bytes_max)?;
                    table.row(&position, &row);
                }
            }
        }
        mutations.bytes = bytes;
        Ok(())
    }

    fn fill_row(
        &self,
        row: &mut RowBuilder,
        times: Times,
        context: &WriteContext<'_>,
        scope: &Scope<'_>,
        reads: &mut Reads,
    ) -> Result<()> {
        match self.kind {
            ModifyKind::Insert => {
                row.liveness(Liveness::expiring(times.timestamp, times.ttl, times.expiry()));
            }
            ModifyKind::Delete if self.regulars.is_empty() && self.statics.is_empty() => {
                row.deletion(times.deletion());
            }
            ModifyKind::Update | ModifyKind::Delete => {}
        }
        let mut operations = self.regulars.iter();
        operations.try_for_each(|operation| apply(row, operation, times, context, scope, reads))
    }
}

/// The position of a row, and its spelling where it needs one.
pub(super) fn position(table: &Table, values: &[Vec<u8>]) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
    check_clustering(values.iter().map(Vec::len))?;
    let columns: Vec<KeyColumn<'_>> = table
        .clustering
        .iter()
        .map(|column| KeyColumn { ty: &column.ty, descending: column.descending })
        .collect();
    let values: Vec<Option<&[u8]>> = values.iter().map(|value| Some(value.as_slice())).collect();
    Ok((row_position(&columns, &values)?, spelling(&columns, &values)))
}

/// The value of USING TIMESTAMP; none if it is not set.
pub(crate) fn timestamp_value(term: &Term, environment: &Environment<'_>) -> Result<Option<i64>> {
    match term.evaluate(environment)? {
        Bound::Unset => Ok(None),
        Bound::Null => Err(Error::invalid("Invalid null value of timestamp")),
        Bound::Bytes(bytes) => match Reader::new(&bytes).i64_be() {
            Ok(i64::MIN) | Err(_) => Err(Error::invalid("Invalid timestamp value")),
            Ok(timestamp) => Ok(Some(timestamp)),
        },
    }
}

fn ttl_value(term: &Term, default: i32, environment: &Environment<'_>) -> Result<i32> {
    let ttl = match term.evaluate(environment)? {
        Bound::Unset => return Ok(default),
        Bound::Null => return Ok(0),
        Bound::Bytes(bytes) => {
            Reader::new(&bytes).i32_be().map_err(|_| Error::invalid("Invalid ttl value"))?
        }
    };
    if ttl < 0 {
        return Err(Error::invalid(format!("A TTL must be greater or equal to 0, but was {ttl}")));
    }
    if ttl > MAX_TTL_SECONDS {
        return Err(Error::invalid(format!(
            "ttl is too large. requested ({ttl}) maximum ({MAX_TTL_SECONDS})"
        )));
    }
    Ok(ttl)
}

/// Adds the cells of one operation.
fn apply(
    row: &mut RowBuilder,
    operation: &Operation,
    times: Times,
    context: &WriteContext<'_>,
    scope: &Scope<'_>,
    reads: &mut Reads,
) -> Result<()> {
    let (id, ty) = (operation.column.id, &operation.column.ty);
    let live = |value| Cell::expiring(id, times.timestamp, times.ttl, times.expiry(), value);
    let dead = || Cell::tombstone(id, times.timestamp, times.now_seconds);
    let value = |term: &Term| term.evaluate(context.environment).map(Bound::into_owned);
    let guard_whole = |bytes: &[u8]| context.guard.whole(&operation.column, bytes);
    let guard_part = |bytes: &[u8]| context.guard.part(&operation.column, bytes);
    match &operation.action {
        Action::Set(term) => {
            // The plain case borrows the client's bytes.
            let value = term.evaluate(context.environment)?;
            value.bytes().map_or(Ok(()), guard_whole)?;
            match (&value, ty.is_multi_cell()) {
                (Bound::Unset, _) => {}
                (Bound::Null, false) if ty.is_counter() => {
                    row.cell(Cell::counter_tombstone(id, times.timestamp, times.now_seconds));
                }
                (Bound::Null, false) => {
                    row.cell(dead());
                }
                (Bound::Bytes(bytes), false) => {
                    row.cell(live(bytes));
                }
                (Bound::Null, true) => {
                    row.column_deletion(id, times.deletion());
                }
                (Bound::Bytes(bytes), true) => {
                    // What the collection held goes one microsecond before what it gets.
                    let before = times.timestamp.saturating_sub(1);
                    row.column_deletion(id, Deletion::new(before, times.now_seconds));
                    put_elements(row, ty, bytes, &live, context, false)?;
                }
            }
        }
        Action::Append(term) | Action::Put(term) => {
            if let Bound::Bytes(bytes) = value(term)? {
                guard_whole(&bytes)?;
                put_elements(row, ty, &bytes, &live, context, false)?;
            }
        }
        Action::Prepend(term) => {
            if let Bound::Bytes(bytes) = value(term)? {
                guard_whole(&bytes)?;
                put_elements(row, ty, &bytes, &live, context, true)?;
            }
        }
        Action::RemoveKeys(term) => {
            if let (Bound::Bytes(bytes), Some(element)) = (value(term)?, key_type(ty)) {
                for bytes in frames::set_elements(&bytes)? {
                    let bytes = bytes?;
                    guard_part(bytes)?;
                    row.cell(dead().with_path(&path::element(element, bytes)?));
                    check_row(row, context.bytes_max)?;
                }
            }
        }
        Action::SetEntry(key, term) => {
            let key = value(key)?;
            key.bytes().map_or(Ok(()), guard_part)?;
            let path = key_path(ty, key, "map key")?;
            let Some((path, spelling)) = path else { return Ok(()) };
            match value(term)? {
                Bound::Unset => {}
                Bound::Null => {
                    row.cell(dead().with_path(&path));
                }
                Bound::Bytes(bytes) => {
                    guard_part(&bytes)?;
                    let cell = live(&bytes).with_path(&path);
                    row.cell(spelled(cell, spelling.as_deref()));
                }
            }
        }
        Action::RemoveKey(key) => {
            let what = if matches!(ty, CqlType::Set(_)) { "set element" } else { "map key" };
            let key = value(key)?;
            key.bytes().map_or(Ok(()), guard_part)?;
            if let Some((path, _)) = key_path(ty, key, what)? {
                row.cell(dead().with_path(&path));
            }
        }
        Action::SetField(index, term) => {
            let path = path::field(u16::try_from(*index).unwrap_or(u16::MAX));
            match value(term)? {
                Bound::Unset => {}
                Bound::Null => {
                    row.cell(dead().with_path(&path));
                }
                Bound::Bytes(bytes) => {
                    guard_part(&bytes)?;
                    row.cell(live(&bytes).with_path(&path));
                }
            }
        }
        Action::RemoveField(index) => {
            let path = path::field(u16::try_from(*index).unwrap_or(u16::MAX));
            row.cell(dead().with_path(&path));
        }
        Action::SetIndex(index, term) => {
            let elements = reads.list(scope, id)?;
            let (path, _) = list_element(&elements, value(index)?, "set an element on a list")?;
            match value(term)? {
                Bound::Unset => {}
                Bound::Null => {
                    row.cell(dead().with_path(path));
                }
                Bound::Bytes(bytes) => {
                    guard_part(&bytes)?;
                    row.cell(live(&bytes).with_path(path));
                }
            }
        }
        Action::RemoveIndex(index) => {
            let elements = reads.list(scope, id)?;
            let what = "delete an element from a list";
            let (path, _) = list_element(&elements, value(index)?, what)?;
            row.cell(dead().with_path(path));
        }
        Action::RemoveValues(term) => {
            if let Bound::Bytes(bytes) = value(term)? {
                let gone: HashSet<&[u8]> =
                    frames::list_elements(&bytes)?.collect::<std::result::Result<_, _>>()?;
                for (path, value) in &reads.list(scope, id)? {
                    if gone.contains(&value.as_slice()) {
                        row.cell(dead().with_path(path));
                    }
                }
            }
        }
        Action::Increment(term, negative) => {
            let Some(delta) = increment(value(term)?, *negative)? else { return Ok(()) };
            let shard = reads.raise(scope, id, context.counter_id, delta, times.timestamp)?;
            let mut bytes = Vec::new();
            shard.encode(&mut bytes);
            row.cell(Cell::counter(id, shard.clock, &bytes));
        }
    }
    Ok(())
}

/// The element of a list at an index.
fn list_element<'e>(
    elements: &'e [(Vec<u8>, Vec<u8>)],
    index: Bound<'_>,
    what: &str,
) -> Result<(&'e [u8], &'e [u8])> {
    let index = match index {
        Bound::Bytes(bytes) => to_i64(&bytes),
        Bound::Null => return Err(Error::invalid("Invalid null value for list index")),
        Bound::Unset => return Err(Error::invalid("Invalid unset value for list index")),
    };
    if elements.is_empty() {
        return Err(Error::invalid(format!("Attempted to {what} which is null")));
    }
    let found = usize::try_from(index).ok().and_then(|index| elements.get(index));
    found.map(|(path, value)| (path.as_slice(), value.as_slice())).ok_or_else(|| {
        Error::invalid(format!("List index {index} out of bound, list has size {}", elements.len()))
    })
}

/// By how much a counter is raised; none if the value is not set.
fn increment(value: Bound<'_>, negative: bool) -> Result<Option<i64>> {
    match value {
        Bound::Unset => Ok(None),
        Bound::Null => Err(Error::invalid("Invalid null value for counter increment")),
        Bound::Bytes(bytes) => {
            let delta = to_i64(&bytes);
            match (negative, delta.checked_neg()) {
                (false, _) => Ok(Some(delta)),
                (true, Some(negated)) => Ok(Some(negated)),
                (true, None) => Err(Error::invalid(format!(
                    "The negation of {delta} overflows supported counter precision (signed 8 bytes \
                     integer)"
                ))),
            }
        }
    }
}

fn spelled<'a>(cell: Cell<'a>, spelling: Option<&'a [u8]>) -> Cell<'a> {
    match spelling {
        Some(spelling) => cell.with_path_spelling(spelling),
        None => cell,
    }
}

/// The type of a set's elements or a map's keys.
fn key_type(ty: &CqlType) -> Option<&CqlType> {
    match ty {
        CqlType::Set(element) => Some(element),
        CqlType::Map(key, _) => Some(key),
        _ => None,
    }
}

type Path = (Vec<u8>, Option<Vec<u8>>);

/// The path of a key, with its spelling where it needs one; none if the key is not set.
fn key_path(ty: &CqlType, key: Bound<'_>, what: &str) -> Result<Option<Path>> {
    let Some(key_type) = key_type(ty) else { return Ok(None) };
    match key {
        Bound::Bytes(bytes) => {
            let spelling = path::spelling(key_type, &bytes).map(<[u8]>::to_vec);
            Ok(Some((path::element(key_type, &bytes)?, spelling)))
        }
        Bound::Null => Err(Error::invalid(format!("Invalid null {what}"))),
        Bound::Unset => Err(Error::invalid(format!("Invalid unset {what}"))),
    }
}

/// Adds one cell per element of a serialized collection or field of a UDT.
fn put_elements<'c>(
    row: &mut RowBuilder,
    ty: &CqlType,
    bytes: &'c [u8],
    live: &dyn Fn(&'c [u8]) -> Cell<'c>,
    context: &WriteContext<'_>,
    at_front: bool,
) -> Result<()> {
    match ty {
        CqlType::List(_) => {
            let mut paths = ListPaths::new(context, at_front);
            for element in frames::list_elements(bytes)? {
                let path = paths.next()?;
                let cell = live(element?);
                row.cell(Cell { path: Some(&path), ..cell });
                check_row(row, context.bytes_max)?;
            }
        }
        CqlType::Set(element) => {
            for bytes in frames::set_elements(bytes)? {
                let bytes = bytes?;
                let path = path::element(element, bytes)?;
                let cell = Cell { path: Some(&path), ..live(&[]) };
                row.cell(spelled(cell, path::spelling(element, bytes)));
                check_row(row, context.bytes_max)?;
            }
        }
        CqlType::Map(key, _) => {
            for (k, v) in frames::map_entries(bytes)? {
                let path = path::element(key, k)?;
                let cell = Cell { path: Some(&path), ..live(v) };
                row.cell(spelled(cell, path::spelling(key, k)));
                check_row(row, context.bytes_max)?;
            }
        }
        CqlType::Udt(udt) => {
            for (index, field) in frames::udt_fields(bytes, udt)?.into_iter().enumerate() {
                let path = path::field(u16::try_from(index).unwrap_or(u16::MAX));
                if let Some(bytes) = field {
                    row.cell(Cell { path: Some(&path), ..live(bytes) });
                }
            }
        }
        _ => {}
    }
    Ok(())
}
