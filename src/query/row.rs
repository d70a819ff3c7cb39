//! The row that a read stands at, taken apart: every value that a statement needs, by column.
//!
//! Values of simple columns stay where storage has them, those of multi-cell columns and of
//! clustering columns are put together in buffers that are used again for every row.

use cql_lite::types::key::clustering::{ClusteringReader, KeyColumn};
use cql_lite::types::key::path;
use cql_lite::types::{CqlType, partition_key};
use helenus_platform::codec::Put;
use helenus_storage::model::{
    Cell, CellKind, ColumnId, ColumnSet, Entry, PartitionKey, RowRef, counter,
};

use crate::error::{Error, Result};
use crate::schema::{Column, ColumnKind, Table};

use super::restriction::ColumnRef;

/// A static or regular column that a statement needs.
#[derive(Debug, Clone)]
struct Slot {
    id: ColumnId,
    ty: CqlType,
    /// Whether somebody asks for timestamps or TTLs.
    info: bool,
}

/// Which columns a statement needs, in the order in which storage hands them over.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowShape {
    key_columns: usize,
    clustering: Vec<(CqlType, bool)>,
    statics: Vec<Slot>,
    regulars: Vec<Slot>,
    /// Slot of a column by its index in the table; `usize::MAX` for those not needed.
    static_slots: Vec<usize>,
    regular_slots: Vec<usize>,
    /// What storage has to hand over.
    column_set: ColumnSet,
}

impl RowShape {
    /// The shape for these columns; `info` are those whose timestamps or TTLs are asked for.
    pub(crate) fn new(table: &Table, columns: &[ColumnRef], info: &[ColumnRef]) -> RowShape {
        let pick = |kind: ColumnKind, list: &[Column]| {
            let wanted = |index: usize| columns.contains(&ColumnRef { kind, index });
            let mut chosen: Vec<(usize, &Column)> =
                list.iter().enumerate().filter(|(index, _)| wanted(*index)).collect();
            chosen.sort_by_key(|(_, column)| column.id);
            let mut slots = vec![usize::MAX; list.len()];
            for (slot, (index, _)) in chosen.iter().enumerate() {
                if let Some(place) = slots.get_mut(*index) {
                    *place = slot;
                }
            }
            let slot = |(index, column): &(usize, &Column)| Slot {
                id: column.id,
                ty: column.ty.clone(),
                info: info.contains(&ColumnRef { kind, index: *index }),
            };
            (chosen.iter().map(slot).collect::<Vec<Slot>>(), slots)
        };
        let (statics, static_slots) = pick(ColumnKind::Static, &table.statics);
        let (regulars, regular_slots) = pick(ColumnKind::Regular, &table.regulars);
        let clustering = table.clustering.iter().map(|c| (c.ty.clone(), c.descending)).collect();
        let key_columns = table.partition_key.len();
        let column_set = ColumnSet::of(statics.iter().chain(&regulars).map(|slot| slot.id));
        RowShape {
            column_set,
            key_columns,
            clustering,
            statics,
            regulars,
            static_slots,
            regular_slots,
        }
    }

    /// The columns that storage has to hand over.
    pub(crate) fn column_set(&self) -> ColumnSet {
        self.column_set.clone()
    }

    fn slot(&self, column: ColumnRef) -> usize {
        let slots = match column.kind {
            ColumnKind::Static => &self.static_slots,
            _ => &self.regular_slots,
        };
        slots.get(column.index).copied().unwrap_or(usize::MAX)
    }
}

/// Where a value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    /// In the row's own bytes.
    Row(u32, u32),
    /// In the buffer of values put together.
    Built(u32, u32),
}

/// When a cell was written, and how long it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CellInfo {
    /// Microseconds.
    pub(crate) timestamp: i64,
    /// Seconds since the epoch; `i64::MAX` for none.
    pub(crate) expiry: i64,
}

/// The values of the columns of one row, or of a static row.
#[derive(Debug, Clone, Default)]
struct Cells {
    places: Vec<Place>,
    built: Vec<u8>,
    /// Per slot that asks for it: one per cell.
    infos: Vec<Vec<CellInfo>>,
    /// A copy of the row's bytes, where the row must outlive the call that brings it.
    kept: Vec<u8>,
}

/// The row that a read stands at.
#[derive(Debug, Clone, Default)]
pub(crate) struct CurrentRow {
    key: Vec<u8>,
    key_parts: Vec<(u32, u32)>,
    clustering: Vec<Option<(u32, u32)>>,
    clustering_bytes: Vec<u8>,
    statics: Cells,
    regulars: Cells,
}

