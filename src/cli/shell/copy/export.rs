//! COPY TO: ranges of tokens are read by several connections and written as they come.
#![expect(clippy::disallowed_methods, reason = "files that the user names, not the database's")]

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use cql_lite::wire::{
    BoundValue, ColumnSpec, Execute, Prepare, Prepared, QueryOptions, Request, Response,
    ResultBody, Rows, ValuesBuilder,
};
use helenus_platform::channel::{Receiver, Sender, bounded};
use helenus_platform::runtime::Runtime;

use super::options::{CopyCommand, CopyOptions};
use super::progress::Progress;
use super::{Door, Table, quoted_list};
use crate::cli::shell::batch::user_path;
use crate::cli::shell::connection::{Connection, is_wrong_request};
use crate::cli::shell::execute::json_line;
use crate::cli::shell::failure::Failure;
use crate::cli::shell::session::Session;
use crate::cli::shell::wait::{Ended, attend, within};

/// Ranges for each connection: so many that the last ones end at about the same time.
const RANGES_PER_CONNECTION: usize = 8;
/// Printed pages that wait for the writer.
const PAGES_WAITING: usize = 16;

/// What a worker has to say.
enum Report {
    /// So many rows, printed.
    Rows(u64, String),
    Failed(Failure),
}

struct Plan {
    select: String,
    /// Ranges of tokens, the lower end excluded; one without bounds where there are no tokens.
    ranges: Vec<Option<(i64, i64)>>,
    next: AtomicUsize,
    options: CopyOptions,
    session_options: QueryOptions<'static>,
}

/// Copies the rows of `table` to where the command says.
pub(super) fn run(
    session: &mut Session,
    command: &CopyCommand,
    table: &Table,
) -> Result<(), Failure> {
    let mut table = table.clone();
    table.copied.retain(|name| !command.options.skip_columns.contains(name));
    let options = &command.options;
    let path = command.file.as_deref().map(user_path);
    let mut out: Box<dyn Write> = match &path {
        Some(path) => Box::new(BufWriter::with_capacity(
            1 << 20,
            File::create(path).map_err(|error| Failure::file(path, &error))?,
        )),
        None => Box::new(std::io::stdout()),
    };
    let wrote = |done: std::io::Result<()>| {
        done.map_err(|error| match (&path, error.kind()) {
            (None, std::io::ErrorKind::BrokenPipe) => Failure::OutputClosed,
            (path, _) => Failure::file(path.as_deref().unwrap_or("STDOUT".as_ref()), &error),
        })
    };
    if options.header && !options.json {
        let mut line = String::new();
        options.dialect.write_texts(&mut line, table.copied.iter().map(String::as_str));
        wrote(out.write_all(line.as_bytes()))?;
    }
    let mut reports = start(session, &table, options);
    let visible = path.is_some() && std::io::stderr().is_terminal();
    let mut progress = Progress::new(visible, None, session.now(), options.report_every);
    let mut rows = 0;
    while rows < options.rows_max {
        let Some(report) = next(session, &mut reports)? else { break };
        match report {
            Report::Rows(count, text) => {
                let room = options.rows_max - rows;
                let text = if count > room { first_records(&text, room, options) } else { &text };
                wrote(out.write_all(text.as_bytes()))?;
                rows += count.min(room);
            }
            Report::Failed(failure) => return Err(failure),
        }
        progress.show(session.now(), rows, 0);
    }
    wrote(out.flush())?;
    let sum = progress.end(session.now(), rows, "exported");
    if path.is_some() {
        crate::cli::shell::sink::Sink::say(&sum)?;
    }
    Ok(())
}

/// The next report; Ctrl-C ends the copy.
fn next(session: &mut Session, reports: &mut Receiver<Report>) -> Result<Option<Report>, Failure> {
    if let Poll::Ready(report) = reports.try_recv() {
        return Ok(report);
    }
    let runtime = session.runtime.clone();
    let limit = std::time::Duration::from_secs(86_400);
    let waiting = attend(runtime.as_ref(), &mut session.interrupts, limit, reports.recv());
    match runtime.block_on(waiting) {
        Ended::Done(report) => Ok(report),
        Ended::Interrupted => Err(Failure::Interrupted),
        Ended::TimedOut => Err(Failure::Failed("nothing came for a day".to_owned())),
    }
}

/// The first `count` records of printed ones.
fn first_records<'a>(text: &'a str, count: u64, options: &CopyOptions) -> &'a str {
    let mut at = 0;
    let mut fields = Vec::new();
    for _ in 0..count {
        let rest = text.as_bytes().get(at..).unwrap_or_default();
        at += if options.json {
            rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1)
        } else {
            options.dialect.read(rest, &mut fields).0
        };
    }
    text.get(..at).unwrap_or(text)
}

fn start(session: &Session, table: &Table, options: &CopyOptions) -> Receiver<Report> {
    let columns = quoted_list(&table.copied);
    let from = format!("SELECT {columns} FROM {}", table.display());
    let key = table.partition_key();
    // Tables that the node makes up have no ranges of tokens.
    let is_virtual = ["system_views", "system_virtual_schema"].contains(&table.keyspace.as_str());
    let (select, ranges) = if is_virtual {
        (from, vec![None])
    } else {
        let select = format!("{from} WHERE token({key}) > ? AND token({key}) <= ?");
        (select, ranges(options).into_iter().map(Some).collect())
    };
    let plan = Arc::new(Plan {
        select,
        ranges,
        next: AtomicUsize::new(0),
        options: options.clone(),
        session_options: session.options(None),
    });
    let (sender, reports) = bounded(PAGES_WAITING);
    for _ in 0..options.connections.min(plan.ranges.len()) {
        let (plan, sender, door) = (plan.clone(), sender.clone(), Door::new(session));
        let work = async move {
            if let Err(failure) = work(&plan, &door, &sender).await {
                // Nobody listens any more if the copy has ended already.
                drop(sender.send(Report::Failed(failure)).await);
            }
        };
        session.runtime.spawn_worker("copy", Box::pin(work));
    }
    reports
}

