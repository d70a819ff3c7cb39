//! Configuration: one table of keys that the file, `--set` and the environment all go through.
//!
//! A key is `section.name`. In the file it stands as TOML, on the command line as
//! `--set section.name=value`, in the environment as `HELENUS_SECTION_NAME`. Later ones win, in
//! that order: file, environment, command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// When an acknowledged write is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurabilityMode {
    /// Answer after the sync that covers the write; syncs are shared.
    Group,
    /// Answer when written to the operating system; sync every `commit_log.sync_period_ms`.
    Periodic,
    /// Sync for whatever is waiting, at once, and answer after it.
    Batch,
}

/// Everything that can be configured, with working defaults.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the table of keys below says what each one means")]
pub struct Config {
    pub cluster_name: String,
    pub data_dir: PathBuf,
    pub listen_address: IpAddr,
    pub cql_port: u16,
    pub data_center: String,
    pub rack: String,
    pub worker_threads: usize,
    pub metrics_address: IpAddr,
    pub metrics_port: u16,
    pub durability: DurabilityMode,
    pub sync_period: Duration,
    pub segment_bytes: u64,
    pub log_bytes_max: u64,
    pub memtable_flush_bytes: usize,
    pub memtable_total_bytes: usize,
    pub block_cache_bytes: usize,
    pub frame_bytes_max: usize,
    pub connections_max: usize,
    pub connection_requests_max: usize,
    pub startup_timeout: Duration,
    pub prepared_statements_bytes: usize,
    pub fetch_threads: usize,
}

impl Default for Config {
    fn default() -> Self {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        Self {
            cluster_name: "Helenus".into(),
            data_dir: PathBuf::from("./helenus-data"),
            listen_address: loopback,
            cql_port: 9042,
            data_center: "datacenter1".into(),
            rack: "rack1".into(),
            worker_threads: 0,
            metrics_address: loopback,
            metrics_port: 9180,
            durability: DurabilityMode::Group,
            sync_period: Duration::from_secs(1),
            segment_bytes: 32 << 20,
            log_bytes_max: 1 << 30,
            memtable_flush_bytes: 64 << 20,
            memtable_total_bytes: 256 << 20,
            block_cache_bytes: 128 << 20,
            frame_bytes_max: 16 << 20,
            connections_max: 16_384,
            connection_requests_max: 1024,
            startup_timeout: Duration::from_secs(30),
            prepared_statements_bytes: 16 << 20,
            fetch_threads: 4,
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

/// One key: its name, what it means, and how text becomes its value.
pub struct Key {
    /// `section.name`, or a bare name.
    pub name: &'static str,
    /// Meaning, unit, range and effect, in one line.
    pub help: &'static str,
    set: fn(&mut Config, &str) -> Result<(), String>,
    show: fn(&Config) -> String,
}

fn number<T>(text: &str, least: u64, most: u64) -> Result<T, String>
where
    T: TryFrom<u64>,
{
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    digits
        .parse::<u64>()
        .ok()
        .filter(|n| (least..=most).contains(n))
        .and_then(|n| T::try_from(n).ok())
        .ok_or_else(|| format!("'{text}' is not a whole number from {least} to {most}"))
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("'{text}' is not an IP address"))
}

fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
        return Err(format!("'{text}' is not a name of 1 to 255 printable characters"));
    }
    Ok(text.to_string())
}

macro_rules! key {
    ($name:literal, $field:ident, $parse:expr, $help:literal) => {
        Key {
            name: $name,
            help: $help,
            set: |config, text| {
                config.$field = $parse(text)?;
                Ok(())
            },
            show: |config| format!("{:?}", config.$field),
        }
    };
}

const GIB: u64 = 1 << 30;

