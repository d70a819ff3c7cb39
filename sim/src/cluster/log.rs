//! The readable history of a simulation: what clients did, which faults were made, and what the
//! nodes wrote to their logs. Every line is part of the trace, too.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use helenus_platform::clock::{Clock, ManualClock};
use helenus_platform::runtime::SimRuntime;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::workload::locked;

/// Clones are the same one.
#[derive(Clone)]
pub(crate) struct Log {
    runtime: SimRuntime,
    clock: Arc<ManualClock>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    pub(crate) fn new(runtime: SimRuntime, clock: Arc<ManualClock>) -> Self {
        Log { runtime, clock, lines: Arc::default() }
    }

    pub(crate) fn say(&self, line: &str) {
        self.runtime.record(line.as_bytes());
        let now = self.clock.monotonic().as_secs_f64();
        locked(&self.lines).push(format!("{now:10.6} {line}"));
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        locked(&self.lines).clone()
    }
}

/// An event's message and fields, as one line.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

/// Log lines of the nodes.
impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let who = self.runtime.running().unwrap_or_else(|| "nobody".to_owned());
        let mut line = Line(format!("    {who} {}:", event.metadata().level()));
        event.record(&mut line);
        self.say(&line.0);
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}
