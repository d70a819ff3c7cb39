//! What a node says about itself: metrics, the endpoint that Prometheus reads, and traces of single
//! requests.

mod endpoint;
mod line_limiter;
mod metric;
mod registry;
mod trace;

pub use endpoint::Endpoint;
pub use line_limiter::LineLimiter;
pub use metric::{Counter, Gauge, Histogram, Snapshot, Unit};
pub use registry::{Kind, Labels, Registry};
pub use trace::{Trace, TraceEvent, TraceStart, Traces};