fn range(start: usize, length: usize) -> (u32, u32) {
    // Rows and keys are far below 4 GiB: a mutation's size is bounded.
    (start as u32, length as u32)
}

fn slice(bytes: &[u8], (start, length): (u32, u32)) -> &[u8] {
    let start = start as usize;
    bytes.get(start..start + length as usize).unwrap_or_default()
}

impl CurrentRow {
    /// Enters a partition.
    pub(crate) fn enter(
        &mut self,
        shape: &RowShape,
        key: &PartitionKey,
        static_row: Option<RowRef<'_>>,
    ) -> Result<()> {
        self.key.clear();
        self.key.extend_from_slice(&key.key);
        self.key_parts.clear();
        if shape.key_columns == 1 {
            self.key_parts.push(range(0, self.key.len()));
        } else {
            let parts = partition_key::split(&self.key, shape.key_columns)
                .map_err(|error| Error::server(error.to_string()))?;
            let base = self.key.as_ptr() as usize;
            let place = |part: &&[u8]| range(part.as_ptr() as usize - base, part.len());
            self.key_parts.extend(parts.iter().map(place));
        }
        self.statics.clear(shape.statics.len());
        if let Some(row) = static_row {
            self.statics.read(&shape.statics, row)?;
            self.statics.kept.extend_from_slice(row.bytes());
        }
        self.leave_row(shape);
        Ok(())
    }

    /// No row: clustering and regular columns are null.
    pub(crate) fn leave_row(&mut self, shape: &RowShape) {
        self.clustering.clear();
        self.clustering.resize(shape.clustering.len(), None);
        self.clustering_bytes.clear();
        self.regulars.clear(shape.regulars.len());
    }

    /// Steps onto a row.
    pub(crate) fn step(
        &mut self,
        shape: &RowShape,
        position: &[u8],
        row: RowRef<'_>,
    ) -> Result<()> {
        self.clustering.clear();
        self.clustering_bytes.clear();
        if !shape.clustering.is_empty() {
            let mut reader = ClusteringReader::new(position, row.spelling())?;
            for (ty, descending) in &shape.clustering {
                let start = self.clustering_bytes.len();
                let column = KeyColumn { ty, descending: *descending };
                let present = reader.next(column, &mut self.clustering_bytes)?;
                let length = self.clustering_bytes.len() - start;
                self.clustering.push(present.then(|| range(start, length)));
            }
        }
        self.regulars.clear(shape.regulars.len());
        self.regulars.read(&shape.regulars, row)
    }

    /// The value of a column; `row` are the bytes of the row stepped onto.
    #[inline]
    pub(crate) fn value<'a>(
        &'a self,
        shape: &RowShape,
        row: &'a [u8],
        column: ColumnRef,
    ) -> Option<&'a [u8]> {
        match column.kind {
            ColumnKind::PartitionKey => {
                self.key_parts.get(column.index).map(|place| slice(&self.key, *place))
            }
            ColumnKind::Clustering => {
                let place = self.clustering.get(column.index).copied().flatten();
                place.map(|place| slice(&self.clustering_bytes, place))
            }
            ColumnKind::Static => self.statics.value(&self.statics.kept, shape.slot(column)),
            ColumnKind::Regular => self.regulars.value(row, shape.slot(column)),
        }
    }

    /// When the cells of a column were written.
    pub(crate) fn infos(&self, shape: &RowShape, column: ColumnRef) -> &[CellInfo] {
        let cells = match column.kind {
            ColumnKind::Static => &self.statics,
            _ => &self.regulars,
        };
        cells.infos.get(shape.slot(column)).map_or(&[], Vec::as_slice)
    }
}

impl Cells {
    fn clear(&mut self, slots: usize) {
        self.places.clear();
        self.places.resize(slots, Place::Nowhere);
        self.built.clear();
        self.infos.iter_mut().for_each(Vec::clear);
        self.kept.clear();
    }

    #[inline]
    fn value<'a>(&'a self, row: &'a [u8], slot: usize) -> Option<&'a [u8]> {
        match self.places.get(slot)? {
            Place::Nowhere => None,
            Place::Row(start, length) => Some(slice(row, (*start, *length))),
            Place::Built(start, length) => Some(slice(&self.built, (*start, *length))),
        }
    }

