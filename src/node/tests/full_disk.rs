//! A simulated disk that has no room left, and gets some again.

use helenus_platform::disk::CutOptions;

use super::*;
use cql_lite::wire::ErrorKind;

/// Makes a value large enough that a few of them fill a segment of the log.
fn insert(node: &Node, key: u32) -> crate::error::Result<ResultBody> {
    let value = "f".repeat(4000);
    run(node, &format!("INSERT INTO k.v (k, v) VALUES ({key}, '{value}')"))
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_goes_on_when_there_is_room() {
    let lab = Lab::new();
    let node = lab.open().unwrap();
    fill(&node);
    run(&node, "CREATE TABLE k.v (k int PRIMARY KEY, v text)").unwrap();
    let mut written = 0;
    while written < 30 {
        insert(&node, written).unwrap();
        written += 1;
        lab.runtime.run_for(std::time::Duration::from_millis(10));
    }
    lab.disk.set_full(true);
    let refusal = loop {
        match insert(&node, written) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        lab.runtime.run_for(std::time::Duration::from_millis(10));
        assert!(written < 1000, "the disk does not get full");
    };
    assert_eq!(*refusal.kind, ErrorKind::Server, "{refusal}");
    assert!(refusal.message.starts_with("the disk is full: writes are refused"), "{refusal}");
    assert!(refusal.message.contains("no room for another commit log segment"), "{refusal}");
    assert_eq!((row_count(&node, "v"), row_count(&node, "t")), (written as usize, 10));
    // It stays so for as long as it lasts, and the schema does not change either.
    for _ in 0..20 {
        lab.runtime.run_for(std::time::Duration::from_secs(1));
        assert!(insert(&node, written).is_err());
        assert_eq!(row_count(&node, "v"), written as usize);
    }
    lab.disk.set_full(false);
    lab.runtime.run_for(std::time::Duration::from_secs(30));
    for _ in 0..30 {
        insert(&node, written).unwrap_or_else(|error| panic!("room again: {error}"));
        written += 1;
        lab.runtime.run_for(std::time::Duration::from_millis(10));
    }
    assert!(node.engine().durable_position() >= node.engine().answer_position());
    drop(node);
    lab.runtime.kill();
    lab.disk.power_cut(CutOptions::default());
    let node = lab.open().unwrap();
    assert_eq!((row_count(&node, "v"), row_count(&node, "t")), (written as usize, 10));
}
