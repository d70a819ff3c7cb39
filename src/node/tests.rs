//! Opening and closing on a simulated disk.

use std::cell::RefCell;
use std::path::Path;

use bytes::BytesMut;
use cql_lite::wire::frame::HEADER_BYTES;
use cql_lite::wire::{
    ProtocolVersion, QueryOptions, Response, ResponseWriter, ResultBody, decode_response,
};
use helenus_platform::clock::ManualClock;
use helenus_platform::disk::FaultyDisk;
use helenus_platform::random::SeededRandom;
use helenus_platform::runtime::SimRuntime;
use helenus_storage::Budget;

mod damage;
mod full_disk;
mod lived;
mod newer;
mod read_only;

use super::*;
use crate::query::{Ask, Execution, Step, prepare};

struct Lab {
    disk: FaultyDisk,
    runtime: SimRuntime,
    clock: Arc<ManualClock>,
}

impl Lab {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(1_700_000_000_000_000));
        let runtime = SimRuntime::new(1, clock.clone());
        use_runtime(&runtime);
        Self { disk: FaultyDisk::new(1), runtime, clock }
    }

    fn open(&self) -> Result<Node, OpenError> {
        self.open_with(Config::default())
    }

    fn world(&self) -> World {
        World {
            disk: Arc::new(self.disk.for_process()),
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(1)),
            runtime: Arc::new(self.runtime.clone()),
        }
    }

    fn open_with(&self, config: Config) -> Result<Node, OpenError> {
        let config = Config {
            data_dir: "/data".into(),
            segment_bytes: 1 << 16,
            // Waits for a flush, which nobody carries out while a test runs a statement.
            auto_snapshot: false,
            ..config
        };
        Node::open(self.world(), config)
    }

    fn close(&self, node: Node) {
        self.runtime.block_on(100_000, async move { node.close().await }).unwrap().unwrap();
        self.runtime.kill();
    }

    fn crash(&self) {
        self.disk.crash_process();
        self.runtime.kill();
    }
}

thread_local! {
    /// Runs what the statements of a test wait for.
    static RUNTIME: RefCell<Option<SimRuntime>> = const { RefCell::new(None) };
}

/// Has [`run`] wait on this runtime.
pub(super) fn use_runtime(runtime: &SimRuntime) {
    RUNTIME.with(|place| *place.borrow_mut() = Some(runtime.clone()));
}

fn wait_for<T: Send + 'static>(waits: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = RUNTIME.with(|place| place.borrow().clone()).unwrap();
    runtime.block_on(1_000_000, waits).unwrap()
}

/// Runs a statement to its end, waiting for the disk where needed.
fn run(node: &Node, text: &str) -> crate::error::Result<ResultBody> {
    let services = node.services();
    let schema = node.metadata().schema();
    let prepared = Arc::new(prepare(&schema, None, text, None)?);
    let options = QueryOptions::default();
    let ask = Ask { options: &options, keyspace: None, metadata_id: None, trace: None };
    let mut out = BytesMut::new();
    let mut writer = ResponseWriter::new(&mut out, ProtocolVersion::V5, 0);
    let mut execution = Execution::begin(services, &schema, &prepared, ask, &mut writer)?;
    let mut budget = Budget::UNLIMITED;
    loop {
        match execution.step(services, &mut writer, &mut budget)? {
            Step::Done { hold } => {
                // As a connection does at the end of its turn.
                hold.into_iter().for_each(|position| node.engine().write_out(position));
                break;
            }
            Step::Yield => {}
            Step::NeedsBlocks(blocks) => execution.fetch(services, blocks)?,
            Step::Wait(waits) => execution.waited(wait_for(waits)),
        }
    }
    writer.finish();
    let body = &out[HEADER_BYTES..];
    let opcode = cql_lite::wire::Opcode::Result;
    match decode_response(ProtocolVersion::V5, out[1], opcode, body).unwrap().response {
        Response::Result(body) => Ok(body),
        other => panic!("{other:?}"),
    }
}

