//! SELECT and its expressions, and DESCRIBE.

use cql_lite::ast::{
    CellInfo, CellInfoKind, Describe, DescribeTarget, Direction, Negate, Ordering, PathStep,
    Position, Select, Selected, Selection, Selector, SelectorCall, SelectorCast, SelectorMap,
    SelectorPath, SelectorSequence, SelectorTypeHint, Term,
};

use super::Generator;
use super::term::{ADDITIVE, MULTIPLICATIVE};

const CELL_INFOS: [CellInfoKind; 3] =
    [CellInfoKind::WriteTime, CellInfoKind::MaxWriteTime, CellInfoKind::Ttl];

/// Whether a bracket after the expression would make a type of its end: `(a)[1]` is a type hint
/// before a list.
fn ends_parenthesized(selector: &Selector) -> bool {
    match selector {
        Selector::Parenthesized(_) => true,
        Selector::TypeHint(hint) => ends_parenthesized(&hint.selector),
        _ => false,
    }
}

impl Generator<'_> {
    pub(super) fn select(&mut self) -> Select {
        Select {
            json: self.flag(),
            distinct: self.flag(),
            selection: self.selection(),
            table: self.qualified(),
            relations: self.several(0, Self::relation),
            group_by: self.several(0, Self::selector),
            order_by: self.several(0, |generator| Ordering {
                column: generator.name(),
                ann_of: generator.option(Self::term),
                direction: generator.one_of(&[Direction::Ascending, Direction::Descending]),
            }),
            per_partition_limit: self.option(Self::integer_or_marker),
            limit: self.option(Self::integer_or_marker),
            allow_filtering: self.flag(),
        }
    }

    pub(super) fn selection(&mut self) -> Selection {
        if !self.flag() {
            return Selection::All;
        }
        Selection::List(self.several(1, |generator| Selected {
            selector: generator.selector(),
            alias: generator.option(Self::name),
        }))
    }

    fn selector(&mut self) -> Selector {
        self.chain(&ADDITIVE, Selector::Arithmetic, |generator| {
            generator.chain(&MULTIPLICATIVE, Selector::Arithmetic, Self::signed_selector)
        })
    }

    fn signed_selector(&mut self) -> Selector {
        if self.below(8) == 7 {
            let operand = self.signed_selector();
            return Selector::Negate(Box::new(Negate { operand, position: Position::START }));
        }
        let base = self.simple_selector();
        if ends_parenthesized(&base) || self.below(4) < 3 {
            return base;
        }
        let steps = self.several(1, Self::path_step);
        Selector::Path(SelectorPath { base: Box::new(base), steps })
    }

    fn path_step(&mut self) -> PathStep {
        match self.below(5) {
            0 => PathStep::Field(self.name()),
            1 => PathStep::Element(self.term()),
            2 => PathStep::Slice(Some(self.term()), None),
            3 => PathStep::Slice(None, Some(self.term())),
            _ => PathStep::Slice(Some(self.term()), Some(self.term())),
        }
    }

    fn selectors(&mut self, least: usize) -> SelectorSequence {
        SelectorSequence {
            elements: self.several(least, Self::selector),
            position: Position::START,
        }
    }

    fn simple_selector(&mut self) -> Selector {
        let position = Position::START;
        match self.below(13) {
            0..=2 => Selector::Column(self.name()),
            3 => Selector::Term(match self.below(3) {
                0 => Term::Literal(self.literal()),
                1 => Term::Null(position),
                _ => Term::Marker(self.marker()),
            }),
            4 => Selector::CountRows(position),
            5 => Selector::CellInfo(Box::new(CellInfo {
                kind: self.one_of(&CELL_INFOS),
                column: self.name(),
                path: self.several(0, Self::path_step),
                position,
            })),
            6 => {
                let selector = self.selector();
                let target = self.native();
                Selector::Cast(Box::new(SelectorCast { selector, target, position }))
            }
            7 => {
                let name = self.function_name();
                let arguments = self.several(0, Self::selector);
                Selector::Function(Box::new(SelectorCall { name, arguments }))
            }
            8 => {
                let type_name = self.type_name();
                let selector = self.simple_selector();
                Selector::TypeHint(Box::new(SelectorTypeHint { type_name, selector, position }))
            }
            9 => Selector::Parenthesized(self.selectors(1)),
            10 => Selector::List(self.selectors(0)),
            11 => Selector::Set(self.selectors(0)),
            _ => {
                // `{(a): b}` is a set, of a type hint before a named marker.
                let entries = self.several(1, |generator| {
                    (Selector::Column(generator.name()), generator.selector())
                });
                Selector::MapOrUdt(SelectorMap { entries, position })
            }
        }
    }

    pub(super) fn describe(&mut self) -> Describe {
        let target = match self.below(15) {
            0 => DescribeTarget::Cluster,
            1 => DescribeTarget::Schema { full: self.flag() },
            2 => DescribeTarget::Keyspaces,
            3 => DescribeTarget::Keyspace { only: self.flag(), name: self.option(Self::name) },
            4 => DescribeTarget::Tables,
            5 => DescribeTarget::Table(self.qualified()),
            6 => DescribeTarget::Index(self.qualified()),
            7 => DescribeTarget::View(self.qualified()),
            8 => DescribeTarget::Types,
            9 => DescribeTarget::Type(self.type_reference()),
            10 => DescribeTarget::Functions,
            11 => DescribeTarget::Function(self.function_name()),
            12 => DescribeTarget::Aggregates,
            13 => DescribeTarget::Aggregate(self.function_name()),
            _ => DescribeTarget::Any(self.qualified()),
        };
        Describe { target, with_internals: self.flag() }
    }
}
