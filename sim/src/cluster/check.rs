//! What is looked at before, between and after the faults.

use std::time::Duration;

use cql_lite::wire::Consistency;

use super::oracle::Strength;
use super::workload::{Inspector, TABLES};
use super::{Cluster, HEAL_MAX, Kinds, STEP, Work};
use crate::workload::locked;

/// How long hints may take once all nodes are up.
const HINTS_MAX: Duration = Duration::from_secs(60);
/// What every node must do once it has healed.
const PROBES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS sim.probe (k bigint PRIMARY KEY)",
    "INSERT INTO sim.rows (p, c, v) VALUES (1000, 0, 'probe')",
    "SELECT v FROM sim.rows WHERE p = 1000 AND c = 0",
    "SELECT v FROM sim.rows",
    "SELECT n FROM sim.counts WHERE k = 0",
];
/// How often something is tried again.
const PAUSE: Duration = Duration::from_millis(500);

impl Cluster {
    /// Waits until every node serves clients.
    pub(super) fn await_all_serving(&self, patience: Duration) -> Result<(), String> {
        let end = self.now() + patience;
        loop {
            let waiting: Vec<usize> =
                self.machines.iter().filter(|m| m.node().is_none()).map(|m| m.number).collect();
            if waiting.is_empty() {
                return Ok(());
            }
            if self.now() > end {
                let runtime = &self.runtime;
                return Err(format!(
                    "nodes {waiting:?} do not serve after {patience:?}: {runtime:?}"
                ));
            }
            self.run_for(STEP)?;
        }
    }

