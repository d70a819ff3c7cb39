//! What the shell talks to: a node over the network, or one that it opens itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use helenus_platform::clock::RealClock;
use helenus_platform::disk::RealDisk;
use helenus_platform::net::{MemoryNetwork, Network, TokioNetwork};
use helenus_platform::random::RealRandom;
use helenus_platform::runtime::TokioRuntime;

use super::failure::Failure;
use crate::config::Config;
use crate::node::{Node, Serving, World};

/// The port of the native protocol.
const PORT: u16 = 9042;

/// What the shell talks to.
pub(super) struct Target {
    /// How to get there.
    pub(super) network: Arc<dyn Network>,
    /// Where it is.
    pub(super) address: SocketAddr,
    /// What to call it.
    pub(super) name: String,
    /// The node, if it runs inside this process.
    embedded: Option<(Node, Serving)>,
}

impl Target {
    /// A node at `host`, which is `HOST`, `HOST:PORT` or `[IPv6]:PORT`.
    pub(super) fn remote(host: Option<&str>, port: Option<u16>) -> Result<Self, Failure> {
        let host = host.unwrap_or("127.0.0.1");
        let (name, own_port) = split_port(host)?;
        let port = port.or(own_port).unwrap_or(PORT);
        let found = (name, port).to_socket_addrs();
        let found = found.map_err(|error| Failure::lost(format!("cannot find {name}: {error}")))?;
        let mut found: Vec<_> = found.collect();
        // A node listens on IPv4 unless it is told otherwise.
        found.sort_by_key(|address| !address.is_ipv4());
        let address = found.first().copied();
        let address = address.ok_or_else(|| Failure::lost(format!("{name} has no address")))?;
        let name = format!("{name}:{port}");
        Ok(Target { network: Arc::new(TokioNetwork), address, name, embedded: None })
    }

    /// The data directory `dir`, opened in this process and reached without a port.
    pub(super) fn embedded(runtime: &Arc<TokioRuntime>, dir: &Path) -> Result<Self, Failure> {
        let random = RealRandom::new();
        let world = World {
            disk: Arc::new(RealDisk::new()),
            clock: Arc::new(RealClock::new()),
            random: Arc::new(random.map_err(|e| Failure::Failed(format!("no randomness: {e}")))?),
            runtime: runtime.clone(),
        };
        let config = Config { data_dir: dir.to_path_buf(), metrics_port: 0, ..Config::default() };
        let node = Node::open(world, config);
        let node = node.map_err(|error| Failure::Failed(error.to_string()))?;
        let network = Arc::new(MemoryNetwork::new());
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT);
        let serving = runtime.block_on(node.serve(network.as_ref(), address));
        let serving = serving.map_err(|error| Failure::Failed(error.to_string()))?;
        let name = dir.display().to_string();
        Ok(Target { network, address, name, embedded: Some((node, serving)) })
    }

    /// Closes the node, if it is ours.
    pub(super) fn close(self, runtime: &TokioRuntime) -> Result<(), Failure> {
        let Some((node, serving)) = self.embedded else { return Ok(()) };
        let closed = runtime.block_on(async {
            serving.stop().await;
            node.close().await
        });
        runtime.join_workers();
        closed.map_err(|error| Failure::Failed(format!("closing {}: {error}", self.name)))
    }
}

fn split_port(host: &str) -> Result<(&str, Option<u16>), Failure> {
    let wrong = || Failure::Usage(format!("'{host}' is no HOST or HOST:PORT"));
    let port = |text: &str| text.parse().map(Some).map_err(|_| wrong());
    if let Some(rest) = host.strip_prefix('[') {
        let (name, rest) = rest.split_once(']').ok_or_else(wrong)?;
        return match rest.strip_prefix(':') {
            Some(text) => Ok((name, port(text)?)),
            None if rest.is_empty() => Ok((name, None)),
            None => Err(wrong()),
        };
    }
    match host.split_once(':') {
        Some((_, rest)) if rest.contains(':') => Ok((host, None)),
        Some((name, text)) => Ok((name, port(text)?)),
        None => Ok((host, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_may_have_ports() {
        for (host, name, port) in [
            ("db", "db", None),
            ("db:9043", "db", Some(9043)),
            ("::1", "::1", None),
            ("[::1]:1", "::1", Some(1)),
            ("[::1]", "::1", None),
        ] {
            let (found, found_port) = split_port(host).unwrap();
            assert_eq!((found, found_port), (name, port));
        }
        assert!(split_port("db:x").is_err());
        assert!(split_port("[::1").is_err());
    }
}
