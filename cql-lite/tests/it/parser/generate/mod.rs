//! Makes syntax trees out of a list of numbers, which proptest chooses and shrinks.
//!
//! Every tree is one that the parser can build, with bind markers numbered in the order of the
//! text. When the numbers run out, every choice is the first, which is the simplest: so every
//! tree is finite, and shorter lists make smaller trees.

mod auth;
mod modify;
mod schema;
mod select;
mod table;
mod term;

use cql_lite::ast::{
    BindMarker, Identifier, NativeType, Position, QualifiedName, Quoting, RoleName, Statement,
    TypeKind, TypeName,
};

/// A source of choices.
pub(super) struct Generator<'a> {
    choices: std::slice::Iter<'a, u32>,
    markers: usize,
}

/// Names that need no quotes, most of them keywords.
const NAMES: [&str; 16] = [
    "a",
    "b2",
    "c_d",
    "key",
    "type",
    "values",
    "list",
    "map",
    "ttl",
    "count",
    "user",
    "language",
    "timestamp",
    "int",
    "writetime",
    "exists",
];
/// Names of functions that need no quotes.
const FUNCTION_NAMES: [&str; 7] = ["f", "g_2", "token", "count", "list", "uuid", "values"];
/// Names of types that need no quotes.
const TYPE_NAMES: [&str; 5] = ["address", "u_2", "key", "user", "list"];
/// Pieces of names and strings that need quotes.
const PIECES: [&str; 12] = ["x", "X", "'", "\"", "$", "$$", " ", "\n", "日", "🙂", ";", "--"];

impl<'a> Generator<'a> {
    pub(super) fn new(choices: &'a [u32]) -> Self {
        Generator { choices: choices.iter(), markers: 0 }
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.choices.next().map_or(0, |choice| *choice as usize % bound)
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        let index = self.below(values.len());
        *values.get(index).unwrap()
    }

    fn option<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.flag() { Some(make(self)) } else { None }
    }

    /// At least `least`, at most two more.
    fn several<T>(&mut self, least: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = least + self.below(3);
        (0..count).map(|_| make(self)).collect()
    }

    /// A text that needs care between quotes; perhaps empty.
    fn text(&mut self) -> String {
        self.several(0, |generator| generator.one_of(&PIECES)).concat()
    }

    fn name_from(&mut self, plain: &[&str]) -> Identifier {
        if self.below(4) == 3 {
            let name = format!("{}{}", self.one_of(&PIECES), self.text());
            return Identifier { name, quoted: true, position: Position::START };
        }
        let name = self.one_of(plain).to_owned();
        Identifier { name, quoted: false, position: Position::START }
    }

    fn name(&mut self) -> Identifier {
        self.name_from(&NAMES)
    }

    fn qualified(&mut self) -> QualifiedName {
        QualifiedName { keyspace: self.option(Self::name), name: self.name() }
    }

    fn function_name(&mut self) -> QualifiedName {
        let keyspace = self.option(Self::name);
        QualifiedName { keyspace, name: self.name_from(&FUNCTION_NAMES) }
    }

    fn type_reference(&mut self) -> QualifiedName {
        let keyspace = self.option(Self::name);
        QualifiedName { keyspace, name: self.name_from(&TYPE_NAMES) }
    }

    /// A role's name; a user's cannot be in double quotes, and can be no keyword.
    fn role(&mut self, user: bool) -> RoleName {
        let quoting = match self.below(3) {
            0 => Quoting::Bare,
            2 if !user => Quoting::Identifier,
            _ => Quoting::String,
        };
        let name = match quoting {
            Quoting::Bare if user => "a".to_owned(),
            Quoting::Bare => self.one_of(&NAMES).to_owned(),
            Quoting::Identifier => format!("x{}", self.text()),
            Quoting::String => self.text(),
        };
        RoleName { name, quoting, position: Position::START }
    }

    fn marker(&mut self) -> BindMarker {
        let name = self.option(Self::name);
        self.markers += 1;
        BindMarker { index: self.markers - 1, name, position: Position::START }
    }

    fn native(&mut self) -> NativeType {
        self.one_of(NativeType::ALL)
    }

    fn type_name(&mut self) -> TypeName {
        let kind = match self.below(9) {
            0 => TypeKind::Native(self.native()),
            1 => TypeKind::List(Box::new(self.type_name())),
            2 => TypeKind::Set(Box::new(self.type_name())),
            3 => TypeKind::Map(Box::new(self.type_name()), Box::new(self.type_name())),
            4 => TypeKind::Tuple(self.several(1, Self::type_name)),
            5 => TypeKind::Vector(Box::new(self.type_name()), self.below(2000) as i32),
            6 => {
                let inner = self.type_name();
                match inner.kind {
                    TypeKind::Native(_) | TypeKind::Custom(_) => inner.kind,
                    _ => TypeKind::Frozen(Box::new(inner)),
                }
            }
            7 => TypeKind::Custom(self.text()),
            _ => {
                let name = self.type_reference();
                TypeKind::User { keyspace: name.keyspace, name: name.name }
            }
        };
        TypeName { kind, position: Position::START }
    }

    /// Any statement.
    pub(super) fn statement(&mut self) -> Statement {
        match self.below(6) {
            0 | 1 => Statement::Select(Box::new(self.select())),
            2 => self.modification(),
            3 => self.table_statement(),
            4 => self.schema_statement(),
            _ => self.auth_statement(),
        }
    }
}
