//! What the cluster agrees on at one version of the metadata log, as one immutable snapshot:
//! schema, members, and the ring that they make.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use helenus_platform::codec::{CodecError, Put, Reader};
use helenus_storage::model::{KeyspaceId, TableId};

use super::change::{
    Change, ProposalId, check_version, decode_payload, put_changes, read_changes, unreadable,
};
use super::members::{Member, Members};
use super::raft::Entry;
use super::ring::Ring;
use crate::error::{Error, Result};
use crate::schema::{self, Schema, Table, TableSource, system};

const STATE_VERSION: u8 = 3;
/// Proposals that are remembered, so that their proposers learn what became of them.
const RECENT_MAX: usize = 256;
/// No table was truncated more often than there are versions; more tables than this there are not.
const TABLES_MAX: u64 = 1 << 20;
/// Longest part of a replication option, in bytes.
const OPTION_BYTES_MAX: usize = 1 << 16;

/// The replication of a keyspace.
type Replication = BTreeMap<String, String>;

/// See the module's head.
#[derive(Clone, Debug)]
pub struct ClusterState {
    /// The index of the last entry that it comes from.
    pub version: u64,
    /// Keyspaces, tables, types. Its own version is that of the last entry that changed it.
    pub schema: Arc<Schema>,
    /// Who belongs to the cluster.
    pub members: Arc<Members>,
    /// Who owns which tokens now.
    pub ring: Arc<Ring>,
    /// Who will, when everybody who joins or leaves is done.
    pub next_ring: Arc<Ring>,
    /// The level at which nodes write what others may read: all members support it.
    pub feature_level: u32,
    /// The version that changed last where partitions are, or will be.
    pub ring_version: u64,
    /// Keyspaces whose replication was changed, and what it was: until all replicas have the data,
    /// partitions are where it said.
    pub moving: Arc<BTreeMap<KeyspaceId, Replication>>,
    /// The ring version up to which members have the data that it brings them.
    pub received: Arc<BTreeMap<[u8; 16], u64>>,
    /// The version at which a table was truncated last.
    truncated: Arc<BTreeMap<TableId, u64>>,
    /// The newest proposals, oldest first.
    recent: Arc<VecDeque<(u64, ProposalId)>>,
}

impl ClusterState {
    /// Before the first entry.
    ///
    /// # Errors
    /// None that can happen: a ring of nobody.
    pub fn empty() -> Result<ClusterState> {
        let nobody = Members::default();
        let ring = Arc::new(nobody.ring().map_err(|error| Error::server(error.to_string()))?);
        Ok(ClusterState {
            version: 0,
            schema: Arc::new(Schema::with_system_keyspaces(system::keyspaces())),
            members: Arc::new(nobody),
            next_ring: ring.clone(),
            ring,
            feature_level: 0,
            ring_version: 0,
            moving: Arc::default(),
            received: Arc::default(),
            truncated: Arc::default(),
            recent: Arc::default(),
        })
    }

    /// The version at which a proposal was committed, if it is one of the newest.
    pub fn version_of(&self, proposal: &ProposalId) -> Option<u64> {
        let found = self.recent.iter().rev().find(|(_, id)| id == proposal);
        found.map(|(version, _)| *version)
    }

    /// The state after the next entry.
    ///
    /// # Errors
    /// The entry cannot be read, or does not fit; nothing that was planned against this state is
    /// of that kind.
    pub fn after(&self, entry: &Entry) -> Result<(ClusterState, Vec<Change>)> {
        let version = entry.index;
        if entry.payload.is_empty() {
            return Ok((ClusterState { version, ..self.clone() }, Vec::new()));
        }
        let (id, changes) = decode_payload(&entry.payload)?;
        Ok((self.with(version, id, &changes)?, changes))
    }

