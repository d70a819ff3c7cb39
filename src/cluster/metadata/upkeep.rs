//! What follows from the state by itself: every member keeps its own entry right, and the leader
//! sees to it that there are enough voters and that the feature level is as high as all allow.

use std::sync::Arc;
use std::time::Duration;

use super::{Inner, Running};
use crate::cluster::change::Change;
use crate::cluster::members::{Member, MemberState, VOTERS_MAX};
use crate::cluster::raft::Role;
use crate::cluster::state::ClusterState;
use crate::cluster::wait::within;

/// How long to wait after something that could not be done.
const RETRY: Duration = Duration::from_secs(1);
/// How long a member may take to show that it keeps up, before it is made a voter.
const PROOF_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn run(inner: Arc<Inner>, running: Running) {
    loop {
        let epoch = inner.moved.epoch();
        if inner.is_stopping() || inner.failure.get().is_some() {
            return;
        }
        let leads = inner.standing.load().role == Role::Leader;
        let state = inner.state.load_full();
        let found = due(&state, &running, inner.host_id, leads);
        let wanted = found.is_some();
        let due = match found {
            Some(Due::Promote(candidate)) => {
                let until = inner.clock.monotonic() + PROOF_TIMEOUT;
                let host = candidate.host_id;
                let keeps_up = inner.await_member(&running, host, state.version, until).await
                    && running.liveness.is_up(&host);
                keeps_up.then_some(Due::Promote(candidate))
            }
            due => due,
        };
        let Some(due) = due else {
            let moved = inner.moved.wait_past(epoch);
            // What is wanted and was not possible is tried again.
            let timeout = wanted.then_some(RETRY);
            within(&running.runtime, timeout, moved).await;
            continue;
        };
        let plan = |now: &ClusterState| {
            // Planned anew: what was due may have been done.
            let still = now.version == state.version;
            Ok(if still { vec![due.change()] } else { Vec::new() })
        };
        if let Err(error) = inner.decided(plan).await {
            tracing::warn!(%error, "upkeep of the members has to wait");
            running.runtime.sleep(RETRY).await;
        }
    }
}

/// Something that should be changed.
enum Due {
    /// This node is known otherwise than it is.
    Own(Member),
    /// A member should vote.
    Promote(Member),
    /// Everybody supports more.
    Level(u32),
}

impl Due {
    fn change(&self) -> Change {
        match self {
            Due::Own(member) => Change::PutMember(member.clone()),
            Due::Promote(member) => Change::PutMember(Member { voter: true, ..member.clone() }),
            Due::Level(level) => Change::FeatureLevel(*level),
        }
    }
}

fn due(state: &ClusterState, running: &Running, host: [u8; 16], leads: bool) -> Option<Due> {
    let members = &state.members;
    let known = members.get(&host).filter(|known| known.state != MemberState::Left)?;
    let right = as_it_is(known, &running.own, members.present().count() == 1);
    if right != **known {
        return Some(Due::Own(right));
    }
    if !leads {
        return None;
    }
    let voters = members.present().filter(|member| member.voter).count();
    if voters < VOTERS_MAX {
        let ready = |member: &&Arc<Member>| member.state == MemberState::Normal && !member.voter;
        let mut ready = members.present().filter(ready);
        if let Some(next) = ready.find(|member| running.liveness.is_up(&member.host_id)) {
            return Some(Due::Promote(Member::clone(next)));
        }
    }
    let supported = members.present().map(|member| member.feature_level).min()?;
    (supported > state.feature_level).then_some(Due::Level(supported))
}

/// A member as it says it is. Where its data lies is changed only while there is nobody who relies
/// on it.
fn as_it_is(known: &Member, own: &Member, alone: bool) -> Member {
    let place = if alone { own } else { known };
    Member {
        internode_address: own.internode_address,
        cql_address: own.cql_address,
        feature_level: own.feature_level,
        data_center: place.data_center.clone(),
        rack: place.rack.clone(),
        ..known.clone()
    }
}
