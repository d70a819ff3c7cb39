//! The metadata log on a memory disk: order, restarts, snapshots, torn ends and damage.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use helenus_platform::disk::{CutOptions, Disk, FaultyDisk, MemoryDisk};

use super::*;

const CLUSTER: [u8; 16] = [7; 16];
const HOST: [u8; 16] = [9; 16];
const DIR: &str = "/metadata";
const MARK_BYTES: usize = 1 + 8 + 8 + 4;

fn new() -> (Arc<dyn Disk>, MetadataLog) {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    disk.create_dir_all(Path::new(DIR)).unwrap();
    create(disk.as_ref(), None, &Vote::default());
    let (log, _) = open(&disk).unwrap();
    (disk, log)
}

fn create(disk: &dyn Disk, snapshot: Option<&Snapshot>, vote: &Vote) {
    MetadataLog::create(disk, Path::new(DIR), CLUSTER, snapshot, vote, &[]).unwrap();
}

fn open(disk: &Arc<dyn Disk>) -> Result<(MetadataLog, Recovered)> {
    MetadataLog::open(disk.clone(), Path::new(DIR), CLUSTER, 0)
}

fn entry(index: u64, term: u64, payload: &[u8]) -> Entry {
    let payload = Bytes::copy_from_slice(payload);
    Entry { index, term, wall_micros: 1_000_000, config: None, payload }
}

fn append(log: &mut MetadataLog, index: u64, payload: &[u8]) {
    log.save(None, &[entry(index, 1, payload)]).unwrap();
    log.mark(index).unwrap();
}

fn snapshot(index: u64, state: &[u8]) -> Snapshot {
    let voters = [HOST].into();
    let config = Arc::new(Config { voters, learners: [].into() });
    Snapshot { index, term: 1, config, state: Bytes::copy_from_slice(state) }
}

fn payloads(found: &Recovered) -> Vec<Vec<u8>> {
    let entries = found.log.from(found.log.base_index() + 1);
    entries.iter().map(|entry| entry.payload.to_vec()).collect()
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
fn entries_and_votes_come_back() {
    let (disk, mut log) = new();
    for index in 1..=5u8 {
        append(&mut log, u64::from(index), &[index; 10]);
    }
    let vote = Vote { term: 3, voted_for: Some(HOST) };
    log.save(Some(&vote), &[]).unwrap();
    log.mark(4).unwrap();
    drop(log);
    let (_, found) = open(&disk).unwrap();
    assert_eq!(payloads(&found), (1..=5u8).map(|i| vec![i; 10]).collect::<Vec<_>>());
    assert_eq!((found.vote, found.commit), (vote, 5));
}

#[test]
fn an_entry_replaces_what_was_not_committed() {
    let (disk, mut log) = new();
    append(&mut log, 1, b"one");
    log.save(None, &[entry(2, 1, b"lost"), entry(3, 1, b"lost too")]).unwrap();
    log.mark(1).unwrap();
    log.save(None, &[entry(2, 2, b"two")]).unwrap();
    log.mark(2).unwrap();
    drop(log);
    let (_, found) = open(&disk).unwrap();
    assert_eq!(payloads(&found), [b"one".to_vec(), b"two".to_vec()]);
    assert_eq!((found.log.last_term(), found.commit), (2, 2));
}

#[test]
fn a_snapshot_replaces_what_came_before_it() {
    let (disk, mut log) = new();
    append(&mut log, 1, b"one");
    append(&mut log, 2, b"two");
    append(&mut log, 3, b"three");
    let vote = Vote { term: 1, voted_for: Some(HOST) };
    let state = snapshot(2, b"one and two");
    log.replace(&state, &vote, &[entry(3, 1, b"three")], 3).unwrap();
    append(&mut log, 4, b"four");
    drop(log);
    let (_, found) = open(&disk).unwrap();
    assert_eq!(payloads(&found), [b"three".to_vec(), b"four".to_vec()]);
    assert_eq!((found.snapshot, found.vote, found.commit), (Some(state), vote, 4));
    let names = names_in(disk.as_ref(), Path::new(DIR)).unwrap();
    assert_eq!(names, ["log-0000000000000002", "snapshot-0000000000000002"]);
}

#[test]
fn a_torn_end_is_dropped_at_every_length() {
    let (disk, mut log) = new();
    append(&mut log, 1, b"kept");
    let kept = contents(&disk, "log-0000000000000000").len();
    append(&mut log, 2, b"torn");
    drop(log);
    let whole = contents(&disk, "log-0000000000000000");
    let unmarked = whole.len() - MARK_BYTES;
    for end in kept..whole.len() {
        overwrite(&disk, "log-0000000000000000", &whole[..end]);
        let (mut log, found) = open(&disk).unwrap();
        let expected = if end >= unmarked { 2 } else { 1 };
        assert_eq!(found.log.last_index(), expected, "cut at {end}");
        append(&mut log, expected + 1, b"next");
        drop(log);
        let (_, found) = open(&disk).unwrap();
        assert_eq!(payloads(&found).last().unwrap(), b"next");
    }
}

#[test]
fn no_flipped_bit_changes_what_is_read() {
    let (disk, mut log) = new();
    append(&mut log, 1, b"first");
    log.replace(&snapshot(1, b"state after the first"), &Vote::default(), &[], 1).unwrap();
    append(&mut log, 2, b"second");
    append(&mut log, 3, b"third");
    drop(log);
    for name in ["log-0000000000000001", "snapshot-0000000000000001"] {
        let whole = contents(&disk, name);
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            overwrite(&disk, name, &damaged);
            match open(&disk) {
                Ok((_, found)) => {
                    // Only the last mark may differ: the entry before it is whole.
                    let last = whole.len() - MARK_BYTES;
                    assert!(name.starts_with("log") && bit / 8 >= last, "bit {bit}");
                    assert_eq!(payloads(&found), [b"second".to_vec(), b"third".to_vec()]);
                }
                Err(error) => assert!(error.to_string().contains(name), "{error}"),
            }
        }
        overwrite(&disk, name, &whole);
    }
}

