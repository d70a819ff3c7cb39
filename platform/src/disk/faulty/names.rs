//! The names of the faulty disk: as the process sees them, as the platter has them, and the
//! changes between the two.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::CutOptions;
use super::inode::survival_odds;
use crate::disk::tree::{Node, Tree};
use crate::random::Random;

/// One change of names, which a power cut keeps or loses as a whole. A rename sets two names.
#[derive(Debug, Clone)]
struct Change<F>(Vec<(PathBuf, Option<Node<F>>)>);

impl<F: Clone> Change<F> {
    fn apply(&self, to: &mut Tree<F>) {
        for (path, node) in &self.0 {
            to.set(path, node.clone());
        }
    }

    fn touches(&self, dir: &Path, names: &BTreeSet<PathBuf>) -> bool {
        self.0.iter().any(|(path, _)| path.parent() == Some(dir) || names.contains(path))
    }
}

/// Names in their three states.
#[derive(Debug, Clone)]
pub(super) struct Names<F> {
    /// What the process sees.
    pub(super) cached: Tree<F>,
    /// What a power cut cannot take.
    pub(super) durable: Tree<F>,
    /// Changes in `cached` that `durable` lacks, oldest first.
    pending: Vec<Change<F>>,
}

impl<F> Default for Names<F> {
    fn default() -> Self {
        Names { cached: Tree::default(), durable: Tree::default(), pending: Vec::new() }
    }
}

impl<F: Clone> Names<F> {
    /// Sets names for the process, as one change.
    pub(super) fn set(&mut self, names: Vec<(PathBuf, Option<Node<F>>)>) {
        let change = Change(names);
        change.apply(&mut self.cached);
        self.pending.push(change);
    }

    /// Makes the changes in `dir` durable, and of the others only those that a name set by these
    /// was changed by before: otherwise an older change would come after a newer one.
    pub(super) fn sync(&mut self, dir: &Path) {
        let mut names = BTreeSet::new();
        let (mut synced, mut left) = (Vec::new(), Vec::new());
        for change in self.pending.drain(..).rev() {
            if change.touches(dir, &names) {
                names.extend(change.0.iter().map(|(path, _)| path.clone()));
                synced.push(change);
            } else {
                left.push(change);
            }
        }
        for change in synced.iter().rev() {
            change.apply(&mut self.durable);
        }
        left.reverse();
        self.pending = left;
    }

    /// What is left of the names when power comes back.
    pub(super) fn cut_power(&mut self, options: CutOptions, random: &dyn Random) {
        let pending = std::mem::take(&mut self.pending);
        if options.reorder {
            let odds = survival_odds(random);
            for change in pending.iter().filter(|_| random.chance(odds)) {
                change.apply(&mut self.durable);
            }
        } else if options.torn {
            let kept = random.below(pending.len() as u64 + 1) as usize;
            for change in pending.iter().take(kept) {
                change.apply(&mut self.durable);
            }
        }
        self.durable.drop_orphans();
        self.cached = self.durable.clone();
    }

    /// A copy in which each file is replaced by what `replace` makes of it.
    pub(super) fn map(&self, mut replace: impl FnMut(&F) -> F) -> Self {
        let mut change = |change: &Change<F>| {
            let names = change.0.iter().map(|(path, node)| {
                let node = node.as_ref().map(|node| match node {
                    Node::Dir => Node::Dir,
                    Node::File(file) => Node::File(replace(file)),
                });
                (path.clone(), node)
            });
            Change(names.collect())
        };
        let pending = self.pending.iter().map(&mut change).collect();
        let cached = self.cached.map(&mut replace);
        Names { cached, durable: self.durable.map(&mut replace), pending }
    }
}
