//! COPY: rows of a table to a file and back.
//!
//! ```text
//! TO     ranges of tokens -> several connections, each reads pages and prints them -> one writer
//! FROM   one reader cuts the file into chunks of whole records -> several connections, each
//!        parses its chunk and keeps many prepared INSERTs under way; what fails goes to a file
//! ```
//!
//! All queues between them are bounded.

pub(super) mod csv;
mod export;
mod import;
mod ingest;
mod literal;
pub(super) mod options;
mod progress;

use std::sync::Arc;

use cql_lite::types::names::maybe_quote;
use helenus_platform::net::Network;
use helenus_platform::runtime::TokioRuntime;

use super::connection::{Connection, Login};
use super::failure::Failure;
use super::schema::{Column, ColumnKind};
use super::session::Session;
use options::CopyCommand;

/// A table, and the columns of it that are copied.
#[derive(Debug, Clone)]
struct Table {
    keyspace: String,
    name: String,
    /// All columns, keys first.
    all: Vec<Column>,
    /// The names of those that are copied, in the order of the file.
    copied: Vec<String>,
}

/// How workers get connections of their own.
#[derive(Clone)]
struct Door {
    runtime: Arc<TokioRuntime>,
    network: Arc<dyn Network>,
    address: std::net::SocketAddr,
    login: Login,
}

impl Door {
    fn new(session: &Session) -> Self {
        Door {
            runtime: session.runtime.clone(),
            network: session.target.network.clone(),
            address: session.target.address,
            login: session.login.clone(),
        }
    }

    async fn open(&self) -> Result<Connection, Failure> {
        let (network, runtime) = (self.network.as_ref(), self.runtime.as_ref());
        Connection::open(network, runtime, self.address, &self.login).await
    }
}

/// Runs a COPY command.
pub(super) fn run(session: &mut Session, text: &str) -> Result<(), Failure> {
    let command = options::parse(text)?;
    let table = Table::find(session, &command)?;
    if command.to {
        export::run(session, &command, &table)
    } else {
        import::run(session, &command, table)
    }
}

impl Table {
    fn find(session: &mut Session, command: &CopyCommand) -> Result<Self, Failure> {
        let keyspace = command.keyspace.clone().or_else(|| session.keyspace.clone());
        let keyspace = keyspace.ok_or_else(|| {
            Failure::Usage("no keyspace is in use: COPY <keyspace>.<table>".to_owned())
        })?;
        session.forget_schema();
        let schema = session.schema()?;
        let name = command.table.clone();
        let all = schema.columns(Some(&keyspace), &name).ok_or_else(|| {
            let tables = schema.keyspaces.get(&keyspace).map(|held| held.tables.keys());
            let near = tables
                .and_then(|tables| crate::suggest::nearest(&name, tables.map(String::as_str)));
            let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
            Failure::Usage(format!("table {keyspace}.{name} does not exist{near}"))
        })?;
        let all = all.to_vec();
        let mut table = Table { keyspace, name, all, copied: Vec::new() };
        table.copied = if command.columns.is_empty() {
            table.all.iter().map(|column| column.name.clone()).collect()
        } else {
            command.columns.clone()
        };
        table.check()?;
        Ok(table)
    }

    /// Refuses columns that the table does not have.
    fn check(&self) -> Result<(), Failure> {
        for name in &self.copied {
            if !self.all.iter().any(|column| column.name == *name) {
                let known = self.all.iter().map(|column| column.name.as_str());
                let near = crate::suggest::nearest(name, known);
                let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
                return Err(Failure::Usage(format!(
                    "{} has no column {name}{near}",
                    self.display()
                )));
            }
        }
        Ok(())
    }

    fn display(&self) -> String {
        format!("{}.{}", maybe_quote(&self.keyspace), maybe_quote(&self.name))
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.all.iter().find(|column| column.name == name)
    }

    /// The columns of the partition key, quoted, with commas.
    fn partition_key(&self) -> String {
        let key = self.all.iter().filter(|column| column.kind == ColumnKind::PartitionKey);
        key.map(|column| maybe_quote(&column.name)).collect::<Vec<_>>().join(", ")
    }
}

/// Names as they stand in a statement, with commas.
fn quoted_list(names: &[String]) -> String {
    names.iter().map(|name| maybe_quote(name)).collect::<Vec<_>>().join(", ")
}
