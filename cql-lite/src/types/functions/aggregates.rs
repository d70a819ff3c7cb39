//! Functions over many rows: `count`, `min`, `max`, `sum`, `avg`.
//!
//! `sum` and `avg` give the type of their argument: the sum of ints is an int and wraps round,
//! the average of ints is cut to an int. Over no values at all `count`, `sum` and `avg` are zero,
//! `min` and `max` null. Nulls are passed over.

use num_bigint::BigInt;

use super::arithmetic::{Operator, decimals, divided};
use super::number::Number;
use crate::types::decimal::Decimal;
use crate::types::error::Result;
use crate::types::order::compare;
use crate::types::{CqlType, fixed};

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// Rows, or values that are not null.
    Count,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// The sum.
    Sum,
    /// The mean.
    Avg,
}

impl Aggregation {
    /// The aggregation called `name`.
    pub fn named(name: &str) -> Option<Aggregation> {
        Some(match name {
            "count" | "countrows" | "count_rows" => Aggregation::Count,
            "min" => Aggregation::Min,
            "max" => Aggregation::Max,
            "sum" => Aggregation::Sum,
            "avg" => Aggregation::Avg,
            _ => return None,
        })
    }
}

/// An aggregation with its types.
#[derive(Clone, Debug)]
pub struct AggregateFunction {
    /// What is computed.
    pub aggregation: Aggregation,
    /// The type of the argument; `None` for `count(*)`.
    pub argument: Option<CqlType>,
    /// The type of the result.
    pub returns: CqlType,
}

impl AggregateFunction {
    /// The aggregation of values of type `argument`, or of rows. `None` if there is none: only
    /// numbers have a sum and a mean, and only rows can be counted without an argument.
    pub fn new(aggregation: Aggregation, argument: Option<&CqlType>) -> Option<AggregateFunction> {
        // What is computed from counters are plain numbers.
        let plain = |ty: &CqlType| match ty {
            CqlType::Counter => CqlType::Bigint,
            other => other.clone(),
        };
        let returns = match (aggregation, argument) {
            (Aggregation::Count, _) => CqlType::Bigint,
            (Aggregation::Min | Aggregation::Max, Some(ty)) => plain(ty),
            (Aggregation::Sum | Aggregation::Avg, Some(ty)) if ty.is_numeric() => plain(ty),
            _ => return None,
        };
        Some(AggregateFunction { aggregation, argument: argument.cloned(), returns })
    }

    /// An aggregate that has seen nothing.
    pub fn start(&self) -> Aggregate {
        let state = match (self.aggregation, &self.argument) {
            (Aggregation::Min, Some(_)) => State::Least(None),
            (Aggregation::Max, Some(_)) => State::Greatest(None),
            (Aggregation::Sum | Aggregation::Avg, Some(ty)) => self.start_sum(ty),
            _ => State::Count,
        };
        Aggregate { function: self.clone(), count: 0, state }
    }

    fn start_sum(&self, ty: &CqlType) -> State {
        match ty {
            CqlType::Float | CqlType::Double => State::Doubles(Doubles::default()),
            CqlType::Varint => State::Varint(BigInt::ZERO),
            CqlType::Decimal => State::Decimal(Decimal::zero()),
            _ => State::Integer(0),
        }
    }
}

/// An aggregate over the values seen so far.
#[derive(Clone, Debug)]
pub struct Aggregate {
    function: AggregateFunction,
    count: i64,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Count,
    Least(Option<Vec<u8>>),
    Greatest(Option<Vec<u8>>),
    /// The sum of integers of at most 64 bits; more than 2^63 of them would be needed to overflow.
    Integer(i128),
    Varint(BigInt),
    /// The sum, or for `avg` the mean so far.
    Decimal(Decimal),
    Doubles(Doubles),
}

/// A sum that keeps what each addition rounds away (Kahan's method), as Cassandra's does.
#[derive(Clone, Copy, Debug, Default)]
struct Doubles {
    sum: f64,
    lost: f64,
    /// The sum without correction; right where the corrected one turns infinities into NaN.
    simple: f64,
}

impl Doubles {
    fn add(&mut self, value: f64) {
        self.simple += value;
        let corrected = value - self.lost;
        let sum = self.sum + corrected;
        self.lost = (sum - self.sum) - corrected;
        self.sum = sum;
    }

    fn total(self) -> f64 {
        if self.sum.is_nan() && self.simple.is_infinite() { self.simple } else { self.sum }
    }
}

impl Aggregate {
    /// Takes one value, or for `count(*)` one row, in.
    pub fn add(&mut self, value: Option<&[u8]>) -> Result<()> {
        let Some(ty) = self.function.argument.as_ref() else {
            self.count += 1;
            return Ok(());
        };
        let Some(bytes) = value else { return Ok(()) };
        let number = match self.state {
            State::Count => {
                self.count += 1;
                return Ok(());
            }
            State::Least(ref mut least) => {
                if least.as_ref().is_none_or(|least| compare(ty, bytes, least).is_lt()) {
                    *least = Some(bytes.to_vec());
                }
                return Ok(());
            }
            State::Greatest(ref mut greatest) => {
                if greatest.as_ref().is_none_or(|most| compare(ty, bytes, most).is_gt()) {
                    *greatest = Some(bytes.to_vec());
                }
                return Ok(());
            }
            _ => Number::read(ty, bytes)?,
        };
        match number {
            Some(number) => self.add_number(&number),
            // Empty values count for nothing.
            None => Ok(()),
        }
    }

    fn add_number(&mut self, number: &Number) -> Result<()> {
        self.count += 1;
        match &mut self.state {
            State::Integer(sum) => *sum += i128::from(number.to_i64()),
            State::Varint(sum) => *sum += number.to_varint(),
            State::Doubles(sum) => sum.add(number.to_f64()),
            State::Decimal(sum) if self.function.aggregation == Aggregation::Sum => {
                *sum = decimals(Operator::Add, sum, &number.to_decimal()?)?;
            }
            State::Decimal(mean) => {
                let off = decimals(Operator::Subtract, &number.to_decimal()?, mean)?;
                let count = Decimal::from(BigInt::from(self.count));
                let step = divided(&off, &count, off.scale, true)?;
                *mean = decimals(Operator::Add, mean, &step)?;
            }
            State::Count | State::Least(_) | State::Greatest(_) => {}
        }
        Ok(())
    }

    /// The result over everything taken in so far.
    pub fn result(&self) -> Result<Option<Vec<u8>>> {
        let mean = self.function.aggregation == Aggregation::Avg;
        let divisor = if mean { self.count.max(1) } else { 1 };
        let number = match &self.state {
            State::Count => return Ok(Some(fixed::from_i64(self.count))),
            State::Least(bytes) | State::Greatest(bytes) => return Ok(bytes.clone()),
            // A mean fits the type; a sum wraps round in it.
            State::Integer(sum) => Number::Integer((sum / i128::from(divisor)) as i64),
            State::Varint(sum) => Number::Varint(sum / divisor),
            State::Doubles(sum) => Number::Double(sum.total() / divisor as f64),
            State::Decimal(value) => Number::Decimal(value.clone()),
        };
        number.write(&self.function.returns).map(Some)
    }
}
