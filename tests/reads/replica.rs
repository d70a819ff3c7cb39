//! The replica's side: what comes over the network is what the engine reads, and failures say why.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use helenus::cluster::change::Change;
use helenus::cluster::members::Member;
use helenus::coordinator::failure;
use helenus::coordinator::read::{Asked, PAGE_BYTES_MAX, ReadAnswer, ReadRequest};
use helenus::internode::{RequestError, Verb};
use helenus_platform::random::SeededRandom;
use helenus_storage::model::{
    Cell, ColumnId, Deletion, MutationBuilder, PartitionBound, RowBuilder, TableId,
};
use helenus_storage::replica::{ReplicaCommand, ReplicaRead, digest};
use helenus_storage::{Budget, Partitions, Read, ReadCommand, Write};

use crate::encode::encode;
use crate::harness::{KEYSPACE, START, key};
use crate::lab::{Lab, Node, member};
use crate::model::Model;
use crate::ops::{self, WIDE};

fn all(table: TableId) -> ReplicaCommand {
    let all = Partitions::Range { start: PartitionBound::Min, end: PartitionBound::Max };
    ReplicaCommand::new(ReadCommand::new(table, all, START))
}

/// What the engine itself makes of a command.
pub(crate) fn page(node: &Node, command: &ReplicaCommand) -> Vec<u8> {
    let mut read = ReplicaRead::new(command.clone());
    loop {
        match node.db.engine().read_replica(&mut read, &mut Budget::UNLIMITED.clone()).unwrap() {
            Read::NeedsBlocks(blocks) => node.db.engine().fetch_replica(blocks, &mut read).unwrap(),
            Read::Done | Read::Stopped => return read.into_page().unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

fn fill(node: &Node, seed: u64, count: u64) {
    let random = SeededRandom::new(seed);
    let mut model = Model::default();
    for _ in 0..count {
        let mut write = ops::write(&random, 6);
        while write.table != WIDE {
            write = ops::write(&random, 6);
        }
        let mutation = encode(&mut model, &write, START * 1_000_000, START);
        node.db.write(&[&mutation]).unwrap();
    }
}

async fn ask(
    from: &Node,
    version: u64,
    asked: Asked,
    command: &ReplicaCommand,
) -> Result<ReadAnswer, RequestError> {
    let payload = ReadRequest::encode(version, asked, command);
    from.ask(1, Verb::Read, payload).await.map(|answer| ReadAnswer::decode(&answer).unwrap())
}

fn code(answer: Result<ReadAnswer, RequestError>) -> u16 {
    match answer {
        Err(RequestError::Failed(failure)) => failure.code,
        other => panic!("not a failure: {other:?}"),
    }
}

async fn two_nodes(lab: &Lab) -> (Node, Node) {
    let (asks, answers) = (lab.node(0, |_| {}).await, lab.node(1, |_| {}).await);
    (asks, answers)
}

#[test]
fn pages_and_digests_come_over_the_network_as_the_engine_reads_them() {
    let lab = Lab::new(1);
    let shared = lab.clone();
    lab.run(async move {
        let lab = shared;
        let (asks, answers) = two_nodes(&lab).await;
        fill(&answers, 1, 300);
        // Half of it in files, of which no block is at hand.
        answers.db.flush().unwrap();
        answers.db.disk.set_cold(1.0);
        fill(&answers, 2, 300);
        for bytes_max in [0, 100, 5000, usize::MAX] {
            let command = ReplicaCommand { bytes_max, ..all(WIDE) };
            let expected = page(&answers, &command);
            let found = ask(&asks, 0, Asked::Page, &command).await.unwrap();
            let ReadAnswer::Page(found) = found else { panic!("not a page: {found:?}") };
            assert_eq!(found, expected, "{bytes_max} bytes");
            let found = ask(&asks, 0, Asked::Digest, &command).await;
            assert_eq!(found, Ok(ReadAnswer::Digest(digest(&expected))));
        }
    });
}

#[test]
fn a_page_ends_where_the_protocol_says_whatever_the_command_allows() {
    let lab = Lab::new(2);
    let shared = lab.clone();
    lab.run(async move {
        let lab = shared;
        let (asks, answers) = two_nodes(&lab).await;
        for n in 0..400_u16 {
            let mut mutation = MutationBuilder::new(KEYSPACE, key(1).as_ref());
            let mut row = RowBuilder::new();
            let value = vec![n as u8; 4000];
            row.cell(Cell::live(ColumnId(3), 1, &value));
            let position = [&b"\x30"[..], &n.to_be_bytes(), b"\0\x80"].concat();
            mutation.table(WIDE).row(&position, &row.finish().unwrap());
            answers.db.write(&[&mutation.finish().unwrap()]).unwrap();
        }
        let capped = ReplicaCommand { bytes_max: PAGE_BYTES_MAX, ..all(WIDE) };
        let expected = page(&answers, &capped);
        assert!(expected.len() < PAGE_BYTES_MAX + 5000 && page(&answers, &all(WIDE)) != expected);
        let found = ask(&asks, 0, Asked::Page, &all(WIDE)).await.unwrap();
        assert!(found == ReadAnswer::Page(expected.into()), "the page has another end");
    });
}

#[test]
fn failures_say_why() {
    let lab = Lab::new(3);
    let shared = lab.clone();
    lab.run(async move {
        let lab = shared;
        let (asks, answers) = two_nodes(&lab).await;
        let mut mutation = MutationBuilder::new(KEYSPACE, key(1).as_ref());
        mutation.table(WIDE).partition_deletion(Deletion::new(1, START));
        answers.db.write(&[&mutation.finish().unwrap()]).unwrap();

        let unknown = ask(&asks, 0, Asked::Page, &all(TableId(77))).await;
        assert_eq!(code(unknown), failure::UNKNOWN_TABLE);
        let mut command = all(WIDE);
        command.read.tombstones_max = 0;
        let tombstones = ask(&asks, 0, Asked::Page, &command).await;
        assert_eq!(code(tombstones), failure::TOMBSTONES);
        for payload in [&b""[..], b"\x01\0\0\0\0\0\0\0\0\x01nonsense"] {
            match asks.ask(1, Verb::Read, Bytes::copy_from_slice(payload)).await {
                Err(RequestError::Failed(failure)) => assert_eq!(failure.code, failure::MALFORMED),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn a_read_of_a_newer_schema_waits_for_it() {
    let lab = Lab::new(4);
    let shared = lab.clone();
    lab.run(async move {
        let lab = shared;
        let (asks, answers) = two_nodes(&lab).await;
        fill(&answers, 4, 10);
        let next = lab.metadata.state().version + 1;
        let began = lab.now();
        let never = ask(&asks, next + 1000, Asked::Page, &all(WIDE)).await;
        assert_eq!(never, Err(RequestError::Timeout));
        assert!(lab.now() - began >= Duration::from_secs(2));
        let changing = lab.clone();
        let change = async move {
            changing.sleep(500).await;
            let moved = Member { rack: "rack2".to_owned(), ..member() };
            let change = |_: &_| Ok(vec![Change::PutMember(moved.clone())]);
            changing.metadata.change(change).await.unwrap();
        };
        lab.spawn(change);
        let began = lab.now();
        let answer = ask(&asks, next, Asked::Page, &all(WIDE)).await.unwrap();
        assert!(lab.now() - began >= Duration::from_millis(500));
        assert_eq!(answer, ReadAnswer::Page(page(&answers, &all(WIDE)).into()));
    });
}

#[test]
fn an_answer_waits_for_the_log() {
    let lab = Lab::new(5);
    let shared = lab.clone();
    lab.run(async move {
        let lab = shared;
        let (asks, answers) = two_nodes(&lab).await;
        let answers = Arc::new(answers);
        let mut mutation = MutationBuilder::new(KEYSPACE, key(1).as_ref());
        mutation.table(WIDE).partition_deletion(Deletion::new(1, START));
        let mutation = mutation.finish().unwrap();
        let written = answers.db.engine().write(&[&mutation]).unwrap();
        assert!(matches!(written, Write::Done { .. }));
        let syncing = (lab.clone(), answers.clone());
        lab.spawn(async move {
            let (lab, answers) = syncing;
            lab.sleep(300).await;
            answers.db.sync_until(None).unwrap();
        });
        let began = lab.now();
        ask(&asks, 0, Asked::Digest, &all(WIDE)).await.unwrap();
        assert!(lab.now() - began >= Duration::from_millis(299), "before the log");
        // A read of what is in the log already waits for nothing.
        let began = lab.now();
        ask(&asks, 0, Asked::Digest, &all(WIDE)).await.unwrap();
        assert!(lab.now() - began < Duration::from_millis(100));
    });
}
