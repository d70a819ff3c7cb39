//! How answers look: values, tables, and their colours.

pub(super) mod datetime;
mod float;
pub(super) mod paint;
pub(super) mod table;
pub(super) mod value;
