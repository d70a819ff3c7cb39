//! One replica's pages as one stream of partitions, rows and changes of the range deletion, which
//! runs dry where a page ends by a limit and goes on with the next page.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use super::command::{Place, Reach};
use super::reader::{PageEnd, PageItem, PageReader};
use crate::error::{Error, Result};
use crate::model::{Deletion, PartitionHead, PartitionKey, Slice};
use crate::read::{Partitions, ReadCommand};

/// One replica's answer, as far as it has come.
#[derive(Clone)]
pub(super) struct Input {
    pages: Pages,
    /// What follows of the current partition, where the pages leave it out because of
    /// `rows_per_partition_max` or `distinct`.
    rest: Option<Box<Rest>>,
    /// The first partition that has not been entered, with its index in the command's list.
    next: Option<(usize, PartitionHead)>,
    standing: Standing,
    /// The next row or marker of the current partition, if known.
    head: Option<Item>,
    /// What follows it, if known.
    pending: Option<Item>,
    /// Range deletion in force in the current partition.
    pub(super) open: Deletion,
}

/// The pages of the whole read, of which one at a time is held.
#[derive(Clone)]
enum Pages {
    /// The next one is to begin here; at the first partition if it is none.
    Wanted(Option<Place>),
    Reading(PageReader),
    /// The last one has been read to its end.
    Complete,
}

/// A page of one partition.
#[derive(Clone)]
struct Rest {
    page: PageReader,
    command: ReadCommand,
}

/// How the replica stands to the current partition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// It does not have it, or that is behind.
    Outside,
    Inside,
    /// All that has come of it has been read; `is_page` says that the page ends with it.
    Ended {
        reach: Reach,
        is_page: bool,
    },
}

/// A row or marker of the current partition.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Row { position: Slice, row: Slice },
    Marker { position: Slice, open: Deletion },
}

impl Item {
    pub(super) fn position(&self) -> &Slice {
        match self {
            Item::Row { position, .. } | Item::Marker { position, .. } => position,
        }
    }
}

/// What an input has next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Peek<T> {
    Next(T),
    Nothing,
    /// A page is missing.
    Dry,
}

/// The page that a dry input needs to go on.
pub(super) struct Want {
    pub(super) from: Option<Place>,
    /// Of this partition only.
    pub(super) only: Option<PartitionKey>,
}

impl Input {
    pub(super) fn new(from: Option<Place>) -> Input {
        Input {
            pages: Pages::Wanted(from),
            rest: None,
            next: None,
            standing: Standing::Outside,
            head: None,
            pending: None,
            open: Deletion::NONE,
        }
    }

    /// What the input needs; `current` is the partition that is being merged, and how many rows of
    /// it have been told. None if it is not dry.
    pub(super) fn want(&self, current: Option<(&PartitionKey, u32)>) -> Option<Want> {
        if let (Standing::Ended { reach, is_page }, Some((key, rows))) = (&self.standing, current)
            && *reach != Reach::Whole
        {
            let from = Some(Place { key: key.clone(), reach: reach.clone(), rows });
            return Some(Want { from, only: (!is_page).then(|| key.clone()) });
        }
        match &self.pages {
            Pages::Wanted(from) if self.next.is_none() => {
                Some(Want { from: from.clone(), only: None })
            }
            _ => None,
        }
    }

    /// Takes the page that was wanted.
    pub(super) fn add(
        &mut self,
        page: Slice,
        command: &ReadCommand,
        current: Option<(&PartitionKey, u32)>,
    ) -> Result<()> {
        let Some(Want { from, only }) = self.want(current) else {
            return Err(Error::invalid("a page that was not asked for"));
        };
        let is_inside = matches!(self.standing, Standing::Ended { .. });
        if let Some(key) = only {
            let command = ReadCommand { partitions: Partitions::One(key), ..command.clone() };
            let mut page = PageReader::new(page, &command, from.as_ref())?;
            if !matches!(page.next(&command)?, PageItem::Partition(_)) {
                self.close();
                return Ok(());
            }
            self.rest = Some(Box::new(Rest { page, command: command.clone() }));
            return self.go_on(&command);
        }
        self.pages = Pages::Reading(PageReader::new(page, command, from.as_ref())?);
        let (Some((key, _)), true) = (current, is_inside) else { return Ok(()) };
        self.fill_next(command)?;
        // Its head is known; what has become of it since is as if it came a little later.
        if self.next.take_if(|(_, head)| head.key == *key).is_none() {
            self.close();
            return Ok(());
        }
        self.go_on(command)
    }

    /// Goes on inside the current partition, at the place where it ended.
    fn go_on(&mut self, command: &ReadCommand) -> Result<()> {
        let standing = std::mem::replace(&mut self.standing, Standing::Inside);
        let Standing::Ended { reach: Reach::Upto(bound), .. } = standing else { return Ok(()) };
        self.fill(command)?;
        match &self.head {
            // What the page before had to cut goes on, or something else begins there.
            Some(Item::Marker { position, .. }) if *position == bound => {}
            _ if !self.open.is_none() => self.close_range(bound),
            _ => {}
        }
        Ok(())
    }

