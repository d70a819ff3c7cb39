//! Every file of a data directory in turn damaged in every way: the node refuses and names the
//! file, or it serves, and every row that it answers is right.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use helenus_platform::random::Random as _;

use super::lived::{DIR, Lived, SNAPSHOT, TABLES, files, lived, overwrite, rows};
use super::*;
use crate::node::snapshots;

/// What is done to a file; it gets the bytes, and says what is left of them, if anything is.
type Damaging = fn(Vec<u8>, &SeededRandom) -> Option<Vec<u8>>;

const WAYS: [(&str, Damaging); 7] = [
    ("emptied", |_, _| Some(Vec::new())),
    ("cut in half", |mut bytes, _| {
        bytes.truncate(bytes.len() / 2);
        Some(bytes)
    }),
    ("cut by a byte", |mut bytes, _| {
        bytes.pop();
        Some(bytes)
    }),
    ("removed", |_, _| None),
    ("replaced by garbage", |mut bytes, random| {
        random.fill(&mut bytes);
        Some(bytes)
    }),
    ("replaced by zeros", |mut bytes, _| {
        bytes.fill(0);
        Some(bytes)
    }),
    ("one bit flipped", |mut bytes, random| {
        if !bytes.is_empty() {
            let bit = random.below(bytes.len() as u64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        Some(bytes)
    }),
];

fn damage(disk: &FaultyDisk, path: &Path, left: Option<Vec<u8>>) {
    match left {
        Some(bytes) => overwrite(disk, path, &bytes),
        None => disk.remove(path).unwrap(),
    }
}

/// What came of a start on a damaged directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    Refused,
    /// All rows are there.
    Whole,
    /// Some reads are errors that name the file.
    InPart,
}

/// Starts a node on `lab` and compares everything it answers. What is wrong panics.
fn outcome(lab: &Lab, path: &Path, expected: &dyn Fn(&str) -> Vec<String>, at: &str) -> Outcome {
    let name = path.file_name().unwrap().to_str().unwrap();
    let node = match lab.open() {
        Ok(node) => node,
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(name), "{at}: refused without naming it: {text}");
            return Outcome::Refused;
        }
    };
    let mut outcome = Outcome::Whole;
    for table in TABLES {
        match rows(&node, table) {
            Ok(rows) => assert!(
                rows == expected(table),
                "{at}: {table} has {} rows, not {}",
                rows.len(),
                expected(table).len()
            ),
            Err(error) => {
                assert!(error.message.contains(name), "{at}: {table}: {error}");
                outcome = Outcome::InPart;
            }
        }
    }
    // It takes writes, and reads what was written.
    let text = "INSERT INTO k.empty (k, c, v) VALUES (1, 2, 'three')";
    run(&node, text).unwrap_or_else(|error| panic!("{at}: {error}"));
    assert_eq!(rows(&node, "empty").unwrap().len(), 1, "{at}");
    outcome
}

/// As `outcome`, of what is restored from the snapshot.
fn restored(lab: &Lab, path: &Path, kept: &dyn Fn(&str) -> Vec<String>, at: &str) -> Outcome {
    let name = path.file_name().unwrap().to_str().unwrap();
    let World { disk, clock, random, .. } = lab.world();
    let to = Path::new("/restored");
    if let Err(error) = snapshots::restore(&disk, &clock, &random, Path::new(SNAPSHOT), to) {
        let text = error.to_string();
        assert!(text.contains(name), "{at}: refused without naming it: {text}");
        return Outcome::Refused;
    }
    let config = Config { data_dir: to.into(), segment_bytes: 1 << 16, ..Config::default() };
    let node = Node::open(lab.world(), config).unwrap_or_else(|error| panic!("{at}: {error}"));
    for table in TABLES {
        assert!(rows(&node, table).unwrap() == kept(table), "{at}: {table}");
    }
    Outcome::Whole
}

