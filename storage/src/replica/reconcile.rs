//! Several replicas' answers to one read, as one.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::cmp::Ordering;

use super::command::{Place, Reach, ReplicaCommand};
use super::input::{Input, Item, Peek, Want};
use super::repair::{Mutations, Repair};
use crate::error::{Error, Result};
use crate::model::{
    ColumnSet, Deletion, KeyspaceId, PartitionHead, PartitionKey, RowRef, Slice, live_row,
    merge_rows,
};
use crate::read::{Flow, Partitions, ReadCommand, Sink, after};

/// How a call of [`Reconciliation::run`] ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Reconciled {
    /// Everything that the command names has been told.
    Done,
    /// The sink said `Flow::Stop`.
    Stopped,
    /// These pages must be added before more can be told: what a replica has behind the end of
    /// its page may change every row there.
    NeedsPages(Vec<Wanted>),
}

/// A page that a reconciliation needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Of which replica.
    pub replica: usize,
    /// Where it is to begin; at the start of the read if it is none.
    pub from: Option<Place>,
    /// Only this partition is to be read: what the replica's pages leave out of it because of
    /// `rows_per_partition_max` or `distinct`.
    pub only: Option<PartitionKey>,
}

impl Wanted {
    /// The command for the replica, with the limits of `base`.
    pub fn command(&self, base: &ReplicaCommand) -> ReplicaCommand {
        let mut command = ReplicaCommand { from: self.from.clone(), ..base.clone() };
        if let Some(key) = &self.only {
            command.read.partitions = Partitions::One(key.clone());
        }
        command
    }
}

/// Merges the pages of several replicas by the merge rule, and tells a sink the live rows as
/// [`crate::Engine::read`] would tell those of an engine that has what all replicas have.
///
/// It is fed as it goes: at first every replica's page is wanted, and more of those whose pages
/// end, by their limits, before the sink has had enough. One page of each is held at a time.
pub struct Reconciliation {
    command: ReadCommand,
    /// The columns that the sink is told, which may be fewer than the pages have.
    told: ColumnSet,
    /// One for each replica; a single one as long as all of them have had the same pages.
    inputs: Vec<Input>,
    replicas: usize,
    repairs: Vec<Mutations>,
    current: Option<Current>,
    /// The partition in which the read goes on, and the rows told of it.
    from: Option<Place>,
    has_unknown: bool,
    is_ended: bool,
    merged: Vec<u8>,
    live: Vec<u8>,
}

/// The partition that is being merged.
struct Current {
    key: PartitionKey,
    deletion: Deletion,
    /// Newest range deletion in force, as far as `deletion` shows it.
    open: Deletion,
    /// Live bytes of the static row; empty if there is none.
    static_row: Vec<u8>,
    is_announced: bool,
    rows: u32,
}

/// What comes next in a partition.
enum Next {
    Row(Slice),
    Marker(Slice),
    End,
    Dry(Vec<usize>),
}

impl Reconciliation {
    /// A read of `replicas` replicas from `from` on, or from its start. Mutations for them will be
    /// of about `mutation_bytes_max` bytes at most.
    pub fn new(
        command: ReadCommand,
        from: Option<Place>,
        keyspace: KeyspaceId,
        replicas: usize,
        mutation_bytes_max: usize,
    ) -> Reconciliation {
        let table = command.table;
        let mutations = |_| Mutations::new(keyspace, table, mutation_bytes_max);
        Reconciliation {
            inputs: (0..replicas.min(1)).map(|_| Input::new(from.clone())).collect(),
            replicas,
            repairs: (0..replicas).map(mutations).collect(),
            told: command.columns.clone(),
            command,
            current: None,
            from,
            has_unknown: false,
            is_ended: false,
            merged: Vec::new(),
            live: Vec::new(),
        }
    }

