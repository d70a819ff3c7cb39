//! Figures of a node, named as nodetool names them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cql_lite::types::text::print_uuid;
use helenus_storage::model::LogPosition;
use serde::{Deserialize, Serialize};

use crate::RELEASE_VERSION;
use crate::cluster::gossiping::host_number;
use crate::cluster::members::{Member, MemberState};
use crate::cluster::ring::{ReplicaMap, Ring, Strategy, TokenRange};
use crate::error::Result;
use crate::node::Node;
use crate::schema::Table;

/// A node among the cluster's (`nodetool status`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its data centre.
    pub datacenter: String,
    /// Up or down, then normal, joining, leaving or (of this node alone) drained: `UN`, `DN`, `UJ`.
    pub status: String,
    /// Where clients connect.
    pub address: String,
    /// Bytes of its SSTables; of another node, as it said last.
    pub load: u64,
    /// How many tokens it has.
    pub tokens: usize,
    /// The share of the ring that it owns, in percent.
    pub owns: f64,
    /// Its id.
    pub host_id: String,
    /// Its rack.
    pub rack: String,
    /// SSTables of which something is known to be damaged; [`NodeInfo`] names them.
    #[serde(default)]
    pub damaged_sstables: usize,
    /// Whether it votes on the metadata: a majority of those that do must be up to change the
    /// schema.
    #[serde(default)]
    pub votes: bool,
}

/// One token of the ring (`nodetool ring`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RingToken {
    /// Its owner's data centre.
    pub datacenter: String,
    /// Where clients connect to its owner.
    pub address: String,
    /// Its owner's rack.
    pub rack: String,
    /// `Up` or `Down`.
    pub status: String,
    /// `Normal`, `Leaving`, or, of this node alone, `Drained`.
    pub state: String,
    /// Bytes of its owner's SSTables.
    pub load: u64,
    /// The share that its owner has of the ring, or of a keyspace's replicas, in percent.
    pub owns: f64,
    /// The token; the range that ends with it is its owner's.
    pub token: i64,
}

/// A node (`nodetool info`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are named as nodetool names them")]
pub struct NodeInfo {
    pub id: String,
    pub version: String,
    pub release_version: String,
    pub cluster_name: String,
    pub native_transport_active: bool,
    /// Bytes of its SSTables.
    pub load: u64,
    pub generation_no: u32,
    pub uptime_seconds: u64,
    pub memtable_bytes: u64,
    pub memtable_bytes_max: u64,
    pub block_cache_bytes_max: u64,
    pub data_center: String,
    pub rack: String,
    pub tokens: Vec<i64>,
    pub data_dir: String,
    pub commit_log_mode: String,
    pub pending_compactions: u64,
    /// Why the node refuses writes until it is restarted, if it does.
    pub failure: Option<String>,
    /// What is known to be damaged.
    #[serde(default)]
    pub damaged_sstables: Vec<DamagedSsTable>,
}

/// A damaged SSTable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DamagedSsTable {
    /// The keyspace of its table.
    pub keyspace: String,
    /// Its table.
    pub table: String,
    /// The path of its file.
    pub file: String,
    /// Nothing of it can be read; otherwise the rest of it is served.
    pub unreadable: bool,
    /// What is wrong with it.
    pub why: String,
}

/// A table (`nodetool tablestats`). Figures that are counted in every SSTable which has them are
/// estimates until the table is compacted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are named as nodetool names them")]
pub struct TableFigures {
    pub keyspace: String,
    pub table: String,
    pub sstable_count: u64,
    pub space_used_live: u64,
    pub space_used_by_snapshots_total: u64,
    pub number_of_partitions_estimate: u64,
    pub number_of_rows_estimate: u64,
    pub number_of_tombstones_estimate: u64,
    pub memtable_data_size: u64,
    pub memtable_count: u64,
    pub pending_flushes: u64,
    pub pending_compactions: u64,
    pub local_read_count: u64,
    pub local_write_count: u64,
    #[serde(default)]
    pub damaged_sstables: Vec<DamagedSsTable>,
}

/// What each member of a ring has of it, in percent.
fn shares(ring: &Ring, shares: &[f64]) -> BTreeMap<[u8; 16], f64> {
    let members = ring.members().iter().zip(shares);
    members.map(|(member, share)| (member.host_id, share * 100.0)).collect()
}

impl Node {
    fn damaged_sstables(&self) -> Vec<DamagedSsTable> {
        let schema = self.metadata().schema();
        let damages = self.engine().damages().into_iter().map(|damage| {
            let table = schema.table_by_id(damage.table);
            DamagedSsTable {
                keyspace: table.map_or(String::new(), |table| table.keyspace.clone()),
                table: table.map_or(String::new(), |table| table.name.clone()),
                file: damage.path.display().to_string(),
                unreadable: damage.is_unreadable,
                why: damage.why,
            }
        });
        damages.collect()
    }

    pub(in crate::node) fn load(&self) -> u64 {
        let engine = self.engine();
        let stats = engine.tables().into_iter().filter_map(|table| engine.table_stats(table));
        stats.map(|stats| stats.sstable_bytes).sum()
    }

