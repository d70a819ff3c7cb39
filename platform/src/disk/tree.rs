//! The names of a file system in memory: what exists, what is a directory, what stands where.
//!
//! Shared by the disks that live in memory; `F` is what they keep for a file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::Entry;

/// What a name stands for.
#[derive(Debug, Clone)]
pub(super) enum Node<F> {
    Dir,
    File(F),
}

/// Names and what they stand for. `/` and the empty path are always directories.
///
/// Paths order by component, so everything below a directory follows it without a gap.
#[derive(Debug, Clone)]
pub(super) struct Tree<F>(BTreeMap<PathBuf, Node<F>>);

impl<F> Default for Tree<F> {
    fn default() -> Self {
        Tree(BTreeMap::new())
    }
}

fn is_root(path: &Path) -> bool {
    path.parent().is_none()
}

impl<F: Clone> Tree<F> {
    pub(super) fn exists(&self, path: &Path) -> bool {
        is_root(path) || self.0.contains_key(path)
    }

    pub(super) fn is_dir(&self, path: &Path) -> bool {
        is_root(path) || matches!(self.0.get(path), Some(Node::Dir))
    }

    pub(super) fn check_dir(&self, path: &Path) -> io::Result<()> {
        if self.is_dir(path) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<F> {
        match self.0.get(path) {
            Some(Node::File(file)) => Ok(file.clone()),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None if is_root(path) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Checks that a file may be put under `path`, replacing a file of that name.
    pub(super) fn check_place(&self, path: &Path) -> io::Result<()> {
        if self.is_dir(path) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        path.parent().map_or(Ok(()), |parent| self.check_dir(parent))
    }

    /// Checks that `path` is free and its parent a directory.
    pub(super) fn check_absent(&self, path: &Path) -> io::Result<()> {
        if self.exists(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.check_place(path)
    }

    /// Puts a node under a name, or takes the name away; no check is made.
    pub(super) fn set(&mut self, path: &Path, node: Option<Node<F>>) {
        match node {
            Some(node) => drop(self.0.insert(path.to_path_buf(), node)),
            None => drop(self.0.remove(path)),
        }
    }

    pub(super) fn list(&self, dir: &Path, len: impl Fn(&F) -> u64) -> io::Result<Vec<Entry>> {
        self.check_dir(dir)?;
        let mut entries = Vec::new();
        for (path, node) in self.below(dir).filter(|(path, _)| path.parent() == Some(dir)) {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let (len, is_dir) = match node {
                Node::Dir => (0, true),
                Node::File(file) => (len(file), false),
            };
            entries.push(Entry { name: name.to_owned(), len, is_dir });
        }
        entries.sort();
        Ok(entries)
    }

    /// Everything strictly below `dir`, in order of path.
    pub(super) fn below<'a>(
        &'a self,
        dir: &'a Path,
    ) -> impl Iterator<Item = (&'a PathBuf, &'a Node<F>)> {
        let from = self.0.range(dir.to_path_buf()..);
        from.filter(move |(path, _)| path.as_path() != dir)
            .take_while(move |(path, _)| path.starts_with(dir))
    }

    /// The directories that are missing for `dir` to exist, uppermost first.
    pub(super) fn missing_dirs(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut missing = Vec::new();
        for part in dir.ancestors().filter(|part| !is_root(part)) {
            match self.0.get(part) {
                Some(Node::Dir) => {}
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => missing.push(part.to_path_buf()),
            }
        }
        missing.reverse();
        Ok(missing)
    }

    /// Takes away every name whose directory does not exist.
    pub(super) fn drop_orphans(&mut self) {
        let mut kept = Tree::default();
        for (path, node) in std::mem::take(&mut self.0) {
            if path.parent().is_none_or(|parent| kept.is_dir(parent)) {
                kept.0.insert(path, node);
            }
        }
        *self = kept;
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&PathBuf, &F)> {
        self.0.iter().filter_map(|(path, node)| match node {
            Node::File(file) => Some((path, file)),
            Node::Dir => None,
        })
    }

    /// The same names, each file replaced by what `replace` makes of it.
    pub(super) fn map(&self, mut replace: impl FnMut(&F) -> F) -> Self {
        let copy = |(path, node): (&PathBuf, &Node<F>)| {
            let node = match node {
                Node::Dir => Node::Dir,
                Node::File(file) => Node::File(replace(file)),
            };
            (path.clone(), node)
        };
        Tree(self.0.iter().map(copy).collect())
    }
}
