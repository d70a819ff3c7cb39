//! Calls of functions: which one is meant, and calling it. The functions themselves are
//! cql-lite's; only `token` needs to know a table.

mod arithmetic;
mod term;

use std::sync::Arc;

use cql_lite::types::error::ValueErrorKind;
use cql_lite::types::functions::{self, Argument, ArgumentKind, ScalarFunction, time};
use cql_lite::types::{CqlType, partition_key};
use helenus_platform::codec::Put;
use helenus_platform::murmur3;
use helenus_platform::random::Random;

use crate::error::{Error, ErrorKind, Result};

pub(crate) use arithmetic::{negation, operation, operator};
pub(crate) use term::{
    argument_kind, compile_arithmetic, compile_cast, compile_negation, compile_term,
    term_assignment,
};

/// What functions may ask: the moment of the request, and chance.
pub(crate) struct World<'a> {
    /// Microseconds since the epoch.
    pub(crate) now: i64,
    /// Source of UUIDs.
    pub(crate) random: &'a dyn Random,
}

impl functions::Environment for World<'_> {
    fn now_micros(&self) -> i64 {
        self.now
    }

    fn timeuuid(&self) -> [u8; 16] {
        // The moment in microseconds; the tenth of one, the clock sequence and the node by chance.
        let chance = self.random.next_u64();
        let ticks = self.now.wrapping_mul(10).wrapping_add((chance % 10) as i64);
        let mut low = [0; 8];
        self.random.fill(&mut low);
        // The multicast bit marks a node id as made up.
        low[2] |= 0x01;
        time::timeuuid_at(ticks, low)
    }

    fn random_uuid(&self) -> [u8; 16] {
        self.random.uuid_v4()
    }
}

/// What is called.
#[derive(Debug, Clone)]
pub(crate) enum Function {
    /// A function of cql-lite.
    Scalar(Arc<ScalarFunction>),
    /// The token of a partition key of these types.
    Token(Vec<CqlType>),
}

impl Function {
    /// Its name as Cassandra shows it.
    pub(crate) fn name(&self) -> String {
        match self {
            Function::Scalar(function) => format!("system.{}", function.name),
            Function::Token(_) => "system.token".to_owned(),
        }
    }

    /// The types of its arguments.
    pub(crate) fn arguments(&self) -> &[CqlType] {
        match self {
            Function::Scalar(function) => &function.arguments,
            Function::Token(types) => types,
        }
    }

    /// The type of its result.
    pub(crate) fn returns(&self) -> &CqlType {
        match self {
            Function::Scalar(function) => &function.returns,
            Function::Token(_) => &CqlType::Bigint,
        }
    }

    /// Calls it.
    pub(crate) fn call(
        &self,
        arguments: &[Option<&[u8]>],
        now: i64,
        random: &dyn Random,
    ) -> Result<Option<Vec<u8>>> {
        match self {
            Function::Scalar(function) => {
                function.call(arguments, &World { now, random }).map_err(|error| match error.kind {
                    ValueErrorKind::Execution => failed(function, error.message),
                    _ => Error::from(error),
                })
            }
            Function::Token(_) => token(arguments),
        }
    }
}

/// A function that failed while it ran.
fn failed(function: &ScalarFunction, message: String) -> Error {
    let kind = ErrorKind::FunctionFailure {
        keyspace: "system".to_owned(),
        function: function.name.clone(),
        arguments: function.arguments.iter().map(CqlType::to_string).collect(),
    };
    Error::new(kind, message)
}

fn token(arguments: &[Option<&[u8]>]) -> Result<Option<Vec<u8>>> {
    let Some(parts) = arguments.iter().copied().collect::<Option<Vec<&[u8]>>>() else {
        return Ok(None);
    };
    let key = partition_key::compose(&parts).map_err(|error| Error::invalid(error.to_string()))?;
    let mut bytes = Vec::with_capacity(8);
    bytes.put_i64_be(murmur3::token(&key));
    Ok(Some(bytes))
}

/// A call of a function with compiled arguments.
#[derive(Debug, Clone)]
pub(crate) struct Call<A> {
    /// What is called.
    pub(crate) function: Function,
    /// Its arguments.
    pub(crate) arguments: Vec<A>,
}

/// What a call of `name` means. `receiver`: the type that is wanted, if that is known;
/// `partition_key`: the types of the table's key.
pub(crate) fn resolve(
    name: &str,
    arguments: &[Argument],
    receiver: Option<&CqlType>,
    partition_key: &[CqlType],
) -> Result<Function> {
    if name == "token" {
        return resolve_token(arguments, partition_key);
    }
    match functions::resolve(name, arguments, receiver)? {
        Some(function) => Ok(Function::Scalar(Arc::new(function))),
        None => Err(Error::invalid(format!("Unknown function '{name}'"))),
    }
}

fn resolve_token(arguments: &[Argument], partition_key: &[CqlType]) -> Result<Function> {
    let (required, provided) = (partition_key.len(), arguments.len());
    if required != provided {
        return Err(Error::invalid(format!(
            "Invalid number of arguments in call to function system.token: {required} required \
             but {provided} provided"
        )));
    }
    for (index, (argument, ty)) in arguments.iter().zip(partition_key).enumerate() {
        if let ArgumentKind::Typed(given) = &argument.kind
            && !ty.is_value_compatible_with(given)
        {
            return Err(Error::invalid(format!(
                "Type error: {} cannot be passed as argument {index} of function system.token of \
                 type {ty}",
                argument.text
            )));
        }
    }
    Ok(Function::Token(partition_key.to_vec()))
}

/// Refuses a result that what gets it cannot hold.
pub(crate) fn check_result(function: &Function, name: &str, wanted: &CqlType) -> Result<()> {
    if wanted.is_value_compatible_with(function.returns()) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Type error: cannot assign result of function {} (type {}) to {name} (type {wanted})",
        function.name(),
        function.returns()
    )))
}
