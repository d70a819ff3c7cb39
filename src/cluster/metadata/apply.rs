//! The worker that makes committed entries real, one after the other, and publishes the states
//! that they lead to. It may wait for the disk for long, as a flush before a TRUNCATE does.

use std::sync::Arc;

use helenus_platform::channel::Sender;

use super::group::Input;
use super::{Applier, Inner, locked};
use crate::cluster::change::{ProposalId, decode_payload};
use crate::cluster::raft::{Entry, Message, Snapshot};
use crate::cluster::state::{ClusterState, schema_changes};
use crate::error::{Error, Result};
use crate::schema;

/// What the applier is given to do.
pub(super) enum Apply {
    /// A committed entry, the next one.
    Entry(Entry),
    /// A state in place of entries that the leader has no more.
    Snapshot(Snapshot),
    /// What comes before a proposal of this node's own.
    Prepare {
        before: Arc<ClusterState>,
        changes: Vec<schema::Change>,
        id: ProposalId,
        reply: Sender<Result<()>>,
    },
}

/// Whether what a message brings is of a version that this program reads. What it cannot read it
/// must not keep.
pub(super) fn check_readable(message: &Message) -> Result<()> {
    match message {
        Message::Append { entries, .. } => {
            let payloads = entries.iter().filter(|entry| !entry.payload.is_empty());
            payloads.map(|entry| decode_payload(&entry.payload)).try_for_each(|read| read.map(drop))
        }
        Message::Snapshot { snapshot, .. } => {
            ClusterState::decode(&snapshot.state, snapshot.index).map(drop)
        }
        Message::Vote { .. } | Message::VoteReply { .. } | Message::AppendReply { .. } => Ok(()),
    }
}

pub(super) async fn run(inner: Arc<Inner>, applier: Arc<dyn Applier>) {
    // Whose preparation has been done here: only the newest proposal of this node counts.
    let mut prepared = ProposalId::default();
    loop {
        let epoch = inner.to_apply_filled.epoch();
        if inner.is_stopping() {
            return;
        }
        let next = locked(&inner.to_apply).pop_front();
        let done = match next {
            None => {
                inner.to_apply_filled.wait_past(epoch).await;
                continue;
            }
            Some(Apply::Prepare { before, changes, id, reply }) => {
                let done = applier.prepare(&before, &changes);
                if done.is_ok() {
                    prepared = id;
                }
                drop(reply.try_send(done));
                continue;
            }
            Some(Apply::Entry(entry)) => inner.apply_entry(applier.as_ref(), &entry, &prepared),
            Some(Apply::Snapshot(snapshot)) => inner.apply_snapshot(applier.as_ref(), &snapshot),
        };
        if let Err(error) = done {
            // Committed, but not in force: planning on would be against a state that is not so.
            inner.fail(error);
            return;
        }
        inner.moved.notify_all();
        if let Ok((_, inbox)) = inner.running() {
            // A full inbox has the group look all the same.
            drop(inbox.try_send(Input::Applied));
        }
    }
}

impl Inner {
    fn apply_entry(
        &self,
        applier: &dyn Applier,
        entry: &Entry,
        prepared: &ProposalId,
    ) -> Result<()> {
        let _applying = locked(&self.applying);
        let before = self.state.load_full();
        if entry.index != before.version + 1 {
            return Err(Error::server(format!(
                "metadata log: entry {} came after version {}",
                entry.index, before.version
            )));
        }
        let (after, changes) = before.after(entry)?;
        let of_schema = schema_changes(&changes);
        if !of_schema.is_empty()
            && after.version_of(prepared) != Some(entry.index)
            && let Err(error) = applier.prepare(&before, &of_schema)
        {
            tracing::warn!(%error, "a change that is decided could not be prepared for here");
        }
        if !changes.is_empty() {
            applier.apply(&before, &after, &of_schema)?;
        }
        let after = Arc::new(after);
        self.state.store(after.clone());
        applier.published(&before, &after);
        Ok(())
    }

    fn apply_snapshot(&self, applier: &dyn Applier, snapshot: &Snapshot) -> Result<()> {
        let _applying = locked(&self.applying);
        let before = self.state.load_full();
        let after = ClusterState::decode(&snapshot.state, snapshot.index)?;
        applier.apply(&before, &after, &after.schema_changes_since(&before))?;
        let after = Arc::new(after);
        self.state.store(after.clone());
        applier.published(&before, &after);
        Ok(())
    }
}