    /// Takes a page that was wanted of a replica, in answer to [`Wanted::command`]. An error says
    /// which replica's page it is about, and so does one of `run`.
    pub fn add(&mut self, replica: usize, page: impl Into<Slice>) -> Result<()> {
        let page = page.into();
        if let [same] = self.inputs.as_slice() {
            let same = same.clone();
            self.inputs.resize(self.replicas, same);
        }
        let current = self.current.as_ref().map(|current| (&current.key, current.rows));
        let Some(input) = self.inputs.get_mut(replica) else {
            return Err(Error::invalid(format!("there is no replica {replica} in this read")));
        };
        input.add(page, &self.command, current).map_err(|error| of_replica(replica, error))
    }

    /// Takes one page for all replicas, which all want the same one and are known to have the
    /// same. As long as there are no other pages, that costs what one replica's would.
    pub fn add_same(&mut self, page: &Slice) -> Result<()> {
        let current = self.current.as_ref().map(|current| (&current.key, current.rows));
        for (replica, input) in self.inputs.iter_mut().enumerate() {
            let added = input.add(page.clone(), &self.command, current);
            added.map_err(|error| of_replica(replica, error))?;
        }
        Ok(())
    }

    /// From now on, pages are to have the values of all columns, so that repairs lack none; the
    /// sink is told those that it was. To be called when every replica wants a page.
    pub fn want_all_columns(&mut self) {
        self.command.columns = ColumnSet::All;
    }

    /// Goes on until pages are missing, the sink stops, or everything has been told.
    pub fn run(&mut self, sink: &mut dyn Sink) -> Result<Reconciled> {
        if self.is_ended {
            return Err(Error::invalid("a reconciliation goes on behind its end"));
        }
        loop {
            let ended = match self.current.take() {
                None => self.next_partition(sink)?,
                Some(current) => self.step(current, sink)?,
            };
            match ended {
                None => {}
                Some(Reconciled::NeedsPages(wanted)) => return Ok(Reconciled::NeedsPages(wanted)),
                Some(ended) => {
                    self.is_ended = true;
                    return Ok(ended);
                }
            }
        }
    }

    /// What the replicas lack of what has been told so far. A replica that has everything is not
    /// named.
    pub fn take_repairs(&mut self) -> Result<Vec<Repair>> {
        let mut repairs = Vec::new();
        for (replica, mutations) in self.repairs.iter_mut().enumerate() {
            if self.current.is_none() {
                mutations.end_partition()?;
            }
            let taken = mutations.take();
            repairs.extend(taken.into_iter().map(|mutation| Repair { replica, mutation }));
        }
        Ok(repairs)
    }

    /// Replicas differ in something that the repairs leave out: columns that the command does not
    /// want, or a cell too large. Reading all columns repairs the former.
    pub fn is_repair_short(&self) -> bool {
        self.has_unknown || self.repairs.iter().any(|mutations| mutations.is_short)
    }

    /// Enters the first partition that any replica has.
    fn next_partition(&mut self, sink: &mut dyn Sink) -> Result<Option<Reconciled>> {
        let mut first: Option<(usize, PartitionKey)> = None;
        let mut dry = Vec::new();
        for (replica, input) in self.inputs.iter_mut().enumerate() {
            let peeked = input.peek_partition(&self.command);
            match peeked.map_err(|error| of_replica(replica, error))? {
                Peek::Nothing => {}
                Peek::Dry => dry.push(replica),
                Peek::Next(next) => {
                    if first.as_ref().is_none_or(|first| next < *first) {
                        first = Some(next);
                    }
                }
            }
        }
        if !dry.is_empty() {
            return Ok(Some(self.wanted(&dry, None)));
        }
        let Some((_, key)) = first else { return Ok(Some(Reconciled::Done)) };
        let heads: Vec<Option<PartitionHead>> =
            self.inputs.iter_mut().map(|input| input.enter(&key)).collect();
        self.enter(key, &heads, sink)
    }

