//! Where columns are met in what is selected, and where timestamps and TTLs are asked for.

use crate::query::restriction::ColumnRef;

use super::selector::Selector;

/// The columns that selectors need.
#[derive(Debug, Default)]
pub(super) struct NeededColumns {
    /// All of them, each once.
    pub(super) columns: Vec<ColumnRef>,
    /// Those whose timestamps or TTLs are asked for.
    pub(super) info: Vec<ColumnRef>,
}

impl NeededColumns {
    /// Adds a column.
    pub(super) fn add(&mut self, column: ColumnRef) {
        if !self.columns.contains(&column) {
            self.columns.push(column);
        }
    }

    /// Adds what a selector needs.
    pub(super) fn add_selector(&mut self, selector: &Selector) {
        match selector {
            Selector::Column { column, .. } => self.add(*column),
            Selector::Info { column, .. } => {
                self.add(*column);
                if !self.info.contains(column) {
                    self.info.push(*column);
                }
            }
            Selector::Term { .. } => {}
            Selector::Call(call) => call.arguments.iter().for_each(|a| self.add_selector(a)),
            Selector::Composite { parts, .. } => {
                parts.iter().for_each(|part| self.add_selector(part));
            }
            Selector::Field { base, .. }
            | Selector::Element { base, .. }
            | Selector::Slice { base, .. } => self.add_selector(base),
            Selector::Aggregate { argument, .. } => {
                if let Some(argument) = argument {
                    self.add_selector(argument);
                }
            }
        }
    }
}