/// The tokens between the ends that were asked for, in equal parts.
fn ranges(options: &CopyOptions) -> Vec<(i64, i64)> {
    let (begin, end) = (i128::from(options.begin_token), i128::from(options.end_token));
    let parts = (options.connections * RANGES_PER_CONNECTION) as i128;
    let bound = |part: i128| {
        let token = begin + (end - begin).max(0) * part / parts;
        i64::try_from(token).unwrap_or(i64::MAX)
    };
    (0..parts).map(|part| (bound(part), bound(part + 1))).filter(|(low, high)| low < high).collect()
}

async fn work(plan: &Plan, door: &Door, out: &Sender<Report>) -> Result<(), Failure> {
    let mut reader = None;
    while let Some(range) = plan.ranges.get(plan.next.fetch_add(1, Ordering::Relaxed)) {
        let mut state: Option<Vec<u8>> = None;
        loop {
            let rows = page(plan, door, &mut reader, *range, state.as_deref()).await?;
            let Some((_, prepared)) = &reader else { return Ok(()) };
            let columns = prepared.columns.as_deref().unwrap_or_default();
            let text = print(plan, columns, &rows)?;
            if out.send(Report::Rows(rows.len() as u64, text)).await.is_err() {
                return Ok(());
            }
            state = rows.metadata.paging_state;
            if state.is_none() {
                break;
            }
        }
    }
    Ok(())
}

fn print(plan: &Plan, columns: &[ColumnSpec], rows: &Rows) -> Result<String, Failure> {
    let mut text = String::new();
    for row in rows.iter() {
        if plan.options.json {
            json_line(&mut text, columns, &row)?;
        } else {
            let cells = columns.iter().map(|column| &column.ty).zip(row);
            plan.options.dialect.write_row(&mut text, cells, &plan.options.style);
        }
    }
    Ok(text)
}

/// Reads a page, on a new connection if the old one breaks or does not answer.
async fn page(
    plan: &Plan,
    door: &Door,
    reader: &mut Option<(Connection, Prepared)>,
    range: Option<(i64, i64)>,
    state: Option<&[u8]>,
) -> Result<Rows, Failure> {
    let mut attempt = 1;
    loop {
        let reading = read(plan, door, reader, range, state);
        let timeout = plan.options.page_timeout;
        let read = within(door.runtime.as_ref(), timeout, reading).await;
        let failure = match read {
            Some(Ok(rows)) => return Ok(rows),
            Some(Err(failure)) => failure,
            None => Failure::lost(format!(
                "no page within {} s; PAGETIMEOUT waits longer",
                timeout.as_secs()
            )),
        };
        *reader = None;
        let wrong = matches!(&failure, Failure::Refused(error) if is_wrong_request(error));
        if wrong || attempt >= plan.options.attempts {
            return Err(failure);
        }
        attempt += 1;
    }
}

async fn read(
    plan: &Plan,
    door: &Door,
    reader: &mut Option<(Connection, Prepared)>,
    range: Option<(i64, i64)>,
    state: Option<&[u8]>,
) -> Result<Rows, Failure> {
    let (connection, prepared) = match reader {
        Some(reader) => reader,
        None => {
            let mut connection = door.open().await?;
            let prepare = Request::Prepare(Prepare { text: &plan.select, keyspace: None });
            let body = connection.ask(&prepare, false).await?;
            let Response::Result(ResultBody::Prepared(prepared)) = body.response else {
                return Err(Failure::unexpected(&body.response));
            };
            reader.insert((connection, prepared))
        }
    };
    let mut values = ValuesBuilder::positional();
    if let Some((low, high)) = range {
        for token in [low, high] {
            let pushed = values.push(BoundValue::Bytes(&token.to_be_bytes()));
            pushed.map_err(|error| Failure::Failed(error.to_string()))?;
        }
    }
    let options = QueryOptions {
        values: values.values(),
        skip_metadata: true,
        page_size: Some(plan.options.page_rows),
        paging_state: state,
        ..plan.session_options
    };
    let (id, metadata) = (&prepared.id, &prepared.result_metadata_id);
    let execute = Execute { id, result_metadata_id: Some(metadata), options };
    let body = connection.ask(&Request::Execute(execute), false).await?;
    match body.response {
        Response::Result(ResultBody::Rows(rows)) => Ok(rows),
        other => Err(Failure::unexpected(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_the_ring_without_overlap() {
        let all = ranges(&CopyOptions::default());
        assert_eq!((all[0].0, all[all.len() - 1].1), (i64::MIN, i64::MAX));
        assert!(all.windows(2).all(|pair| pair[0].1 == pair[1].0));
        let few = CopyOptions { begin_token: 5, end_token: 7, ..CopyOptions::default() };
        assert_eq!(ranges(&few), [(5, 6), (6, 7)]);
        let none = CopyOptions { begin_token: 7, end_token: 5, ..CopyOptions::default() };
        assert!(ranges(&none).is_empty());
    }

    #[test]
    fn a_page_is_cut_between_records() {
        let options = CopyOptions::default();
        assert_eq!(first_records("a\n\"b\nc\"\nd\n", 2, &options), "a\n\"b\nc\"\n");
    }
}
