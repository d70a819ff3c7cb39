//! What is asked: the tables, the statements and their values.

use cql_lite::wire::{BoundValue, ValuesBuilder};
use helenus_platform::random::{Random, SeededRandom};

use super::{BenchOptions, Kind};

/// Bytes that values are cut out of, so that making them costs nothing.
const NOISE_BYTES: usize = 256 << 10;
/// The place of each statement among those that are prepared.
const INSERT: usize = 0;
const SELECT: usize = 1;

/// What one run does.
#[derive(Clone)]
pub(super) struct Workload {
    kind: Kind,
    keyspace: String,
    rows: u64,
    columns: u16,
    column_bytes: usize,
    read_percent: u64,
    seed: u64,
    noise: std::sync::Arc<[u8]>,
}

/// One request.
pub(super) struct Asked {
    /// The place of its statement.
    pub(super) statement: usize,
    pub(super) is_read: bool,
}

/// The dice of one connection.
pub(super) struct Dice(SeededRandom);

impl Workload {
    pub(super) fn new(options: &BenchOptions) -> Self {
        let by_default = match options.kind {
            Kind::Write => 0,
            Kind::Read => 100,
            Kind::Mixed => 50,
            Kind::Timeseries => 5,
        };
        let mut noise = vec![0; NOISE_BYTES];
        SeededRandom::new(options.seed).fill(&mut noise);
        let fixed = matches!(options.kind, Kind::Write | Kind::Read);
        let percent = options.read_percent.filter(|_| !fixed).map_or(by_default, u64::from);
        Self {
            kind: options.kind,
            keyspace: options.keyspace.clone(),
            rows: options.rows,
            columns: options.columns,
            column_bytes: options.column_bytes as usize,
            read_percent: percent,
            seed: options.seed,
            noise: noise.into(),
        }
    }

    /// The work of writing the rows that this one reads.
    pub(super) fn filling(&self) -> Self {
        Self { kind: Kind::Write, read_percent: 0, ..self.clone() }
    }

    /// Whether it reads rows that have to be there before.
    pub(super) fn reads_rows(&self) -> bool {
        matches!(self.kind, Kind::Read | Kind::Mixed)
    }

    pub(super) fn dice(&self, connection: u64) -> Dice {
        Dice(SeededRandom::new(self.seed ^ (connection + 1).wrapping_mul(0x9e37_79b9)))
    }

    fn table(&self) -> String {
        match self.kind {
            Kind::Timeseries => format!("{}.series", self.keyspace),
            _ => format!("{}.rows_{}", self.keyspace, self.columns),
        }
    }

    /// What makes keyspace and table.
    pub(super) fn schema(&self) -> Vec<String> {
        let keyspace = format!(
            "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {{'class': 'SimpleStrategy', \
             'replication_factor': 1}}",
            self.keyspace
        );
        let table = match self.kind {
            Kind::Timeseries => format!(
                "CREATE TABLE IF NOT EXISTS {} (series bigint, at bigint, value blob, \
                 PRIMARY KEY (series, at)) WITH CLUSTERING ORDER BY (at DESC)",
                self.table()
            ),
            _ => {
                let columns: String = (0..self.columns).map(|n| format!(", c{n} blob")).collect();
                format!(
                    "CREATE TABLE IF NOT EXISTS {} (key text PRIMARY KEY{columns})",
                    self.table()
                )
            }
        };
        vec![keyspace, table]
    }

    /// What is prepared, in the order of the places.
    pub(super) fn statements(&self) -> [String; 2] {
        let table = self.table();
        if self.kind == Kind::Timeseries {
            return [
                format!("INSERT INTO {table} (series, at, value) VALUES (?, ?, ?)"),
                format!("SELECT at, value FROM {table} WHERE series = ? LIMIT 100"),
            ];
        }
        let names: String = (0..self.columns).map(|n| format!(", c{n}")).collect();
        let marks = ", ?".repeat(self.columns.into());
        [
            format!("INSERT INTO {table} (key{names}) VALUES (?{marks})"),
            format!("SELECT * FROM {table} WHERE key = ?"),
        ]
    }

    /// Chooses the request with this number, and puts its values into `values`.
    pub(super) fn ask(&self, number: u64, dice: &Dice, values: &mut ValuesBuilder) -> Asked {
        let is_read = dice.0.below(100) < self.read_percent;
        let put = |values: &mut ValuesBuilder, bytes: &[u8]| {
            // At most a thousand values, where 65535 are possible.
            drop(values.push(BoundValue::Bytes(bytes)));
        };
        if self.kind == Kind::Timeseries {
            put(values, &dice.0.below(self.rows).to_be_bytes());
            if !is_read {
                put(values, &number.to_be_bytes());
                put(values, self.noise(dice));
            }
        } else {
            let row = match self.kind {
                Kind::Write => number,
                _ => dice.0.below(self.rows),
            };
            put(values, format!("{row:010}").as_bytes());
            if !is_read {
                (0..self.columns).for_each(|_| put(values, self.noise(dice)));
            }
        }
        Asked { statement: if is_read { SELECT } else { INSERT }, is_read }
    }

    fn noise(&self, dice: &Dice) -> &[u8] {
        let room = self.noise.len().saturating_sub(self.column_bytes);
        let at = usize::try_from(dice.0.below(room as u64 + 1)).unwrap_or(0);
        self.noise.get(at..at + self.column_bytes).unwrap_or_default()
    }
}
