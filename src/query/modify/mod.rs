//! INSERT, UPDATE, DELETE and BATCH: from the statement to a plan, from the plan to mutations.
//!
//! `insert`, `update` and `delete` check and plan their statements; `operation` is what happens to
//! one column; `write` turns a plan with the client's values
//! into storage's bytes, `read` finds what some plans need first, `run` does all of it in steps.

mod batch;
mod condition;
mod delete;
mod insert;
mod limits;
mod list_paths;
mod operation;
mod plan;
mod read;
mod run;
mod simple;
mod update;
mod view;
mod write;

pub(crate) use batch::check as check_batch;
pub(crate) use delete::prepare as prepare_delete;
pub(crate) use insert::prepare as prepare_insert;
pub(crate) use plan::{ModifyPlan, attributes};
pub(crate) use run::{Begun, ModifyExecution, WriteStatement, WriteTimes, begin};
pub(crate) use update::prepare as prepare_update;
pub(crate) use write::timestamp_value;
