//! A data directory in which one file is replaced.
//!
//! Input: which file (modulo their number), then its new content.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::lab::{Lab, files, write};

/// The tables of the directory.
const TABLES: [&str; 3] = ["wide", "counts", "types"];

/// A directory with something of everything: tables, a log, a manifest, metadata, an identity.
pub(crate) static DIRECTORY: LazyLock<Vec<(PathBuf, Vec<u8>)>> = LazyLock::new(|| {
    let mut lab = Lab::new();
    lab.open().unwrap();
    for statement in crate::execute::SCHEMA {
        lab.run(statement).unwrap();
    }
    let fill = |lab: &Lab, from: i32| {
        for c in from..from + 40 {
            let k = c % 3;
            lab.run(&format!("INSERT INTO wide (k, c, s, v) VALUES ({k}, {c}, {c}, 'v{c}')"))
                .unwrap();
            lab.run(&format!("UPDATE counts SET n = n + {c} WHERE k = {k}")).unwrap();
            lab.run(&format!(
                "INSERT INTO types (k, l, m, st, u, d) VALUES ({c}, [1, 2], {{'a': {c}}}, \
                 {{'x', 'y'}}, {{a: 1, b: 'z'}}, 1.5) USING TTL 100000"
            ))
            .unwrap();
        }
        lab.run("DELETE FROM wide WHERE k = 1 AND c > 3 AND c < 30").unwrap();
        lab.run("DELETE FROM types WHERE k = 7").unwrap();
    };
    fill(&lab, 0);
    lab.flush();
    fill(&lab, 40);
    lab.close();
    // The log's segments are allocated whole: what follows the last record is zeros.
    let mut found = files(&*lab.disk, Path::new("/data"));
    for (_, bytes) in &mut found {
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        bytes.truncate((end + 64).min(bytes.len()));
    }
    found
});

/// Opening names what is wrong or succeeds; what opens can be read, written and closed. A read may
/// fail, with an error.
pub fn run(data: &[u8]) {
    let [which, content @ ..] = data else { return };
    let mut lab = Lab::new();
    let replaced = usize::from(*which) % DIRECTORY.len();
    for (index, (path, bytes)) in DIRECTORY.iter().enumerate() {
        write(&*lab.disk, path, if index == replaced { content } else { bytes });
    }
    if let Err(error) = lab.open() {
        assert!(!error.to_string().is_empty());
        return;
    }
    for table in TABLES {
        let _ = lab.run(&format!("SELECT * FROM {table}"));
    }
    let _ = lab.run("SELECT * FROM wide WHERE k = 1 ORDER BY c DESC");
    let _ = lab.run("INSERT INTO wide (k, c, v) VALUES (1, 2, 'after')");
    lab.close();
}
