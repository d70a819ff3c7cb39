//! COPY FROM: reads files in chunks of whole records and deals them out to the workers.
#![expect(clippy::disallowed_methods, reason = "files that the user names, not the database's")]

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use cql_lite::types::names::maybe_quote;
use helenus_platform::channel::{Receiver, SendError, Sender, bounded};
use helenus_platform::runtime::Runtime;

use super::csv::State;
use super::ingest::{Chunk, Plan, Tally, work};
use super::options::{CopyCommand, CopyOptions};
use super::progress::Progress;
use super::{Door, Table, quoted_list};
use crate::cli::shell::batch::user_path;
use crate::cli::shell::failure::Failure;
use crate::cli::shell::schema::ColumnKind;
use crate::cli::shell::session::Session;
use crate::cli::shell::sink::Sink;
use crate::cli::shell::wait::{Ended, attend};

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;
/// A record longer than this is none: a quote is not closed.
const RECORD_BYTES_MAX: usize = 256 << 20;
/// Chunks that wait for a worker.
const CHUNKS_WAITING: usize = 2;
/// How often to look whether a worker has room, or is done.
const LOOK: Duration = Duration::from_millis(2);
/// Failed rows of which the reason is printed.
const REASONS_MAX: u64 = 5;

/// Copies rows of the files that the command names to `table`.
pub(super) fn run(
    session: &mut Session,
    command: &CopyCommand,
    mut table: Table,
) -> Result<(), Failure> {
    let options = &command.options;
    let mut source = Source::open(command)?;
    let mut cutter = Cutter { options, buffer: Vec::new(), state: State::default(), scanned: 0 };
    if options.header && !options.json {
        let names = cutter.header(&mut source)?;
        if command.columns.is_empty() {
            table.copied = names;
            table.check()?;
        }
    }
    let plan = Arc::new(plan(session, &table, options)?);
    let tally = Arc::new(Tally::default());
    let (sender, mut done) = bounded::<()>(1);
    let mut workers = Vec::new();
    for _ in 0..options.connections {
        let (chunks, received) = bounded(CHUNKS_WAITING);
        let (plan, tally, door) = (plan.clone(), tally.clone(), Door::new(session));
        let alive = sender.clone();
        let working = async move {
            work(&plan, &door, &tally, received).await;
            // Gone with the last worker, which ends the wait for all of them.
            drop(alive);
        };
        session.runtime.spawn_worker("copy", Box::pin(working));
        workers.push(chunks);
    }
    drop(sender);
    let visible = std::io::stderr().is_terminal() && command.file.is_some();
    let progress = Progress::new(visible, source.bytes, session.now(), options.report_every);
    let mut copy =
        Copy { session, options, tally: &tally, progress, errors: Errors::new(&table, options) };
    let fed = copy.feed(&mut source, &mut cutter, &workers);
    if fed.is_err() {
        tally.stop.store(true, Ordering::SeqCst);
    }
    drop(workers);
    let ended = copy.finish(&mut done, source.read);
    let sum = copy.sum();
    Sink::say(&sum)?;
    fed.and(ended)?;
    let fatal = tally.fatal.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let failed =
        tally.parse_errors.load(Ordering::Relaxed) + tally.insert_errors.load(Ordering::Relaxed);
    match fatal {
        Some(failure) => Err(failure),
        None if failed > 0 => Err(Failure::Failed(format!("{failed} rows were not imported"))),
        None => Ok(()),
    }
}

fn plan(session: &Session, table: &Table, options: &CopyOptions) -> Result<Plan, Failure> {
    let is_left_out = |name: &String| options.skip_columns.contains(name);
    let names: Vec<String> =
        table.copied.iter().filter(|name| !is_left_out(name)).cloned().collect();
    for column in &table.all {
        let is_key = matches!(column.kind, ColumnKind::PartitionKey | ColumnKind::Clustering);
        if is_key && !names.contains(&column.name) {
            return Err(Failure::Usage(format!(
                "Primary key column '{}' missing or skipped",
                column.name
            )));
        }
    }
    let mut next = 0;
    let places = table.copied.iter().map(|name| {
        let place = (!is_left_out(name)).then_some(next);
        next += usize::from(place.is_some());
        place
    });
    let places = places.collect();
    let is_key = |name: &String| {
        let kind = table.column(name).map(|column| column.kind);
        matches!(kind, Some(ColumnKind::PartitionKey | ColumnKind::Clustering))
    };
    let key: Vec<bool> = names.iter().map(is_key).collect();
    let counter = table.all.iter().any(|column| column.ty == "counter");
    let ttl = options.ttl.map_or(String::new(), |ttl| format!(" USING TTL {ttl}"));
    let statement = if counter {
        counter_update(table, &names, &key)
    } else {
        let markers = vec!["?"; names.len()].join(", ");
        format!("INSERT INTO {} ({}) VALUES ({markers}){ttl}", table.display(), quoted_list(&names))
    };
    let (options, session_options) = (options.clone(), session.options(None));
    if counter {
        // The markers of an UPDATE stand in another order than the columns.
        let order = |keys: bool| names.iter().zip(&key).filter(move |(_, key)| **key == keys);
        let names: Vec<String> =
            order(false).chain(order(true)).map(|(name, _)| name.clone()).collect();
        let places =
            table.copied.iter().map(|name| names.iter().position(|known| known == name)).collect();
        let key = names.iter().map(is_key).collect();
        return Ok(Plan { statement, places, names, key, counter, options, session_options });
    }
    Ok(Plan { statement, places, names, key, counter, options, session_options })
}