    /// Takes a row apart. Cells and slots both ascend by column id.
    fn read(&mut self, slots: &[Slot], row: RowRef<'_>) -> Result<()> {
        let base = row.bytes().as_ptr() as usize;
        let mut entries = row.entries().peekable();
        for (index, slot) in slots.iter().enumerate() {
            let mut collection: Option<Collection> = None;
            while let Some(entry) = entries.peek() {
                let entry = match entry {
                    Ok(entry) => *entry,
                    Err(_) => return entries.next().map_or(Ok(()), |e| Ok(e.map(|_| ())?)),
                };
                if entry.column() > slot.id {
                    break;
                }
                entries.next();
                let Entry::Cell(cell) = entry else { continue };
                if cell.column != slot.id || cell.is_tombstone() {
                    continue;
                }
                if slot.info {
                    self.note(index, &cell);
                }
                if slot.ty.is_multi_cell() {
                    let building = collection
                        .get_or_insert_with(|| Collection::begin(&mut self.built, &slot.ty));
                    building.push(&mut self.built, &slot.ty, &cell)?;
                } else if cell.kind == CellKind::Counter {
                    let start = self.built.len();
                    self.built.put_i64_be(counter::total(cell.value)?);
                    self.place(index, Place::Built(start as u32, 8));
                } else {
                    let start = cell.value.as_ptr() as usize - base;
                    let (start, length) = range(start, cell.value.len());
                    self.place(index, Place::Row(start, length));
                }
            }
            if let Some(collection) = collection {
                let (start, length) = collection.end(&mut self.built, &slot.ty);
                self.place(index, Place::Built(start, length));
            }
        }
        Ok(())
    }

    fn place(&mut self, slot: usize, place: Place) {
        if let Some(target) = self.places.get_mut(slot) {
            *target = place;
        }
    }

    fn note(&mut self, slot: usize, cell: &Cell<'_>) {
        if self.infos.len() <= slot {
            self.infos.resize_with(slot + 1, Vec::new);
        }
        if let Some(infos) = self.infos.get_mut(slot) {
            infos.push(CellInfo { timestamp: cell.timestamp, expiry: cell.expiry() });
        }
    }
}

/// A value of several cells being put together at the end of a buffer.
struct Collection {
    start: usize,
    count: u32,
    /// Of a UDT: the next field.
    next_field: u16,
}

impl Collection {
    fn begin(out: &mut Vec<u8>, ty: &CqlType) -> Collection {
        let start = out.len();
        if !matches!(ty, CqlType::Udt(_)) {
            out.put_i32_be(0);
        }
        Collection { start, count: 0, next_field: 0 }
    }

    fn push(&mut self, out: &mut Vec<u8>, ty: &CqlType, cell: &Cell<'_>) -> Result<()> {
        let Some(path) = cell.path else {
            return Err(Error::server("a cell of a collection has no path"));
        };
        self.count += 1;
        match ty {
            CqlType::List(_) => put_bytes(out, cell.value),
            CqlType::Set(element) => put_element(out, element, path, cell.path_spelling)?,
            CqlType::Map(key, _) => {
                put_element(out, key, path, cell.path_spelling)?;
                put_bytes(out, cell.value);
            }
            CqlType::Udt(_) => {
                let field = path::decode_field(path)?;
                while self.next_field < field {
                    out.put_i32_be(-1);
                    self.next_field += 1;
                }
                put_bytes(out, cell.value);
                self.next_field = field.saturating_add(1);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(self, out: &mut Vec<u8>, ty: &CqlType) -> (u32, u32) {
        if let CqlType::Udt(udt) = ty {
            for _ in usize::from(self.next_field)..udt.fields.len() {
                out.put_i32_be(-1);
            }
        } else {
            patch_count(out, self.start, self.count);
        }
        range(self.start, out.len() - self.start)
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_i32_be(bytes.len() as i32);
    out.put_bytes(bytes);
}

fn put_element(
    out: &mut Vec<u8>,
    ty: &CqlType,
    path: &[u8],
    spelling: Option<&[u8]>,
) -> Result<()> {
    let start = out.len();
    out.put_i32_be(0);
    path::decode_element(ty, path, spelling, out)?;
    let length = out.len() - start - 4;
    patch_count(out, start, length as u32);
    Ok(())
}

fn patch_count(out: &mut [u8], at: usize, count: u32) {
    let bytes = [24, 16, 8, 0].map(|shift| (count >> shift) as u8);
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&bytes);
    }
}
