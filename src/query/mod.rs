//! A statement becomes a plan becomes rows.
//!
//! [`prepare`] parses, checks and plans; [`Execution`] runs a plan in steps that never wait.

mod bindings;
pub mod ddl;
mod describe;
mod execution;
mod function;
mod guardrails;
mod modify;
mod number;
mod prepared;
mod restriction;
mod row;
mod run;
mod select;
mod services;
pub mod source;
mod term;
#[cfg(test)]
mod tests;
mod type_name;

pub use describe::schema_script;
pub use execution::{Step, Waited};
pub use guardrails::Guardrails;
pub use prepared::{Prepared, STATEMENT_BYTES_MAX, prepare, statement_id};
pub use run::{Ask, Execution};
pub use services::Services;
