//! Each half is without the other's weight: who connects only does not compile the database, who
//! embeds only no network driver.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

/// The crates that a program compiles which has this feature of the driver.
fn crates(feature: &str) -> Vec<String> {
    let arguments = ["tree", "--offline", "--locked", "-e", "normal", "--prefix", "none"];
    let mut tree = Command::new(env!("CARGO"));
    tree.args(arguments).args(["--no-default-features", "--features", feature]);
    let output = tree.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn a_half_brings_only_what_it_needs() {
    let (embedded, cluster) = (crates("embedded"), crates("cluster"));
    let has = |crates: &[String], name: &str| crates.iter().any(|found| found == name);
    assert!(has(&embedded, "helenus") && has(&cluster, "scylla"));
    assert!(!has(&embedded, "scylla"), "the embedded half compiles the network driver");
    assert!(!has(&embedded, "scylla-cql"), "the embedded half compiles the network driver");
    for database in ["helenus", "helenus-storage", "cql-lite"] {
        assert!(!has(&cluster, database), "the cluster half compiles {database}");
    }
}
