//! A data directory of a newer version: every kind of file that has a version is refused by name
//! when a newer program has written it, with the version that it has and those that can be read.

use helenus_platform::checksum::{crc32, crc32_salted};

use super::lived::{DIR, Lived, SNAPSHOT, files, lived, overwrite};
use super::*;
use crate::node::snapshots;

/// A version that no program of ours writes for long.
const NEWER: u8 = 99;

/// Who reads a file, and so must refuse it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reader {
    Start,
    Restore,
}

/// Makes a file one of a newer version.
type Newer = fn(Vec<u8>) -> Vec<u8>;

/// A kind of file: what its path begins with and ends with, below the data directory.
struct Kind {
    begins: &'static str,
    ends: &'static str,
    read_by: Reader,
    /// Each makes the file one of a newer version in one way, checksums and all. None: the file
    /// has no version of its own, for this reason.
    newer: Result<&'static [Newer], &'static str>,
    /// How many versions there are up to the one that can be read.
    known: u32,
}

const LOCKED: &str = "a lock: its bytes are a note for people";

const KINDS: &[Kind] = &[
    Kind { begins: "LOCK", ends: "LOCK", read_by: Reader::Start, newer: Err(LOCKED), known: 0 },
    Kind {
        begins: "IDENTITY",
        ends: "IDENTITY",
        read_by: Reader::Start,
        newer: Ok(&[identity]),
        known: 3,
    },
    Kind {
        begins: "metadata/log-",
        ends: "",
        read_by: Reader::Start,
        newer: Ok(&[metadata_file, metadata_entry, metadata_change]),
        known: 2,
    },
    Kind {
        begins: "metadata/snapshot-",
        ends: "",
        read_by: Reader::Start,
        newer: Ok(&[metadata_file, metadata_state]),
        known: 3,
    },
    Kind {
        begins: "engine/LOCK",
        ends: "LOCK",
        read_by: Reader::Start,
        newer: Err(LOCKED),
        known: 0,
    },
    Kind {
        begins: "engine/FORMAT",
        ends: "FORMAT",
        read_by: Reader::Start,
        newer: Ok(&[|_| b"helenus-storage 99\n".to_vec()]),
        known: 1,
    },
    Kind {
        begins: "engine/CURRENT",
        ends: "CURRENT",
        read_by: Reader::Start,
        newer: Err("one line, of the format that FORMAT names"),
        known: 0,
    },
    Kind {
        begins: "engine/manifest-",
        ends: "",
        read_by: Reader::Start,
        newer: Ok(&[manifest]),
        known: 1,
    },
    Kind {
        begins: "engine/log/segment-",
        ends: ".log",
        read_by: Reader::Start,
        newer: Ok(&[segment]),
        known: 1,
    },
    Kind {
        begins: "engine/log/spare-",
        ends: ".log",
        read_by: Reader::Start,
        newer: Err("kept for its room: it is never read"),
        known: 0,
    },
    Kind {
        begins: "engine/tables/",
        ends: ".sst",
        read_by: Reader::Start,
        newer: Ok(&[sstable]),
        known: 1,
    },
    Kind {
        begins: "snapshots/kept/manifest.json",
        ends: "",
        read_by: Reader::Restore,
        newer: Ok(&[snapshot_manifest]),
        known: 1,
    },
    Kind {
        begins: "snapshots/kept/schema.cql",
        ends: "",
        read_by: Reader::Restore,
        newer: Err("CQL, for people; manifest.json has its checksum"),
        known: 0,
    },
    Kind {
        begins: "snapshots/kept/IDENTITY",
        ends: "",
        read_by: Reader::Restore,
        newer: Ok(&[identity]),
        known: 3,
    },
    Kind {
        begins: "snapshots/kept/metadata/snapshot-",
        ends: "",
        read_by: Reader::Restore,
        newer: Ok(&[metadata_file, metadata_state]),
        known: 3,
    },
    Kind {
        begins: "snapshots/kept/metadata/log-",
        ends: "",
        read_by: Reader::Restore,
        newer: Ok(&[metadata_file]),
        known: 2,
    },
    Kind {
        begins: "snapshots/kept/k/",
        ends: ".sst",
        read_by: Reader::Restore,
        newer: Ok(&[sstable]),
        known: 1,
    },
];

