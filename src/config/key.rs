//! The table of keys: for each its name, its meaning, what it may be, and how text becomes its
//! value. `config/helenus.toml`, `helenus config`, `--set`, the environment and
//! `system_views.settings` all come from it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Config, DurabilityMode, guardrail_key, seed, units};
use crate::suggest::distance;

/// One key.
#[derive(Clone, Copy)]
pub struct Key {
    /// `section.name`, or a bare name.
    pub name: &'static str,
    /// Meaning and effect.
    pub help: &'static str,
    /// What it may be.
    pub range: Range,
    pub(super) set: fn(&mut Config, &str) -> Option<()>,
    pub(super) show: fn(&Config) -> String,
}

/// What a value may be.
#[derive(Clone, Copy)]
pub enum Range {
    /// 1 to 255 printable characters.
    Name,
    /// A path of a file or directory.
    Path,
    /// An IP address.
    Address,
    /// An IP address, or empty for what this says.
    AddressOr(&'static str),
    /// An IP address or a host name, or empty for what this says.
    HostOr(&'static str),
    /// A whole number between two, both included.
    Number(u64, u64),
    /// Bytes between two sizes, both included.
    Size(u64, u64),
    /// A duration between two, both included.
    Time(Duration, Duration),
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Such a value, or `-1` for none.
    Optional(&'static Range),
    /// Several such words, with commas between them, or none.
    List(&'static str),
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Range::Name => write!(f, "1 to 255 printable characters"),
            Range::Path => write!(f, "a path"),
            Range::Address => write!(f, "an IP address"),
            Range::AddressOr(what) => write!(f, "an IP address, or empty for {what}"),
            Range::HostOr(what) => {
                write!(f, "an IP address or a host name, or empty for {what}")
            }
            Range::Number(least, most) => write!(f, "a whole number from {least} to {most}"),
            Range::Size(least, most) => {
                let (least, most) = (units::show_size(*least), units::show_size(*most));
                write!(f, "a size from {least} to {most} (B, KiB, MiB, GiB, TiB)")
            }
            Range::Time(least, most) => {
                let (least, most) = (units::show_duration(*least), units::show_duration(*most));
                write!(f, "a duration from {least} to {most} (ns, us, ms, s, m, h, d)")
            }
            Range::Switch => write!(f, "true or false"),
            Range::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Range::Optional(range) => write!(f, "{range}, or -1 for none"),
            Range::List(what) => write!(f, "{what}, with commas between them, or empty"),
        }
    }
}

impl Key {
    /// The key of that name; an unknown one is refused with the nearest that there is.
    pub(super) fn named(name: &str) -> Result<&'static Key, String> {
        keys().find(|key| key.name == name).ok_or_else(|| {
            let nearest = keys().min_by_key(|key| distance(key.name, name));
            let nearest = nearest.map_or("", |key| key.name);
            format!("there is no key '{name}'; the nearest is '{nearest}'")
        })
    }

    /// Sets the key from text.
    pub(super) fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        let impossible = || format!("{}: '{text}' is not {}", self.name, self.range);
        (self.set)(config, text).ok_or_else(impossible)
    }

    /// The value as text, as `set` takes it.
    #[must_use]
    pub fn show(&self, config: &Config) -> String {
        (self.show)(config)
    }

    /// Whether this value needs no quotes in TOML.
    pub(super) fn is_bare(&self, value: &str) -> bool {
        match self.range {
            Range::Number(..) | Range::Switch => true,
            Range::Optional(range) => matches!(range, Range::Number(..)) || value == "-1",
            _ => false,
        }
    }
}

fn number<T: TryFrom<u64>>(text: &str, least: u64, most: u64) -> Option<T> {
    let number = units::parse_number(text).filter(|n| (least..=most).contains(n))?;
    T::try_from(number).ok()
}

