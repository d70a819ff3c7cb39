//! How a change is made: planned against a state, proposed to the leader, planned again if
//! something was faster, and waited for until every member that is up has applied it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::apply::Apply;
use super::group::Input;
use super::{Inner, Metadata, Running};
use crate::cluster::change::{Change, ProposalId, encode_payload};
use crate::cluster::raft::{Config, ENTRY_BYTES_MAX, NodeId};
use crate::cluster::state::{ClusterState, schema_changes};
use crate::cluster::transport::{Reply, RequestBody};
use crate::cluster::wait::{all, within};
use crate::error::{Error, Result};
use crate::schema;

/// How long a change may take to be decided.
pub(super) const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a change that is decided waits for members to apply it.
pub(super) const AGREEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a proposal may be on its way to the leader.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait for news before proposing again.
const RETRY: Duration = Duration::from_millis(200);

/// A change that has been made.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The state after it, or the newest one if there was nothing to change.
    pub state: Arc<ClusterState>,
    /// Members that are taken for up and have not confirmed that they have applied it.
    pub behind: Vec<NodeId>,
}

/// What became of a proposal.
enum Proposed {
    /// It is the entry of this index, unless that is replaced.
    Taken,
    /// Something else is next.
    Conflict,
    /// It cannot be.
    Refused(String),
    /// There is nobody to propose to, or it is not known whether it arrived.
    Unknown,
}

impl Metadata {
    /// Plans changes against the newest state, has them committed durably by a majority, and waits
    /// until this node, and every member that is up, has applied them. Nothing planned means that
    /// nothing is committed. `plan` is called again whenever something else was faster.
    ///
    /// # Errors
    /// Those of `plan`; and if the cluster could not decide in time, in which case the change may
    /// still come.
    pub async fn change(
        &self,
        plan: impl FnMut(&ClusterState) -> Result<Vec<Change>> + Send,
    ) -> Result<Changed> {
        self.inner.change(plan).await
    }
}

impl Inner {
    pub(super) async fn change(
        &self,
        plan: impl FnMut(&ClusterState) -> Result<Vec<Change>> + Send,
    ) -> Result<Changed> {
        let (running, _) = self.running()?;
        let behind = match self.in_turn(running, plan).await? {
            Some(version) => self.await_members(running, version).await,
            None => Vec::new(),
        };
        Ok(Changed { state: self.state.load_full(), behind })
    }

    /// As `change`, but waits for this node only.
    pub(super) async fn decided(
        &self,
        plan: impl FnMut(&ClusterState) -> Result<Vec<Change>> + Send,
    ) -> Result<Arc<ClusterState>> {
        let (running, _) = self.running()?;
        self.in_turn(running, plan).await?;
        Ok(self.state.load_full())
    }

    async fn in_turn(
        &self,
        running: &Running,
        plan: impl FnMut(&ClusterState) -> Result<Vec<Change>> + Send,
    ) -> Result<Option<u64>> {
        let deadline = self.clock.monotonic() + CHANGE_TIMEOUT;
        let turn = within(&running.runtime, Some(CHANGE_TIMEOUT), self.turnstile.enter()).await;
        let Some(_turn) = turn else { return Err(self.undecided(false)) };
        self.decide(running, deadline, plan).await
    }

    /// The version that the change was committed as, once this node has applied it.
    async fn decide(
        &self,
        running: &Running,
        deadline: Duration,
        mut plan: impl FnMut(&ClusterState) -> Result<Vec<Change>> + Send,
    ) -> Result<Option<u64>> {
        let id: ProposalId = running.random.uuid_v4();
        let mut prepared: Option<Vec<schema::Change>> = None;
        let mut proposed = false;
        loop {
            self.check_failure()?;
            let before = self.state.load_full();
            if let Some(version) = before.version_of(&id) {
                return Ok(Some(version));
            }
            if self.has_left() {
                return Err(Error::server("this node has left the cluster"));
            }
            let left = deadline.saturating_sub(self.clock.monotonic());
            if left.is_zero() || self.is_stopping() {
                return Err(self.undecided(proposed));
            }
            let changes = plan(&before)?;
            if changes.is_empty() {
                return Ok(None);
            }
            let after = before.with(before.version + 1, id, &changes)?;
            let of_schema = schema_changes(&changes);
            if prepared.as_ref() != Some(&of_schema) && !of_schema.is_empty() {
                self.prepare(before.clone(), of_schema.clone(), id).await?;
                prepared = Some(of_schema);
            }
            let config = after.members.config();
            let config = (config != before.members.config()).then_some(config);
            let payload = Bytes::from(encode_payload(&id, &changes));
            if payload.len() > ENTRY_BYTES_MAX {
                return Err(Error::invalid(format!(
                    "a change of {} bytes is larger than the {ENTRY_BYTES_MAX} that one may have",
                    payload.len()
                )));
            }
            let base = before.version;
            let outcome = self.propose(running, base, config, payload).await;
            proposed |= matches!(outcome, Proposed::Taken | Proposed::Unknown);
            let wait = match outcome {
                Proposed::Taken => left,
                Proposed::Conflict | Proposed::Unknown => left.min(RETRY),
                Proposed::Refused(sentence) => return Err(Error::server(sentence)),
            };
            self.reached(base + 1, wait).await;
        }
    }

