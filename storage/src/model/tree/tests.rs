//! The tree beside an ordered map of the standard library.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug, PartialEq)]
struct Pair(Slice, u32);

impl Item for Pair {
    fn key(&self) -> &[u8] {
        &self.0
    }
}

fn key(number: u16) -> Slice {
    Slice::copy(&number.to_be_bytes())
}

fn items(tree: &Tree<Pair>, start: u16, end: u16, reversed: bool) -> Vec<Pair> {
    tree.range(key(start), key(end), reversed).collect()
}

/// Counts the heap again, node by node.
fn heap(node: &Node<Pair>) -> usize {
    let below = match node {
        Node::Leaf(items) => {
            assert!(!items.is_empty() && items.len() <= WIDTH);
            0
        }
        Node::Inner { lows, children } => {
            assert!(children.len() <= WIDTH && lows.len() + 1 == children.len());
            lows.iter().map(|low| memory::shared(low.len())).sum::<usize>()
                + children.iter().map(|child| heap(child)).sum::<usize>()
        }
    };
    node.heap() + below
}

fn check(tree: &Tree<Pair>, model: &BTreeMap<Slice, u32>) {
    assert_eq!(tree.len(), model.len());
    assert_eq!(tree.heap(), tree.root.as_deref().map_or(0, heap));
    let expected: Vec<_> = model.iter().map(|(key, value)| Pair(key.clone(), *value)).collect();
    let end = Slice::copy(&[0xFF; 3]);
    assert_eq!(tree.range(Slice::default(), end.clone(), false).collect::<Vec<_>>(), expected);
    let mut back: Vec<_> = tree.range(Slice::default(), end, true).collect();
    back.reverse();
    assert_eq!(back, expected);
}

proptest! {
    #[test]
    fn it_holds_what_a_map_holds(
        operations in vec((0..4u8, 0..700u16, any::<u32>()), 0..3000),
        start in 0..700u16, length in 0..700u16
    ) {
        let mut tree = Tree::<Pair>::default();
        let mut model = BTreeMap::new();
        let mut snapshot = (tree.clone(), model.clone());
        for (index, (what, number, value)) in operations.into_iter().enumerate() {
            let key = key(number);
            if what == 0 {
                prop_assert_eq!(tree.remove(&key).map(|pair| pair.1), model.remove(&key));
            } else {
                tree.insert(Pair(key.clone(), value));
                model.insert(key.clone(), value);
            }
            prop_assert_eq!(tree.get(&key).map(|pair| &pair.1), model.get(&key));
            if index % 100 == 0 {
                check(&snapshot.0, &snapshot.1);
                snapshot = (tree.clone(), model.clone());
            }
        }
        check(&tree, &model);
        let end = start.saturating_add(length);
        let expected: Vec<_> = model.range(key(start)..key(end))
            .map(|(key, value)| Pair(key.clone(), *value)).collect();
        let mut back = items(&tree, start, end, true);
        back.reverse();
        prop_assert_eq!(&items(&tree, start, end, false), &expected);
        prop_assert_eq!(&back, &expected);
        let floor = model.range(..=key(start)).next_back();
        prop_assert_eq!(tree.floor(&key(start)).map(|pair| pair.1), floor.map(|(_, v)| *v));
        let below = model.range(..key(start)).next_back();
        prop_assert_eq!(tree.below(&key(start)).map(|pair| pair.1), below.map(|(_, v)| *v));
    }
}

#[test]
fn items_that_arrive_in_order_fill_the_nodes() {
    let random = |number: u16| number.wrapping_mul(40_503);
    let orders: [(&dyn Fn(u16) -> u16, f64); 3] =
        [(&|number| number, 1.15), (&|number| u16::MAX - number, 1.15), (&random, 1.8)];
    for (order, overhead_max) in orders {
        let mut tree = Tree::default();
        for number in 0..20_000 {
            tree.insert(Pair(key(order(number)), 0));
        }
        let overhead = tree.heap() as f64 / (tree.len() * size_of::<Pair>()) as f64;
        assert!(overhead <= overhead_max, "{overhead} times the items' own size");
    }
}

#[test]
fn a_snapshot_shares_all_but_the_path_of_a_change() {
    let mut tree = Tree::default();
    for number in 0..10_000 {
        tree.insert(Pair(key(number), 0));
    }
    let snapshot = tree.clone();
    tree.insert(Pair(key(5), 1));
    let children = |tree: &Tree<Pair>| match tree.root.as_deref() {
        Some(Node::Inner { children, .. }) => children.clone(),
        _ => panic!("a tree of 10,000 items has inner nodes"),
    };
    let (old, new) = (children(&snapshot), children(&tree));
    let kept = old.iter().zip(&new).filter(|(old, new)| Arc::ptr_eq(old, new)).count();
    assert_eq!(kept, old.len() - 1);
    assert_eq!(snapshot.get(&key(5)).unwrap().1, 0);
}
