//! What the clients of a simulation do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use helenus_driver::value::Counter;
use helenus_driver::{Error, Prepared, Session};
use helenus_platform::random::{Random, SeededRandom};
use helenus_platform::runtime::{Runtime, SimRuntime};

use crate::oracle::{Oracle, Value};

/// Keys of one client; no other writes them.
pub(crate) const KEYS_PER_CLIENT: u64 = 8;
/// Rows share partitions, so that there are slices to read.
const ROWS_PER_PARTITION: u64 = 4;
const COUNTERS: u64 = 3;
/// The oracle counts the registers, which conditional writes raise, from here on.
const FIRST_REGISTER: u64 = 1000;
const REGISTERS: u64 = 2;

/// The tables of a simulation.
pub(crate) const SCHEMA: &[&str] = &[
    "CREATE KEYSPACE sim WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    "CREATE TABLE sim.rows (p bigint, c bigint, v text, PRIMARY KEY (p, c))",
    "CREATE TABLE sim.counts (k bigint PRIMARY KEY, n counter)",
    "CREATE TABLE sim.registers (k bigint PRIMARY KEY, n bigint)",
];

/// The statements of a client, prepared.
#[derive(Clone)]
pub(crate) struct Statements {
    insert: Prepared,
    delete: Prepared,
    insert_if: Prepared,
    select: Prepared,
    slice: Prepared,
    add: Prepared,
    count: Prepared,
    register: Prepared,
    raise: Prepared,
    found: Prepared,
}

impl Statements {
    pub(crate) async fn prepare(session: &Session) -> Result<Self, Error> {
        Ok(Self {
            insert: session.prepare("INSERT INTO sim.rows (p, c, v) VALUES (?, ?, ?)").await?,
            delete: session.prepare("DELETE FROM sim.rows WHERE p = ? AND c = ?").await?,
            insert_if: session
                .prepare("INSERT INTO sim.rows (p, c, v) VALUES (?, ?, ?) IF NOT EXISTS")
                .await?,
            select: session.prepare("SELECT v FROM sim.rows WHERE p = ? AND c = ?").await?,
            slice: session.prepare("SELECT c, v FROM sim.rows WHERE p = ?").await?,
            add: session.prepare("UPDATE sim.counts SET n = n + 1 WHERE k = ?").await?,
            count: session.prepare("SELECT n FROM sim.counts WHERE k = ?").await?,
            register: session.prepare("SELECT n FROM sim.registers WHERE k = ?").await?,
            raise: session.prepare("UPDATE sim.registers SET n = ? WHERE k = ? IF n = ?").await?,
            found: session
                .prepare("INSERT INTO sim.registers (k, n) VALUES (?, 1) IF NOT EXISTS")
                .await?,
        })
    }
}

fn place(key: u64) -> (i64, i64) {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    (signed(key / ROWS_PER_PARTITION), signed(key % ROWS_PER_PARTITION))
}

/// The batch that each client has under way.
pub(crate) type Batches = BTreeMap<u64, Vec<(u64, Value)>>;

/// What all clients share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) session: Session,
    pub(crate) statements: Statements,
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    /// Batches that were under way, to be looked at after a crash.
    pub(crate) batches: Arc<Mutex<Batches>>,
    pub(crate) runtime: SimRuntime,
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One client: writes its own keys, reads everybody's.
pub(crate) struct ClientTask {
    pub(crate) number: u64,
    pub(crate) clients: u64,
    pub(crate) random: SeededRandom,
    pub(crate) shared: Shared,
}

impl ClientTask {
    /// Works until the node is gone.
    pub(crate) async fn work(self) {
        loop {
            let pause = Duration::from_micros(self.random.below(2_000));
            self.shared.runtime.sleep(pause).await;
            let done = match self.random.below(100) {
                0..40 => self.write_one().await,
                40..50 => self.write_batch().await,
                50..60 => self.write_if_absent().await,
                60..65 => self.increment().await,
                65..70 => self.raise_register().await,
                70..90 => self.read_one().await,
                _ => self.read_slice().await,
            };
            // A refused statement says that the node is dying; the run ends it.
            if done.is_err() {
                return;
            }
        }
    }

    fn own_key(&self) -> u64 {
        self.number * KEYS_PER_CLIENT + self.random.below(KEYS_PER_CLIENT)
    }

    fn new_value(&self) -> String {
        let filling = "-".repeat(usize::try_from(self.random.below(400)).unwrap_or(0));
        format!("{:016x}{filling}", self.random.next_u64())
    }

    async fn write_one(&self) -> Result<(), Error> {
        let Shared { session, statements, .. } = &self.shared;
        let key = self.own_key();
        let (p, c) = place(key);
        let value = self.random.chance(0.8).then(|| self.new_value());
        let writes = [(key, value.clone())];
        locked(&self.shared.oracle).begin(&writes);
        match &value {
            Some(value) => session.execute(&statements.insert, (p, c, value)).await?,
            None => session.execute(&statements.delete, (p, c)).await?,
        };
        locked(&self.shared.oracle).acknowledge(&writes);
        Ok(())
    }

