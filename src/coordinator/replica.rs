//! What a node does as a replica for the coordinators of others: takes their mutations.

use std::sync::Arc;
use std::time::Duration;

use helenus_platform::clock::Clock;
use helenus_storage::model::LogPosition;
use helenus_storage::{Engine, ErrorKind, Write};

use super::replica_read::ReplicaReader;
use super::{batch_log, failure, mutation_message};
use crate::cluster::metadata::Metadata;
use crate::internode::{Answer, Failure, Incoming, Received, ReplyWriter, Verb};

/// A node as a replica: all that other coordinators ask of it.
#[derive(Debug)]
pub struct Replica {
    /// Takes mutations.
    pub writes: ReplicaWrites,
    /// Answers reads.
    pub reads: ReplicaReader,
}

impl Replica {
    /// Handles one message, on its connection's task.
    pub fn receive(&self, message: &Incoming, reply: &mut ReplyWriter<'_>) -> Received {
        match message.verb {
            Verb::Mutation | Verb::HintedMutation => self.writes.receive(message, reply),
            Verb::Read | Verb::Copy => self.reads.receive(message, reply),
            Verb::BatchStore => self.writes.store_batch(message, reply),
            Verb::BatchRemove => self.writes.remove_batch(message),
            verb => {
                let text = format!("this node does not serve {verb:?}");
                reply.fail(&Failure::new(Failure::UNKNOWN_VERB, text));
                Received::NOW
            }
        }
    }
}

/// Takes mutations for this node.
pub struct ReplicaWrites {
    /// Where mutations go.
    pub engine: Engine,
    /// What they were planned at.
    pub metadata: Arc<Metadata>,
    /// Deadlines are on its monotonic time.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for ReplicaWrites {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ReplicaWrites")
    }
}

impl ReplicaWrites {
    /// Takes a mutation, or a hinted one. The answer is empty, and is held until the log has it.
    pub fn receive(&self, message: &Incoming, reply: &mut ReplyWriter<'_>) -> Received {
        let Ok((version, mutation)) = mutation_message::decode(&message.payload) else {
            reply.fail(&malformed());
            return Received::NOW;
        };
        let state = self.metadata.state();
        if version < state.ring_version {
            reply.fail(&old_ring(version, state.ring_version));
            return Received::NOW;
        }
        if state.version < version {
            return Received::Pending(Box::pin(self.later(message.clone(), version)));
        }
        match apply(&self.engine, mutation) {
            Ok(position) => Received::Answered { hold_until: Some(position.0) },
            Err(failure) => {
                reply.fail(&failure);
                Received::NOW
            }
        }
    }

    fn store_batch(&self, message: &Incoming, reply: &mut ReplyWriter<'_>) -> Received {
        match batch_log::store(&self.engine, &message.payload) {
            Ok(Write::Done { position, .. }) => Received::Answered { hold_until: Some(position.0) },
            Ok(Write::Full) => {
                reply.fail(&full());
                Received::NOW
            }
            Err(error) => {
                reply.fail(&Failure::new(failure::ENGINE, error.message));
                Received::NOW
            }
        }
    }

    fn remove_batch(&self, message: &Incoming) -> Received {
        let now = self.clock.wall_micros();
        if let Err(error) = batch_log::remove(&self.engine, &message.payload, now) {
            tracing::warn!(%error, "a batch that is done stays in the batch log for now");
        }
        Received::Nothing
    }

    /// A mutation that was planned at a version which this node has not reached: it may be of a
    /// table that is not here yet.
    fn later(
        &self,
        message: Incoming,
        version: u64,
    ) -> impl Future<Output = Answer> + Send + 'static {
        let (engine, metadata) = (self.engine.clone(), self.metadata.clone());
        let left = message.deadline.saturating_sub(self.clock.monotonic());
        async move {
            let done = catch_up(&metadata, version, left).await.and_then(|()| {
                let ring_version = metadata.state().ring_version;
                if version < ring_version {
                    return Err(old_ring(version, ring_version));
                }
                let decoded = mutation_message::decode(&message.payload);
                let (_, mutation) = decoded.map_err(|_| malformed())?;
                apply(&engine, mutation)
            });
            match done {
                Ok(position) => {
                    // Nobody writes out for an answer that was written elsewhere.
                    engine.write_out(position);
                    Answer { result: Ok(bytes::Bytes::new()), hold_until: Some(position.0) }
                }
                Err(failure) => Answer { result: Err(failure), hold_until: None },
            }
        }
    }
}

/// Waits until this node has reached a version.
pub(super) async fn catch_up(
    metadata: &Metadata,
    version: u64,
    timeout: Duration,
) -> Result<(), Failure> {
    let reached = metadata.reached(version, timeout).await;
    if reached >= version {
        return Ok(());
    }
    let text = format!(
        "this node has applied the metadata up to version {reached}, and the request was planned \
         at {version}"
    );
    Err(Failure::new(failure::BEHIND, text))
}

/// The sender may not know of somebody who is to get the write: once a node has applied a change of
/// the ring, it takes nothing that was placed by the ring before. So whoever copies a range from
/// here after that finds all that was ever taken for the old owners alone.
fn old_ring(version: u64, ring_version: u64) -> Failure {
    let text = format!("placed at version {version}, and the ring has changed at {ring_version}");
    Failure::new(failure::OLD_RING, text)
}

fn malformed() -> Failure {
    Failure::new(failure::MALFORMED, "a mutation message that cannot be read")
}

fn apply(engine: &Engine, mutation: &[u8]) -> Result<LogPosition, Failure> {
    match engine.write_deferred(&[mutation]) {
        Ok(Write::Done { position, .. }) => Ok(position),
        Ok(Write::Full) => Err(full()),
        Err(error) => Err(of_engine(&error)),
    }
}

fn full() -> Failure {
    let text = "memory for writes is exhausted until a flush has ended";
    Failure::new(failure::OVERLOADED, text)
}

/// A failure of the engine as a coordinator learns of it.
pub(super) fn of_engine(error: &helenus_storage::Error) -> Failure {
    let code = match error.kind() {
        ErrorKind::NotFound => failure::UNKNOWN_TABLE,
        ErrorKind::Full | ErrorKind::Overloaded => failure::OVERLOADED,
        ErrorKind::Corrupt | ErrorKind::Invalid | ErrorKind::TooLarge => failure::MALFORMED,
        ErrorKind::Closed => failure::STOPPING,
        _ => failure::ENGINE,
    };
    Failure::new(code, error.to_string())
}
