//! Reads a page item by item, trusting nothing in it; the layout is drawn in `replica/page.rs`.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::cmp::Ordering;

use helenus_platform::codec::Reader;

use super::command::{Place, Reach};
use super::page::{
    COMPLETE, PAGE_BYTES_MAX, PAGE_VERSION, PARTITION, PARTITION_BEFORE_ROWS, PARTITION_DELETION,
    PARTITION_END, PARTITION_STOPPED, RANGE, RANGE_END, REVERSED, ROW, STATIC_ROW, STOPPED,
};
use crate::error::{Error, ErrorKind, Result};
use crate::model::mutation::read_deletion;
use crate::model::{
    Deletion, MAX_KEY_BYTES, PartitionHead, PartitionKey, PartitionKeyRef, PositionRange, RowRef,
    Slice, Token,
};
use crate::read::{Partitions, ReadCommand};

/// The next thing in a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageItem {
    /// A partition begins.
    Partition(PartitionHead),
    /// A row of it.
    Row {
        /// Where it stands.
        position: Slice,
        /// Its bytes, checked; see [`crate::model::RowRef`].
        row: Slice,
    },
    /// The range deletion in force changes.
    Marker {
        /// Where, in reading order.
        position: Slice,
        /// In force behind it; `Deletion::NONE` if none is.
        open: Deletion,
    },
    /// The partition ends, having been read so far.
    PartitionEnd(Reach),
    /// The page ends; the same when asked again.
    End(PageEnd),
}

/// How a page ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageEnd {
    /// All that the command names has been read.
    Complete,
    /// By a limit, where its last partition ends.
    Stopped,
}

/// Walks through a page of one command. Whatever the bytes are, the items come in the order that
/// the layout promises, or there is an error.
#[derive(Clone, Debug)]
pub struct PageReader {
    page: Slice,
    at: usize,
    reversed: bool,
    /// The partition that is open.
    open: Option<Inside>,
    /// The last partition, with its index in the command's list; before the first, the one that
    /// the page was to go on with.
    last: Option<(usize, PartitionKey)>,
    /// How far the last partition was read.
    reach: Reach,
    /// Where the page was to begin.
    from: Option<Place>,
    has_partition: bool,
    end: Option<PageEnd>,
}

/// Where the reader is inside a partition.
#[derive(Clone, Debug, Default)]
struct Inside {
    /// The last position, and whether a row stands there.
    last: Option<(Slice, bool)>,
    range: Deletion,
}

impl PageReader {
    /// A reader at the beginning of a page that answers `command` from `from` on.
    pub fn new(
        page: impl Into<Slice>,
        command: &ReadCommand,
        from: Option<&Place>,
    ) -> Result<PageReader> {
        let page = page.into();
        if page.len() > PAGE_BYTES_MAX {
            let what = format!("a page of {} bytes, over {PAGE_BYTES_MAX}", page.len());
            return Err(Error::new(ErrorKind::TooLarge, what));
        }
        let mut reader = Reader::new(&page);
        let version = reader.u8()?;
        if version != PAGE_VERSION {
            return Err(Error::new(
                if version > PAGE_VERSION { ErrorKind::Newer } else { ErrorKind::Corrupt },
                format!("a page has format version {version}, this is version {PAGE_VERSION}"),
            ));
        }
        let table = reader.varint()?;
        if table != u64::from(command.table.0) {
            return Err(Error::corrupt(format!(
                "a page of table {table} answers a read of table {}",
                command.table.0
            )));
        }
        let flags = reader.u8()?;
        if flags != if command.reversed { REVERSED } else { 0 } {
            return Err(Error::corrupt(format!(
                "a page has the flags {flags:#04x}, which the read does not ask for"
            )));
        }
        let at = reader.position();
        let index_of = |place: &Place| {
            let keys = command.partitions.listed();
            (keys.iter().position(|key| *key == place.key).unwrap_or(keys.len()), place.key.clone())
        };
        Ok(PageReader {
            page,
            at,
            reversed: command.reversed,
            open: None,
            last: from.map(index_of),
            reach: from.map_or(Reach::Whole, |place| place.reach.clone()),
            from: from.cloned(),
            has_partition: false,
            end: None,
        })
    }

