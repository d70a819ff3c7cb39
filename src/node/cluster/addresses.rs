//! Where the node is reached, and where its seeds are.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use helenus_platform::net::Network;
use helenus_platform::runtime::Runtime;

use crate::cluster::wait::within;
use crate::config::{Config, Seed};
use crate::node::OpenError;

/// How long a name may take to become an address.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The port that nodes have unless they are told another one.
const INTERNODE_PORT: u16 = 7000;

/// Where others reach a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Other nodes.
    pub(crate) internode: SocketAddr,
    /// Clients.
    pub(crate) clients: SocketAddr,
}

impl Addresses {
    /// As far as the configuration says it; `advertised` instead of what the node listens on.
    pub(crate) fn of(config: &Config, advertised: Option<IpAddr>) -> Addresses {
        let named = config.advertise_address.as_ref().and_then(|host| host.parse().ok());
        let reached = |listens: IpAddr| match advertised.or(named) {
            Some(ip) => ip,
            None if listens.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            None => listens,
        };
        let internode = config.internode_address.unwrap_or(config.listen_address);
        // A node that stays alone is still told apart by an address, as Cassandra's nodes are.
        let port = if config.internode_port == 0 { INTERNODE_PORT } else { config.internode_port };
        Addresses {
            internode: SocketAddr::new(reached(internode), port),
            clients: SocketAddr::new(reached(config.listen_address), config.cql_port),
        }
    }

    /// As [`Addresses::of`], after asking what the advertised name means, or, where the node
    /// listens on all addresses, what the machine's own is.
    pub(super) async fn find(
        config: &Config,
        network: &dyn Network,
        runtime: &Arc<dyn Runtime>,
    ) -> Result<Addresses, OpenError> {
        let internode = config.internode_address.unwrap_or(config.listen_address);
        let advertised = match &config.advertise_address {
            Some(host) => {
                let found = resolve(network, runtime, host).await.map_err(|error| {
                    OpenError::Cluster(format!(
                        "cluster.advertise_address is '{host}', and that name is no address of \
                         the node: {error}"
                    ))
                })?;
                choose(&found, internode)
            }
            None if internode.is_unspecified() || config.listen_address.is_unspecified() => {
                network.own_address()
            }
            None => None,
        };
        Ok(Addresses::of(config, advertised))
    }
}

async fn resolve(
    network: &dyn Network,
    runtime: &Arc<dyn Runtime>,
    host: &str,
) -> Result<Vec<IpAddr>, String> {
    let found = within(runtime, Some(RESOLVE_TIMEOUT), network.resolve(host.to_owned())).await;
    let found =
        found.ok_or("nobody answers who knows names")?.map_err(|error| error.to_string())?;
    if found.is_empty() { Err("it has no address".to_owned()) } else { Ok(found) }
}

/// One of several addresses of a host, such that every node chooses the same: the lowest one, of
/// the kind that this node has.
fn choose(found: &[IpAddr], own: IpAddr) -> Option<IpAddr> {
    let alike = found.iter().filter(|ip| ip.is_ipv4() == own.is_ipv4()).min();
    alike.or(found.iter().min()).copied()
}

/// The seeds as they are now.
#[derive(Debug, Default)]
pub(super) struct Seeds {
    pub(super) addresses: Vec<SocketAddr>,
    /// Those whose names mean nothing now, and why.
    pub(super) unknown: Vec<String>,
}

impl Seeds {
    /// Asks for every name. A name that means this node is this node's advertised address.
    pub(super) async fn find(
        config: &Config,
        own: &Addresses,
        network: &dyn Network,
        runtime: &Arc<dyn Runtime>,
    ) -> Seeds {
        let mut seeds = Seeds::default();
        for seed in config.parsed_seeds() {
            let address = match seed {
                Seed::Address(address) => Ok(address),
                Seed::Name(host, port) => {
                    let named = resolve(network, runtime, &host).await;
                    let own = own.internode;
                    let chosen = named.map(|found| match found.contains(&own.ip()) {
                        true => Some(own.ip()),
                        false => choose(&found, own.ip()),
                    });
                    match chosen {
                        Ok(Some(ip)) => Ok(SocketAddr::new(ip, port)),
                        Ok(None) => Err(format!("{host}: it has no address")),
                        Err(error) => Err(format!("{host}: {error}")),
                    }
                }
            };
            match address {
                Ok(address) if !seeds.addresses.contains(&address) => seeds.addresses.push(address),
                Ok(_) => {}
                Err(unknown) => seeds.unknown.push(unknown),
            }
        }
        seeds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_reached_where_it_says_or_where_it_listens() {
        let mut config = Config::default();
        let reached = |config: &Config, own: Option<&str>| {
            let addresses = Addresses::of(config, own.map(|ip| ip.parse().unwrap()));
            [addresses.internode.to_string(), addresses.clients.to_string()]
        };
        assert_eq!(reached(&config, None), ["127.0.0.1:7000", "127.0.0.1:9042"]);
        config.set("listen.internode_address", "10.0.0.1").unwrap();
        assert_eq!(reached(&config, None), ["10.0.0.1:7000", "127.0.0.1:9042"]);
        config.set("cluster.advertise_address", "192.0.2.7").unwrap();
        assert_eq!(reached(&config, None), ["192.0.2.7:7000", "192.0.2.7:9042"]);
        let everywhere = Config {
            listen_address: "0.0.0.0".parse().unwrap(),
            internode_port: 7001,
            ..Config::default()
        };
        assert_eq!(reached(&everywhere, Some("10.9.9.9")), ["10.9.9.9:7001", "10.9.9.9:9042"]);
        assert_eq!(reached(&everywhere, None), ["127.0.0.1:7001", "127.0.0.1:9042"]);
    }

    #[test]
    fn of_several_addresses_every_node_chooses_the_same() {
        let ips = |texts: &[&str]| texts.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<_>>();
        let v4 = "127.0.0.1".parse().unwrap();
        assert_eq!(choose(&ips(&["::1", "10.0.0.2", "10.0.0.1"]), v4), ips(&["10.0.0.1"]).pop());
        assert_eq!(choose(&ips(&["::2", "::1"]), v4), ips(&["::1"]).pop());
        assert_eq!(choose(&[], v4), None);
    }
}
