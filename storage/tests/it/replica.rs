//! Reads of several replicas against the model: the same operations, each received by some of the
//! replicas, and merged by the coordinator's half.

mod cluster;
mod commands;
mod damage;
mod layout;
mod union;
