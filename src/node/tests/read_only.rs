//! A data directory that cannot be written to: from the start, and from one moment on.

use super::lived::files;
use super::*;

#[test]
fn a_directory_that_is_read_only_is_refused_by_name_and_left_as_it_is() {
    let lab = Lab::new();
    let node = lab.open().unwrap();
    fill(&node);
    lab.close(node);
    let before = files(&lab.disk, Path::new("/data"));
    lab.disk.set_read_only(true);
    let refused = lab.open().unwrap_err();
    assert!(matches!(refused, OpenError::NotWritable { .. }), "{refused}");
    let refused = refused.to_string();
    assert!(refused.contains("/data/LOCK"), "{refused}");
    assert!(refused.contains("its data directory /data: mount its file system"), "{refused}");
    assert!(files(&lab.disk, Path::new("/data")) == before, "something was changed");
    // One that would have to be made, likewise.
    let config = Config { data_dir: "/other".into(), ..Config::default() };
    let refused = Node::open(lab.world(), config).unwrap_err().to_string();
    assert!(refused.contains("cannot create /other"), "{refused}");
    lab.disk.set_read_only(false);
    let node = lab.open().unwrap();
    assert_eq!((row_count(&node, "t"), row_count(&node, "u")), (10, 10));
}

/// As a system does to a file system whose device has failed.
#[test]
fn a_node_whose_disk_becomes_read_only_refuses_writes_serves_reads_and_forgets_nothing() {
    let lab = Lab::new();
    let node = lab.open().unwrap();
    fill(&node);
    lab.runtime.run_for(std::time::Duration::from_secs(1));
    lab.disk.set_read_only(true);
    let mut refusals = Vec::new();
    for key in 10..20 {
        // The log may have taken it before the disk is asked; then the failure is the answer.
        refusals.extend(run(&node, &format!("INSERT INTO k.t (k) VALUES ({key})")).err());
        lab.runtime.run_for(std::time::Duration::from_secs(1));
    }
    let failure = node.engine().failure().expect("the engine must have failed").to_string();
    assert!(failure.contains("segment-") && failure.contains("read-only"), "{failure}");
    let last = refusals.last().expect("no write is refused");
    assert!(last.message.contains("read-only"), "{last}");
    assert!(refusals.len() >= 9, "{refusals:?}");
    assert!(run(&node, "CREATE TABLE k.w (k int PRIMARY KEY)").is_err());
    assert_eq!(row_count(&node, "u"), 10);
    drop(node);
    lab.crash();
    assert!(matches!(lab.open(), Err(OpenError::NotWritable { .. })));
    lab.disk.set_read_only(false);
    let node = lab.open().unwrap();
    assert_eq!((row_count(&node, "t"), row_count(&node, "u")), (10, 10));
    run(&node, "INSERT INTO k.t (k) VALUES (10)").unwrap();
}
