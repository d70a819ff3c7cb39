//! A read over several replicas as its caller sees it: steps that never wait.

use std::sync::Arc;

use helenus_platform::runtime::BoxFuture;
use helenus_storage::model::{LogPosition, PartitionKey, RowRef};
use helenus_storage::replica::Place;
use helenus_storage::{BlockList, Budget, Flow, Partitions, ReadCommand, Sink};

use super::arrivals::Arrived;
use super::caller::Caller;
use super::part::{PartRead, PartStep};
use super::{Part, ReadError, ReadOptions, ReadWorld};

/// How a step of a read ended.
pub enum ReadStep {
    /// Everything that the parts name has been told.
    Done,
    /// The sink said `Flow::Stop`.
    Stopped,
    /// The budget is spent: step again when there is time.
    Yield,
    /// Call `fetch` with these where waiting for the disk is allowed, then step again.
    NeedsBlocks(BlockList),
    /// This node stepped over more tombstones than the command allows.
    TombstoneLimit,
    /// Await this, hand what it gives to `waited`, then step again. Dropping it loses nothing.
    Wait(BoxFuture<'static, Arrived>),
}

impl std::fmt::Debug for ReadStep {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            ReadStep::Done => "Done",
            ReadStep::Stopped => "Stopped",
            ReadStep::Yield => "Yield",
            ReadStep::NeedsBlocks(_) => "NeedsBlocks",
            ReadStep::TombstoneLimit => "TombstoneLimit",
            ReadStep::Wait(_) => "Wait",
        })
    }
}

/// A read in progress. Dropping it drops the interest in what still comes.
pub struct ReplicatedRead {
    caller: Caller,
    parts: Box<dyn Iterator<Item = Part> + Send>,
    /// The part that is read, or has been read last.
    part: Option<PartRead>,
    /// Where the read goes on, until the part has come in which that is.
    from: Option<Place>,
    /// All has been told, or the sink has enough.
    end: Option<End>,
    is_part_over: bool,
    /// The partition that was told last.
    partition: Option<PartitionKey>,
}

impl std::fmt::Debug for ReplicatedRead {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ReplicatedRead").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum End {
    Done,
    Stopped,
}

impl ReplicatedRead {
    /// A read before its first step. `parts` come in the order in which they are told, each when
    /// the one before is done.
    pub fn new(
        world: Arc<ReadWorld>,
        parts: impl IntoIterator<Item = Part, IntoIter: Send + 'static>,
        options: ReadOptions,
    ) -> ReplicatedRead {
        ReplicatedRead {
            caller: Caller::new(world, &options),
            parts: Box::new(parts.into_iter()),
            part: None,
            from: options.from,
            end: None,
            is_part_over: true,
            partition: None,
        }
    }

    /// Goes on without waiting. Like [`helenus_storage::Engine::read`], it tells the sink live
    /// rows.
    ///
    /// # Errors
    /// Too few replicas answer; see [`ReadError`]. The read is over then.
    pub fn step(
        &mut self,
        sink: &mut dyn Sink,
        budget: &mut Budget,
    ) -> Result<ReadStep, ReadError> {
        let step = self.try_step(sink, budget);
        let metrics = &self.caller.world.metrics;
        match &step {
            Err(ReadError::Timeout { .. }) => metrics.timeouts.increment(),
            Err(ReadError::Failure { .. }) => metrics.failures.increment(),
            _ => {}
        }
        step
    }

