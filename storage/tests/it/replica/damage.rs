//! Damaged pages, and pages that answer something else, are errors that name the replica; none of
//! them does any harm.

use helenus_platform::random::{Random, SeededRandom};
use helenus_storage::model::PartitionBound;
use helenus_storage::replica::{Reconciled, Reconciliation, ReplicaCommand, page_mutations};
use helenus_storage::{Partitions, ReadCommand, Result};

use super::cluster::Cluster;
use crate::collect::Collector;
use crate::harness::KEYSPACE;
use crate::ops::{self, WIDE};

/// Merges a page with a good one; what becomes of it does not matter, as long as nothing panics.
fn merge(command: &ReadCommand, good: &[u8], page: Vec<u8>) -> Result<()> {
    let mut merge = Reconciliation::new(command.clone(), None, KEYSPACE, 2, 1 << 20);
    let mut sink = Collector::default();
    assert!(matches!(merge.run(&mut sink), Ok(Reconciled::NeedsPages(_))));
    merge.add(0, good.to_vec())?;
    merge.add(1, page)?;
    merge.run(&mut sink)?;
    merge.take_repairs()?;
    Ok(())
}

#[test]
fn damaged_pages_are_named_and_do_no_harm() {
    let random = SeededRandom::new(77);
    let mut cluster = Cluster::new(77, 1, 1_000_000);
    for _ in 0..60 {
        let mutation = cluster.encode(&ops::write(&random, 3));
        cluster.replicas[0].write(&[&mutation]).unwrap();
    }
    let all = || Partitions::Range { start: PartitionBound::Min, end: PartitionBound::Max };
    for reversed in [false, true] {
        let mut read = ReadCommand::new(WIDE, all(), cluster.now());
        read.reversed = reversed;
        let page = cluster.page(0, &ReplicaCommand::new(read.clone())).into_page().unwrap();
        assert!(page.len() > 1000, "{} bytes", page.len());
        for end in 0..page.len() {
            let cut = page[..end].to_vec();
            let error = merge(&read, &page, cut.clone()).unwrap_err().to_string();
            assert!(error.contains("the page of replica 1"), "{error}");
            assert!(page_mutations(cut, &read, None, KEYSPACE, 1000).is_err(), "cut at {end}");
        }
        for at in 0..page.len() {
            let mut flipped = page.clone();
            flipped[at] ^= 1 << random.below(8);
            let _ = page_mutations(flipped.clone(), &read, None, KEYSPACE, 1000);
            let _ = merge(&read, &page, flipped);
        }
        let mut longer = page.clone();
        longer.push(0);
        assert!(merge(&read, &page, longer).is_err());
        read.reversed = !reversed;
        assert!(merge(&read, &page, page.clone()).is_err(), "a page of the other direction");
    }
}
