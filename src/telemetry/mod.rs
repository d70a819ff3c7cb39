//! What a node says about itself: metrics, and the endpoint that Prometheus reads.

mod endpoint;
mod metric;
mod registry;

pub use endpoint::Endpoint;
pub use metric::{Counter, Gauge, Histogram, Snapshot, Unit};
pub use registry::{Kind, Labels, Registry};
