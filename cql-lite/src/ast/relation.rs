//! What stands after WHERE and after IF: relations and conditions.

use super::{BindMarker, Identifier, Position, QualifiedName, Term};

/// One part of a WHERE clause; the parts are joined by AND.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Something compared with values.
    Predicate {
        /// What is compared.
        target: RelationTarget,
        /// How, and with what.
        predicate: Predicate,
    },
    /// `expr(index, value)`: left to a custom index.
    CustomIndex {
        /// The index.
        index: QualifiedName,
        /// What it is asked.
        value: Term,
        /// Where `expr` stands.
        position: Position,
    },
}

impl Relation {
    /// Where the relation begins.
    pub fn position(&self) -> Position {
        match self {
            Relation::Predicate { target, .. } => target.position(),
            Relation::CustomIndex { position, .. } => *position,
        }
    }
}

/// The left side of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelationTarget {
    /// `column`
    Column(Identifier),
    /// `column[key]`; only with [`Predicate::Compare`].
    Element {
        /// The map.
        column: Identifier,
        /// The key.
        key: Term,
    },
    /// `(a, b, …)`: only with [`Predicate::Compare`], [`Predicate::In`] and
    /// [`Predicate::Between`], whose terms are then tuples or bind markers.
    Tuple {
        /// The columns; at least one.
        columns: Vec<Identifier>,
        /// Where the opening parenthesis stands.
        position: Position,
    },
    /// `token(a, b, …)`: only with [`Predicate::Compare`] and [`Predicate::Between`].
    Token {
        /// The columns; at least one.
        columns: Vec<Identifier>,
        /// Where `token` stands.
        position: Position,
    },
}

impl RelationTarget {
    /// Where it begins.
    pub fn position(&self) -> Position {
        match self {
            RelationTarget::Column(column) | RelationTarget::Element { column, .. } => {
                column.position
            }
            RelationTarget::Tuple { position, .. } | RelationTarget::Token { position, .. } => {
                *position
            }
        }
    }
}

/// The operator and the right side of a relation or condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// `= term`, `< term`, …
    Compare {
        /// The operator.
        operator: CompareOperator,
        /// The right side.
        value: Term,
    },
    /// `BETWEEN low AND high`, both included.
    Between {
        /// The lower bound.
        low: Term,
        /// The upper bound.
        high: Term,
    },
    /// `IN (a, b, …)` or `IN ?`
    In(InValues),
    /// `CONTAINS term`
    Contains(Term),
    /// `CONTAINS KEY term`
    ContainsKey(Term),
    /// `LIKE term`
    Like(Term),
    /// `IS NOT NULL`
    IsNotNull,
}

/// What stands after IN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InValues {
    /// `(a, b, …)`; may be empty.
    List(Vec<Term>),
    /// One marker for the whole list.
    Marker(BindMarker),
}

/// The comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CompareOperator {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `!=`
    NotEqual,
}

impl CompareOperator {
    /// How it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            CompareOperator::Equal => "=",
            CompareOperator::Less => "<",
            CompareOperator::LessOrEqual => "<=",
            CompareOperator::Greater => ">",
            CompareOperator::GreaterOrEqual => ">=",
            CompareOperator::NotEqual => "!=",
        }
    }
}

/// One condition after IF; conditions are joined by AND.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The column.
    pub column: Identifier,
    /// The part of the column that is meant, if not the whole.
    pub part: ConditionPart,
    /// Never LIKE, BETWEEN or IS NOT NULL; CONTAINS only with the whole column.
    pub predicate: Predicate,
}

/// Which part of a column a condition is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConditionPart {
    /// The column itself.
    Whole,
    /// `column[key]`
    Element(Term),
    /// `column.field`
    Field(Identifier),
}

/// What stands after IF in an UPDATE or DELETE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfClause {
    /// `IF EXISTS`
    Exists,
    /// `IF a = 1 AND …`; at least one condition.
    Conditions(Vec<Condition>),
}
