//! What readers see: an immutable picture of the cluster, without heartbeats and without anything
//! else that changes all the time.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::id::{Generation, HostId};
use crate::state::{Entries, Key, Status, Value, address_of, number_of};

/// One node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeView {
    /// Its host id.
    pub host: HostId,
    /// Its life.
    pub generation: Generation,
    /// Whether we think that it is up. Of ourselves we do.
    pub up: bool,
    /// Its status; `None` if it has said none yet, or one of a newer release.
    pub status: Option<Status>,
    /// Where other nodes reach it.
    pub address: Option<SocketAddr>,
    /// Where clients reach it.
    pub client_address: Option<SocketAddr>,
    /// Its data centre.
    pub data_centre: Option<Arc<str>>,
    /// Its rack.
    pub rack: Option<Arc<str>>,
    /// Bytes of data that it holds.
    pub load: Option<u64>,
    /// The newest version of the metadata log that it has applied.
    pub metadata_version: Option<u64>,
    /// The highest feature level that it supports.
    pub feature_level: Option<u64>,
    /// All that it says, known or not.
    pub values: Vec<(Key, Value)>,
}

impl NodeView {
    pub(crate) fn new(host: HostId, generation: Generation, up: bool, entries: &Entries) -> Self {
        let value = |key| entries.get(key).map(|entry| &*entry.value);
        let text = |key| value(key).and_then(|v| std::str::from_utf8(v).ok()).map(Arc::from);
        let number = |key| value(key).and_then(number_of);
        NodeView {
            host,
            generation,
            up,
            status: value(Key::STATUS).and_then(Status::of),
            address: value(Key::ADDRESS).and_then(address_of),
            client_address: value(Key::CLIENT_ADDRESS).and_then(address_of),
            data_centre: text(Key::DATA_CENTRE),
            rack: text(Key::RACK),
            load: number(Key::LOAD),
            metadata_version: number(Key::METADATA_VERSION),
            feature_level: number(Key::FEATURE_LEVEL),
            values: entries.iter().map(|entry| (entry.key, entry.value.clone())).collect(),
        }
    }
}

/// All nodes at one moment, by ascending host id. Cloning one costs nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View {
    nodes: Arc<[Arc<NodeView>]>,
}

impl View {
    pub(crate) fn new(nodes: Vec<Arc<NodeView>>) -> Self {
        View { nodes: nodes.into() }
    }

    /// The nodes, ourselves among them, and those that have left or were removed as long as that
    /// is remembered.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &NodeView> {
        self.nodes.iter().map(|node| &**node)
    }

    /// Whether both are the same picture, and not merely equal ones.
    #[must_use]
    pub fn is_same(&self, other: &View) -> bool {
        Arc::ptr_eq(&self.nodes, &other.nodes)
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, host: HostId) -> Option<&NodeView> {
        let at = self.nodes.binary_search_by_key(&host, |node| node.host).ok()?;
        self.nodes.get(at).map(|node| &**node)
    }
}