    /// Where a page that stops does so, once its end has been read.
    pub fn stopped_at(&self) -> Option<Place> {
        let (_, key) = self.last.as_ref().filter(|_| self.end == Some(PageEnd::Stopped))?;
        Some(Place { key: key.clone(), reach: self.reach.clone(), rows: 0 })
    }

    /// The index of the last partition in the command's list; 0 in a range.
    pub(super) fn index(&self) -> usize {
        self.last.as_ref().map_or(0, |(index, _)| *index)
    }

    /// The next item. `command` must be the one that the reader was made for. After an error the
    /// reader must not be asked again.
    pub fn next(&mut self, command: &ReadCommand) -> Result<PageItem> {
        if let Some(end) = self.end {
            return Ok(PageItem::End(end));
        }
        let page = self.page.clone();
        let mut reader = Reader::new(&page);
        reader.skip(self.at)?;
        let tag = reader.u8()?;
        let item = match (&self.open, tag) {
            (None, PARTITION) => self.partition(&mut reader, command)?,
            (None, COMPLETE | STOPPED) => self.finish(tag, &reader)?,
            (Some(_), ROW) => self.row(&mut reader, command)?,
            (Some(_), RANGE | RANGE_END) => self.marker(tag, &mut reader, command)?,
            (Some(_), PARTITION_END | PARTITION_STOPPED | PARTITION_BEFORE_ROWS) => {
                self.partition_end(tag, &mut reader)?
            }
            _ => return Err(reader.error("a tag of an item that may stand here").into()),
        };
        self.at = reader.position();
        Ok(item)
    }

    fn partition(&mut self, reader: &mut Reader<'_>, command: &ReadCommand) -> Result<PageItem> {
        let token = Token(reader.i64_be()?);
        let key = self.page.share(reader.bytes_varint(MAX_KEY_BYTES)?);
        let key = PartitionKey { token, key };
        let index = self.place_of(key.as_ref(), command).ok_or_else(|| {
            reader.error("a partition that the read asks for, behind the one before")
        })?;
        let flags = reader.u8()?;
        if flags & !(PARTITION_DELETION | STATIC_ROW) != 0 {
            return Err(reader.error("flags of a partition").into());
        }
        let mut head = PartitionHead { key, deletion: Deletion::NONE, static_row: None };
        if flags & PARTITION_DELETION != 0 {
            head.deletion = read_deletion(reader)?;
        }
        if flags & STATIC_ROW != 0 {
            head.static_row = Some(self.checked_row(reader)?);
        }
        self.open = Some(Inside { last: self.floor(&head.key), range: Deletion::NONE });
        self.last = Some((index, head.key.clone()));
        self.has_partition = true;
        Ok(PageItem::Partition(head))
    }

    /// What the rows of a partition must lie behind, if the page goes on with it.
    fn floor(&self, key: &PartitionKey) -> Option<(Slice, bool)> {
        match &self.from {
            Some(Place { key: began, reach: Reach::Upto(bound), .. }) if began == key => {
                Some((bound.clone(), false))
            }
            _ => None,
        }
    }

    /// The key's index in the command's list; none if it is not asked for, or not behind the
    /// last partition.
    fn place_of(&self, key: PartitionKeyRef<'_>, command: &ReadCommand) -> Option<usize> {
        let may_repeat = !self.has_partition && self.reach != Reach::Whole;
        match &command.partitions {
            Partitions::Range { start, end } => {
                let is_next = self.last.as_ref().is_none_or(|(_, last)| {
                    last.as_ref() < key || may_repeat && last.as_ref() == key
                });
                (is_next && start.is_before(key) && !end.is_before(key)).then_some(0)
            }
            partitions => {
                let step = usize::from(!may_repeat);
                let first = self.last.as_ref().map_or(0, |(index, _)| index + step);
                let keys = partitions.listed().get(first..)?;
                keys.iter().position(|other| other.as_ref() == key).map(|index| first + index)
            }
        }
    }

