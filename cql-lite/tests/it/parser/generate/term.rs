//! Terms and relations.

use cql_lite::ast::{
    Arithmetic, ArithmeticOperator, ArithmeticStep, Cast, CompareOperator, FunctionCall, InValues,
    Literal, LiteralKind, MapLiteral, Negate, Position, Predicate, Relation, RelationTarget,
    Sequence, Term, TypeHint, UdtLiteral,
};

use super::Generator;

pub(super) const ADDITIVE: [ArithmeticOperator; 2] =
    [ArithmeticOperator::Add, ArithmeticOperator::Subtract];
pub(super) const MULTIPLICATIVE: [ArithmeticOperator; 3] =
    [ArithmeticOperator::Multiply, ArithmeticOperator::Divide, ArithmeticOperator::Modulo];
const CONSTANTS: [(LiteralKind, &str); 19] = [
    (LiteralKind::Integer, "1"),
    (LiteralKind::Integer, "-1"),
    (LiteralKind::Integer, "340282366920938463463374607431768211456"),
    (LiteralKind::Float, "1."),
    (LiteralKind::Float, "-1.5e-10"),
    (LiteralKind::Float, "2E+5"),
    (LiteralKind::Float, "NaN"),
    (LiteralKind::Float, "Infinity"),
    (LiteralKind::Float, "-Infinity"),
    (LiteralKind::Boolean, "true"),
    (LiteralKind::Boolean, "FALSE"),
    (LiteralKind::Uuid, "123e4567-e89b-12d3-a456-426614174000"),
    (LiteralKind::Uuid, "abcdefab-E89B-12d3-a456-426614174000"),
    (LiteralKind::Hex, "0x"),
    (LiteralKind::Hex, "0XcafeBABE"),
    (LiteralKind::Duration, "-1h30m"),
    (LiteralKind::Duration, "P1Y2M3DT4H5M6S"),
    (LiteralKind::Duration, "-P2W"),
    (LiteralKind::Duration, "2us3µs"),
];
const COMPARISONS: [CompareOperator; 6] = [
    CompareOperator::Equal,
    CompareOperator::Less,
    CompareOperator::LessOrEqual,
    CompareOperator::Greater,
    CompareOperator::GreaterOrEqual,
    CompareOperator::NotEqual,
];