    fn enter(
        &mut self,
        key: PartitionKey,
        heads: &[Option<PartitionHead>],
        sink: &mut dyn Sink,
    ) -> Result<Option<Reconciled>> {
        let own =
            |head: &Option<PartitionHead>| head.as_ref().map_or(Deletion::NONE, |h| h.deletion);
        let deletion = heads.iter().map(own).fold(Deletion::NONE, Deletion::newer);
        for (head, repairs) in heads.iter().zip(&mut self.repairs) {
            if own(head) != deletion {
                repairs.partition_deletion(&key, deletion);
            }
        }
        let from = self.from.take_if(|from| from.key == key);
        let is_resumed = from.is_some();
        let rows = from.map_or(0, |from| from.rows);
        let static_row = self.static_row(&key, deletion, heads)?;
        let has_static = !static_row.is_empty();
        let mut current =
            Current { key, deletion, open: Deletion::NONE, static_row, is_announced: false, rows };
        if has_static && !is_resumed {
            match announce(&mut current, sink)? {
                Flow::Continue if self.command.distinct => return self.leave(current, None, sink),
                Flow::Continue => {}
                Flow::NextPartition => return self.leave(current, None, sink),
                Flow::Stop => return self.stop(current, None),
            }
        }
        if current.rows >= self.command.rows_per_partition_max {
            return self.leave(current, None, sink);
        }
        self.current = Some(current);
        Ok(None)
    }

    /// Merges the static row: its live bytes, empty if it does not live.
    fn static_row(
        &mut self,
        key: &PartitionKey,
        covering: Deletion,
        heads: &[Option<PartitionHead>],
    ) -> Result<Vec<u8>> {
        let mut versions = Vec::with_capacity(heads.len());
        for head in heads {
            let row = head.as_ref().and_then(|head| head.static_row.as_ref());
            versions.push(row.map(|row| RowRef::parse(row)).transpose()?);
        }
        self.merged.clear();
        let mut live = Vec::new();
        if !merge_versions(&versions, covering, &mut self.merged)? {
            return Ok(live);
        }
        let merged = RowRef::parse(&self.merged)?;
        let columns = &self.command.columns;
        for (version, repairs) in versions.iter().zip(&mut self.repairs) {
            self.has_unknown |= repairs.static_row(key, merged, *version, columns)?;
        }
        let seen = live_row(merged, covering, self.command.now, &self.told, &mut live)?;
        if !seen.exists {
            live.clear();
        }
        Ok(live)
    }

    fn step(&mut self, mut current: Current, sink: &mut dyn Sink) -> Result<Option<Reconciled>> {
        match self.peek()? {
            Next::End => self.leave(current, None, sink),
            Next::Dry(replicas) => {
                let wanted = self.wanted(&replicas, Some(&current));
                self.current = Some(current);
                Ok(Some(wanted))
            }
            Next::Marker(position) => {
                self.marker(&mut current, &position)?;
                self.current = Some(current);
                Ok(None)
            }
            Next::Row(position) => self.row(current, &position, sink),
        }
    }

    /// What the replicas have next in the current partition.
    fn peek(&mut self) -> Result<Next> {
        let reversed = self.command.reversed;
        let mut first: Option<(Option<Slice>, Class)> = None;
        let mut dry = Vec::new();
        for (replica, input) in self.inputs.iter_mut().enumerate() {
            let peeked = input.peek(&self.command).map_err(|error| of_replica(replica, error))?;
            let next = match peeked {
                Peek::Nothing => continue,
                Peek::Next(item) => (Some(item.position()), Class::of(item)),
                Peek::Dry => match input.reach() {
                    Some(Reach::Upto(bound)) => (Some(bound), Class::Dry),
                    _ => (None, Class::Dry),
                },
            };
            let order = match &first {
                None => Ordering::Less,
                Some((position, class)) => order(next, (position.as_ref(), *class), reversed),
            };
            if order.is_lt() {
                first = Some((next.0.cloned(), next.1));
                dry.clear();
            }
            if order.is_le() && next.1 == Class::Dry {
                dry.push(replica);
            }
        }
        Ok(match first {
            None => Next::End,
            Some((Some(position), Class::Row)) => Next::Row(position),
            Some((Some(position), Class::Marker)) => Next::Marker(position),
            Some(_) => Next::Dry(dry),
        })
    }

