//! What was measured: a line each second, and the summary.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use hdrhistogram::Histogram;
use helenus_platform::runtime::BoxFuture;
use serde::Serialize;

use super::connection::{Connection, Load};
use super::{BenchOptions, Phase, TICK};

/// Figures are kept with three digits.
const DIGITS: u8 = 3;
/// A longer latency is taken for this one: an hour.
const LATENCY_NANOS_MAX: u64 = 3_600_000_000_000;

/// Latencies in nanoseconds.
type Latencies = Histogram<u64>;

fn latencies() -> Option<Latencies> {
    // Fails for impossible bounds only.
    Histogram::new(DIGITS).ok()
}

/// What one connection has seen.
#[derive(Default)]
pub(super) struct Recorder {
    reads: Option<Latencies>,
    writes: Option<Latencies>,
    /// Of the present second.
    second: Option<Latencies>,
    errors: u64,
    first_error: Option<String>,
    /// Reads that found nothing.
    misses: u64,
}

fn record(histogram: &mut Option<Latencies>, nanos: u64) {
    if histogram.is_none() {
        *histogram = latencies();
    }
    if let Some(histogram) = histogram {
        // It grows up to what is asked of it here.
        let _ = histogram.record(nanos.min(LATENCY_NANOS_MAX));
    }
}

impl Recorder {
    pub(super) fn answered(&mut self, is_read: bool, latency: Duration, is_miss: bool) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        record(if is_read { &mut self.reads } else { &mut self.writes }, nanos);
        record(&mut self.second, nanos);
        self.misses += u64::from(is_read && is_miss);
    }

    pub(super) fn failed(&mut self, message: &str) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| message.to_string());
    }
}

/// Latencies of one kind of request, in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Figures {
    pub(super) requests: u64,
    pub(super) per_second: f64,
    pub(super) mean_us: f64,
    pub(super) p50_us: f64,
    pub(super) p90_us: f64,
    pub(super) p99_us: f64,
    pub(super) p99_9_us: f64,
    pub(super) p99_99_us: f64,
    pub(super) max_us: f64,
}

/// What came of it all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) workload: String,
    pub(super) connections: u16,
    pub(super) in_flight: i16,
    /// The rate that was asked for; latencies then count from the intended start.
    pub(super) rate: Option<u32>,
    pub(super) seconds: f64,
    pub(super) requests: u64,
    pub(super) per_second: f64,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
    /// Reads that found nothing.
    pub(super) misses: u64,
    pub(super) reads: Option<Figures>,
    pub(super) writes: Option<Figures>,
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}

fn figures(histogram: &Latencies, seconds: f64) -> Option<Figures> {
    let at = |quantile| micros(histogram.value_at_quantile(quantile));
    (!histogram.is_empty()).then(|| Figures {
        requests: histogram.len(),
        per_second: histogram.len() as f64 / seconds,
        mean_us: histogram.mean() / 1000.0,
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p99_9_us: at(0.999),
        p99_99_us: at(0.9999),
        max_us: micros(histogram.max()),
    })
}

impl Phase {
    /// Applies the load on all connections; `show` gets a line each second. Gives the connections
    /// back, in order.
    pub(super) async fn run(
        self: &Arc<Self>,
        connections: Vec<Connection>,
        show: impl Fn(String),
    ) -> Result<Vec<Connection>, String> {
        let count = connections.len();
        let (sender, mut receiver) = helenus_platform::channel::bounded(count.max(1));
        for (index, connection) in (0..).zip(connections) {
            let (phase, sender) = (self.clone(), sender.clone());
            let task = async move {
                let ended = Load::new(phase, index, connection).run().await;
                drop(sender.send(ended).await);
            };
            self.runtime.spawn("bench", Box::pin(task));
        }
        drop(sender);
        let mut back = Vec::with_capacity(count);
        let mut tick = self.runtime.sleep(TICK);
        while back.len() < count {
            match self.next(&mut receiver, &mut tick).await {
                Next::Ended(connection) => back.push(connection?),
                Next::Gone => return Err("a connection's task ended".to_string()),
                Next::Tick => {
                    show(self.line());
                    tick = self.runtime.sleep(TICK);
                }
            }
        }
        Ok(back)
    }

