//! What reads over several replicas count.

use std::sync::Arc;

use crate::telemetry::{Counter, Registry};

/// The metrics of all such reads.
#[derive(Debug)]
pub struct ReadMetrics {
    /// Replicas had different answers.
    pub mismatches: Arc<Counter>,
    /// Mutations sent to replicas that lacked them.
    pub repairs: Arc<Counter>,
    /// Spares asked because a replica was late.
    pub speculations: Arc<Counter>,
    /// Spares asked because a replica failed.
    pub retries: Arc<Counter>,
    /// Reads that too few replicas answered in time.
    pub timeouts: Arc<Counter>,
    /// Reads for which too many replicas failed.
    pub failures: Arc<Counter>,
}

impl ReadMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Arc<ReadMetrics> {
        let counter = |name, help| registry.counter(name, help, Vec::new());
        Arc::new(ReadMetrics {
            mismatches: counter(
                "helenus_read_digest_mismatches_total",
                "Pages of reads over several replicas on which these differed.",
            ),
            repairs: counter(
                "helenus_read_repairs_total",
                "Mutations that reads sent to replicas which lacked them.",
            ),
            speculations: counter(
                "helenus_read_speculations_total",
                "Further replicas asked because one was late.",
            ),
            retries: counter(
                "helenus_read_retries_total",
                "Further replicas asked because one failed.",
            ),
            timeouts: counter(
                "helenus_read_timeouts_total",
                "Reads that too few replicas answered in time.",
            ),
            failures: counter(
                "helenus_read_failures_total",
                "Reads for which too many replicas failed.",
            ),
        })
    }
}
