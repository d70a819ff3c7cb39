//! What is selected, compiled: expressions over columns, with their types and their names.

use std::sync::Arc;

use cql_lite::ast::{self, CellInfoKind, PathStep, SelectorSequence};
use cql_lite::types::CqlType;
use cql_lite::types::functions::aggregates::{AggregateFunction, Aggregation};
use cql_lite::types::functions::{Argument, ArgumentKind, cast};
use cql_lite::types::text::exact_type;

use crate::error::{Error, Result};
use crate::query::function::{
    Call, Function, argument_kind, negation, operation, operator, resolve,
};
use crate::query::restriction::{ColumnRef, find_column};
use crate::query::term::{Receiver, Term, TermCompiler};
use crate::query::type_name;
use crate::schema::Table;

/// A compiled expression over columns.
#[derive(Debug, Clone)]
pub(crate) enum Selector {
    /// A column's value.
    Column {
        /// Which.
        column: ColumnRef,
        /// Its type.
        ty: CqlType,
    },
    /// The same value for every row.
    Term {
        /// The term.
        term: Term,
        /// Its type.
        ty: CqlType,
    },
    /// `writetime(c)`, `maxwritetime(c)`, `ttl(c)`.
    Info {
        /// Which of them.
        kind: CellInfoKind,
        /// The column.
        column: ColumnRef,
        /// One value per cell, as a list.
        list: bool,
    },
    /// A function's result.
    Call(Box<Call<Selector>>),
    /// A literal with expressions in it.
    Composite {
        /// What it is.
        ty: CqlType,
        /// Its parts; of a map keys and values by turns.
        parts: Vec<Selector>,
    },
    /// A field of a UDT.
    Field {
        /// The UDT.
        base: Box<Selector>,
        /// Which field.
        index: usize,
        /// The field's type.
        ty: CqlType,
    },
    /// The value of a map's key; of a set, the element if it is there.
    Element {
        /// The collection.
        base: Box<Selector>,
        /// The key.
        key: Term,
        /// The type of the result.
        ty: CqlType,
    },
    /// The part of a map or set between two keys, both included.
    Slice {
        /// The collection.
        base: Box<Selector>,
        /// The lower bound.
        from: Option<Term>,
        /// The upper bound.
        to: Option<Term>,
        /// The type of the collection.
        ty: CqlType,
    },
    /// An aggregate's result for the group of rows that ends.
    Aggregate {
        /// Which aggregate.
        function: Box<AggregateFunction>,
        /// What is aggregated; none: rows.
        argument: Option<Box<Selector>>,
        /// Its place among the plan's aggregates.
        index: usize,
        /// The name it was called by.
        name: String,
    },
}

impl Selector {
    /// The type of its value.
    pub(crate) fn ty(&self) -> CqlType {
        match self {
            Selector::Column { ty, .. }
            | Selector::Term { ty, .. }
            | Selector::Composite { ty, .. }
            | Selector::Field { ty, .. }
            | Selector::Element { ty, .. }
            | Selector::Slice { ty, .. } => ty.clone(),
            Selector::Aggregate { function, .. } => function.returns.clone().frozen(),
            Selector::Call(call) => call.function.returns().clone(),
            Selector::Info { kind, list, .. } => {
                let ty = match kind {
                    CellInfoKind::Ttl => CqlType::Int,
                    CellInfoKind::WriteTime | CellInfoKind::MaxWriteTime => CqlType::Bigint,
                };
                if *list { CqlType::List(Box::new(ty)).frozen() } else { ty }
            }
        }
    }
}

/// Compiles the selectors of one SELECT.
pub(super) struct SelectorCompiler<'c, 's> {
    pub(super) terms: &'c mut TermCompiler<'s>,
    pub(super) table: &'c Table,
    /// The aggregates met so far.
    pub(super) aggregates: usize,
}

