//! Commands as bytes: they come back as they were, and whatever else the bytes are does no harm.

use helenus_platform::random::{Random, SeededRandom};
use helenus_storage::model::{ColumnSet, PartitionKey, Slice};
use helenus_storage::replica::{Place, Reach, ReplicaCommand};
use helenus_storage::{ErrorKind, Partitions, ReadCommand};

use super::cluster::Cluster;
use crate::encode::command_of;
use crate::ops;

fn encoded(command: &ReplicaCommand) -> Vec<u8> {
    let mut out = Vec::new();
    command.encode(&mut out);
    out
}

/// Some partition that the read is about, if it lists or can list one.
fn key_of(read: &ReadCommand, cluster: &Cluster) -> Option<PartitionKey> {
    let random = &cluster.random;
    match &read.partitions {
        Partitions::One(key) => Some(key.clone()),
        Partitions::Many(keys) => keys.get(random.below(keys.len() as u64) as usize).cloned(),
        Partitions::Range { start, end } => {
            let model = cluster.models.get(&read.table)?;
            let mut keys = model.keys();
            keys.find(|key| start.is_before(key.as_ref()) && !end.is_before(key.as_ref())).cloned()
        }
    }
}

fn random_command(cluster: &Cluster) -> ReplicaCommand {
    let random = &cluster.random;
    let op = ops::read(random, 8);
    let mut command = cluster.limited(command_of(&op, &cluster.models[&op.table], cluster.now()));
    command.read.tombstones_max = random.below(u64::MAX);
    command.keeps_purgeable = random.chance(0.5);
    if let Some(key) = key_of(&command.read, cluster).filter(|_| random.chance(0.5)) {
        let reach = match random.below(3) {
            0 => Reach::BeforeRows,
            1 => Reach::Upto(Slice::copy(&[0x30, random.below(256) as u8])),
            _ => Reach::Whole,
        };
        command.from = Some(Place { key, reach, rows: random.below(1 << 32) as u32 });
    }
    command
}

#[test]
fn commands_come_back_and_nothing_else_is_taken_for_one() {
    let random = SeededRandom::new(3);
    let mut cluster = Cluster::new(3, 1, 1000);
    for _ in 0..20 {
        cluster.encode(&ops::write(&random, 8));
    }
    let mut with_place = 0;
    let mut refused = 0;
    for _ in 0..2000 {
        let command = random_command(&cluster);
        with_place += u64::from(command.from.is_some());
        let bytes = encoded(&command);
        let decoded = ReplicaCommand::decode(&bytes).unwrap();
        assert_eq!(format!("{decoded:?}"), format!("{command:?}"));
        let cut = random.below(bytes.len() as u64) as usize;
        assert!(ReplicaCommand::decode(&bytes[..cut]).is_err(), "cut at {cut}: {command:?}");
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(ReplicaCommand::decode(&longer).is_err());
        let mut flipped = bytes.clone();
        flipped[cut] ^= 1 << random.below(8);
        // What is taken is what is written for it, but for numbers in a longer form than needed.
        match ReplicaCommand::decode(&flipped) {
            Ok(other) => {
                let again = ReplicaCommand::decode(&encoded(&other)).unwrap();
                assert_eq!(format!("{again:?}"), format!("{other:?}"));
            }
            Err(_) => refused += 1,
        }
        let mut newer = bytes;
        newer[0] = 2;
        assert_eq!(ReplicaCommand::decode(&newer).unwrap_err().kind(), ErrorKind::Newer);
    }
    assert!(with_place > 500 && refused > 100, "{with_place} places, {refused} refused");
}

/// A count that promises more than the bytes have reserves nothing and is refused.
#[test]
fn counts_are_checked_before_anything_is_allocated() {
    let random = SeededRandom::new(4);
    let cluster = Cluster::new(4, 1, 1000);
    let mut command = random_command(&cluster);
    command.read.partitions = Partitions::Many(Vec::new());
    command.read.slices = Vec::new();
    command.from = None;
    command.read.columns = ColumnSet::All;
    // What ends it are the counts of partitions and of slices.
    let plain = encoded(&command);
    assert!(plain.ends_with(&[2, 0, 0]), "{plain:?}");
    for huge in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0x80, 0x80, 0x40]] {
        for at in [plain.len() - 2, plain.len() - 1] {
            let mut damaged = plain[..at].to_vec();
            damaged.extend_from_slice(huge);
            damaged.resize(damaged.len() + 1 + random.below(64) as usize, 0);
            assert!(ReplicaCommand::decode(&damaged).is_err());
        }
    }
}