fn try_one(of: &Lived, path: &Path, left: Option<Vec<u8>>, at: &str) -> Result<Outcome, String> {
    let lab = Lab { disk: of.lab.disk.fork(1), ..Lab::new() };
    damage(&lab.disk, path, left);
    let tried = catch_unwind(AssertUnwindSafe(|| {
        if path.starts_with(SNAPSHOT) {
            restored(&lab, path, &|table| of.kept[table].clone(), at)
        } else {
            outcome(&lab, path, &|table| of.rows[table].clone(), at)
        }
    }));
    lab.runtime.kill();
    tried.map_err(|panic| match panic.downcast_ref::<String>() {
        Some(text) => text.clone(),
        None => format!("{at}: a panic without a text"),
    })
}

/// A name without its numbers.
fn kind(path: &Path) -> String {
    let name = path.strip_prefix(DIR).unwrap().display().to_string();
    let part = |part: &str| match part.split_once(['-', '.']) {
        Some((_, "sst")) => "*.sst".to_string(),
        Some((first, _)) if part.len() > 16 => format!("{first}-*"),
        _ => part.to_string(),
    };
    name.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[test]
fn every_file_damaged_in_every_way_is_named_or_costs_nothing() {
    let random = SeededRandom::new(77);
    let mut seen = std::collections::BTreeMap::new();
    let mut wrong = Vec::new();
    for stopped_cleanly in [true, false] {
        let lived = lived(stopped_cleanly);
        for (path, bytes) in files(&lived.lab.disk, Path::new(DIR)) {
            for (way, damaging) in WAYS {
                let how = if stopped_cleanly { "stopped" } else { "killed" };
                let at = format!("{how}, {} {way}", path.display());
                let left = damaging(bytes.clone(), &random);
                match try_one(&lived, &path, left, &at) {
                    Ok(outcome) => {
                        seen.entry((kind(&path), way)).or_insert_with(Vec::new).push(outcome);
                    }
                    Err(text) => wrong.push(text),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    let outcomes = |kind: &str, way: &str| -> Vec<Outcome> {
        let of = seen.iter().filter(|((name, how), _)| name.contains(kind) && *how == way);
        of.flat_map(|(_, outcomes)| outcomes.clone()).collect()
    };
    // A proof in which nothing is ever noticed, or all is refused, would prove nothing.
    for way in ["emptied", "cut in half", "removed", "replaced by garbage", "replaced by zeros"] {
        for kind in ["IDENTITY", "FORMAT", "CURRENT", "engine/manifest", "metadata/snapshot"] {
            let outcomes = outcomes(kind, way);
            assert!(outcomes.iter().all(|o| *o == Outcome::Refused), "{kind} {way}: {outcomes:?}");
        }
        let tables = outcomes("engine/tables", way);
        assert!(tables.iter().all(|o| *o == Outcome::InPart), "{way}: {tables:?}");
        let locks = outcomes("LOCK", way);
        assert!(locks.iter().all(|o| *o == Outcome::Whole), "{way}: {locks:?}");
    }
}

/// The proof of issue "one bit flipped anywhere" on a whole node: engine, metadata and identity.
#[test]
fn a_thousand_flipped_bits_are_named_or_harmless() {
    let random = SeededRandom::new(78);
    let mut noticed = 0;
    for stopped_cleanly in [true, false] {
        let lived = lived(stopped_cleanly);
        let all: Vec<(PathBuf, Vec<u8>)> = files(&lived.lab.disk, Path::new(DIR))
            .into_iter()
            .filter(|(path, bytes)| !bytes.is_empty() && !path.starts_with(SNAPSHOT))
            .collect();
        for n in 0..500 {
            let (path, bytes) = &all[random.below(all.len() as u64) as usize];
            let mut flipped = bytes.clone();
            let bit = random.below(bytes.len() as u64 * 8) as usize;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let at = format!("try {n}, bit {bit} of {}", path.display());
            let outcome = try_one(&lived, path, Some(flipped), &at).unwrap();
            noticed += u32::from(outcome != Outcome::Whole);
        }
    }
    assert!(noticed > 400, "only {noticed} of 1000 were noticed");
}
