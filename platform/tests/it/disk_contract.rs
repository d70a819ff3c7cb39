//! What every disk promises, run over each of them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use helenus_platform::disk::{Disk, Entry, FaultyDisk, MemoryDisk, RealDisk};

macro_rules! disk_contract {
    ($($rule:ident,)*) => {
        $(mod $rule {
            use super::*;

            #[test]
            fn real() {
                let name = format!("helenus-disk-{}-{}", stringify!($rule), std::process::id());
                let root = std::env::temp_dir().join(name);
                let disk = RealDisk::new();
                disk.create_dir_all(&root).unwrap();
                super::$rule(&disk, &root);
                disk.remove_dir_all(&root).unwrap();
            }

            #[test]
            fn memory() {
                let (disk, root) = (MemoryDisk::new(), PathBuf::from("/data"));
                disk.create_dir_all(&root).unwrap();
                super::$rule(&disk, &root);
            }

            #[test]
            fn faulty() {
                let (disk, root) = (FaultyDisk::new(1), PathBuf::from("/data"));
                disk.create_dir_all(&root).unwrap();
                super::$rule(&disk, &root);
            }
        })*
    };
}

disk_contract! {
    written_bytes_are_read,
    a_gap_and_room_reserved_read_as_zeros,
    names_exist_once,
    open_modes_are_kept,
    rename_replaces_and_keeps_handles,
    a_link_is_the_same_file,
    lists_are_sorted,
    trees_go_whole,
    errors_are_named,
    a_lock_is_exclusive_and_names_its_holder,
}

fn kind<T>(result: std::io::Result<T>) -> ErrorKind {
    result.map(|_| ()).unwrap_err().kind()
}

fn written_bytes_are_read(disk: &dyn Disk, root: &Path) {
    let file = disk.create(&root.join("a")).unwrap();
    file.write_all_at(0, b"hello world").unwrap();
    file.write_all_at(6, b"there").unwrap();
    let mut out = [0; 20];
    assert_eq!(file.read_at(0, &mut out).unwrap(), 11);
    assert_eq!(&out[..11], b"hello there");
    assert_eq!(file.read_at(11, &mut out).unwrap(), 0);
    assert_eq!(file.read_at(100, &mut out).unwrap(), 0);
    let mut five = [0; 5];
    file.read_exact_at(6, &mut five).unwrap();
    assert_eq!(&five, b"there");
    assert_eq!(kind(file.read_exact_at(7, &mut five)), ErrorKind::UnexpectedEof);
    if let Some(n) = file.try_read_at(0, &mut five).unwrap() {
        assert_eq!(&five[..n], &b"hello"[..n]);
    }
    file.sync_data().unwrap();
    file.drop_cache(0, 11);
    disk.sync_dir(root).unwrap();
    assert_eq!(file.len().unwrap(), 11);
    file.set_len(5).unwrap();
    assert_eq!(file.read_at(0, &mut out).unwrap(), 5);
    assert!(disk.free_bytes(root).unwrap() > 0);
}

fn a_gap_and_room_reserved_read_as_zeros(disk: &dyn Disk, root: &Path) {
    let file = disk.create(&root.join("a")).unwrap();
    assert!(file.is_empty().unwrap());
    file.write_all_at(3, b"x").unwrap();
    file.allocate(10).unwrap();
    assert_eq!(file.len().unwrap(), 10);
    let mut out = [9; 10];
    file.read_exact_at(0, &mut out).unwrap();
    assert_eq!(&out, b"\0\0\0x\0\0\0\0\0\0");
    file.allocate(4).unwrap();
    assert_eq!(file.len().unwrap(), 10);
    file.set_len(2).unwrap();
    file.set_len(4).unwrap();
    file.read_exact_at(0, &mut out[..4]).unwrap();
    assert_eq!(&out[..4], b"\0\0\0\0");
}

fn names_exist_once(disk: &dyn Disk, root: &Path) {
    let path = root.join("a");
    assert!(!disk.exists(&path).unwrap());
    assert_eq!(kind(disk.open(&path)), ErrorKind::NotFound);
    assert_eq!(kind(disk.open_write(&path)), ErrorKind::NotFound);
    disk.create(&path).unwrap();
    assert!(disk.exists(&path).unwrap());
    assert_eq!(kind(disk.create(&path)), ErrorKind::AlreadyExists);
    disk.remove(&path).unwrap();
    assert!(!disk.exists(&path).unwrap());
    assert_eq!(kind(disk.remove(&path)), ErrorKind::NotFound);
}