/// Every key there is.
pub const KEYS: &[Key] = &[
    key!("cluster_name", cluster_name, name, "name that drivers compare; the same on every node"),
    key!(
        "data_dir",
        data_dir,
        |text: &str| Ok::<_, String>(PathBuf::from(text)),
        "directory that belongs to this node alone"
    ),
    key!("data_center", data_center, name, "data centre of this node"),
    key!("rack", rack, name, "rack of this node"),
    key!(
        "worker_threads",
        worker_threads,
        |text| number(text, 0, 1024),
        "threads that serve requests, 0 for one a core; 0 to 1024"
    ),
    key!("listen.address", listen_address, address, "IP address that clients connect to"),
    key!(
        "listen.cql_port",
        cql_port,
        |text| number(text, 0, 65_535),
        "port of the native protocol"
    ),
    key!("metrics.address", metrics_address, address, "IP address of the Prometheus endpoint"),
    key!(
        "metrics.port",
        metrics_port,
        |text| number(text, 0, 65_535),
        "port of the Prometheus endpoint, 0 for none"
    ),
    Key {
        name: "commit_log.mode",
        help: "when a write is answered: group (synced, syncs shared), periodic (written), batch",
        set: |config, text| {
            config.durability = match text {
                "group" => DurabilityMode::Group,
                "periodic" => DurabilityMode::Periodic,
                "batch" => DurabilityMode::Batch,
                _ => return Err(format!("'{text}' is not one of group, periodic, batch")),
            };
            Ok(())
        },
        show: |config| format!("{:?}", config.durability).to_lowercase(),
    },
    key!(
        "commit_log.sync_period_ms",
        sync_period,
        |text| number(text, 1, 3_600_000).map(Duration::from_millis),
        "milliseconds between syncs in periodic mode; 1 to 3600000"
    ),
    key!(
        "commit_log.segment_bytes",
        segment_bytes,
        |text| number(text, 1 << 16, GIB),
        "size of a log segment; a mutation may have half of it; 64 KiB to 1 GiB"
    ),
    key!(
        "commit_log.total_bytes",
        log_bytes_max,
        |text| number(text, 1 << 20, GIB << 10),
        "log size past which the oldest memtables are flushed; 1 MiB to 1 TiB"
    ),
    key!(
        "memtable.flush_bytes",
        memtable_flush_bytes,
        |text| number(text, 1 << 16, 64 * GIB),
        "size of one memtable at which it is flushed; 64 KiB to 64 GiB"
    ),
    key!(
        "memtable.total_bytes",
        memtable_total_bytes,
        |text| number(text, 1 << 18, 256 * GIB),
        "memory for all memtables; writers are slowed, then refused, before it; 256 KiB to 256 GiB"
    ),
    key!(
        "cache.block_bytes",
        block_cache_bytes,
        |text| number(text, 0, 256 * GIB),
        "memory for blocks of SSTables; 0 to 256 GiB"
    ),
    key!(
        "cache.prepared_statement_bytes",
        prepared_statements_bytes,
        |text| number(text, 1 << 16, GIB),
        "memory for prepared statements; 64 KiB to 1 GiB"
    ),
    key!(
        "limits.frame_bytes",
        frame_bytes_max,
        |text| number(text, 1 << 16, GIB / 4),
        "largest request; 64 KiB to 256 MiB"
    ),
    key!(
        "limits.connections",
        connections_max,
        |text| number(text, 1, 1 << 20),
        "connections of clients at once; 1 to 1048576"
    ),
    key!(
        "limits.requests_per_connection",
        connection_requests_max,
        |text| number(text, 1, 32_768),
        "requests of one connection under way at once; 1 to 32768"
    ),
    key!(
        "limits.startup_timeout_ms",
        startup_timeout,
        |text| number(text, 100, 3_600_000).map(Duration::from_millis),
        "milliseconds a client has to send STARTUP; 100 to 3600000"
    ),
    key!(
        "disk.fetch_threads",
        fetch_threads,
        |text| number(text, 1, 256),
        "threads that read blocks which no cache holds; 1 to 256"
    ),
];

