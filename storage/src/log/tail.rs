//! The end of the log where records are added: a buffer under a lock, and nothing that waits.

use std::sync::Arc;

use super::format::{GROUP_HEADER_BYTES, GroupHeader, RecordHead};
use super::ledger::{Dirty, Ledger, Sealed, touch};
use super::segment::Segment;
use crate::error::Error;
use crate::model::TableId;

const GROUP_HEADER: u64 = GROUP_HEADER_BYTES as u64;

/// Records that will be written together, their headers not filled in yet.
pub(crate) struct Group {
    pub(crate) segment: Arc<Segment>,
    /// Log position of the first byte.
    pub(crate) start: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: u32,
    /// Offset in `bytes` of the seal that ends the segment.
    seal: Option<usize>,
}

impl Group {
    fn new(segment: &Arc<Segment>, start: u64, bytes: Vec<u8>) -> Self {
        debug_assert!(bytes.is_empty());
        Group { segment: segment.clone(), start, bytes, records: 0, seal: None }
    }

    /// Log position behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Offset of the first byte in the segment's file.
    pub(crate) fn offset(&self) -> u64 {
        self.start - self.segment.base()
    }

    /// Fills the headers in. `durable` is the durable watermark of this moment.
    pub(crate) fn finish(&mut self, durable: u64) {
        let records_end = self.seal.unwrap_or(self.bytes.len());
        if let Some(length) = records_end.checked_sub(GROUP_HEADER_BYTES) {
            let header = GroupHeader {
                // A segment is at most a gibibyte.
                length: length as u32,
                position: self.start,
                durable,
                records: self.records,
                seal: false,
            };
            self.put_header(0, &header);
        }
        if let Some(at) = self.seal {
            let position = self.start + at as u64;
            let seal = GroupHeader { length: 0, position, durable, records: 0, seal: true };
            self.put_header(at, &seal);
        }
    }

    fn put_header(&mut self, at: usize, header: &GroupHeader) {
        let encoded = header.encode(self.segment.salt);
        if let Some(place) = self.bytes.get_mut(at..at + GROUP_HEADER_BYTES) {
            place.copy_from_slice(&encoded);
        }
    }
}

/// Whether records are taken.
pub(crate) enum State {
    Open,
    Closed,
    Failed(Arc<Error>),
}

/// Why a record was not taken.
pub(crate) enum Refusal {
    /// Too much is waiting to be written.
    Full,
    /// The segment is full and there is no next one, for this reason.
    NoSegment(Arc<Error>),
    Closed,
    Failed(Arc<Error>),
}

/// Where a record stands.
pub(crate) struct Placed {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// What the worker decides by.
pub(crate) struct Glance {
    pub(crate) open: bool,
    /// Records not taken by the worker yet.
    pub(crate) waiting: usize,
    /// Whether there are bytes to write: records, or the seal of a segment.
    pub(crate) anything: bool,
    pub(crate) bytes: usize,
    pub(crate) needs_next: bool,
}

/// Everything that the append lock guards.
pub(crate) struct Tail {
    pub(crate) state: State,
    /// The segment that records go to.
    active: Arc<Segment>,
    /// The segment after it. Its name and header are on the platter before any position in it is
    /// given out: so after a power cut the segments found tell which positions were ever used.
    next: Option<Arc<Segment>>,
    /// Why making the next segment failed the last time.
    no_next: Option<Arc<Error>>,
    /// Log position of the next byte.
    position: u64,
    open: Group,
    /// Groups of segments that are full, to be written before `open`.
    closed: Vec<Group>,
    waiting: usize,
    /// The worker was woken for what is waiting.
    announced: bool,
    /// Bytes in `open`, in `closed`, and in the worker's hands.
    unwritten: usize,
    unwritten_max: usize,
    /// What is dirty in the active segment.
    dirty: Dirty,
}

impl Tail {
    pub(crate) fn new(active: Arc<Segment>, unwritten_max: usize) -> Self {
        let position = active.first();
        Tail {
            state: State::Open,
            open: Group::new(&active, position, Vec::new()),
            active,
            next: None,
            no_next: None,
            position,
            closed: Vec::new(),
            waiting: 0,
            announced: false,
            unwritten: 0,
            unwritten_max,
            dirty: Dirty::new(),
        }
    }

    /// Position of the next byte: records so far end at or before it, later ones start behind.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn active(&self) -> &Segment {
        &self.active
    }

