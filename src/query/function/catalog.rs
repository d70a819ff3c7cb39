//! All functions by name. Names compare without regard to case; most have an older name in camel
//! case and a newer one with underscores.

use cql_lite::types::CqlType;

use super::{Body, Function, blob, time};

/// The overloads of the function of that name; empty if there is none.
///
/// `given` are the types of the arguments as far as they are known: functions that take any type
/// have one overload for what they are given. `partition_key` are the types of the table's key.
pub(super) fn overloads(
    name: &str,
    given: &[Option<CqlType>],
    partition_key: &[CqlType],
) -> Vec<Function> {
    let name = name.to_lowercase();
    let mut found = match name.as_str() {
        "token" => vec![token(partition_key)],
        "uuid" => vec![function(&[], CqlType::Uuid, uuid)],
        _ => {
            let mut found = time::overloads(&name);
            found.extend(blob::overloads(&name, given));
            found
        }
    };
    // A function is shown under the name that it was called by.
    found.iter_mut().for_each(|function| function.name = format!("system.{name}"));
    found
}

/// A function that gives null for null.
pub(super) fn function(arguments: &[CqlType], returns: CqlType, body: Body) -> Function {
    let arguments = arguments.to_vec();
    Function { name: String::new(), arguments, returns, null_on_null: true, body }
}

fn token(partition_key: &[CqlType]) -> Function {
    function(partition_key, CqlType::Bigint, |_, arguments| {
        let parts: Vec<&[u8]> = arguments.iter().flatten().copied().collect();
        let key = cql_lite::types::partition_key::compose(&parts)
            .map_err(|error| crate::error::Error::invalid(error.to_string()))?;
        let token = cql_lite::types::murmur3::token(&key);
        Ok(Some(crate::schema::system::values::bigint(token).unwrap_or_default()))
    })
}

fn uuid(
    call: &super::Invocation<'_>,
    _: &[Option<&[u8]>],
) -> crate::error::Result<Option<Vec<u8>>> {
    Ok(Some(call.random.uuid_v4().to_vec()))
}
