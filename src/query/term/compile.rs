//! From a term as written to a compiled one, with Cassandra's errors where it does not fit.

use cql_lite::ast;
use cql_lite::types::CqlType;
use cql_lite::types::text::{accepts_constant, encode_constant};
use cql_lite::wire::ColumnSpec;

use crate::error::{Error, Result};
use crate::query::{function, type_name};
use crate::schema::Schema;

use super::Term;
use super::assign::{Assignment, assignment};
use super::evaluate::assemble;

/// What a term's value is for: a column, or a place that has a name like one.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    /// The name in messages and in the description of markers.
    pub(crate) name: String,
    /// The type that is wanted.
    pub(crate) ty: CqlType,
}

impl Receiver {
    /// A receiver.
    pub(crate) fn new(name: impl Into<String>, ty: CqlType) -> Receiver {
        Receiver { name: name.into(), ty }
    }
}

/// The markers of a statement, described as they are met.
#[derive(Debug, Default)]
pub(crate) struct Markers {
    specs: Vec<Option<ColumnSpec>>,
}

impl Markers {
    /// Describes a marker.
    pub(crate) fn describe(&mut self, index: usize, spec: ColumnSpec) {
        if self.specs.len() <= index {
            self.specs.resize(index + 1, None);
        }
        if let Some(place) = self.specs.get_mut(index) {
            *place = Some(spec);
        }
    }

    /// All descriptions, in the order of the text.
    pub(crate) fn finish(self) -> Result<Vec<ColumnSpec>> {
        let all: Option<Vec<ColumnSpec>> = self.specs.into_iter().collect();
        all.ok_or_else(|| Error::server("a bind marker was not understood"))
    }
}

/// Compiles the terms of one statement.
pub(crate) struct TermCompiler<'a> {
    /// Where types and functions are looked up.
    pub(crate) schema: &'a Schema,
    /// The keyspace that the statement is on.
    pub(crate) keyspace: &'a str,
    /// The table that the statement is on.
    pub(crate) table: &'a str,
    /// The markers met so far.
    pub(crate) markers: Markers,
}