impl SelectorCompiler<'_, '_> {
    /// Compiles an expression; `wanted`: the type that it is for, if one is known.
    pub(super) fn compile(
        &mut self,
        selector: &ast::Selector,
        wanted: Option<&CqlType>,
    ) -> Result<Selector> {
        match selector {
            ast::Selector::Column(name) => {
                let (column, found) = find_column(self.table, name.as_str())?;
                Ok(Selector::Column { column, ty: found.ty.clone() })
            }
            ast::Selector::Term(term) => self.term(term, wanted),
            ast::Selector::CountRows(_) => self.aggregate("count", Aggregation::Count, None),
            ast::Selector::CellInfo(info) => self.info(info),
            ast::Selector::Function(call) => self.call(call),
            ast::Selector::TypeHint(hint) => {
                let ty =
                    type_name::resolve(self.terms.schema, self.terms.keyspace, &hint.type_name)?;
                self.compile(&hint.selector, Some(&ty))
            }
            ast::Selector::Parenthesized(sequence) => self.tuple(sequence, wanted),
            ast::Selector::List(sequence) | ast::Selector::Set(sequence) => {
                let is_list = matches!(selector, ast::Selector::List(_));
                self.elements(sequence, is_list, wanted, selector)
            }
            ast::Selector::MapOrUdt(map) => self.map(map, wanted, selector),
            ast::Selector::Path(path) => {
                let mut base = self.compile(&path.base, None)?;
                for step in &path.steps {
                    base = self.path_step(base, step, &path.base)?;
                }
                Ok(base)
            }
            ast::Selector::Cast(cast) => self.cast(cast),
            ast::Selector::Arithmetic(chain) => self.arithmetic(chain, wanted),
            ast::Selector::Negate(negate) => self.negation(negate, wanted),
        }
    }

    fn term(&mut self, term: &ast::Term, wanted: Option<&CqlType>) -> Result<Selector> {
        let ty = match (wanted, term) {
            (Some(ty), _) => ty.clone(),
            (None, ast::Term::Literal(literal)) => exact_type(literal.kind, &literal.text),
            (None, _) => return Err(no_type(&term.to_string())),
        };
        let receiver = Receiver::new("[selection]", ty.clone());
        Ok(Selector::Term { term: self.terms.compile(term, &receiver)?, ty })
    }

    fn aggregate(
        &mut self,
        name: &str,
        aggregation: Aggregation,
        argument: Option<Selector>,
    ) -> Result<Selector> {
        let ty = argument.as_ref().map(Selector::ty);
        let Some(function) = AggregateFunction::new(aggregation, ty.as_ref()) else {
            let ty = ty.map_or_else(String::new, |ty| ty.to_string());
            return Err(Error::invalid(format!(
                "Invalid call to function {name}, none of its type signatures match (given: {ty})"
            )));
        };
        let index = self.aggregates;
        self.aggregates += 1;
        Ok(Selector::Aggregate {
            function: Box::new(function),
            argument: argument.map(Box::new),
            index,
            name: name.to_owned(),
        })
    }

    fn info(&mut self, info: &ast::CellInfo) -> Result<Selector> {
        let (column, found) = find_column(self.table, info.column.as_str())?;
        let name = info.kind.name();
        if column.kind.is_key() {
            return Err(Error::invalid(format!(
                "Cannot use selection function {name} on PRIMARY KEY part {}",
                found.name
            )));
        }
        if !info.path.is_empty() {
            return Err(Error::invalid(format!(
                "Cannot use selection function {name} on parts of {}",
                found.name
            )));
        }
        let list = found.ty.is_multi_cell() && info.kind != CellInfoKind::MaxWriteTime;
        Ok(Selector::Info { kind: info.kind, column, list })
    }

