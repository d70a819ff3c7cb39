//! Functions: which there are, which overload a call means, and calling it.

mod blob;
mod catalog;
mod resolve;
mod term;
mod time;

use std::sync::Arc;

use cql_lite::types::CqlType;
use helenus_platform::random::Random;

use crate::error::Result;

pub(crate) use resolve::{Argument, resolve};
pub(crate) use term::{compile_arithmetic, compile_cast, compile_term, term_assignment};
pub(crate) use time::timeuuid;

/// What a function's body gets beside its arguments.
pub(crate) struct Invocation<'a> {
    /// The function that is called, with the types of its arguments.
    pub(crate) function: &'a Function,
    /// The moment of the request: microseconds since the epoch.
    pub(crate) now: i64,
    /// Source of UUIDs.
    pub(crate) random: &'a dyn Random,
}

/// A function's body: serialized arguments in, serialized result out.
pub(crate) type Body = fn(&Invocation<'_>, &[Option<&[u8]>]) -> Result<Option<Vec<u8>>>;

/// One overload of a function.
#[derive(Clone)]
pub(crate) struct Function {
    /// Its name, as Cassandra shows it.
    pub(crate) name: String,
    /// The types of its arguments.
    pub(crate) arguments: Vec<CqlType>,
    /// The type of its result.
    pub(crate) returns: CqlType,
    /// A null argument makes the result null, without a call.
    pub(crate) null_on_null: bool,
    /// What it does.
    pub(crate) body: Body,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.signature())
    }
}

impl Function {
    /// Calls it.
    pub(crate) fn call(
        &self,
        arguments: &[Option<&[u8]>],
        now: i64,
        random: &dyn Random,
    ) -> Result<Option<Vec<u8>>> {
        if self.null_on_null && arguments.iter().any(Option::is_none) {
            return Ok(None);
        }
        (self.body)(&Invocation { function: self, now, random }, arguments)
    }

    /// `name : (types) -> type`, as Cassandra shows it.
    pub(crate) fn signature(&self) -> String {
        let arguments: Vec<String> = self.arguments.iter().map(CqlType::to_string).collect();
        format!("{} : ({}) -> {}", self.name, arguments.join(", "), self.returns)
    }
}

/// A call of a function with compiled arguments.
#[derive(Debug, Clone)]
pub(crate) struct Call<A> {
    /// The overload that is meant.
    pub(crate) function: Arc<Function>,
    /// Its arguments.
    pub(crate) arguments: Vec<A>,
}
