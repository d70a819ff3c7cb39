//! `+ - * / %` and unary minus: which types are meant where they are not written.

use std::sync::Arc;

use cql_lite::ast::ArithmeticOperator;
use cql_lite::types::CqlType;
use cql_lite::types::functions::arithmetic::{self, Operator};
use cql_lite::types::functions::{Argument, ArgumentKind};
use cql_lite::types::text::{accepts_constant, exact_type};

use crate::error::{Error, Result};

use super::Function;

/// The operator as cql-lite's functions know it.
pub(crate) fn operator(operator: ArithmeticOperator) -> Operator {
    match operator {
        ArithmeticOperator::Add => Operator::Add,
        ArithmeticOperator::Subtract => Operator::Subtract,
        ArithmeticOperator::Multiply => Operator::Multiply,
        ArithmeticOperator::Divide => Operator::Divide,
        ArithmeticOperator::Modulo => Operator::Modulo,
    }
}

fn ambiguous(operator: Operator, left: &Argument, right: &Argument) -> Error {
    let (symbol, left, right) = (operator.symbol(), &left.text, &right.text);
    Error::invalid(format!(
        "Ambiguous '{symbol}' operation with args {left} and {right}: use type hint to \
         disambiguate, example '(int) ?'"
    ))
}

/// The type of a side whose other side has type `other`; for constants the same, if they can be
/// of that type.
fn beside(side: &Argument, other: &CqlType, operator: Operator) -> Option<CqlType> {
    // What is added to a point in time is a duration.
    let temporal = matches!(other, CqlType::Timestamp | CqlType::Date);
    let shifts = matches!(operator, Operator::Add | Operator::Subtract);
    let wanted = if temporal && shifts { &CqlType::Duration } else { other };
    match &side.kind {
        ArgumentKind::Typed(ty) => Some(ty.clone()),
        ArgumentKind::Constant(kind) if accepts_constant(*kind, wanted) => Some(wanted.clone()),
        ArgumentKind::Constant(kind) => Some(exact_type(*kind, &side.text)),
        ArgumentKind::Untyped => Some(wanted.clone()),
    }
}

/// The function of an operator between two sides. `receiver`: the type that is wanted.
pub(crate) fn operation(
    operator: Operator,
    left: &Argument,
    right: &Argument,
    receiver: Option<&CqlType>,
) -> Result<Function> {
    use ArgumentKind::{Constant, Typed, Untyped};
    let types = match (&left.kind, &right.kind) {
        (Typed(l), _) => beside(right, l, operator).map(|r| (l.clone(), r)),
        (_, Typed(r)) => beside(left, r, operator).map(|l| (l, r.clone())),
        (Constant(l), Constant(r)) => {
            let wanted = receiver.map(CqlType::unfrozen).filter(|ty| {
                ty.is_numeric() && accepts_constant(*l, ty) && accepts_constant(*r, ty)
            });
            Some(match wanted {
                Some(ty) => (ty.clone(), ty.clone()),
                None => (exact_type(*l, &left.text), exact_type(*r, &right.text)),
            })
        }
        (Untyped, _) | (_, Untyped) => receiver
            .map(CqlType::unfrozen)
            .filter(|ty| ty.is_numeric())
            .map(|ty| (ty.clone(), ty.clone())),
    };
    let (l, r) = types.ok_or_else(|| ambiguous(operator, left, right))?;
    match arithmetic::operation(operator, &l, &r) {
        Some(function) => Ok(Function::Scalar(Arc::new(function))),
        None => Err(Error::invalid(format!(
            "the '{}' operation is not supported between {} and {}",
            operator.symbol(),
            left.text,
            right.text
        ))),
    }
}

/// The function of a minus before an operand.
pub(crate) fn negation(operand: &Argument, receiver: Option<&CqlType>) -> Result<Function> {
    let ty = match (&operand.kind, receiver.map(CqlType::unfrozen)) {
        (ArgumentKind::Typed(ty), _) => ty.clone(),
        (ArgumentKind::Constant(kind), Some(ty)) if accepts_constant(*kind, ty) => ty.clone(),
        (ArgumentKind::Constant(kind), _) => exact_type(*kind, &operand.text),
        (ArgumentKind::Untyped, Some(ty)) => ty.clone(),
        (ArgumentKind::Untyped, None) => {
            return Err(Error::invalid(format!(
                "Ambiguous negation: use type casts to disambiguate: -{}",
                operand.text
            )));
        }
    };
    match arithmetic::negation(&ty) {
        Some(function) => Ok(Function::Scalar(Arc::new(function))),
        None => {
            Err(Error::invalid(format!("the '-' operation is not supported on {}", operand.text)))
        }
    }
}
