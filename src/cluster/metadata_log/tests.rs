//! The metadata log on a memory disk: order, restarts, snapshots, torn ends and damage.

use std::path::Path;
use std::sync::Arc;

use helenus_platform::clock::ManualClock;
use helenus_platform::disk::{Disk, MemoryDisk};

use super::*;

const CLUSTER: [u8; 16] = [7; 16];
const DIR: &str = "/metadata";

fn new() -> (Arc<dyn Disk>, Arc<dyn Clock>, MetadataLog) {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(1_000_000));
    disk.create_dir_all(Path::new(DIR)).unwrap();
    let log = MetadataLog::create(disk.clone(), clock.clone(), Path::new(DIR), CLUSTER).unwrap();
    (disk, clock, log)
}

fn open(disk: &Arc<dyn Disk>, clock: &Arc<dyn Clock>) -> Result<(MetadataLog, Recovered)> {
    MetadataLog::open(disk.clone(), clock.clone(), Path::new(DIR), CLUSTER, 0)
}

fn contents(disk: &Arc<dyn Disk>, name: &str) -> Vec<u8> {
    read_file(disk.as_ref(), &Path::new(DIR).join(name)).unwrap()
}

fn overwrite(disk: &Arc<dyn Disk>, name: &str, bytes: &[u8]) {
    let file = disk.open_write(&Path::new(DIR).join(name)).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    file.write_all_at(0, bytes).unwrap();
}

#[test]
fn entries_come_back_in_order_and_versions_go_on() {
    let (disk, clock, mut log) = new();
    for i in 1..=5u8 {
        assert_eq!(log.append(&[i; 10]).unwrap(), u64::from(i));
    }
    drop(log);
    let (mut log, found) = open(&disk, &clock).unwrap();
    assert_eq!(found.entries, (1..=5u8).map(|i| vec![i; 10]).collect::<Vec<_>>());
    assert_eq!(log.append(b"six").unwrap(), 6);
}

#[test]
fn a_snapshot_replaces_what_came_before_it() {
    let (disk, clock, mut log) = new();
    log.append(b"one").unwrap();
    log.append(b"two").unwrap();
    log.snapshot(b"one and two").unwrap();
    log.append(b"three").unwrap();
    drop(log);
    let (log, found) = open(&disk, &clock).unwrap();
    assert_eq!(found.snapshot.as_deref(), Some(&b"one and two"[..]));
    assert_eq!(found.entries, [b"three".to_vec()]);
    assert_eq!(log.version(), 3);
    let names = names_in(disk.as_ref(), Path::new(DIR)).unwrap();
    assert_eq!(names, ["log-0000000000000002", "snapshot-0000000000000002"]);
}

#[test]
fn a_torn_end_is_dropped_at_every_length() {
    let (disk, clock, mut log) = new();
    log.append(b"kept").unwrap();
    let kept = contents(&disk, "log-0000000000000000").len();
    log.append(b"torn").unwrap();
    drop(log);
    let whole = contents(&disk, "log-0000000000000000");
    let unmarked = whole.len() - 13;
    for end in kept..whole.len() {
        overwrite(&disk, "log-0000000000000000", &whole[..end]);
        let (mut log, found) = open(&disk, &clock).unwrap();
        let expected = if end >= unmarked { 2 } else { 1 };
        assert_eq!(found.entries.len(), expected, "cut at {end}");
        log.append(b"next").unwrap();
        drop(log);
        let (_, found) = open(&disk, &clock).unwrap();
        assert_eq!(found.entries.last().unwrap(), b"next");
    }
}

#[test]
fn no_flipped_bit_changes_what_is_read() {
    let (disk, clock, mut log) = new();
    log.append(b"first").unwrap();
    log.snapshot(b"state after the first").unwrap();
    log.append(b"second").unwrap();
    log.append(b"third").unwrap();
    drop(log);
    for name in ["log-0000000000000001", "snapshot-0000000000000001"] {
        let whole = contents(&disk, name);
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            overwrite(&disk, name, &damaged);
            match open(&disk, &clock) {
                Ok((_, found)) => {
                    // Only the last commit mark may differ: the entry before it is whole.
                    assert!(name.starts_with("log") && bit / 8 >= whole.len() - 13, "bit {bit}");
                    assert_eq!(found.entries, [b"second".to_vec(), b"third".to_vec()]);
                }
                Err(error) => assert!(error.to_string().contains(name), "{error}"),
            }
        }
        overwrite(&disk, name, &whole);
    }
}

