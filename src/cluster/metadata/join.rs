//! Joining and leaving. A node with an empty directory asks any member; that one has it taken in,
//! with tokens of its own, and from then on the leader sends it the log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use helenus_platform::runtime::Runtime;

use super::{Changed, Inner, Metadata};
use crate::cluster::change::Change;
use crate::cluster::identity::TOKENS_DEFAULT;
use crate::cluster::members::{Member, MemberState};
use crate::cluster::ring::{MEMBERS_MAX, allocate_tokens};
use crate::cluster::state::ClusterState;
use crate::cluster::transport::{MemberAddress, MetadataTransport, Reply, Request, RequestBody};
use crate::cluster::wait::within;
use crate::error::{Error, Result};

/// How long a member may take to answer who wants to join.
const JOIN_TIMEOUT: Duration = Duration::from_secs(15);

/// A node was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The cluster that it belongs to now.
    pub cluster_id: [u8; 16],
    /// The version since which it does.
    pub version: u64,
    /// The node as the cluster knows it, with its tokens.
    pub member: Member,
}

/// Asks the member at `seed` to take a node in. Asking again is safe: who has been taken in is
/// told so again, with the same tokens.
///
/// # Errors
/// The member cannot be reached, or refuses; the sentence says why.
pub async fn join(
    runtime: &Arc<dyn Runtime>,
    transport: &dyn MetadataTransport,
    seed: SocketAddr,
    newcomer: &Member,
) -> Result<Joined> {
    let request = Request {
        cluster_id: [0; 16],
        from: newcomer.host_id,
        from_address: newcomer.internode_address,
        to: [0; 16],
        body: RequestBody::Join(newcomer.clone()),
    };
    let to = MemberAddress { host_id: None, address: seed };
    let failed = |why: &dyn std::fmt::Display| {
        Error::server(format!("cannot join the cluster by way of {seed}: {why}"))
    };
    let call = transport.call(to, request.encode());
    let reply = within(runtime, Some(JOIN_TIMEOUT), call).await;
    let reply = reply.ok_or_else(|| failed(&"it does not answer"))?.map_err(|e| failed(&e))?;
    match Reply::decode(&reply).map_err(|error| failed(&error))? {
        Reply::Joined { cluster_id, version, member } => Ok(Joined { cluster_id, version, member }),
        Reply::Refused(sentence) => Err(failed(&sentence)),
        Reply::Left => Err(failed(
            &"a node of this host id has left the cluster: it can join again with an empty directory",
        )),
        _ => Err(failed(&"its answer makes no sense")),
    }
}

impl Metadata {
    /// Raises a member to `state`, the next one in its life.
    ///
    /// # Errors
    /// There is no such member, or its life does not go that way; and as for any change.
    pub async fn set_member_state(&self, host: [u8; 16], state: MemberState) -> Result<Changed> {
        self.change(move |now| {
            let Some(known) = now.members.get(&host) else {
                return Err(Error::invalid("there is no member of that host id"));
            };
            if known.state == state {
                return Ok(Vec::new());
            }
            let goes = matches!(
                (known.state, state),
                (MemberState::Joining, MemberState::Normal | MemberState::Left)
                    | (MemberState::Normal, MemberState::Leaving | MemberState::Left)
                    | (MemberState::Leaving, MemberState::Normal | MemberState::Left)
            );
            if !goes {
                return Err(Error::invalid(format!(
                    "a member that is {} cannot become {state}",
                    known.state
                )));
            }
            let mut member = Member { state, ..Member::clone(known) };
            if state == MemberState::Left {
                let others: Vec<&Arc<Member>> = now
                    .members
                    .present()
                    .filter(|other| other.host_id != host && other.state == MemberState::Normal)
                    .collect();
                let votes = others.iter().any(|other| other.voter);
                if others.is_empty() {
                    return Err(Error::invalid("the last member cannot leave"));
                }
                if known.voter && !votes {
                    let what = "nobody else votes on the metadata yet; try again in a moment";
                    return Err(Error::invalid(what));
                }
                member.voter = false;
                member.tokens.clear();
            }
            Ok(vec![Change::PutMember(member)])
        })
        .await
    }
}

impl Inner {
    /// Takes a node in, or refuses with a reason.
    pub(super) async fn take_in(&self, cluster_id: [u8; 16], newcomer: Member) -> Result<Reply> {
        let random = self.running()?.0.random.clone();
        if cluster_id != [0; 16] && cluster_id != self.cluster_id {
            return Err(Error::invalid(
                "the node belongs to another cluster; it can join with an empty directory",
            ));
        }
        let host = newcomer.host_id;
        let draw = random.next_u64();
        let liveness = self.running()?.0.liveness.clone();
        let plan = move |now: &ClusterState| {
            if let Some(known) = now.members.get(&host) {
                return taken_in_before(known, &newcomer, liveness.is_up(&host));
            }
            let address = newcomer.internode_address;
            let taken = now.members.present().find(|other| other.internode_address == address);
            if let Some(other) = taken
                && liveness.is_up(&other.host_id)
            {
                return Err(Error::invalid(format!(
                    "host {} has the address {address} already",
                    uuid::Uuid::from_bytes(other.host_id)
                )));
            }
            if newcomer.feature_level < now.feature_level {
                return Err(Error::invalid(format!(
                    "the cluster is at feature level {}, and the node supports {}: use a newer \
                     program",
                    now.feature_level, newcomer.feature_level
                )));
            }
            if now.members.all().count() >= MEMBERS_MAX {
                return Err(Error::invalid("the cluster has as many members as it can have"));
            }
            let ring = now.members.full_ring().map_err(|error| Error::server(error.to_string()))?;
            let tokens = allocate_tokens(&ring, &newcomer.on_ring(), TOKENS_DEFAULT, draw);
            let state = MemberState::Joining;
            let member = Member { tokens, state, voter: false, ..newcomer.clone() };
            Ok(vec![Change::PutMember(member)])
        };
        // Not waiting for everybody: the newcomer itself is not there yet.
        let changed = self.decided(plan).await?;
        let member = changed.members.get(&host).map(|member| Member::clone(member));
        let member = member.ok_or_else(|| Error::server("the node was not taken in"))?;
        let (cluster_id, version) = (self.cluster_id, changed.version);
        Ok(Reply::Joined { cluster_id, version, member })
    }
}

/// What to do for a host id that is known.
fn taken_in_before(known: &Member, newcomer: &Member, is_up: bool) -> Result<Vec<Change>> {
    let same_place = known.internode_address == newcomer.internode_address;
    match known.state {
        MemberState::Left => Err(Error::invalid(
            "a node of this host id has left the cluster: it can join again with an empty \
             directory",
        )),
        // It asks again because it has not heard our answer.
        MemberState::Joining if same_place => Ok(Vec::new()),
        _ if is_up && !same_place => Err(Error::invalid(format!(
            "a node of this host id is up at {}: two nodes must not have copies of one directory",
            known.internode_address
        ))),
        _ => Err(Error::invalid(
            "a node of this host id is a member and has lost its directory: remove it, then join \
             with a new host id",
        )),
    }
}