    /// What is known of an expression before it is known what it is for: compiled, unless it is
    /// a term that can be of several types.
    fn argument(&mut self, written: &ast::Selector) -> Result<(Argument, Option<Selector>)> {
        let term = match written {
            ast::Selector::Term(term) => Some(term),
            ast::Selector::Parenthesized(SelectorSequence { elements, .. }) => {
                match elements.as_slice() {
                    [single @ ast::Selector::Term(_)] => return self.argument(single),
                    _ => None,
                }
            }
            _ => None,
        };
        if let Some(term) = term {
            let kind = argument_kind(self.terms.schema, self.terms.keyspace, term)?;
            let text = match term {
                ast::Term::Literal(literal) => literal.text.clone(),
                other => other.to_string(),
            };
            return Ok((Argument { kind, text }, None));
        }
        // A literal of constants is whatever the function wants: a list or a vector.
        let constants = |elements: &[ast::Selector]| {
            elements.iter().all(|element| matches!(element, ast::Selector::Term(_)))
        };
        if let ast::Selector::List(list) | ast::Selector::Set(list) = written
            && constants(&list.elements)
        {
            let argument = Argument { kind: ArgumentKind::Untyped, text: written.to_string() };
            return Ok((argument, None));
        }
        let compiled = self.compile(written, None)?;
        let kind = ArgumentKind::Typed(compiled.ty());
        Ok((Argument { kind, text: written.to_string() }, Some(compiled)))
    }

    /// The compiled argument, for a parameter of this type.
    fn passed(
        &mut self,
        written: &ast::Selector,
        compiled: Option<Selector>,
        ty: &CqlType,
    ) -> Result<Selector> {
        match compiled {
            Some(selector) => Ok(selector),
            None => self.compile(written, Some(ty)),
        }
    }

    fn call(&mut self, call: &ast::SelectorCall) -> Result<Selector> {
        let name = call.name.name.as_str();
        if let Some(aggregation) = Aggregation::named(name) {
            return self.aggregate_call(name, aggregation, call);
        }
        let mut arguments = Vec::with_capacity(call.arguments.len());
        let mut compiled = Vec::with_capacity(call.arguments.len());
        for written in &call.arguments {
            let (argument, selector) = self.argument(written)?;
            arguments.push(argument);
            compiled.push(selector);
        }
        let key: Vec<CqlType> = self.table.partition_key.iter().map(|c| c.ty.clone()).collect();
        let function = resolve(name, &arguments, None, &key)?;
        let types = function.arguments().to_vec();
        let mut passed = Vec::with_capacity(compiled.len());
        for ((compiled, written), ty) in compiled.into_iter().zip(&call.arguments).zip(types) {
            passed.push(self.passed(written, compiled, &ty)?);
        }
        Ok(Selector::Call(Box::new(Call { function, arguments: passed })))
    }

    fn aggregate_call(
        &mut self,
        name: &str,
        aggregation: Aggregation,
        call: &ast::SelectorCall,
    ) -> Result<Selector> {
        let [argument] = call.arguments.as_slice() else {
            return Err(Error::invalid(format!(
                "Invalid number of arguments in call to function system.{name}: 1 required but {} \
                 provided",
                call.arguments.len()
            )));
        };
        let before = self.aggregates;
        // `count(1)` counts rows.
        if aggregation == Aggregation::Count && matches!(argument, ast::Selector::Term(_)) {
            return self.aggregate(name, aggregation, None);
        }
        let argument = self.compile(argument, None)?;
        if self.aggregates != before {
            return Err(Error::invalid(
                "aggregate functions cannot be used as arguments of aggregate functions",
            ));
        }
        self.aggregate(name, aggregation, Some(argument))
    }

    fn cast(&mut self, written: &ast::SelectorCast) -> Result<Selector> {
        let to = type_name::native_type(written.target);
        let inner = self.compile(&written.selector, None)?;
        let from = inner.ty();
        let Some(function) = cast(&from, &to) else {
            return Err(Error::invalid(format!("{from} cannot be cast to {to}")));
        };
        let function = Function::Scalar(Arc::new(function));
        Ok(Selector::Call(Box::new(Call { function, arguments: vec![inner] })))
    }

