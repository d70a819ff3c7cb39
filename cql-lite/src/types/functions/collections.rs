//! Functions over the elements of one collection.

use super::ScalarFunction;
use super::aggregates::{AggregateFunction, Aggregation};
use crate::types::error::Result;
use crate::types::frames::{self, CollectionBuilder};
use crate::types::{CqlType, fixed};

/// What a function of a collection asks of its argument.
pub(super) fn wanted(name: &str) -> Option<&'static str> {
    Some(match name {
        "map_keys" | "map_values" => "map",
        "collection_count" => "collection",
        "collection_min" | "collection_max" => "set or list",
        "collection_sum" | "collection_avg" => "numeric set/list",
        _ => return None,
    })
}

/// The function called `name` of a collection of type `ty`; `None` if it is not for such.
pub(super) fn function(name: &str, ty: &CqlType) -> Option<ScalarFunction> {
    match (name, ty.unfrozen()) {
        ("map_keys", CqlType::Map(key, _)) => {
            let result = CqlType::Set(key.clone()).frozen();
            Some(part_of_map(name, ty, result, true))
        }
        ("map_values", CqlType::Map(_, value)) => {
            let result = CqlType::List(value.clone()).frozen();
            Some(part_of_map(name, ty, result, false))
        }
        ("collection_count", CqlType::List(_) | CqlType::Set(_) | CqlType::Map(..)) => {
            let collection = ty.clone();
            Some(ScalarFunction::unary(name, ty.clone(), CqlType::Int, move |bytes| {
                let count = match collection.unfrozen() {
                    CqlType::Map(..) => frames::map_elements(bytes)?.left() / 2,
                    _ => frames::list_elements(bytes)?.left(),
                };
                Ok(Some(fixed::from_i32(count as i32)))
            }))
        }
        (_, CqlType::List(element) | CqlType::Set(element)) => {
            let aggregation = match name {
                "collection_min" => Aggregation::Min,
                "collection_max" => Aggregation::Max,
                "collection_sum" => Aggregation::Sum,
                "collection_avg" => Aggregation::Avg,
                _ => return None,
            };
            aggregate(name, ty, AggregateFunction::new(aggregation, Some(element))?)
        }
        _ => None,
    }
}

fn part_of_map(name: &str, ty: &CqlType, result: CqlType, keys: bool) -> ScalarFunction {
    ScalarFunction::unary(name, ty.clone(), result, move |bytes| {
        let mut builder = CollectionBuilder::new();
        for (key, value) in frames::map_entries(bytes)? {
            builder.element(if keys { key } else { value });
        }
        Ok(Some(builder.finish()))
    })
}

fn aggregate(name: &str, ty: &CqlType, function: AggregateFunction) -> Option<ScalarFunction> {
    let result = function.returns.clone();
    Some(ScalarFunction::unary(name, ty.clone(), result, move |bytes| {
        let mut state = function.start();
        for element in frames::list_elements(bytes)? {
            state.add(Some(element?))?;
        }
        let result: Result<_> = state.result();
        result
    }))
}
