//! The operator's commands: each asks the node that runs on a data directory, over its admin
//! socket, and shows the answer as nodetool would, or as JSON.

mod show;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use helenus_platform::net::{connect_local, write_all};
use helenus_platform::runtime::TokioRuntime;
use serde_json::Value;

use crate::config::Config;
use crate::node::admin::protocol::{
    Command, RESPONSE_BYTES_MAX, Request, Response, Scope, VERSION, socket_path,
};
use crate::node::admin::read_line;

/// Commands for the node that runs on a data directory.
#[derive(Debug, Subcommand)]
pub(super) enum Operate {
    /// Show the nodes of the cluster: up or down, load, tokens
    #[command(
        after_help = "Examples:\n  helenus status\n  helenus status --json | jq '.[].status'"
    )]
    Status(Node),
    /// Show the tokens of all nodes in their order
    #[command(after_help = "Owns is the part of the ring that is the node's, or with a keyspace \
                            the part of its rows that the node has a replica of.\n\n\
                            Examples:\n  helenus ring\n  helenus ring shop")]
    Ring {
        #[command(flatten)]
        node: Node,
        /// Count the replicas of this keyspace
        keyspace: Option<String>,
    },
    /// Show what there is to know of the node
    #[command(after_help = "Examples:\n  helenus info\n  helenus info --tokens")]
    Info {
        #[command(flatten)]
        node: Node,
        /// List all tokens
        #[arg(short = 'T', long)]
        tokens: bool,
    },
    /// Write memtables to SSTables, and wait for it
    #[command(after_help = "Examples:\n  helenus flush\n  helenus flush shop\n  \
                            helenus flush shop orders customers")]
    Flush(Tables),
    /// Merge all SSTables of each table into one run, and wait for it
    #[command(after_help = "Purges what is deleted for longer than gc_grace_seconds.\n\n\
                            Examples:\n  helenus compact shop orders\n  helenus compact")]
    Compact(Tables),
    /// Serve no more requests, and flush everything; before an upgrade
    #[command(after_help = "The node goes on running and answers every request with an error \
                            that makes drivers try another node, until it is restarted.\n\n\
                            Examples:\n  helenus drain && systemctl restart helenus")]
    Drain(Node),
    /// Hand this node's data to the others, and leave the cluster for good
    #[command(
        after_help = "The node serves until its ranges are on the others, and then ends. It can \
                            only come back with an empty data directory.\n\n\
                            Examples:\n  helenus decommission\n  helenus decommission --force"
    )]
    Decommission {
        #[command(flatten)]
        node: Node,
        /// Also if a keyspace cannot keep all the replicas that it asks for
        #[arg(long)]
        force: bool,
    },
    /// Show figures of tables
    #[command(after_help = "Examples:\n  helenus tablestats shop\n  \
                            helenus tablestats shop.orders --json")]
    Tablestats {
        #[command(flatten)]
        node: Node,
        /// Keyspaces, and tables as KEYSPACE.TABLE [default: all]
        names: Vec<String>,
    },
    /// Take damaged SSTables out of their tables, and keep their files
    #[command(after_help = "A damaged SSTable is named by the log, `helenus info` and `helenus \
                            tablestats`; reads that need it fail. Better than to set it aside is \
                            to stop the node and to put the file back from a copy. What only it \
                            held is missing afterwards, and rows that it deleted may be back; the \
                            file is kept in DATA_DIR/engine/damaged.\n\n\
                            Examples:\n  helenus setaside \
                            helenus-data/engine/tables/00000400/c34d0bff901502800000000000000000.sst")]
    Setaside {
        #[command(flatten)]
        node: Node,
        /// Paths or names of their files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<String>,
    },
    /// Keep the rows as they are now, by hard links, under a name
    #[command(after_help = "The snapshot is of one instant, over all its tables. It stands in \
                            DATA_DIR/snapshots/TAG; `helenus restore` is the way back.\n\n\
                            Examples:\n  helenus snapshot -t before-upgrade\n  \
                            helenus snapshot -t orders shop.orders shop.customers")]
    Snapshot {
        #[command(flatten)]
        node: Node,
        /// Its name [default: the time in milliseconds]
        #[arg(short, long, value_name = "TAG")]
        tag: Option<String>,
        /// Keyspaces, and tables as KEYSPACE.TABLE [default: all]
        names: Vec<String>,
    },
    /// List snapshots with the space that they take
    #[command(after_help = "True size is what clearing the snapshot would free.\n\n\
                            Examples:\n  helenus listsnapshots")]
    Listsnapshots(Node),
    /// Remove a snapshot, or all
    #[command(after_help = "Examples:\n  helenus clearsnapshot -t before-upgrade\n  \
                            helenus clearsnapshot --all")]
    Clearsnapshot {
        #[command(flatten)]
        node: Node,
        /// The snapshot's name
        #[arg(short, long, value_name = "TAG", required_unless_present = "all")]
        tag: Option<String>,
        /// Remove every snapshot
        #[arg(long, conflicts_with = "tag")]
        all: bool,
    },
}

/// Which node, and how the answer is shown.
#[derive(Debug, Args)]
pub(super) struct Node {
    /// The node's data directory [default: HELENUS_DATA_DIR, else ./helenus-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Some tables of a node.
#[derive(Debug, Args)]
pub(super) struct Tables {
    #[command(flatten)]
    node: Node,
    /// Only of this keyspace
    keyspace: Option<String>,
    /// Only these of its tables
    tables: Vec<String>,
}

impl Tables {
    fn split(self) -> (Node, Scope) {
        (self.node, Scope { keyspace: self.keyspace, tables: self.tables })
    }
}

/// How an answer is shown to a person.
type Show = fn(&mut dyn Write, Value) -> io::Result<()>;

/// Asks the node, and prints what it answers.
///
/// # Errors
/// What the node says, or that there is none.
pub(super) fn run(operate: Operate) -> Result<(), String> {
    let (node, command, show): (Node, Command, Show) = match operate {
        Operate::Status(node) => (node, Command::Status, show::status),
        Operate::Ring { node, keyspace } => (node, Command::Ring { keyspace }, show::ring),
        Operate::Info { node, tokens: false } => (node, Command::Info, show::info),
        Operate::Info { node, tokens: true } => (node, Command::Info, show::info_with_tokens),
        Operate::Flush(tables) => {
            let (node, scope) = tables.split();
            (node, Command::Flush(scope), show::nothing)
        }
        Operate::Compact(tables) => {
            let (node, scope) = tables.split();
            (node, Command::Compact(scope), show::nothing)
        }
        Operate::Drain(node) => (node, Command::Drain, show::nothing),
        Operate::Decommission { node, force } => {
            (node, Command::Decommission { force }, show::nothing)
        }
        Operate::Tablestats { node, names } => {
            (node, Command::TableStats { names }, show::tablestats)
        }
        Operate::Setaside { node, files } => (node, Command::SetAside { files }, show::setaside),
        Operate::Snapshot { node, tag, names } => {
            (node, Command::Snapshot { tag, names }, show::snapshot)
        }
        Operate::Listsnapshots(node) => (node, Command::ListSnapshots, show::listsnapshots),
        Operate::Clearsnapshot { node, tag, all: _ } => {
            (node, Command::ClearSnapshot { tag }, show::clearsnapshot)
        }
    };
    let from_environment = std::env::var_os("HELENUS_DATA_DIR").map(PathBuf::from);
    let data_dir = node.data_dir.or(from_environment).unwrap_or(Config::default().data_dir);
    let result = ask(&data_dir, command)?;
    let mut out = io::stdout().lock();
    let printed = if node.json {
        serde_json::to_writer_pretty(&mut out, &result)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        show(&mut out, result)
    };
    match printed {
        // Somebody like `head` has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.map_err(|error| format!("printing: {error}")),
    }
}

/// Asks the node on `data_dir`; its result.
fn ask(data_dir: &Path, command: Command) -> Result<Value, String> {
    let request = Request { version: VERSION, command };
    let mut line = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
    line.push(b'\n');
    let runtime = TokioRuntime::new(1).map_err(|e| format!("cannot start a thread: {e}"))?;
    let path = socket_path(data_dir);
    let answer = runtime.block_on(async {
        let mut stream = connect_local(&path).await.map_err(|e| nobody(data_dir, &path, &e))?;
        let lost = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                "the node ended before it had answered; its log says why".to_string()
            }
            _ => format!("talking to the node through {}: {error}", path.display()),
        };
        write_all(&mut *stream, &line).await.map_err(lost)?;
        read_line(&mut *stream, RESPONSE_BYTES_MAX).await.map_err(lost)
    })?;
    let response: Response = serde_json::from_slice(&answer)
        .map_err(|error| format!("the node's answer cannot be understood: {error}"))?;
    match response.error {
        Some(error) => Err(error),
        None => Ok(response.result.unwrap_or(Value::Null)),
    }
}

/// Why nobody could be asked.
fn nobody(data_dir: &Path, socket: &Path, error: &io::Error) -> String {
    let dir = data_dir.display();
    if !data_dir.exists() {
        return format!(
            "there is no data directory {dir}: say where the node's is with --data-dir"
        );
    }
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "no node runs on {dir} (a program that embeds the database cannot be asked); start \
             one with `helenus serve --data-dir {dir}`"
        ),
        io::ErrorKind::ConnectionRefused => format!(
            "no node runs on {dir}: the last one was killed; start it again with `helenus serve \
             --data-dir {dir}`"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "the node on {dir} takes commands only from the user who runs it ({})",
            socket.display()
        ),
        _ => format!("cannot reach the node on {dir} through {}: {error}", socket.display()),
    }
}
