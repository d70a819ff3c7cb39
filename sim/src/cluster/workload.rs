//! What the clients of a simulated cluster do: all of them write the same keys, through any node.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cql_lite::wire::{Consistency, Rows};
use helenus_platform::clock::{Clock, ManualClock};
use helenus_platform::net::{SimHost, SimNetwork};
use helenus_platform::random::{Random, SeededRandom};
use helenus_platform::runtime::{Runtime, SimRuntime};

use super::Work;
use super::client::{Client, Failed, How};
use super::log::Log;
use super::machine;
use super::oracle::{Oracle, Strength, Value, Write};
use crate::workload::locked;

const PARTITIONS: u64 = 8;
const ROWS_PER_PARTITION: u64 = 4;
pub(crate) const KEYS: u64 = PARTITIONS * ROWS_PER_PARTITION;
const COUNTERS: u64 = 3;
/// Where keys begin that are written once and read only in the end: no read repairs them, so that
/// every replica has them from the write or from a hint.
const FIRST_QUIET: u64 = 1_000_000;
/// So many of each client's.
const QUIET_PER_CLIENT: u64 = 10_000;
/// Small, so that scans have several pages.
const PAGE_ROWS: i32 = 5;
/// The number in a hundred that stands for a change of the schema.
const SCHEMA_WORK: u64 = 54;
/// How far clients' clocks are apart, in microseconds.
const CLIENT_SKEW: u64 = 200_000;

/// The tables of a simulation.
pub(crate) const TABLES: &[&str] = &[
    "CREATE TABLE sim.rows (p bigint, c bigint, v text, PRIMARY KEY (p, c))",
    "CREATE TABLE sim.quiet (k bigint PRIMARY KEY, v text)",
    "CREATE TABLE sim.counts (k bigint PRIMARY KEY, n counter)",
];

/// What all clients share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    pub(crate) log: Log,
    pub(crate) runtime: SimRuntime,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) network: SimNetwork,
    pub(crate) nodes: usize,
    pub(crate) work: Work,
    pub(crate) stop: Arc<AtomicBool>,
    /// Clients that are still at work.
    pub(crate) working: Arc<AtomicUsize>,
}

fn name(consistency: Consistency) -> &'static str {
    consistency.name()
}

fn strength(consistency: Consistency) -> Strength {
    match consistency {
        Consistency::All => Strength::All,
        Consistency::Quorum | Consistency::LocalQuorum => Strength::Quorum,
        _ => Strength::Weak,
    }
}

fn insert_text(key: u64, value: &Value) -> String {
    if key >= FIRST_QUIET {
        let value = value.as_deref().unwrap_or_default();
        return format!("INSERT INTO sim.quiet (k, v) VALUES ({key}, '{value}')");
    }
    let (p, c) = (key / ROWS_PER_PARTITION, key % ROWS_PER_PARTITION);
    match value {
        Some(value) => format!("INSERT INTO sim.rows (p, c, v) VALUES ({p}, {c}, '{value}')"),
        None => format!("DELETE FROM sim.rows WHERE p = {p} AND c = {c}"),
    }
}

fn bigint(bytes: Option<&[u8]>) -> Option<u64> {
    bytes.and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes)
}

/// What rows of `p, c, v` say of keys.
fn read_rows(rows: &Rows, found: &mut BTreeMap<u64, Value>) {
    for row in rows.iter() {
        let at = |index: usize| row.get(index).copied().flatten();
        let (Some(p), Some(c)) = (bigint(at(0)), bigint(at(1))) else { continue };
        let value = at(2).map(|text| String::from_utf8_lossy(text).into_owned());
        found.insert(p * ROWS_PER_PARTITION + c, value);
    }
}

/// One client.
pub(crate) struct ClientTask {
    number: u64,
    random: SeededRandom,
    shared: Shared,
    host: SimHost,
    connection: Option<(usize, Client)>,
    written: u64,
    /// Of this client's clock, in microseconds.
    skew: i64,
}

impl ClientTask {
    pub(crate) fn new(number: u64, seed: u64, shared: Shared) -> Self {
        let ip = IpAddr::from([10, 0, 1, u8::try_from(number + 1).unwrap_or(u8::MAX)]);
        let host = shared.network.host(ip);
        let random = SeededRandom::new(seed);
        let skew = i64::try_from(random.below(CLIENT_SKEW)).unwrap_or(0);
        ClientTask { number, random, shared, host, connection: None, written: 0, skew }
    }

