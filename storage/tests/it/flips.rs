//! One bit flipped anywhere in any file: the right answer, or an error that names the file.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use helenus_platform::disk::Disk;
use helenus_platform::random::{Random, SeededRandom};
use helenus_storage::{Durability, ErrorKind, Result};

use crate::crash_script::{FIRST, SECOND, Script, rows_of};
use crate::harness::Db;

const TRIES: u64 = 1000;

/// A directory with SSTables, a log that was not flushed, and a manifest; closed, or killed after
/// the log has come to rest.
fn directory(closed: bool) -> Script {
    let mut script = Script::new(5, Durability::GROUP, true, None);
    script.play().unwrap();
    if closed {
        script.db.close().unwrap();
    } else {
        script.db.clock.advance(Duration::from_secs(5));
        script.db.sync_until(None).unwrap();
        script.db.disk.crash_process();
        script.db.forget();
    }
    script
}

type Rows = (BTreeSet<u32>, BTreeSet<u32>);

fn rows(db: &mut Db) -> Result<Rows> {
    db.open()?;
    Ok((rows_of(db, FIRST)?, rows_of(db, SECOND)?))
}

/// A copy of the directory on a disk of its own.
fn copy(of: &Db, seed: u64) -> Db {
    Db { disk: of.disk.fork(seed), ..Db::new(seed, of.options.clone(), &[]) }.with_tables_of(of)
}

fn flip(of: &Db, files: &[(PathBuf, u64)], random: &SeededRandom, n: u64) -> (Db, PathBuf, u64) {
    let copy = copy(of, n);
    let (path, len) = &files[random.below(files.len() as u64) as usize];
    let bit = random.below(len * 8);
    copy.disk.flip_bit(path, bit).unwrap();
    (copy, path.clone(), bit)
}

#[test]
fn a_flipped_bit_is_named_or_harmless() {
    let mut noticed = 0;
    for closed in [true, false] {
        let script = directory(closed);
        let files: Vec<(PathBuf, u64)> =
            script.db.files().into_iter().filter(|(_, len)| *len > 0).collect();
        let names: BTreeSet<_> = files.iter().map(|(path, _)| path.extension()).collect();
        assert!(names.len() >= 3, "too few kinds of files: {files:?}");
        let expected = rows(&mut copy(&script.db, 0)).unwrap();
        let random = SeededRandom::new(99);
        for n in 0..TRIES / 2 {
            let (mut db, path, bit) = flip(&script.db, &files, &random, n);
            let at = format!("bit {bit} of {}", path.display());
            match rows(&mut db) {
                Ok(found) => assert_eq!(found, expected, "{at}"),
                Err(error) => {
                    noticed += 1;
                    let kind = error.kind();
                    let is_right = matches!(kind, ErrorKind::Corrupt | ErrorKind::Newer);
                    assert!(is_right, "{at}: {error:?}");
                    let file = path.file_name().and_then(|name| name.to_str()).unwrap();
                    assert!(error.to_string().contains(file), "{at}: {error}");
                }
            }
        }
    }
    assert!(noticed > TRIES / 4, "only {noticed} flips were noticed");
}

#[test]
fn a_missing_file_is_named() {
    for closed in [true, false] {
        without_each_file(closed);
    }
}

fn without_each_file(closed: bool) {
    let script = directory(closed);
    let expected = rows(&mut copy(&script.db, 4)).unwrap();
    let mut noticed = 0;
    for (path, _) in script.db.files() {
        let mut db = copy(&script.db, 3);
        db.disk.remove(&path).unwrap();
        match rows(&mut db) {
            // A spare segment, or one that SSTables cover, is not missed.
            Ok(found) => assert_eq!(found, expected, "{} is missing", path.display()),
            Err(error) => {
                noticed += 1;
                assert!(error.to_string().contains("/data/engine"), "{path:?}: {error}");
            }
        }
    }
    assert!(noticed >= 5, "only {noticed} missing files were noticed");
    let mut db = copy(&script.db, 3);
    db.disk.remove_dir_all(&db.options.dir.join("log")).unwrap();
    let error = rows(&mut db).err().unwrap();
    assert!(error.to_string().contains("the commit log is missing"), "{error}");
}