    async fn write_batch(&self) -> Result<(), Error> {
        let first = self.number * KEYS_PER_CLIENT;
        let writes: Vec<(u64, Value)> =
            [0, 3, 5].map(|i| (first + i, Some(self.new_value()))).into();
        let mut text = String::from("BEGIN BATCH ");
        for (key, value) in &writes {
            let (p, c) = place(*key);
            let value = value.as_deref().unwrap_or_default();
            text += &format!("INSERT INTO sim.rows (p, c, v) VALUES ({p}, {c}, '{value}'); ");
        }
        text += "APPLY BATCH";
        locked(&self.shared.oracle).begin(&writes);
        locked(&self.shared.batches).insert(self.number, writes.clone());
        self.shared.session.query(&text, ()).await?;
        locked(&self.shared.batches).remove(&self.number);
        locked(&self.shared.oracle).acknowledge(&writes);
        Ok(())
    }

    async fn write_if_absent(&self) -> Result<(), Error> {
        let Shared { session, statements, .. } = &self.shared;
        let key = self.own_key();
        let (p, c) = place(key);
        let value = self.new_value();
        let writes = [(key, Some(value.clone()))];
        locked(&self.shared.oracle).begin(&writes);
        let rows = session.execute(&statements.insert_if, (p, c, value)).await?;
        let mut oracle = locked(&self.shared.oracle);
        if rows.applied()? {
            oracle.acknowledge(&writes);
        } else {
            oracle.refuse(&writes);
        }
        Ok(())
    }

    async fn increment(&self) -> Result<(), Error> {
        let Shared { session, statements, .. } = &self.shared;
        let counter = self.random.below(COUNTERS);
        locked(&self.shared.oracle).begin_increment(counter);
        session.execute(&statements.add, (place(counter * ROWS_PER_PARTITION).0,)).await?;
        locked(&self.shared.oracle).acknowledge_increment(counter);
        Ok(())
    }

    /// All clients contend for the registers: an applied write counts, another one does not.
    async fn raise_register(&self) -> Result<(), Error> {
        let Shared { session, statements, .. } = &self.shared;
        let register = FIRST_REGISTER + self.random.below(REGISTERS);
        let k = place(register * ROWS_PER_PARTITION).0;
        let before = session.execute(&statements.register, (k,)).await?.first::<(i64,)>()?;
        locked(&self.shared.oracle).begin_increment(register);
        let rows = match before {
            Some((n,)) => session.execute(&statements.raise, (n + 1, k, n)).await?,
            None => session.execute(&statements.found, (k,)).await?,
        };
        let mut oracle = locked(&self.shared.oracle);
        match rows.applied()? {
            true => oracle.acknowledge_increment(register),
            false => oracle.refuse_increment(register),
        }
        Ok(())
    }

    async fn read_one(&self) -> Result<(), Error> {
        let mine = self.random.chance(0.5);
        let client = if mine { self.number } else { self.random.below(self.clients) };
        let key = client * KEYS_PER_CLIENT + self.random.below(KEYS_PER_CLIENT);
        let value = self.shared.read(key).await?;
        let mut oracle = locked(&self.shared.oracle);
        if client == self.number {
            oracle.observe(key, &value);
        } else {
            oracle.observe_foreign(key, &value);
        }
        Ok(())
    }

    async fn read_slice(&self) -> Result<(), Error> {
        let Shared { session, statements, .. } = &self.shared;
        let first = self.number * KEYS_PER_CLIENT;
        let rows = session.execute(&statements.slice, (place(first).0,)).await?;
        let mut found = BTreeMap::new();
        for row in rows.iter::<(i64, Option<String>)>()? {
            let (c, value) = row?;
            found.insert(c, value);
        }
        let mut oracle = locked(&self.shared.oracle);
        for key in first..first + ROWS_PER_PARTITION {
            let value = found.get(&place(key).1).cloned().flatten();
            oracle.observe(key, &value);
        }
        Ok(())
    }
}

impl Shared {
    /// What is stored under a key.
    pub(crate) async fn read(&self, key: u64) -> Result<Value, Error> {
        let (p, c) = place(key);
        let rows = self.session.execute(&self.statements.select, (p, c)).await?;
        Ok(rows.first::<(Option<String>,)>()?.and_then(|(value,)| value))
    }

    /// Looks at every key, counter and batch after a restart.
    pub(crate) async fn verify(&self) -> Result<(), Error> {
        let mut found = BTreeMap::new();
        let keys = locked(&self.oracle).keys();
        for key in keys {
            let value = self.read(key).await?;
            found.insert(key, value);
        }
        let batches = std::mem::take(&mut *locked(&self.batches));
        for batch in batches.values() {
            locked(&self.oracle).observe_batch(batch, &found);
        }
        for (key, value) in &found {
            locked(&self.oracle).observe(*key, value);
        }
        let counters = locked(&self.oracle).counters();
        for counter in counters {
            let k = place(counter * ROWS_PER_PARTITION).0;
            let is_register = counter >= FIRST_REGISTER;
            let Statements { register, count, .. } = &self.statements;
            let select = if is_register { register } else { count };
            let rows = self.session.execute(select, (k,)).await?;
            let found = if is_register {
                rows.first::<(i64,)>()?.map(|(n,)| n)
            } else {
                rows.first::<(Counter,)>()?.map(|(n,)| n.0)
            };
            locked(&self.oracle).observe_counter(counter, found.unwrap_or(0));
        }
        Ok(())
    }
}
