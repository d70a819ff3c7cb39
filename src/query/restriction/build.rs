//! From the relations of a WHERE clause to restrictions: what selects partitions, what selects
//! positions, what has to be tested row by row, and whether that is allowed. The order of the
//! checks is Cassandra's, so that a statement with two mistakes gets the same error.

use cql_lite::ast;

use crate::error::{Error, Result};
use crate::query::term::TermCompiler;
use crate::schema::{ColumnKind, Table};

use super::filter::{Filter, FilterTest};
use super::merge::{Merged, add_part, part_of_multi, part_of_single};
use super::relation::{Relation, Test, TupleTerm, compile};
use super::slices::{ClusteringPart, PartKind};
use super::{ColumnRef, KeyPart, PartitionRestriction, Restrictions};

/// Cassandra's sentence for a query that must read what it does not return.
pub(crate) const ALLOW_FILTERING: &str = "Cannot execute this query as it might involve data \
    filtering and thus may have unpredictable performance. If you want to execute this query \
    despite the performance unpredictability, use ALLOW FILTERING";

/// What a WHERE clause belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatementKind {
    /// SELECT
    Select,
    /// UPDATE
    Update,
    /// DELETE
    Delete,
}

impl StatementKind {
    /// Its name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            StatementKind::Select => "SELECT",
            StatementKind::Update => "UPDATE",
            StatementKind::Delete => "DELETE",
        }
    }
}

/// Collects the relations of one WHERE clause.
pub(crate) struct Builder<'t> {
    table: &'t Table,
    kind: StatementKind,
    allow_filtering: bool,
    partition: Vec<Merged>,
    token: Merged,
    clustering: Vec<ClusteringPart>,
    clustering_contains: Vec<Merged>,
    others: Vec<(ColumnRef, Merged)>,
}

impl<'t> Builder<'t> {
    /// Nothing is restricted yet.
    pub(crate) fn new(table: &'t Table, kind: StatementKind, allow_filtering: bool) -> Self {
        Builder {
            table,
            kind,
            allow_filtering,
            partition: vec![Merged::default(); table.partition_key.len()],
            token: Merged::default(),
            clustering: Vec::new(),
            clustering_contains: vec![Merged::default(); table.clustering.len()],
            others: Vec::new(),
        }
    }

    /// Adds a relation as written.
    pub(crate) fn add(
        &mut self,
        compiler: &mut TermCompiler<'_>,
        relation: &ast::Relation,
    ) -> Result<()> {
        for relation in compile(compiler, self.table, relation)? {
            match relation {
                Relation::Single { column, test } => self.add_single(column, test)?,
                Relation::Multi { first, count, test } => {
                    self.add_clustering(part_of_multi(first, count, test))?;
                }
                Relation::Token { test } => self.add_token(test)?,
            }
        }
        Ok(())
    }

    fn column_name(&self, column: ColumnRef) -> String {
        let table = self.table;
        let list = match column.kind {
            ColumnKind::PartitionKey => &table.partition_key,
            ColumnKind::Clustering => &table.clustering,
            ColumnKind::Static => &table.statics,
            ColumnKind::Regular => &table.regulars,
        };
        list.get(column.index).map_or_else(String::new, |column| column.name.clone())
    }

    fn add_single(&mut self, column: ColumnRef, test: Test) -> Result<()> {
        let name = self.column_name(column);
        match column.kind {
            ColumnKind::PartitionKey => {
                if !self.token.is_empty() {
                    return Err(token_and_plain(&name));
                }
                match self.partition.get_mut(column.index) {
                    Some(merged) => merged.add(&name, test),
                    None => Ok(()),
                }
            }
            ColumnKind::Clustering => match part_of_single(column.index, test.clone()) {
                Some(part) => self.add_clustering(part),
                None => match self.clustering_contains.get_mut(column.index) {
                    Some(merged) => merged.add(&name, test),
                    None => Ok(()),
                },
            },
            ColumnKind::Static | ColumnKind::Regular => {
                let known = self.others.iter().position(|(other, _)| *other == column);
                let at = known.unwrap_or_else(|| {
                    self.others.push((column, Merged::default()));
                    self.others.len() - 1
                });
                match self.others.get_mut(at) {
                    Some((_, merged)) => merged.add(&name, test),
                    None => Ok(()),
                }
            }
        }
    }

    fn add_token(&mut self, test: Test) -> Result<()> {
        let names: Vec<&str> = self.table.partition_key.iter().map(|c| c.name.as_str()).collect();
        let names = names.join(", ");
        if self.partition.iter().any(|merged| !merged.is_empty()) {
            return Err(token_and_plain(&names));
        }
        self.token.add(&format!("token({names})"), test)
    }

    fn add_clustering(&mut self, part: ClusteringPart) -> Result<()> {
        self.check_clustering_order(&part)?;
        let table = self.table;
        let name = |index: usize| {
            table.clustering.get(index).map_or_else(String::new, |column| column.name.clone())
        };
        add_part(&mut self.clustering, part, &name)
    }

