//! From restrictions on the partition key to the partitions that a command reads or writes.

use cql_lite::types::order::compare;
use cql_lite::types::partition_key;
use helenus_platform::codec::Reader;
use helenus_platform::murmur3;
use helenus_storage::model::{PartitionBound, PartitionKey, Slice, Token};

use crate::error::{Error, Result};
use crate::query::term::{Bound, Environment, Term};
use crate::schema::Table;

use super::{
    KeyPart, PartitionRestriction, is_too_much, null_value, too_many_combinations, unset_value,
};

/// The key with its token.
pub(crate) fn key_of(bytes: &[u8]) -> PartitionKey {
    PartitionKey { token: Token(murmur3::token(bytes)), key: Slice::copy(bytes) }
}

/// Checks what Cassandra checks of a key of one component.
fn check_single(bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        return Err(Error::invalid("Key may not be empty"));
    }
    if bytes.len() > partition_key::PARTITION_KEY_BYTES_MAX {
        let error = partition_key::PartitionKeyError::TooLong(bytes.len());
        return Err(Error::invalid(error.to_string()));
    }
    Ok(())
}

/// The key of these components.
fn compose_key(components: &[&[u8]]) -> Result<PartitionKey> {
    if let [single] = components {
        check_single(single)?;
    }
    let bytes = partition_key::compose(components);
    Ok(key_of(&bytes.map_err(|error| Error::invalid(error.to_string()))?))
}

/// The partitions that the values of the key's components name: without duplicates, in the order
/// of the components' types, as Cassandra reads them.
pub(crate) fn partition_keys(
    table: &Table,
    parts: &[KeyPart],
    environment: &Environment<'_>,
) -> Result<Vec<PartitionKey>> {
    if let ([KeyPart::One(term)], [column]) = (parts, table.partition_key.as_slice()) {
        return match term.evaluate(environment)? {
            Bound::Bytes(bytes) => {
                check_single(&bytes)?;
                Ok(vec![key_of(&bytes)])
            }
            Bound::Null => Err(null_value(&column.name)),
            Bound::Unset => Err(unset_value(&column.name)),
        };
    }
    let mut keys: Vec<Vec<Vec<u8>>> = vec![Vec::new()];
    for (part, column) in parts.iter().zip(&table.partition_key) {
        let mut values = match part {
            KeyPart::One(term) => match term.evaluate(environment)? {
                Bound::Bytes(bytes) => vec![bytes.into_owned()],
                Bound::Null => return Err(null_value(&column.name)),
                Bound::Unset => return Err(unset_value(&column.name)),
            },
            KeyPart::Many(values) => {
                let values = values.evaluate(environment, &column.name)?.into_iter();
                let present = values.map(|value| value.ok_or_else(|| null_value(&column.name)));
                present.collect::<Result<Vec<_>>>()?
            }
        };
        values.sort_by(|a, b| compare(&column.ty, a, b));
        values.dedup();
        let have = keys.iter().map(|key| key.iter().map(Vec::len).sum());
        if is_too_much(have, values.iter().map(Vec::len)) {
            return Err(too_many_combinations("partitions"));
        }
        let longer = keys.iter().flat_map(|key| {
            values.iter().map(|value| {
                let mut key = key.clone();
                key.push(value.clone());
                key
            })
        });
        keys = longer.collect();
    }
    let composed = keys.iter().map(|components| {
        let components: Vec<&[u8]> = components.iter().map(Vec::as_slice).collect();
        compose_key(&components)
    });
    composed.collect()
}

/// The bounds between which a scan reads; empty ranges are `None`.
pub(crate) fn token_range(
    restriction: &PartitionRestriction,
    environment: &Environment<'_>,
) -> Result<Option<(PartitionBound, PartitionBound)>> {
    let PartitionRestriction::Token { lower, upper } = restriction else {
        return Ok(Some((PartitionBound::Min, PartitionBound::Max)));
    };
    let start = match lower {
        None => PartitionBound::Min,
        Some((term, inclusive)) => {
            let token = token_value(term, environment)?;
            if *inclusive { PartitionBound::Before(token) } else { PartitionBound::After(token) }
        }
    };
    let end = match upper {
        None => PartitionBound::Max,
        Some((term, inclusive)) => {
            let token = token_value(term, environment)?;
            match (token, *inclusive) {
                // The smallest token stands for the end of the ring where it is an upper bound:
                // that is how drivers write the last of the ring's ranges.
                (Token(i64::MIN), _) => PartitionBound::Max,
                (token, true) => PartitionBound::After(token),
                (token, false) => PartitionBound::Before(token),
            }
        }
    };
    Ok((start < end).then_some((start, end)))
}

fn token_value(term: &Term, environment: &Environment<'_>) -> Result<Token> {
    const NAME: &str = "partition key token";
    match term.evaluate(environment)? {
        Bound::Bytes(bytes) => Reader::new(&bytes)
            .i64_be()
            .map(Token)
            .map_err(|_| Error::invalid("Invalid empty value for a token")),
        Bound::Null => Err(null_value(NAME)),
        Bound::Unset => Err(unset_value(NAME)),
    }
}