    fn row(&mut self, reader: &mut Reader<'_>, command: &ReadCommand) -> Result<PageItem> {
        let position = self.page.share(reader.bytes_varint(usize::MAX)?);
        let slice = slice_of(&position, command, true);
        if slice.is_none() || !self.follows(&position, true) {
            return Err(reader.error("a row of the slices, behind what stands before it").into());
        }
        let row = self.checked_row(reader)?;
        if let Some(inside) = &mut self.open {
            inside.last = Some((position.clone(), true));
        }
        Ok(PageItem::Row { position, row })
    }

    fn checked_row(&self, reader: &mut Reader<'_>) -> Result<Slice> {
        let bytes = reader.bytes_varint(usize::MAX)?;
        let row = RowRef::parse(bytes)?;
        row.validate()?;
        if row.is_empty() {
            return Err(reader.error("a row that says something").into());
        }
        Ok(self.page.share(bytes))
    }

    fn marker(
        &mut self,
        tag: u8,
        reader: &mut Reader<'_>,
        command: &ReadCommand,
    ) -> Result<PageItem> {
        let position = self.page.share(reader.bytes_varint(usize::MAX)?);
        let slice = slice_of(&position, command, false);
        if slice.is_none() || !self.follows(&position, false) {
            return Err(reader.error("a change of range deletions, behind what is before").into());
        }
        let open = if tag == RANGE { read_deletion(reader)? } else { Deletion::NONE };
        if let Some(inside) = &mut self.open {
            if inside.range == open {
                return Err(reader.error("a change of range deletions").into());
            }
            inside.range = open;
            inside.last = Some((position.clone(), false));
        }
        Ok(PageItem::Marker { position, open })
    }

    /// Whether a row or marker at `position` may follow the last one.
    fn follows(&self, position: &Slice, is_row: bool) -> bool {
        let Some((last, is_behind_row)) = self.open.as_ref().and_then(|open| open.last.as_ref())
        else {
            return true;
        };
        let order = if self.reversed { last.cmp(position) } else { position.cmp(last) };
        match order {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal if is_row => !is_behind_row && !self.reversed,
            Ordering::Equal => !is_behind_row || self.reversed,
        }
    }

    fn partition_end(&mut self, tag: u8, reader: &mut Reader<'_>) -> Result<PageItem> {
        let inside = self.open.take().unwrap_or_default();
        let reach = match tag {
            PARTITION_END if inside.range.is_none() => Reach::Whole,
            PARTITION_BEFORE_ROWS if inside.last.is_none() => Reach::BeforeRows,
            PARTITION_STOPPED => {
                let bound = self.page.share(reader.bytes_varint(usize::MAX)?);
                let is_behind = inside.last.as_ref().is_none_or(|(last, is_row)| {
                    match (self.reversed, is_row) {
                        (false, true) => bound > *last,
                        (false, false) => bound >= *last,
                        (true, _) => bound <= *last,
                    }
                });
                if !is_behind {
                    return Err(reader.error("the end of a partition behind its rows").into());
                }
                Reach::Upto(bound)
            }
            _ => return Err(reader.error("the end that the partition has").into()),
        };
        self.reach = reach.clone();
        Ok(PageItem::PartitionEnd(reach))
    }

    fn finish(&mut self, tag: u8, reader: &Reader<'_>) -> Result<PageItem> {
        if !reader.is_empty() {
            return Err(reader.error("the end of the page").into());
        }
        let end = if tag == COMPLETE { PageEnd::Complete } else { PageEnd::Stopped };
        let is_further = self.has_partition
            && self.from.as_ref().is_none_or(|from| {
                from.reach != self.reach
                    || self.last.as_ref().map(|(_, key)| key) != Some(&from.key)
            });
        if end == PageEnd::Stopped && !is_further {
            return Err(reader.error("a partition at which the page stops").into());
        }
        self.end = Some(end);
        Ok(PageItem::End(end))
    }
}

/// The slice that a row, or else a marker, at this position can belong to.
fn slice_of<'c>(
    position: &[u8],
    command: &'c ReadCommand,
    is_row: bool,
) -> Option<&'c PositionRange> {
    let is_before = |slice: &PositionRange| match is_row {
        true => slice.end.as_bytes() <= position,
        false => slice.end.as_bytes() < position,
    };
    let index = command.slices.partition_point(is_before);
    command.slices.get(index).filter(|slice| slice.start.as_bytes() <= position)
}