    /// Without filtering, nothing may be restricted behind a column that has bounds.
    fn check_clustering_order(&self, new: &ClusteringPart) -> Result<()> {
        let Some(last) = self.clustering.last() else { return Ok(()) };
        if self.allow_filtering {
            return Ok(());
        }
        let name =
            |index: usize| self.column_name(ColumnRef { kind: ColumnKind::Clustering, index });
        if last.is_slice() && new.first > last.first {
            return Err(Error::invalid(format!(
                "Clustering column \"{}\" cannot be restricted (preceding column \"{}\" is \
                 restricted by a non-EQ relation)",
                name(new.first),
                name(last.first)
            )));
        }
        if new.first < last.first && new.is_slice() {
            return Err(Error::invalid(format!(
                "PRIMARY KEY column \"{}\" cannot be restricted (preceding column \"{}\" is \
                 restricted by a non-EQ relation)",
                name(new.first + 1),
                name(new.first)
            )));
        }
        Ok(())
    }

    /// The restrictions. `only_static`: the statement touches static columns and no others.
    /// `implicit`: the table may be filtered without saying so.
    pub(crate) fn finish(mut self, only_static: bool, implicit: bool) -> Result<Restrictions> {
        let restricts_clustering = !self.clustering.is_empty()
            || self.clustering_contains.iter().any(|merged| !merged.is_empty());
        let restricts_regular =
            self.others.iter().any(|(column, _)| column.kind == ColumnKind::Regular);
        let mut filters = Vec::new();
        let may_filter = self.allow_filtering || implicit;
        let partition = self.finish_partition(may_filter, &mut filters)?;
        let clustering = self.finish_clustering(only_static, may_filter, &mut filters)?;
        if !partition.names_partitions() && !clustering.is_empty() && !may_filter {
            return Err(Error::invalid(ALLOW_FILTERING));
        }
        self.finish_others(may_filter, &mut filters)?;
        Ok(Restrictions { partition, clustering, filters, restricts_clustering, restricts_regular })
    }

    fn finish_partition(
        &mut self,
        may_filter: bool,
        filters: &mut Vec<Filter>,
    ) -> Result<PartitionRestriction> {
        let modifies = self.kind != StatementKind::Select;
        if !self.token.is_empty() {
            if modifies {
                return Err(Error::invalid(format!(
                    "The token function cannot be used in WHERE clauses for {} statements",
                    self.kind.name()
                )));
            }
            return Ok(token_restriction(std::mem::take(&mut self.token)));
        }
        let missing: Vec<String> = self
            .partition
            .iter()
            .zip(&self.table.partition_key)
            .filter(|(merged, _)| merged.is_empty())
            .map(|(_, column)| column.name.clone())
            .collect();
        let has_slice = self.partition.iter().any(Merged::is_slice);
        if modifies && !missing.is_empty() {
            return Err(Error::invalid(format!(
                "Some partition key parts are missing: {}",
                missing.join(", ")
            )));
        }
        if modifies && has_slice {
            return Err(Error::invalid(format!(
                "Only EQ and IN relation are supported on the partition key (unless you use the \
                 token() function) for {} statements",
                self.kind.name()
            )));
        }
        if missing.len() == self.partition.len() {
            return Ok(PartitionRestriction::None);
        }
        let contains = self.partition.iter().any(Merged::has_contains);
        if missing.is_empty() && !has_slice && !contains {
            let parts = std::mem::take(&mut self.partition).into_iter().filter_map(key_part);
            return Ok(PartitionRestriction::Keys(parts.collect()));
        }
        if !may_filter {
            return Err(Error::invalid(ALLOW_FILTERING));
        }
        for (index, merged) in std::mem::take(&mut self.partition).into_iter().enumerate() {
            let column = ColumnRef { kind: ColumnKind::PartitionKey, index };
            push_filters(self.table, column, merged, filters);
        }
        Ok(PartitionRestriction::None)
    }

    fn finish_clustering(
        &mut self,
        only_static: bool,
        may_filter: bool,
        filters: &mut Vec<Filter>,
    ) -> Result<Vec<ClusteringPart>> {
        let mut parts = std::mem::take(&mut self.clustering);
        if self.kind == StatementKind::Update {
            if parts.iter().any(ClusteringPart::is_slice) {
                return Err(Error::invalid(
                    "Slice restrictions are not supported on the clustering columns in UPDATE \
                     statements",
                ));
            }
            let covered = |index: usize| parts.iter().any(|p| p.first <= index && index < p.end());
            let columns = self.table.clustering.iter().enumerate();
            let missing: Vec<&str> = columns
                .filter(|(index, _)| !covered(*index))
                .map(|(_, column)| column.name.as_str())
                .collect();
            if !only_static && !missing.is_empty() {
                return Err(Error::invalid(format!(
                    "Some clustering keys are missing: {}",
                    missing.join(", ")
                )));
            }
        }
        if self.clustering_contains.iter().any(|merged| !merged.is_empty()) {
            if !may_filter {
                return Err(Error::invalid(
                    "Clustering columns can only be restricted with CONTAINS with a secondary \
                     index or filtering",
                ));
            }
            for (index, merged) in self.clustering_contains.drain(..).enumerate() {
                let column = ColumnRef { kind: ColumnKind::Clustering, index };
                push_filters(self.table, column, merged, filters);
            }
        }
        let usable = usable_prefix(&parts);
        let rest = parts.split_off(usable);
        if let Some(first) = rest.first()
            && !may_filter
        {
            let before = parts.last().map_or(0, ClusteringPart::end);
            let name =
                |index: usize| self.column_name(ColumnRef { kind: ColumnKind::Clustering, index });
            return Err(Error::invalid(format!(
                "PRIMARY KEY column \"{}\" cannot be restricted as preceding column \"{}\" is not \
                 restricted",
                name(first.first),
                name(before)
            )));
        }
        for part in rest {
            push_part_filters(self.table, part, filters)?;
        }
        Ok(parts)
    }

