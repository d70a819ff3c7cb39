//! SELECT and what it selects.

use super::{
    Arithmetic, Identifier, NativeType, Negate, Position, QualifiedName, Relation, Term, TypeName,
};

/// `SELECT … FROM …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// `SELECT JSON`
    pub json: bool,
    /// `SELECT DISTINCT`
    pub distinct: bool,
    /// What is selected.
    pub selection: Selection,
    /// The table or view.
    pub table: QualifiedName,
    /// The WHERE clause; empty if there is none.
    pub relations: Vec<Relation>,
    /// GROUP BY; empty if there is none.
    pub group_by: Vec<Selector>,
    /// ORDER BY; empty if there is none.
    pub order_by: Vec<Ordering>,
    /// `PER PARTITION LIMIT`: an integer literal or a bind marker.
    pub per_partition_limit: Option<Term>,
    /// `LIMIT`: an integer literal or a bind marker.
    pub limit: Option<Term>,
    /// `ALLOW FILTERING`
    pub allow_filtering: bool,
}

/// What stands between SELECT and FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// `*`
    All,
    /// A list; at least one.
    List(Vec<Selected>),
}

/// One selected expression with its alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The expression.
    pub selector: Selector,
    /// `AS alias`
    pub alias: Option<Identifier>,
}

/// An expression over columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// A column.
    Column(Identifier),
    /// A literal, `null` or a bind marker; no other term.
    Term(Term),
    /// `count(*)`
    CountRows(Position),
    /// `writetime(c)`, `maxwritetime(c)`, `ttl(c)`
    CellInfo(Box<CellInfo>),
    /// `CAST(x AS type)`
    Cast(Box<SelectorCast>),
    /// `f(x, …)`
    Function(Box<SelectorCall>),
    /// `(type)x`
    TypeHint(Box<SelectorTypeHint>),
    /// `(x, …)`: a tuple, or with a single element perhaps only grouping.
    Parenthesized(SelectorSequence),
    /// `[x, …]`: a list or a vector.
    List(SelectorSequence),
    /// `{x, …}`; `{}` too.
    Set(SelectorSequence),
    /// `{x: y, …}`: a map, or a user-defined type if all keys are columns' names.
    MapOrUdt(SelectorMap),
    /// `x.field`, `x[key]`, `x[from..to]`, in a row.
    Path(SelectorPath),
    /// `x + y …` or `x * y …`
    Arithmetic(Arithmetic<Selector>),
    /// `-x`
    Negate(Box<Negate<Selector>>),
}

impl Selector {
    /// Where the expression begins.
    pub fn position(&self) -> Position {
        match self {
            Selector::Column(column) => column.position,
            Selector::Term(term) => term.position(),
            Selector::CountRows(position) => *position,
            Selector::CellInfo(info) => info.position,
            Selector::Cast(cast) => cast.position,
            Selector::Function(call) => call.name.position(),
            Selector::TypeHint(hint) => hint.position,
            Selector::Parenthesized(sequence)
            | Selector::List(sequence)
            | Selector::Set(sequence) => sequence.position,
            Selector::MapOrUdt(map) => map.position,
            Selector::Path(path) => path.base.position(),
            Selector::Arithmetic(arithmetic) => arithmetic.first.position(),
            Selector::Negate(negate) => negate.position,
        }
    }
}

/// `writetime(c)` and its like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellInfo {
    /// Which of them.
    pub kind: CellInfoKind,
    /// The column.
    pub column: Identifier,
    /// The part of the column, if not the whole.
    pub path: Vec<PathStep>,
    /// Where the function's name stands.
    pub position: Position,
}

/// What a [`CellInfo`] tells of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CellInfoKind {
    /// `writetime`
    WriteTime,
    /// `maxwritetime`
    MaxWriteTime,
    /// `ttl`
    Ttl,
}

impl CellInfoKind {
    /// Its name in CQL.
    pub fn name(self) -> &'static str {
        match self {
            CellInfoKind::WriteTime => "writetime",
            CellInfoKind::MaxWriteTime => "maxwritetime",
            CellInfoKind::Ttl => "ttl",
        }
    }
}

/// `CAST(x AS type)`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorCast {
    /// What is converted.
    pub selector: Selector,
    /// Into what.
    pub target: NativeType,
    /// Where `CAST` stands.
    pub position: Position,
}

/// `f(x, …)`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorCall {
    /// The function.
    pub name: QualifiedName,
    /// Its arguments.
    pub arguments: Vec<Selector>,
}

/// `(type)x`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorTypeHint {
    /// The type.
    pub type_name: TypeName,
    /// What has the type.
    pub selector: Selector,
    /// Where the opening parenthesis stands.
    pub position: Position,
}

/// Expressions in brackets, braces or parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorSequence {
    /// The elements in the order written.
    pub elements: Vec<Selector>,
    /// Where the opening bracket stands.
    pub position: Position,
}

/// `{x: y, …}`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorMap {
    /// The entries in the order written.
    pub entries: Vec<(Selector, Selector)>,
    /// Where the opening brace stands.
    pub position: Position,
}

/// A part of a value, a part of that part, and so on; flat, however long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorPath {
    /// The whole; never itself a path.
    pub base: Box<Selector>,
    /// The steps into it, from the left; at least one.
    pub steps: Vec<PathStep>,
}

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathStep {
    /// `.field`
    Field(Identifier),
    /// `[key]`
    Element(Term),
    /// `[from..to]`, `[from..]` or `[..to]`; at least one bound is there, both are included.
    Slice(Option<Term>, Option<Term>),
}

/// One part of ORDER BY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordering {
    /// The column.
    pub column: Identifier,
    /// `ANN OF term`: by similarity to a vector.
    pub ann_of: Option<Term>,
    /// The direction.
    pub direction: Direction,
}

/// A direction of order; ascending where none is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// `ASC`
    #[default]
    Ascending,
    /// `DESC`
    Descending,
}
