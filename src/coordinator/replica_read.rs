//! The replica's side of a read: what another node asks for with `Verb::Read`.
//!
//! A small read is answered on the connection's own task. One that needs the disk, or more work
//! than a turn has, goes on in the node's pool; one that was planned against a schema that this
//! node does not have yet waits for that first.

use std::sync::Arc;
use std::time::Duration;

use helenus_platform::clock::Clock;
use helenus_platform::pool::{Pool, PoolError};
use helenus_storage::replica::{ReplicaRead, digest};
use helenus_storage::{Budget, Engine, Error, ErrorKind, Place, Read};

use super::failure;
use super::read::{Asked, ReadRequest, put_digest, put_page};
use super::replica::catch_up;
use crate::cluster::metadata::Metadata;
use crate::internode::{Answer, Failure, Incoming, Received, ReplyWriter};

/// Work of a read on its connection's task, some ten microseconds.
const TURN_UNITS: u64 = 256;
/// Work that a read does on a worker of the pool before it looks around.
const POOL_STEP_UNITS: u64 = 100_000;
/// Pieces of work that wait for a worker, from which on a read that needs one is refused: each may
/// hold a page.
const BACKLOG: usize = 256;

/// Answers reads of other nodes. Clones are the same.
#[derive(Clone)]
pub struct ReplicaReader {
    engine: Engine,
    metadata: Arc<Metadata>,
    pool: Arc<Pool>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for ReplicaReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ReplicaReader")
    }
}

impl ReplicaReader {
    /// Reads from `engine`; what takes long on `pool`.
    pub fn new(
        engine: Engine,
        metadata: Arc<Metadata>,
        pool: Arc<Pool>,
        clock: Arc<dyn Clock>,
    ) -> ReplicaReader {
        ReplicaReader { engine, metadata, pool, clock }
    }

    /// Handles one message of `Verb::Read`, on its connection's task.
    pub fn receive(&self, message: &Incoming, reply: &mut ReplyWriter<'_>) -> Received {
        let request = match ReadRequest::decode(&message.payload) {
            Ok(request) => request,
            Err(error) => {
                let what = format!("the read cannot be understood: {error}");
                reply.fail(&Failure::new(failure::MALFORMED, what));
                return Received::NOW;
            }
        };
        let deadline = message.deadline;
        if request.metadata_version > self.metadata.state().version {
            let reader = self.clone();
            return Received::Pending(Box::pin(reader.catch_up_and_read(request, deadline)));
        }
        let ReadRequest { asked, command, .. } = request;
        let mut read = ReplicaRead::new(command);
        match self.engine.read_replica(&mut read, &mut Budget::new(TURN_UNITS)) {
            Ok(Read::Done | Read::Stopped) => {
                put_answer(reply, asked, read.page().unwrap_or_default());
                Received::Answered { hold_until: Some(read.newest().0) }
            }
            Ok(Read::TombstoneLimit) => {
                reply.fail(&tombstones(&read));
                Received::NOW
            }
            Ok(next) => {
                let reader = self.clone();
                Received::Pending(Box::pin(reader.go_on(asked, read, next, deadline)))
            }
            Err(error) => {
                reply.fail(&failed(&error));
                Received::NOW
            }
        }
    }

    async fn catch_up_and_read(self, request: ReadRequest, deadline: Duration) -> Answer {
        let left = deadline.saturating_sub(self.clock.monotonic());
        if let Err(failure) = catch_up(&self.metadata, request.metadata_version, left).await {
            return refused(failure);
        }
        let read = ReplicaRead::new(request.command);
        self.go_on(request.asked, read, Read::Yield, deadline).await
    }

    /// Goes on in the pool, to the page's end.
    async fn go_on(
        self,
        asked: Asked,
        mut read: ReplicaRead,
        mut next: Read,
        deadline: Duration,
    ) -> Answer {
        loop {
            match next {
                Read::Done | Read::Stopped => {
                    // Nobody writes out for an answer that was written elsewhere.
                    self.engine.write_out(read.newest());
                    let hold_until = Some(read.newest().0);
                    let mut out = Vec::new();
                    put_answer(&mut out, asked, read.page().unwrap_or_default());
                    return Answer { result: Ok(out.into()), hold_until };
                }
                Read::TombstoneLimit => return refused(tombstones(&read)),
                Read::NeedsBlocks(_) | Read::Yield => {}
            }
            if self.clock.monotonic() >= deadline {
                return refused(Failure::new(failure::ENGINE, "the read took too long"));
            }
            if self.pool.waiting() >= BACKLOG {
                return refused(Failure::new(failure::OVERLOADED, PoolError::Full.to_string()));
            }
            let engine = self.engine.clone();
            let done = self.pool.run(move || {
                let stepped = step(&engine, &mut read, next);
                (read, stepped)
            });
            match done.await {
                Ok((back, Ok(stepped))) => (read, next) = (back, stepped),
                Ok((_, Err(error))) => return refused(failed(&error)),
                Err(error) => return refused(pool_failure(error)),
            }
        }
    }
}

/// One round on a thread that may wait for the disk.
fn step(engine: &Engine, read: &mut ReplicaRead, after: Read) -> Result<Read, Error> {
    if let Read::NeedsBlocks(blocks) = after {
        engine.fetch_replica(blocks, read)?;
    }
    engine.read_replica(read, &mut Budget::new(POOL_STEP_UNITS))
}

fn put_answer(out: &mut impl helenus_platform::codec::Put, asked: Asked, page: &[u8]) {
    match asked {
        Asked::Page => put_page(out, page),
        Asked::Digest => put_digest(out, digest(page)),
    }
}

fn refused(failure: Failure) -> Answer {
    Answer { result: Err(failure), hold_until: None }
}

fn tombstones(read: &ReplicaRead) -> Failure {
    let what = format!(
        "the read stepped over {} tombstones, {} are allowed",
        read.tombstones(),
        read.command().read.tombstones_max
    );
    Failure::new(failure::TOMBSTONES, what)
}

/// What the asking node is told of a failed read.
pub(super) fn failed(error: &Error) -> Failure {
    let code = match (error.kind(), error.place()) {
        (ErrorKind::NotFound, Place::File { .. }) => failure::ENGINE,
        (ErrorKind::NotFound, _) => failure::UNKNOWN_TABLE,
        (ErrorKind::Overloaded | ErrorKind::Full, _) => failure::OVERLOADED,
        (ErrorKind::Invalid, _) => failure::MALFORMED,
        (ErrorKind::Closed, _) => failure::STOPPING,
        _ => failure::ENGINE,
    };
    Failure::new(code, error.to_string())
}

fn pool_failure(error: PoolError) -> Failure {
    let code = match error {
        PoolError::Full => failure::OVERLOADED,
        PoolError::Closed => failure::STOPPING,
        PoolError::Panicked => failure::ENGINE,
    };
    Failure::new(code, error.to_string())
}
