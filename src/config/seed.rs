//! Who other nodes are, and what this one is to them: seeds, and what goes together with them.

use std::net::{IpAddr, SocketAddr};

use super::Config;

/// Most seeds, as gossip has it.
const SEEDS_MAX: usize = 64;
/// Longest name that DNS knows.
const HOST_CHARS_MAX: usize = 253;

/// A node to ask for the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seed {
    /// By its address.
    Address(SocketAddr),
    /// By a name, which may mean another address every time it is asked for.
    Name(String, u16),
}

impl Seed {
    /// Reads `host` or `host:port`, where `host` is an IP address or a name.
    #[must_use]
    pub fn parse(text: &str, port: u16) -> Option<Seed> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return (address.port() != 0).then_some(Seed::Address(address));
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Some(Seed::Address(SocketAddr::new(ip, port)));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
            None => (text, port),
        };
        is_host(host).then(|| Seed::Name(host.to_owned(), port))
    }
}

impl Config {
    /// The seeds; one without a port has this node's own.
    pub fn parsed_seeds(&self) -> impl Iterator<Item = Seed> + '_ {
        self.seeds.iter().filter_map(|text| Seed::parse(text, self.internode_port))
    }
}

/// Whether that is an IP address or could be a host's name.
pub(super) fn is_host(text: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.parse::<IpAddr>().is_ok()
        || ((1..=HOST_CHARS_MAX).contains(&text.chars().count()) && text.chars().all(fits))
}

/// Several seeds, with commas between them.
pub(super) fn parse_list(text: &str) -> Option<Vec<String>> {
    let mut seeds: Vec<String> = Vec::new();
    for seed in text.split(',').map(str::trim).filter(|seed| !seed.is_empty()) {
        Seed::parse(seed, 1)?;
        if !seeds.iter().any(|other| other == seed) {
            seeds.push(seed.to_owned());
        }
    }
    (seeds.len() <= SEEDS_MAX).then_some(seeds)
}

/// Refuses a node that others could not reach although it is to be one of several.
pub(super) fn check(config: &Config) -> Result<(), String> {
    if config.seeds.is_empty() {
        return Ok(());
    }
    for (port, name) in
        [(config.internode_port, "listen.internode_port"), (config.cql_port, "listen.cql_port")]
    {
        if port == 0 {
            return Err(format!(
                "{name} is 0, and cluster.seeds is set: a node among others needs a port that \
                 they know"
            ));
        }
    }
    let listens =
        [config.listen_address, config.internode_address.unwrap_or(config.listen_address)];
    if config.advertise_address.is_none() && listens.iter().any(IpAddr::is_unspecified) {
        return Err(
            "cluster.seeds is set, and the node listens on all addresses of the machine: set \
             cluster.advertise_address to the address or name that other nodes and drivers reach \
             it by"
                .to_owned(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_addresses_or_names_with_a_port_or_without() {
        let seed = |text| Seed::parse(text, 7000);
        let address = |text: &str| Some(Seed::Address(text.parse().unwrap()));
        let name = |host: &str, port| Some(Seed::Name(host.to_owned(), port));
        assert_eq!(seed("10.0.0.1"), address("10.0.0.1:7000"));
        assert_eq!(seed("10.0.0.1:7001"), address("10.0.0.1:7001"));
        assert_eq!(seed("::1"), address("[::1]:7000"));
        assert_eq!(seed("[::1]"), address("[::1]:7000"));
        assert_eq!(seed("[::1]:7001"), address("[::1]:7001"));
        assert_eq!(seed("node-1.example"), name("node-1.example", 7000));
        assert_eq!(seed("node_1:99"), name("node_1", 99));
        for wrong in ["", ":7000", "a b", "a:b", "a:0", "10.0.0.1:0", "a:70000", "http://a"] {
            assert_eq!(seed(wrong), None, "{wrong}");
        }
        let mut config = Config::default();
        config.set("cluster.seeds", " a, b:1 ,a, [::1]:7 ").unwrap();
        assert_eq!(config.seeds, ["a", "b:1", "[::1]:7"]);
        assert_eq!(config.parsed_seeds().count(), 3);
        assert!(config.set("cluster.seeds", "a b").unwrap_err().contains("host names"));
        config.set("cluster.seeds", "").unwrap();
        assert!(config.seeds.is_empty());
        let many: Vec<String> = (0..65).map(|number| format!("n{number}")).collect();
        assert!(config.set("cluster.seeds", &many.join(",")).is_err());
    }

    #[test]
    fn a_node_among_others_says_where_it_is() {
        let mut config = Config::default();
        config.set("listen.address", "0.0.0.0").unwrap();
        config.check().unwrap();
        config.set("cluster.seeds", "10.0.0.1").unwrap();
        assert!(config.check().unwrap_err().contains("set cluster.advertise_address"));
        config.set("cluster.advertise_address", "node1").unwrap();
        config.check().unwrap();
        config.set("listen.internode_port", "0").unwrap();
        assert!(config.check().unwrap_err().contains("listen.internode_port is 0"));
    }
}
