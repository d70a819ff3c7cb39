//! Executing a statement, and printing its answer page by page.

use std::sync::Arc;

use cql_lite::types::CqlType;
use cql_lite::types::text::{cast_text, json};
use cql_lite::wire::{ColumnSpec, Query, Request, Response, ResultBody, Rows};

use super::copy::csv;
use super::failure::Failure;
use super::print::paint::{Paint, painted};
use super::print::table::Page;
use super::print::value::ValueStyle;
use super::schema::{ColumnKind, Schema};
use super::session::{Format, Session};
use super::sink;
use super::trace;

/// Sends a statement to the node and prints what it answers.
pub(super) fn execute(session: &mut Session, text: &str) -> Result<(), Failure> {
    let began = session.now();
    let mut state: Option<Vec<u8>> = None;
    let mut printed = 0;
    let mut printer: Option<Printer> = None;
    let mut warnings: Vec<String> = Vec::new();
    let mut traces = Vec::new();
    loop {
        let options = session.options(state.as_deref());
        let tracing = session.settings.tracing;
        let body = session.ask(&Request::Query(Query { text, options }), tracing)?;
        match body.response {
            Response::Result(ResultBody::Rows(rows)) => {
                let first = printer.is_none();
                let printer = printer.get_or_insert_with(|| Printer::new(session, &rows));
                printer.page(session, &rows, first, printed)?;
                printed += rows.len();
                state = rows.metadata.paging_state;
            }
            Response::Result(ResultBody::SetKeyspace(keyspace)) => {
                session.keyspace = Some(keyspace);
            }
            Response::Result(ResultBody::SchemaChange(_)) => session.forget_schema(),
            Response::Result(ResultBody::Void) => {}
            other => return Err(Failure::unexpected(&other)),
        }
        for warning in body.warnings {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        traces.extend(body.tracing_id);
        if state.is_none() {
            break;
        }
        let waits = session.settings.interactive && session.sink.is_screen();
        if waits && !sink::more()? {
            break;
        }
    }
    if let Some(printer) = printer {
        printer.end(session, printed)?;
    }
    warn(session, &warnings)?;
    for id in traces {
        trace::print_session(session, &id)?;
    }
    time(session, began)
}

/// Prints how long a statement took, if that is asked for.
pub(super) fn time(session: &mut Session, began: std::time::Duration) -> Result<(), Failure> {
    if session.settings.timing {
        let millis = (session.now() - began).as_secs_f64() * 1_000.0;
        session.sink.answer(&format!("\nTime: {millis:.3} ms\n"))?;
    }
    Ok(())
}

fn warn(session: &mut Session, warnings: &[String]) -> Result<(), Failure> {
    if warnings.is_empty() {
        return Ok(());
    }
    let mut text = "\nWarnings :\n".to_owned();
    for warning in warnings {
        text.push_str(warning);
        text.push_str("\n\n");
    }
    if session.settings.format == Format::Table {
        session.sink.answer(&text)
    } else {
        // What reads JSON or CSV does not expect it between the rows.
        eprint!("{text}");
        Ok(())
    }
}

/// Prints the pages of one answer.
struct Printer {
    columns: Vec<ColumnSpec>,
    names: Vec<String>,
    style: ValueStyle,
}

impl Printer {
    fn new(session: &mut Session, rows: &Rows) -> Self {
        let columns = rows.metadata.columns.clone().unwrap_or_default();
        let visible = session.sink.is_screen() || session.settings.force_colors;
        let colors = session.settings.colors && visible;
        // Without the schema the names have one colour only: no reason not to print the rows.
        let schema = if colors { session.schema().ok() } else { None };
        let names = columns.iter().map(|column| name(column, colors, schema.as_ref())).collect();
        Printer { columns, names, style: ValueStyle::table(colors) }
    }

    fn page(
        &self,
        session: &mut Session,
        rows: &Rows,
        first: bool,
        before: usize,
    ) -> Result<(), Failure> {
        match session.settings.format {
            Format::Table => self.table(session, rows, first, before),
            Format::Json => {
                let mut text = String::new();
                for row in rows.iter() {
                    json_line(&mut text, &self.columns, &row)?;
                }
                session.sink.answer(&text)
            }
            Format::Csv => {
                let mut text = String::new();
                if first {
                    let names = self.columns.iter().map(|column| column.name.as_str());
                    csv::write_names(&mut text, names);
                }
                let style = ValueStyle::file();
                for row in rows.iter() {
                    let types = self.columns.iter().map(|column| &column.ty);
                    csv::Dialect::default().write_row(&mut text, types.zip(row), &style);
                }
                session.sink.answer(&text)
            }
        }
    }

    fn table(
        &self,
        session: &mut Session,
        rows: &Rows,
        first: bool,
        before: usize,
    ) -> Result<(), Failure> {
        if rows.is_empty() && !first {
            return Ok(());
        }
        let print = |(column, bytes): (&ColumnSpec, Option<&[u8]>)| {
            let mut cell = String::new();
            self.style.print(&mut cell, &column.ty, bytes);
            cell
        };
        let page = Page {
            names: self.names.clone(),
            rows: rows
                .iter()
                .map(|row| self.columns.iter().zip(row).map(print).collect())
                .collect(),
        };
        let mut text = if first { "\n".to_owned() } else { String::new() };
        if session.settings.expand && !rows.is_empty() {
            text.push_str(&page.expanded(before));
        } else {
            text.push_str(&page.table(first || session.sink.is_screen()));
        }
        session.sink.answer(&text)
    }

    fn end(&self, session: &mut Session, printed: usize) -> Result<(), Failure> {
        match session.settings.format {
            Format::Table => {
                let gap = if session.settings.expand && printed > 0 { "" } else { "\n" };
                session.sink.answer(&format!("{gap}({printed} rows)\n"))
            }
            Format::Json | Format::Csv => Ok(()),
        }
    }
}

fn name(column: &ColumnSpec, colors: bool, schema: Option<&Arc<Schema>>) -> String {
    let columns = schema.and_then(|schema| schema.columns(Some(&column.keyspace), &column.table));
    let known = columns.unwrap_or_default().iter().find(|known| known.name == column.name);
    let with = match known.map(|column| column.kind) {
        Some(ColumnKind::PartitionKey) => Paint::PartitionKey,
        Some(ColumnKind::Clustering) => Paint::Clustering,
        Some(ColumnKind::Static) => Paint::Static,
        Some(ColumnKind::Regular) | None => Paint::Column,
    };
    painted(colors, with, &column.name)
}

/// Appends a row as a JSON object on a line of its own.
pub(super) fn json_line(
    out: &mut String,
    columns: &[ColumnSpec],
    row: &[Option<&[u8]>],
) -> Result<(), Failure> {
    out.push('{');
    for (index, (column, bytes)) in columns.iter().zip(row).enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        out.push_str(&json::quote(&column.name));
        out.push_str(": ");
        out.push_str(&json_value(&column.ty, *bytes)?);
    }
    out.push_str("}\n");
    Ok(())
}

fn json_value(ty: &CqlType, bytes: Option<&[u8]>) -> Result<String, Failure> {
    let printed = json::to_json(ty, bytes);
    printed.map_err(|error| Failure::Failed(format!("a value of type {ty}: {}", error.message)))
}

/// The text of a value, without quotes.
pub(super) fn plain(ty: &CqlType, bytes: Option<&[u8]>) -> String {
    bytes.and_then(|bytes| cast_text(ty, bytes).ok()).unwrap_or_default()
}