    /// Works until it is told to stop.
    pub(crate) async fn work(mut self) {
        while !self.shared.stop.load(Ordering::SeqCst) {
            let (what, pause_max) = match self.shared.work {
                Work::Everything => (self.random.below(100), 60_000),
                Work::Schema => (SCHEMA_WORK, 600_000),
            };
            let pause = Duration::from_micros(self.random.below(pause_max));
            self.shared.runtime.sleep(pause).await;
            match what {
                0..30 => self.write_one().await,
                30..40 => self.write_quiet().await,
                40..48 => self.write_batch().await,
                48..54 => self.increment().await,
                SCHEMA_WORK => self.change_schema().await,
                55..84 => self.read_one().await,
                84..92 => self.read_partition().await,
                92..96 => self.read_counter().await,
                _ => self.scan().await,
            }
        }
        self.shared.working.fetch_sub(1, Ordering::SeqCst);
    }

    fn level(&self) -> Consistency {
        match self.random.below(10) {
            0..7 => Consistency::Quorum,
            7..9 => Consistency::One,
            _ => Consistency::All,
        }
    }

    fn key(&self) -> u64 {
        self.random.below(KEYS)
    }

    fn new_value(&mut self) -> String {
        self.written += 1;
        let filling = "-".repeat(usize::try_from(self.random.below(200)).unwrap_or(0));
        format!("c{}w{}{filling}", self.number, self.written)
    }

    fn new_write(&mut self, keys: Vec<(u64, Value)>) -> Write {
        let wanted = self.shared.clock.wall_micros() + self.skew;
        let mut oracle = locked(&self.shared.oracle);
        let write = Write { timestamp: oracle.timestamp(wanted, self.number), keys };
        oracle.begin(&write);
        write
    }

    /// Executes a statement on the node that this client is connected to, or on another one.
    async fn ask(&mut self, text: &str, how: How<'_>) -> Result<Rows, Failed> {
        // Clients stay with a node for a while.
        if self.connection.is_some() && self.random.chance(0.05) {
            self.connection = None;
        }
        if self.connection.is_none() {
            let nodes = self.shared.nodes as u64;
            let node = usize::try_from(self.random.below(nodes)).unwrap_or(0);
            let address = SocketAddr::new(machine::ip(node), machine::CQL_PORT);
            let runtime: Arc<dyn Runtime> = Arc::new(self.shared.runtime.clone());
            match Client::connect(&self.host, runtime, address).await {
                Ok(client) => self.connection = Some((node, client)),
                Err(why) => {
                    let pause = Duration::from_millis(1 + self.random.below(200));
                    self.shared.runtime.sleep(pause).await;
                    // Nothing was asked: as good as a refusal.
                    return Err(Failed::Refused(cql_lite::wire::ErrorBody::server(why)));
                }
            }
        }
        let Some((node, client)) = &mut self.connection else {
            return Err(Failed::Unknown("no connection".to_owned()));
        };
        let at = name(how.consistency);
        let began = self.shared.clock.monotonic();
        let answer = client.query(text, how).await;
        let took = self.shared.clock.monotonic().saturating_sub(began).as_secs_f64();
        let said = match &answer {
            Ok(rows) if rows.is_empty() => "ok".to_owned(),
            Ok(rows) => show(rows),
            Err(failed) => failed.to_string(),
        };
        let time = how.timestamp.map_or_else(String::new, |at| format!(" @{at}"));
        let text: String = text.chars().take(160).collect();
        self.shared.log.say(&format!(
            "client {} -> node {node}: {text}{time} {at}: {said} ({took:.3} s)",
            self.number
        ));
        if let Err(failed) = &answer {
            if let Failed::Wrong(error) = failed {
                let what = format!("node {node} refuses {text}: {error:?}");
                locked(&self.shared.oracle).violate(what);
            }
            if matches!(failed, Failed::Unknown(_)) {
                self.connection = None;
            }
        }
        answer
    }

    async fn write(&mut self, text: &str, write: Write, is_batch: bool) {
        let consistency = self.level();
        let how = How { timestamp: Some(write.timestamp), ..How::at(consistency) };
        let answer = self.ask(text, how).await;
        let mut oracle = locked(&self.shared.oracle);
        match answer {
            Ok(_) => oracle.acknowledge(&write, strength(consistency)),
            Err(Failed::Refused(_)) => oracle.refuse(&write),
            Err(_) if is_batch => oracle.give_up_batch(write),
            Err(_) => {}
        }
    }