/// Counters are added to.
fn counter_update(table: &Table, names: &[String], key: &[bool]) -> String {
    let parts = |keys: bool, form: &dyn Fn(&str) -> String| {
        let named = names.iter().zip(key).filter(|(_, key)| **key == keys);
        named.map(|(name, _)| form(&maybe_quote(name))).collect::<Vec<_>>()
    };
    let set = parts(false, &|name| format!("{name} = {name} + ?")).join(", ");
    let filter = parts(true, &|name| format!("{name} = ?")).join(" AND ");
    format!("UPDATE {} SET {set} WHERE {filter}", table.display())
}

struct Copy<'a> {
    session: &'a mut Session,
    options: &'a CopyOptions,
    tally: &'a Tally,
    progress: Progress,
    errors: Errors,
}

impl Copy<'_> {
    /// Cuts the source into chunks and deals them out.
    fn feed(
        &mut self,
        source: &mut Source,
        cutter: &mut Cutter<'_>,
        workers: &[Sender<Chunk>],
    ) -> Result<(), Failure> {
        let (mut skip, mut left) = (self.options.skip_rows, self.options.rows_max);
        let (began, mut dealt, mut turn) = (self.session.now(), 0_u64, 0_usize);
        while left > 0 && !self.tally.stop.load(Ordering::SeqCst) {
            let (wanted, skipping) = if skip > 0 { (skip, true) } else { (left, false) };
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(self.options.chunk_rows);
            let Some((bytes, rows)) = cutter.next(source, wanted)? else { break };
            if skipping {
                skip -= rows;
                continue;
            }
            left -= rows;
            let mut chunk = Chunk { bytes };
            while let Some(worker) = workers.get(turn % workers.len().max(1)) {
                turn += 1;
                match worker.try_send(chunk) {
                    Ok(()) => break,
                    Err(SendError::Full(back)) => chunk = back,
                    // The worker has said why in the tally.
                    Err(SendError::Closed(_)) => return Ok(()),
                }
                if turn.is_multiple_of(workers.len()) {
                    self.pause(source.read)?;
                }
            }
            dealt += rows;
            while let Some(rate) = self.options.rows_per_second {
                let due = Duration::from_secs_f64(dealt as f64 / rate as f64);
                if self.session.now().saturating_sub(began) >= due {
                    break;
                }
                self.pause(source.read)?;
            }
        }
        Ok(())
    }

    /// Waits a moment; meanwhile the line moves, and what failed is written down.
    fn pause(&mut self, bytes: u64) -> Result<(), Failure> {
        self.progress.show(self.session.now(), self.tally.inserted.load(Ordering::Relaxed), bytes);
        self.errors.take(self.tally)?;
        let runtime = self.session.runtime.clone();
        let waiting = std::future::pending::<()>();
        let pause = attend(runtime.as_ref(), &mut self.session.interrupts, LOOK, waiting);
        match runtime.block_on(pause) {
            Ended::Interrupted => Err(Failure::Interrupted),
            _ => Ok(()),
        }
    }

    /// Waits for the workers to end.
    fn finish(&mut self, done: &mut Receiver<()>, bytes: u64) -> Result<(), Failure> {
        let mut outcome = Ok(());
        while matches!(done.try_recv(), Poll::Pending) {
            if let Err(failure) = self.pause(bytes) {
                self.tally.stop.store(true, Ordering::SeqCst);
                outcome = Err(failure);
            }
        }
        self.errors.take(self.tally)?;
        outcome
    }

    fn sum(self) -> String {
        let inserted = self.tally.inserted.load(Ordering::Relaxed);
        let mut sum = self.progress.end(self.session.now(), inserted, "imported");
        if let Some((_, path)) = &self.errors.file {
            let written = self.errors.written;
            sum.push_str(&format!("{written} rows failed and are in {}\n", path.display()));
        }
        sum
    }
}

/// The file of rows that failed, made with the first of them.
struct Errors {
    path: PathBuf,
    file: Option<(File, PathBuf)>,
    written: u64,
}

impl Errors {
    fn new(table: &Table, options: &CopyOptions) -> Self {
        let name = || format!("import_{}_{}.err", table.keyspace, table.name);
        let path = user_path(&options.error_file.clone().unwrap_or_else(name));
        Errors { path, file: None, written: 0 }
    }

