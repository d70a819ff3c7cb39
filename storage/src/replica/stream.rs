//! A page as mutations, for a node that is to hold what the replica holds.

use super::command::{Place, Reach};
use super::reader::{PageItem, PageReader};
use super::repair::Mutations;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnSet, Deletion, KeyspaceId, PartitionKey, RowRef};
use crate::read::ReadCommand;

/// All that the page of a whole read says, as mutations of one partition each and of about
/// `bytes_max` bytes at most, and where the next page begins, unless this one is the last. `command`
/// and `from` are what the replica was asked; the command must want all columns.
///
/// # Errors
/// The page is damaged or answers something else, or the command leaves columns out.
pub fn page_mutations(
    page: Vec<u8>,
    command: &ReadCommand,
    from: Option<&Place>,
    keyspace: KeyspaceId,
    bytes_max: usize,
) -> Result<(Vec<Vec<u8>>, Option<Place>)> {
    if command.columns != ColumnSet::All {
        return Err(Error::invalid("mutations of a page that leaves columns out"));
    }
    let mut reader = PageReader::new(page, command, from)?;
    let mut out = Mutations::new(keyspace, command.table, bytes_max);
    let mut partition: Option<PartitionKey> = None;
    loop {
        let item = reader.next(command)?;
        match (item, &partition) {
            (PageItem::Partition(head), _) => {
                if !head.deletion.is_none() {
                    out.partition_deletion(&head.key, head.deletion);
                }
                if let Some(row) = &head.static_row {
                    out.static_row(&head.key, RowRef::parse(row)?, None, &ColumnSet::All)?;
                }
                partition = Some(head.key);
            }
            (PageItem::Row { position, row }, Some(key)) => {
                out.row(key, &position, RowRef::parse(&row)?, None, &ColumnSet::All)?;
            }
            (PageItem::Marker { position, open }, Some(key)) => {
                out.range(key, &position, open, command.reversed);
            }
            (PageItem::PartitionEnd(reach), Some(key)) => {
                if let Reach::Upto(bound) = reach {
                    out.range(key, &bound, Deletion::NONE, command.reversed);
                }
                out.end_partition()?;
                partition = None;
            }
            (PageItem::End(_), None) => {
                if out.is_short {
                    let what = "a cell of a page is too large for a mutation of its own";
                    return Err(Error::new(ErrorKind::TooLarge, what));
                }
                return Ok((out.take(), reader.stopped_at()));
            }
            _ => return Err(Error::corrupt("a page has an item outside of its partition")),
        }
    }
}
