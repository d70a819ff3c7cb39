//! A damaged SSTable: what needs it is an error that names it, everything else is served, nothing
//! comes back from the dead, and there is a way out.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use helenus_platform::disk::{CutOptions, Disk, FaultyDisk};
use helenus_storage::model::{PartitionBound, Token};
use helenus_storage::{
    CompactionOptions, Compression, ErrorKind, JobKind, Partitions, ReadCommand, Result,
    TableOptions,
};

use crate::collect::{Cuts, PartitionOut, read};
use crate::harness::{Db, key, small_options};
use crate::paths::{TABLE, delete, one, put};

/// Compacts when it is asked to, purges at once, and has a block for each large row.
fn table_options() -> TableOptions {
    let compaction = CompactionOptions { enabled: false, ..CompactionOptions::default() };
    let compression = Compression::None;
    TableOptions { gc_grace_seconds: 0, compaction, compression, ..TableOptions::default() }
}

fn opened() -> Db {
    let mut db = Db::new(1, small_options(), &[(TABLE, table_options())]);
    db.open().unwrap();
    db
}

fn sstables(db: &Db) -> Vec<PathBuf> {
    let files = db.files().into_iter().map(|(path, _)| path);
    files.filter(|path| path.extension().is_some_and(|end| end == "sst")).collect()
}

/// Keys by their tokens; no two of them share one.
fn keys() -> Vec<u8> {
    let mut keys: Vec<u8> = (0..40).map(|n| n * 2).collect();
    keys.sort_by_key(|n| key(*n).token);
    keys
}

/// An SSTable of the lower half of the keys, and one of the upper half.
fn halves() -> (Db, PathBuf, PathBuf) {
    let db = opened();
    let mut files = Vec::new();
    for half in keys().chunks(20) {
        for &n in half {
            db.write(&[&put(n, 1, 100, 10)]).unwrap();
        }
        db.flush().unwrap();
        files.extend(sstables(&db).into_iter().find(|path| !files.contains(path)));
    }
    let [low, high] = files.try_into().unwrap();
    (db, low, high)
}

fn rows(db: &Db, command: &ReadCommand) -> Result<usize> {
    let partitions = read(db.engine(), command, Cuts::NONE)?;
    Ok(partitions.iter().map(|partition: &PartitionOut| partition.rows.len()).sum())
}

fn range(db: &Db, start: PartitionBound, end: PartitionBound) -> ReadCommand {
    ReadCommand::new(TABLE, Partitions::Range { start, end }, db.now())
}

fn all(db: &Db) -> ReadCommand {
    range(db, PartitionBound::Min, PartitionBound::Max)
}

