//! One part of a read: rounds of pages into a merge, until the part is done or the sink has
//! enough.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use helenus_storage::model::{ColumnSet, Slice};
use helenus_storage::replica::{
    Place, Reconciled, Reconciliation, ReplicaCommand, ReplicaRead, Wanted,
};
use helenus_storage::{BlockList, Budget, Read, Sink};

use super::arrivals::Response;
use super::caller::Caller;
use super::round::{Ask, Got, Round, Standing};
use super::{Asked, Contact, Contacts, PAGE_BYTES_MAX, Part, ReadAnswer, ReadError, ReadRequest};
use crate::coordinator::failure;
use crate::coordinator::replica_read::failed;
use crate::coordinator::write::reason;
use crate::internode::{Failure, RequestError, Verb};

/// Repairs are mutations of about so many bytes at most.
const REPAIR_BYTES_MAX: usize = 1 << 20;

/// How a step of a part ended.
pub(super) enum PartStep {
    Done,
    Stopped,
    /// For answers of other nodes.
    Waits,
    /// The budget is too small for what comes next.
    Yield,
    /// This node's own read.
    NeedsBlocks(BlockList),
    TombstoneLimit,
}

/// See the file's head.
pub(super) struct PartRead {
    contacts: Contacts,
    /// What replicas are asked, but for where.
    base: ReplicaCommand,
    merge: Reconciliation,
    /// Which contact each input of the merge is from.
    inputs: Vec<usize>,
    /// Contacts that are not inputs and have not failed.
    spares: VecDeque<usize>,
    /// The replicas differ: digests are not asked for any more.
    is_split: bool,
    /// Pages that are to be asked for.
    wanted: Option<Vec<Wanted>>,
    round: Option<Round>,
    /// This node's own answer being read, for this request of the round.
    own: Option<(u32, Box<ReplicaRead>)>,
    failures: Vec<(IpAddr, u16)>,
    /// Why the own read failed.
    own_error: Option<helenus_storage::Error>,
    /// Units that the merge of the pages in hand costs.
    owed: u64,
    has_yielded: bool,
}

impl PartRead {
    pub(super) fn new(part: Part, from: Option<Place>, caller: &Caller) -> PartRead {
        let Part { command, contacts } = part;
        let block_for = contacts.block_for.max(1);
        let mutation_bytes_max = REPAIR_BYTES_MAX.min(caller.world.engine.write_bytes_max() / 2);
        let merge = Reconciliation::new(
            command.clone(),
            from,
            caller.keyspace,
            block_for,
            mutation_bytes_max,
        );
        let base = ReplicaCommand {
            rows_max: caller.rows_hint,
            bytes_max: PAGE_BYTES_MAX,
            ..ReplicaCommand::new(command)
        };
        PartRead {
            inputs: (0..block_for).collect(),
            spares: (block_for..contacts.replicas.len()).collect(),
            contacts: Contacts { block_for, ..contacts },
            base,
            merge,
            is_split: false,
            wanted: None,
            round: None,
            own: None,
            failures: Vec::new(),
            own_error: None,
            owed: 0,
            has_yielded: false,
        }
    }

    /// Goes on as far as it goes without waiting.
    pub(super) fn step(
        &mut self,
        caller: &mut Caller,
        sink: &mut dyn Sink,
        budget: &mut Budget,
    ) -> Result<PartStep, ReadError> {
        loop {
            if self.round.is_some() {
                if let Some(step) = self.read_own(caller, budget) {
                    return Ok(step);
                }
                self.take_arrived(caller);
                self.ask_spares_of_late(caller);
                if self.own.is_some() || caller.has_unsent() {
                    continue;
                }
                if !self.settle(caller)? {
                    return Ok(PartStep::Waits);
                }
                continue;
            }
            if let Some(wanted) = self.wanted.take() {
                // What comes now can only be acknowledgements of repairs, or late.
                caller.take_arrived();
                if caller.has_many_repairs() {
                    self.wanted = Some(wanted);
                    return Ok(PartStep::Waits);
                }
                self.begin_round(wanted, caller)?;
                continue;
            }
            if self.owed > budget.units && !std::mem::replace(&mut self.has_yielded, true) {
                return Ok(PartStep::Yield);
            }
            self.has_yielded = false;
            budget.units = budget.units.saturating_sub(std::mem::take(&mut self.owed));
            let merged = self.merge.run(sink)?;
            self.repair(caller)?;
            match merged {
                Reconciled::Done => return Ok(PartStep::Done),
                Reconciled::Stopped => return Ok(PartStep::Stopped),
                Reconciled::NeedsPages(wanted) => self.wanted = Some(wanted),
            }
        }
    }

