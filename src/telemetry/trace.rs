//! Traces of single requests, kept in memory: the newest of them, each of bounded size. Nothing
//! here is touched by a request that is not traced.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use helenus_platform::clock::Clock;

/// Traces that are kept; the oldest makes room.
const SESSIONS_MAX: usize = 512;
/// Events of a trace; later ones are only counted.
const EVENTS_MAX: usize = 128;
/// Bytes of one text of a trace; a longer one is cut.
const TEXT_BYTES_MAX: usize = 1024;

/// What is known of a request before it is run.
#[derive(Debug)]
pub struct TraceStart {
    /// The id that the client is told: a version 1 UUID.
    pub id: [u8; 16],
    /// The message that asked for it (`QUERY`).
    pub command: &'static str,
    /// What the node was asked to do.
    pub request: &'static str,
    /// The statement, its consistency, and what else came with it.
    pub parameters: BTreeMap<String, String>,
    /// Who asked.
    pub client: IpAddr,
}

/// One step of a traced request.
#[derive(Debug, Clone)]
pub struct TraceEvent {
    /// When, since the request began.
    pub elapsed: Duration,
    /// What was done.
    pub activity: String,
    /// The thread that did it.
    pub thread: String,
}

/// The trace of one request.
pub struct Trace {
    /// What is known from the start.
    pub start: TraceStart,
    /// Wall time of the start: microseconds since the epoch.
    pub started_at: i64,
    began: Duration,
    clock: Arc<dyn Clock>,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    events: Vec<TraceEvent>,
    left_out: u64,
    duration: Option<Duration>,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Trace").field("start", &self.start).finish_non_exhaustive()
    }
}

impl Trace {
    /// Notes a step that has just been done, or is just being begun.
    pub fn event(&self, activity: impl Into<String>) {
        let elapsed = self.clock.monotonic().saturating_sub(self.began);
        let mut progress = self.lock();
        if progress.events.len() >= EVENTS_MAX {
            progress.left_out += 1;
            return;
        }
        let mut activity = activity.into();
        cut(&mut activity);
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        progress.events.push(TraceEvent { elapsed, activity, thread });
    }

    /// The answer may leave: the trace is complete.
    pub fn finish(&self) {
        let elapsed = self.clock.monotonic().saturating_sub(self.began);
        let mut progress = self.lock();
        if progress.left_out > 0 {
            let activity = format!("{} more events were left out", progress.left_out);
            let thread = String::new();
            progress.events.push(TraceEvent { elapsed, activity, thread });
        }
        progress.duration = Some(elapsed);
    }

    /// The steps so far.
    pub fn events(&self) -> Vec<TraceEvent> {
        self.lock().events.clone()
    }

    /// How long the request took; none while it is under way.
    pub fn duration(&self) -> Option<Duration> {
        self.lock().duration
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts a text to what a trace keeps of one.
fn cut(text: &mut String) {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
}

/// The newest traces of a node.
pub struct Traces {
    clock: Arc<dyn Clock>,
    sessions: Mutex<VecDeque<Arc<Trace>>>,
}

impl std::fmt::Debug for Traces {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Traces")
    }
}

impl Traces {
    /// None yet. `clock` tells how long things take.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Traces { clock, sessions: Mutex::default() }
    }

    /// Begins a trace, which is seen from now on.
    pub fn begin(&self, mut start: TraceStart) -> Arc<Trace> {
        start.parameters.values_mut().for_each(cut);
        let trace = Arc::new(Trace {
            start,
            started_at: self.clock.wall_micros(),
            began: self.clock.monotonic(),
            clock: self.clock.clone(),
            progress: Mutex::default(),
        });
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= SESSIONS_MAX {
            sessions.pop_front();
        }
        sessions.push_back(trace.clone());
        trace
    }

    /// All that are kept, oldest first.
    pub fn all(&self) -> Vec<Arc<Trace>> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use helenus_platform::clock::ManualClock;

    use super::*;

    fn start(number: u8, query: &str) -> TraceStart {
        TraceStart {
            id: [number; 16],
            command: "QUERY",
            request: "Execute CQL3 query",
            parameters: BTreeMap::from([("query".to_owned(), query.to_owned())]),
            client: IpAddr::from([127, 0, 0, 1]),
        }
    }

    #[test]
    fn traces_and_their_parts_are_bounded() {
        let traces = Traces::new(Arc::new(ManualClock::new(5)));
        let first = traces.begin(start(0, &"ü".repeat(10_000)));
        assert!(first.start.parameters["query"].len() < TEXT_BYTES_MAX + 8);
        for index in 0..EVENTS_MAX + 10 {
            first.event(format!("step {index} {}", "x".repeat(5000)));
        }
        assert_eq!(first.duration(), None);
        first.finish();
        let events = first.events();
        assert_eq!(events.len(), EVENTS_MAX + 1);
        assert_eq!(events[EVENTS_MAX].activity, "10 more events were left out");
        assert!(events.iter().all(|event| event.activity.len() < TEXT_BYTES_MAX + 8));
        assert!(first.duration().is_some());
        for number in 0..SESSIONS_MAX {
            traces.begin(start(u8::try_from(number % 256).unwrap(), "x"));
        }
        let all = traces.all();
        assert_eq!(all.len(), SESSIONS_MAX);
        assert!(!all.iter().any(|trace| Arc::ptr_eq(trace, &first)), "the oldest made room");
    }

    #[test]
    fn events_say_when() {
        let clock = Arc::new(ManualClock::new(7));
        let traces = Traces::new(clock.clone());
        let trace = traces.begin(start(1, "x"));
        clock.advance(Duration::from_micros(250));
        trace.event("one");
        clock.advance(Duration::from_micros(50));
        trace.finish();
        assert_eq!(trace.events()[0].elapsed, Duration::from_micros(250));
        assert_eq!(trace.duration(), Some(Duration::from_micros(300)));
    }
}
