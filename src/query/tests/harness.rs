//! A node of one engine in memory, and the reader of scripts.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use cql_lite::types::text::to_literal;
use cql_lite::wire::frame::HEADER_BYTES;
use cql_lite::wire::{
    ProtocolVersion, QueryOptions, Response, ResponseWriter, ResultBody, Rows, decode_response,
};
use helenus_platform::clock::{Clock, ManualClock};
use helenus_platform::disk::{Disk, MemoryDisk};
use helenus_platform::random::{Random, SeededRandom};
use helenus_platform::runtime::SimRuntime;
use helenus_storage::model::PartitionKey;
use helenus_storage::model::counter::CounterId;
use helenus_storage::{Budget, Engine, Options};

use crate::cluster::members::{FEATURE_LEVEL, Member, MemberState};
use crate::cluster::metadata::{Applier, Metadata, Running};
use crate::cluster::state::ClusterState;
use crate::cluster::transport::{AllUp, NoTransport};
use crate::config::{Guardrails as Limits, Threshold};
use crate::coordinator::{Coordinator, PartitionLocks, Timeouts, Timestamps};
use crate::error::{Error, Result};
use crate::query::source::{ViewRow, Views};
use crate::query::{Ask, Execution, Guardrails, Prepared, Services, Step, prepare};
use crate::schema::system::rows as schema_rows;
use crate::schema::{Change, Schema, Table};

/// 2024-01-01 00:00:00 UTC, in microseconds.
pub(super) const START_MICROS: i64 = 1_704_067_200_000_000;

struct EngineTables(Engine);

