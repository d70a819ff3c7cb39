//! A planned modification.

use std::sync::Arc;

use cql_lite::ast;
use cql_lite::types::CqlType;

use crate::error::{Error, Result};
use crate::query::restriction::{ClusteringPart, KeyPart, markers_of};
use crate::query::term::{Receiver, Term, TermCompiler};
use crate::schema::Table;

use super::condition::Conditions;
use super::operation::{Action, Operation};

/// What is modified in the partitions that a statement names.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// The rows with these clustering values: every clustering column is fixed.
    Rows(Vec<ClusteringPart>),
    /// The rows in a range; only deletions.
    Range(Vec<ClusteringPart>),
    /// Whole partitions; only deletions.
    Partition,
    /// Only static columns.
    Static,
}

/// How a modification treats what is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ModifyKind {
    /// Creates the row: it lives even if all its columns are null.
    Insert,
    /// Changes columns.
    Update,
    /// Deletes columns, rows, ranges or partitions.
    Delete,
}

/// A planned INSERT, UPDATE or DELETE.
#[derive(Debug)]
pub(crate) struct ModifyPlan {
    /// The table.
    pub(crate) table: Arc<Table>,
    /// Which statement.
    pub(crate) kind: ModifyKind,
    /// USING TIMESTAMP.
    pub(crate) timestamp: Option<Term>,
    /// USING TTL.
    pub(crate) ttl: Option<Term>,
    /// The partition key's components.
    pub(crate) partition: Vec<KeyPart>,
    /// What in the partitions.
    pub(crate) target: Target,
    /// What happens to regular columns, by column id.
    pub(crate) regulars: Vec<Operation>,
    /// What happens to static columns, by column id.
    pub(crate) statics: Vec<Operation>,
    /// What must hold for it to happen.
    pub(crate) conditions: Conditions,
}

/// Compiles `USING TIMESTAMP … AND TTL …`, the markers in the order of the text.
pub(crate) fn attributes(
    compiler: &mut TermCompiler<'_>,
    attributes: &ast::Attributes,
) -> Result<(Option<Term>, Option<Term>)> {
    // Every attribute is compiled, also one that is written twice: its markers are markers.
    let (mut timestamp, mut ttl) = (None, None);
    for attribute in &attributes.list {
        match attribute {
            ast::Attribute::Timestamp(term) => {
                let receiver = Receiver::new("[timestamp]", CqlType::Bigint);
                timestamp = Some(compiler.compile(term, &receiver)?);
            }
            ast::Attribute::Ttl(term) => {
                ttl = Some(compiler.compile(term, &Receiver::new("[ttl]", CqlType::Int))?);
            }
        }
    }
    Ok((timestamp, ttl))
}

/// Counter tables take increments and nothing that has a time of its own.
pub(super) fn check_counter_attributes(table: &Table, attributes: &ast::Attributes) -> Result<()> {
    if !table.counter {
        return Ok(());
    }
    if attributes.timestamp().is_some() {
        return Err(Error::invalid("Cannot provide custom timestamp for counter updates"));
    }
    if attributes.ttl().is_some() {
        return Err(Error::invalid("Cannot provide custom TTL for counter updates"));
    }
    Ok(())
}

impl ModifyPlan {
    /// Whether rows must be read before they are written.
    pub(crate) fn reads(&self) -> bool {
        self.conditions.is_some() || self.operations().any(Action::reads)
    }

    /// Everything that happens to columns.
    pub(crate) fn operations(&self) -> impl Iterator<Item = &Action> {
        self.regulars.iter().chain(&self.statics).map(|operation| &operation.action)
    }

    /// Whether it has an IF.
    pub(crate) fn is_conditional(&self) -> bool {
        self.conditions.is_some()
    }

    /// Whether it is a DELETE.
    pub(crate) fn is_deletion(&self) -> bool {
        self.kind == ModifyKind::Delete
    }

    /// Whether a component of the partition key has an IN.
    pub(crate) fn has_key_in(&self) -> bool {
        self.partition.iter().any(|part| matches!(part, KeyPart::Many(_)))
    }

    /// Whether a clustering column has an IN.
    pub(crate) fn has_clustering_in(&self) -> bool {
        match &self.target {
            Target::Rows(parts) | Target::Range(parts) => {
                parts.iter().any(|part| !part.is_equal() && !part.is_slice())
            }
            Target::Partition | Target::Static => false,
        }
    }

    /// Whether only static columns, and conditions on them, are concerned.
    pub(crate) fn is_static(&self) -> bool {
        matches!(self.target, Target::Static)
    }

    /// The marker of each component of the partition key; empty if some have none.
    pub(crate) fn key_markers(&self) -> Vec<u16> {
        markers_of(&self.partition)
    }
}
