//! Reads over several replicas: whole engines that talk over a simulated network, on simulated
//! time, from a seed. What they write and read, and the model that says what must come of it, are
//! those of the engine's own tests.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod faults;
mod lab;
mod quorum;
mod replica;

#[expect(dead_code, reason = "the engine's tests need more of it")]
#[path = "../../storage/tests/it/collect.rs"]
mod collect;
#[path = "../../storage/tests/it/encode.rs"]
mod encode;
#[expect(dead_code, reason = "the engine's tests need more of it")]
#[path = "../../storage/tests/it/harness.rs"]
mod harness;
#[expect(dead_code, reason = "the engine's tests need more of it")]
#[path = "../../storage/tests/it/model.rs"]
mod model;
#[expect(dead_code, reason = "the engine's tests need more of it")]
#[path = "../../storage/tests/it/ops.rs"]
mod ops;
