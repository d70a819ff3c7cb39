//! The end of the file: the directory of sections and the fixed footer that leads to it.
//!
//! ```text
//! directory := varint number of sections
//!              per section, in file order:
//!                varint name length, name (ASCII)
//!                u8     0x01 REQUIRED: a reader that does not know it must refuse the file
//!                       0x02 BLOCKS: made of blocks with checksums of their own
//!                u64 LE offset
//!                u64 LE length
//!                u32 LE CRC-32 of the section, salted as a block at its offset; 0 with BLOCKS
//!
//! footer, the last 64 bytes:
//! 0    8  offset of the directory, u64 LE
//! 8    4  length of the directory, u32 LE
//! 12   4  CRC-32 LE of the directory, salted as a block at its offset
//! 16   8  length of the file, u64 LE
//! 24  16  id of the table, as in the header
//! 40   8  must be zero
//! 48   4  format version, u32 LE
//! 52   4  CRC-32 LE of bytes 0..52
//! 56   8  magic: "TsunEleH"
//! ```
//!
//! Header, sections, directory and footer follow each other without a gap, so every byte of the
//! file belongs to exactly one of them. The footer's size, and the places of its version,
//! checksum and magic, are the same in every version.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::checksum::crc32;
use helenus_platform::codec::{CodecError, Put, Reader};

use super::header::{VERSION, id_bytes};
use crate::model::SsTableId;

/// The last eight bytes of every SSTable.
const MAGIC: &[u8; 8] = b"TsunEleH";
/// Bytes of the footer.
pub(crate) const FOOTER_BYTES: usize = 64;
const CHECKED_BYTES: usize = 52;
/// Most bytes of a directory.
pub(crate) const DIRECTORY_BYTES_MAX: usize = 1 << 16;
const NAME_BYTES_MAX: usize = 64;

const REQUIRED: u8 = 0x01;
const BLOCKS: u8 = 0x02;

/// The fixed end of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    pub directory_offset: u64,
    pub directory_length: u32,
    pub directory_crc: u32,
    pub file_length: u64,
    pub id: SsTableId,
}

/// Why a footer was not read.
#[derive(Debug)]
pub(crate) enum FooterError {
    /// Damaged.
    Corrupt(CodecError),
    /// Whole, but of this newer version.
    Newer(u32),
}

impl From<CodecError> for FooterError {
    fn from(error: CodecError) -> FooterError {
        FooterError::Corrupt(error)
    }
}

impl Footer {
    /// The footer's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.put_u64_le(self.directory_offset);
        out.put_u32_le(self.directory_length);
        out.put_u32_le(self.directory_crc);
        out.put_u64_le(self.file_length);
        out.put_bytes(&self.id.0);
        out.put_u64_le(0);
        out.put_u32_le(VERSION);
        debug_assert_eq!(out.len(), CHECKED_BYTES);
        let crc = crc32(&out);
        out.put_u32_le(crc);
        out.put_bytes(MAGIC);
        out
    }

    /// Reads a footer.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Footer, FooterError> {
        let error = |offset, what| FooterError::Corrupt(CodecError { offset, what });
        let mut tail = Reader::new(bytes);
        let checked = tail.bytes(CHECKED_BYTES)?;
        let crc = tail.u32_le()?;
        if tail.rest() != MAGIC {
            return Err(error(56, "footer: its magic is missing"));
        }
        if crc != crc32(checked) {
            return Err(error(0, "footer: its checksum does not match"));
        }
        let mut reader = Reader::new(checked);
        let footer = Footer {
            directory_offset: reader.u64_le()?,
            directory_length: reader.u32_le()?,
            directory_crc: reader.u32_le()?,
            file_length: reader.u64_le()?,
            id: SsTableId(id_bytes(&mut reader)?),
        };
        let reserved = reader.u64_le()?;
        let version = reader.u32_le()?;
        if version > VERSION {
            return Err(FooterError::Newer(version));
        }
        if version != VERSION || reserved != 0 {
            return Err(error(40, "reserved bytes and version of the footer"));
        }
        Ok(footer)
    }
}