    fn take(&mut self, tally: &Tally) -> Result<(), Failure> {
        for (record, why) in tally.take_failed() {
            if self.file.is_none() {
                let file = OpenOptions::new().create(true).append(true).open(&self.path);
                let file = file.map_err(|error| Failure::file(&self.path, &error))?;
                self.file = Some((file, self.path.clone()));
            }
            if self.written < REASONS_MAX {
                eprintln!("Failed to import a row: {why}");
            }
            self.written += 1;
            let Some((file, path)) = &mut self.file else { continue };
            let mut record = record;
            if record.last() != Some(&b'\n') {
                record.push(b'\n');
            }
            file.write_all(&record).map_err(|error| Failure::file(path, &error))?;
        }
        Ok(())
    }
}

/// The files, one after the other, or standard input.
struct Source {
    files: std::vec::IntoIter<PathBuf>,
    current: Option<Box<dyn Read>>,
    bytes: Option<u64>,
    read: u64,
}

impl Source {
    fn open(command: &CopyCommand) -> Result<Self, Failure> {
        let Some(names) = &command.file else {
            let current: Option<Box<dyn Read>> = Some(Box::new(std::io::stdin()));
            return Ok(Source { files: Vec::new().into_iter(), current, bytes: None, read: 0 });
        };
        let whole = user_path(names);
        let paths = match File::open(&whole) {
            Ok(_) => vec![whole],
            Err(_) => names.split(',').map(|name| user_path(name.trim())).collect(),
        };
        let mut bytes = 0;
        for path in &paths {
            let known = File::open(path).and_then(|file| file.metadata());
            bytes += known.map_err(|error| Failure::file(path, &error))?.len();
        }
        Ok(Source { files: paths.into_iter(), current: None, bytes: Some(bytes), read: 0 })
    }

    /// Appends what comes next; false at the end of everything.
    fn read(&mut self, buffer: &mut Vec<u8>) -> Result<bool, Failure> {
        loop {
            if self.current.is_none() {
                let Some(path) = self.files.next() else { return Ok(false) };
                let file = File::open(&path).map_err(|error| Failure::file(&path, &error))?;
                self.current = Some(Box::new(file));
            }
            let Some(current) = &mut self.current else { return Ok(false) };
            let mut limited = current.take(READ_BYTES as u64);
            let read = limited.read_to_end(buffer);
            let read = read.map_err(|error| Failure::Failed(format!("reading rows: {error}")))?;
            self.read += read as u64;
            if read > 0 {
                return Ok(true);
            }
            self.current = None;
            // Files need not end with a line end.
            if !buffer.is_empty() && buffer.last() != Some(&b'\n') {
                buffer.push(b'\n');
                return Ok(true);
            }
        }
    }
}

/// Cuts what is read into whole records.
struct Cutter<'a> {
    options: &'a CopyOptions,
    buffer: Vec<u8>,
    state: State,
    scanned: usize,
}

impl Cutter<'_> {
    /// At most `wanted` records, and how many they are; none at the end.
    fn next(
        &mut self,
        source: &mut Source,
        wanted: usize,
    ) -> Result<Option<(Vec<u8>, u64)>, Failure> {
        let (mut end, mut rows) = (0, 0);
        loop {
            while rows < wanted {
                let Some(byte) = self.buffer.get(self.scanned) else { break };
                self.scanned += 1;
                let ended = if self.options.json {
                    *byte == b'\n'
                } else {
                    self.options.dialect.ends_record(&mut self.state, *byte)
                };
                if ended {
                    (end, rows) = (self.scanned, rows + 1);
                }
            }
            if rows == wanted || (self.buffer.len() >= READ_BYTES && rows > 0) {
                break;
            }
            if self.buffer.len() > RECORD_BYTES_MAX {
                return Err(Failure::Failed(
                    "a record is too long: is a quote not closed?".to_owned(),
                ));
            }
            if !source.read(&mut self.buffer)? {
                // What is left is a record without an end.
                if end < self.buffer.len() {
                    (end, rows) = (self.buffer.len(), rows + 1);
                }
                break;
            }
        }
        if end == 0 {
            return Ok(None);
        }
        let rest = self.buffer.split_off(end);
        self.scanned = self.scanned.saturating_sub(end);
        Ok(Some((std::mem::replace(&mut self.buffer, rest), rows as u64)))
    }

    /// The names in the first line.
    fn header(&mut self, source: &mut Source) -> Result<Vec<String>, Failure> {
        let (line, _) = self.next(source, 1)?.unwrap_or_default();
        let mut fields = Vec::new();
        let (_, count) = self.options.dialect.read(&line, &mut fields);
        let names = fields.iter().take(count);
        Ok(names.map(|field| String::from_utf8_lossy(&field.text).trim().to_owned()).collect())
    }
}
