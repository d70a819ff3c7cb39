//! Which function a call means, by its name and what is known of its arguments.

use super::{ScalarFunction, blobs, collections, floor, json, masks, math, time, vectors};
use crate::ast::LiteralKind;
use crate::types::CqlType;
use crate::types::error::{Result, ValueError};
use crate::types::text::{accepts_constant, exact_type};

/// The longest vector that a constant can be taken for; Cassandra's guardrails stop far below.
const DIMENSION_MAX: usize = 8_192;

/// An argument of a call, before anything is known of the function.
#[derive(Clone, Debug)]
pub struct Argument {
    /// What is known of its type.
    pub kind: ArgumentKind,
    /// The argument as written, for messages.
    pub text: String,
}

/// What is known of the type of an argument.
#[derive(Clone, Debug)]
pub enum ArgumentKind {
    /// A column, a function's result, a value with a type hint.
    Typed(CqlType),
    /// A constant, which can be of several types.
    Constant(LiteralKind),
    /// A bind marker or null, which can be of any type.
    Untyped,
}

/// How well an argument fits a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Not,
    Weak,
    Exact,
}

impl Argument {
    fn fit(&self, parameter: &CqlType) -> Fit {
        let weak = |fits: bool| if fits { Fit::Weak } else { Fit::Not };
        match &self.kind {
            ArgumentKind::Typed(ty) if ty.unfrozen() == parameter.unfrozen() => Fit::Exact,
            ArgumentKind::Typed(ty) => weak(parameter.is_value_compatible_with(ty)),
            ArgumentKind::Constant(kind) if exact_type(*kind, &self.text) == *parameter => {
                Fit::Exact
            }
            ArgumentKind::Constant(kind) => weak(accepts_constant(*kind, parameter)),
            ArgumentKind::Untyped => Fit::Weak,
        }
    }

    /// Whether the argument can be a value of this type.
    pub(super) fn fits(&self, parameter: &CqlType) -> bool {
        self.fit(parameter) != Fit::Not
    }

    /// The type that the argument has if nothing else says which.
    pub(super) fn own_type(&self) -> Option<CqlType> {
        match &self.kind {
            ArgumentKind::Typed(ty) => Some(ty.clone()),
            ArgumentKind::Constant(kind) => Some(exact_type(*kind, &self.text)),
            ArgumentKind::Untyped => None,
        }
    }
}

/// The function that `name(arguments)` means where a `receiver` is wanted, if that is known.
/// `Ok(None)` if no function has this name.
///
/// A name that was not quoted is in lower case here, so `toTimestamp` comes as `totimestamp`.
pub fn resolve(
    name: &str,
    arguments: &[Argument],
    receiver: Option<&CqlType>,
) -> Result<Option<ScalarFunction>> {
    if let Some(wanted) = collections::wanted(name) {
        return resolve_collection(name, wanted, arguments).map(Some);
    }
    match name {
        "to_json" | "tojson" => {
            let [argument] = exactly(name, arguments)?;
            let ty = known_type(name, argument)?;
            return Ok(Some(json::to_json_function(name, &ty)));
        }
        "from_json" | "fromjson" => {
            let [_] = exactly::<1>(name, arguments)?;
            let Some(ty) = receiver else {
                let message = format!(
                    "{name}() cannot be used in the selection clause of a SELECT statement"
                );
                return Err(ValueError::invalid(message));
            };
            return Ok(Some(json::from_json_function(name, ty)));
        }
        _ if name.starts_with("mask_") => return masks::resolve(name, arguments),
        _ if name.starts_with("similarity_") => return resolve_similarity(name, arguments),
        _ => {}
    }
    let mut candidates = time::overloads(name);
    candidates.extend(floor::overloads(name));
    candidates.extend(math::overloads(name));
    candidates.extend(blobs::overloads(name));
    if candidates.is_empty() {
        return Ok(None);
    }
    choose(name, candidates, arguments, receiver).map(Some)
}

fn exactly<'a, const N: usize>(name: &str, arguments: &'a [Argument]) -> Result<&'a [Argument; N]> {
    arguments.try_into().map_err(|_| {
        let texts: Vec<_> = arguments.iter().map(|argument| argument.text.as_str()).collect();
        let call = texts.join(", ");
        ValueError::invalid(format!(
            "Invalid number of arguments for function system.{name}({call})"
        ))
    })
}

