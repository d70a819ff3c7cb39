//! The top of the index, kept in memory: one separator per index block. Written and read here.
//!
//! ```text
//! section `index` := varint number of index blocks
//!                    per index block:
//!                      varint separator length, separator of its first data block
//!                      varint offset of the index block in the file
//!                      varint its stored length
//!                      varint clustered rows in all data blocks before its first
//!                    varint number of data blocks
//! ```
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::codec::{CodecError, Put, Reader};

/// One index block as the top knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TopEntry {
    /// Where its separator ends in `separators`; it begins where the one before ends.
    separator_end: usize,
    /// Its place in the file.
    pub offset: u64,
    /// Its bytes in the file, frame included.
    pub stored: u32,
    /// Clustered rows before its first data block.
    pub rows_before: u64,
}

/// The top of the index.
#[derive(Debug, Default)]
pub(crate) struct TopIndex {
    separators: Vec<u8>,
    entries: Vec<TopEntry>,
    data_blocks: u64,
}

impl TopIndex {
    /// Adds the next index block, which names `data_blocks` data blocks.
    pub(crate) fn add(
        &mut self,
        separator: &[u8],
        (offset, stored): (u64, u32),
        rows_before: u64,
        data_blocks: usize,
    ) {
        self.separators.put_bytes(separator);
        let separator_end = self.separators.len();
        self.entries.push(TopEntry { separator_end, offset, stored, rows_before });
        self.data_blocks += data_blocks as u64;
    }

    /// Appends the section.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_varint(self.entries.len() as u64);
        for (index, entry) in self.entries.iter().enumerate() {
            out.put_bytes_varint(self.separator(index));
            out.put_varint(entry.offset);
            out.put_varint(u64::from(entry.stored));
            out.put_varint(entry.rows_before);
        }
        out.put_varint(self.data_blocks);
    }

    /// Reads the section.
    pub(crate) fn decode(section: &[u8]) -> Result<TopIndex, CodecError> {
        let mut reader = Reader::new(section);
        let count = reader.varint()?;
        // An entry takes at least four bytes.
        if count > section.len() as u64 / 4 {
            return Err(reader.error("number of index blocks"));
        }
        let mut top = TopIndex::default();
        top.entries.reserve_exact(count as usize);
        for index in 0..count as usize {
            let separator = reader.bytes_varint(usize::MAX)?;
            if index > 0 && top.separator(index - 1) >= separator {
                return Err(reader.error("separators in ascending order"));
            }
            let offset = reader.varint()?;
            let stored = reader.varint()?;
            let stored = u32::try_from(stored).map_err(|_| reader.error("index block length"))?;
            top.add(separator, (offset, stored), reader.varint()?, 0);
        }
        top.data_blocks = reader.varint()?;
        top.separators.shrink_to_fit();
        if reader.is_empty() { Ok(top) } else { Err(reader.error("end of the index")) }
    }

    /// How many index blocks there are.
    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }

    /// How many data blocks there are.
    pub(crate) fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// The index block of this number.
    pub(crate) fn entry(&self, index: usize) -> Option<&TopEntry> {
        self.entries.get(index)
    }

    /// The separator of an index block; empty if there is no such block.
    pub(crate) fn separator(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).and_then(|before| self.entries.get(before));
        let start = start.map_or(0, |entry| entry.separator_end);
        let end = self.entries.get(index).map_or(start, |entry| entry.separator_end);
        self.separators.get(start..end).unwrap_or_default()
    }

    /// The last index block whose separator is not above `target`; the first if all are.
    pub(crate) fn search(&self, target: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.entries.len());
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.separator(middle) <= target {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.separators.capacity() + self.entries.capacity() * size_of::<TopEntry>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_comes_back_and_is_searched_like_a_list() {
        let mut top = TopIndex::default();
        let separators: [&[u8]; 4] = [b"", b"b", b"ba", b"c"];
        for (index, separator) in separators.iter().enumerate() {
            top.add(separator, (index as u64 * 1000, 500), index as u64 * 10, 3);
        }
        let mut section = Vec::new();
        top.encode(&mut section);
        let back = TopIndex::decode(&section).unwrap();
        assert_eq!((back.count(), back.data_blocks()), (4, 12));
        for target in [&b""[..], b"a", b"b", b"b0", b"ba", b"bb", b"c", b"d"] {
            let expected = separators.partition_point(|s| *s <= target) - 1;
            assert_eq!(back.search(target), expected);
        }
        assert_eq!(back.entry(2).map(|e| (e.offset, e.rows_before)), Some((2000, 20)));
        for cut in 0..section.len() {
            assert!(TopIndex::decode(&section[..cut]).is_err());
        }
        assert_eq!(TopIndex::decode(&[0, 0]).unwrap().search(b"x"), 0);
    }
}
