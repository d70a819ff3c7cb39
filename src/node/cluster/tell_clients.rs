//! What drivers are told of other nodes: who has come and gone, by the metadata, and who serves, by
//! gossip.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use cql_lite::wire::{Event, StatusChangeKind, TopologyChangeKind};
use helenus_gossip::View;

use crate::cluster::gossiping::host_number;
use crate::cluster::members::MemberState;
use crate::cluster::state::ClusterState;

/// What drivers know of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    /// Where they reach it.
    address: SocketAddr,
    /// It is up, and has said that it serves clients.
    serves: bool,
}

/// What drivers have been told.
#[derive(Debug, Default)]
pub(super) struct Told {
    nodes: Option<BTreeMap<[u8; 16], Known>>,
}

impl Told {
    /// What is to be told now. The first look is what drivers find when they come.
    pub(super) fn news(&mut self, own: &[u8; 16], state: &ClusterState, view: &View) -> Vec<Event> {
        let mut now = BTreeMap::new();
        for member in state.members.all().filter(|member| member.host_id != *own) {
            if !matches!(member.state, MemberState::Normal | MemberState::Leaving) {
                continue;
            }
            let heard = view.get(host_number(&member.host_id));
            let serves = heard.is_some_and(|node| node.up && node.client_address.is_some());
            now.insert(member.host_id, Known { address: member.cql_address, serves });
        }
        let Some(before) = self.nodes.replace(now.clone()) else { return Vec::new() };
        let mut events = Vec::new();
        for (host_id, was) in &before {
            let is = now.get(host_id);
            if was.serves && is.is_none_or(|is| !is.serves) {
                events.push(Event::Status(StatusChangeKind::Down, was.address));
            }
            if is.is_none_or(|is| is.address != was.address) {
                events.push(Event::Topology(TopologyChangeKind::RemovedNode, was.address));
            }
        }
        for (host_id, is) in &now {
            let was = before.get(host_id).filter(|was| was.address == is.address);
            if was.is_none() {
                events.push(Event::Topology(TopologyChangeKind::NewNode, is.address));
            }
            if is.serves && was.is_none_or(|was| !was.serves) {
                events.push(Event::Status(StatusChangeKind::Up, is.address));
            }
        }
        events
    }
}