    fn arithmetic(
        &mut self,
        chain: &ast::Arithmetic<ast::Selector>,
        wanted: Option<&CqlType>,
    ) -> Result<Selector> {
        let (mut left, mut compiled) = self.argument(&chain.first)?;
        for step in &chain.rest {
            let (right, second) = self.argument(&step.operand)?;
            let function = operation(operator(step.operator), &left, &right, wanted)?;
            let [left_type, right_type] = function.arguments() else {
                return Err(Error::server("an operator has two sides"));
            };
            let (left_type, right_type) = (left_type.clone(), right_type.clone());
            let first = self.passed(&chain.first, compiled.take(), &left_type)?;
            let second = self.passed(&step.operand, second, &right_type)?;
            left.kind = ArgumentKind::Typed(function.returns().clone());
            let arguments = vec![first, second];
            compiled = Some(Selector::Call(Box::new(Call { function, arguments })));
        }
        match compiled {
            Some(selector) => Ok(selector),
            None => self.compile(&chain.first, wanted),
        }
    }

    fn negation(
        &mut self,
        negate: &ast::Negate<ast::Selector>,
        wanted: Option<&CqlType>,
    ) -> Result<Selector> {
        let (operand, compiled) = self.argument(&negate.operand)?;
        let function = negation(&operand, wanted)?;
        let ty = function.arguments().first().cloned().unwrap_or(CqlType::Empty);
        let arguments = vec![self.passed(&negate.operand, compiled, &ty)?];
        Ok(Selector::Call(Box::new(Call { function, arguments })))
    }

    fn tuple(
        &mut self,
        sequence: &ast::SelectorSequence,
        wanted: Option<&CqlType>,
    ) -> Result<Selector> {
        let types = match wanted.map(CqlType::unfrozen) {
            Some(CqlType::Tuple(types)) => Some(types.clone()),
            _ => None,
        };
        if let ([single], None) = (sequence.elements.as_slice(), &types) {
            return self.compile(single, wanted);
        }
        let mut parts = Vec::with_capacity(sequence.elements.len());
        for (index, element) in sequence.elements.iter().enumerate() {
            let ty = types.as_ref().and_then(|types| types.get(index));
            parts.push(self.compile(element, ty)?);
        }
        let ty = CqlType::Tuple(parts.iter().map(Selector::ty).collect()).canonical();
        Ok(Selector::Composite { ty, parts })
    }

    fn elements(
        &mut self,
        sequence: &ast::SelectorSequence,
        is_list: bool,
        wanted: Option<&CqlType>,
        written: &ast::Selector,
    ) -> Result<Selector> {
        let element = match wanted.map(CqlType::unfrozen) {
            Some(CqlType::List(element) | CqlType::Set(element) | CqlType::Vector(element, _)) => {
                Some((**element).clone())
            }
            _ => None,
        };
        let mut parts = Vec::with_capacity(sequence.elements.len());
        for part in &sequence.elements {
            parts.push(self.compile(part, element.as_ref())?);
        }
        let ty = match wanted {
            Some(ty) => ty.clone(),
            None => {
                let first = parts.first().ok_or_else(|| no_type(&written.to_string()))?;
                let element = Box::new(first.ty());
                let ty = if is_list { CqlType::List(element) } else { CqlType::Set(element) };
                ty.frozen()
            }
        };
        Ok(Selector::Composite { ty, parts })
    }

    fn map(
        &mut self,
        map: &ast::SelectorMap,
        wanted: Option<&CqlType>,
        written: &ast::Selector,
    ) -> Result<Selector> {
        let types = match wanted.map(CqlType::unfrozen) {
            Some(CqlType::Map(key, value)) => Some(((**key).clone(), (**value).clone())),
            _ => None,
        };
        let mut parts = Vec::with_capacity(2 * map.entries.len());
        for (key, value) in &map.entries {
            parts.push(self.compile(key, types.as_ref().map(|(key, _)| key))?);
            parts.push(self.compile(value, types.as_ref().map(|(_, value)| value))?);
        }
        let ty = match (wanted, parts.as_slice()) {
            (Some(ty), _) => ty.clone(),
            (None, [key, value, ..]) => {
                CqlType::Map(Box::new(key.ty()), Box::new(value.ty())).frozen()
            }
            (None, _) => return Err(no_type(&written.to_string())),
        };
        Ok(Selector::Composite { ty, parts })
    }