fn bytes_of(disk: &FaultyDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn overwrite(disk: &FaultyDisk, path: &Path, bytes: &[u8]) {
    if !disk.exists(path).unwrap() {
        disk.create(path).unwrap();
    }
    let file = disk.open_write(path).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(0, bytes).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(path.parent().unwrap()).unwrap();
}

fn reopen(db: &mut Db) {
    db.close().unwrap();
    db.open().unwrap();
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

type Damaging = (&'static str, fn(&FaultyDisk, &Path));

const WAYS: [Damaging; 6] = [
    ("header", |disk, path| disk.flip_bit(path, 20 * 8).unwrap()),
    ("footer", |disk, path| {
        let bits = bytes_of(disk, path).len() as u64 * 8;
        disk.flip_bit(path, bits - 40 * 8).unwrap();
    }),
    ("emptied", |disk, path| overwrite(disk, path, b"")),
    ("cut", |disk, path| {
        let bytes = bytes_of(disk, path);
        overwrite(disk, path, &bytes[..bytes.len() / 2]);
    }),
    ("garbage", |disk, path| overwrite(disk, path, &[0x5a; 5000])),
    ("removed", |disk, path| {
        disk.remove(path).unwrap();
        disk.sync_dir(path.parent().unwrap()).unwrap();
    }),
];

#[test]
fn what_needs_a_damaged_sstable_is_an_error_and_the_rest_is_served() {
    for (way, damaging) in WAYS {
        let (mut db, low, _) = halves();
        let whole = bytes_of(&db.disk, &low);
        db.close().unwrap();
        damaging(&db.disk, &low);
        db.open().unwrap_or_else(|error| panic!("{way}: {error}"));
        let needs = |db: &Db, command: &ReadCommand| {
            let error = rows(db, command).expect_err(way);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{way}");
            assert!(error.to_string().contains(name(&low)), "{way}: {error}");
        };
        let keys = keys();
        let token = |n: usize| key(keys[n]).token;
        keys[..20].iter().for_each(|&n| needs(&db, &one(&db, n)));
        for &n in &keys[20..] {
            assert_eq!(rows(&db, &one(&db, n)).unwrap(), 1, "{way}");
        }
        needs(&db, &all(&db));
        needs(&db, &range(&db, PartitionBound::Min, PartitionBound::Before(token(1))));
        let upper = range(&db, PartitionBound::Before(token(20)), PartitionBound::Max);
        assert_eq!(rows(&db, &upper).unwrap(), 20, "{way}");
        // A list of partitions is an error once it comes to one that is missing.
        let some = |n: usize| key(keys[n]);
        let listed = Partitions::Many(vec![some(30), some(3)]);
        needs(&db, &ReadCommand::new(TABLE, listed, db.now()));

        let damages = db.engine().damages();
        assert_eq!(damages.len(), 1, "{way}: {damages:?}");
        assert!(damages[0].is_unreadable && damages[0].path == low, "{way}: {damages:?}");
        assert_eq!(damages[0].file_bytes, whole.len() as u64);
        let stats = db.engine().table_stats(TABLE).unwrap();
        assert_eq!((stats.sstables, stats.sstables_damaged), (2, 1));
        assert_eq!(db.engine().metrics().sstables_damaged_now.get(), 1);

        // Writes go on, and nothing of the file is touched by what compaction does.
        for &n in &keys {
            db.write(&[&put(n, 2, 100, 20)]).unwrap();
        }
        db.flush().unwrap();
        needs(&db, &one(&db, keys[0]));
        db.compact().unwrap();
        assert_eq!(db.engine().table_stats(TABLE).unwrap().sstables, 2, "{way}");
        assert_eq!(db.disk.exists(&low).unwrap(), way != "removed");
        assert_eq!(rows(&db, &upper).unwrap(), 40, "{way}");

        // Put back from a copy, it is as if nothing had been.
        db.close().unwrap();
        overwrite(&db.disk, &low, &whole);
        db.open().unwrap();
        assert_eq!(db.engine().damages(), []);
        assert_eq!(rows(&db, &all(&db)).unwrap(), 80, "{way}");
    }
}

#[test]
fn a_scan_is_served_up_to_where_the_damaged_sstable_begins() {
    let (mut db, _, high) = halves();
    db.close().unwrap();
    db.disk.flip_bit(&high, 20 * 8).unwrap();
    db.open().unwrap();
    let first = key(keys()[20]).token;
    let lower = range(&db, PartitionBound::Min, PartitionBound::Before(first));
    assert_eq!(rows(&db, &lower).unwrap(), 20);
    let further = range(&db, PartitionBound::Min, PartitionBound::After(first));
    assert!(rows(&db, &further).is_err());
    // Beyond the last key of all, nothing is missing.
    let last = key(*keys().last().unwrap()).token;
    let beyond = range(&db, PartitionBound::After(last), PartitionBound::Max);
    assert_eq!(rows(&db, &beyond).unwrap(), 0);
    let between = range(&db, PartitionBound::After(Token(first.0)), PartitionBound::Max);
    assert!(rows(&db, &between).is_err());
}

/// An old row in one SSTable, its deletion in another, past its grace.
fn deleted() -> (Db, PathBuf) {
    let db = opened();
    db.write(&[&put(0, 1, 100, 10)]).unwrap();
    db.write(&[&put(2, 1, 100, 10)]).unwrap();
    db.flush().unwrap();
    let old = sstables(&db).pop().unwrap();
    db.write(&[&delete(0, 1, 20, db.now())]).unwrap();
    db.write(&[&put(4, 1, 100, 10)]).unwrap();
    db.flush().unwrap();
    db.clock.advance(Duration::from_secs(3600));
    db.engine().trust_clock();
    (db, old)
}

fn tombstones(db: &Db) -> u64 {
    db.engine().table_stats(TABLE).unwrap().tombstones
}

#[test]
fn a_tombstone_that_could_hide_what_cannot_be_read_stays() {
    for (way, damaging) in WAYS {
        let (mut db, old) = deleted();
        let whole = bytes_of(&db.disk, &old);
        db.close().unwrap();
        damaging(&db.disk, &old);
        db.open().unwrap();
        db.engine().trust_clock();
        db.compact().unwrap();
        assert_eq!(tombstones(&db), 1, "{way}");
        db.close().unwrap();
        overwrite(&db.disk, &old, &whole);
        db.open().unwrap();
        assert_eq!(rows(&db, &one(&db, 0)).unwrap(), 0, "{way}: a deleted row is back");
        assert_eq!(rows(&db, &one(&db, 2)).unwrap(), 1, "{way}");
        // With the file whole, or given up, it may go.
        db.engine().trust_clock();
        db.compact().unwrap();
        assert_eq!(tombstones(&db), 0, "{way}");
        assert_eq!(rows(&db, &one(&db, 0)).unwrap(), 0, "{way}");
    }
}

#[test]
fn a_damaged_block_is_named_with_its_place_and_never_cached() {
    // One partition a block.
    let mut db = opened();
    for n in 0..40 {
        db.write(&[&put(n * 2, 1, 1000, 10)]).unwrap();
    }
    db.flush().unwrap();
    let path = sstables(&db).pop().unwrap();
    reopen(&mut db);
    let before = db.engine().block_cache().blocks();
    db.disk.flip_bit(&path, 4000 * 8).unwrap();
    let failed = |db: &Db| -> Vec<u8> {
        let failed = (0..40).filter(|n| {
            rows(db, &one(db, n * 2)).is_err_and(|error| {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                let text = error.to_string();
                assert!(text.contains(name(&path)) && text.contains("at byte"), "{text}");
                true
            })
        });
        failed.collect()
    };
    let first = failed(&db);
    assert!(!first.is_empty() && first.len() < 10, "{first:?}");
    assert_eq!(failed(&db), first);
    assert!(rows(&db, &all(&db)).is_err());
    let damages = db.engine().damages();
    assert_eq!(damages.len(), 1, "{damages:?}");
    assert!(!damages[0].is_unreadable && damages[0].path == path, "{damages:?}");
    // Compaction leaves it alone from now on, and does what else there is to do.
    for _ in 0..2 {
        db.write(&[&put(1, 1, 100, 10)]).unwrap();
        db.flush().unwrap();
    }
    db.compact().unwrap();
    let left = sstables(&db);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.contains(&path));
    assert_eq!(failed(&db), first);
    // Had a damaged block been kept, it would be damaged still.
    assert!(db.engine().block_cache().blocks() > before);
    db.disk.flip_bit(&path, 4000 * 8).unwrap();
    assert_eq!(failed(&db), []);
    assert_eq!(rows(&db, &all(&db)).unwrap(), 41);
}

#[test]
fn compaction_that_meets_a_damaged_block_leaves_the_file_alone_from_then_on() {
    let db = opened();
    for n in 0..40 {
        db.write(&[&put(n * 2, 1, 1000, 10)]).unwrap();
    }
    db.write(&[&delete(1, 1, 20, db.now())]).unwrap();
    db.flush().unwrap();
    let path = sstables(&db).pop().unwrap();
    db.disk.flip_bit(&path, 4000 * 8).unwrap();
    for _ in 0..2 {
        db.write(&[&put(1, 1, 100, 10)]).unwrap();
        db.flush().unwrap();
    }
    db.engine().compact(TABLE).unwrap();
    let error = db.run_jobs(JobKind::Compaction).unwrap_err();
    assert!(error.to_string().contains(name(&path)), "{error}");
    assert_eq!(sstables(&db).len(), 3, "a compaction that failed leaves no file");
    assert_eq!(db.engine().damages().len(), 1);
    db.clock.advance(Duration::from_secs(120));
    db.compact().unwrap();
    let left = sstables(&db);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.contains(&path));
    assert_eq!(rows(&db, &one(&db, 1)).unwrap(), 0);
}

#[test]
fn a_damaged_sstable_is_set_aside_and_stays_so() {
    for (way, damaging) in WAYS {
        let (mut db, low, high) = halves();
        db.close().unwrap();
        damaging(&db.disk, &low);
        db.open().unwrap();
        let engine = db.engine();
        let refused = engine.set_aside(name(&high)).unwrap_err();
        assert!(refused.to_string().contains("every byte"), "{refused}");
        let refused = engine.set_aside("letters.txt").unwrap_err();
        assert!(refused.to_string().contains("not the name of an SSTable"), "{refused}");
        let unknown = "00112233445566778899aabbccddeeff.sst";
        assert_eq!(engine.set_aside(unknown).unwrap_err().kind(), ErrorKind::NotFound);
        // By its whole path, as log lines have it.
        let kept = engine.set_aside(&low.display().to_string()).unwrap();
        assert!(kept.starts_with(db.options.dir.join("damaged")), "{kept:?}");
        for _ in 0..2 {
            assert!(!db.disk.exists(&low).unwrap(), "{way}");
            assert_eq!(db.disk.exists(&kept).unwrap(), way != "removed", "{way}");
            assert_eq!(db.engine().damages(), []);
            assert_eq!(rows(&db, &all(&db)).unwrap(), 20, "{way}");
            assert_eq!(rows(&db, &one(&db, keys()[0])).unwrap(), 0, "{way}");
            assert_eq!(db.engine().set_aside(name(&low)).unwrap_err().kind(), ErrorKind::NotFound);
            reopen(&mut db);
        }
    }
}

#[test]
fn setting_aside_can_be_cut_off_anywhere() {
    let prepared = || {
        let (mut db, low, _) = halves();
        db.close().unwrap();
        db.disk.flip_bit(&low, 20 * 8).unwrap();
        db.open().unwrap();
        (db, low)
    };
    let calls = {
        let (db, low) = prepared();
        let before = db.disk.calls();
        db.engine().set_aside(name(&low)).unwrap();
        db.disk.calls() - before
    };
    let (mut done, mut undone) = (0, 0);
    for call in 1..=calls {
        let (mut db, low) = prepared();
        db.disk.cut_at_call(db.disk.calls() + call);
        drop(db.engine().set_aside(name(&low)));
        db.disk.power_cut(CutOptions::default());
        db.forget();
        db.open().unwrap_or_else(|error| panic!("cut at call {call}: {error}"));
        let kept = db.options.dir.join("damaged/00000001").join(name(&low));
        let is_kept = db.disk.exists(&kept).unwrap();
        if db.engine().damages().is_empty() {
            done += 1;
            assert!(is_kept, "cut at call {call}: the file is gone");
        } else {
            undone += 1;
            assert!(db.disk.exists(&low).unwrap(), "cut at call {call}: the file is gone");
            db.engine().set_aside(name(&low)).unwrap();
        }
        assert!(db.disk.exists(&kept).unwrap() && !db.disk.exists(&low).unwrap());
        assert_eq!(rows(&db, &all(&db)).unwrap(), 20, "cut at call {call}");
    }
    assert!(done > 0 && undone > 2, "{done} done, {undone} undone");
}

#[test]
fn truncate_and_drop_take_a_damaged_sstable_with_them() {
    for drops in [true, false] {
        for (way, damaging) in WAYS {
            let (mut db, low, _) = halves();
            db.close().unwrap();
            damaging(&db.disk, &low);
            db.open().unwrap();
            if drops {
                db.engine().drop_table(TABLE).unwrap();
                db.tables.clear();
            } else {
                db.engine().truncate(TABLE).unwrap();
                assert_eq!(rows(&db, &all(&db)).unwrap(), 0, "{way}");
            }
            assert!(sstables(&db).is_empty(), "{way}");
            reopen(&mut db);
            assert_eq!(db.engine().damages(), [], "{way}");
        }
    }
}

#[test]
fn a_snapshot_has_a_damaged_sstable_or_says_that_it_is_missing() {
    let (mut db, low, _) = halves();
    db.close().unwrap();
    db.disk.flip_bit(&low, 20 * 8).unwrap();
    db.open().unwrap();
    let dir = db.options.dir.join("../kept");
    db.disk.create_dir_all(&dir).unwrap();
    let snapshot = db.engine().begin_snapshot(&[(TABLE, dir.clone())]).unwrap();
    let files = snapshot.poll().unwrap().unwrap();
    assert!(files.iter().any(|file| file.path.ends_with(name(&low))), "{files:?}");
    db.disk.remove(&low).unwrap();
    db.disk.remove_dir_all(&dir).unwrap();
    db.disk.create_dir_all(&dir).unwrap();
    let snapshot = db.engine().begin_snapshot(&[(TABLE, dir)]).unwrap();
    let error = snapshot.poll().unwrap().unwrap_err();
    assert!(error.to_string().contains(name(&low)), "{error}");
}

#[test]
fn a_table_whose_whole_directory_is_missing_is_refused() {
    let (mut db, low, _) = halves();
    db.close().unwrap();
    db.disk.remove_dir_all(low.parent().unwrap()).unwrap();
    let error = db.open().unwrap_err();
    assert!(error.to_string().contains("tables/00000001"), "{error}");
}

/// What a manifest of yesterday would have named may be all that is left of a table's rows.
#[test]
fn leftovers_stay_in_a_table_that_misses_a_file() {
    let (mut db, low, _) = halves();
    let leftover = bytes_of(&db.disk, &low);
    db.compact().unwrap();
    let merged = sstables(&db).pop().unwrap();
    db.close().unwrap();
    overwrite(&db.disk, &low, &leftover);
    let whole = bytes_of(&db.disk, &merged);
    db.disk.remove(&merged).unwrap();
    db.open().unwrap();
    assert_eq!(db.engine().damages().len(), 1);
    assert!(db.disk.exists(&low).unwrap());
    db.close().unwrap();
    overwrite(&db.disk, &merged, &whole);
    db.open().unwrap();
    assert!(!db.disk.exists(&low).unwrap(), "a leftover of a whole table goes");
    assert_eq!(rows(&db, &all(&db)).unwrap(), 40);
}