    /// The blocks that the own read waits for. Waits for the disk.
    pub(super) fn fetch(&mut self, blocks: BlockList, caller: &mut Caller) {
        let Some((tag, read)) = &mut self.own else { return };
        let tag = *tag;
        if let Err(error) = caller.world.engine.fetch_replica(blocks, read) {
            self.own = None;
            self.own_failed(tag, error, caller);
        }
    }

    /// When to look again although nothing has come: a replica is late, and there is a spare.
    pub(super) fn late_at(&self) -> Option<Duration> {
        self.round.as_ref().filter(|_| !self.spares.is_empty()).and_then(Round::late_at)
    }

    /// Too few have answered by now.
    pub(super) fn timed_out(&self) -> ReadError {
        let block_for = self.contacts.block_for;
        let received = self.round.as_ref().map_or(0, |round| round.received(block_for));
        ReadError::Timeout { received, block_for, data_present: self.is_data_present() }
    }

    /// A replica does not acknowledge what it lacked.
    pub(super) fn repair_lost(&self) -> ReadError {
        let block_for = self.contacts.block_for;
        ReadError::Timeout { received: block_for - 1, block_for, data_present: true }
    }

    fn is_data_present(&self) -> bool {
        self.is_split || self.round.as_ref().is_some_and(Round::has_page)
    }

    fn begin_round(&mut self, wanted: Vec<Wanted>, caller: &mut Caller) -> Result<(), ReadError> {
        let block_for = self.contacts.block_for;
        if self.contacts.replicas.len() < block_for {
            return Err(ReadError::Timeout { received: 0, block_for, data_present: false });
        }
        let is_same = |pair: &[Wanted]| match pair {
            [a, b] => a.from == b.from && a.only == b.only,
            _ => true,
        };
        let is_shared = !self.is_split
            && block_for > 1
            && wanted.len() == block_for
            && wanted.windows(2).all(is_same);
        if !is_shared && block_for > 1 {
            self.is_split = true;
        }
        let inputs: Vec<usize> = wanted.iter().map(|want| want.replica).collect();
        self.round = Some(Round::new(wanted, is_shared));
        let is_self = |input: &&usize| self.contact_of(**input).is_some_and(|c| c.is_self);
        let data = inputs.iter().find(is_self).or(inputs.first()).copied();
        let mut own = None;
        for input in inputs {
            let asked = match is_shared && Some(input) != data {
                true => Asked::Digest,
                false => Asked::Page,
            };
            let Some(contact) = self.inputs.get(input).copied() else { continue };
            match self.contact_of(input).is_some_and(|contact| contact.is_self) {
                // Last, so that the others work meanwhile.
                true => own = Some((contact, input)),
                false => self.ask(contact, input, asked, caller),
            }
        }
        if let Some((contact, input)) = own {
            self.ask(contact, input, Asked::Page, caller);
        }
        Ok(())
    }

    fn contact_of(&self, input: usize) -> Option<&Contact> {
        self.contacts.replicas.get(*self.inputs.get(input)?)
    }

    /// Asks a contact for what an input wants.
    fn ask(&mut self, contact: usize, input: usize, asked: Asked, caller: &mut Caller) {
        let (Some(round), Some(to)) = (&mut self.round, self.contacts.replicas.get(contact)) else {
            return;
        };
        let Some(want) = round.wants.iter().find(|want| want.replica == input) else { return };
        let mut command = want.command(&self.base);
        let (tag, sent_at) = (caller.tag(), caller.now());
        let late_at = caller.late_at(to, sent_at).filter(|_| !to.is_self);
        round.asks.push(Ask { tag, contact, input, sent_at, late_at, got: Got::Nothing });
        if to.is_self {
            let limit = &mut command.read.tombstones_max;
            *limit = limit.saturating_sub(caller.tombstones);
            self.own = Some((tag, Box::new(ReplicaRead::new(command))));
            return;
        }
        let payload = ReadRequest::encode(caller.metadata_version, asked, &command);
        caller.send(to, Verb::Read, payload, tag);
    }