fn row_count(node: &Node, table: &str) -> usize {
    match run(node, &format!("SELECT * FROM k.{table}")).unwrap() {
        ResultBody::Rows(rows) => rows.len(),
        other => panic!("{other:?}"),
    }
}

/// A keyspace with the tables `t` and `u`, ten rows in each.
fn fill(node: &Node) {
    let options = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    run(node, &format!("CREATE KEYSPACE k WITH replication = {options}")).unwrap();
    for table in ["t", "u"] {
        run(node, &format!("CREATE TABLE k.{table} (k int PRIMARY KEY)")).unwrap();
        for key in 0..10 {
            run(node, &format!("INSERT INTO k.{table} (k) VALUES ({key})")).unwrap();
        }
    }
}

/// The ids of the tables that have a directory.
fn directories(lab: &Lab) -> Vec<u32> {
    let entries = lab.disk.list(Path::new("/data/engine/tables")).unwrap();
    entries.iter().map(|entry| u32::from_str_radix(&entry.name, 16).unwrap()).collect()
}

#[test]
fn a_drop_that_was_cut_off_anywhere_is_finished_by_the_next_start() {
    let prepared = || {
        let lab = Lab::new();
        let node = lab.open().unwrap();
        fill(&node);
        lab.close(node);
        let node = lab.open().unwrap();
        (lab, node)
    };
    let calls = {
        let (lab, node) = prepared();
        let before = lab.disk.calls();
        run(&node, "DROP TABLE k.t").unwrap();
        lab.disk.calls() - before
    };
    let (mut dropped, mut kept) = (0, 0);
    for call in 1..=calls {
        let (lab, node) = prepared();
        lab.disk.cut_at_call(lab.disk.calls() + call);
        drop(run(&node, "DROP TABLE k.t"));
        drop(node);
        lab.runtime.kill();
        lab.disk.power_cut(Default::default());
        let node = lab.open().unwrap_or_else(|error| panic!("cut at call {call}: {error}"));
        assert_eq!(row_count(&node, "u"), 10, "cut at call {call}");
        if node.metadata().schema().table("k", "t").is_some() {
            kept += 1;
            assert_eq!(row_count(&node, "t"), 10, "cut at call {call}");
        } else {
            dropped += 1;
        }
        let named: Vec<u32> = node.engine().tables().iter().map(|table| table.0).collect();
        assert_eq!(directories(&lab), named, "cut at call {call}");
        lab.close(node);
    }
    assert!(dropped > 2 && kept > 0, "{dropped} dropped, {kept} kept");
}

#[test]
fn a_metadata_log_that_has_lost_its_end_takes_no_table_with_it() {
    let lab = Lab::new();
    let node = lab.open().unwrap();
    fill(&node);
    lab.close(node);
    let before = directories(&lab);
    let path = Path::new("/data/metadata/log-0000000000000000");
    let file = lab.disk.open_write(path).unwrap();
    let mut whole = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut whole).unwrap();
    for length in [whole.len() - 30, whole.len() / 2, 44] {
        file.set_len(length as u64).unwrap();
        let refused = lab.open().unwrap_err().to_string();
        assert!(refused.contains("log-0000000000000000 ends with version"), "{refused}");
        assert_eq!(directories(&lab), before);
    }
    file.write_all_at(0, &whole).unwrap();
    let node = lab.open().unwrap();
    assert_eq!((row_count(&node, "t"), row_count(&node, "u")), (10, 10));
}