fn size<T: TryFrom<u64>>(text: &str, least: u64, most: u64) -> Option<T> {
    let bytes = units::parse_size(text).filter(|n| (least..=most).contains(n))?;
    T::try_from(bytes).ok()
}

fn name(text: &str) -> Option<String> {
    let is_name = !text.is_empty() && text.len() <= 255 && !text.chars().any(char::is_control);
    is_name.then(|| text.to_string())
}

macro_rules! name {
    ($name:literal, $field:ident, $help:literal) => {
        Key {
            name: $name,
            help: $help,
            range: Range::Name,
            set: |config, text| {
                config.$field = name(text)?;
                Some(())
            },
            show: |config| config.$field.clone(),
        }
    };
}

macro_rules! address {
    ($name:literal, $field:ident, $help:literal) => {
        Key {
            name: $name,
            help: $help,
            range: Range::Address,
            set: |config, text| {
                config.$field = text.parse::<IpAddr>().ok()?;
                Some(())
            },
            show: |config| config.$field.to_string(),
        }
    };
}

macro_rules! number {
    ($name:literal, $field:ident, $least:expr, $most:expr, $help:literal) => {
        Key {
            name: $name,
            help: $help,
            range: Range::Number($least, $most),
            set: |config, text| {
                config.$field = number(text, $least, $most)?;
                Some(())
            },
            show: |config| config.$field.to_string(),
        }
    };
}

macro_rules! switch {
    ($name:literal, $field:ident, $help:literal) => {
        Key {
            name: $name,
            help: $help,
            range: Range::Switch,
            set: |config, text| {
                config.$field = text.parse().ok()?;
                Some(())
            },
            show: |config| config.$field.to_string(),
        }
    };
}

macro_rules! size {
    ($name:literal, $field:ident, $least:expr, $most:expr, $help:literal) => {
        Key {
            name: $name,
            help: $help,
            range: Range::Size($least, $most),
            set: |config, text| {
                config.$field = size(text, $least, $most)?;
                Some(())
            },
            show: |config| units::show_size(config.$field as u64),
        }
    };
}

macro_rules! time {
    ($name:literal, $field:ident, $least:expr, $most:expr, $help:literal) => {
        Key {
            name: $name,
            help: $help,
            range: Range::Time($least, $most),
            set: |config, text| {
                let time = units::parse_duration(text)?;
                config.$field = ($least..=$most).contains(&time).then_some(time)?;
                Some(())
            },
            show: |config| units::show_duration(config.$field),
        }
    };
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const HOUR: Duration = Duration::from_secs(3600);

/// Every key there is, those of a section together.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    NODE.iter().chain(guardrail_key::ALL.iter().copied().flatten())
}