    /// The active segment, and the next one if there is one.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Segment> {
        std::iter::once(&*self.active).chain(self.next.as_deref())
    }

    /// Adds a record.
    pub(crate) fn append(
        &mut self,
        head: &RecordHead,
        mutations: &[&[u8]],
        tables: &[TableId],
        ledger: &Ledger,
    ) -> Result<Placed, Refusal> {
        match &self.state {
            State::Open => {}
            State::Closed => return Err(Refusal::Closed),
            State::Failed(error) => return Err(Refusal::Failed(error.clone())),
        }
        let size = head.size();
        if self.unwritten > 0 && self.unwritten + size > self.unwritten_max {
            return Err(Refusal::Full);
        }
        // Behind the record there must be room for the seal.
        let group = if self.open.bytes.is_empty() { GROUP_HEADER } else { 0 };
        let needed = group + size as u64 + GROUP_HEADER;
        if self.position + needed > self.active.limit() {
            self.switch(ledger)?;
        }
        if self.open.bytes.is_empty() {
            self.open.bytes.resize(GROUP_HEADER_BYTES, 0);
            self.advance(GROUP_HEADER_BYTES);
        }
        let start = self.position;
        head.write(mutations, self.active.salt, start, &mut self.open.bytes);
        self.advance(size);
        debug_assert_eq!(self.position, self.open.end());
        self.open.records += 1;
        touch(&mut self.dirty, tables, start, self.position);
        self.waiting += 1;
        Ok(Placed { start, end: self.position })
    }

    /// Whether the worker is to be woken for what is waiting: once for each time that it takes
    /// something.
    pub(crate) fn announce(&mut self) -> bool {
        self.waiting > 0 && !std::mem::replace(&mut self.announced, true)
    }

    /// The worker comes back by itself: nobody needs to wake it. Not if something waits already.
    pub(crate) fn expect(&mut self) -> bool {
        let is_new = self.waiting == 0;
        self.announced |= is_new;
        is_new
    }

    /// The worker rests until it is woken. What waits, it sees to before.
    pub(crate) fn expect_no_more(&mut self) {
        self.announced &= self.waiting > 0;
    }

    fn advance(&mut self, bytes: usize) {
        self.position += bytes as u64;
        self.unwritten += bytes;
    }

    /// Seals the active segment and goes on in the next one.
    fn switch(&mut self, ledger: &Ledger) -> Result<(), Refusal> {
        let Some(next) = self.next.take() else {
            return Err(self.no_next.clone().map_or(Refusal::Full, Refusal::NoSegment));
        };
        self.seal(ledger);
        self.position = next.first();
        let group = Group::new(&next, self.position, Vec::new());
        self.closed.push(std::mem::replace(&mut self.open, group));
        self.active = next;
        Ok(())
    }

    fn seal(&mut self, ledger: &Ledger) {
        let at = self.open.bytes.len();
        self.open.seal = Some(at);
        self.open.bytes.resize(at + GROUP_HEADER_BYTES, 0);
        self.advance(GROUP_HEADER_BYTES);
        ledger.push(Sealed {
            base: self.active.base(),
            previous: self.active.previous(),
            path: self.active.path.clone(),
            end: self.position,
            dirty: Some(std::mem::take(&mut self.dirty)),
            damaged: false,
        });
    }

    /// Ends the log: seals the active segment; no record is taken afterwards.
    pub(crate) fn close(&mut self, ledger: &Ledger) {
        if matches!(self.state, State::Open) {
            self.seal(ledger);
            self.state = State::Closed;
        }
    }

    pub(crate) fn glance(&self) -> Glance {
        Glance {
            open: matches!(self.state, State::Open),
            waiting: self.waiting,
            anything: !self.open.bytes.is_empty() || !self.closed.is_empty(),
            bytes: self.unwritten,
            needs_next: self.next.is_none(),
        }
    }

    /// Hands over what is to be written, in order; `buffer` collects what comes next.
    pub(crate) fn take(&mut self, buffer: Vec<u8>) -> Vec<Group> {
        let mut groups = std::mem::take(&mut self.closed);
        if !self.open.bytes.is_empty() {
            let group = Group::new(&self.active, self.position, buffer);
            groups.push(std::mem::replace(&mut self.open, group));
        }
        self.waiting = 0;
        self.announced = false;
        groups
    }

    /// Bytes handed over by `take` have been written.
    pub(crate) fn written(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.unwritten);
        self.unwritten = self.unwritten.saturating_sub(bytes);
    }

    /// A group without records, to be written at once, if there is room and nothing waits.
    pub(crate) fn note(&mut self) -> Option<Group> {
        let room = self.position + 2 * GROUP_HEADER <= self.active.limit();
        let glance = self.glance();
        if !room || glance.anything || !glance.open {
            return None;
        }
        let mut group = Group::new(&self.active, self.position, Vec::new());
        group.bytes.resize(GROUP_HEADER_BYTES, 0);
        self.position += GROUP_HEADER;
        self.open.start = self.position;
        Some(group)
    }

    /// The next segment, or why there is none.
    pub(crate) fn set_next(&mut self, next: Result<Arc<Segment>, Arc<Error>>) {
        match next {
            Ok(segment) => {
                debug_assert_eq!(segment.base(), self.active.limit());
                self.next = Some(segment);
                self.no_next = None;
            }
            Err(error) => self.no_next = Some(error),
        }
    }
}