#[test]
fn a_closed_node_lets_go_of_its_directory_although_it_is_still_there() {
    let lab = Lab::new();
    let node = lab.open().unwrap();
    fill(&node);
    for _ in 0..3 {
        let (again, engine) = (node.clone(), node.engine().clone());
        lab.runtime.block_on(100_000, async move { again.close().await }).unwrap().unwrap();
        assert!(run(&node, "INSERT INTO k.t (k) VALUES (11)").is_err());
        assert!(engine.truncate(helenus_storage::model::TableId(1)).is_err());
    }
    let next = lab.open().unwrap();
    assert!(matches!(lab.open(), Err(OpenError::Locked(_))));
    assert_eq!(row_count(&next, "t"), 10);
    // Being dropped at last, the first does not let go of what the second holds.
    drop(node);
    assert!(matches!(lab.open(), Err(OpenError::Locked(_))));
}

#[test]
fn an_identity_is_for_ever_and_an_unclean_stop_starts_a_new_counter_generation() {
    let lab = Lab::new();
    let node = lab.open().unwrap();
    let born = node.identity();
    lab.close(node);
    let node = lab.open().unwrap();
    assert_eq!(node.identity().host_id, born.host_id);
    assert_eq!(node.identity().counter_generation, born.counter_generation);
    drop(node);
    lab.crash();
    let node = lab.open().unwrap();
    assert_eq!(node.identity().tokens, born.tokens);
    assert_eq!(node.identity().counter_generation, born.counter_generation + 1);
}

#[test]
fn a_damaged_log_is_refused_with_the_way_past_it() {
    let lab = Lab::new();
    let node = lab.open().unwrap();
    lab.close(node);
    let log = Path::new("/data/engine/log");
    let segment = log.join("segment-0000000000000000.log");
    lab.disk.flip_bit(&segment, 20 * 8).unwrap();
    for _ in 0..2 {
        let refusal = lab.open().err().unwrap().to_string();
        assert!(refusal.contains("segment-0000000000000000.log"), "{refusal}");
        assert!(refusal.contains("--set commit_log.skip_damaged=true"), "{refusal}");
    }
    let node = lab.open_with(Config { skip_damaged_log: true, ..Config::default() }).unwrap();
    assert_eq!(node.engine().log_damage().len(), 1);
    lab.close(node);
    assert!(lab.open().unwrap().engine().log_damage().is_empty());
}

#[test]
fn timestamps_do_not_go_back_with_the_clock_across_restarts() {
    let lab = Lab::new();
    let node = lab.open().unwrap();
    let last = node.timestamps().next();
    lab.runtime.run_for(std::time::Duration::from_secs(2));
    drop(node);
    lab.crash();
    lab.clock.set_wall_micros(1_000);
    let node = lab.open().unwrap();
    assert!(node.timestamps().next() > last);
    let last = node.timestamps().next();
    lab.close(node);
    lab.clock.set_wall_micros(500);
    assert_eq!(lab.open().unwrap().timestamps().next(), last + 1);
}

#[test]
fn a_directory_is_never_guessed_at() {
    let lab = Lab::new();
    let node = lab.open().unwrap();
    assert!(matches!(lab.open(), Err(OpenError::Locked(_))));
    lab.close(node);
    lab.disk.remove(Path::new("/data/IDENTITY")).unwrap();
    let refused = lab.open().unwrap_err().to_string();
    assert!(refused.contains("is not a data directory"), "{refused}");

    let lab = Lab::new();
    lab.disk.create_dir_all(Path::new("/data")).unwrap();
    lab.disk.create(Path::new("/data/letters.txt")).unwrap();
    assert!(lab.open().unwrap_err().to_string().contains("letters.txt"));
}

#[test]
fn founding_can_be_interrupted_anywhere() {
    let calls = {
        let lab = Lab::new();
        lab.open().unwrap();
        lab.disk.calls()
    };
    for call in 1..calls {
        let lab = Lab::new();
        lab.disk.cut_at_call(call);
        drop(lab.open());
        lab.runtime.kill();
        lab.disk.power_cut(Default::default());
        let node = lab.open().unwrap_or_else(|error| panic!("cut at call {call}: {error}"));
        lab.close(node);
    }
}