    async fn write_one(&mut self) {
        let key = self.key();
        let value = self.random.chance(0.8).then(|| self.new_value());
        let write = self.new_write(vec![(key, value.clone())]);
        self.write(&insert_text(key, &value), write, false).await;
    }

    async fn write_quiet(&mut self) {
        let value = self.new_value();
        let key = FIRST_QUIET + self.number * QUIET_PER_CLIENT + self.written;
        let write = self.new_write(vec![(key, Some(value.clone()))]);
        self.write(&insert_text(key, &Some(value)), write, false).await;
    }

    async fn write_batch(&mut self) {
        let first = self.key();
        let keys = [first, (first + 5) % KEYS, (first + 11) % KEYS];
        let keys: Vec<_> = keys.into_iter().map(|key| (key, Some(self.new_value()))).collect();
        let write = self.new_write(keys);
        let mut text = String::from("BEGIN BATCH ");
        for (key, value) in &write.keys {
            text += &insert_text(*key, value);
            text += "; ";
        }
        text += "APPLY BATCH";
        self.write(&text, write, true).await;
    }

    async fn increment(&mut self) {
        let counter = self.random.below(COUNTERS);
        locked(&self.shared.oracle).begin_increment(counter);
        let text = format!("UPDATE sim.counts SET n = n + 1 WHERE k = {counter}");
        let answer = self.ask(&text, How::at(Consistency::Quorum)).await;
        let mut oracle = locked(&self.shared.oracle);
        match answer {
            Ok(_) => oracle.acknowledge_increment(counter),
            Err(Failed::Refused(_)) => oracle.refuse_increment(counter),
            Err(_) => {}
        }
    }

    async fn change_schema(&mut self) {
        let old = {
            let prefix = format!("t{}x", self.number);
            let oracle = locked(&self.shared.oracle);
            let old = oracle.tables().find(|table| table.starts_with(&prefix));
            old.map(str::to_owned)
        };
        let how = How::at(Consistency::Quorum);
        if let Some(table) = old.filter(|_| self.random.chance(0.3)) {
            locked(&self.shared.oracle).drop_table(&table);
            drop(self.ask(&format!("DROP TABLE IF EXISTS sim.{table}"), how).await);
            return;
        }
        self.written += 1;
        let table = format!("t{}x{}", self.number, self.written);
        let text = format!("CREATE TABLE IF NOT EXISTS sim.{table} (k bigint PRIMARY KEY, v text)");
        if self.ask(&text, how).await.is_ok() {
            locked(&self.shared.oracle).made_table(&table);
        }
    }

    async fn read(&mut self, text: &str, keys: &[u64], consistency: Consistency) {
        let before = locked(&self.shared.oracle).begin_read(keys, strength(consistency));
        let Ok(found) = self.pages(text, consistency).await else { return };
        let node = self.connection.as_ref().map_or(0, |(node, _)| *node);
        let who = format!("client {} via node {node} at {}", self.number, name(consistency));
        let mut oracle = locked(&self.shared.oracle);
        for key in keys {
            oracle.observe(&before, *key, &found.get(key).cloned().flatten(), &who);
        }
    }

    /// All pages of a query for `p, c, v`.
    async fn pages(
        &mut self,
        text: &str,
        consistency: Consistency,
    ) -> Result<BTreeMap<u64, Value>, Failed> {
        let (mut found, mut state) = (BTreeMap::new(), None::<Vec<u8>>);
        loop {
            let page = Some((PAGE_ROWS, state.as_deref()));
            let rows = self.ask(text, How { page, ..How::at(consistency) }).await?;
            read_rows(&rows, &mut found);
            state.clone_from(&rows.metadata.paging_state);
            if state.is_none() {
                return Ok(found);
            }
        }
    }

    async fn read_one(&mut self) {
        let key = self.key();
        let (p, c) = (key / ROWS_PER_PARTITION, key % ROWS_PER_PARTITION);
        let text = format!("SELECT p, c, v FROM sim.rows WHERE p = {p} AND c = {c}");
        let level = self.level();
        self.read(&text, &[key], level).await;
    }

    async fn read_partition(&mut self) {
        let p = self.random.below(PARTITIONS);
        let first = p * ROWS_PER_PARTITION;
        let keys: Vec<u64> = (first..first + ROWS_PER_PARTITION).collect();
        let order = if self.random.chance(0.3) { " ORDER BY c DESC" } else { "" };
        let text = format!("SELECT p, c, v FROM sim.rows WHERE p = {p}{order}");
        let level = self.level();
        self.read(&text, &keys, level).await;
    }

