//! All metrics by name, and their text for Prometheus (exposition format 0.0.4).
//!
//! Names begin with `helenus_`, counters end with `_total`, units stand at the end: `_seconds`,
//! `_bytes`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::metric::{Counter, Gauge, Histogram, Unit};

/// Names and values of labels, in the order in which they are shown.
pub type Labels = Vec<(&'static str, String)>;

/// What kind of metric a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Numbers by size.
    Histogram,
}

/// Asked for values when somebody looks.
type Ask = Box<dyn Fn() -> Vec<(Labels, f64)> + Send + Sync>;

enum Source {
    Counter(Arc<Counter>),
    Gauge(Arc<Gauge>),
    Histogram(Arc<Histogram>),
    Ask(Ask),
}

struct Family {
    help: &'static str,
    kind: Kind,
    members: Vec<(Labels, Source)>,
}

/// All metrics of a node.
#[derive(Default)]
pub struct Registry {
    families: Mutex<BTreeMap<&'static str, Family>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.lock().keys()).finish()
    }
}

impl Registry {
    /// No metrics.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new counter.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: Labels) -> Arc<Counter> {
        let counter = Arc::new(Counter::default());
        self.add(name, help, Kind::Counter, labels, Source::Counter(counter.clone()));
        counter
    }

    /// A new gauge.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: Labels) -> Arc<Gauge> {
        let gauge = Arc::new(Gauge::default());
        self.add(name, help, Kind::Gauge, labels, Source::Gauge(gauge.clone()));
        gauge
    }

    /// A new histogram.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        unit: Unit,
        labels: Labels,
    ) -> Arc<Histogram> {
        let histogram = Arc::new(Histogram::new(unit));
        self.add(name, help, Kind::Histogram, labels, Source::Histogram(histogram.clone()));
        histogram
    }

    /// Values that are asked for when somebody looks, each with its labels: for what is known
    /// elsewhere already. `kind` is not a histogram.
    pub fn ask(
        &self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        ask: impl Fn() -> Vec<(Labels, f64)> + Send + Sync + 'static,
    ) {
        debug_assert_ne!(kind, Kind::Histogram);
        self.add(name, help, kind, Vec::new(), Source::Ask(Box::new(ask)));
    }

    fn add(
        &self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        labels: Labels,
        source: Source,
    ) {
        let mut families = self.lock();
        let family =
            families.entry(name).or_insert_with(|| Family { help, kind, members: Vec::new() });
        debug_assert_eq!(family.kind, kind, "{name} is registered as two kinds");
        family.members.push((labels, source));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Family>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All metrics as text.
    pub fn render(&self) -> String {
        let mut out = String::new();
        for (name, family) in self.lock().iter() {
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            line(&mut out, format_args!("# HELP {name} {}", family.help));
            line(&mut out, format_args!("# TYPE {name} {kind}"));
            for (labels, source) in &family.members {
                render_source(&mut out, name, labels, source);
            }
        }
        out
    }
}

fn render_source(out: &mut String, name: &str, labels: &Labels, source: &Source) {
    match source {
        Source::Counter(counter) => {
            line(out, format_args!("{name}{} {}", in_braces(labels, None), counter.get()));
        }
        Source::Gauge(gauge) => {
            line(out, format_args!("{name}{} {}", in_braces(labels, None), gauge.get()));
        }
        Source::Ask(ask) => {
            for (labels, value) in ask() {
                line(out, format_args!("{name}{} {value}", in_braces(&labels, None)));
            }
        }
        Source::Histogram(histogram) => {
            let snapshot = histogram.snapshot();
            for (bound, count) in snapshot.cumulative() {
                let labels = in_braces(labels, Some(&bound.to_string()));
                line(out, format_args!("{name}_bucket{labels} {count}"));
            }
            let count = snapshot.count();
            let all = in_braces(labels, Some("+Inf"));
            line(out, format_args!("{name}_bucket{all} {count}"));
            let labels = in_braces(labels, None);
            line(out, format_args!("{name}_sum{labels} {}", snapshot.sum()));
            line(out, format_args!("{name}_count{labels} {count}"));
        }
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

/// `{a="b",le="c"}`, or nothing.
fn in_braces(labels: &Labels, bound: Option<&str>) -> String {
    let own = labels.iter().map(|(name, value)| (*name, value.as_str()));
    let all: Vec<String> = own
        .chain(bound.map(|bound| ("le", bound)))
        .map(|(name, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_rendered_as_prometheus_reads_them() {
        let registry = Registry::new();
        let requests =
            registry.counter("helenus_b_total", "Requests.", vec![("kind", "query".to_owned())]);
        registry.counter("helenus_b_total", "Requests.", vec![("kind", "a\"b\\".to_owned())]);
        requests.add(3);
        registry.gauge("helenus_a", "Things.", vec![]).set(-2);
        registry.ask("helenus_c", "Asked.", Kind::Gauge, || {
            vec![(vec![("table", "t".to_owned())], 1.5)]
        });
        assert_eq!(
            registry.render(),
            "# HELP helenus_a Things.\n\
             # TYPE helenus_a gauge\n\
             helenus_a -2\n\
             # HELP helenus_b_total Requests.\n\
             # TYPE helenus_b_total counter\n\
             helenus_b_total{kind=\"query\"} 3\n\
             helenus_b_total{kind=\"a\\\"b\\\\\"} 0\n\
             # HELP helenus_c Asked.\n\
             # TYPE helenus_c gauge\n\
             helenus_c{table=\"t\"} 1.5\n"
        );
    }

    #[test]
    fn histograms_are_cumulative() {
        let registry = Registry::new();
        let name = "helenus_wait_seconds";
        let histogram = registry.histogram(name, "Wait.", Unit::Seconds, vec![]);
        histogram.record(1000);
        histogram.record(1_000_000);
        histogram.record(u64::MAX / 2);
        let text = registry.render();
        assert!(text.contains("helenus_wait_seconds_bucket{le=\"0.000001024\"} 1\n"));
        assert!(text.contains("helenus_wait_seconds_bucket{le=\"0.001048576\"} 2\n"));
        assert!(text.contains("helenus_wait_seconds_bucket{le=\"+Inf\"} 3\n"));
        assert!(text.contains("helenus_wait_seconds_count 3\n"));
    }
}