/// Puts the checksum of `bytes[from..at]` at `at`.
fn seal(bytes: &mut [u8], from: usize, at: usize, salt: u32) {
    let crc = crc32_salted(salt, &bytes[from..at]).to_le_bytes();
    bytes[at..at + 4].copy_from_slice(&crc);
}

fn identity(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[4] = NEWER;
    let body = bytes.len() - 4;
    let crc = crc32(&bytes[..body]).to_le_bytes();
    bytes[body..].copy_from_slice(&crc);
    bytes
}

fn metadata_file(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[4] = NEWER;
    let crc = crc32(&bytes[..40]).to_le_bytes();
    bytes[40..44].copy_from_slice(&crc);
    bytes
}

/// The salt of what follows the header of a file of the metadata log.
fn metadata_salt(bytes: &[u8]) -> u32 {
    crc32_salted(0, &bytes[8..24])
}

/// The version of the first entry's payload, or, behind that, the name of the proposal, a count of
/// one byte and a kind, its first change's.
fn metadata_entry_at(mut bytes: Vec<u8>, within: usize) -> Vec<u8> {
    // Behind the header, votes and marks.
    let mut start = 44;
    while bytes[start] != 0xe1 {
        start += if bytes[start] == 0xe2 { 29 } else { 21 };
    }
    let length = u32::from_le_bytes(bytes[start + 1..start + 5].try_into().unwrap()) as usize;
    let mut payload = start + 5 + 24 + 1;
    // A configuration of one voter.
    payload += if bytes[payload - 1] == 1 { 1 + 16 + 1 } else { 0 };
    while bytes[payload] >= 0x80 {
        payload += 1;
    }
    bytes[payload + 1 + within] = NEWER;
    let salt = metadata_salt(&bytes);
    seal(&mut bytes, start, start + 5 + length, salt);
    bytes
}

fn metadata_entry(bytes: Vec<u8>) -> Vec<u8> {
    metadata_entry_at(bytes, 0)
}

fn metadata_change(bytes: Vec<u8>) -> Vec<u8> {
    metadata_entry_at(bytes, 1 + 16 + 1 + 1)
}

fn metadata_state(mut bytes: Vec<u8>) -> Vec<u8> {
    // Header, length, and a configuration of one voter.
    bytes[44 + 8 + 18] = NEWER;
    let (end, salt) = (bytes.len() - 4, metadata_salt(&bytes));
    seal(&mut bytes, 44, end, salt);
    bytes
}

fn manifest(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[8] = NEWER;
    let crc = crc32(&bytes[..24]).to_le_bytes();
    bytes[24..28].copy_from_slice(&crc);
    bytes
}

fn segment(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[8] = NEWER;
    let crc = crc32(&bytes[..60]).to_le_bytes();
    bytes[60..64].copy_from_slice(&crc);
    bytes
}

fn sstable(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[8] = NEWER;
    let footer = bytes.len() - 64;
    bytes[footer + 48] = NEWER;
    let crc = crc32(&bytes[footer..footer + 52]).to_le_bytes();
    bytes[footer + 52..footer + 56].copy_from_slice(&crc);
    bytes
}

fn snapshot_manifest(bytes: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(bytes).unwrap();
    let (_, body) = text.split_once("\"manifest\": ").unwrap();
    let body = body.strip_suffix("}\n").unwrap();
    let body = body.replacen("\"version\": 1", &format!("\"version\": {NEWER}"), 1);
    let crc = crc32(body.as_bytes());
    format!("{{\"crc32\": \"{crc:08x}\", \"manifest\": {body}}}\n").into_bytes()
}