    /// What something comes to that must succeed within [`HEAL_MAX`] when nothing is wrong.
    fn insist<T: Send + 'static, F: Future<Output = Result<T, String>> + Send + 'static>(
        &self,
        what: &str,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, String> {
        let end = self.now() + HEAL_MAX;
        loop {
            match self.block_on(what, attempt()) {
                Ok(value) => return Ok(value),
                Err(why) if self.now() > end => {
                    return Err(format!("not healed after {HEAL_MAX:?}: {why}"));
                }
                Err(_) => self.run_for(PAUSE)?,
            }
        }
    }

    pub(super) fn create_tables(&self) -> Result<(), String> {
        let factor = self.options.nodes.min(3);
        let keyspace = format!(
            "CREATE KEYSPACE sim WITH replication = {{'class': 'SimpleStrategy', \
             'replication_factor': {factor}}}"
        );
        let shared = self.shared();
        self.block_on("making the tables", async move {
            let mut inspector = Inspector::connect(shared, 0).await?;
            for text in std::iter::once(keyspace.as_str()).chain(TABLES.iter().copied()) {
                inspector.ask(text, Consistency::Quorum).await?;
            }
            Ok(())
        })
    }

    /// Waits until every node writes and reads at QUORUM.
    pub(super) fn await_healed(&self) -> Result<(), String> {
        self.await_all_serving(HEAL_MAX)?;
        let probes = match self.options.work {
            Work::Everything => PROBES,
            Work::Schema => &PROBES[..1],
        };
        for node in 0..self.options.nodes {
            self.insist(&format!("node {node} after all faults"), || {
                let shared = self.shared();
                async move {
                    let mut inspector = Inspector::connect(shared, node).await?;
                    for text in probes {
                        let level = Consistency::Quorum;
                        inspector.ask(text, level).await.map_err(|why| format!("{text}: {why}"))?;
                    }
                    Ok(())
                }
            })?;
        }
        self.log.say("--- every node serves");
        Ok(())
    }

    /// Looks at every promise when all is quiet.
    pub(super) fn judge(&self) -> Result<(), String> {
        if self.options.work == Work::Everything {
            if self.options.kinds != Kinds::All {
                self.await_hints()?;
            }
            self.judge_rows()?;
        }
        self.agree_on_metadata()?;
        for node in 0..self.options.nodes {
            let shared = self.shared();
            let known = self.block_on(&format!("tables of node {node}"), async move {
                Inspector::connect(shared, node).await?.tables().await
            })?;
            let mut oracle = locked(&self.oracle);
            let is_missing = |table: &&str| !known.iter().any(|known| known == table);
            let missing: Vec<String> =
                oracle.tables().filter(is_missing).map(str::to_owned).collect();
            for table in missing {
                oracle.violate(format!("node {node} does not know table {table}, which was made"));
            }
        }
        Ok(())
    }

    /// One read at ALL of everything keeps every promise, and leaves all replicas alike.
    fn judge_rows(&self) -> Result<(), String> {
        let (shared, oracle) = (self.shared(), &self.oracle);
        let before = {
            let oracle = locked(oracle);
            oracle.begin_read(&oracle.keys(), Strength::All)
        };
        let (found, counts) = self.insist("reading everything at ALL", || {
            let shared = shared.clone();
            async move {
                let mut inspector = Inspector::connect(shared, 0).await?;
                let found = inspector.rows(Consistency::All).await?;
                Ok((found, inspector.counts(Consistency::All).await?))
            }
        })?;
        {
            let mut oracle = locked(oracle);
            for key in oracle.keys() {
                let value = found.get(&key).cloned().flatten();
                oracle.observe(&before, key, &value, "in the end at ALL");
            }
            for counter in oracle.counters() {
                let count = counts.get(&counter).copied().unwrap_or(0);
                let floor = oracle.counter_floor(counter);
                oracle.observe_counter(counter, floor, count, "in the end at ALL");
            }
            oracle.judge_batches(&found);
        }
        for node in 0..self.options.nodes {
            let own = self.insist(&format!("reading node {node} at ONE"), || {
                let shared = self.shared();
                async move {
                    let mut inspector = Inspector::connect(shared, node).await?;
                    let own = inspector.rows(Consistency::One).await?;
                    Ok((own, inspector.counts(Consistency::One).await?))
                }
            })?;
            if own != (found.clone(), counts.clone()) {
                locked(oracle).violate(format!(
                    "after a read at ALL, node {node} has {own:?} and not {found:?} {counts:?}"
                ));
            }
        }
        Ok(())
    }

    /// Where no process has lost what it knew, hints alone bring every replica up to date.
    fn await_hints(&self) -> Result<(), String> {
        // With more nodes than replicas, ONE may be answered by any of these.
        if self.options.nodes > 3 {
            return Ok(());
        }
        let end = self.now() + HINTS_MAX;
        loop {
            let mut behind = None;
            for node in 0..self.options.nodes {
                let shared = self.shared();
                let own = self.block_on(&format!("reading node {node} at ONE"), async move {
                    Inspector::connect(shared, node).await?.rows(Consistency::One).await
                })?;
                let oracle = locked(&self.oracle);
                let value = |key: u64| own.get(&key).cloned().flatten();
                let old =
                    oracle.keys().into_iter().find(|key| !oracle.is_current(*key, &value(*key)));
                if let Some(key) = old {
                    let (value, promised) = (value(key), oracle.promised(key));
                    behind = Some(format!(
                        "node {node} has {value:?} for key {key}, of which {promised} was promised"
                    ));
                }
            }
            match behind {
                None => return Ok(()),
                Some(behind) if self.now() > end => {
                    return Err(format!("hints have not brought everything: {behind}"));
                }
                Some(_) => self.run_for(PAUSE)?,
            }
        }
    }

    /// There is one history of the metadata: who has a version has the same as everybody.
    pub(super) fn compare_metadata(&self) {
        for machine in &self.machines {
            let Some(node) = machine.node() else { continue };
            let state = node.metadata().state();
            let mut metadata = locked(&self.metadata);
            if let Some(known) = metadata.get(&state.version) {
                // Encoding costs, and most looks find nothing new.
                let is_newest = metadata.keys().next_back() == Some(&state.version);
                if !is_newest || *known == state.encode() {
                    continue;
                }
                let what = format!("node {} has another version {}", machine.number, state.version);
                locked(&self.oracle).violate(what);
            }
            metadata.insert(state.version, state.encode().to_vec());
        }
    }

    fn agree_on_metadata(&self) -> Result<(), String> {
        let end = self.now() + HEAL_MAX;
        loop {
            let mut states = Vec::new();
            for machine in &self.machines {
                let node = machine.node().ok_or("a node has gone")?;
                let state = node.metadata().state();
                states.push((state.version, state.schema.schema_version, state.encode()));
            }
            if states.windows(2).all(|pair| matches!(pair, [one, other] if one == other)) {
                return Ok(());
            }
            if self.now() > end {
                let versions: Vec<_> = states.iter().map(|(version, ..)| *version).collect();
                return Err(format!("the nodes' metadata stay different: {versions:?}"));
            }
            self.run_for(PAUSE)?;
        }
    }
}
