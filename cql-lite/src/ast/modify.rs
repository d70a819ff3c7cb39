//! INSERT, UPDATE, DELETE, BATCH.

use super::{BindMarker, Identifier, IfClause, Literal, QualifiedName, Relation, Term};

/// `USING TIMESTAMP … AND TTL …`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The attributes in the order written. Written twice, the later one counts.
    pub list: Vec<Attribute>,
}

/// One attribute: an integer literal or a bind marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// `TIMESTAMP term`
    Timestamp(Term),
    /// `TTL term`; never in DELETE.
    Ttl(Term),
}

impl Attributes {
    /// The timestamp that counts.
    pub fn timestamp(&self) -> Option<&Term> {
        self.list.iter().rev().find_map(|attribute| match attribute {
            Attribute::Timestamp(term) => Some(term),
            Attribute::Ttl(_) => None,
        })
    }

    /// The time to live that counts.
    pub fn ttl(&self) -> Option<&Term> {
        self.list.iter().rev().find_map(|attribute| match attribute {
            Attribute::Ttl(term) => Some(term),
            Attribute::Timestamp(_) => None,
        })
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// `INSERT INTO …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insert {
    /// The table.
    pub table: QualifiedName,
    /// Columns with values, or JSON.
    pub source: InsertSource,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// `USING …`
    pub attributes: Attributes,
}

/// What an INSERT writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InsertSource {
    /// `(a, b) VALUES (1, 2)`; that both lists are of one length is not checked here.
    Values {
        /// The columns; at least one.
        columns: Vec<Identifier>,
        /// The values; at least one.
        values: Vec<Term>,
    },
    /// `JSON '{…}'`
    Json {
        /// The text.
        value: JsonValue,
        /// What happens to columns that the text does not name.
        default: JsonDefault,
    },
}

/// What stands after JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonValue {
    /// A string literal.
    Literal(Literal),
    /// A bind marker.
    Marker(BindMarker),
}

/// What happens to columns that the JSON does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JsonDefault {
    /// `DEFAULT NULL`, and where nothing is written: they are set to null.
    #[default]
    Null,
    /// `DEFAULT UNSET`: they stay as they are.
    Unset,
}

/// `UPDATE … SET …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The table.
    pub table: QualifiedName,
    /// `USING …`
    pub attributes: Attributes,
    /// The assignments; at least one. The whole value of a column is set at most once, and then
    /// nothing else is done to it.
    pub assignments: Vec<Assignment>,
    /// The WHERE clause; at least one relation.
    pub relations: Vec<Relation>,
    /// `IF …`
    pub condition: Option<IfClause>,
}

/// One assignment of an UPDATE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The column.
    pub column: Identifier,
    /// What is done to it.
    pub operation: AssignmentOperation,
}

/// What an assignment does to its column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssignmentOperation {
    /// `c = term`
    Set(Term),
    /// `c = c + term`, `c += term`; and `c = c -3`, whose term is the literal `-3`.
    Add(Term),
    /// `c = c - term`, `c -= term`
    Subtract(Term),
    /// `c = term + c`
    Prepend(Term),
    /// `c[key] = value`: of a map by key, of a list by index.
    SetElement {
        /// The key or index.
        key: Term,
        /// The value.
        value: Term,
    },
    /// `c.field = value`
    SetField {
        /// The field.
        field: Identifier,
        /// The value.
        value: Term,
    },
}

/// `DELETE … FROM …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// What is deleted of each row; empty: the rows.
    pub targets: Vec<DeleteTarget>,
    /// The table.
    pub table: QualifiedName,
    /// `USING TIMESTAMP …`
    pub attributes: Attributes,
    /// The WHERE clause; at least one relation.
    pub relations: Vec<Relation>,
    /// `IF …`
    pub condition: Option<IfClause>,
}

/// One thing that a DELETE takes out of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeleteTarget {
    /// `column`
    Column(Identifier),
    /// `column[key]`
    Element {
        /// The column.
        column: Identifier,
        /// The key or index.
        key: Term,
    },
    /// `column.field`
    Field {
        /// The column.
        column: Identifier,
        /// The field.
        field: Identifier,
    },
}

/// `BEGIN BATCH … APPLY BATCH`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Which kind.
    pub kind: BatchKind,
    /// `USING …`
    pub attributes: Attributes,
    /// The statements; may be empty.
    pub statements: Vec<Modification>,
}

/// The kinds of batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchKind {
    /// `BEGIN BATCH`
    #[default]
    Logged,
    /// `BEGIN UNLOGGED BATCH`
    Unlogged,
    /// `BEGIN COUNTER BATCH`
    Counter,
}

/// A statement that a batch can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Modification {
    /// INSERT
    Insert(Insert),
    /// UPDATE
    Update(Update),
    /// DELETE
    Delete(Delete),
}
