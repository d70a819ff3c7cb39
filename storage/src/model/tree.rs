//! A persistent ordered tree: a clone of the root is a snapshot that later changes do not touch.
//!
//! A B+tree of items ordered by their key bytes. A change copies the nodes on its path that some
//! snapshot still holds and works in place on the others. Items that arrive in ascending or
//! descending order fill nodes completely. The tree knows how much heap its nodes take; what the
//! items point to is their owner's to count.

use std::sync::Arc;

use crate::model::Slice;
use crate::model::memory;

mod iter;
#[cfg(test)]
mod tests;

pub(crate) use iter::TreeIter;

/// Items of a leaf, and children of an inner node, at most.
const WIDTH: usize = 32;

/// What a tree can hold.
pub(crate) trait Item: Clone {
    /// What orders the items; must not change while the item is in a tree.
    fn key(&self) -> &[u8];
}

/// A persistent ordered tree of items with distinct keys.
#[derive(Clone, Debug)]
pub(crate) struct Tree<T> {
    root: Option<Arc<Node<T>>>,
    len: usize,
    heap: usize,
}

#[derive(Clone, Debug)]
enum Node<T> {
    /// Never empty.
    Leaf(Vec<T>),
    /// `lows[i]` is a lower bound of `children[i + 1]`, and above everything in `children[i]`.
    Inner { lows: Vec<Slice>, children: Vec<Arc<Node<T>>> },
}

impl<T> Default for Tree<T> {
    fn default() -> Tree<T> {
        Tree { root: None, len: 0, heap: 0 }
    }
}

impl<T: Item> Tree<T> {
    /// Number of items.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no items.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of heap that the nodes take, counted as if nothing were shared with snapshots.
    pub(crate) fn heap(&self) -> usize {
        self.heap
    }

    /// The item with this key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&T> {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Leaf(items) => return items.get(find(items, key).ok()?),
                Node::Inner { lows, children } => node = &children[child_of(lows, key)],
            }
        }
    }

    /// The last item with a key at or below `key`.
    pub(crate) fn floor(&self, key: &[u8]) -> Option<&T> {
        let (items, index) = self.seek_back(key, true)?;
        items.get(index)
    }

    /// The last item with a key below `key`.
    pub(crate) fn below(&self, key: &[u8]) -> Option<&T> {
        let (items, index) = self.seek_back(key, false)?;
        items.get(index)
    }

    /// Calls `change` with the item of this key, to change all but its key; or with `None`, and
    /// then inserts what it returns, which must have this key.
    pub(crate) fn update(&mut self, key: &[u8], change: impl FnOnce(Option<&mut T>) -> Option<T>) {
        let Some(root) = &mut self.root else {
            if let Some(item) = change(None) {
                debug_assert_eq!(item.key(), key);
                let root = Node::Leaf(vec![item]);
                self.heap += root.heap();
                self.root = Some(Arc::new(root));
                self.len = 1;
            }
            return;
        };
        let mut edit = Edit { heap: self.heap, added: false, edge: Edge::BOTH };
        let split = edit.update(root, key, change);
        if let Some((low, right)) = split {
            let children = vec![root.clone(), right];
            let grown = Node::Inner { lows: vec![low], children };
            edit.heap += grown.heap();
            *root = Arc::new(grown);
        }
        self.heap = edit.heap;
        self.len += usize::from(edit.added);
    }

    /// Inserts the item, replacing one of the same key.
    pub(crate) fn insert(&mut self, item: T) {
        let key = Slice::copy(item.key());
        self.update(&key, |own| match own {
            Some(own) => {
                *own = item;
                None
            }
            None => Some(item),
        });
    }

    /// Removes and returns the item with this key.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<T> {
        self.get(key)?;
        let root = self.root.as_mut()?;
        let removed = remove(root, key, &mut self.heap);
        if removed.is_some() {
            self.len -= 1;
        }
        if self.len == 0 {
            self.root = None;
            self.heap = 0;
        }
        removed
    }

    /// The leaf and index of the first item at or above `key`, or above it if not `inclusive`.
    fn seek(&self, key: &[u8], inclusive: bool) -> Option<(&Arc<Node<T>>, usize)> {
        let mut node = self.root.as_ref()?;
        let mut right = None;
        loop {
            match &**node {
                Node::Inner { lows, children } => {
                    let index = child_of(lows, key);
                    right = children.get(index + 1).or(right);
                    node = &children[index];
                }
                Node::Leaf(items) => {
                    let index = match find(items, key) {
                        Ok(index) if inclusive => index,
                        Ok(index) => index + 1,
                        Err(index) => index,
                    };
                    if index < items.len() {
                        return Some((node, index));
                    }
                    node = right?;
                    while let Node::Inner { children, .. } = &**node {
                        node = children.first()?;
                    }
                    return Some((node, 0));
                }
            }
        }
    }

    /// The leaf and index of the last item below `key`, or at or below it if `inclusive`.
    fn seek_back_leaf(&self, key: &[u8], inclusive: bool) -> Option<(&Arc<Node<T>>, usize)> {
        let mut node = self.root.as_ref()?;
        let mut left = None;
        loop {
            match &**node {
                Node::Inner { lows, children } => {
                    let index = child_of(lows, key);
                    left = index.checked_sub(1).and_then(|index| children.get(index)).or(left);
                    node = &children[index];
                }
                Node::Leaf(items) => {
                    let behind = match find(items, key) {
                        Ok(index) if inclusive => index + 1,
                        Ok(index) | Err(index) => index,
                    };
                    if let Some(index) = behind.checked_sub(1) {
                        return Some((node, index));
                    }
                    node = left?;
                    while let Node::Inner { children, .. } = &**node {
                        node = children.last()?;
                    }
                    return Some((node, node.items().len().checked_sub(1)?));
                }
            }
        }
    }

    fn seek_back(&self, key: &[u8], inclusive: bool) -> Option<(&[T], usize)> {
        self.seek_back_leaf(key, inclusive).map(|(node, index)| (node.items(), index))
    }
}

