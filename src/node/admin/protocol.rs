//! What is said over the admin socket: one line of JSON each way, then it is closed.
//!
//! ```text
//! -> {"version":1,"command":"flush","keyspace":"shop","tables":["orders"]}
//! <- {"version":1,"result":null}
//! <- {"version":1,"error":"..."}
//! ```
//!
//! A request has at most [`REQUEST_BYTES_MAX`], an answer at most [`RESPONSE_BYTES_MAX`]. A node
//! answers a version that it does not speak with an error that says which it does.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The version of what is said.
pub const VERSION: u32 = 1;
/// Longest request, its line end included.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Longest answer.
pub const RESPONSE_BYTES_MAX: usize = 64 << 20;

/// Where the socket of the node on `data_dir` is.
#[must_use]
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.sock")
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// See [`VERSION`].
    pub version: u32,
    /// What to do.
    #[serde(flatten)]
    pub command: Command,
}

/// What a node can be asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum Command {
    /// The node among the cluster's; answers a list of [`super::NodeStatus`].
    Status,
    /// The tokens of all nodes; answers a list of [`super::RingToken`].
    Ring {
        /// What is owned counts the replicas of this keyspace; none: whose the tokens are.
        keyspace: Option<String>,
    },
    /// The node; answers [`super::NodeInfo`].
    Info,
    /// Writes memtables to SSTables, and waits for it.
    Flush(Scope),
    /// Merges all SSTables of each table, and waits for it.
    Compact(Scope),
    /// Takes no more requests, and flushes everything.
    Drain,
    /// Leaves the cluster for good, and waits for it.
    Decommission {
        /// Also if a keyspace cannot keep all its replicas.
        force: bool,
    },
    /// Answers a list of [`super::TableFigures`].
    TableStats {
        /// Keyspaces, and tables as `keyspace.table`; none: all.
        names: Vec<String>,
    },
    /// Takes damaged SSTables out of their tables; answers where their files are now.
    SetAside {
        /// Their paths, or the names of their files.
        files: Vec<String>,
    },
    /// Takes a snapshot; answers its tag.
    Snapshot {
        /// Its name; none: the time in milliseconds.
        tag: Option<String>,
        /// Keyspaces, and tables as `keyspace.table`; none: all.
        names: Vec<String>,
    },
    /// Answers a list of [`super::super::ListedSnapshot`].
    ListSnapshots,
    /// Removes a snapshot, or all; answers which.
    ClearSnapshot {
        /// Which; none: all.
        tag: Option<String>,
    },
}

/// Some tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Of this keyspace; none: of all.
    pub keyspace: Option<String>,
    /// These; none: all.
    pub tables: Vec<String>,
}

/// An answer: a result or an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// See [`VERSION`].
    pub version: u32,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<serde_json::Value>,
    /// Why it could not be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_lines_are_what_is_said() {
        let line = r#"{"version":1,"command":"flush","keyspace":"shop","tables":["orders"]}"#;
        let request: Request = serde_json::from_str(line).unwrap();
        let scope = Scope { keyspace: Some("shop".into()), tables: vec!["orders".into()] };
        assert_eq!(request, Request { version: 1, command: Command::Flush(scope) });
        assert_eq!(serde_json::to_string(&request).unwrap(), line);
        assert!(serde_json::from_str::<Request>(r#"{"version":1,"command":"explode"}"#).is_err());
    }
}