    fn path_step(
        &mut self,
        base: Selector,
        step: &PathStep,
        written: &ast::Selector,
    ) -> Result<Selector> {
        let ty = base.ty();
        let base = Box::new(base);
        match step {
            PathStep::Field(field) => {
                let CqlType::Udt(udt) = ty.unfrozen() else {
                    return Err(Error::invalid(format!(
                        "Invalid field selection: {written} of type {ty} is not a user type"
                    )));
                };
                let Some((index, ty)) = udt.field(field.as_str()) else {
                    return Err(Error::invalid(format!(
                        "{written} of type {ty} has no field {}",
                        field.as_str()
                    )));
                };
                Ok(Selector::Field { base, index, ty: ty.clone() })
            }
            PathStep::Element(key) => {
                let (key_type, result) = collection_parts(&ty, "Element", written)?;
                let key = self.terms.compile(key, &Receiver::new("[key]", key_type))?;
                Ok(Selector::Element { base, key, ty: result })
            }
            PathStep::Slice(from, to) => {
                let (key_type, _) = collection_parts(&ty, "Slice", written)?;
                let receiver = Receiver::new("[key]", key_type);
                let mut bound = |term: &Option<ast::Term>| {
                    term.as_ref().map(|term| self.terms.compile(term, &receiver)).transpose()
                };
                let (from, to) = (bound(from)?, bound(to)?);
                Ok(Selector::Slice { base, from, to, ty: ty.frozen() })
            }
        }
    }
}

/// The types of the keys and of the values of a map; of a set twice the type of its elements.
fn collection_parts(
    ty: &CqlType,
    what: &str,
    written: &ast::Selector,
) -> Result<(CqlType, CqlType)> {
    match ty.unfrozen() {
        CqlType::Map(key, value) => Ok(((**key).clone(), (**value).clone())),
        CqlType::Set(element) => Ok(((**element).clone(), (**element).clone())),
        _ => Err(Error::invalid(format!(
            "{what} selection is only allowed on sets and maps, but {written} is a {ty}"
        ))),
    }
}

fn no_type(written: &str) -> Error {
    Error::invalid(format!(
        "Cannot infer type for term {written} in selection clause (try using a cast to force a \
         type)"
    ))
}

/// What Cassandra calls the column of an expression without an alias.
pub(super) fn result_name(selector: &ast::Selector, compiled: &Selector) -> String {
    match (selector, compiled) {
        (ast::Selector::Column(name), _) => name.name.clone(),
        (ast::Selector::CountRows(_), _) => "count".to_owned(),
        (ast::Selector::CellInfo(info), _) => {
            format!("{}({})", info.kind.name(), info.column.as_str())
        }
        (ast::Selector::Function(call), compiled) => {
            let name = match compiled {
                Selector::Call(call) => call.function.name(),
                Selector::Aggregate { name, .. } => format!("system.{name}"),
                _ => call.name.name.name.to_lowercase(),
            };
            let compiled_arguments: &[Selector] = match compiled {
                Selector::Call(call) => &call.arguments,
                Selector::Aggregate { argument: Some(argument), .. } => {
                    std::slice::from_ref(argument)
                }
                _ => &[],
            };
            let arguments: Vec<String> = call
                .arguments
                .iter()
                .enumerate()
                .map(|(index, argument)| match compiled_arguments.get(index) {
                    Some(compiled) => result_name(argument, compiled),
                    None => argument.to_string(),
                })
                .collect();
            format!("{name}({})", arguments.join(", "))
        }
        (ast::Selector::Cast(cast), _) => {
            format!("cast({} as {})", cast.selector, cast.target.name())
        }
        (ast::Selector::Negate(negate), _) => format!("-{}", negate.operand),
        (other, _) => other.to_string(),
    }
}