#[test]
fn power_cuts_take_nothing_that_was_saved() {
    let work = |disk: &FaultyDisk, saved: &mut u64| -> Result<()> {
        let handle: Arc<dyn Disk> = Arc::new(disk.for_process());
        let (mut log, _) = MetadataLog::open(handle, Path::new(DIR), CLUSTER, 0)?;
        for index in 1..=6 {
            let vote = Vote { term: index, voted_for: Some(HOST) };
            log.save(Some(&vote), &[entry(index, index, &[1; 700])])?;
            *saved = index;
            log.mark(index)?;
            if index == 3 {
                let state = snapshot(2, b"two");
                log.replace(&state, &vote, &[entry(3, 3, &[1; 700])], 3)?;
            }
        }
        Ok(())
    };
    let fresh = |seed| {
        let disk = FaultyDisk::new(seed);
        disk.create_dir_all(Path::new(DIR)).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        create(&disk, None, &Vote::default());
        disk
    };
    let disk = fresh(0);
    let before = disk.syncs();
    work(&disk, &mut 0).unwrap();
    let syncs = disk.syncs() - before;
    assert!(syncs > 12);
    for cut in 1..=syncs {
        for (torn, reorder) in [(false, false), (true, false), (true, true)] {
            let disk = fresh(cut);
            disk.cut_at_sync(disk.syncs() + cut);
            let mut saved = 0;
            assert!(work(&disk, &mut saved).is_err() || cut == syncs);
            disk.power_cut(CutOptions { torn, reorder });
            disk.heal();
            let handle: Arc<dyn Disk> = Arc::new(disk.for_process());
            let (_, found) = MetadataLog::open(handle, Path::new(DIR), CLUSTER, 0).unwrap();
            let what = format!("cut {cut} {torn} {reorder}");
            assert!(found.log.last_index() >= saved, "{what}");
            assert!(found.vote.term >= saved, "{what}");
        }
    }
}

#[test]
fn what_is_missing_or_foreign_is_refused() {
    let (disk, mut log) = new();
    append(&mut log, 1, b"one");
    log.replace(&snapshot(1, b"one"), &Vote::default(), &[], 1).unwrap();
    drop(log);
    let other = MetadataLog::open(disk.clone(), Path::new(DIR), [8; 16], 0);
    assert!(other.is_err_and(|e| e.to_string().contains("another cluster")));
    disk.remove(&Path::new(DIR).join("log-0000000000000001")).unwrap();
    assert!(open(&disk).is_err_and(|e| e.to_string().contains("missing")));
}

#[test]
fn a_log_of_another_version_is_refused_by_name() {
    let (disk, log) = new();
    drop(log);
    for version in [1, 3] {
        let mut bytes = contents(&disk, "log-0000000000000000");
        bytes[4] = version;
        overwrite(&disk, "log-0000000000000000", &bytes);
        let refused = open(&disk).err().unwrap().to_string();
        assert!(refused.contains(&format!("has format version {version}")), "{refused}");
        assert!(refused.contains("log-0000000000000000"), "{refused}");
    }
}

#[test]
fn a_log_that_has_lost_its_end_is_refused_and_left_as_it_is() {
    let (disk, mut log) = new();
    append(&mut log, 1, b"one");
    let first = contents(&disk, "log-0000000000000000").len();
    append(&mut log, 2, b"two");
    drop(log);
    let whole = contents(&disk, "log-0000000000000000");
    let open_with = |committed| MetadataLog::open(disk.clone(), Path::new(DIR), CLUSTER, committed);
    for end in format::HEADER_BYTES..whole.len() - MARK_BYTES {
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
    assert_eq!(open_with(2).unwrap().1.log.last_index(), 2);
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
    let dir = Path::new(DIR);
    disk.create_dir_all(dir).unwrap();
    let vote = Vote { term: 1, voted_for: Some(HOST) };
    // Schema version 3, next ids 65 and 1024, nothing truncated, no proposals, no changes.
    let state = [2, 3, 0, 0, 0, 0, 0, 0, 0, 65, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0];
    create(disk.as_ref(), Some(&snapshot(4, &state)), &vote);
    let (mut log, _) = MetadataLog::open(disk.clone(), dir, CLUSTER, 4).unwrap();
    let mut payload = vec![2];
    payload.extend([5; 16]);
    payload.extend([1, 1, 1, 2, 2, 1, b'k']);
    append(&mut log, 5, &payload);
    let names = ["snapshot-0000000000000004", "log-0000000000000004"];
    for (kind, name) in ["snapshot", "log"].into_iter().zip(names) {
        let bytes = contents(&disk, name);
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(dump(kind), bytes, "{kind}: {}", hex.join(" "));
    }
    let salt = format!("{:08x}", format::salt_of(&CLUSTER));
    assert!(DOCUMENT.contains(&format!("so the salt is `{salt}`")), "{salt}");
    let mut text = Vec::new();
    let mut line = |line: &str| text.push(line.to_owned());
    crate::cluster::inspect::metadata(&disk, &dir.join(names[1]), &mut line).unwrap();
    assert_eq!(block("text"), text);
    let read = read(disk.as_ref(), &dir.join(names[0])).unwrap();
    assert_eq!(read.snapshot.unwrap().state, &state[..]);
}
