//! The other members, as drivers read them.

use std::sync::Arc;

use super::{LiveViews, token_set};
use crate::RELEASE_VERSION;
use crate::cluster::members::{Member, MemberState};
use crate::schema::Schema;
use crate::schema::system::values::{Cell, inet, int, text, uuid};

impl LiveViews {
    /// Those that own ranges: who joins is none of a driver's business yet.
    fn others(&self) -> Vec<Arc<Member>> {
        let own = self.identity().host_id;
        let state = self.metadata.state();
        let owns = |member: &&Arc<Member>| {
            matches!(member.state, MemberState::Normal | MemberState::Leaving)
                && member.host_id != own
        };
        state.members.all().filter(owns).cloned().collect()
    }

    pub(super) fn peers(&self, schema: &Schema) -> Vec<Vec<Cell>> {
        let row = |member: Arc<Member>| {
            let (nodes, clients) = (member.internode_address, member.cql_address);
            vec![
                inet(nodes.ip()),
                text(&member.data_center),
                uuid(member.host_id),
                inet(nodes.ip()),
                text(&member.rack),
                text(RELEASE_VERSION),
                inet(clients.ip()),
                uuid(schema.schema_version),
                token_set(&member.tokens),
            ]
        };
        self.others().into_iter().map(row).collect()
    }

    pub(super) fn peers_v2(&self, schema: &Schema) -> Vec<Vec<Cell>> {
        let row = |member: Arc<Member>| {
            let (nodes, clients) = (member.internode_address, member.cql_address);
            vec![
                inet(nodes.ip()),
                int(i32::from(nodes.port())),
                text(&member.data_center),
                uuid(member.host_id),
                inet(clients.ip()),
                int(i32::from(clients.port())),
                inet(nodes.ip()),
                int(i32::from(nodes.port())),
                text(&member.rack),
                text(RELEASE_VERSION),
                uuid(schema.schema_version),
                token_set(&member.tokens),
            ]
        };
        self.others().into_iter().map(row).collect()
    }
}