    async fn prepare(
        &self,
        before: Arc<ClusterState>,
        changes: Vec<schema::Change>,
        id: ProposalId,
    ) -> Result<()> {
        let (reply, mut receiver) = helenus_platform::channel::bounded(1);
        self.to_apply(Apply::Prepare { before, changes, id, reply });
        match receiver.recv().await {
            Some(done) => done,
            None => self.check_failure().and(Err(Error::server(super::STOPPED))),
        }
    }

    /// Proposes here if this node leads, and to the leader otherwise.
    async fn propose(
        &self,
        running: &Running,
        base: u64,
        config: Option<Config>,
        payload: Bytes,
    ) -> Proposed {
        let (to_all, of_all) = (config.clone(), payload.clone());
        let input = |reply| Input::Propose { base, config: to_all, payload: of_all, reply };
        let here = self.ask(input).await.unwrap_or(Reply::Elsewhere(None));
        let Reply::Elsewhere(Some(leader)) = here else { return outcome(here) };
        let body = RequestBody::Propose { base, config, payload };
        match self.call(running, leader, body, FORWARD_TIMEOUT).await {
            Some(reply) => outcome(reply),
            None => Proposed::Unknown,
        }
    }

    /// Asks another member.
    pub(super) async fn call(
        &self,
        running: &Running,
        to: NodeId,
        body: RequestBody,
        timeout: Duration,
    ) -> Option<Reply> {
        let address = self.address_of(&to)?;
        let call = running.transport.call(address, self.request(running, to, body));
        let reply = within(&running.runtime, Some(timeout), call).await?.ok()?;
        let reply = Reply::decode(&reply).ok()?;
        self.heed(&reply);
        Some(reply)
    }

    /// Waits until every member that is up has applied `version`; answers who has not in time.
    async fn await_members(&self, running: &Running, version: u64) -> Vec<NodeId> {
        let until = self.clock.monotonic() + AGREEMENT_TIMEOUT;
        let state = self.state.load_full();
        let others = state.members.present().map(|member| member.host_id);
        let others: Vec<NodeId> = others.filter(|host| *host != self.host_id).collect();
        let waits = others.iter().map(|host| {
            let wait = self.await_member(running, *host, version, until);
            Box::pin(wait) as helenus_platform::runtime::BoxFuture<'_, bool>
        });
        let reached = all(waits.collect()).await;
        let behind: Vec<NodeId> = others
            .into_iter()
            .zip(reached)
            .filter_map(|(host, reached)| (!reached).then_some(host))
            .collect();
        for host in &behind {
            let host_id = uuid::Uuid::from_bytes(*host);
            tracing::warn!(%host_id, version, "a member that is up has not applied the change");
        }
        behind
    }

    /// Whether a member has applied `version`, or is not up and need not.
    pub(super) async fn await_member(
        &self,
        running: &Running,
        host: NodeId,
        version: u64,
        until: Duration,
    ) -> bool {
        loop {
            let left = until.saturating_sub(self.clock.monotonic());
            if !running.liveness.is_up(&host) {
                return true;
            }
            if left.is_zero() || self.is_stopping() {
                return false;
            }
            let body = RequestBody::Await { version };
            let reply = self.call(running, host, body, left.min(FORWARD_TIMEOUT)).await;
            if matches!(reply, Some(Reply::Applied(applied)) if applied >= version) {
                return true;
            }
            running.runtime.sleep(left.min(RETRY)).await;
        }
    }

    fn undecided(&self, proposed: bool) -> Error {
        let config = self.state.load().members.config();
        let (voters, majority) = (config.voters.len(), config.majority());
        let may = if proposed { "; it may still take effect" } else { "" };
        Error::server(format!(
            "the change was not decided within {} s: it needs a majority of the members that vote \
             on the metadata, {majority} of {voters}{may}",
            CHANGE_TIMEOUT.as_secs()
        ))
    }
}

fn outcome(reply: Reply) -> Proposed {
    match reply {
        Reply::Taken(_) => Proposed::Taken,
        Reply::Conflict(_) => Proposed::Conflict,
        Reply::Refused(sentence) => Proposed::Refused(sentence),
        _ => Proposed::Unknown,
    }
}
