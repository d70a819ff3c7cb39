//! House rules that a program can check, so that they hold: file heads and lengths, import
//! directions between crates and folders, and links in the documentation.
//!
//! Exceptions stand in the lists below; their numbers may only go down.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "reads the source tree, not the database's files")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Longest file, tests included.
const FILE_LINES_MAX: usize = 600;
/// Longest line, as rustfmt is set; text that cannot be broken (a URL, an error message) may
/// reach the second bound.
const LINE_CHARS_MAX: usize = 100;
const LINE_CHARS_HARD_MAX: usize = 160;

/// Files that are longer than [`FILE_LINES_MAX`], with the most they may have.
const LONG_FILES: &[(&str, usize)] = &[];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn visit(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') && name != "helenus-data" {
                visit(&path, extension, found);
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

fn files(extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    visit(&root(), extension, &mut found);
    found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn files_are_short_and_introduced() {
    let allowed: BTreeMap<_, _> = LONG_FILES.iter().copied().collect();
    let mut problems = Vec::new();
    for (name, text) in files("rs") {
        if !text.starts_with("//!") {
            problems
                .push(format!("{name}: does not begin with a `//!` that says what it is about"));
        }
        let lines = text.lines().count();
        let most = allowed.get(name.as_str()).copied().unwrap_or(FILE_LINES_MAX);
        if lines > most {
            problems
                .push(format!("{name}: {lines} lines, allowed are {most}: find the second thing"));
        }
        if let Some(most) = allowed.get(name.as_str())
            && lines + 50 < *most
        {
            problems
                .push(format!("{name}: {lines} lines; lower its entry of {most} in LONG_FILES"));
        }
        for (at, line) in text.lines().enumerate() {
            let chars = line.chars().count();
            let is_text = line.contains('"') || line.trim_start().starts_with("//");
            if chars > LINE_CHARS_HARD_MAX || (chars > LINE_CHARS_MAX && !is_text) {
                problems.push(format!("{name}:{}: a line of {chars} characters", at + 1));
            }
        }
    }
    report(&problems);
}

#[test]
fn nothing_unfinished_is_parked_in_the_code() {
    // Assembled, so that this file does not find itself.
    let words =
        [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X"), concat!("HA", "CK:")];
    let mut problems = Vec::new();
    for (name, text) in files("rs") {
        for (at, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                problems.push(format!("{name}:{}: {}", at + 1, line.trim()));
            }
            let trimmed = line.trim_start();
            let is_statement = at == 0 || text.lines().nth(at - 1).is_some_and(ends_statement);
            if is_statement && trimmed.starts_with("matches!(") && trimmed.ends_with(");") {
                problems.push(format!("{name}:{}: a `matches!` whose answer is dropped", at + 1));
            }
        }
    }
    report(&problems);
}

/// Whether a line ends a statement or a block, so that the next one begins a statement.
fn ends_statement(line: &str) -> bool {
    line.trim_end().ends_with([';', '{', '}'])
}

/// The crates, lowest first, with the workspace crates that each may name.
const CRATES: &[(&str, &[&str])] = &[
    ("platform/src", &[]),
    ("cql-lite/src", &["helenus_platform"]),
    ("storage/src", &["helenus_platform"]),
    ("gossip/src", &["helenus_platform"]),
    ("src", &["helenus_platform", "cql_lite", "helenus_storage", "helenus_gossip"]),
    ("driver/src", &["helenus_platform", "cql_lite", "helenus"]),
    (
        "sim/src",
        &[
            "helenus_platform",
            "cql_lite",
            "helenus_storage",
            "helenus_gossip",
            "helenus",
            "helenus_driver",
        ],
    ),
];

const ALL_CRATES: &[&str] = &[
    "helenus_platform",
    "cql_lite",
    "helenus_storage",
    "helenus_gossip",
    "helenus_driver",
    "helenus_sim",
    "helenus",
];

/// Whether `text` names the crate `krate` as the head of a path.
fn names_crate(text: &str, krate: &str) -> bool {
    let head = format!("{krate}::");
    text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        line.match_indices(&head).any(|(at, _)| {
            let before = line.get(..at).and_then(|s| s.chars().next_back());
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
        })
    })
}

#[test]
fn crates_import_downwards_only() {
    let mut problems = Vec::new();
    for (name, text) in files("rs") {
        let Some((_, may)) = CRATES.iter().find(|(dir, _)| name.starts_with(&format!("{dir}/")))
        else {
            continue;
        };
        for krate in ALL_CRATES {
            let own = name == "src/main.rs" && *krate == "helenus";
            if !own && !may.contains(krate) && names_crate(&text, krate) {
                problems.push(format!("{name}: imports {krate}, which does not lie below it"));
            }
        }
        let real_half = name.starts_with("platform/src") && name.contains("real");
        if !real_half && names_crate(&text, "tokio") {
            problems.push(format!("{name}: names tokio, which only platform's real half may"));
        }
    }
    report(&problems);
}

/// The folders of the node, highest first; a folder imports only those behind it.
const FOLDERS: &[&str] = &[
    "cli",
    "node",
    "server",
    "query",
    "coordinator",
    "cluster",
    "repair",
    "internode",
    "schema",
    "telemetry",
];

#[test]
fn folders_of_the_node_import_downwards_only() {
    let mut problems = Vec::new();
    for (name, text) in files("rs") {
        let Some(inside) = name.strip_prefix("src/") else { continue };
        let folder = inside.split(['/', '.']).next().unwrap();
        let Some(level) = FOLDERS.iter().position(|f| *f == folder) else { continue };
        for higher in FOLDERS.iter().take(level) {
            let path = format!("crate::{higher}::");
            if let Some(line) = text.lines().find(|line| line.contains(&path)) {
                problems.push(format!("{name}: {folder}/ imports {higher}/: {}", line.trim()));
            }
        }
    }
    report(&problems);
}

#[test]
fn links_in_the_documentation_resolve() {
    let mut problems = Vec::new();
    for (name, text) in files("md") {
        let dir = root().join(&name).parent().unwrap().to_path_buf();
        for piece in text.split("](").skip(1) {
            let Some(target) = piece.split(')').next() else { continue };
            let file = target.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") || file.contains(' ') {
                continue;
            }
            if !dir.join(file).exists() {
                problems.push(format!("{name}: links to {target}, which is not there"));
            }
        }
    }
    report(&problems);
}

#[test]
fn every_direct_dependency_has_its_reason() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let reasons = std::fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let table = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    let table = table.split("\n[").next().unwrap();
    let mut problems = Vec::new();
    for line in table.lines().filter(|line| line.contains('=') && !line.contains("path =")) {
        let name = line.split('=').next().unwrap().trim();
        if !reasons.contains(&format!("| {name} |")) {
            problems.push(format!("{name}: no line in docs/dependencies.md says why it is there"));
        }
    }
    report(&problems);
}