pub(super) fn known_type(name: &str, argument: &Argument) -> Result<CqlType> {
    argument.own_type().ok_or_else(|| {
        let text = &argument.text;
        ValueError::invalid(format!(
            "Cannot infer type of argument {text} in call to function system.{name}: use type \
             casts to disambiguate"
        ))
    })
}

fn resolve_collection(name: &str, wanted: &str, arguments: &[Argument]) -> Result<ScalarFunction> {
    let [argument] = exactly(name, arguments)?;
    let ty = known_type(name, argument)?;
    collections::function(name, &ty).ok_or_else(|| {
        let text = &argument.text;
        ValueError::invalid(format!(
            "Function system.{name} requires a {wanted} argument, but found argument {text} of \
             type {ty}"
        ))
    })
}

fn resolve_similarity(name: &str, arguments: &[Argument]) -> Result<Option<ScalarFunction>> {
    if vectors::similarity(name, 1).is_none() {
        return Ok(None);
    }
    let [left, right] = exactly(name, arguments)?;
    let mut dimension = None;
    for argument in [left, right] {
        let text = &argument.text;
        let found = match argument.own_type() {
            None => continue,
            Some(CqlType::Vector(element, found))
                if *element == CqlType::Float && found <= DIMENSION_MAX =>
            {
                found
            }
            Some(other) => {
                return Err(ValueError::invalid(format!(
                    "Function system.{name} requires a float vector argument, but found argument \
                     {text} of type {other}"
                )));
            }
        };
        if dimension.is_some_and(|dimension| dimension != found) {
            let message = "All arguments must have the same vector dimensions";
            return Err(ValueError::invalid(message));
        }
        dimension = Some(found);
    }
    match dimension {
        Some(dimension) => Ok(vectors::similarity(name, dimension)),
        None => known_type(name, left).map(|_| None),
    }
}

/// Picks among several signatures as Cassandra does: an exact one, else the only one that fits.
fn choose(
    name: &str,
    candidates: Vec<ScalarFunction>,
    arguments: &[Argument],
    receiver: Option<&CqlType>,
) -> Result<ScalarFunction> {
    if let [single] = candidates.as_slice() {
        check_single(name, single, arguments)?;
        return Ok(single.clone());
    }
    let list = |functions: &[&ScalarFunction]| {
        functions.iter().map(|f| f.to_string()).collect::<Vec<_>>().join(", ")
    };
    let fit = |candidate: &ScalarFunction| {
        if candidate.arguments.len() != arguments.len() {
            return Fit::Not;
        }
        let fits = candidate.arguments.iter().zip(arguments);
        fits.map(|(parameter, argument)| argument.fit(parameter)).min().unwrap_or(Fit::Exact)
    };
    if let Some(exact) = candidates.iter().find(|candidate| fit(candidate) == Fit::Exact) {
        return Ok(exact.clone());
    }
    let fitting: Vec<_> = candidates.iter().filter(|c| fit(c) == Fit::Weak).collect();
    match fitting.as_slice() {
        [] => {
            let known = list(&candidates.iter().collect::<Vec<_>>());
            Err(ValueError::invalid(format!(
                "Invalid call to function {name}, none of its type signatures match (known type \
                 signatures: {known})"
            )))
        }
        [only] => Ok((*only).clone()),
        several => match several.iter().find(|f| receiver == Some(&f.returns)) {
            Some(wanted)
                if several.iter().filter(|f| receiver == Some(&f.returns)).count() == 1 =>
            {
                Ok((*wanted).clone())
            }
            _ => Err(ValueError::invalid(format!(
                "Ambiguous call to function {name} (can be matched by following signatures: {}): \
                 use type casts to disambiguate",
                list(several)
            ))),
        },
    }
}

fn check_single(name: &str, function: &ScalarFunction, arguments: &[Argument]) -> Result<()> {
    let (required, provided) = (function.arguments.len(), arguments.len());
    if required != provided {
        return Err(ValueError::invalid(format!(
            "Invalid number of arguments in call to function system.{name}: {required} required \
             but {provided} provided"
        )));
    }
    for (index, (parameter, argument)) in function.arguments.iter().zip(arguments).enumerate() {
        if argument.fit(parameter) == Fit::Not {
            let text = &argument.text;
            return Err(ValueError::invalid(format!(
                "Type error: {text} cannot be passed as argument {index} of function \
                 system.{name} of type {parameter}"
            )));
        }
    }
    Ok(())
}
