//! All nodes that we know of, by ascending host id.
//!
//! What every exchange reads of every node (host id, generation, versions) stands in dense
//! columns, apart from the values, which are read only when they have changed. Digests come in
//! the same order, so comparing a thousand of them is one pass over two arrays.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::delta::Source;
use crate::detector::Detector;
use crate::id::{Generation, HostId};
use crate::state::{Entries, Entry, Key, Status, address_of};
use crate::view::NodeView;

/// How much we have of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) generation: Generation,
    /// Everything up to this version.
    pub(crate) version: u64,
    /// The version of the heartbeat.
    pub(crate) heartbeat: u64,
    /// The version of the newest value. Nearly always a peer has it, and the values themselves
    /// need not be looked at.
    pub(crate) values: u64,
}

/// What we think of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opinion {
    /// We have heard of it, and nothing yet says that it is up.
    Unknown,
    /// News of it keeps coming.
    Up,
    /// It was up, and then silent for too long.
    Down,
    /// It has left or was removed; nobody watches it.
    Gone,
}

/// Watching a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    pub(crate) detector: Detector,
    pub(crate) opinion: Opinion,
    /// How often its heartbeat has moved on while it was not up.
    pub(crate) signs: u8,
    /// When the opinion became `Down` or `Gone`; in microseconds of the caller's clock.
    pub(crate) since: u64,
}

/// A node's values, and what is made of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) entries: Entries,
    /// Where it is reached.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) status: Option<Status>,
    /// It has said that it stops: nothing that is still on its way makes it up again.
    pub(crate) is_stopping: bool,
    /// What readers are shown, until something of it changes.
    pub(crate) view: Option<Arc<NodeView>>,
}

impl Known {
    /// Sets a value, and what is made of it.
    pub(crate) fn set(&mut self, entry: Entry) -> Result<(), crate::Error> {
        match entry.key {
            Key::STATUS => self.status = Status::of(&entry.value),
            Key::ADDRESS => self.address = address_of(&entry.value),
            Key::STOPPING => self.is_stopping = true,
            _ => {}
        }
        self.view = None;
        self.entries.set(entry)
    }
}

/// The table. An index names a node until the next insertion or removal.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) hosts: Vec<HostId>,
    pub(crate) rows: Vec<Row>,
    pub(crate) health: Vec<Health>,
    pub(crate) known: Vec<Known>,
    /// Changes with every insertion and removal.
    pub(crate) edits: u64,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.hosts.len()
    }

    pub(crate) fn find(&self, host: HostId) -> Option<usize> {
        self.hosts.binary_search(&host).ok()
    }

    /// As [`Table::find`], quick if the node is at `hint` or not far behind it.
    pub(crate) fn find_near(&self, host: HostId, hint: usize) -> Option<usize> {
        let rest = self.hosts.get(hint..).unwrap_or_default();
        let near = rest.get(..8).unwrap_or(rest);
        match near.iter().position(|at| *at >= host) {
            Some(steps) if near.get(steps) == Some(&host) => Some(hint + steps),
            _ => self.find(host),
        }
    }

    /// Puts a node in its place; where that is.
    pub(crate) fn insert(&mut self, host: HostId, row: Row, health: Health, known: Known) -> usize {
        let at = self.hosts.partition_point(|other| *other < host);
        debug_assert!(self.hosts.get(at) != Some(&host));
        self.hosts.insert(at, host);
        self.rows.insert(at, row);
        self.health.insert(at, health);
        self.known.insert(at, known);
        self.edits += 1;
        at
    }

    pub(crate) fn remove(&mut self, at: usize) {
        self.hosts.remove(at);
        self.rows.remove(at);
        self.health.remove(at);
        self.known.remove(at);
        self.edits += 1;
    }

    /// The state of a node, to cut deltas from.
    pub(crate) fn source(&self, at: usize) -> Source<'_> {
        let row = self.rows[at];
        Source {
            host: self.hosts[at],
            generation: row.generation,
            heartbeat: row.heartbeat,
            newest: row.values,
            entries: &self.known[at].entries,
        }
    }

    /// Sets a value of a node whose version is above all that it has.
    pub(crate) fn set(&mut self, at: usize, entry: Entry) -> Result<(), crate::Error> {
        let version = entry.version;
        self.known[at].set(entry)?;
        self.rows[at].values = version;
        Ok(())
    }
}
