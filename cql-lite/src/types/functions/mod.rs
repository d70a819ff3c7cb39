//! The functions of CQL that need nothing but their arguments, the time and chance.
//!
//! A [`ScalarFunction`] has a name, the types it takes and gives, and runs on serialized values.
//! [`resolve()`] finds the one that a call means. Not here: `token`, `writetime` and `ttl`, which
//! look at the table or the row.

pub mod aggregates;
pub mod arithmetic;
mod blobs;
mod cast;
mod collections;
mod floor;
mod json;
mod masks;
mod math;
pub(super) mod number;
mod resolve;
pub mod time;
mod vectors;

use std::fmt;
use std::sync::Arc;

use super::CqlType;
use super::error::Result;

pub use cast::cast;
pub use resolve::{Argument, ArgumentKind, resolve};

/// What functions may ask of the world. Within one request the time stands still.
pub trait Environment {
    /// Microseconds since the epoch.
    fn now_micros(&self) -> i64;
    /// A version 1 UUID of this moment, different from every other.
    fn timeuuid(&self) -> [u8; 16];
    /// A random version 4 UUID.
    fn random_uuid(&self) -> [u8; 16];
}

/// The body of a function: from serialized arguments, each perhaps null, to a serialized result.
pub type Body = dyn Fn(&[Option<&[u8]>], &dyn Environment) -> Result<Option<Vec<u8>>> + Send + Sync;

/// A function with the types of one of its signatures.
#[derive(Clone)]
pub struct ScalarFunction {
    /// Its name, as stored: `totimestamp`, `to_timestamp`.
    pub name: String,
    /// The types of the arguments.
    pub arguments: Vec<CqlType>,
    /// The type of the result.
    pub returns: CqlType,
    /// The result depends on the arguments alone.
    pub pure: bool,
    body: Arc<Body>,
}

impl ScalarFunction {
    /// A function of its arguments alone.
    fn new(
        name: &str,
        arguments: Vec<CqlType>,
        returns: CqlType,
        body: impl Fn(&[Option<&[u8]>]) -> Result<Option<Vec<u8>>> + Send + Sync + 'static,
    ) -> ScalarFunction {
        let body = Arc::new(move |values: &[Option<&[u8]>], _: &dyn Environment| body(values));
        ScalarFunction { name: name.to_owned(), arguments, returns, pure: true, body }
    }

    /// A function of one argument, which gives null for null and for empty values.
    fn unary(
        name: &str,
        argument: CqlType,
        returns: CqlType,
        body: impl Fn(&[u8]) -> Result<Option<Vec<u8>>> + Send + Sync + 'static,
    ) -> ScalarFunction {
        ScalarFunction::new(name, vec![argument], returns, move |values| match values {
            [Some(bytes)] if !bytes.is_empty() => body(bytes),
            _ => Ok(None),
        })
    }

    /// A function that asks the environment.
    fn asking(
        name: &str,
        returns: CqlType,
        body: impl Fn(&dyn Environment) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> ScalarFunction {
        let body = Arc::new(move |_: &[Option<&[u8]>], world: &dyn Environment| Ok(body(world)));
        ScalarFunction { name: name.to_owned(), arguments: Vec::new(), returns, pure: false, body }
    }

    /// Calls the function. There must be as many values as arguments, valid for their types.
    pub fn call(
        &self,
        values: &[Option<&[u8]>],
        world: &dyn Environment,
    ) -> Result<Option<Vec<u8>>> {
        (self.body)(values, world)
    }
}

impl fmt::Display for ScalarFunction {
    /// As Cassandra lists signatures: `system.totimestamp : (timeuuid) -> timestamp`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments: Vec<_> = self.arguments.iter().map(CqlType::to_string).collect();
        write!(f, "system.{} : ({}) -> {}", self.name, arguments.join(", "), self.returns)
    }
}

impl fmt::Debug for ScalarFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
