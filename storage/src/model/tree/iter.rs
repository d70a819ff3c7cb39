//! Walks a tree in either direction, holding on to the snapshot it began with.

use std::sync::Arc;

use super::{Item, Node, Tree};
use crate::model::Slice;

/// Yields the items from `start` (included) to `end` (excluded), or backwards.
///
/// It keeps one leaf at hand, and finds the next one from the root by the last key: a tree is
/// shallow, and there is no stack of nodes to keep alive.
#[derive(Clone, Debug)]
pub(crate) struct TreeIter<T> {
    tree: Tree<T>,
    start: Slice,
    end: Slice,
    reversed: bool,
    leaf: Option<Arc<Node<T>>>,
    /// Of the next item in `leaf`.
    index: usize,
}

impl<T: Item> Tree<T> {
    /// The items from `start` (included) to `end` (excluded), or backwards.
    pub(crate) fn range(&self, start: Slice, end: Slice, reversed: bool) -> TreeIter<T> {
        let found = if start >= end {
            None
        } else if reversed {
            self.seek_back_leaf(&end, false)
        } else {
            self.seek(&start, true)
        };
        let (leaf, index) = match found {
            Some((leaf, index)) => (Some(leaf.clone()), index),
            None => (None, 0),
        };
        TreeIter { tree: self.clone(), start, end, reversed, leaf, index }
    }
}

impl<T: Item> Iterator for TreeIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let items = self.leaf.as_ref()?.items();
        let item = items.get(self.index)?;
        let outside = match self.reversed {
            false => item.key() >= self.end.as_bytes(),
            true => item.key() < self.start.as_bytes(),
        };
        if outside {
            self.leaf = None;
            return None;
        }
        let item = item.clone();
        let next = match self.reversed {
            false => Some(self.index + 1).filter(|index| *index < items.len()),
            true => self.index.checked_sub(1),
        };
        match next {
            Some(index) => self.index = index,
            None => self.next_leaf(item.key()),
        }
        Some(item)
    }
}

impl<T: Item> TreeIter<T> {
    fn next_leaf(&mut self, behind: &[u8]) {
        let found = match self.reversed {
            false => self.tree.seek(behind, false),
            true => self.tree.seek_back_leaf(behind, false),
        };
        let found = found.map(|(leaf, index)| (leaf.clone(), index));
        self.index = found.as_ref().map_or(0, |(_, index)| *index);
        self.leaf = found.map(|(leaf, _)| leaf);
    }
}