    /// There is no more of the current partition.
    fn close(&mut self) {
        let standing = Standing::Ended { reach: Reach::Whole, is_page: false };
        let standing = std::mem::replace(&mut self.standing, standing);
        if let Standing::Ended { reach: Reach::Upto(bound), .. } = standing
            && !self.open.is_none()
        {
            self.close_range(bound);
        }
    }

    /// The range deletion in force ends here, before what is next.
    fn close_range(&mut self, position: Slice) {
        self.pending = self.head.take();
        self.head = Some(Item::Marker { position, open: Deletion::NONE });
    }

    /// The next partition: its index in the command's list and its key.
    pub(super) fn peek_partition(
        &mut self,
        command: &ReadCommand,
    ) -> Result<Peek<(usize, PartitionKey)>> {
        if self.next.is_none() {
            self.fill_next(command)?;
        }
        Ok(match (&self.next, &self.pages) {
            (Some((index, head)), _) => Peek::Next((*index, head.key.clone())),
            (None, Pages::Complete) => Peek::Nothing,
            (None, _) => Peek::Dry,
        })
    }

    /// Enters the partition if it is the next one: its head.
    pub(super) fn enter(&mut self, key: &PartitionKey) -> Option<PartitionHead> {
        debug_assert_eq!(self.standing, Standing::Outside);
        self.open = Deletion::NONE;
        let (_, head) = self.next.take_if(|(_, head)| head.key == *key)?;
        self.standing = Standing::Inside;
        Some(head)
    }

    /// The next row or marker of the current partition.
    pub(super) fn peek(&mut self, command: &ReadCommand) -> Result<Peek<&Item>> {
        self.fill(command)?;
        Ok(match (&self.head, &self.standing) {
            (Some(item), _) => Peek::Next(item),
            (None, Standing::Ended { reach, .. }) if *reach != Reach::Whole => Peek::Dry,
            (None, _) => Peek::Nothing,
        })
    }

    /// The next row or marker, if `peek` has found one.
    pub(super) fn head(&self) -> Option<&Item> {
        self.head.as_ref()
    }

    /// Takes it.
    pub(super) fn take(&mut self) -> Option<Item> {
        std::mem::replace(&mut self.head, self.pending.take())
    }

    /// How far the input reaches in the current partition, if it has no head.
    pub(super) fn reach(&self) -> Option<&Reach> {
        match &self.standing {
            Standing::Ended { reach, .. } => Some(reach),
            Standing::Inside | Standing::Outside => None,
        }
    }

    /// Passes over what is left of the current partition.
    pub(super) fn leave(&mut self, command: &ReadCommand) -> Result<()> {
        if self.rest.take().is_some() {
            // What the pages themselves have of the partition is behind.
            self.standing = Standing::Outside;
        }
        while self.standing == Standing::Inside {
            (self.head, self.pending) = (None, None);
            self.fill(command)?;
        }
        (self.head, self.pending) = (None, None);
        if let (Standing::Ended { is_page: true, .. }, Pages::Wanted(Some(place))) =
            (&self.standing, &mut self.pages)
        {
            place.reach = Reach::Whole;
        }
        self.standing = Standing::Outside;
        Ok(())
    }

    /// Makes the next row or marker of the current partition known.
    fn fill(&mut self, command: &ReadCommand) -> Result<()> {
        if self.head.is_some() || self.standing != Standing::Inside {
            return Ok(());
        }
        let item = match (&mut self.rest, &mut self.pages) {
            (Some(rest), _) => rest.page.next(&rest.command)?,
            (None, Pages::Reading(page)) => page.next(command)?,
            (None, _) => return Ok(()),
        };
        match item {
            PageItem::Row { position, row } => self.head = Some(Item::Row { position, row }),
            PageItem::Marker { position, open } => {
                self.head = Some(Item::Marker { position, open });
            }
            PageItem::PartitionEnd(reach) => {
                let mut is_page = false;
                match self.rest.take() {
                    Some(mut rest) => {
                        rest.page.next(&rest.command)?;
                    }
                    None => {
                        self.fill_next(command)?;
                        is_page = matches!(self.pages, Pages::Wanted(_));
                    }
                }
                self.standing = Standing::Ended { reach, is_page };
            }
            // The reader gives neither inside a partition.
            PageItem::Partition(_) | PageItem::End(_) => {
                return Err(Error::corrupt("a page ends inside a partition"));
            }
        }
        Ok(())
    }

    /// Reads up to the next partition, or to the end of the page.
    fn fill_next(&mut self, command: &ReadCommand) -> Result<()> {
        let Pages::Reading(page) = &mut self.pages else { return Ok(()) };
        match page.next(command)? {
            PageItem::Partition(head) => self.next = Some((page.index(), head)),
            PageItem::End(PageEnd::Complete) => self.pages = Pages::Complete,
            PageItem::End(PageEnd::Stopped) => self.pages = Pages::Wanted(page.stopped_at()),
            _ => return Err(Error::corrupt("a page has a row outside of a partition")),
        }
        Ok(())
    }
}
