//! Copies a range of a table from the nodes that have it, by plain paged reads.
//!
//! Every acknowledged write is on a quorum of the owners, or on as many as its level asked for. So
//! a range is copied from all owners that are up, and at least from a quorum of them: together they
//! have every write of a quorum that was made before they knew of the new owner, and writes that
//! were made after that reach the new owner themselves.

use std::sync::Arc;
use std::time::Duration;

use helenus_storage::model::LogPosition;
use helenus_storage::model::{KeyspaceId, TableId};
use helenus_storage::replica::{Place, ReplicaCommand, page_mutations};
use helenus_storage::{Partitions, ReadCommand, Write};

use super::Mover;
use crate::cluster::state::ClusterState;
use crate::coordinator::placement::{PlacedRange, Placement, ReplicaNode};
use crate::coordinator::read::{Asked, PAGE_BYTES_MAX, ReadAnswer, ReadRequest};
use crate::error::{Error, Result};
use crate::internode::{Request, Verb};

/// How long a page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a page is asked for before the source is given up for now.
const TRIES: u32 = 3;
/// Mutations of what is copied have about so many bytes.
const MUTATION_BYTES: usize = 256 << 10;
/// Rest while this node's own memory is full.
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// A copying by one state of the cluster.
pub(super) struct Copy<'a> {
    mover: &'a Mover,
    state: &'a Arc<ClusterState>,
    newest: LogPosition,
    /// Of pages received.
    pub(super) bytes: u64,
}

impl<'a> Copy<'a> {
    pub(super) fn new(mover: &'a Mover, state: &'a Arc<ClusterState>) -> Self {
        Copy { mover, state, newest: LogPosition::START, bytes: 0 }
    }

    /// Copies a range of a table.
    pub(super) async fn table(
        &mut self,
        keyspace: KeyspaceId,
        placement: &Placement,
        range: &PlacedRange,
        table: TableId,
    ) -> Result<()> {
        let coordinator = &self.mover.coordinator;
        let owners = &range.replicas.natural;
        let up = coordinator.alive(placement, owners);
        if up.len() < owners.len() / 2 + 1 {
            return Err(Error::server(format!(
                "{} of the {} nodes that have a range are up, and a majority is needed to copy it",
                up.len(),
                owners.len()
            )));
        }
        for source in up.iter().filter_map(|number| placement.node(*number)) {
            self.from(source, keyspace, range, table).await?;
        }
        Ok(())
    }

    async fn from(
        &mut self,
        source: &ReplicaNode,
        keyspace: KeyspaceId,
        range: &PlacedRange,
        table: TableId,
    ) -> Result<()> {
        let (start, end) = range.bounds();
        let now = self.mover.coordinator.clock.wall_micros().div_euclid(1_000_000);
        let read = ReadCommand::new(table, Partitions::Range { start, end }, now);
        let mut command = ReplicaCommand::new(read);
        (command.keeps_purgeable, command.bytes_max) = (true, PAGE_BYTES_MAX);
        loop {
            let page = self.page(source, &command).await?;
            self.bytes += page.len() as u64;
            let from = command.from.as_ref();
            let taken = page_mutations(page, &command.read, from, keyspace, MUTATION_BYTES);
            let (mutations, next) = taken?;
            for mutation in &mutations {
                self.write(mutation).await?;
            }
            let Some(next) = next else { return Ok(()) };
            check_progress(command.from.as_ref(), &next)?;
            command.from = Some(next);
        }
    }

    async fn page(&self, source: &ReplicaNode, command: &ReplicaCommand) -> Result<Vec<u8>> {
        let Some(peers) = self.mover.coordinator.peers() else {
            return Err(Error::server("this node has no network"));
        };
        let payload = ReadRequest::encode(self.state.version, Asked::Page, command);
        let mut tries = TRIES;
        loop {
            if self.mover.is_stopping() {
                return Err(Error::server("this node is stopping"));
            }
            let deadline = peers.internode.deadline(PAGE_TIMEOUT);
            let payload = payload.clone();
            let request = Request { verb: Verb::Copy, payload, deadline, trace: None };
            let failed = match peers.internode.request(&source.target, request).await {
                Ok(answer) => match ReadAnswer::decode(&answer) {
                    Ok(ReadAnswer::Page(page)) => return Ok(page.to_vec()),
                    Ok(ReadAnswer::Digest(_)) => "a digest came instead of a page".to_owned(),
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            tries -= 1;
            if tries == 0 {
                let host = uuid::Uuid::from_bytes(source.host_id);
                return Err(Error::server(format!("copying a range from host {host}: {failed}")));
            }
            self.mover.runtime.sleep(super::RETRY).await;
        }
    }

    /// Waits as long as this node's memory is full.
    async fn write(&mut self, mutation: &[u8]) -> Result<()> {
        loop {
            match self.mover.coordinator.engine.write(&[mutation])? {
                Write::Done { position, .. } => {
                    self.newest = self.newest.max(position);
                    return Ok(());
                }
                Write::Full if self.mover.is_stopping() => {
                    return Err(Error::server("this node is stopping"));
                }
                Write::Full => self.mover.runtime.sleep(FULL_PAUSE).await,
            }
        }
    }

    /// Waits until what was copied is as safe as any acknowledged write.
    pub(super) async fn durable(&self) -> Result<()> {
        let engine = &self.mover.coordinator.engine;
        loop {
            let epoch = engine.watermark_signal().epoch();
            if let Some(error) = engine.failure() {
                return Err(Error::server(format!("the commit log has failed: {error}")));
            }
            if engine.answer_position() >= self.newest || self.mover.is_stopping() {
                return Ok(());
            }
            engine.watermark_signal().wait_past(epoch).await;
        }
    }
}

/// A source that stays where it is would be asked for ever.
fn check_progress(before: Option<&Place>, after: &Place) -> Result<()> {
    match before {
        Some(before) if before == after => {
            Err(Error::server("copying a range: a page ends where it began"))
        }
        _ => Ok(()),
    }
}