impl<'a> TermCompiler<'a> {
    /// A compiler for a statement on this table.
    pub(crate) fn new(schema: &'a Schema, keyspace: &'a str, table: &'a str) -> TermCompiler<'a> {
        TermCompiler { schema, keyspace, table, markers: Markers::default() }
    }

    /// Compiles a term for a receiver.
    pub(crate) fn compile(&mut self, term: &ast::Term, receiver: &Receiver) -> Result<Term> {
        match term {
            ast::Term::Null(_) => Ok(Term::Constant(None)),
            ast::Term::Marker(marker) => Ok(self.marker(marker, receiver)),
            ast::Term::Literal(literal) => self.literal(literal, receiver),
            ast::Term::List(list) => self.list(list, term, receiver),
            ast::Term::Set(set) => self.set(set, term, receiver),
            ast::Term::Map(map) => self.map(map, term, receiver),
            ast::Term::Tuple(tuple) => self.tuple(tuple, receiver),
            ast::Term::Udt(udt) => self.udt(udt, receiver),
            ast::Term::TypeHint(hint) => self.type_hint(hint, receiver),
            ast::Term::Function(call) => function::compile_term(self, call, receiver),
            ast::Term::Cast(cast) => function::compile_cast(self, cast, receiver),
            ast::Term::Arithmetic(chain) => function::compile_arithmetic(self, chain, receiver),
            ast::Term::Negate(negate) => function::compile_negation(self, negate, receiver),
        }
    }

    /// How well a term fits a type.
    pub(crate) fn assignment(&self, term: &ast::Term, ty: &CqlType) -> Assignment {
        assignment(self.schema, self.keyspace, term, ty)
    }

    /// A marker whose value is for `receiver`.
    pub(crate) fn marker(&mut self, marker: &ast::BindMarker, receiver: &Receiver) -> Term {
        let name = match &marker.name {
            Some(name) => name.name.clone(),
            None => receiver.name.clone(),
        };
        let spec = ColumnSpec {
            keyspace: self.keyspace.to_owned(),
            table: self.table.to_owned(),
            name,
            ty: receiver.ty.clone(),
        };
        self.markers.describe(marker.index, spec);
        Term::Marker { index: marker.index, ty: receiver.ty.clone() }
    }

    fn literal(&mut self, literal: &ast::Literal, receiver: &Receiver) -> Result<Term> {
        let ty = receiver.ty.unfrozen();
        if !accepts_constant(literal.kind, ty) {
            return Err(Error::invalid(format!(
                "Invalid {} constant ({}) for \"{}\" of type {}",
                literal.kind.name(),
                shown(literal),
                receiver.name,
                receiver.ty
            )));
        }
        let bytes = encode_constant(literal.kind, &literal.text, ty)?;
        Ok(Term::Constant(Some(bytes.into())))
    }

    /// Constant parts make a constant.
    fn composite(ty: &CqlType, parts: Vec<Term>) -> Result<Term> {
        if !parts.iter().all(Term::is_constant) {
            return Ok(Term::Composite { ty: ty.clone(), parts });
        }
        let values: Vec<Option<&[u8]>> = parts
            .iter()
            .map(|part| match part {
                Term::Constant(bytes) => bytes.as_deref(),
                _ => None,
            })
            .collect();
        Ok(Term::Constant(Some(assemble(ty, &values)?.into())))
    }

    fn check_element(
        &self,
        literal: &str,
        what: &str,
        receiver: &Receiver,
        element: &ast::Term,
        ty: &CqlType,
    ) -> Result<()> {
        if self.assignment(element, ty).fits() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "Invalid {literal} literal for {}: {what} {element} is not of type {ty}",
            receiver.name
        )))
    }

    fn list(
        &mut self,
        list: &ast::Sequence,
        term: &ast::Term,
        receiver: &Receiver,
    ) -> Result<Term> {
        let (literal, element) = match receiver.ty.unfrozen() {
            CqlType::List(element) => ("list", element),
            CqlType::Vector(element, dimensions) => {
                if list.elements.len() != *dimensions {
                    return Err(Error::invalid(format!(
                        "Invalid vector literal for {} of type {}; expected {dimensions} \
                         elements, but given {}",
                        receiver.name,
                        receiver.ty,
                        list.elements.len()
                    )));
                }
                ("vector", element)
            }
            _ => return Err(wrong_literal("list", term, receiver)),
        };
        for value in &list.elements {
            self.check_element(literal, "value", receiver, value, element)?;
        }
        let part = Receiver::new(format!("value({})", receiver.name), (**element).clone());
        let parts = list.elements.iter().map(|value| self.compile(value, &part));
        let parts = parts.collect::<Result<_>>()?;
        Self::composite(&receiver.ty, parts)
    }

    fn set(&mut self, set: &ast::Sequence, term: &ast::Term, receiver: &Receiver) -> Result<Term> {
        let element = match receiver.ty.unfrozen() {
            CqlType::Set(element) => element,
            CqlType::Map(..) if set.elements.is_empty() => {
                return Self::composite(&receiver.ty, Vec::new());
            }
            _ => return Err(wrong_literal("set", term, receiver)),
        };
        for value in &set.elements {
            self.check_element("set", "value", receiver, value, element)?;
        }
        let part = Receiver::new(format!("value({})", receiver.name), (**element).clone());
        let parts = set.elements.iter().map(|value| self.compile(value, &part));
        let parts = parts.collect::<Result<_>>()?;
        Self::composite(&receiver.ty, parts)
    }

    fn map(
        &mut self,
        map: &ast::MapLiteral,
        term: &ast::Term,
        receiver: &Receiver,
    ) -> Result<Term> {
        let CqlType::Map(key, value) = receiver.ty.unfrozen() else {
            return Err(wrong_literal("map", term, receiver));
        };
        for (k, v) in &map.entries {
            self.check_element("map", "key", receiver, k, key)?;
            self.check_element("map", "value", receiver, v, value)?;
        }
        let key = Receiver::new(format!("key({})", receiver.name), (**key).clone());
        let value = Receiver::new(format!("value({})", receiver.name), (**value).clone());
        let mut parts = Vec::with_capacity(2 * map.entries.len());
        for (k, v) in &map.entries {
            parts.push(self.compile(k, &key)?);
            parts.push(self.compile(v, &value)?);
        }
        Self::composite(&receiver.ty, parts)
    }

    fn tuple(&mut self, tuple: &ast::Sequence, receiver: &Receiver) -> Result<Term> {
        let CqlType::Tuple(types) = receiver.ty.unfrozen() else {
            if let [single] = tuple.elements.as_slice() {
                return self.compile(single, receiver);
            }
            return Err(Error::invalid(format!(
                "Invalid tuple type literal for {} of type {}",
                receiver.name, receiver.ty
            )));
        };
        if tuple.elements.len() > types.len() {
            return Err(Error::invalid(format!(
                "Invalid tuple literal for {}: too many elements. Type {} expects {} but got {}",
                receiver.name,
                receiver.ty,
                types.len(),
                tuple.elements.len()
            )));
        }
        let mut parts = Vec::with_capacity(types.len());
        for (index, (element, ty)) in tuple.elements.iter().zip(types).enumerate() {
            if !self.assignment(element, ty).fits() {
                return Err(Error::invalid(format!(
                    "Invalid tuple literal for {}: component {index} is not of type {ty}",
                    receiver.name
                )));
            }
            let part = Receiver::new(format!("{}[{index}]", receiver.name), ty.clone());
            parts.push(self.compile(element, &part)?);
        }
        Self::composite(&receiver.ty, parts)
    }

    fn udt(&mut self, literal: &ast::UdtLiteral, receiver: &Receiver) -> Result<Term> {
        let CqlType::Udt(udt) = receiver.ty.unfrozen() else {
            return Err(Error::invalid(format!(
                "Invalid user type literal for {} of type {}",
                receiver.name, receiver.ty
            )));
        };
        let mut parts = Vec::with_capacity(udt.fields.len());
        for (name, ty) in &udt.fields {
            let given = literal.fields.iter().find(|(field, _)| field.as_str() == name);
            let Some((_, value)) = given else {
                parts.push(Term::Constant(None));
                continue;
            };
            if !self.assignment(value, ty).fits() {
                return Err(Error::invalid(format!(
                    "Invalid user type literal for {}: field {name} is not of type {ty}",
                    receiver.name
                )));
            }
            let part = Receiver::new(format!("{}.{name}", receiver.name), ty.clone());
            parts.push(self.compile(value, &part)?);
        }
        if let Some((field, _)) =
            literal.fields.iter().find(|(f, _)| udt.field(f.as_str()).is_none())
        {
            return Err(Error::invalid(format!(
                "Unknown field '{}' in value of user defined type {}",
                field.as_str(),
                udt.name
            )));
        }
        Self::composite(&receiver.ty, parts)
    }

    fn type_hint(&mut self, hint: &ast::TypeHint, receiver: &Receiver) -> Result<Term> {
        let hinted = type_name::resolve(self.schema, self.keyspace, &hint.type_name)?;
        if !self.assignment(&hint.term, &hinted).fits() {
            return Err(Error::invalid(format!(
                "Cannot cast value {} to type {}",
                hint.term, hint.type_name
            )));
        }
        if !receiver.ty.is_value_compatible_with(&hinted) {
            return Err(Error::invalid(format!(
                "Cannot assign value ({}){} to {} of type {}",
                hint.type_name, hint.term, receiver.name, receiver.ty
            )));
        }
        self.compile(&hint.term, &Receiver::new(receiver.name.clone(), hinted))
    }
}

/// The literal as Cassandra shows it in messages: strings without quotes.
fn shown(literal: &ast::Literal) -> &str {
    &literal.text
}

fn wrong_literal(what: &str, _term: &ast::Term, receiver: &Receiver) -> Error {
    Error::invalid(format!("Invalid {what} literal for {} of type {}", receiver.name, receiver.ty))
}
