//! One round of a part: the pages that are wanted, who was asked for them, and who has answered.
//! It decides; `part.rs` acts.

use std::time::Duration;

use helenus_storage::model::Slice;
use helenus_storage::replica::{Wanted, digest};

/// What an asked replica has answered.
#[derive(Debug)]
pub(super) enum Got {
    Nothing,
    Page(Slice),
    Digest(u128),
    /// It failed, or will not answer in time.
    Failure,
}

/// One request of a round.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) tag: u32,
    /// Which of the part's contacts.
    pub(super) contact: usize,
    /// For which input of the merge; with one page for all, for whom it stands in.
    pub(super) input: usize,
    pub(super) sent_at: Duration,
    /// When a spare is asked as well; none once that is done, or if it never is.
    pub(super) late_at: Option<Duration>,
    pub(super) got: Got,
}

/// See the file's head.
#[derive(Debug)]
pub(super) struct Round {
    /// All inputs want the same page: one is asked for it and the others for its digest.
    pub(super) is_shared: bool,
    pub(super) wants: Vec<Wanted>,
    pub(super) asks: Vec<Ask>,
}

/// How a round stands.
#[derive(Debug)]
pub(super) enum Standing {
    /// Answers are missing that may still come.
    Open,
    /// Enough replicas have the same: the contacts that take part from here on, and the page.
    Agreed(Vec<usize>, Slice),
    /// These replicas differ.
    Differ(Vec<usize>),
    /// Every page is there: for each want, the contact that it is from and the page.
    Pages(Vec<(usize, Slice)>),
    /// Too few can answer any more; so many have.
    Hopeless(usize),
}

impl Round {
    pub(super) fn new(wants: Vec<Wanted>, is_shared: bool) -> Round {
        Round { is_shared, wants, asks: Vec::new() }
    }

    /// How it stands, if so many must answer.
    pub(super) fn standing(&self, block_for: usize) -> Standing {
        match self.is_shared {
            true => self.shared_standing(block_for),
            false => self.pages_standing(block_for),
        }
    }

    fn shared_standing(&self, block_for: usize) -> Standing {
        let is_there = |ask: &&Ask| matches!(ask.got, Got::Page(_) | Got::Digest(_));
        let there = self.asks.iter().filter(is_there).count();
        let open = self.asks.iter().filter(|ask| matches!(ask.got, Got::Nothing)).count();
        if there < block_for {
            return if there + open < block_for {
                Standing::Hopeless(there)
            } else {
                Standing::Open
            };
        }
        // At most `block_for - 1` digests are asked for, so one of so many answers is a page.
        let page = self.asks.iter().find_map(|ask| match &ask.got {
            Got::Page(page) => Some((ask.contact, page)),
            _ => None,
        });
        let Some((owner, page)) = page else { return Standing::Hopeless(there) };
        let others = self.asks.iter().filter(is_there).filter(|ask| ask.contact != owner);
        let others: Vec<&Ask> = others.take(block_for - 1).collect();
        let expected = digest(page);
        let is_same = |ask: &&Ask| match &ask.got {
            Got::Page(other) => other == page,
            Got::Digest(other) => *other == expected,
            Got::Nothing | Got::Failure => false,
        };
        let are_same = others.iter().all(is_same);
        let contacts = std::iter::once(owner).chain(others.iter().map(|ask| ask.contact)).collect();
        match are_same {
            true => Standing::Agreed(contacts, page.clone()),
            false => Standing::Differ(contacts),
        }
    }

    fn pages_standing(&self, block_for: usize) -> Standing {
        let mut pages = Vec::with_capacity(self.wants.len());
        let mut is_hopeless = false;
        for want in &self.wants {
            let asks = || self.asks.iter().filter(|ask| ask.input == want.replica);
            let page = asks().find_map(|ask| match &ask.got {
                Got::Page(page) => Some((ask.contact, page.clone())),
                _ => None,
            });
            match page {
                Some(page) => pages.push(page),
                None => is_hopeless |= !asks().any(|ask| matches!(ask.got, Got::Nothing)),
            }
        }
        let missing = self.wants.len() - pages.len();
        match (missing, is_hopeless) {
            (0, _) => Standing::Pages(pages),
            (_, true) => Standing::Hopeless(block_for.saturating_sub(missing)),
            (_, false) => Standing::Open,
        }
    }

    /// How many have answered, for an error.
    pub(super) fn received(&self, block_for: usize) -> usize {
        match self.is_shared {
            true => {
                let is_there = |ask: &&Ask| matches!(ask.got, Got::Page(_) | Got::Digest(_));
                self.asks.iter().filter(is_there).count()
            }
            false => {
                let has_page = |want: &&Wanted| {
                    let mut asks = self.asks.iter().filter(|ask| ask.input == want.replica);
                    asks.any(|ask| matches!(ask.got, Got::Page(_)))
                };
                let there = self.wants.iter().filter(has_page).count();
                block_for.saturating_sub(self.wants.len() - there)
            }
        }
    }

    /// Whether a page has come.
    pub(super) fn has_page(&self) -> bool {
        self.asks.iter().any(|ask| matches!(ask.got, Got::Page(_)))
    }

    /// When the first of those that are waited for is late.
    pub(super) fn late_at(&self) -> Option<Duration> {
        let open = self.asks.iter().filter(|ask| matches!(ask.got, Got::Nothing));
        open.filter_map(|ask| ask.late_at).min()
    }
}
