//! A whole node in memory, on simulated time, driven from one thread.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cql_lite::wire::frame::HEADER_BYTES;
use cql_lite::wire::{
    Execute, FrameHeader, Opcode, Prepare, ProtocolVersion, Query, QueryOptions, Response,
    ResponseWriter, ResultBody, decode_response,
};
use helenus::config::{Config, DurabilityMode};
use helenus::node::{Node, OpenError, World};
use helenus::server::{Client, Handled, Handler, RequestContext, TurnBudget};
use helenus_platform::clock::ManualClock;
use helenus_platform::disk::{Disk, MemoryDisk};
use helenus_platform::random::SeededRandom;
use helenus_platform::runtime::SimRuntime;

/// 2026-01-01, in microseconds since the epoch.
const START_MICROS: i64 = 1_767_225_600_000_000;
/// Polls after which a request counts as stuck.
const POLLS_MAX: u64 = 1_000_000;
const VERSION: ProtocolVersion = ProtocolVersion::V5;

/// A node and the world it lives in.
pub(crate) struct Lab {
    pub(crate) disk: Arc<MemoryDisk>,
    runtime: SimRuntime,
    clock: Arc<ManualClock>,
    node: Option<Node>,
}

impl Lab {
    pub(crate) fn new() -> Lab {
        let clock = Arc::new(ManualClock::new(START_MICROS));
        let runtime = SimRuntime::new(1, clock.clone());
        Lab { disk: Arc::new(MemoryDisk::new()), runtime, clock, node: None }
    }

    pub(crate) fn open(&mut self) -> Result<(), OpenError> {
        let world = World {
            disk: self.disk.clone(),
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(1)),
            runtime: Arc::new(self.runtime.clone()),
        };
        let config = Config {
            data_dir: PathBuf::from("/data"),
            durability: DurabilityMode::Group,
            segment_bytes: 64 << 10,
            memtable_flush_bytes: 64 << 10,
            memtable_total_bytes: 1 << 20,
            block_cache_bytes: 1 << 20,
            ..Config::default()
        };
        self.node = Some(Node::open(world, config)?);
        Ok(())
    }

    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().expect("the node is open")
    }

    /// Flushes every memtable.
    pub(crate) fn flush(&self) {
        let engine = self.node().engine();
        let position = engine.flush(None).expect("a flush can be asked for");
        let wait = std::time::Duration::from_millis(5);
        while !engine.is_flushed(None, position) {
            self.runtime.run_for(wait);
        }
    }

    /// A clean stop. What was damaged may make it fail.
    pub(crate) fn close(&mut self) {
        if let Some(node) = self.node.take() {
            let _ = self.runtime.block_on(POLLS_MAX, async move { node.close().await });
        }
        self.runtime.kill();
    }

    /// Executes a statement; the answer, or what the client is told.
    pub(crate) fn query(&self, text: &str, options: QueryOptions<'_>) -> Result<Response, String> {
        let query = Query { text, options };
        self.ask(|handler, context, out| handler.query(context, &query, out))
    }

    pub(crate) fn run(&self, text: &str) -> Result<Response, String> {
        self.query(text, QueryOptions::default())
    }

    /// A statement's id and the id of its result's metadata.
    pub(crate) fn prepare(&self, text: &str) -> (Bytes, Bytes) {
        let prepare = Prepare { text, keyspace: None };
        match self.ask(|handler, context, out| handler.prepare(context, &prepare, out)) {
            Ok(Response::Result(ResultBody::Prepared(prepared))) => {
                (prepared.id.into(), prepared.result_metadata_id.into())
            }
            other => panic!("{text} prepared as {other:?}"),
        }
    }

    pub(crate) fn execute(
        &self,
        (id, metadata): &(Bytes, Bytes),
        options: QueryOptions<'_>,
    ) -> Result<Response, String> {
        let execute = Execute { id, result_metadata_id: Some(metadata), options };
        self.ask(|handler, context, out| handler.execute(context, &execute, out))
    }

    fn ask<F>(&self, call: F) -> Result<Response, String>
    where
        F: FnOnce(&dyn Handler, &mut RequestContext<'_>, &mut ResponseWriter<'_>) -> Handled,
    {
        let client = Client {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            version: VERSION,
            keyspace: Some("f".into()),
            options: Arc::default(),
        };
        let mut frame = BytesMut::new();
        let mut budget = TurnBudget { units: 4_000 };
        let mut context = RequestContext {
            client: &client,
            stream: 0,
            tracing: false,
            budget: &mut budget,
            memory: None,
        };
        let mut writer = ResponseWriter::new(&mut frame, VERSION, 0);
        let pending = match call(self.node(), &mut context, &mut writer) {
            Handled::Answered { .. } => {
                writer.finish();
                None
            }
            Handled::Pending(future) => {
                writer.abandon();
                Some(future)
            }
        };
        if let Some(future) = pending {
            let answer = self.runtime.block_on(POLLS_MAX, future);
            frame = answer.expect("a request comes to its end").frame;
        }
        let header = FrameHeader::parse(&frame).expect("an answer has a header");
        let opcode = Opcode::from_byte(header.opcode).expect("an answer's opcode is known");
        let body = decode_response(VERSION, header.flags, opcode, &frame[HEADER_BYTES..])
            .expect("an answer decodes");
        match body.response {
            Response::Error(error) => Err(error.message),
            response => Ok(response),
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.close();
    }
}

/// Every file below `dir` with its content.
pub(crate) fn files(disk: &dyn Disk, dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in disk.list(dir).expect("a directory can be listed") {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            found.extend(files(disk, &path));
        } else {
            found.push((path.clone(), read(disk, &path)));
        }
    }
    found.sort();
    found
}

pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    let file = disk.open(path).expect("a file opens");
    let mut bytes = vec![0; file.len().expect("a file has a length") as usize];
    file.read_exact_at(0, &mut bytes).expect("a file can be read");
    bytes
}

pub(crate) fn write(disk: &dyn Disk, path: &Path, bytes: &[u8]) {
    disk.create_dir_all(path.parent().expect("a file is in a directory")).expect("made");
    if disk.exists(path).expect("asked") {
        disk.remove(path).expect("removed");
    }
    disk.create(path).expect("created").write_all_at(0, bytes).expect("written");
}
