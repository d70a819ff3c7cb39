//! Every decoder on bytes that no writer wrote: an error at most, never a panic, never memory
//! beyond the input's measure. Checksums would stop such bytes; here they are taken as right.

use std::sync::Arc;

use helenus_platform::codec::{CodecError, Reader};
use helenus_platform::random::{Random, SeededRandom};

use super::format::data_block::DataBlock;
use super::format::data_builder::DataBuilder;
use super::format::filter::{Filter, FilterBuilder};
use super::format::footer::{Section, decode_directory, encode_directory};
use super::format::header::Header;
use super::format::histogram::DropTimes;
use super::format::index_block::{IndexBlock, IndexBuilder, IndexEntry};
use super::format::murmur3::murmur3_token;
use super::format::stats::Stats;
use super::format::top_index::TopIndex;
use super::run::Run;
use crate::model::{Deletion, PositionRange, Slice, Token};

const TRIES: u64 = 20_000;

/// Bytes with a few changes.
fn spoiled(random: &SeededRandom, bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..1 + random.below(3) {
        let at = random.below(out.len() as u64 + 1) as usize;
        match random.below(6) {
            0 => out.truncate(at),
            1 => out.insert(at, random.next_u64() as u8),
            // What a length or an offset is worst at.
            2 => out[at..].iter_mut().take(4).for_each(|byte| *byte = 0xff),
            3 => out[at..].iter_mut().take(9).for_each(|byte| *byte = 0),
            _ => out[at..].iter_mut().take(1).for_each(|byte| *byte = random.next_u64() as u8),
        }
    }
    out
}

/// Decodes spoiled copies of these bytes; some of them must be refused.
fn spoil<T>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, CodecError>) {
    assert!(decode(bytes).is_ok());
    let random = SeededRandom::new(bytes.len() as u64);
    let refused = (0..TRIES).filter(|_| decode(&spoiled(&random, bytes)).is_err()).count();
    assert!(refused > 0);
}

fn shared(bytes: &[u8]) -> Slice {
    Slice::from(Arc::<[u8]>::from(bytes))
}

fn data_content(derived: bool) -> Vec<u8> {
    let mut builder = DataBuilder::default();
    let token = |key: &[u8]| if derived { murmur3_token(key) } else { Token(5) };
    builder.continued(token(b"a"), b"a");
    let open = Deletion::new(7, 8);
    for number in 0..40u8 {
        builder.row(&[0x30, number, 0x80], b"row", if number < 20 { open } else { Deletion::NONE });
        if number == 19 {
            builder.marker(&[0x30, number, 0xff], open, Deletion::NONE);
        }
    }
    builder.partition(token(b"b"), b"b", open, Some(b"static"));
    builder.partition(token(b"c"), b"c", Deletion::NONE, None);
    builder.row(&[0x80], b"another row", Deletion::NONE);
    let mut content = Vec::new();
    builder.finish(true, &mut content);
    content
}

fn read_data(content: &[u8]) -> Result<(), CodecError> {
    let block = DataBlock::parse(shared(content))?;
    let mut run = Run::default();
    for partition in 0..block.partitions() {
        let token = block.token(partition)?;
        block.find(token, b"b")?;
        let head = block.partition(partition)?;
        let _ = block.bytes(head.key);
        let runs = block.runs(partition, head.body)?;
        block.find_run(&runs, &[0x30, 17, 0x80])?;
        for number in 0..runs.count() {
            let entries = block.run(&runs, number)?;
            run.decode(&block, entries, &PositionRange::whole())?;
            (0..run.len()).for_each(|item| drop(run.item(item)));
        }
    }
    Ok(())
}

#[test]
fn data_blocks() {
    spoil(&data_content(true), read_data);
    spoil(&data_content(false), read_data);
}

#[test]
fn index_blocks() {
    let mut builder = IndexBuilder::default();
    for number in 0..50u8 {
        let (stored, rows) = (1000, 10);
        let offset = 100 + u64::from(number) * 1000;
        let entry = IndexEntry { offset, stored, rows_before: u64::from(number) * 10, rows };
        builder.add(&[b'k', b'e', b'y', number / 10, 0, 0, 0, 0, 0, 0, 0, number], entry);
    }
    let mut content = Vec::new();
    builder.finish(&mut content);
    spoil(&content, |content| {
        let block = IndexBlock::parse(shared(content))?;
        let mut separator = Vec::new();
        for target in [&b""[..], b"key", b"key\x02\0\0\0\0\0\0\0\x18", b"l"] {
            let (found, _) = block.search(target)?;
            block.entry(found, &mut separator)?;
        }
        block.entry(block.count() - 1, &mut separator).map(|_| ())
    });
}

#[test]
fn sections() {
    let mut top = TopIndex::default();
    (0..20u8).for_each(|n| top.add(&[b's', n], (u64::from(n) * 100, 50), u64::from(n), 3));
    let mut out = Vec::new();
    top.encode(&mut out);
    spoil(&out, |bytes| {
        let top = TopIndex::decode(bytes)?;
        let found = top.search(b"s\x07");
        Ok((top.separator(found).len(), top.entry(found).copied()))
    });

    let mut builder = FilterBuilder::new(0.01);
    (0..200).for_each(|token| builder.add(Token(token)));
    out.clear();
    builder.finish().encode(&mut out);
    spoil(&out, |bytes| {
        let filter = Filter::decode(bytes)?;
        let maybe = (-300..300).filter(|token| filter.may_contain(Token(*token))).count();
        Ok((maybe, filter.describe().count()))
    });

    let mut stats = Stats::default();
    (0..500).for_each(|time| stats.drop_times.add(time * 1000, 2));
    out.clear();
    stats.encode(&mut out);
    spoil(&out, Stats::decode);
    out.clear();
    stats.drop_times.encode(&mut out);
    spoil(&out, |bytes| {
        let times = DropTimes::decode(&mut Reader::new(bytes))?;
        Ok((times.before(1000), times.total(), times.bins().count()))
    });

    let sections: Vec<_> = (0..4u64)
        .map(|n| Section {
            name: format!("section {n}"),
            required: n % 2 == 0,
            blocks: n == 0,
            offset: n * 10,
            length: 10,
            crc: if n == 0 { 0 } else { 77 },
        })
        .collect();
    spoil(&encode_directory(&sections), |bytes| decode_directory(bytes, 0, 40));
}

#[test]
fn headers_with_a_right_checksum() {
    let header = Header {
        id: crate::model::SsTableId([1; 16]),
        origin: [2; 16],
        table: crate::model::TableId(3),
        compression: crate::options::Compression::None,
        level: 0,
        repaired_at: 0,
        pending_session: None,
        log_intervals: vec![(crate::model::LogPosition(1), crate::model::LogPosition(2))],
    };
    let bytes = header.encode();
    spoil(&bytes[..bytes.len() - 4], |content| {
        let mut whole = content.to_vec();
        let crc = helenus_platform::checksum::crc32(content);
        helenus_platform::codec::Put::put_u32_le(&mut whole, crc);
        Header::length(&whole)?;
        Header::decode(&whole)
    });
}
