//! Settings, with their units, bounds and the reasons for their defaults.

use std::net::SocketAddr;
use std::time::Duration;

use crate::error::Error;
use crate::id::{ClusterId, Generation, HostId};
use crate::message::{CLUSTER_NAME_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::state::{Key, VALUE_BYTES_MAX, Value};

/// Most seeds; they are all asked in the shadow round.
pub const SEEDS_MAX: usize = 64;
/// A message that holds one node's longest value, with everything around it.
const MESSAGE_BYTES_MIN: usize = 2 * VALUE_BYTES_MAX;

/// How a node gossips. The defaults of interval, fan-out and threshold were chosen by simulation:
/// docs/decisions/0003-how-gossip-is-tuned.md.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster's name: a message that names another one is refused.
    pub cluster_name: String,
    /// The cluster's id, once the node belongs to one. Without, it learns the id in the shadow
    /// round, or its caller founds a cluster.
    pub cluster_id: Option<ClusterId>,
    /// The time between rounds: 10 ms to 60 s.
    pub interval: Duration,
    /// Peers that are up and that each round begins an exchange with: 1 to 16.
    pub fan_out: usize,
    /// The phi at which a node is convicted: above 0, at most 64. With the interval it gives the
    /// silence that is taken for death: about `interval × threshold × 2.3`.
    pub phi_threshold: f64,
    /// Longest message that is sent, in bytes: 2 KiB to 1 MiB. What does not fit comes in a later
    /// exchange. 64 KiB hold the digests of 2,700 nodes.
    pub message_bytes_max: usize,
    /// Most nodes that are kept; more are refused. A node takes about 500 bytes of memory.
    pub nodes_max: usize,
    /// Answers to exchanges that others begin, at most, in each interval.
    pub answers_max: u32,
    /// How long the shadow round waits for seeds.
    pub shadow_timeout: Duration,
    /// How long what is known of a node that left or was removed is passed on.
    pub tombstone_retention: Duration,
    /// How long after that, any mention of it is refused.
    pub quarantine: Duration,
    /// How long a node that was joining may be down before it is forgotten, and quarantined.
    pub joining_timeout: Duration,
    /// How far a node's generation may be ahead of ours, in seconds: what is further comes from a
    /// clock that is wrong, and would shut out every later life of that node.
    pub generation_ahead_max: u64,
}

impl Config {
    /// The defaults.
    #[must_use]
    pub fn new(cluster_name: &str) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Config {
            cluster_name: cluster_name.to_owned(),
            cluster_id: None,
            interval: Duration::from_millis(500),
            fan_out: 2,
            phi_threshold: 4.0,
            message_bytes_max: 64 << 10,
            nodes_max: 10_000,
            answers_max: 64,
            shadow_timeout: Duration::from_secs(10),
            tombstone_retention: 3 * DAY,
            quarantine: 3 * DAY,
            joining_timeout: Duration::from_secs(30 * 60),
            generation_ahead_max: 366 * 24 * 3600,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        let millis = self.interval.as_millis();
        let threshold = self.phi_threshold;
        let name = self.cluster_name.len();
        let checks = [
            (
                (1..=CLUSTER_NAME_BYTES_MAX).contains(&name),
                "cluster_name",
                self.cluster_name.clone(),
                "it must have 1 to 255 bytes",
            ),
            (
                self.cluster_id != Some(ClusterId(0)),
                "cluster_id",
                "zero".to_owned(),
                "a cluster's id is not zero",
            ),
            (
                (10..=60_000).contains(&millis),
                "interval",
                format!("{millis} ms"),
                "it must be from 10 ms to 60 s",
            ),
            (
                (1..=16).contains(&self.fan_out),
                "fan_out",
                self.fan_out.to_string(),
                "it must be from 1 to 16",
            ),
            (
                threshold > 0.0 && threshold <= 64.0,
                "phi_threshold",
                threshold.to_string(),
                "it must be above 0 and at most 64",
            ),
            (
                (MESSAGE_BYTES_MIN..=MESSAGE_BYTES_MAX).contains(&self.message_bytes_max),
                "message_bytes_max",
                self.message_bytes_max.to_string(),
                "it must be from 2 KiB to 1 MiB",
            ),
            (
                (1..=1_000_000).contains(&self.nodes_max),
                "nodes_max",
                self.nodes_max.to_string(),
                "it must be from 1 to 1,000,000",
            ),
            (
                self.answers_max >= 1,
                "answers_max",
                self.answers_max.to_string(),
                "it must be at least 1",
            ),
        ];
        match checks.into_iter().find(|(holds, ..)| !holds) {
            Some((_, setting, value, must)) => Err(Error::Config { setting, value, must }),
            None => Ok(()),
        }
    }
}

/// What the node says of itself at its start.
#[derive(Clone, Debug)]
pub struct Local {
    /// Its host id.
    pub host: HostId,
    /// This life of it; see [`Generation`].
    pub generation: Generation,
    /// Where other nodes reach it.
    pub address: SocketAddr,
    /// Further values; the status is among them, or is `Joining`.
    pub values: Vec<(Key, Value)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_and_nonsense_is_named() {
        Config::new("c").validate().unwrap();
        type Change = fn(&mut Config);
        let wrong: [(&str, Change); 6] = [
            ("cluster_name", |c| c.cluster_name.clear()),
            ("interval", |c| c.interval = Duration::from_millis(9)),
            ("fan_out", |c| c.fan_out = 0),
            ("phi_threshold", |c| c.phi_threshold = f64::NAN),
            ("message_bytes_max", |c| c.message_bytes_max = 100),
            ("nodes_max", |c| c.nodes_max = 0),
        ];
        for (name, change) in wrong {
            let mut config = Config::new("c");
            change(&mut config);
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