    fn try_step(
        &mut self,
        sink: &mut dyn Sink,
        budget: &mut Budget,
    ) -> Result<ReadStep, ReadError> {
        loop {
            if let Some(step) = self.wait_for_repairs()? {
                return Ok(step);
            }
            if let Some(end) = self.end {
                return Ok(match end {
                    End::Done => ReadStep::Done,
                    End::Stopped => ReadStep::Stopped,
                });
            }
            if self.is_part_over && !self.next_part() {
                self.end = Some(End::Done);
                continue;
            }
            let Some(part) = &mut self.part else { continue };
            if self.caller.now() >= self.caller.deadline {
                return Err(part.timed_out());
            }
            let mut watched = Watched { sink, partition: &mut self.partition };
            match part.step(&mut self.caller, &mut watched, budget)? {
                PartStep::Done => self.is_part_over = true,
                PartStep::Stopped => {
                    self.is_part_over = true;
                    self.end = Some(End::Stopped);
                }
                PartStep::Yield => return Ok(ReadStep::Yield),
                PartStep::NeedsBlocks(blocks) => return Ok(ReadStep::NeedsBlocks(blocks)),
                PartStep::TombstoneLimit => return Ok(ReadStep::TombstoneLimit),
                PartStep::Waits => {
                    let late_at = part.late_at();
                    return Ok(self.wait(late_at));
                }
            }
        }
    }

    /// At the end, waits until what replicas lacked has been acknowledged.
    fn wait_for_repairs(&mut self) -> Result<Option<ReadStep>, ReadError> {
        if self.end.is_some() && self.caller.has_repairs() {
            // Nothing else is waited for any more.
            self.caller.take_arrived();
        }
        if let Some(part) = self.part.as_ref().filter(|_| self.caller.is_repair_lost) {
            return Err(part.repair_lost());
        }
        Ok((self.end.is_some() && self.caller.has_repairs()).then(|| self.wait(None)))
    }

    /// Begins the next part that has something to tell.
    fn next_part(&mut self) -> bool {
        for part in self.parts.by_ref() {
            if self.from.as_ref().is_some_and(|from| !is_in(from, &part.command)) {
                continue;
            }
            self.part = Some(PartRead::new(part, self.from.take(), &self.caller));
            self.is_part_over = false;
            return true;
        }
        false
    }

    fn wait(&self, until: Option<std::time::Duration>) -> ReadStep {
        let caller = &self.caller;
        let left = until.map(|until| until.saturating_sub(caller.now()));
        let timer = left.map(|left| caller.world.runtime.sleep(left));
        ReadStep::Wait(caller.arrivals.wait(timer))
    }

    /// Takes what a wait has given.
    pub fn waited(&mut self, _arrived: Arrived) {}

    /// Fetches the blocks that this node's own answer needs. Waits for the disk. If it fails, so
    /// has this node as a replica.
    pub fn fetch(&mut self, blocks: BlockList) {
        if let Some(part) = &mut self.part {
            part.fetch(blocks, &mut self.caller);
        }
    }

    /// The answer must be held until this node's log has come here.
    pub fn newest(&self) -> LogPosition {
        self.caller.newest
    }

    /// Tombstones that this node stepped over.
    pub fn tombstones(&self) -> u64 {
        self.caller.tombstones
    }

    /// Counts tombstones from here on, as if a new page began.
    pub fn forget_tombstones(&mut self) {
        self.caller.tombstones = 0;
    }

    /// The partition that was told last.
    pub fn partition(&self) -> Option<&PartitionKey> {
        self.partition.as_ref()
    }
}

/// Whether the read of this command is where an earlier page ended.
fn is_in(from: &Place, command: &ReadCommand) -> bool {
    match &command.partitions {
        Partitions::One(key) => *key == from.key,
        Partitions::Many(keys) => keys.contains(&from.key),
        Partitions::Range { start, end } => {
            start.is_before(from.key.as_ref()) && !end.is_before(from.key.as_ref())
        }
    }
}

/// Notes which partition is told.
struct Watched<'a> {
    sink: &'a mut dyn Sink,
    partition: &'a mut Option<PartitionKey>,
}

impl Sink for Watched<'_> {
    fn partition(&mut self, key: &PartitionKey, static_row: Option<RowRef<'_>>) -> Flow {
        *self.partition = Some(key.clone());
        self.sink.partition(key, static_row)
    }

    fn row(&mut self, position: &[u8], row: RowRef<'_>) -> Flow {
        self.sink.row(position, row)
    }

    fn end_partition(&mut self) -> Flow {
        self.sink.end_partition()
    }
}