impl<T> Node<T> {
    /// Bytes of heap that this node takes, without its children and the bytes of its low keys,
    /// which are counted as they come and go.
    fn heap(&self) -> usize {
        let own = memory::shared(size_of::<Node<T>>());
        own + match self {
            Node::Leaf(items) => memory::allocation(items.capacity() * size_of::<T>()),
            Node::Inner { lows, children } => {
                memory::allocation(lows.capacity() * size_of::<Slice>())
                    + memory::allocation(children.capacity() * size_of::<Arc<Node<T>>>())
            }
        }
    }

    /// The items of a leaf.
    fn items(&self) -> &[T] {
        match self {
            Node::Leaf(items) => items,
            Node::Inner { .. } => &[],
        }
    }
}

fn find<T: Item>(items: &[T], key: &[u8]) -> Result<usize, usize> {
    items.binary_search_by(|item| item.key().cmp(key))
}

fn child_of(lows: &[Slice], key: &[u8]) -> usize {
    lows.partition_point(|low| low.as_bytes() <= key)
}

/// On which edges of the tree a node lies.
#[derive(Clone, Copy)]
struct Edge {
    left: bool,
    right: bool,
}

impl Edge {
    const BOTH: Edge = Edge { left: true, right: true };
}

/// A change on its way down the tree.
struct Edit {
    heap: usize,
    added: bool,
    edge: Edge,
}

impl Edit {
    /// Changes the subtree; gives the right half and its low key if the node had to be split.
    fn update<T: Item>(
        &mut self,
        node: &mut Arc<Node<T>>,
        key: &[u8],
        change: impl FnOnce(Option<&mut T>) -> Option<T>,
    ) -> Option<(Slice, Arc<Node<T>>)> {
        let before = node.heap();
        let own = Arc::make_mut(node);
        let edge = self.edge;
        let split = match own {
            Node::Leaf(items) => match find(items, key) {
                Ok(index) => {
                    change(items.get_mut(index));
                    None
                }
                Err(index) => {
                    let item = change(None);
                    self.added = item.is_some();
                    item.and_then(|item| {
                        debug_assert_eq!(item.key(), key);
                        let right = insert_splitting(items, index, item, edge)?;
                        let low = Slice::copy(right.first()?.key());
                        self.heap += memory::shared(low.len());
                        Some((low, Node::Leaf(right)))
                    })
                }
            },
            Node::Inner { lows, children } => {
                let index = child_of(lows, key);
                self.edge.left &= index == 0;
                self.edge.right &= index + 1 == children.len();
                let child = self.update(&mut children[index], key, change);
                child.and_then(|(low, right)| insert_child(lows, children, index, low, right, edge))
            }
        };
        let right = split.map(|(low, right)| {
            self.heap += right.heap();
            (low, Arc::new(right))
        });
        self.heap = self.heap + own.heap() - before;
        right
    }
}

/// Where to split a full node that gets a new element at `index`: in the middle, but at the end
/// for elements that arrive in order, so that the nodes they leave behind stay full.
fn split_point(len: usize, index: usize, edge: Edge) -> usize {
    if edge.right && index == len {
        len
    } else if edge.left && index == 0 {
        0
    } else {
        len / 2
    }
}

fn insert_splitting<T>(items: &mut Vec<T>, index: usize, item: T, edge: Edge) -> Option<Vec<T>> {
    if items.len() < WIDTH {
        items.insert(index, item);
        return None;
    }
    let at = split_point(items.len(), index, edge);
    let mut right = items.split_off(at);
    if index < at || at == 0 {
        items.insert(index, item);
    } else {
        right.insert(index - at, item);
    }
    Some(right)
}

fn insert_child<T>(
    lows: &mut Vec<Slice>,
    children: &mut Vec<Arc<Node<T>>>,
    index: usize,
    low: Slice,
    child: Arc<Node<T>>,
    edge: Edge,
) -> Option<(Slice, Node<T>)> {
    lows.insert(index, low);
    children.insert(index + 1, child);
    if children.len() <= WIDTH {
        return None;
    }
    // The child that was split is the first of the tree, or the new one is its last: then items
    // arrive in order, and all but that one child stay together.
    let index = if index == 0 { 0 } else { index + 1 };
    let at = split_point(children.len() - 1, index, edge).max(1);
    let right = children.split_off(at);
    let right_lows = lows.split_off(at);
    let low = lows.pop()?;
    Some((low, Node::Inner { lows: right_lows, children: right }))
}

/// Removes the item; nodes that become empty go, others are not joined.
fn remove<T: Item>(node: &mut Arc<Node<T>>, key: &[u8], heap: &mut usize) -> Option<T> {
    let before = node.heap();
    let own = Arc::make_mut(node);
    let removed = match own {
        Node::Leaf(items) => find(items, key).ok().map(|index| items.remove(index)),
        Node::Inner { lows, children } => {
            let index = child_of(lows, key);
            let removed = remove(&mut children[index], key, heap);
            if children[index].is_empty() {
                *heap -= children[index].heap();
                children.remove(index);
                if !lows.is_empty() {
                    *heap -= memory::shared(lows.remove(index.saturating_sub(1)).len());
                }
            }
            removed
        }
    };
    *heap = *heap + own.heap() - before;
    removed
}

impl<T> Node<T> {
    fn is_empty(&self) -> bool {
        match self {
            Node::Leaf(items) => items.is_empty(),
            Node::Inner { children, .. } => children.is_empty(),
        }
    }
}
