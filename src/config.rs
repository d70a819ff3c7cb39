//! Configuration: one table of keys that the file, `--set` and the environment all go through.
//!
//! A key is `section.name`. In the file it stands as TOML, on the command line as
//! `--set section.name=value`, in the environment as `HELENUS_SECTION_NAME`. Later ones win, in
//! that order: file, environment, command line.

mod file;
mod guardrail_key;
mod guardrails;
mod key;
mod seed;
mod units;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use guardrails::{Guardrails, Threshold};
pub use key::{Key, Range, keys};
pub use seed::Seed;
pub(crate) use units::parse_duration;

use crate::suggest::distance;

/// When an acknowledged write is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurabilityMode {
    /// Answer after the sync that covers the write; syncs are shared.
    Group,
    /// Answer when written to the operating system; sync every `commit_log.sync_period`.
    Periodic,
    /// Sync for whatever is waiting, at once, and answer after it.
    Batch,
}

/// What every open connection may hold at any time: `limits.bytes_in_flight` has room for it.
pub const CONNECTION_BYTES: usize = 16 << 10;

/// What the largest frame needs beside its body: its header, a segment's, and a read's room.
const FRAME_MARGIN_BYTES: usize = 1 << 20;

/// Everything that can be configured, with working defaults.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the table of keys below says what each one means")]
pub struct Config {
    pub cluster_name: String,
    pub data_dir: PathBuf,
    pub listen_address: IpAddr,
    pub cql_port: u16,
    pub internode_address: Option<IpAddr>,
    pub internode_port: u16,
    pub seeds: Vec<String>,
    pub advertise_address: Option<String>,
    pub data_center: String,
    pub rack: String,
    pub worker_threads: usize,
    pub metrics_address: IpAddr,
    pub metrics_port: u16,
    pub durability: DurabilityMode,
    pub sync_period: Duration,
    pub segment_bytes: u64,
    pub log_bytes_max: u64,
    pub skip_damaged_log: bool,
    pub memtable_flush_bytes: usize,
    pub memtable_total_bytes: usize,
    pub block_cache_bytes: usize,
    pub frame_bytes_max: usize,
    pub statement_bytes_max: usize,
    pub page_bytes_max: usize,
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    pub bytes_in_flight_max: usize,
    pub connection_bytes_in_flight_max: usize,
    pub requests_max: usize,
    pub connection_requests_max: usize,
    pub startup_timeout: Duration,
    pub stall_timeout: Duration,
    pub prepared_statements_bytes: usize,
    pub fetch_threads: usize,
    pub auto_snapshot: bool,
    pub slow_query_threshold: Duration,
    pub guardrails: Guardrails,
}

impl Default for Config {
    fn default() -> Self {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        Self {
            cluster_name: "Helenus".into(),
            data_dir: PathBuf::from("./helenus-data"),
            listen_address: loopback,
            cql_port: 9042,
            internode_address: None,
            internode_port: 7000,
            seeds: Vec::new(),
            advertise_address: None,
            data_center: "datacenter1".into(),
            rack: "rack1".into(),
            worker_threads: 0,
            metrics_address: loopback,
            metrics_port: 9180,
            durability: DurabilityMode::Group,
            sync_period: Duration::from_secs(1),
            segment_bytes: 32 << 20,
            log_bytes_max: 1 << 30,
            skip_damaged_log: false,
            memtable_flush_bytes: 64 << 20,
            memtable_total_bytes: 256 << 20,
            block_cache_bytes: 128 << 20,
            frame_bytes_max: 16 << 20,
            statement_bytes_max: 16 << 20,
            page_bytes_max: 1 << 20,
            connections_max: 16_384,
            connections_per_address_max: 0,
            bytes_in_flight_max: 512 << 20,
            connection_bytes_in_flight_max: 32 << 20,
            requests_max: 16_384,
            connection_requests_max: 1024,
            startup_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(30),
            prepared_statements_bytes: 16 << 20,
            fetch_threads: 4,
            auto_snapshot: true,
            slow_query_threshold: Duration::from_millis(500),
            guardrails: Guardrails::default(),
        }
    }
}