fn open_modes_are_kept(disk: &dyn Disk, root: &Path) {
    let path = root.join("a");
    disk.create(&path).unwrap().write_all_at(0, b"abc").unwrap();
    let reading = disk.open(&path).unwrap();
    assert!(reading.write_all_at(0, b"x").is_err());
    disk.open_write(&path).unwrap().write_all_at(1, b"x").unwrap();
    let mut out = [0; 3];
    reading.read_exact_at(0, &mut out).unwrap();
    assert_eq!(&out, b"axc");
}

fn rename_replaces_and_keeps_handles(disk: &dyn Disk, root: &Path) {
    let (a, b) = (root.join("a"), root.join("b"));
    let file = disk.create(&a).unwrap();
    disk.create(&b).unwrap().write_all_at(0, b"old").unwrap();
    disk.rename(&a, &b).unwrap();
    file.write_all_at(0, b"n").unwrap();
    assert!(!disk.exists(&a).unwrap());
    assert_eq!(disk.open(&b).unwrap().len().unwrap(), 1);
    assert_eq!(kind(disk.rename(&a, &b)), ErrorKind::NotFound);
    // A removed file stays readable through an open handle.
    disk.remove(&b).unwrap();
    assert_eq!(file.len().unwrap(), 1);
}

fn a_link_is_the_same_file(disk: &dyn Disk, root: &Path) {
    let (a, b) = (root.join("a"), root.join("b"));
    let file = disk.create(&a).unwrap();
    disk.hard_link(&a, &b).unwrap();
    file.write_all_at(0, b"xy").unwrap();
    assert_eq!(disk.open(&b).unwrap().len().unwrap(), 2);
    disk.remove(&a).unwrap();
    assert_eq!(disk.open(&b).unwrap().len().unwrap(), 2);
    disk.create(&a).unwrap();
    assert_eq!(kind(disk.hard_link(&a, &b)), ErrorKind::AlreadyExists);
}

fn lists_are_sorted(disk: &dyn Disk, root: &Path) {
    for name in ["b", "c", "a-1"] {
        disk.create(&root.join(name)).unwrap().write_all_at(0, name.as_bytes()).unwrap();
    }
    disk.create_dir_all(&root.join("a/deep")).unwrap();
    let entry = |name: &str, len, is_dir| Entry { name: name.to_owned(), len, is_dir };
    let expected = [entry("a", 0, true), entry("a-1", 3, false), entry("b", 1, false)];
    let listed = disk.list(root).unwrap();
    assert_eq!(listed[..3], expected);
    assert_eq!(listed.len(), 4);
}

fn trees_go_whole(disk: &dyn Disk, root: &Path) {
    let tree = root.join("t");
    disk.create_dir_all(&tree.join("x/y")).unwrap();
    disk.create_dir_all(&tree.join("x/y")).unwrap();
    disk.create(&tree.join("x/y/z")).unwrap();
    disk.create(&root.join("t2")).unwrap();
    disk.remove_dir_all(&tree).unwrap();
    assert!(!disk.exists(&tree).unwrap());
    assert!(!disk.exists(&tree.join("x/y/z")).unwrap());
    assert!(disk.exists(&root.join("t2")).unwrap());
}

fn errors_are_named(disk: &dyn Disk, root: &Path) {
    assert_eq!(kind(disk.create(&root.join("no/file"))), ErrorKind::NotFound);
    assert_eq!(kind(disk.list(&root.join("no"))), ErrorKind::NotFound);
    assert_eq!(kind(disk.sync_dir(&root.join("no"))), ErrorKind::NotFound);
    assert_eq!(kind(disk.remove_dir_all(&root.join("no"))), ErrorKind::NotFound);
    let file = root.join("file");
    disk.create(&file).unwrap();
    assert!(disk.create_dir_all(&file.join("below")).is_err());
}

fn a_lock_is_exclusive_and_names_its_holder(disk: &dyn Disk, root: &Path) {
    let path = root.join("LOCK");
    let held = disk.lock(&path, "helenus test").unwrap();
    assert_eq!(held.path(), path);
    let refused = disk.lock(&path, "somebody else").err().unwrap();
    assert!(refused.source.is_none());
    let text = refused.to_string();
    assert!(text.contains("in use by helenus test"), "{text}");
    drop(held);
    disk.lock(&path, "somebody else").unwrap();
    assert!(disk.lock(&root.join("no/LOCK"), "x").err().unwrap().source.is_some());
}
