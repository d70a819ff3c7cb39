//! The batch log: what makes a logged batch happen as a whole although it is on several nodes.
//!
//! Before a coordinator sends the mutations of a logged batch, two other nodes keep all of them;
//! when enough replicas have acknowledged, they forget them again. If the coordinator dies in
//! between, or gives up, those two send the mutations themselves some time later. As in Cassandra,
//! the batch is not isolated: some of it may be seen before the rest.
//!
//! A node keeps batches in a table of its own engine that no schema names, one partition a batch:
//!
//! ```text
//! key    16 bytes id of the batch
//! value  of the static row: u8 version (1) | i64 LE microseconds when it was made | varint count | that many times
//!        varint length, mutation (storage)
//! ```
//!
//! Messages: `BatchStore` is the id and the value, `BatchRemove` the id.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::sync::Arc;

use bytes::Bytes;
use cql_lite::wire::{Consistency, ErrorKind, Progress, WriteType};
use helenus_platform::codec::{Put, Reader};
use helenus_platform::murmur3;
use helenus_storage::model::{
    Cell, ColumnId, Deletion, Entry, KeyspaceId, Liveness, LogPosition, MutationBuilder,
    MutationRef, PartitionBound, PartitionKey, PartitionKeyRef, RowBuilder, RowRef, TableId, Token,
};
use helenus_storage::{
    Cursor, Engine, Flow, Partitions, Read, ReadCommand, Sink, TableOptions, Write,
};

use super::placement::ReplicaNode;
use super::requests::{Coordinator, Peers};
use super::write::{WriteOptions, Written};
use crate::cluster::state::ClusterState;
use crate::error::{Error, Result};
use crate::internode::{Request, Verb};

/// The table of batches: an id that no schema gives out.
pub const TABLE: TableId = TableId(u32::MAX - 1);
/// The keyspace that it is in.
pub const KEYSPACE: KeyspaceId = KeyspaceId(u32::MAX - 1);
const COLUMN: ColumnId = ColumnId(1);
const VERSION: u8 = 1;
const ID_BYTES: usize = 16;
/// A batch is left behind when it is older than so many timeouts of a write.
const AGE_IN_TIMEOUTS: u32 = 2;
/// Batches that are replayed in one look.
const REPLAYED_MAX: usize = 128;

/// The table as the engine is to open it.
pub fn engine_table() -> (TableId, KeyspaceId, TableOptions) {
    // What is forgotten here is nowhere else.
    (TABLE, KEYSPACE, TableOptions { gc_grace_seconds: 0, ..TableOptions::default() })
}

fn key_of(id: &[u8]) -> PartitionKeyRef<'_> {
    PartitionKeyRef { token: Token(murmur3::token(id)), key: id }
}

fn encode(made_micros: i64, records: &[&[u8]]) -> Vec<u8> {
    let mut value = vec![VERSION];
    value.put_i64_le(made_micros);
    value.put_varint(records.len() as u64);
    records.iter().for_each(|record| value.put_bytes_varint(record));
    value
}

/// When a batch was made, and its mutations.
fn decode(value: &[u8]) -> Result<(i64, Vec<&[u8]>)> {
    let read = || {
        let mut reader = Reader::new(value);
        let unknown = reader.error("batch of version 1");
        if reader.u8()? != VERSION {
            return Err(unknown);
        }
        let made_micros = reader.i64_le()?;
        let count = reader.varint()?;
        let mut records = Vec::new();
        for _ in 0..count {
            records.push(reader.bytes_varint(value.len())?);
        }
        Ok((made_micros, records))
    };
    read().map_err(|error| Error::server(format!("a batch of the batch log: {error}")))
}

/// Keeps a batch of another coordinator; the payload is that of `BatchStore`.
///
/// # Errors
/// The payload makes no sense, or the engine refuses.
pub fn store(engine: &Engine, payload: &[u8]) -> Result<Write> {
    let split = payload.split_at_checked(ID_BYTES);
    let (id, value) = split.ok_or_else(|| Error::server("a batch without an id"))?;
    let (made_micros, records) = decode(value)?;
    for record in records {
        MutationRef::parse(record)?.validate()?;
    }
    let mut row = RowBuilder::new();
    row.liveness(Liveness::new(made_micros)).cell(Cell::live(COLUMN, made_micros, value));
    let mut mutation = MutationBuilder::new(KEYSPACE, key_of(id));
    mutation.table(TABLE).static_row(&row.finish()?)?;
    Ok(engine.write_deferred(&[&mutation.finish()?])?)
}

/// Forgets a batch.
///
/// # Errors
/// The engine refuses.
pub fn remove(engine: &Engine, id: &[u8], now_micros: i64) -> Result<()> {
    if id.len() != ID_BYTES {
        return Err(Error::server("a batch without an id"));
    }
    let mut mutation = MutationBuilder::new(KEYSPACE, key_of(id));
    // Whatever the clocks say, it was stored before.
    let deletion = Deletion::new(i64::MAX - 1, now_micros.div_euclid(1_000_000).max(0));
    mutation.table(TABLE).partition_deletion(deletion);
    // If there is no memory for it now, the batch is replayed, which changes nothing.
    let _ = engine.write(&[&mutation.finish()?])?;
    Ok(())
}

