//! Terms: what stands for a value outside of a selection, where no column can be named.

use super::{Identifier, NativeType, Position, QualifiedName, TypeName};

/// Something that stands for a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// A constant.
    Literal(Literal),
    /// `null`
    Null(Position),
    /// `?` or `:name`
    Marker(BindMarker),
    /// `[a, b, …]`: a list or a vector.
    List(Sequence),
    /// `{a, b, …}`; `{}` too, which is also the empty map.
    Set(Sequence),
    /// `(a, b, …)`; at least one element. With one element it is a tuple all the same.
    Tuple(Sequence),
    /// `{k: v, …}` with terms as keys; at least one entry.
    Map(MapLiteral),
    /// `{field: v, …}`; at least one field.
    Udt(UdtLiteral),
    /// `f(a, b, …)`
    Function(Box<FunctionCall>),
    /// `(type)term`
    TypeHint(Box<TypeHint>),
    /// `CAST(term AS type)`
    Cast(Box<Cast>),
    /// `a + b - c …` or `a * b / c …`
    Arithmetic(Arithmetic<Term>),
    /// `-term`
    Negate(Box<Negate<Term>>),
}

impl Term {
    /// Where the term begins.
    pub fn position(&self) -> Position {
        match self {
            Term::Literal(literal) => literal.position,
            Term::Null(position) => *position,
            Term::Marker(marker) => marker.position,
            Term::List(sequence) | Term::Set(sequence) | Term::Tuple(sequence) => sequence.position,
            Term::Map(map) => map.position,
            Term::Udt(udt) => udt.position,
            Term::Function(call) => call.name.position(),
            Term::TypeHint(hint) => hint.position,
            Term::Cast(cast) => cast.position,
            Term::Arithmetic(arithmetic) => arithmetic.first.position(),
            Term::Negate(negate) => negate.position,
        }
    }
}

/// A constant, as text: what it means depends on the type that is asked for (`'2024-01-01'` is a
/// text or a date, `1` a tinyint or a varint of any size).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    /// What it looks like.
    pub kind: LiteralKind,
    /// Its text: without quotes and unescaped for a string; otherwise as written, except that
    /// not-a-number and infinity are always `NaN`, `Infinity` or `-Infinity`.
    pub text: String,
    /// Where it was written.
    pub position: Position,
}

/// The lexical kinds of constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LiteralKind {
    /// `'text'` or `$$text$$`
    String,
    /// `-12`; any number of digits.
    Integer,
    /// `1.5`, `1e9`, `NaN`, `-Infinity`
    Float,
    /// `true` or `false`, in any case.
    Boolean,
    /// `123e4567-e89b-12d3-a456-426614174000`
    Uuid,
    /// `0xCAFE`
    Hex,
    /// `1h30m`, `P1Y2M`, `-P2W`, `P0001-02-03T04:05:06`
    Duration,
}

impl LiteralKind {
    /// The kind's name in Cassandra's messages (`Invalid STRING constant (…) for …`).
    pub fn name(self) -> &'static str {
        match self {
            LiteralKind::String => "STRING",
            LiteralKind::Integer => "INTEGER",
            LiteralKind::Float => "FLOAT",
            LiteralKind::Boolean => "BOOLEAN",
            LiteralKind::Uuid => "UUID",
            LiteralKind::Hex => "HEX",
            LiteralKind::Duration => "DURATION",
        }
    }
}

/// A place for a value that the client sends beside the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindMarker {
    /// Which of the statement's markers it is, in the order of the text, from 0. A name that
    /// occurs twice is two markers.
    pub index: usize,
    /// Its name, if it was `:name`.
    pub name: Option<Identifier>,
    /// Where it was written.
    pub position: Position,
}

/// Terms in brackets, braces or parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The elements in the order written.
    pub elements: Vec<Term>,
    /// Where the opening bracket stands.
    pub position: Position,
}

/// `{k: v, …}` with terms as keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapLiteral {
    /// The entries in the order written.
    pub entries: Vec<(Term, Term)>,
    /// Where the opening brace stands.
    pub position: Position,
}

/// `{field: v, …}`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdtLiteral {
    /// The fields in the order written.
    pub fields: Vec<(Identifier, Term)>,
    /// Where the opening brace stands.
    pub position: Position,
}

/// A call of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionCall {
    /// The function.
    pub name: QualifiedName,
    /// Its arguments.
    pub arguments: Vec<Term>,
}

/// `(type)term`: says which type is meant, converts nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeHint {
    /// The type.
    pub type_name: TypeName,
    /// The term.
    pub term: Term,
    /// Where the opening parenthesis stands.
    pub position: Position,
}

/// `CAST(term AS type)`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast {
    /// What is converted.
    pub term: Term,
    /// Into what.
    pub target: NativeType,
    /// Where `CAST` stands.
    pub position: Position,
}

/// A chain of operators of one precedence, evaluated from left to right. It is flat, so that a
/// chain of a million operators is not a tree a million levels deep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arithmetic<T> {
    /// The first operand.
    pub first: Box<T>,
    /// The operators with their right operands; at least one, and either all of them additive
    /// (`+`, `-`) or all multiplicative (`*`, `/`, `%`).
    pub rest: Vec<ArithmeticStep<T>>,
}

/// One operator of a chain with its right operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArithmeticStep<T> {
    /// The operator.
    pub operator: ArithmeticOperator,
    /// The operand to its right.
    pub operand: T,
    /// Where the operator stands.
    pub position: Position,
}

/// The arithmetic operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArithmeticOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
}

impl ArithmeticOperator {
    /// How it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            ArithmeticOperator::Add => "+",
            ArithmeticOperator::Subtract => "-",
            ArithmeticOperator::Multiply => "*",
            ArithmeticOperator::Divide => "/",
            ArithmeticOperator::Modulo => "%",
        }
    }

    /// Whether it binds as `+` does, more loosely than `*`.
    pub fn is_additive(self) -> bool {
        matches!(self, ArithmeticOperator::Add | ArithmeticOperator::Subtract)
    }
}

/// `-operand`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negate<T> {
    /// What is negated.
    pub operand: T,
    /// Where the minus stands.
    pub position: Position,
}