    /// Every member that has not left, by host id.
    pub(super) fn status(&self) -> Vec<NodeStatus> {
        let own = self.identity().host_id;
        let state = self.metadata().state();
        let owned = shares(&state.ring, &state.ring.owned_shares());
        let view = self.gossip().map(|gossip| gossip.view());
        let status = |member: &Arc<Member>| {
            let is_own = member.host_id == own;
            let heard = view.as_ref().and_then(|view| view.get(host_number(&member.host_id)));
            let is_up = self.liveness().is_up(&member.host_id);
            let drained = is_own && self.engine().is_drained();
            let letter = match member.state {
                _ if drained => 'D',
                MemberState::Joining => 'J',
                MemberState::Normal => 'N',
                MemberState::Leaving | MemberState::Left => 'L',
            };
            NodeStatus {
                datacenter: member.data_center.clone(),
                status: format!("{}{letter}", if is_up { 'U' } else { 'D' }),
                address: member.cql_address.ip().to_string(),
                load: match is_own {
                    true => self.load(),
                    false => heard.and_then(|node| node.load).unwrap_or(0),
                },
                tokens: member.tokens.len(),
                owns: owned.get(&member.host_id).copied().unwrap_or(0.0),
                host_id: print_uuid(&member.host_id),
                rack: member.rack.clone(),
                damaged_sstables: if is_own { self.engine().damages().len() } else { 0 },
                votes: member.voter,
            }
        };
        state.members.present().map(status).collect()
    }

    /// All tokens in their order, with what their owners have of the ring, or of the replicas that
    /// `strategy` places.
    pub(super) fn ring_tokens(&self, strategy: Option<&Strategy>) -> Vec<RingToken> {
        let ring = self.ring();
        let local = ring.index_of(&self.identity().host_id);
        let owned = match strategy {
            None => ring.owned_shares(),
            Some(strategy) => ReplicaMap::new(ring.clone(), strategy, local).shares(),
        };
        let owned = shares(&ring, &owned);
        let nodes = self.status();
        let token = |range: TokenRange| {
            let owner = ring.member(range.owner)?;
            let host_id = print_uuid(&owner.host_id);
            let node = nodes.iter().find(|node| node.host_id == host_id)?;
            Some(RingToken {
                datacenter: node.datacenter.clone(),
                address: node.address.clone(),
                rack: node.rack.clone(),
                status: if node.status.starts_with('U') { "Up" } else { "Down" }.to_string(),
                state: match node.status.chars().last() {
                    Some('D') => "Drained",
                    Some('J') => "Joining",
                    Some('L') => "Leaving",
                    _ => "Normal",
                }
                .to_string(),
                load: node.load,
                owns: owned.get(&owner.host_id).copied().unwrap_or(0.0),
                token: range.end,
            })
        };
        ring.ranges().filter_map(token).collect()
    }

    pub(super) fn info(&self) -> NodeInfo {
        let (identity, config, engine) = (self.identity(), self.config(), self.engine());
        let stats = engine.tables().into_iter().filter_map(|table| engine.table_stats(table));
        let uptime = self.world().clock.monotonic().saturating_sub(self.shared.opened_at);
        let mode = config.settings().find(|(name, _)| *name == "commit_log.mode");
        NodeInfo {
            id: print_uuid(&identity.host_id),
            version: env!("CARGO_PKG_VERSION").to_string(),
            release_version: RELEASE_VERSION.to_string(),
            cluster_name: config.cluster_name.clone(),
            native_transport_active: !engine.is_drained(),
            load: self.load(),
            generation_no: identity.counter_generation,
            uptime_seconds: uptime.as_secs(),
            memtable_bytes: engine.metrics().memtable_bytes_now.get(),
            memtable_bytes_max: config.memtable_total_bytes as u64,
            block_cache_bytes_max: config.block_cache_bytes as u64,
            data_center: config.data_center.clone(),
            rack: config.rack.clone(),
            tokens: identity.tokens,
            data_dir: self.shared.dir.display().to_string(),
            commit_log_mode: mode.map_or(String::new(), |(_, mode)| mode),
            pending_compactions: stats.map(|stats| stats.compactions_pending).sum(),
            failure: engine.failure().map(|error| error.to_string()),
            damaged_sstables: self.damaged_sstables(),
        }
    }

    /// Waits for the disk: it reads the snapshots' manifests.
    pub(super) fn table_figures(&self, tables: &[Arc<Table>]) -> Result<Vec<TableFigures>> {
        let engine = self.engine();
        let snapshots = self.shared.snapshots.list()?;
        let damaged = self.damaged_sstables();
        let figures = tables.iter().filter_map(|table| {
            let stats = engine.table_stats(table.id)?;
            let of_table = snapshots.iter().filter(|snapshot| {
                snapshot.keyspace_name == table.keyspace
                    && snapshot.column_family_name == table.name
            });
            let is_flushed = engine.is_flushed(Some(table.id), LogPosition(u64::MAX));
            Some(TableFigures {
                keyspace: table.keyspace.clone(),
                table: table.name.clone(),
                sstable_count: stats.sstables,
                space_used_live: stats.sstable_bytes,
                space_used_by_snapshots_total: of_table.map(|snapshot| snapshot.true_size).sum(),
                number_of_partitions_estimate: stats.partitions,
                number_of_rows_estimate: stats.rows,
                number_of_tombstones_estimate: stats.tombstones,
                memtable_data_size: if is_flushed { 0 } else { stats.memtable_bytes },
                memtable_count: stats.memtables,
                pending_flushes: stats.memtables.saturating_sub(1),
                pending_compactions: stats.compactions_pending,
                local_read_count: stats.reads,
                local_write_count: stats.writes,
                damaged_sstables: {
                    let is_here = |file: &&DamagedSsTable| {
                        file.keyspace == table.keyspace && file.table == table.name
                    };
                    damaged.iter().filter(is_here).cloned().collect()
                },
            })
        });
        Ok(figures.collect())
    }
}