    /// The state with these changes, at that version.
    ///
    /// # Errors
    /// They do not fit: a keyspace that is not there, a token that is taken.
    pub fn with(&self, version: u64, id: ProposalId, changes: &[Change]) -> Result<ClusterState> {
        let mut after = self.applied(version, changes)?;
        let mut recent = VecDeque::clone(&self.recent);
        recent.push_back((version, id));
        while recent.len() > RECENT_MAX {
            recent.pop_front();
        }
        after.recent = Arc::new(recent);
        Ok(after)
    }

    fn applied(&self, version: u64, changes: &[Change]) -> Result<ClusterState> {
        let mut after = ClusterState { version, ..self.clone() };
        let schema = schema_changes(changes);
        if !schema.is_empty() {
            after.schema = Arc::new(self.schema.apply_all(&schema, version)?);
        }
        let mut truncated = BTreeMap::clone(&self.truncated);
        for change in &schema {
            if let schema::Change::Truncate { table } = change {
                truncated.insert(*table, version);
            }
        }
        truncated.retain(|table, _| after.schema.table_by_id(*table).is_some());
        after.truncated = Arc::new(truncated);
        self.move_keyspaces(&mut after, &schema);
        let mut members = None;
        for change in changes {
            match change {
                Change::Received { host, ring_version } => {
                    let mut received = BTreeMap::clone(&after.received);
                    received.insert(*host, *ring_version);
                    after.received = Arc::new(received);
                }
                Change::Settled { keyspace } => {
                    let mut moving = BTreeMap::clone(&after.moving);
                    if moving.remove(keyspace).is_some() {
                        after.ring_version = version;
                    }
                    after.moving = Arc::new(moving);
                }
                Change::PutMember(member) => {
                    let so_far = members.take().unwrap_or_else(|| Members::clone(&self.members));
                    members = Some(so_far.with(member.clone()));
                }
                Change::FeatureLevel(level) => {
                    after.feature_level = after.feature_level.max(*level);
                }
                Change::Schema(_) => {}
            }
        }
        if let Some(members) = members {
            after.set_members(members)?;
            if after.ring != self.ring || after.next_ring != self.next_ring {
                after.ring_version = version;
            }
            let mut received = BTreeMap::clone(&after.received);
            received.retain(|host, _| !after.members.has_left(host));
            after.received = Arc::new(received);
        }
        Ok(after)
    }

    /// Keeps what the replication of keyspaces was, where others than one node have their data.
    fn move_keyspaces(&self, after: &mut ClusterState, changes: &[schema::Change]) {
        let mut moving = BTreeMap::clone(&self.moving);
        for change in changes {
            let schema::Change::PutKeyspace(put) = change else { continue };
            let Some(before) = self.schema.keyspace(&put.name) else { continue };
            let (was, will) = (&before.options.replication, &put.options.replication);
            if was != will && self.members.present().count() > 1 {
                // What has not settled is where it was before the change before.
                moving.entry(before.id).or_insert_with(|| was.clone());
                after.ring_version = after.version;
            }
        }
        let ids = after.schema.keyspaces().values().map(|keyspace| keyspace.id);
        let ids: BTreeSet<KeyspaceId> = ids.collect();
        moving.retain(|keyspace, _| ids.contains(keyspace));
        after.moving = Arc::new(moving);
    }

    fn set_members(&mut self, members: Members) -> Result<()> {
        let refused = |error: super::ring::RingError| Error::server(error.to_string());
        members.full_ring().map_err(refused)?;
        self.ring = Arc::new(members.ring().map_err(refused)?);
        self.next_ring = Arc::new(members.next_ring().map_err(refused)?);
        self.members = Arc::new(members);
        Ok(())
    }

    /// The same with other members: a copy for a cluster of its own.
    ///
    /// # Errors
    /// They make no ring.
    pub fn with_members(&self, members: Members) -> Result<ClusterState> {
        let mut state = self.clone();
        state.set_members(members)?;
        (state.moving, state.received) = (Arc::default(), Arc::default());
        Ok(state)
    }

