//! Pages, as another replica sends them: decoding, merging with an honest page, turning into
//! mutations.
//!
//! Input: flags (1 reversed, 2 a limit of rows, 4 distinct), then the page.

use helenus_storage::model::{KeyspaceId, MutationRef, PartitionBound, TableId};
use helenus_storage::replica::{Reconciled, Reconciliation, page_mutations};
use helenus_storage::{Partitions, ReadCommand};

use crate::sink::Counter;

const NOW: i64 = 1_767_225_600;
const KEYSPACE: KeyspaceId = KeyspaceId(1);
/// The table of the example in docs/format/replica-page.md.
const TABLE: TableId = TableId(12);

/// Whatever the bytes are, nothing panics, and what is taken turns into valid mutations.
pub fn run(data: &[u8]) {
    let [flags, page @ ..] = data else { return };
    let all = Partitions::Range { start: PartitionBound::Min, end: PartitionBound::Max };
    let mut command = ReadCommand::new(TABLE, all, NOW);
    command.reversed = flags & 1 != 0;
    if flags & 2 != 0 {
        command.rows_per_partition_max = 2;
    }
    command.distinct = flags & 4 != 0;
    let copied = page_mutations(page.to_vec(), &command, None, KEYSPACE, 100);
    for mutation in copied.iter().flat_map(|(mutations, _)| mutations) {
        let mutation = MutationRef::parse(mutation).expect("a mutation of our own");
        mutation.validate().expect("a mutation of our own");
    }
    merge(&command, [page, page]);
    merge(&command, [page, &empty(&command)]);
}

/// The page of a replica that has nothing.
fn empty(command: &ReadCommand) -> Vec<u8> {
    vec![1, TABLE.0 as u8, u8::from(command.reversed), 8]
}

fn merge(command: &ReadCommand, pages: [&[u8]; 2]) {
    let mut merge = Reconciliation::new(command.clone(), None, KEYSPACE, 2, 100);
    let mut sink = Counter::default();
    let empty = empty(command);
    let mut rounds = 0;
    loop {
        match merge.run(&mut sink) {
            Err(_) => return,
            Ok(Reconciled::NeedsPages(wanted)) => {
                for wanted in wanted {
                    let page = if rounds == 0 { pages[wanted.replica] } else { &empty };
                    let page = page.to_vec();
                    if merge.add(wanted.replica, page).is_err() {
                        return;
                    }
                }
                rounds += 1;
            }
            Ok(Reconciled::Done | Reconciled::Stopped) => break,
        }
    }
    let repairs = merge.take_repairs().expect("mutations of valid rows");
    for repair in repairs {
        let mutation = MutationRef::parse(&repair.mutation).expect("a mutation of our own");
        mutation.validate().expect("a mutation of our own");
    }
}

/// The bytes of the worked example in a document.
pub(crate) fn dump(document: &str) -> Vec<u8> {
    let dump = document.split("```").find_map(|part| part.strip_prefix("hex\n"));
    let mut bytes = Vec::new();
    for line in dump.unwrap_or_default().lines() {
        let hex = line.split('|').next().unwrap_or_default().split_whitespace();
        bytes.extend(hex.filter_map(|byte| u8::from_str_radix(byte, 16).ok()));
    }
    bytes
}

/// The example of the documentation, as it is and in every kind of read.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let page = dump(include_str!("../../docs/format/replica-page.md"));
    (0..8)
        .map(|flags| {
            let mut seed = vec![flags];
            seed.extend_from_slice(&page);
            seed[3] = flags & 1;
            seed
        })
        .collect()
}
