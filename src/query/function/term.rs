//! Calls of functions where no column can be named: in VALUES, SET, WHERE and so on.

use std::sync::Arc;

use cql_lite::ast;
use cql_lite::types::CqlType;
use cql_lite::types::functions::{Argument, ArgumentKind, cast};

use crate::error::{Error, Result};
use crate::query::term::{Assignment, Receiver, Term, TermCompiler};
use crate::query::type_name;
use crate::schema::Schema;

use super::{Call, Function, check_result, negation, operation, operator, resolve};

/// What is known of a term before it is known what it is for.
pub(crate) fn argument_kind(
    schema: &Schema,
    keyspace: &str,
    term: &ast::Term,
) -> Result<ArgumentKind> {
    Ok(match term {
        ast::Term::Literal(literal) => ArgumentKind::Constant(literal.kind),
        ast::Term::TypeHint(hint) => {
            ArgumentKind::Typed(type_name::resolve(schema, keyspace, &hint.type_name)?)
        }
        ast::Term::Cast(cast) => ArgumentKind::Typed(type_name::native_type(cast.target)),
        ast::Term::Function(call) => {
            let arguments = arguments(schema, keyspace, &call.arguments)?;
            let function = resolve(call.name.name.as_str(), &arguments, None, &[])?;
            ArgumentKind::Typed(function.returns().clone())
        }
        ast::Term::Arithmetic(chain) => {
            let mut left = argument(schema, keyspace, &chain.first)?;
            for step in &chain.rest {
                let right = argument(schema, keyspace, &step.operand)?;
                let function = operation(operator(step.operator), &left, &right, None)?;
                let kind = ArgumentKind::Typed(function.returns().clone());
                left = Argument { kind, text: term.to_string() };
            }
            left.kind
        }
        ast::Term::Negate(negate) => argument_kind(schema, keyspace, &negate.operand)?,
        ast::Term::Tuple(tuple) => match tuple.elements.as_slice() {
            [single] => argument_kind(schema, keyspace, single)?,
            _ => ArgumentKind::Untyped,
        },
        _ => ArgumentKind::Untyped,
    })
}

fn argument(schema: &Schema, keyspace: &str, term: &ast::Term) -> Result<Argument> {
    let text = match term {
        // Constants are judged by their text, which for strings stands without quotes.
        ast::Term::Literal(literal) => literal.text.clone(),
        other => other.to_string(),
    };
    Ok(Argument { kind: argument_kind(schema, keyspace, term)?, text })
}

fn arguments(schema: &Schema, keyspace: &str, terms: &[ast::Term]) -> Result<Vec<Argument>> {
    terms.iter().map(|term| argument(schema, keyspace, term)).collect()
}

/// How well the result of a call fits a type.
pub(crate) fn term_assignment(
    schema: &Schema,
    keyspace: &str,
    call: &ast::FunctionCall,
    ty: &CqlType,
) -> Assignment {
    let name = call.name.name.as_str();
    let resolved = arguments(schema, keyspace, &call.arguments)
        .and_then(|arguments| resolve(name, &arguments, Some(ty), &[]));
    match resolved {
        Ok(function) if function.returns() == ty => Assignment::Exact,
        Ok(function) if ty.is_value_compatible_with(function.returns()) => Assignment::Weak,
        Ok(_) => Assignment::No,
        // What does not exist fits everywhere, so that the error is about what does not exist.
        Err(_) => Assignment::Weak,
    }
}

/// Compiles a call for a receiver.
pub(crate) fn compile_term(
    compiler: &mut TermCompiler<'_>,
    call: &ast::FunctionCall,
    receiver: &Receiver,
) -> Result<Term> {
    let partition_key: Vec<CqlType> = compiler
        .schema
        .table(compiler.keyspace, compiler.table)
        .map(|table| table.partition_key.iter().map(|column| column.ty.clone()).collect())
        .unwrap_or_default();
    let arguments = arguments(compiler.schema, compiler.keyspace, &call.arguments)?;
    let name = call.name.name.as_str();
    let function = resolve(name, &arguments, Some(&receiver.ty), &partition_key)?;
    check_result(&function, &receiver.name, &receiver.ty)?;
    let types = function.arguments().to_vec();
    let mut compiled = Vec::with_capacity(types.len());
    for (index, (argument, ty)) in call.arguments.iter().zip(types).enumerate() {
        let part = Receiver::new(format!("arg{index}({})", function.name()), ty);
        compiled.push(compiler.compile(argument, &part)?);
    }
    Ok(Term::Call(Box::new(Call { function, arguments: compiled })))
}