impl Generator<'_> {
    /// A chain of operators, or its only operand.
    pub(super) fn chain<T>(
        &mut self,
        operators: &[ArithmeticOperator],
        wrap: fn(Arithmetic<T>) -> T,
        operand: fn(&mut Self) -> T,
    ) -> T {
        let first = operand(self);
        if self.below(4) < 3 {
            return first;
        }
        let rest = self.several(1, |generator| ArithmeticStep {
            operator: generator.one_of(operators),
            operand: operand(generator),
            position: Position::START,
        });
        wrap(Arithmetic { first: Box::new(first), rest })
    }

    pub(super) fn term(&mut self) -> Term {
        self.chain(&ADDITIVE, Term::Arithmetic, Self::product)
    }

    fn product(&mut self) -> Term {
        self.chain(&MULTIPLICATIVE, Term::Arithmetic, Self::signed_term)
    }

    fn signed_term(&mut self) -> Term {
        let negative = self.below(8) == 7;
        let operand = self.simple_term();
        if !negative {
            return operand;
        }
        Term::Negate(Box::new(Negate { operand, position: Position::START }))
    }

    pub(super) fn string_literal(&mut self) -> Literal {
        Literal { kind: LiteralKind::String, text: self.text(), position: Position::START }
    }

    pub(super) fn literal(&mut self) -> Literal {
        if self.flag() {
            return self.string_literal();
        }
        let (kind, text) = self.one_of(&CONSTANTS);
        Literal { kind, text: text.to_owned(), position: Position::START }
    }

    /// `…` between brackets.
    fn sequence(&mut self, least: usize) -> Sequence {
        Sequence { elements: self.several(least, Self::term), position: Position::START }
    }

    fn simple_term(&mut self) -> Term {
        let position = Position::START;
        match self.below(12) {
            0..=2 => Term::Literal(self.literal()),
            3 => Term::Null(position),
            4 => Term::Marker(self.marker()),
            5 => Term::List(self.sequence(0)),
            6 => Term::Set(self.sequence(0)),
            7 => Term::Tuple(self.sequence(1)),
            8 => {
                let entries = self.several(1, |generator| (generator.term(), generator.term()));
                Term::Map(MapLiteral { entries, position })
            }
            9 => {
                let fields = self.several(1, |generator| (generator.name(), generator.term()));
                Term::Udt(UdtLiteral { fields, position })
            }
            10 => {
                let name = self.function_name();
                let arguments = self.several(0, Self::term);
                Term::Function(Box::new(FunctionCall { name, arguments }))
            }
            _ if self.flag() => {
                let type_name = self.type_name();
                let term = self.simple_term();
                Term::TypeHint(Box::new(TypeHint { type_name, term, position }))
            }
            _ => {
                let term = self.simple_term();
                Term::Cast(Box::new(Cast { term, target: self.native(), position }))
            }
        }
    }

    /// A limit or a timestamp.
    pub(super) fn integer_or_marker(&mut self) -> Term {
        if self.flag() {
            return Term::Marker(self.marker());
        }
        let text = self.below(1000).to_string();
        Term::Literal(Literal { kind: LiteralKind::Integer, text, position: Position::START })
    }

    pub(super) fn compare(&mut self, value: fn(&mut Self) -> Term) -> Predicate {
        Predicate::Compare { operator: self.one_of(&COMPARISONS), value: value(self) }
    }

    pub(super) fn in_values(&mut self, value: fn(&mut Self) -> Term) -> Predicate {
        Predicate::In(if self.flag() {
            InValues::Marker(self.marker())
        } else {
            InValues::List(self.several(0, value))
        })
    }

    fn between(&mut self, value: fn(&mut Self) -> Term) -> Predicate {
        Predicate::Between { low: value(self), high: value(self) }
    }

    fn tuple(&mut self) -> Term {
        Term::Tuple(self.sequence(1))
    }

    fn tuple_or_marker(&mut self) -> Term {
        if self.flag() { Term::Marker(self.marker()) } else { self.tuple() }
    }

    fn marker_term(&mut self) -> Term {
        Term::Marker(self.marker())
    }

    pub(super) fn relation(&mut self) -> Relation {
        let position = Position::START;
        let (target, predicate) = match self.below(5) {
            0 | 1 => {
                let column = RelationTarget::Column(self.name());
                let predicate = match self.below(7) {
                    0 => self.compare(Self::term),
                    1 => self.between(Self::term),
                    2 => self.in_values(Self::term),
                    3 => Predicate::Contains(self.term()),
                    4 => Predicate::ContainsKey(self.term()),
                    5 => Predicate::Like(self.term()),
                    _ => Predicate::IsNotNull,
                };
                (column, predicate)
            }
            2 => {
                let target = RelationTarget::Element { column: self.name(), key: self.term() };
                (target, self.compare(Self::term))
            }
            3 => {
                let columns = self.several(1, Self::name);
                let predicate = match self.below(4) {
                    0 => self.compare(Self::tuple_or_marker),
                    1 => self.in_values(Self::tuple),
                    2 => self.in_values(Self::marker_term),
                    _ => self.between(Self::tuple_or_marker),
                };
                (RelationTarget::Tuple { columns, position }, predicate)
            }
            _ if self.flag() => {
                let columns = self.several(1, Self::name);
                let compare = self.flag();
                let predicate =
                    if compare { self.compare(Self::term) } else { self.between(Self::term) };
                (RelationTarget::Token { columns, position }, predicate)
            }
            _ => {
                let index = self.qualified();
                return Relation::CustomIndex { index, value: self.term(), position };
            }
        };
        Relation::Predicate { target, predicate }
    }
}
