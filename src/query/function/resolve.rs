//! Which overload of a function a call means: Cassandra's rules and its sentences.

use cql_lite::types::CqlType;

use crate::error::{Error, Result};
use crate::query::term::Assignment;

use super::Function;
use super::catalog::overloads;

/// An argument of a call, as far as it is known before the overload is.
pub(crate) trait Argument {
    /// How well it fits a type.
    fn assignment(&self, ty: &CqlType) -> Assignment;
    /// Its type, if it has one of its own.
    fn known_type(&self) -> Option<CqlType>;
    /// As it was written.
    fn text(&self) -> String;
}

/// The overload that a call of `name` means. `receiver`: name and type of what gets the result,
/// if that is known.
pub(crate) fn resolve(
    name: &str,
    arguments: &[&dyn Argument],
    receiver: Option<(&str, &CqlType)>,
    partition_key: &[CqlType],
) -> Result<Function> {
    let given: Vec<Option<CqlType>> = arguments.iter().map(|a| a.known_type()).collect();
    let mut candidates = overloads(name, &given, partition_key);
    if candidates.is_empty() {
        return Err(Error::invalid(format!("Unknown function '{name}'")));
    }
    if candidates.len() == 1 {
        let only = candidates.remove(0);
        check_arguments(&only, arguments)?;
        check_result(&only, receiver)?;
        return Ok(only);
    }
    let shown: Vec<String> = candidates.iter().map(Function::signature).collect();
    let fit = |function: &Function| -> Assignment {
        if function.arguments.len() != arguments.len() {
            return Assignment::No;
        }
        let pairs = arguments.iter().zip(&function.arguments);
        let worst = pairs.map(|(argument, ty)| argument.assignment(ty)).min();
        worst.unwrap_or(Assignment::Exact)
    };
    let result_fits = |function: &Function| {
        receiver.is_none_or(|(_, ty)| ty.is_value_compatible_with(&function.returns))
    };
    candidates.retain(|function| fit(function).fits() && result_fits(function));
    if let Some(exact) = candidates.iter().position(|c| fit(c) == Assignment::Exact) {
        return Ok(candidates.swap_remove(exact));
    }
    match candidates.len() {
        1 => Ok(candidates.swap_remove(0)),
        0 => Err(Error::invalid(format!(
            "Invalid call to function {name}, none of its type signatures match (known type \
             signatures: {})",
            shown.join(", ")
        ))),
        _ => {
            let fitting: Vec<String> = candidates.iter().map(Function::signature).collect();
            Err(Error::invalid(format!(
                "Ambiguous call to function {name} (can be matched by following signatures: {}): \
                 use type casts to disambiguate",
                fitting.join(", ")
            )))
        }
    }
}

fn check_arguments(function: &Function, arguments: &[&dyn Argument]) -> Result<()> {
    if arguments.len() != function.arguments.len() {
        return Err(Error::invalid(format!(
            "Invalid number of arguments in call to function {}: {} required but {} provided",
            function.name,
            function.arguments.len(),
            arguments.len()
        )));
    }
    for (index, (argument, ty)) in arguments.iter().zip(&function.arguments).enumerate() {
        if !argument.assignment(ty).fits() {
            return Err(Error::invalid(format!(
                "Type error: {} cannot be passed as argument {index} of function {} of type {ty}",
                argument.text(),
                function.name
            )));
        }
    }
    Ok(())
}

fn check_result(function: &Function, receiver: Option<(&str, &CqlType)>) -> Result<()> {
    match receiver {
        Some((name, ty)) if !ty.is_value_compatible_with(&function.returns) => {
            Err(Error::invalid(format!(
                "Type error: cannot assign result of function {} (type {}) to {name} (type {ty})",
                function.name, function.returns
            )))
        }
        _ => Ok(()),
    }
}