/// What is wrong with a configuration, and where.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// The file and line, the option, or the environment variable.
    pub place: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl Config {
    /// Sets one key from text.
    ///
    /// # Errors
    /// An unknown key is refused with the nearest valid name, a bad value with the valid range.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        Key::named(key)?.set(self, value)
    }

    /// Refuses what is possible for each key alone and not together.
    ///
    /// # Errors
    /// Names both keys.
    pub fn check(&self) -> Result<(), String> {
        let shown = |name: &str| {
            let key = keys().find(|key| key.name == name);
            format!("{name} ({})", key.map(|key| key.show(self)).unwrap_or_default())
        };
        if self.memtable_flush_bytes > self.memtable_total_bytes {
            let [less, more] = ["memtable.flush_bytes", "memtable.total_bytes"].map(shown);
            return Err(format!("{less} is more than {more}"));
        }
        let own = self.connections_max.saturating_mul(CONNECTION_BYTES);
        // A frame needs a little more than its body.
        let frame = self.frame_bytes_max.saturating_add(FRAME_MARGIN_BYTES);
        let least = own.saturating_add(frame.max(self.connection_bytes_in_flight_max));
        if self.bytes_in_flight_max < least {
            let [figure, connections, frame, connection] = [
                "limits.bytes_in_flight",
                "limits.connections",
                "limits.frame_bytes",
                "limits.bytes_in_flight_per_connection",
            ]
            .map(shown);
            let least = units::show_size(least as u64);
            return Err(format!(
                "{figure} is less than {least}: 16KiB for each of {connections}, and room for \
                 {frame} and for {connection}"
            ));
        }
        seed::check(self)?;
        guardrail_key::check(&self.guardrails)
    }

    /// Sets `key=value`, as `--set` gives it.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_option(&mut self, option: &str) -> Result<(), ConfigError> {
        let place = "--set".to_string();
        let Some((key, value)) = option.split_once('=') else {
            return Err(ConfigError { place, problem: "it is not of the form key=value".into() });
        };
        self.set(key.trim(), value.trim()).map_err(|problem| ConfigError { place, problem })
    }

    /// Sets what the environment says: `HELENUS_SECTION_NAME` for `section.name`. Other variables
    /// that begin with `HELENUS_` are refused, because they are misspelt.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (variable, value) in variables {
            let Some(rest) = variable.strip_prefix("HELENUS_") else { continue };
            let shout = |key: &Key| key.name.replace('.', "_").to_uppercase();
            let place = format!("environment variable {variable}");
            let Some(key) = keys().find(|key| shout(key) == rest) else {
                let nearest = keys().map(shout).min_by_key(|name| distance(name, rest));
                let nearest = nearest.unwrap_or_default();
                let problem = format!("no key has that name; the nearest is HELENUS_{nearest}");
                return Err(ConfigError { place, problem });
            };
            self.set(key.name, &value).map_err(|problem| ConfigError { place, problem })?;
        }
        Ok(())
    }

    /// Every key with its value, as text.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        keys().map(|key| (key.name, key.show(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_the_environment_reach_the_same_keys() {
        let mut config = Config::default();
        config.set_option("memtable.flush_bytes=1_000_000").unwrap();
        assert_eq!(config.memtable_flush_bytes, 1_000_000);
        config.set_option("memtable.flush_bytes = 32 MiB").unwrap();
        assert_eq!(config.memtable_flush_bytes, 32 << 20);
        assert!(config.set_option("memtable.flush_bytes").is_err());
        let error = config.set_option("memtable.flush_byte=1MiB").unwrap_err().to_string();
        assert!(error.contains("--set: there is no key 'memtable.flush_byte'"), "{error}");
        assert!(error.ends_with("the nearest is 'memtable.flush_bytes'"), "{error}");
        config.set_option("memtable.total_bytes=1MiB").unwrap();
        assert!(config.check().unwrap_err().contains("(32MiB) is more than"));
        config.set_option("memtable.flush_bytes=1MiB").unwrap();
        config.check().unwrap();
        config.set_option("limits.frame_bytes=200MiB").unwrap();
        config.check().unwrap();
        config.set_option("limits.frame_bytes=256MiB").unwrap();
        assert_eq!(
            config.check().unwrap_err(),
            "limits.bytes_in_flight (512MiB) is less than 513MiB: 16KiB for each of \
             limits.connections (16384), and room for limits.frame_bytes (256MiB) and for \
             limits.bytes_in_flight_per_connection (32MiB)"
        );
        config.set_option("limits.frame_bytes=16MiB").unwrap();
        config.set_option("limits.connections=100_000").unwrap();
        assert!(config.check().unwrap_err().contains("limits.connections (100000)"));
        let variables = [("HELENUS_CACHE_BLOCK_BYTES", "77"), ("PATH", "x")];
        let variables = variables.map(|(k, v)| (k.to_string(), v.to_string()));
        config.set_environment(variables.into_iter()).unwrap();
        assert_eq!(config.block_cache_bytes, 77);
        let wrong = [("HELENUS_CACHE_BLOK_BYTES".to_string(), "77".to_string())];
        let error = config.set_environment(wrong.into_iter()).unwrap_err();
        assert!(error.to_string().contains("HELENUS_CACHE_BLOCK_BYTES"), "{error}");
    }

    #[test]
    fn every_default_is_a_valid_value() {
        let names: std::collections::BTreeSet<_> = keys().map(|key| key.name).collect();
        assert_eq!(names.len(), keys().count());
        assert!(keys().all(|key| !key.help.is_empty()));
        assert_eq!(Config::default().settings().count(), keys().count());
    }
}