/// Collects batches that were made before a moment, so that those under way do not stand before
/// those that were left behind.
struct Found {
    before_micros: i64,
    batches: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Sink for Found {
    fn partition(&mut self, key: &PartitionKey, row: Option<RowRef<'_>>) -> Flow {
        let entries = row.into_iter().flat_map(|row| row.entries());
        let cells = entries.filter_map(|entry| match entry {
            Ok(Entry::Cell(cell)) if cell.column == COLUMN => Some(cell.value.to_vec()),
            _ => None,
        });
        let is_old = |value: &Vec<u8>| {
            // What cannot be read is told of when it is to be replayed.
            decode(value).map_or(true, |(made_micros, _)| made_micros < self.before_micros)
        };
        if let Some(value) = cells.last().filter(is_old) {
            self.batches.push((key.key.to_vec(), value));
        }
        if self.batches.len() >= REPLAYED_MAX { Flow::Stop } else { Flow::Continue }
    }

    fn row(&mut self, _: &[u8], _: RowRef<'_>) -> Flow {
        Flow::Continue
    }

    fn end_partition(&mut self) -> Flow {
        Flow::Continue
    }
}

/// Two other nodes that keep a batch, or one if there is no second.
fn keepers(coordinator: &Coordinator, peers: &Peers, state: &ClusterState) -> Vec<ReplicaNode> {
    let nodes = super::placement::nodes(state, &coordinator.metadata.host_id());
    let own = state.members.get(&coordinator.metadata.host_id());
    let rack = own.map(|own| own.rack.clone()).unwrap_or_default();
    let mut others: Vec<(bool, u64, ReplicaNode)> = Vec::new();
    for node in nodes.iter().filter(|node| node.is_near && !node.is_self) {
        if !peers.liveness.is_up(&node.host_id) {
            continue;
        }
        let same_rack = state.members.get(&node.host_id).is_some_and(|m| m.rack == rack);
        others.push((same_rack, coordinator.random.next_u64(), node.clone()));
    }
    others.sort_by_key(|(same_rack, draw, _)| (*same_rack, *draw));
    others.into_iter().map(|(.., node)| node).take(2).collect()
}

/// Writes a logged batch of several partitions.
pub(super) async fn write(
    coordinator: Arc<Coordinator>,
    records: Vec<Bytes>,
    options: WriteOptions,
) -> Result<Option<LogPosition>> {
    let no_network = || Error::server("this node has no network");
    let peers = coordinator.peers().cloned().ok_or_else(no_network)?;
    let state = coordinator.metadata.state();
    let records: Vec<&[u8]> = records.iter().map(|record| &**record).collect();
    // What is refused must not come later.
    coordinator.check_replicas(&state, &records, options.consistency)?;
    let keepers = keepers(&coordinator, &peers, &state);
    if keepers.is_empty() {
        let consistency = Consistency::One;
        let kind = ErrorKind::Unavailable { consistency, required: 1, alive: 0 };
        return Err(Error::new(kind, "Cannot achieve consistency level ONE"));
    }
    let id = coordinator.random.uuid_v4();
    let mut payload = id.to_vec();
    payload.extend(encode(coordinator.clock.wall_micros(), &records));
    let payload = Bytes::from(payload);
    let deadline = peers.internode.deadline(coordinator.timeouts.write);
    let request = |verb, payload: &Bytes| {
        let payload = payload.clone();
        Request { verb, payload, deadline, trace: None }
    };
    let asked: Vec<_> = keepers
        .iter()
        .map(|node| peers.internode.request(&node.target, request(Verb::BatchStore, &payload)))
        .collect();
    let block_for = asked.len();
    let mut received = 0;
    for answer in asked {
        received += usize::from(answer.await.is_ok());
    }
    if received < block_for {
        // Whoever has it replays it, so the batch may still come.
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let consistency = if block_for == 1 { Consistency::One } else { Consistency::Two };
        let (received, block_for) = (number(received), number(block_for));
        let progress = Progress { consistency, received, block_for };
        let write_type = WriteType::BatchLog;
        let kind = ErrorKind::WriteTimeout { progress, write_type, contentions: None };
        let only = format!("Operation timed out - received only {received} responses.");
        return Err(Error::new(kind, only));
    }
    let position = match coordinator.write_to_replicas(&records, options)? {
        Written::Here(position) => Some(position),
        Written::Asked(write) => write.outcome().await?,
    };
    let id = Bytes::copy_from_slice(&id);
    for node in &keepers {
        // A batch that is not forgotten is replayed, which changes nothing.
        drop(peers.internode.send(&node.target, Verb::BatchRemove, id.clone()));
    }
    Ok(position)
}

/// Replays batches that are old enough, and answers how many. To be called now and then, on a thread
/// that may wait for the disk.
///
/// # Errors
/// Those of the engine; and if a batch could not even be left as hints.
pub async fn replay_some(coordinator: &Arc<Coordinator>) -> Result<usize> {
    let now = coordinator.clock.wall_micros();
    let all = Partitions::Range { start: PartitionBound::Min, end: PartitionBound::Max };
    let command = ReadCommand::new(TABLE, all, now.div_euclid(1_000_000));
    let age = coordinator.timeouts.write * AGE_IN_TIMEOUTS;
    let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    let mut found = Found { before_micros: now.saturating_sub(age), batches: Vec::new() };
    match coordinator.engine.read_blocking(&command, &mut Cursor::new(&command), &mut found)? {
        Read::Done | Read::Stopped => {}
        ended => return Err(Error::server(format!("reading the batch log ended as {ended:?}"))),
    }
    let mut replayed = 0;
    let mut failure = None;
    for (id, value) in found.batches {
        let records = match decode(&value) {
            Ok((_, records)) => records,
            Err(error) => {
                tracing::error!(%error, "a batch cannot be replayed and is given up");
                remove(&coordinator.engine, &id, now)?;
                continue;
            }
        };
        // Those of tables that were dropped meanwhile are nobody's any more.
        let state = coordinator.metadata.state();
        let records: Vec<&[u8]> = records.into_iter().filter(|r| has_tables(&state, r)).collect();
        // One that cannot be given to anybody now must not stand in the way of the others.
        if let Err(error) = send_again(coordinator, &records).await {
            failure = Some(error);
            continue;
        }
        remove(&coordinator.engine, &id, now)?;
        replayed += 1;
    }
    failure.map_or(Ok(replayed), Err)
}

/// Brings mutations to a replica each, or to its hints.
async fn send_again(coordinator: &Arc<Coordinator>, records: &[&[u8]]) -> Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let (consistency, kind) = (Consistency::Any, WriteType::UnloggedBatch);
    let options = WriteOptions { consistency, kind, deferred: false };
    match coordinator.write(records, options)? {
        Written::Here(_) => Ok(()),
        Written::Asked(write) => write.outcome().await.map(drop),
    }
}