    fn wanted(&self, replicas: &[usize], current: Option<&Current>) -> Reconciled {
        let current = current.map(|current| (&current.key, current.rows));
        let want = |&input: &usize| {
            let Want { from, only } = self.inputs.get(input)?.want(current)?;
            let all = if self.inputs.len() == 1 { 0..self.replicas } else { input..input + 1 };
            Some(all.map(move |replica| Wanted { replica, from: from.clone(), only: only.clone() }))
        };
        Reconciled::NeedsPages(replicas.iter().filter_map(want).flatten().collect())
    }

    /// Takes in all changes of range deletions at `position`.
    fn marker(&mut self, current: &mut Current, position: &Slice) -> Result<()> {
        for (replica, input) in self.inputs.iter_mut().enumerate() {
            while let Some(Item::Marker { position: at, open }) = input.head()
                && at == position
            {
                input.open = *open;
                input.take();
                input.peek(&self.command).map_err(|error| of_replica(replica, error))?;
            }
        }
        let newest = self.inputs.iter().map(|input| input.open);
        let newest = newest.fold(Deletion::NONE, Deletion::newer);
        let is_hidden = current.deletion.deletes(newest.timestamp);
        current.open = if is_hidden { Deletion::NONE } else { newest };
        for (input, repairs) in self.inputs.iter().zip(&mut self.repairs) {
            let lacks = if input.open == current.open { Deletion::NONE } else { current.open };
            repairs.range(&current.key, position, lacks, self.command.reversed);
        }
        Ok(())
    }

    fn row(
        &mut self,
        mut current: Current,
        position: &Slice,
        sink: &mut dyn Sink,
    ) -> Result<Option<Reconciled>> {
        let mut rows: Vec<Option<Slice>> = Vec::with_capacity(self.inputs.len());
        for input in &mut self.inputs {
            let is_here =
                matches!(input.head(), Some(Item::Row { position: at, .. }) if at == position);
            rows.push(match is_here.then(|| input.take()).flatten() {
                Some(Item::Row { row, .. }) => Some(row),
                _ => None,
            });
        }
        let mut versions = Vec::with_capacity(rows.len());
        for row in &rows {
            versions.push(row.as_ref().map(|row| RowRef::parse(row)).transpose()?);
        }
        let covering = current.deletion.newer(current.open);
        self.merged.clear();
        self.live.clear();
        if !merge_versions(&versions, covering, &mut self.merged)? {
            self.current = Some(current);
            return Ok(None);
        }
        let merged = RowRef::parse(&self.merged)?;
        let columns = &self.command.columns;
        for (version, repairs) in versions.iter().zip(&mut self.repairs) {
            if version.is_none_or(|own| own.bytes() != merged.bytes()) {
                let row = repairs.row(&current.key, position, merged, *version, columns)?;
                self.has_unknown |= row;
            }
        }
        let seen = live_row(merged, covering, self.command.now, &self.told, &mut self.live)?;
        if !seen.exists {
            self.current = Some(current);
            return Ok(None);
        }
        let told = match self.command.reversed {
            true => position.clone(),
            false => after(position),
        };
        if !current.is_announced {
            match announce(&mut current, sink)? {
                Flow::Continue => {}
                Flow::NextPartition => return self.leave(current, Some(&told), sink),
                Flow::Stop => return self.stop(current, Some(&told)),
            }
        }
        if self.command.distinct {
            return self.leave(current, Some(&told), sink);
        }
        current.rows = current.rows.saturating_add(1);
        let is_enough = current.rows >= self.command.rows_per_partition_max;
        match sink.row(position, RowRef::parse(&self.live)?) {
            Flow::Continue if !is_enough => {
                self.current = Some(current);
                Ok(None)
            }
            Flow::Continue | Flow::NextPartition => self.leave(current, Some(&told), sink),
            Flow::Stop => self.stop(current, Some(&told)),
        }
    }

