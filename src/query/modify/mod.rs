//! INSERT, UPDATE, DELETE and BATCH: from the statement to a plan, from the plan to mutations.
//!
//! `insert`, `update` and `delete` check and plan their statements; `operation` is what happens to
//! one column; `write` turns a plan with the client's values into storage's bytes.

mod delete;
mod insert;
mod operation;
mod plan;
mod update;
mod write;

pub(crate) use delete::prepare as prepare_delete;
pub(crate) use insert::prepare as prepare_insert;
pub(crate) use plan::ModifyPlan;
pub(crate) use update::prepare as prepare_update;
pub(crate) use write::{MutationSet, WriteContext};