/// What a start, or a restoration of the snapshot, says; none if it is content.
fn refusal(lab: &Lab, reader: Reader) -> Option<String> {
    match reader {
        Reader::Start => {
            let opened = lab.open();
            lab.runtime.kill();
            opened.err().map(|error| error.to_string())
        }
        Reader::Restore => {
            let World { disk, clock, random, .. } = lab.world();
            let to = Path::new("/restored");
            let restored = snapshots::restore(&disk, &clock, &random, Path::new(SNAPSHOT), to);
            restored.err().map(|error| error.to_string())
        }
    }
}

#[test]
fn every_kind_of_file_of_a_newer_version_is_refused_by_name() {
    let Lived { lab, .. } = lived(true);
    let mut seen = vec![0; KINDS.len()];
    for (path, bytes) in files(&lab.disk, Path::new(DIR)) {
        let name = path.strip_prefix(DIR).unwrap().display().to_string();
        let mut of = KINDS
            .iter()
            .enumerate()
            .filter(|(_, kind)| name.starts_with(kind.begins) && name.ends_with(kind.ends));
        let (index, kind) = of.next().unwrap_or_else(|| {
            panic!(
                "a kind of file that is new here: {name}; give it a row in KINDS, and one in \
                 docs/format/data-directory.md"
            )
        });
        assert!(of.next().is_none(), "{name} is of two kinds");
        seen[index] += 1;
        // Ten of a kind are as good as a hundred.
        if seen[index] > 10 {
            continue;
        }
        for (way, newer) in kind.newer.unwrap_or_default().iter().enumerate() {
            let forked = Lab { disk: lab.disk.fork(1), ..Lab::new() };
            assert_eq!(refusal(&forked, kind.read_by), None, "{name} as it is");
            let forked = Lab { disk: lab.disk.fork(1), ..Lab::new() };
            let changed = newer(bytes.clone());
            assert!(changed != bytes);
            overwrite(&forked.disk, &path, &changed);
            let before = files(&forked.disk, Path::new(DIR));
            let refused = refusal(&forked, kind.read_by)
                .unwrap_or_else(|| panic!("{name} of version {NEWER} is taken, way {way}"));
            let file = path.file_name().unwrap().to_str().unwrap();
            assert!(refused.contains(file), "{name}, way {way}: {refused}");
            assert!(refused.contains("version 99"), "{name}, way {way}: {refused}");
            // What is inside of a file may have had fewer versions than the file.
            let says_known = (1..=kind.known).any(|known| {
                ["up to", "reads"].iter().any(|word| refused.contains(&format!("{word} {known}")))
            });
            assert!(says_known, "{name}, way {way}: {refused}");
            // A newer program must find it as it was.
            for (path, bytes) in &before {
                let notes = ["LOCK", "IDENTITY", "CURRENT"];
                let is_note = notes.iter().any(|note| path.ends_with(note));
                let is_manifest = path.display().to_string().contains("engine/manifest-");
                let is_same = is_note || is_manifest || {
                    let there = lab_bytes(&forked, path);
                    there.as_ref() == Some(bytes)
                };
                assert!(is_same, "{} was changed by what refused {name}", path.display());
            }
        }
    }
    let document = include_str!("../../../docs/format/data-directory.md");
    for (kind, count) in KINDS.iter().zip(seen) {
        let shown = kind.begins.replace("/kept/k/", "/kept/<keyspace>/").replace("kept", "<tag>");
        assert!(document.contains(&format!("`{shown}")), "no row for {shown} in the document");
        assert!(count > 0, "no file {}*{} in the directory", kind.begins, kind.ends);
        if let Err(why) = kind.newer {
            assert!(!why.is_empty());
        }
    }
}

fn lab_bytes(lab: &Lab, path: &Path) -> Option<Vec<u8>> {
    let file = lab.disk.open(path).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    Some(bytes)
}