/// Every key but those of `[guardrails]`.
const NODE: &[Key] = &[
    name!(
        "cluster_name",
        cluster_name,
        "Name of the cluster, which drivers compare; the same on every node."
    ),
    Key {
        name: "data_dir",
        help: "Directory that belongs to this node alone: data, commit log, snapshots. Founded \
               if it is empty.",
        range: Range::Path,
        set: |config, text| {
            config.data_dir = PathBuf::from(text);
            (!text.is_empty()).then_some(())
        },
        show: |config| config.data_dir.display().to_string(),
    },
    name!("data_center", data_center, "Data centre of this node, which drivers prefer by name."),
    name!("rack", rack, "Rack of this node."),
    number!(
        "worker_threads",
        worker_threads,
        0,
        1024,
        "Threads that serve requests; 0 is one for each core."
    ),
    Key {
        name: "cluster.seeds",
        help: "Nodes to ask for the cluster, best the same list on every node, which may name \
               itself. A node with an empty directory joins the cluster that they know of; if \
               there is none, and most of them can be reached, the one of the lowest address \
               founds it. Without seeds a node founds a cluster of its own, which others join by \
               naming it.",
        range: Range::List("up to 64 IP addresses or host names, each with :port or without"),
        set: |config, text| {
            config.seeds = seed::parse_list(text)?;
            Some(())
        },
        show: |config| config.seeds.join(", "),
    },
    Key {
        name: "cluster.advertise_address",
        help: "What other nodes, and drivers, reach this node by. Needed where it listens on \
               0.0.0.0 or behind a translation of addresses.",
        range: Range::HostOr("the addresses that it listens on"),
        set: |config, text| {
            config.advertise_address = match text {
                "" => None,
                host => Some(seed::is_host(host).then(|| host.to_owned())?),
            };
            Some(())
        },
        show: |config| config.advertise_address.clone().unwrap_or_default(),
    },
    address!(
        "listen.address",
        listen_address,
        "IP address that clients connect to; 0.0.0.0 is all of the machine's."
    ),
    number!(
        "listen.cql_port",
        cql_port,
        0,
        65_535,
        "Port of the native protocol; 0 lets the system choose a free one."
    ),
    Key {
        name: "listen.internode_address",
        help: "IP address that other nodes connect to; let only nodes reach it.",
        range: Range::AddressOr("listen.address"),
        set: |config, text| {
            config.internode_address = match text {
                "" => None,
                address => Some(address.parse().ok()?),
            };
            Some(())
        },
        show: |config| config.internode_address.map(|a| a.to_string()).unwrap_or_default(),
    },
    number!(
        "listen.internode_port",
        internode_port,
        0,
        65_535,
        "Port that other nodes connect to; 0 is none, for a node that stays alone."
    ),
    address!("metrics.address", metrics_address, "IP address of the Prometheus endpoint."),
    number!(
        "metrics.port",
        metrics_port,
        0,
        65_535,
        "Port of the Prometheus endpoint (GET /metrics); 0 is none."
    ),
    Key {
        name: "commit_log.mode",
        help: "When a write is answered. group: after the sync that covers it, which writes \
               share; survives a power cut. periodic: when the system has it, synced every \
               commit_log.sync_period; survives a crash of the process, not a power cut. batch: \
               after a sync that starts at once.",
        range: Range::Choice(&["group", "periodic", "batch"]),
        set: |config, text| {
            config.durability = match text {
                "group" => DurabilityMode::Group,
                "periodic" => DurabilityMode::Periodic,
                "batch" => DurabilityMode::Batch,
                _ => return None,
            };
            Some(())
        },
        show: |config| format!("{:?}", config.durability).to_lowercase(),
    },
    time!(
        "commit_log.sync_period",
        sync_period,
        Duration::from_millis(1),
        HOUR,
        "Time between syncs in periodic mode: how much a power cut may take."
    ),
    size!(
        "commit_log.segment_bytes",
        segment_bytes,
        64 * KIB,
        GIB,
        "Size of a file of the commit log; a mutation may have half of it, 16 MiB at most."
    ),
    size!(
        "commit_log.total_bytes",
        log_bytes_max,
        MIB,
        TIB,
        "Size of the commit log past which the tables that its oldest part is kept for are \
         flushed. More makes flushes rarer and a restart after a crash slower."
    ),
    switch!(
        "commit_log.skip_damaged",
        skip_damaged_log,
        "Start although the commit log is damaged or a part of it is missing, without what cannot \
         be read. Loses acknowledged writes, each loss named in the log: an operator's last \
         resort, for one start."
    ),
    size!(
        "memtable.flush_bytes",
        memtable_flush_bytes,
        64 * KIB,
        64 * GIB,
        "Size of one table's memtable at which it is flushed to an SSTable."
    ),
    size!(
        "memtable.total_bytes",
        memtable_total_bytes,
        256 * KIB,
        256 * GIB,
        "Memory for all memtables together; writers are slowed as it fills, then refused."
    ),
    size!(
        "cache.block_bytes",
        block_cache_bytes,
        0,
        256 * GIB,
        "Memory for blocks of SSTables; 0 leaves caching to the system."
    ),
    size!(
        "cache.prepared_statement_bytes",
        prepared_statements_bytes,
        64 * KIB,
        GIB,
        "Memory for prepared statements; the least used go, and drivers prepare them again."
    ),
    size!(
        "limits.frame_bytes",
        frame_bytes_max,
        64 * KIB,
        256 * MIB,
        "Largest request (Cassandra's native_transport_max_frame_size); a larger one is answered \
         with an error."
    ),
    size!(
        "limits.statement_bytes",
        statement_bytes_max,
        KIB,
        256 * MIB,
        "Longest text of a statement, without its bound values; a longer one is answered with an \
         error."
    ),
    size!(
        "limits.page_bytes",
        page_bytes_max,
        4 * KIB,
        128 * MIB,
        "Size at which a page ends, although the client asked for more rows; the last row may \
         exceed it."
    ),
    number!(
        "limits.connections",
        connections_max,
        1,
        1 << 20,
        "Connections of clients at once (native_transport_max_concurrent_connections); further \
         ones are closed."
    ),
    number!(
        "limits.connections_per_address",
        connections_per_address_max,
        0,
        1 << 20,
        "Connections from one IP address at once \
         (native_transport_max_concurrent_connections_per_ip); further ones are closed. 0 is as \
         many as limits.connections allows."
    ),
    size!(
        "limits.bytes_in_flight",
        bytes_in_flight_max,
        MIB,
        TIB,
        "Memory for all connections together: requests being read, unread answers, answers that \
         wait for the log or are being written. 16 KiB of it are set aside for each of \
         limits.connections, so that light clients go on; others share the rest. Past it, a \
         client waits, or gets OVERLOADED if its STARTUP said THROW_ON_OVERLOAD, or if the \
         answer cannot be kept. (native_transport_max_request_data_in_flight counts less.)"
    ),
    size!(
        "limits.bytes_in_flight_per_connection",
        connection_bytes_in_flight_max,
        MIB,
        GIB,
        "Memory for the answers of one connection; past it, it waits or gets OVERLOADED. A client \
         that leaves 1 MiB of answers unread, or 4 MiB waiting for the log, waits before that."
    ),
    number!(
        "limits.requests",
        requests_max,
        1,
        1 << 20,
        "Requests of all connections under way at once that wait for the disk, a worker or a \
         lock; past it, a connection has one of them at a time, or gets OVERLOADED."
    ),
    number!(
        "limits.requests_per_connection",
        connection_requests_max,
        1,
        32_768,
        "Such requests of one connection at once; then it is not read on until one is answered, \
         or gets OVERLOADED."
    ),
    time!(
        "limits.startup_timeout",
        startup_timeout,
        Duration::from_millis(100),
        HOUR,
        "Time that a client has from connecting to its STARTUP; then it is disconnected."
    ),
    time!(
        "limits.stall_timeout",
        stall_timeout,
        Duration::from_secs(1),
        HOUR,
        "While limits.bytes_in_flight is used up, a client that reads no answer and finishes no \
         request for so long, and holds more than its own 16 KiB, is disconnected."
    ),
    number!(
        "disk.fetch_threads",
        fetch_threads,
        1,
        256,
        "Threads that read what no cache holds: how many such reads the disk sees at once."
    ),
    time!(
        "log.slow_query_threshold",
        slow_query_threshold,
        Duration::ZERO,
        HOUR,
        "A request that takes longer is logged: its statement without constants and the sizes of \
         its values, never the values; ten lines in ten seconds at most. 0 is never."
    ),
    switch!(
        "snapshot.auto",
        auto_snapshot,
        "Whether TRUNCATE and DROP first take a snapshot of the rows that go, under \
         <data_dir>/snapshots (Cassandra's auto_snapshot). Their space is not freed until \
         `helenus clearsnapshot`."
    ),
];