    fn finish_others(&mut self, may_filter: bool, filters: &mut Vec<Filter>) -> Result<()> {
        if self.others.is_empty() {
            return Ok(());
        }
        if self.kind != StatementKind::Select {
            let names: Vec<String> =
                self.others.iter().map(|(column, _)| self.column_name(*column)).collect();
            // The space at the end is Cassandra's.
            return Err(Error::invalid(format!(
                "Non PRIMARY KEY columns found in where clause: {} ",
                names.join(", ")
            )));
        }
        if !may_filter {
            return Err(Error::invalid(ALLOW_FILTERING));
        }
        for (column, merged) in std::mem::take(&mut self.others) {
            push_filters(self.table, column, merged, filters);
        }
        Ok(())
    }
}

fn token_and_plain(names: &str) -> Error {
    Error::invalid(format!(
        "Columns \"{names}\" cannot be restricted by both a normal relation and a token relation"
    ))
}

fn token_restriction(token: Merged) -> PartitionRestriction {
    match token.equal {
        Some(term) => PartitionRestriction::Token {
            lower: Some((term.clone(), true)),
            upper: Some((term, true)),
        },
        None => PartitionRestriction::Token { lower: token.lower, upper: token.upper },
    }
}

fn key_part(merged: Merged) -> Option<KeyPart> {
    match (merged.equal, merged.values) {
        (Some(term), _) => Some(KeyPart::One(term)),
        (None, Some(values)) => Some(KeyPart::Many(values)),
        (None, None) => None,
    }
}

/// How many parts select positions: from the first column on, without a gap, up to bounds.
fn usable_prefix(parts: &[ClusteringPart]) -> usize {
    let mut next = 0;
    for (index, part) in parts.iter().enumerate() {
        if part.first != next {
            return index;
        }
        if part.is_slice() {
            return index + 1;
        }
        next = part.end();
    }
    parts.len()
}

fn push_filters(table: &Table, column: ColumnRef, merged: Merged, filters: &mut Vec<Filter>) {
    let mut push = |test: FilterTest| filters.push(Filter::new(table, column, test));
    if let Some(term) = merged.equal {
        push(FilterTest::Equal(term));
    }
    if let Some(values) = merged.values {
        push(FilterTest::In(values));
    }
    if let Some((term, inclusive)) = merged.lower {
        push(FilterTest::Above(term, inclusive));
    }
    if let Some((term, inclusive)) = merged.upper {
        push(FilterTest::Below(term, inclusive));
    }
    merged.contains.into_iter().for_each(|term| push(FilterTest::Contains(term)));
    merged.contains_keys.into_iter().for_each(|term| push(FilterTest::ContainsKey(term)));
    for (key, value) in merged.entries {
        push(FilterTest::Entry(key, value));
    }
}

/// A clustering restriction that selects no positions becomes a test of every row.
fn push_part_filters(table: &Table, part: ClusteringPart, filters: &mut Vec<Filter>) -> Result<()> {
    let column = |index: usize| ColumnRef { kind: ColumnKind::Clustering, index };
    let mut push = |index: usize, test: FilterTest| {
        filters.push(Filter::new(table, column(index), test));
    };
    let first = part.first;
    let one = |term: TupleTerm| match term {
        TupleTerm::Parts(mut parts) if parts.len() == 1 => parts.pop(),
        _ => None,
    };
    let no_slices =
        || Error::invalid("Multi-column slice restrictions cannot be used for filtering.");
    match part.kind {
        PartKind::Equal { term: TupleTerm::Parts(parts), .. } => {
            for (offset, term) in parts.into_iter().enumerate() {
                push(first + offset, FilterTest::Equal(term));
            }
        }
        PartKind::InSingle(values) => push(first, FilterTest::In(values)),
        PartKind::Slice { lower, upper } => {
            if let Some(bound) = lower {
                let term = one(bound.term).ok_or_else(no_slices)?;
                push(first, FilterTest::Above(term, bound.inclusive));
            }
            if let Some(bound) = upper {
                let term = one(bound.term).ok_or_else(no_slices)?;
                push(first, FilterTest::Below(term, bound.inclusive));
            }
        }
        PartKind::Equal { .. } | PartKind::InTuples { .. } | PartKind::InMarker { .. } => {
            return Err(Error::invalid(
                "Multi-column IN restrictions cannot be used for filtering",
            ));
        }
    }
    Ok(())
}