    /// Schema changes that lead from the schema of `before` to this one, for whoever missed the
    /// entries between: what is to be done to the tables, not how it came about.
    pub fn schema_changes_since(&self, before: &ClusterState) -> Vec<schema::Change> {
        let stored = |table: &&Arc<Table>| table.source == TableSource::Stored;
        let gone = before.schema.tables().values().filter(stored);
        let gone = gone.filter(|table| self.schema.table_by_id(table.id).is_none());
        let mut changes: Vec<schema::Change> = gone
            .map(|table| schema::Change::DropTable {
                keyspace: table.keyspace.clone(),
                name: table.name.clone(),
                id: table.id,
            })
            .collect();
        for table in self.schema.tables().values().filter(stored) {
            let known = before.schema.table_by_id(table.id);
            if known.is_none_or(|known| known != table) {
                changes.push(schema::Change::PutTable(table.clone()));
            }
            let truncated = self.truncated.get(&table.id).copied().unwrap_or(0);
            if known.is_some() && truncated > before.version {
                changes.push(schema::Change::Truncate { table: table.id });
            }
        }
        changes
    }

    /// The state as bytes:
    ///
    /// ```text
    /// u8 version (2) | u64 schema version | u32 next keyspace id | u32 next table id |
    /// varint count | (varint table id, u64 truncated at)… |
    /// varint count | (u64 version, 16 bytes proposal)… | u64 ring version |
    /// varint count | (u32 keyspace id, replication before)… |
    /// varint count | (16 bytes host id, u64 ring version received)… |
    /// changes that make it from nothing
    /// replication:  varint count | (text, text)…      text:  varint length | UTF-8
    /// ```
    pub fn encode(&self) -> Bytes {
        let mut bytes = vec![STATE_VERSION];
        bytes.put_u64_le(self.schema.version);
        bytes.put_u32_le(self.schema.next_keyspace_id().0);
        bytes.put_u32_le(self.schema.next_table_id().0);
        bytes.put_varint(self.truncated.len() as u64);
        for (table, version) in self.truncated.iter() {
            bytes.put_varint(u64::from(table.0));
            bytes.put_u64_le(*version);
        }
        bytes.put_varint(self.recent.len() as u64);
        for (version, id) in self.recent.iter() {
            bytes.put_u64_le(*version);
            bytes.put_bytes(id);
        }
        bytes.put_u64_le(self.ring_version);
        bytes.put_varint(self.moving.len() as u64);
        for (keyspace, before) in self.moving.iter() {
            bytes.put_u32_le(keyspace.0);
            bytes.put_varint(before.len() as u64);
            for text in before.iter().flat_map(|(name, value)| [name, value]) {
                bytes.put_bytes_varint(text.as_bytes());
            }
        }
        bytes.put_varint(self.received.len() as u64);
        for (host, version) in self.received.iter() {
            bytes.put_bytes(host);
            bytes.put_u64_le(*version);
        }
        let mut changes: Vec<Change> =
            self.schema.as_changes().into_iter().map(Change::from).collect();
        changes.extend(self.members.all().map(|member| Change::PutMember(Member::clone(member))));
        changes.push(Change::FeatureLevel(self.feature_level));
        put_changes(&changes, &mut bytes);
        bytes.into()
    }

    /// Reads the state at `version`.
    ///
    /// # Errors
    /// It is not one, or of another version.
    pub fn decode(bytes: &[u8], version: u64) -> Result<ClusterState> {
        let head = Head::read(bytes)?;
        let mut state = ClusterState::empty()?.applied(head.schema_version, &head.changes)?;
        let schema = Schema::clone(&state.schema);
        let mut schema = schema.with_next_ids(head.next_keyspace_id, head.next_table_id);
        schema.version = head.schema_version;
        state.schema = Arc::new(schema);
        state.version = version;
        (state.truncated, state.recent) = (Arc::new(head.truncated), Arc::new(head.recent));
        (state.moving, state.received) = (Arc::new(head.moving), Arc::new(head.received));
        state.ring_version = head.ring_version;
        Ok(state)
    }
}