impl Applier for EngineTables {
    fn apply(&self, before: &ClusterState, after: &ClusterState, changes: &[Change]) -> Result<()> {
        let (before, after) = (&before.schema, &after.schema);
        for change in changes {
            match change {
                Change::PutTable(table) if before.table_by_id(table.id).is_none() => {
                    let keyspace = after.keyspace(&table.keyspace).unwrap().id;
                    self.0.create_table(table.id, keyspace, Default::default())?;
                }
                Change::DropTable { id, .. } => self.0.drop_table(*id)?,
                Change::Truncate { table } => self.0.truncate(*table)?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn founder() -> Member {
    Member {
        host_id: [9; 16],
        internode_address: ([127, 0, 0, 1], 7000).into(),
        cql_address: ([127, 0, 0, 1], 9042).into(),
        data_center: "datacenter1".to_owned(),
        rack: "rack1".to_owned(),
        tokens: vec![0],
        state: MemberState::Normal,
        feature_level: FEATURE_LEVEL,
        voter: true,
    }
}

struct SchemaViews;

impl Views for SchemaViews {
    fn rows(
        &self,
        schema: &Schema,
        table: &Table,
        _: Option<&[PartitionKey]>,
    ) -> Result<Vec<ViewRow>> {
        Ok(schema_rows::rows(schema, &table.keyspace, &table.name, None).unwrap_or_default())
    }
}

/// What a statement answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: ResultBody,
    pub(super) warnings: Vec<String>,
}

impl Answer {
    pub(super) fn rows(&self) -> Option<&Rows> {
        match &self.body {
            ResultBody::Rows(rows) => Some(rows),
            _ => None,
        }
    }

    /// Rows as literals.
    pub(super) fn literals(&self) -> Vec<Vec<String>> {
        let Some(rows) = self.rows() else { return Vec::new() };
        let columns = rows.metadata.columns.as_deref().unwrap_or_default();
        let row = |cells: Vec<Option<&[u8]>>| {
            columns.iter().zip(cells).map(|(c, cell)| to_literal(&c.ty, cell).unwrap()).collect()
        };
        rows.iter().map(row).collect()
    }
}

pub(super) struct Node {
    pub(super) services: Services,
    runtime: SimRuntime,
    keyspace: Mutex<Option<String>>,
}

impl Node {
    pub(super) fn new() -> Node {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::default());
        let clock = Arc::new(ManualClock::new(START_MICROS));
        let runtime = SimRuntime::new(7, clock.clone());
        let shared: Arc<dyn Clock> = clock;
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(7));
        let dir = Path::new("/metadata");
        disk.create_dir_all(dir).unwrap();
        let own = founder();
        let metadata =
            Metadata::create(disk.clone(), shared.clone(), dir, [1; 16], own.clone()).unwrap();
        let options = Options::new("/engine");
        let engine = Engine::open(options, disk, shared.clone(), random.clone(), &[]).unwrap();
        let coordinator_read_size = Threshold::new(u64::MAX, 4 << 20);
        let limits = Limits { coordinator_read_size, ..Limits::default() };
        metadata.start(Running {
            runtime: Arc::new(runtime.clone()),
            random: random.clone(),
            applier: Arc::new(EngineTables(engine.clone())),
            transport: Arc::new(NoTransport),
            liveness: Arc::new(AllUp),
            own,
            timing: Default::default(),
        });
        let metadata = Arc::new(metadata);
        let timeouts = Timeouts::default();
        let coordinator = Coordinator::new(
            engine.clone(),
            metadata.clone(),
            shared.clone(),
            random.clone(),
            timeouts,
        );
        let services = Services {
            engine,
            metadata,
            coordinator: Arc::new(coordinator),
            views: Arc::new(SchemaViews),
            clock: shared.clone(),
            random,
            timestamps: Arc::new(Timestamps::new(shared, 0)),
            locks: Arc::new(PartitionLocks::new()),
            counter_id: CounterId { host: [9; 16], generation: 1 },
            page_bytes_max: 1 << 20,
            guardrails: Guardrails::new(limits),
            address: ([127, 0, 0, 1], 7000).into(),
        };
        Node { services, runtime, keyspace: Mutex::new(None) }
    }

    /// A node with a keyspace `ks`, in use.
    pub(super) fn with_keyspace() -> Node {
        let node = Node::new();
        let statement = "CREATE KEYSPACE ks WITH replication = \
            {'class': 'SimpleStrategy', 'replication_factor': 1}";
        node.run(statement).unwrap();
        node.use_keyspace("ks");
        node
    }

    pub(super) fn use_keyspace(&self, name: &str) {
        *self.keyspace.lock().unwrap() = Some(name.to_owned());
    }

    pub(super) fn prepare(&self, cql: &str) -> Result<Arc<Prepared>> {
        let keyspace = self.keyspace.lock().unwrap().clone();
        let schema = self.services.metadata.schema();
        prepare(&schema, keyspace.as_deref(), cql, None).map(Arc::new)
    }

    pub(super) fn run(&self, cql: &str) -> Result<Answer> {
        let prepared = self.prepare(cql)?;
        self.execute(&prepared, &QueryOptions::default())
    }

    pub(super) fn execute(
        &self,
        prepared: &Arc<Prepared>,
        options: &QueryOptions<'_>,
    ) -> Result<Answer> {
        let version = ProtocolVersion::V5;
        let mut out = BytesMut::new();
        let mut writer = ResponseWriter::new(&mut out, version, 1);
        let keyspace = self.keyspace.lock().unwrap().clone();
        let ask = Ask { options, keyspace: keyspace.as_deref(), metadata_id: None, trace: None };
        self.drive(prepared, ask, &mut writer)?;
        writer.finish();
        let header = cql_lite::wire::FrameHeader::parse(&out).unwrap();
        let opcode = cql_lite::wire::frame::Opcode::from_byte(header.opcode).unwrap();
        let body = decode_response(version, header.flags, opcode, &out[HEADER_BYTES..]).unwrap();
        match body.response {
            Response::Result(result) => Ok(Answer { body: result, warnings: body.warnings }),
            other => Err(Error::server(format!("{other:?}"))),
        }
    }

    /// Runs to the end, in small steps, on one thread.
    fn drive(
        &self,
        prepared: &Arc<Prepared>,
        ask: Ask<'_>,
        writer: &mut ResponseWriter<'_>,
    ) -> Result<()> {
        let services = &self.services;
        let schema = services.metadata.schema();
        let mut execution = Execution::begin(services, &schema, prepared, ask, writer)?;
        loop {
            match execution.step(services, writer, &mut Budget::new(50))? {
                Step::Done { .. } => return Ok(()),
                Step::Yield => {}
                Step::NeedsBlocks(blocks) => execution.fetch(services, blocks)?,
                Step::Wait(waits) => {
                    execution.waited(self.runtime.block_on(1_000_000, waits).unwrap());
                }
            }
        }
    }

    /// Runs a case; the error says what was different.
    pub(super) fn check(&self, case: &Case) -> std::result::Result<(), String> {
        let answer = match (self.run(&case.statement), &case.error) {
            (Err(error), Some(wanted)) if error.message == *wanted => return Ok(()),
            (Err(error), Some(wanted)) => {
                return Err(format!("    got !! {}\n wanted !! {wanted}", error.message));
            }
            (Err(error), None) => return Err(format!("    got !! {}", error.message)),
            (Ok(answer), Some(wanted)) => {
                return Err(format!("    got {answer:?}\n wanted !! {wanted}"));
            }
            (Ok(answer), None) => answer,
        };
        if let ResultBody::SetKeyspace(name) = &answer.body {
            self.use_keyspace(name);
        }
        if let Some(wanted) = &case.columns {
            let columns = answer.rows().and_then(|rows| rows.metadata.columns.clone());
            let got: Vec<String> = columns
                .unwrap_or_default()
                .iter()
                .map(|column| format!("{} {}", column.name, column.ty))
                .collect();
            if got.join(" | ") != *wanted {
                return Err(format!("    got ?? {}\n wanted ?? {wanted}", got.join(" | ")));
            }
        }
        if case.warnings.iter().any(|warning| !answer.warnings.contains(warning)) {
            return Err(format!(
                "    got ## {:?}\n wanted ## {:?}",
                answer.warnings, case.warnings
            ));
        }
        let Some(wanted) = &case.rows else { return Ok(()) };
        let line = |row: &Vec<String>| row.join(" | ").replace('\n', "\\n");
        let got: Vec<String> = answer.literals().iter().map(line).collect();
        if got != *wanted {
            let list = |rows: &[String]| rows.join("\n        => ");
            return Err(format!("    got => {}\n wanted => {}", list(&got), list(wanted)));
        }
        Ok(())
    }
}

/// A statement and what it must answer.
#[derive(Debug, Default)]
pub(super) struct Case {
    pub(super) line: usize,
    pub(super) statement: String,
    error: Option<String>,
    rows: Option<Vec<String>>,
    columns: Option<String>,
    warnings: Vec<String>,
}

/// Reads a script.
pub(super) fn cases(script: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (index, line) in script.lines().enumerate() {
        if line.is_empty() || line.starts_with("--") {
            continue;
        }
        let case = cases.last_mut();
        if let (Some(rest), Some(case)) = (line.strip_prefix("=>"), case) {
            let rows = case.rows.get_or_insert_default();
            match rest.trim() {
                "" => {}
                "*" => case.rows = None,
                row => rows.push(row.to_owned()),
            }
            continue;
        }
        let case = cases.last_mut();
        match (line.get(..2), case) {
            (Some("!!"), Some(case)) => case.error = Some(line[2..].trim_start().to_owned()),
            (Some("??"), Some(case)) => case.columns = Some(line[2..].trim().to_owned()),
            (Some("##"), Some(case)) => case.warnings.push(line[2..].trim().to_owned()),
            (Some("  "), Some(case)) => {
                case.statement.push(' ');
                case.statement.push_str(line.trim());
            }
            _ => {
                cases.push(Case { line: index + 1, statement: line.to_owned(), ..Case::default() })
            }
        }
    }
    cases
}
