//! DESCRIBE: the node answers with rows; this prints them as cqlsh does.

use std::collections::BTreeMap;

use cql_lite::wire::{Query, Request, Response, ResultBody, Rows};

use super::execute::plain;
use super::failure::Failure;
use super::print::table::columnize;
use super::session::Session;

/// Sends a DESCRIBE statement and prints its answer.
pub(super) fn describe(session: &mut Session, text: &str) -> Result<(), Failure> {
    let mut rows = Described::default();
    let mut state: Option<Vec<u8>> = None;
    loop {
        let options = session.options(state.as_deref());
        let body = session.ask(&Request::Query(Query { text, options }), false)?;
        let Response::Result(ResultBody::Rows(page)) = body.response else {
            return Err(Failure::unexpected(&body.response));
        };
        rows.add(&page);
        state = page.metadata.paging_state;
        if state.is_none() {
            break;
        }
    }
    let columns = session.sink.columns();
    let text = if rows.has("create_statement") {
        rows.texts("create_statement").map(|statement| format!("\n{statement}\n")).collect()
    } else if rows.has("cluster") {
        rows.cluster()
    } else if rows.texts("type").all(|kind| kind == "keyspace") {
        let names: Vec<_> = rows.texts("name").collect();
        format!("\n{}\n", columnize(&names, columns))
    } else {
        rows.lists(session.keyspace.as_deref(), columns)
    };
    session.sink.answer(&text)
}

/// The rows of all pages, by the names of the columns.
#[derive(Default)]
struct Described {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Described {
    fn add(&mut self, page: &Rows) {
        let columns = page.metadata.columns.as_deref().unwrap_or_default();
        self.names = columns.iter().map(|column| column.name.clone()).collect();
        for row in page.iter() {
            let texts = columns.iter().zip(row).map(|(column, bytes)| plain(&column.ty, bytes));
            self.rows.push(texts.collect());
        }
    }

    fn has(&self, column: &str) -> bool {
        self.names.iter().any(|name| name == column)
    }

    fn texts(&self, column: &str) -> impl Iterator<Item = String> {
        let index = self.names.iter().position(|name| name == column).unwrap_or(usize::MAX);
        self.rows.iter().map(move |row| row.get(index).cloned().unwrap_or_default())
    }

    fn cluster(&self) -> String {
        let mut out = String::new();
        let first = |column| self.texts(column).next().unwrap_or_default();
        out.push_str(&format!("\nCluster: {}\n", first("cluster")));
        out.push_str(&format!(
            "Partitioner: {}\nSnitch: {}\n",
            first("partitioner"),
            first("snitch")
        ));
        if self.has("range_ownership") {
            out.push_str(&format!("\nRange ownership:\n{}\n", first("range_ownership")));
        }
        out.push('\n');
        out
    }

    /// Names of tables, types and so on, under the names of their keyspaces.
    fn lists(&self, keyspace: Option<&str>, columns: usize) -> String {
        let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (owner, name) in self.texts("keyspace_name").zip(self.texts("name")) {
            lists.entry(owner).or_default().push(name);
        }
        let mut out = String::new();
        for (owner, names) in lists {
            out.push('\n');
            if keyspace.is_none() {
                out.push_str(&format!("Keyspace {owner}\n---------{}\n", "-".repeat(owner.len())));
            }
            out.push_str(&columnize(&names, columns));
        }
        if out.is_empty() { "\n<empty>\n\n".to_owned() } else { out + "\n" }
    }
}
