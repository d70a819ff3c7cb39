//! Calls of functions where no column can be named: in VALUES, SET, WHERE and so on.

use std::sync::Arc;

use cql_lite::ast;
use cql_lite::types::CqlType;

use crate::error::{Error, Result};
use crate::query::term::{Assignment, Receiver, Term, TermCompiler, assignment};
use crate::schema::Schema;

use super::catalog::overloads;
use super::{Argument, Call, resolve};

/// A term as an argument.
struct TermArgument<'a> {
    schema: &'a Schema,
    keyspace: &'a str,
    term: &'a ast::Term,
}

impl Argument for TermArgument<'_> {
    fn assignment(&self, ty: &CqlType) -> Assignment {
        assignment(self.schema, self.keyspace, self.term, ty)
    }

    fn known_type(&self) -> Option<CqlType> {
        None
    }

    fn text(&self) -> String {
        self.term.to_string()
    }
}

/// How well the result of a call fits a type.
pub(crate) fn term_assignment(
    schema: &Schema,
    keyspace: &str,
    call: &ast::FunctionCall,
    ty: &CqlType,
) -> Assignment {
    let arguments = arguments(schema, keyspace, call);
    let arguments: Vec<&dyn Argument> = arguments.iter().map(|a| a as &dyn Argument).collect();
    let name = call.name.name.as_str();
    match resolve(name, &arguments, Some(("", ty)), &[]) {
        Ok(function) if function.returns == *ty => Assignment::Exact,
        Ok(_) => Assignment::Weak,
        // What does not exist fits everywhere, so that the error is about what does not exist.
        Err(_) if overloads(name, &[], &[]).is_empty() => Assignment::Weak,
        Err(_) => Assignment::No,
    }
}

fn arguments<'a>(
    schema: &'a Schema,
    keyspace: &'a str,
    call: &'a ast::FunctionCall,
) -> Vec<TermArgument<'a>> {
    call.arguments.iter().map(|term| TermArgument { schema, keyspace, term }).collect()
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
    let arguments = arguments(compiler.schema, compiler.keyspace, call);
    let arguments: Vec<&dyn Argument> = arguments.iter().map(|a| a as &dyn Argument).collect();
    let target = Some((receiver.name.as_str(), &receiver.ty));
    let function = resolve(call.name.name.as_str(), &arguments, target, &partition_key)?;
    let mut compiled = Vec::with_capacity(call.arguments.len());
    for (index, (argument, ty)) in call.arguments.iter().zip(&function.arguments).enumerate() {
        let part = Receiver::new(format!("arg{index}({})", function.name), ty.clone());
        compiled.push(compiler.compile(argument, &part)?);
    }
    let function = Arc::new(function);
    Ok(Term::Call(Box::new(Call { function, arguments: compiled })))
}

/// Compiles `CAST(term AS type)`.
pub(crate) fn compile_cast(
    _compiler: &mut TermCompiler<'_>,
    cast: &ast::Cast,
    _receiver: &Receiver,
) -> Result<Term> {
    Err(Error::invalid(format!("CAST to {} is not supported here", cast.target.name())))
}

/// Compiles an arithmetic expression.
pub(crate) fn compile_arithmetic(
    _compiler: &mut TermCompiler<'_>,
    _term: &ast::Term,
    _ty: &CqlType,
    receiver: &Receiver,
) -> Result<Term> {
    Err(Error::invalid(format!("arithmetic is not supported for {}", receiver.name)))
}