    async fn next(
        &self,
        receiver: &mut helenus_platform::channel::Receiver<Result<Connection, String>>,
        tick: &mut BoxFuture<'static, ()>,
    ) -> Next {
        let mut ended = std::pin::pin!(receiver.recv());
        std::future::poll_fn(|context| {
            if let Poll::Ready(ended) = ended.as_mut().poll(context) {
                return Poll::Ready(ended.map_or(Next::Gone, Next::Ended));
            }
            tick.as_mut().poll(context).map(|()| Next::Tick)
        })
        .await
    }

    /// The last second in a line.
    fn line(&self) -> String {
        let (mut all, mut errors) = (latencies(), 0);
        for recorder in &self.recorders {
            let mut recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
            errors += recorder.errors;
            if let (Some(all), Some(second)) = (&mut all, recorder.second.take()) {
                // Both grow as they must.
                let _ = all.add(second);
            }
        }
        let seconds = self.clock.monotonic().saturating_sub(self.begin).as_secs();
        let Some(all) = all else { return String::new() };
        let millis = |nanos| micros(nanos) / 1000.0;
        format!(
            "{seconds:>5} s {:>9} requests/s   p50 {:>8.3} ms   p99 {:>8.3} ms   max {:>8.3} ms   \
             errors {errors}",
            all.len(),
            millis(all.value_at_quantile(0.5)),
            millis(all.value_at_quantile(0.99)),
            millis(all.max())
        )
    }

    /// What came of it.
    pub(super) fn summary(&self, options: &BenchOptions) -> Summary {
        let elapsed = self.clock.monotonic().saturating_sub(self.begin);
        let seconds = elapsed.as_secs_f64().max(1e-9);
        let (mut reads, mut writes) = (latencies(), latencies());
        let (mut errors, mut misses, mut first_error) = (0, 0, None);
        for recorder in &self.recorders {
            let recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
            for (all, part) in [(&mut reads, &recorder.reads), (&mut writes, &recorder.writes)] {
                if let (Some(all), Some(part)) = (all, part) {
                    let _ = all.add(part);
                }
            }
            errors += recorder.errors;
            misses += recorder.misses;
            first_error = first_error.or_else(|| recorder.first_error.clone());
        }
        let reads = reads.and_then(|reads| figures(&reads, seconds));
        let writes = writes.and_then(|writes| figures(&writes, seconds));
        let answered = |figures: &Option<Figures>| figures.as_ref().map_or(0, |f| f.requests);
        let requests = answered(&reads) + answered(&writes);
        debug_assert!(requests <= self.made.load(Ordering::Relaxed));
        Summary {
            workload: format!("{:?}", options.kind).to_lowercase(),
            connections: options.connections,
            in_flight: options.in_flight,
            rate: options.rate,
            seconds,
            requests,
            per_second: requests as f64 / seconds,
            errors,
            first_error,
            misses,
            reads,
            writes,
        }
    }
}

enum Next {
    Ended(Result<Connection, String>),
    Gone,
    Tick,
}

/// Prints the summary.
///
/// # Errors
/// Those of standard output.
pub(super) fn print(summary: &Summary, json: bool) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    let printed = if json {
        serde_json::to_writer_pretty(&mut out, summary)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        text(&mut out, summary)
    };
    printed.map_err(|error| format!("printing: {error}"))
}

fn text(out: &mut dyn Write, summary: &Summary) -> std::io::Result<()> {
    writeln!(
        out,
        "{}: {} requests in {:.2} s, {:.0} a second, over {} connections with {} in flight each",
        summary.workload,
        summary.requests,
        summary.seconds,
        summary.per_second,
        summary.connections,
        summary.in_flight
    )?;
    if let Some(rate) = summary.rate {
        writeln!(out, "asked for {rate} a second; latencies count from the intended start")?;
    }
    writeln!(out, "errors {}, reads that found nothing {}", summary.errors, summary.misses)?;
    for (name, figures) in [("reads", &summary.reads), ("writes", &summary.writes)] {
        let Some(figures) = figures else { continue };
        writeln!(
            out,
            "{name:<7} {:>9.0}/s  mean {:.0} µs  p50 {:.0}  p90 {:.0}  p99 {:.0}  p99.9 {:.0}  \
             p99.99 {:.0}  max {:.0}",
            figures.per_second,
            figures.mean_us,
            figures.p50_us,
            figures.p90_us,
            figures.p99_us,
            figures.p99_9_us,
            figures.p99_99_us,
            figures.max_us
        )?;
    }
    Ok(())
}