    /// Asks the next spare for the page of an input, if there is one.
    fn ask_spare(&mut self, input: usize, caller: &mut Caller) -> bool {
        let Some(spare) = self.spares.pop_front() else { return false };
        self.ask(spare, input, Asked::Page, caller);
        true
    }

    fn ask_spares_of_late(&mut self, caller: &mut Caller) {
        let now = caller.now();
        loop {
            let Some(round) = &mut self.round else { return };
            let is_late = |ask: &&mut Ask| {
                matches!(ask.got, Got::Nothing) && ask.late_at.is_some_and(|at| at <= now)
            };
            let Some(late) = round.asks.iter_mut().find(is_late) else { return };
            late.late_at = None;
            let (input, contact) = (late.input, late.contact);
            let after = now.saturating_sub(late.sent_at);
            if let Some(contact) = self.contacts.replicas.get(contact).filter(|_| !after.is_zero())
            {
                caller.world.latencies.record_failure(&contact.host_id, after, now);
            }
            if self.ask_spare(input, caller) {
                caller.world.metrics.speculations.increment();
            }
        }
    }

    fn take_arrived(&mut self, caller: &mut Caller) {
        for (tag, response) in caller.take_arrived() {
            self.arrived(tag, response, caller);
        }
    }

    /// Takes what a replica has answered. What nobody waits for any more is dropped.
    fn arrived(&mut self, tag: u32, response: Response, caller: &mut Caller) {
        let Some(round) = &mut self.round else { return };
        let Some(ask) = round.asks.iter_mut().find(|ask| ask.tag == tag) else { return };
        let Some(contact) = self.contacts.replicas.get(ask.contact) else { return };
        let now = caller.now();
        let took = now.saturating_sub(ask.sent_at);
        let latencies = &caller.world.latencies;
        match response.and_then(|bytes| got(&bytes)) {
            Ok(got) => {
                latencies.record(&contact.host_id, took, now);
                ask.got = got;
            }
            Err(error) => {
                latencies.record_failure(&contact.host_id, took, now);
                ask.got = Got::Failure;
                let (input, is_timeout) = (ask.input, error == RequestError::Timeout);
                if let RequestError::Failed(failure) = error {
                    self.failures.push((contact.target.address.ip(), reason(&failure)));
                }
                if !is_timeout && self.ask_spare(input, caller) {
                    caller.world.metrics.retries.increment();
                }
            }
        }
    }

    /// Goes on with this node's own answer, if it has been asked.
    fn read_own(&mut self, caller: &mut Caller, budget: &mut Budget) -> Option<PartStep> {
        let (tag, read) = self.own.as_mut()?;
        let tag = *tag;
        let before = read.tombstones();
        let outcome = caller.world.engine.read_replica(read, budget);
        caller.tombstones += read.tombstones().saturating_sub(before);
        caller.newest = caller.newest.max(read.newest());
        match outcome {
            Ok(Read::Yield) => Some(PartStep::Yield),
            Ok(Read::NeedsBlocks(blocks)) => Some(PartStep::NeedsBlocks(blocks)),
            Ok(Read::TombstoneLimit) => Some(PartStep::TombstoneLimit),
            Ok(Read::Done | Read::Stopped) => {
                let page = self.own.take().and_then(|(_, read)| read.into_page());
                let page = Slice::from(page.unwrap_or_default());
                let round = self.round.as_mut()?;
                let ask = round.asks.iter_mut().find(|ask| ask.tag == tag)?;
                ask.got = Got::Page(page);
                None
            }
            Err(error) => {
                self.own = None;
                self.own_failed(tag, error, caller);
                None
            }
        }
    }

    fn own_failed(&mut self, tag: u32, error: helenus_storage::Error, caller: &mut Caller) {
        let Some(round) = &mut self.round else { return };
        let Some(ask) = round.asks.iter_mut().find(|ask| ask.tag == tag) else { return };
        ask.got = Got::Failure;
        let (input, contact) = (ask.input, ask.contact);
        if let Some(contact) = self.contacts.replicas.get(contact) {
            self.failures.push((contact.target.address.ip(), reason(&failed(&error))));
        }
        self.own_error = Some(error);
        if self.ask_spare(input, caller) {
            caller.world.metrics.retries.increment();
        }
    }