fn has_tables(state: &ClusterState, record: &[u8]) -> bool {
    let Ok(mutation) = MutationRef::parse(record) else { return false };
    let known = |table| state.schema.table_by_id(table).is_some();
    mutation.tables().all(|update| update.is_ok_and(|update| known(update.table())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use helenus_platform::clock::ManualClock;
    use helenus_platform::disk::MemoryDisk;
    use helenus_platform::random::SeededRandom;
    use helenus_storage::Options;

    fn batches(engine: &Engine, before: i64) -> Vec<(Vec<u8>, Vec<u8>)> {
        let all = Partitions::Range { start: PartitionBound::Min, end: PartitionBound::Max };
        let command = ReadCommand::new(TABLE, all, 5);
        let mut found = Found { before_micros: before, batches: Vec::new() };
        let _ = engine.read_blocking(&command, &mut Cursor::new(&command), &mut found).unwrap();
        found.batches
    }

    #[test]
    fn a_batch_is_kept_until_it_is_removed_and_nonsense_is_refused() {
        let (disk, clock) =
            (Arc::new(MemoryDisk::default()), Arc::new(ManualClock::new(5_000_000)));
        let random = Arc::new(SeededRandom::new(1));
        let table = engine_table();
        let options = Options::new("/engine");
        let engine = Engine::open(options, disk, clock, random, &[table]).unwrap();
        let mut row = RowBuilder::new();
        row.liveness(Liveness::new(7));
        let mut mutation = MutationBuilder::new(KeyspaceId(3), key_of(b"key"));
        mutation.table(TableId(4)).static_row(&row.finish().unwrap()).unwrap();
        let record = mutation.finish().unwrap();
        let value = encode(5_000_000, &[&record, &record]);
        let payload = [&[9; ID_BYTES][..], &value].concat();
        assert!(matches!(store(&engine, &payload).unwrap(), Write::Done { .. }));
        assert!(batches(&engine, 5_000_000).is_empty(), "it is still under way");
        let kept = batches(&engine, 5_000_001);
        assert_eq!(kept, [(vec![9; ID_BYTES], value)]);
        let (made, records) = decode(&kept[0].1).unwrap();
        assert_eq!((made, records), (5_000_000, vec![&record[..], &record[..]]));
        for end in [0, 10, 20, payload.len() - 1] {
            assert!(store(&engine, &payload[..end]).is_err(), "cut at {end}");
        }
        remove(&engine, &[9; ID_BYTES], 6_000_000).unwrap();
        assert!(batches(&engine, i64::MAX).is_empty());
        assert!(remove(&engine, b"no id", 6_000_000).is_err());
    }
}