    /// Leaves the partition, of which everything up to `told` has been merged, if not all.
    fn leave(
        &mut self,
        current: Current,
        told: Option<&Slice>,
        sink: &mut dyn Sink,
    ) -> Result<Option<Reconciled>> {
        self.end_repairs(&current, told)?;
        for (replica, input) in self.inputs.iter_mut().enumerate() {
            input.leave(&self.command).map_err(|error| of_replica(replica, error))?;
        }
        if current.is_announced && sink.end_partition() == Flow::Stop {
            return Ok(Some(Reconciled::Stopped));
        }
        Ok(None)
    }

    fn stop(&mut self, current: Current, told: Option<&Slice>) -> Result<Option<Reconciled>> {
        self.end_repairs(&current, told)?;
        Ok(Some(Reconciled::Stopped))
    }

    fn end_repairs(&mut self, current: &Current, told: Option<&Slice>) -> Result<()> {
        for repairs in &mut self.repairs {
            if let Some(told) = told {
                repairs.range(&current.key, told, Deletion::NONE, self.command.reversed);
            }
            repairs.end_partition()?;
        }
        Ok(())
    }
}

/// Tells the sink that the partition begins.
fn announce(current: &mut Current, sink: &mut dyn Sink) -> Result<Flow> {
    current.is_announced = true;
    let static_row = match current.static_row.as_slice() {
        [] => None,
        bytes => Some(RowRef::parse(bytes)?),
    };
    Ok(sink.partition(&current.key, static_row))
}

/// Appends the merge of the versions that there are; whether anything is left.
fn merge_versions(
    versions: &[Option<RowRef<'_>>],
    covering: Deletion,
    out: &mut Vec<u8>,
) -> Result<bool> {
    let mut rows: Vec<RowRef<'_>> = Vec::with_capacity(versions.len());
    for row in versions.iter().flatten() {
        // What replicas agree on is merged with nothing.
        if rows.iter().all(|other| other.bytes() != row.bytes()) {
            rows.push(*row);
        }
    }
    if rows.is_empty() { Ok(false) } else { merge_rows(&rows, covering, out) }
}

/// What stands at a position.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Row,
    Marker,
    /// What follows is not known.
    Dry,
}

impl Class {
    fn of(item: &Item) -> Class {
        match item {
            Item::Row { .. } => Class::Row,
            Item::Marker { .. } => Class::Marker,
        }
    }

    /// Which comes first at one position. Forwards a page that was read up to a position has
    /// nothing that stands there; backwards it has the row.
    fn rank(self, reversed: bool) -> u8 {
        match (self, reversed) {
            (Class::Dry, false) | (Class::Row, true) => 0,
            (Class::Marker, false) | (Class::Dry, true) => 1,
            (Class::Row, false) | (Class::Marker, true) => 2,
        }
    }
}

/// Which of two places comes first; a place without position comes before all.
fn order(
    (a, a_class): (Option<&Slice>, Class),
    (b, b_class): (Option<&Slice>, Class),
    reversed: bool,
) -> Ordering {
    let positions = match (a, b) {
        (Some(a), Some(b)) if reversed => b.cmp(a),
        _ => a.cmp(&b),
    };
    positions.then_with(|| a_class.rank(reversed).cmp(&b_class.rank(reversed)))
}

fn of_replica(replica: usize, error: Error) -> Error {
    error.during(format!("reading the page of replica {replica}"))
}