/// Compiles `CAST(term AS type)`.
pub(crate) fn compile_cast(
    compiler: &mut TermCompiler<'_>,
    written: &ast::Cast,
    receiver: &Receiver,
) -> Result<Term> {
    let to = type_name::native_type(written.target);
    let inner = argument(compiler.schema, compiler.keyspace, &written.term)?;
    let from = own_type(&inner)?;
    let Some(function) = cast(&from, &to) else {
        return Err(Error::invalid(format!("{from} cannot be cast to {to}")));
    };
    let function = Function::Scalar(Arc::new(function));
    check_result(&function, &receiver.name, &receiver.ty)?;
    let part = Receiver::new(format!("arg0({})", function.name()), from);
    let arguments = vec![compiler.compile(&written.term, &part)?];
    Ok(Term::Call(Box::new(Call { function, arguments })))
}

/// The type of an argument on its own.
fn own_type(argument: &Argument) -> Result<CqlType> {
    match &argument.kind {
        ArgumentKind::Typed(ty) => Ok(ty.clone()),
        ArgumentKind::Constant(kind) => {
            Ok(cql_lite::types::text::exact_type(*kind, &argument.text))
        }
        ArgumentKind::Untyped => Err(Error::invalid(format!(
            "Cannot infer type for term {} (try using a cast to force a type)",
            argument.text
        ))),
    }
}

/// Compiles a chain of operators.
pub(crate) fn compile_arithmetic(
    compiler: &mut TermCompiler<'_>,
    chain: &ast::Arithmetic<ast::Term>,
    receiver: &Receiver,
) -> Result<Term> {
    let (schema, keyspace) = (compiler.schema, compiler.keyspace);
    let mut left = argument(schema, keyspace, &chain.first)?;
    // The first operand is compiled once the first operator has said of what type it is.
    let mut compiled: Option<Term> = None;
    let mut function = None;
    for step in &chain.rest {
        let right = argument(schema, keyspace, &step.operand)?;
        let found = operation(operator(step.operator), &left, &right, Some(&receiver.ty))?;
        let [left_type, right_type] = found.arguments() else {
            return Err(Error::server("an operator has two sides"));
        };
        let side = |index: usize, ty: &CqlType| {
            Receiver::new(format!("arg{index}({})", found.name()), ty.clone())
        };
        let first = match compiled.take() {
            Some(term) => term,
            None => compiler.compile(&chain.first, &side(0, left_type))?,
        };
        let second = compiler.compile(&step.operand, &side(1, right_type))?;
        let kind = ArgumentKind::Typed(found.returns().clone());
        left = Argument { kind, text: left.text };
        function = Some(found.clone());
        let call = Call { function: found, arguments: vec![first, second] };
        compiled = Some(Term::Call(Box::new(call)));
    }
    match (compiled, function) {
        (Some(term), Some(function)) => {
            check_result(&function, &receiver.name, &receiver.ty)?;
            Ok(term)
        }
        _ => compiler.compile(&chain.first, receiver),
    }
}

/// Compiles a minus.
pub(crate) fn compile_negation(
    compiler: &mut TermCompiler<'_>,
    negate: &ast::Negate<ast::Term>,
    receiver: &Receiver,
) -> Result<Term> {
    let operand = argument(compiler.schema, compiler.keyspace, &negate.operand)?;
    let function = negation(&operand, Some(&receiver.ty))?;
    check_result(&function, &receiver.name, &receiver.ty)?;
    let ty = function.arguments().first().cloned().unwrap_or(CqlType::Empty);
    let part = Receiver::new(format!("arg0({})", function.name()), ty);
    let arguments = vec![compiler.compile(&negate.operand, &part)?];
    Ok(Term::Call(Box::new(Call { function, arguments })))
}
