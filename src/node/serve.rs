//! Serving clients: the native protocol's server and the metrics endpoint of a node.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use helenus_gossip::Key;
use helenus_gossip::state::address_value;
use helenus_platform::net::Network;

use super::Node;
use crate::server::{Limits, Memory, Server, ServerMetrics, Services};
use crate::telemetry::{Endpoint, Kind, Registry};

/// A node that serves.
#[derive(Debug)]
pub struct Serving {
    server: Server,
    _metrics: Option<Endpoint>,
}

impl Serving {
    /// Where clients connect, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Takes no more requests and lets those under way be answered.
    pub async fn stop(&self) {
        self.server.stop().await;
    }
}

impl Node {
    /// Serves clients on `address`, and metrics where the configuration says.
    ///
    /// # Errors
    /// Those of the network, mostly an address in use.
    pub async fn serve(&self, network: &dyn Network, address: SocketAddr) -> io::Result<Serving> {
        let config = self.config();
        let runtime = self.world().runtime.clone();
        let connected = self.shared.connected.get();
        let registry = connected.map_or_else(Arc::default, |others| others.registry.clone());
        self.register_metrics(&registry);
        let limits = Limits {
            connections_max: config.connections_max,
            connections_per_address_max: config.connections_per_address_max,
            frame_bytes_max: config.frame_bytes_max,
            statement_bytes_max: config.statement_bytes_max,
            bytes_in_flight_max: config.bytes_in_flight_max,
            connection_bytes_in_flight_max: config.connection_bytes_in_flight_max,
            node_pending_max: config.requests_max,
            pending_max: config.connection_requests_max,
            startup_timeout: config.startup_timeout,
            stall_timeout: config.stall_timeout,
            ..Limits::default()
        };
        let memory = Memory::new(&limits);
        let counted = memory.clone();
        registry.ask(
            "helenus_connection_memory_bytes",
            "Memory that connections hold beyond what is set aside for each.",
            Kind::Gauge,
            move || vec![(Vec::new(), counted.taken() as f64)],
        );
        let services = Services {
            handler: Arc::new(self.clone()),
            events: self.events().clone(),
            clients: self.shared.clients.clone(),
            limits: Arc::new(limits),
            memory,
            metrics: Arc::new(ServerMetrics::new(&registry)),
            clock: self.world().clock.clone(),
        };
        let metrics = match config.metrics_port {
            0 => None,
            port => {
                let at = SocketAddr::new(config.metrics_address, port);
                let endpoint = Endpoint::start(network, runtime.clone(), at, registry).await;
                // A second node on this machine is no reason not to serve its clients.
                endpoint.inspect_err(|error| tracing::warn!(%at, %error, "no metrics")).ok()
            }
        };
        let server = Server::start(network, runtime, address, services).await?;
        if let Some(gossip) = self.gossip() {
            // From now on other nodes tell their clients of this one.
            gossip.say(Key::CLIENT_ADDRESS, address_value(self.shared.own.clients));
        }
        Ok(Serving { server, _metrics: metrics })
    }

    fn register_metrics(&self, registry: &Registry) {
        for (index, (name, help, _)) in self.engine().metrics().all().into_iter().enumerate() {
            let engine = self.engine().clone();
            let kind = if name.ends_with("_now") { Kind::Gauge } else { Kind::Counter };
            registry.ask(metric_name(name, kind), help, kind, move || {
                let value = engine.metrics().all().get(index).map_or(0, |(_, _, value)| *value);
                vec![(Vec::new(), value as f64)]
            });
        }
        let node = self.clone();
        registry.ask(
            "helenus_prepared_statements",
            "Prepared statements that are kept.",
            Kind::Gauge,
            move || vec![(Vec::new(), node.shared.statements.len() as f64)],
        );
    }
}

/// The engine's name of a metric as Prometheus wants it; made once for each, and kept.
fn metric_name(name: &str, kind: Kind) -> &'static str {
    let unit = if kind == Kind::Counter { "_total" } else { "" };
    let name = name.strip_suffix("_now").unwrap_or(name);
    Box::leak(format!("helenus_engine_{name}{unit}").into_boxed_str())
}