/// The changes of the schema among others.
pub fn schema_changes(changes: &[Change]) -> Vec<schema::Change> {
    let of_schema = |change: &Change| match change {
        Change::Schema(change) => Some(change.clone()),
        _ => None,
    };
    changes.iter().filter_map(of_schema).collect()
}

/// The changes that make a state from nothing.
pub(super) fn changes_of_state(bytes: &[u8]) -> Result<Vec<Change>> {
    Head::read(bytes).map(|head| head.changes)
}

/// A state as it is written.
struct Head {
    schema_version: u64,
    next_keyspace_id: u32,
    next_table_id: u32,
    truncated: BTreeMap<TableId, u64>,
    recent: VecDeque<(u64, ProposalId)>,
    ring_version: u64,
    moving: BTreeMap<KeyspaceId, Replication>,
    received: BTreeMap<[u8; 16], u64>,
    changes: Vec<Change>,
}

impl Head {
    fn read(bytes: &[u8]) -> Result<Head> {
        let mut reader = Reader::new(bytes);
        check_version(&mut reader, "a snapshot's state", STATE_VERSION)?;
        let mut head = Head::read_fixed(&mut reader).map_err(|error| unreadable(&error))?;
        head.changes = read_changes(&mut reader)?;
        Ok(head)
    }

    fn read_fixed(reader: &mut Reader<'_>) -> std::result::Result<Head, CodecError> {
        let schema_version = reader.u64_le()?;
        let next_keyspace_id = reader.u32_le()?;
        let next_table_id = reader.u32_le()?;
        let error = reader.error("number of tables");
        let count = reader.varint()?;
        if count > TABLES_MAX {
            return Err(error);
        }
        let mut truncated = BTreeMap::new();
        for _ in 0..count {
            let table = u32::try_from(reader.varint()?).map_err(|_| reader.error("table id"))?;
            truncated.insert(TableId(table), reader.u64_le()?);
        }
        let error = reader.error("number of proposals");
        let count = reader.varint()?;
        if count > RECENT_MAX as u64 {
            return Err(error);
        }
        let mut recent = VecDeque::new();
        for _ in 0..count {
            let version = reader.u64_le()?;
            recent.push_back((version, reader.bytes(16)?.try_into().unwrap_or_default()));
        }
        let ring_version = reader.u64_le()?;
        let moving = read_moving(reader)?;
        let received = read_received(reader)?;
        let changes = Vec::new();
        Ok(Head {
            schema_version,
            next_keyspace_id,
            next_table_id,
            truncated,
            recent,
            ring_version,
            moving,
            received,
            changes,
        })
    }
}

type Read<T> = std::result::Result<T, CodecError>;

fn read_moving(reader: &mut Reader<'_>) -> Read<BTreeMap<KeyspaceId, Replication>> {
    let mut moving = BTreeMap::new();
    for _ in 0..reader.varint()? {
        let keyspace = KeyspaceId(reader.u32_le()?);
        let mut before = Replication::new();
        for _ in 0..reader.varint()? {
            let name = read_text(reader)?;
            before.insert(name, read_text(reader)?);
        }
        moving.insert(keyspace, before);
    }
    Ok(moving)
}

fn read_received(reader: &mut Reader<'_>) -> Read<BTreeMap<[u8; 16], u64>> {
    let mut received = BTreeMap::new();
    for _ in 0..reader.varint()? {
        let host = reader.bytes(16)?.try_into().unwrap_or_default();
        received.insert(host, reader.u64_le()?);
    }
    Ok(received)
}

fn read_text(reader: &mut Reader<'_>) -> Read<String> {
    let error = reader.error("text of a replication option");
    let bytes = reader.bytes_varint(OPTION_BYTES_MAX)?;
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| error)
}
