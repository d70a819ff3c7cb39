//! Replicas that are silent, fail or forget, while a read is under way.

use std::sync::Arc;
use std::time::Duration;

use helenus::coordinator::read::{ReadError, Speculation};
use helenus_platform::random::Random;
use helenus_storage::model::PartitionBound;
use helenus_storage::{Partitions, ReadCommand};

use crate::lab::{Lab, Mood};
use crate::ops::WIDE;
use crate::quorum::{Ask, Cluster, setting};

const KEYS: u64 = 5;

fn all(cluster: &Cluster) -> ReadCommand {
    let all = Partitions::Range { start: PartitionBound::Min, end: PartitionBound::Max };
    ReadCommand::new(WIDE, all, cluster.lab.seconds())
}

/// Nodes of which each lacks something, but every write is on two of three.
async fn filled(lab: &Arc<Lab>, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(lab, seed, 3).await;
    for _ in 0..60 {
        let lacks = cluster.random.below(4);
        cluster.write(KEYS, 7 & !(1 << lacks)).await;
    }
    cluster
}

/// One node is in a bad mood at a time, and not for long; a read at a quorum notices nothing.
#[test]
fn any_single_replica_may_fail_at_any_time() {
    let (mut late, mut failed) = (0, 0);
    let first = setting("HELENUS_READS_SEED", 0);
    for seed in first..first + setting("HELENUS_READS_RUNS", 20) {
        let lab = Lab::new(seed);
        let shared = lab.clone();
        let (speculations, retries) = lab.run(async move {
            let mut cluster = filled(&shared, seed).await;
            for _ in 0..40 {
                if cluster.random.chance(0.5) {
                    let lacks = cluster.random.below(4);
                    cluster.write(KEYS, 7 & !(1 << lacks)).await;
                }
                if cluster.random.chance(0.1) {
                    cluster.shuffle_files();
                }
                let op = cluster.read_op(KEYS);
                let (command, expected) = (cluster.command(&op), cluster.expected(&op));
                let order = cluster.order();
                let ask = cluster.random_ask(&order, 2);
                let ask = Ask { timeout: Duration::from_secs(60), ..ask };
                // Its own answer does not come over the network.
                let others = order.iter().filter(|node| **node != ask.coordinator);
                let others: Vec<usize> = others.copied().collect();
                let bad = others[cluster.random.below(2) as usize];
                let change = || {
                    let mood = match cluster.random.below(4) {
                        0 => Mood::Silent,
                        1 => Mood::Failing,
                        _ => Mood::Well,
                    };
                    cluster.nodes[bad].serving.set_mood(mood);
                };
                let found = cluster.read(&command, &ask, change).await;
                let found = found.unwrap_or_else(|error| panic!("seed {seed}: {error:?} {ask:?}"));
                assert_eq!(found, expected, "seed {seed}: {ask:?} {command:#?}");
                cluster.nodes[bad].serving.set_mood(Mood::Well);
            }
            let sum = |of: fn(&crate::lab::Node) -> u64| cluster.nodes.iter().map(of).sum::<u64>();
            (
                sum(|node| node.world.metrics.speculations.get()),
                sum(|node| node.world.metrics.retries.get()),
            )
        });
        late += speculations;
        failed += retries;
    }
    assert!(late > 50 && failed > 50, "{late} spares for late ones, {failed} for failed ones");
}

#[test]
fn a_silent_replica_costs_one_delay_and_then_nothing() {
    let lab = Lab::new(7);
    let shared = lab.clone();
    lab.run(async move {
        let lab = shared;
        let cluster = filled(&lab, 7).await;
        let command = all(&cluster);
        // Everybody has everything, and connections are open.
        cluster.read(&command, &Ask::new(0, &[0, 1, 2], 3), || {}).await.unwrap();
        let ask = Ask::new(0, &[1, 2, 0], 2);
        let began = lab.now();
        let expected = cluster.read(&command, &ask, || {}).await.unwrap();
        let well = lab.now() - began;

        cluster.nodes[1].serving.set_mood(Mood::Silent);
        let began = lab.now();
        let found = cluster.read(&command, &ask, || {}).await.unwrap();
        let silent = lab.now() - began;
        assert_eq!(found, expected);
        let delay = Duration::from_millis(20);
        assert!(silent >= delay && silent < well + delay * 2, "{silent:?}, {well:?} before");

        // Sorted by what is known by now, the silent one is the spare.
        let mut contacts = [1, 2].map(|node| crate::lab::contact(node, 0));
        cluster.nodes[0].world.latencies.sort(&mut contacts, lab.now());
        assert_eq!(contacts[0], crate::lab::contact(2, 0));

        let patient = Ask { speculation: Speculation::Never, ..ask };
        let late = cluster.read(&command, &patient, || {}).await;
        assert!(matches!(late, Err(ReadError::Timeout { received: 1, block_for: 2, .. })));
    });
}

#[test]
fn errors_have_the_numbers_of_what_happened() {
    let lab = Lab::new(8);
    let shared = lab.clone();
    lab.run(async move {
        let lab = shared;
        let cluster = filled(&lab, 8).await;
        let command = all(&cluster);
        let moods = |moods: [Mood; 3]| {
            for (node, mood) in cluster.nodes.iter().zip(moods) {
                node.serving.set_mood(mood);
            }
        };
        use Mood::{Failing, Forgetful, Silent, Well};
        // Who is asked for the page is asked first; node 0 asks itself for it.
        for (state, contacts, block_for, expected) in [
            ([Well, Silent, Silent], &[0, 1, 2][..], 2, "timeout 1/2 data"),
            ([Well, Silent, Silent], &[0, 1, 2], 3, "timeout 1/3 data"),
            ([Well, Well, Silent], &[2, 1], 2, "timeout 1/2 no data"),
            ([Well, Well, Silent], &[1, 2], 2, "timeout 1/2 data"),
            ([Well, Failing, Failing], &[0, 1, 2], 2, "failure 1/2 data of 2"),
            ([Well, Failing, Silent], &[1, 2], 2, "failure 0/2 no data of 1"),
            ([Well, Failing, Silent], &[0, 1, 2], 3, "failure 1/3 data of 1"),
            ([Well, Failing, Well], &[1], 1, "failure 0/1 no data of 1"),
            ([Well, Forgetful, Well], &[0, 1], 2, "timeout 1/2 data"),
        ] {
            moods(state);
            let ask = Ask::new(0, contacts, block_for);
            let began = lab.now();
            let data = |is_there| if is_there { "data" } else { "no data" };
            let seen = match cluster.read(&command, &ask, || {}).await {
                Err(ReadError::Timeout { received, block_for, data_present }) => {
                    assert!(lab.now() - began >= ask.timeout, "{state:?}");
                    format!("timeout {received}/{block_for} {}", data(data_present))
                }
                Err(ReadError::Failure { received, block_for, data_present, failures }) => {
                    assert!(lab.now() - began < ask.timeout / 4, "{state:?}");
                    let count = failures.len();
                    format!("failure {received}/{block_for} {} of {count}", data(data_present))
                }
                other => panic!("{state:?}: {other:?}"),
            };
            assert_eq!(seen, expected, "{state:?} {contacts:?}");
        }
    });
}