#[test]
fn what_is_missing_or_foreign_is_refused() {
    let (disk, clock, mut log) = new();
    log.append(b"one").unwrap();
    log.snapshot(b"one").unwrap();
    drop(log);
    let other = MetadataLog::open(disk.clone(), clock.clone(), Path::new(DIR), [8; 16], 0);
    assert!(other.is_err_and(|e| e.to_string().contains("another cluster")));
    disk.remove(&Path::new(DIR).join("log-0000000000000001")).unwrap();
    assert!(open(&disk, &clock).is_err_and(|e| e.to_string().contains("missing")));
}

#[test]
fn a_log_that_has_lost_its_end_is_refused_and_left_as_it_is() {
    let (disk, clock, mut log) = new();
    log.append(b"one").unwrap();
    let first = contents(&disk, "log-0000000000000000").len();
    log.append(b"two").unwrap();
    drop(log);
    let whole = contents(&disk, "log-0000000000000000");
    let open_with = |committed| {
        MetadataLog::open(disk.clone(), clock.clone(), Path::new(DIR), CLUSTER, committed)
    };
    for end in HEADER_BYTES..whole.len() - 13 {
        overwrite(&disk, "log-0000000000000000", &whole[..end]);
        let refused = open_with(2).err().unwrap().to_string();
        assert!(refused.contains("log-0000000000000000"), "{refused}");
        if end >= first {
            assert!(refused.contains("ends with version 1, but version 2"), "{refused}");
        }
        assert_eq!(contents(&disk, "log-0000000000000000").len(), end);
    }
    overwrite(&disk, "log-0000000000000000", &whole);
    assert!(open_with(3).is_err());
    assert_eq!(open_with(2).unwrap().1.entries.len(), 2);
}

const DOCUMENT: &str = include_str!("../../../docs/format/metadata-log.md");

/// The lines of the document's code block of this kind.
fn block(kind: &str) -> Vec<&'static str> {
    let opening = format!("```{kind}");
    let lines = DOCUMENT.lines().skip_while(|line| *line != opening).skip(1);
    lines.take_while(|line| *line != "```").collect()
}

/// The bytes of a dump: each line has some, then a bar and what they are.
fn dump(kind: &str) -> Vec<u8> {
    let lines = block(kind).into_iter().filter_map(|line| line.split('|').next());
    let bytes = lines.flat_map(str::split_whitespace);
    bytes.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[test]
fn the_document_shows_what_is_written_and_read() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(1_000_000));
    let dir = Path::new(DIR);
    disk.create_dir_all(dir).unwrap();
    let state = [1, 65, 0, 0, 0, 0, 4, 0, 0, 0];
    MetadataLog::create_at(disk.clone(), clock.clone(), dir, CLUSTER, 4, &state).unwrap();
    let (mut log, _) = MetadataLog::open(disk.clone(), clock, dir, CLUSTER, 4).unwrap();
    log.append(&[1, 1, 1, 2, 2, 1, b'k']).unwrap();
    let names = ["snapshot-0000000000000004", "log-0000000000000004"];
    for (kind, name) in ["snapshot", "log"].into_iter().zip(names) {
        assert_eq!(dump(kind), contents(&disk, name), "{kind}");
    }
    let salt = format!("{:08x}", salt_of(&CLUSTER));
    assert!(DOCUMENT.contains(&format!("so the salt is `{salt}`")), "{salt}");
    let mut text = Vec::new();
    let mut line = |line: &str| text.push(line.to_owned());
    crate::cluster::inspect::metadata(&disk, &dir.join(names[1]), &mut line).unwrap();
    assert_eq!(block("text"), text);
    let read = read(disk.as_ref(), &dir.join(names[0])).unwrap();
    assert_eq!(read.snapshot.as_deref(), Some(&state[..]));
}