impl Config {
    /// Sets one key from text.
    ///
    /// # Errors
    /// An unknown key is refused with the nearest valid name, a bad value with the valid range.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let Some(known) = KEYS.iter().find(|known| known.name == key) else {
            let nearest = KEYS.iter().min_by_key(|known| distance(known.name, key));
            let nearest = nearest.map_or("", |known| known.name);
            return Err(format!("there is no key '{key}'; the nearest is '{nearest}'"));
        };
        (known.set)(self, value).map_err(|problem| format!("{key}: {problem}; {}", known.help))
    }

    /// Sets `key=value`, as `--set` gives it.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_option(&mut self, option: &str) -> Result<(), ConfigError> {
        let place = format!("--set {option}");
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
            let Some(key) = KEYS.iter().find(|key| shout(key) == rest) else {
                let nearest = KEYS.iter().map(shout).min_by_key(|name| distance(name, rest));
                let nearest = nearest.unwrap_or_default();
                let problem = format!("no key has that name; the nearest is HELENUS_{nearest}");
                return Err(ConfigError { place, problem });
            };
            self.set(key.name, &value).map_err(|problem| ConfigError { place, problem })?;
        }
        Ok(())
    }

    /// Sets everything that the TOML text of `file` says.
    ///
    /// # Errors
    /// Names the file, the line, and what would be right.
    pub fn set_file(&mut self, file: &str, text: &str) -> Result<(), ConfigError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
            ConfigError { place: format!("{file}:{line}"), problem: error.message().to_string() }
        })?;
        for (name, value) in table {
            let toml::Value::Table(section) = value else {
                self.set_value(file, text, "", &name, &value)?;
                continue;
            };
            for (key, value) in section {
                self.set_value(file, text, &name, &key, &value)?;
            }
        }
        Ok(())
    }

    fn set_value(
        &mut self,
        file: &str,
        text: &str,
        section: &str,
        name: &str,
        value: &toml::Value,
    ) -> Result<(), ConfigError> {
        let value = match value {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let key = if section.is_empty() { name.to_string() } else { format!("{section}.{name}") };
        self.set(&key, &value).map_err(|problem| {
            let line = line_of(text, section, name);
            ConfigError { place: format!("{file}:{line}"), problem }
        })
    }

    /// Every key with its value, as text.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        KEYS.iter().map(|key| (key.name, (key.show)(self)))
    }
}

/// The line of `name` in its section; the first one that could be it.
fn line_of(text: &str, section: &str, name: &str) -> usize {
    let mut inside = section.is_empty();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line.trim_matches(['[', ']', ' ']) == section;
        } else if inside && line.split('=').next().is_some_and(|key| key.trim() == name) {
            return at + 1;
        }
    }
    1
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, (above_left, above)) in b.iter().zip(row.iter().zip(row.iter().skip(1))) {
            left = (above_left + usize::from(x != *y)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_sets_keys_and_its_mistakes_are_named() {
        let mut config = Config::default();
        let text = "cluster_name = 'x'\n[listen]\ncql_port = 1_234\n[commit_log]\nmode = 'batch'\n";
        config.set_file("a.toml", text).unwrap();
        assert_eq!((config.cluster_name.as_str(), config.cql_port), ("x", 1234));
        assert_eq!(config.durability, DurabilityMode::Batch);
        let error = config.set_file("a.toml", "[listen]\n\ncql_prt = 1\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "a.toml:3: there is no key 'listen.cql_prt'; the nearest is 'listen.cql_port'"
        );
        let error = config.set_file("a.toml", "[listen]\ncql_port = 70000\n").unwrap_err();
        assert!(
            error.to_string().starts_with("a.toml:2: listen.cql_port: '70000' is not"),
            "{error}"
        );
        let error = config.set_file("a.toml", "\n[listen\n").unwrap_err();
        assert!(error.place.starts_with("a.toml:2"), "{error}");
    }

    #[test]
    fn options_and_the_environment_reach_the_same_keys() {
        let mut config = Config::default();
        config.set_option("memtable.flush_bytes=1_000_000").unwrap();
        assert_eq!(config.memtable_flush_bytes, 1_000_000);
        assert!(config.set_option("memtable.flush_bytes").is_err());
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
        let names: std::collections::BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), KEYS.len());
        assert!(KEYS.iter().all(|key| !key.help.is_empty()));
        assert_eq!(Config::default().settings().count(), KEYS.len());
    }
}
