//! Clustering keys as positions in a partition.
//!
//! A row's position is the components of its clustering columns, one after the other, then
//! [`ROW`]. Any prefix of components followed by [`BEFORE`] or [`AFTER`] is the position before or
//! after everything that begins so; slices and range tombstones are pairs of such positions. The
//! three constants are the storage engine's, which knows positions only as bytes.
//!
//! The **spelling** of a clustering key holds the originals of those components that decoding
//! would not give back, in ascending order: varint index | varint length | bytes, for each. There
//! is none if it would be empty.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::codec::{Put, Reader};

use super::{KeySource, decode_component, encode_component, needs_spelling};
use crate::types::CqlType;
use crate::types::error::{Result, ValueError};

/// Ends the position before everything with the same prefix.
pub const BEFORE: u8 = 0x00;
/// Ends the position of a row.
pub const ROW: u8 = 0x80;
/// Ends the position after everything with the same prefix.
pub const AFTER: u8 = 0xff;

/// What of a clustering column decides the bytes of its component.
#[derive(Clone, Copy, Debug)]
pub struct KeyColumn<'a> {
    /// Its type.
    pub ty: &'a CqlType,
    /// Its order.
    pub descending: bool,
}

/// The components of the first `values.len()` columns, without an ending.
pub fn prefix(columns: &[KeyColumn<'_>], values: &[Option<&[u8]>]) -> Result<Vec<u8>> {
    if values.len() > columns.len() {
        return Err(ValueError::invalid("more values than clustering columns"));
    }
    // A marker, an ending and the end of the position are what most components need besides.
    let bytes: usize = values.iter().flatten().map(|value| value.len() + 3).sum();
    let mut out = Vec::with_capacity(bytes + values.len() + 1);
    for (column, value) in columns.iter().zip(values) {
        encode_component(column.ty, *value, column.descending, &mut out)?;
    }
    Ok(out)
}

/// The position of the row with these values, one for each column.
pub fn row(columns: &[KeyColumn<'_>], values: &[Option<&[u8]>]) -> Result<Vec<u8>> {
    if values.len() != columns.len() {
        return Err(ValueError::invalid("a row needs a value for each clustering column"));
    }
    Ok(ended(prefix(columns, values)?, ROW))
}

/// The position before everything that begins with `prefix`.
pub fn before(prefix: Vec<u8>) -> Vec<u8> {
    ended(prefix, BEFORE)
}

/// The position after everything that begins with `prefix`.
pub fn after(prefix: Vec<u8>) -> Vec<u8> {
    ended(prefix, AFTER)
}

fn ended(mut position: Vec<u8>, ending: u8) -> Vec<u8> {
    position.push(ending);
    position
}

/// The spelling of the row with these values, if it needs one.
pub fn spelling(columns: &[KeyColumn<'_>], values: &[Option<&[u8]>]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (index, (column, value)) in columns.iter().zip(values).enumerate() {
        if let Some(bytes) = value
            && needs_spelling(column.ty, bytes)
        {
            out.put_varint(index as u64);
            out.put_bytes_varint(bytes);
        }
    }
    (!out.is_empty()).then_some(out)
}

/// Takes a position apart, one column at a time.
#[derive(Clone, Debug)]
pub struct ClusteringReader<'a> {
    rest: &'a [u8],
    spelling: Reader<'a>,
    /// The next column, and the next original that there is, with its column.
    index: u64,
    original: Option<(u64, &'a [u8])>,
}

impl<'a> ClusteringReader<'a> {
    /// Reads `position`, a row's or a prefix's, with the spelling that lies beside it.
    pub fn new(position: &'a [u8], spelling: Option<&'a [u8]>) -> Result<ClusteringReader<'a>> {
        let spelling = Reader::new(spelling.unwrap_or_default());
        let mut reader = ClusteringReader { rest: position, spelling, index: 0, original: None };
        reader.next_original()?;
        Ok(reader)
    }

    fn next_original(&mut self) -> Result<()> {
        self.original = None;
        if !self.spelling.is_empty() {
            let read =
                |reader: &mut Reader<'a>| Ok((reader.varint()?, reader.bytes_varint(usize::MAX)?));
            let original = read(&mut self.spelling).map_err(
                |error: helenus_platform::codec::CodecError| {
                    ValueError::damaged(format!("the spelling of a key does not decode: {error}"))
                },
            )?;
            self.original = Some(original);
        }
        Ok(())
    }

    /// No further component follows; the position ends here.
    pub fn at_end(&self) -> bool {
        matches!(self.rest, [] | [BEFORE | ROW | AFTER])
    }

    /// Appends the wire form of the next component, in the client's spelling, to `out`; `false`
    /// for null. Columns are given in order.
    pub fn next(&mut self, column: KeyColumn<'_>, out: &mut Vec<u8>) -> Result<bool> {
        let start = out.len();
        let mut source = KeySource::new(self.rest, column.descending);
        let present = decode_component(column.ty, &mut source, out)?;
        self.rest = source.rest();
        if let Some((index, bytes)) = self.original
            && index == self.index
        {
            out.truncate(start);
            out.put_bytes(bytes);
            self.next_original()?;
        }
        self.index += 1;
        Ok(present)
    }

    /// The byte that ends the position, once all components are read.
    pub fn ending(&self) -> Result<u8> {
        match self.rest {
            [ending @ (BEFORE | ROW | AFTER)] => Ok(*ending),
            _ => Err(ValueError::damaged("a position does not end where its components do")),
        }
    }
}

/// The wire forms of a row's clustering columns, from its position and spelling.
pub fn split_row(
    columns: &[KeyColumn<'_>],
    position: &[u8],
    spelling: Option<&[u8]>,
) -> Result<Vec<Option<Vec<u8>>>> {
    let mut reader = ClusteringReader::new(position, spelling)?;
    let mut values = Vec::with_capacity(columns.len());
    for column in columns {
        let mut bytes = Vec::new();
        let present = reader.next(*column, &mut bytes)?;
        values.push(present.then_some(bytes));
    }
    match reader.ending()? {
        ROW => Ok(values),
        _ => Err(ValueError::damaged("the position is not a row's")),
    }
}