    async fn scan(&mut self) {
        let keys: Vec<u64> = (0..KEYS).collect();
        let level = self.level();
        self.read("SELECT p, c, v FROM sim.rows", &keys, level).await;
    }

    async fn read_counter(&mut self) {
        let counter = self.random.below(COUNTERS);
        let floor = locked(&self.shared.oracle).counter_floor(counter);
        self.observe_counter(counter, floor, Consistency::Quorum).await;
    }

    async fn observe_counter(&mut self, counter: u64, floor: i64, level: Consistency) {
        let text = format!("SELECT n FROM sim.counts WHERE k = {counter}");
        let Ok(rows) = self.ask(&text, How::at(level)).await else { return };
        let count = rows.iter().next().and_then(|row| bigint(row.first().copied().flatten()));
        let count = i64::try_from(count.unwrap_or(0)).unwrap_or(-1);
        let node = self.connection.as_ref().map_or(0, |(node, _)| *node);
        let who = format!("client {} via node {node} at {}", self.number, name(level));
        locked(&self.shared.oracle).observe_counter(counter, floor, count, &who);
    }
}

/// Rows in short.
fn show(rows: &Rows) -> String {
    let cell = |cell: &Option<&[u8]>| match cell {
        None => "null".to_owned(),
        Some(bytes) => match bigint(Some(bytes)).filter(|number| *number < 1 << 40) {
            Some(number) => number.to_string(),
            None => String::from_utf8_lossy(bytes).trim_end_matches('-').to_owned(),
        },
    };
    let row = |row: Vec<Option<&[u8]>>| row.iter().map(cell).collect::<Vec<_>>().join(" ");
    rows.iter().map(row).collect::<Vec<_>>().join(" | ")
}

/// What the harness itself asks of one node.
pub(crate) struct Inspector {
    client: Client,
}

impl Inspector {
    /// Connects to a node.
    pub(crate) async fn connect(shared: Shared, node: usize) -> Result<Inspector, String> {
        let host = shared.network.host(IpAddr::from([10, 0, 2, 1]));
        let address = SocketAddr::new(machine::ip(node), machine::CQL_PORT);
        let runtime: Arc<dyn Runtime> = Arc::new(shared.runtime.clone());
        let client = Client::connect(&host, runtime, address).await?;
        Ok(Inspector { client })
    }

    /// Executes a statement.
    pub(crate) async fn ask(&mut self, text: &str, level: Consistency) -> Result<Rows, String> {
        self.client.query(text, How::at(level)).await.map_err(|failed| failed.to_string())
    }

    /// Every key that there is: one partition after the other, and those that are never read.
    pub(crate) async fn rows(
        &mut self,
        level: Consistency,
    ) -> Result<BTreeMap<u64, Value>, String> {
        let mut found: BTreeMap<u64, Value> = (0..KEYS).map(|key| (key, None)).collect();
        for p in 0..PARTITIONS {
            let text = format!("SELECT p, c, v FROM sim.rows WHERE p = {p}");
            read_rows(&self.ask(&text, level).await?, &mut found);
        }
        let quiet = self.ask("SELECT k, v FROM sim.quiet", level).await?;
        for row in quiet.iter() {
            let at = |index: usize| row.get(index).copied().flatten();
            let Some(key) = bigint(at(0)) else { continue };
            found.insert(key, at(1).map(|text| String::from_utf8_lossy(text).into_owned()));
        }
        Ok(found)
    }

    /// Every counter.
    pub(crate) async fn counts(
        &mut self,
        level: Consistency,
    ) -> Result<BTreeMap<u64, i64>, String> {
        let mut found = BTreeMap::new();
        for counter in 0..COUNTERS {
            let text = format!("SELECT n FROM sim.counts WHERE k = {counter}");
            let rows = self.ask(&text, level).await?;
            let count = rows.iter().next().and_then(|row| bigint(row.first().copied().flatten()));
            found.insert(counter, i64::try_from(count.unwrap_or(0)).unwrap_or(-1));
        }
        Ok(found)
    }

    /// Names of the tables of the clients.
    pub(crate) async fn tables(&mut self) -> Result<Vec<String>, String> {
        let text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'sim'";
        let rows = self.ask(text, Consistency::One).await?;
        let name = |row: Vec<Option<&[u8]>>| {
            row.first().copied().flatten().map(|text| String::from_utf8_lossy(text).into_owned())
        };
        Ok(rows.iter().filter_map(name).collect())
    }
}