    /// Ends the round if it can be: true if it has ended, or another one has begun.
    fn settle(&mut self, caller: &mut Caller) -> Result<bool, ReadError> {
        let Some(round) = &self.round else { return Ok(true) };
        let block_for = self.contacts.block_for;
        match round.standing(block_for) {
            Standing::Open => return Ok(false),
            Standing::Hopeless(received) => return Err(self.hopeless(received)),
            Standing::Agreed(contacts, page) => {
                self.take_part(contacts);
                self.owe(&page, block_for);
                self.end_round();
                self.merge.add_same(&page)?;
            }
            Standing::Pages(pages) => {
                for (want, (contact, _)) in round.wants.iter().zip(&pages) {
                    if let Some(input) = self.inputs.get_mut(want.replica) {
                        *input = *contact;
                    }
                }
                for (want, (_, page)) in self.end_round().iter().zip(pages) {
                    self.owe(&page, 1);
                    self.merge.add(want.replica, page)?;
                }
            }
            Standing::Differ(contacts) => {
                caller.world.metrics.mismatches.increment();
                self.take_part(contacts);
                self.is_split = true;
                self.base.read.columns = ColumnSet::All;
                self.merge.want_all_columns();
                let wants = self.end_round();
                self.begin_round(wants, caller)?;
            }
        }
        Ok(true)
    }

    fn hopeless(&mut self, received: usize) -> ReadError {
        let block_for = self.contacts.block_for;
        let data_present = self.is_data_present();
        match self.own_error.take() {
            // There is nobody else: the client is told what happened here.
            Some(error) if block_for == 1 && self.failures.len() == 1 => ReadError::Engine(error),
            _ if self.failures.is_empty() => {
                ReadError::Timeout { received, block_for, data_present }
            }
            _ => {
                let failures = std::mem::take(&mut self.failures);
                ReadError::Failure { received, block_for, data_present, failures }
            }
        }
    }

    /// From here on, the inputs are these contacts. Those that were inputs stay the same ones, so
    /// that they are sent what they themselves lack.
    fn take_part(&mut self, mut contacts: Vec<usize>) {
        let is_gone = |contact: &usize, contacts: &[usize]| !contacts.contains(contact);
        let gone: Vec<usize> = (0..self.inputs.len())
            .filter(|at| self.inputs.get(*at).is_some_and(|c| is_gone(c, &contacts)))
            .collect();
        contacts.retain(|contact| !self.inputs.contains(contact));
        for (at, contact) in gone.into_iter().zip(contacts) {
            if let Some(input) = self.inputs.get_mut(at) {
                *input = contact;
            }
        }
    }

    /// Forgets the round; what still comes of it is late. Whom it asked in vain, because another
    /// one was faster, is a spare from here on.
    fn end_round(&mut self) -> Vec<Wanted> {
        self.own = None;
        let Some(round) = self.round.take() else { return Vec::new() };
        for ask in round.asks {
            let has_failed = matches!(ask.got, Got::Failure);
            if !has_failed && !self.inputs.contains(&ask.contact) {
                self.spares.push_back(ask.contact);
            }
        }
        round.wants
    }

    fn owe(&mut self, page: &[u8], times: usize) {
        self.owed += (page.len() * times) as u64 / 64;
    }

    /// Sends the replicas what they lack of what was told.
    fn repair(&mut self, caller: &mut Caller) -> Result<(), ReadError> {
        if !self.is_split {
            return Ok(());
        }
        for repair in self.merge.take_repairs()? {
            if let Some(contact) = self.contact_of(repair.replica) {
                let contact = contact.clone();
                caller.repair(&contact, &repair.mutation)?;
            }
        }
        if self.merge.is_repair_short() {
            return Err(self.repair_lost());
        }
        Ok(())
    }
}

/// What an answer says.
fn got(bytes: &Bytes) -> Result<Got, RequestError> {
    match ReadAnswer::decode(bytes) {
        Ok(ReadAnswer::Page(page)) => Ok(Got::Page(Slice::copy(&page))),
        Ok(ReadAnswer::Digest(digest)) => Ok(Got::Digest(digest)),
        Err(error) => {
            Err(RequestError::Failed(Failure::new(failure::MALFORMED, error.to_string())))
        }
    }
}