/// A named part of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub name: String,
    /// A reader that does not know it must refuse the file.
    pub required: bool,
    /// Made of blocks with checksums of their own.
    pub blocks: bool,
    pub offset: u64,
    pub length: u64,
    pub crc: u32,
}

impl Section {
    /// Where the section ends.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// The directory's bytes.
pub(crate) fn encode_directory(sections: &[Section]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_varint(sections.len() as u64);
    for section in sections {
        out.put_bytes_varint(section.name.as_bytes());
        let flag = |set, bit| if set { bit } else { 0 };
        out.put_u8(flag(section.required, REQUIRED) | flag(section.blocks, BLOCKS));
        out.put_u64_le(section.offset);
        out.put_u64_le(section.length);
        out.put_u32_le(section.crc);
    }
    out
}

/// Reads a directory; the sections must fill the file from `start` to `end` without a gap.
pub(crate) fn decode_directory(
    bytes: &[u8],
    start: u64,
    end: u64,
) -> Result<Vec<Section>, CodecError> {
    let mut reader = Reader::new(bytes);
    let mut sections = Vec::new();
    let mut next = start;
    for _ in 0..reader.varint()? {
        let name = reader.bytes_varint(NAME_BYTES_MAX)?;
        let name = std::str::from_utf8(name).map_err(|_| reader.error("name of a section"))?;
        let flags = reader.u8()?;
        let section = Section {
            name: name.to_owned(),
            required: flags & REQUIRED != 0,
            blocks: flags & BLOCKS != 0,
            offset: reader.u64_le()?,
            length: reader.u64_le()?,
            crc: reader.u32_le()?,
        };
        let flags_known = flags & !(REQUIRED | BLOCKS) == 0;
        if !flags_known || section.offset != next || (section.blocks && section.crc != 0) {
            return Err(reader.error("section of the directory"));
        }
        next = section.end();
        sections.push(section);
    }
    if next != end || !reader.is_empty() {
        return Err(reader.error("end of the directory"));
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_comes_back_and_every_flipped_bit_is_noticed() {
        let footer = Footer {
            directory_offset: 1 << 40,
            directory_length: 77,
            directory_crc: 5,
            file_length: (1 << 40) + 141,
            id: SsTableId([3; 16]),
        };
        let bytes = footer.encode();
        assert_eq!(bytes.len(), FOOTER_BYTES);
        assert_eq!(Footer::decode(&bytes).unwrap(), footer);
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Footer::decode(&wrong), Err(FooterError::Corrupt(_))), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let id = SsTableId([3; 16]);
        let footer = Footer {
            directory_offset: 0,
            directory_length: 0,
            directory_crc: 0,
            file_length: 64,
            id,
        };
        let mut bytes = footer.encode();
        bytes[48] = 9;
        let crc = crc32(&bytes[..CHECKED_BYTES]);
        bytes[52..56].copy_from_slice(&[0, 8, 16, 24].map(|shift| (crc >> shift) as u8));
        assert!(matches!(Footer::decode(&bytes), Err(FooterError::Newer(9))));
    }

    #[test]
    fn sections_must_tile_the_file() {
        let section = |name: &str, offset, length| Section {
            name: name.to_owned(),
            required: true,
            blocks: false,
            offset,
            length,
            crc: 4,
        };
        let sections = vec![section("blocks", 100, 50), section("stats", 150, 10)];
        let bytes = encode_directory(&sections);
        assert_eq!(decode_directory(&bytes, 100, 160).unwrap(), sections);
        assert!(decode_directory(&bytes, 99, 160).is_err());
        assert!(decode_directory(&bytes, 100, 161).is_err());
        let gap = encode_directory(&[section("blocks", 100, 50), section("stats", 151, 9)]);
        assert!(decode_directory(&gap, 100, 160).is_err());
    }
}
