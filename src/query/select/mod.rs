//! SELECT: from the statement to a plan, from the plan to rows.
//!
//! `prepare` checks the statement and plans it, `selector` compiles what is selected, `evaluate`
//! computes it for a row, `aggregate` over many rows. `execute` runs a plan, page by page, with
//! `sink` taking the rows that a read finds and `paging` remembering where a page ended.

mod aggregate;
mod columns;
mod evaluate;
mod execute;
mod paging;
mod prepare;
mod selector;
mod sink;
mod sort;

use std::sync::Arc;

use cql_lite::wire::ColumnSpec;

use super::restriction::{ColumnRef, Restrictions};
use super::row::RowShape;
use super::term::Term;
use crate::schema::Table;
use aggregate::Aggregates;
use selector::Selector;
use sort::SortColumn;

pub(crate) use execute::SelectExecution;
pub(crate) use prepare::prepare;

/// A planned SELECT.
#[derive(Debug)]
pub(crate) struct SelectPlan {
    /// The statement.
    text: Arc<str>,
    /// The table.
    pub(crate) table: Arc<Table>,
    /// What the result's columns are called, and their types.
    pub(crate) columns: Vec<ColumnSpec>,
    /// The columns that the read needs.
    shape: RowShape,
    /// What is computed of every row, or of every group of rows.
    outputs: Vec<Selector>,
    /// If all outputs are plain columns: which.
    plain: Option<Vec<ColumnRef>>,
    /// Present if there are aggregates or groups.
    aggregates: Option<Aggregates>,
    restrictions: Restrictions,
    distinct: bool,
    /// ALLOW FILTERING stands there, needed or not.
    pub(crate) allow_filtering: bool,
    /// `SELECT JSON`: the names of the outputs.
    json: Option<Vec<String>>,
    limit: Option<Term>,
    per_partition_limit: Option<Term>,
    /// Rows of a partition come in reverse.
    reversed: bool,
    /// Rows of several partitions are sorted by these.
    sort: Option<Vec<SortColumn>>,
}

impl SelectPlan {
    /// Whether there is a GROUP BY.
    pub(crate) fn has_groups(&self) -> bool {
        self.aggregates.as_ref().is_some_and(|aggregates| aggregates.group_by.is_some())
    }

    /// The marker of each component of the partition key; empty if some have none.
    pub(crate) fn key_markers(&self) -> Vec<u16> {
        super::restriction::key_markers(&self.restrictions.partition)
    }
}
