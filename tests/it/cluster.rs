//! Several nodes, each a process of its own, on addresses of the loopback network.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::host_filter::AllowListHostFilter;

use crate::admin::done;
use crate::process::{Node, TempDir};

const NODES: usize = 3;

/// Data directories and addresses for some nodes, each of which knows all of them as seeds.
struct Cluster {
    dirs: Vec<TempDir>,
    ips: Vec<IpAddr>,
}

impl Cluster {
    fn new() -> Cluster {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let second = 100 + NEXT.fetch_add(1, Ordering::Relaxed);
        let third = (std::process::id() % 250) as u8;
        let ip = |node: usize| IpAddr::from([127, second, third, node as u8 + 1]);
        Cluster {
            dirs: (0..NODES).map(|_| TempDir::new()).collect(),
            ips: (0..NODES).map(ip).collect(),
        }
    }

    fn begin(&self, node: usize) -> Node {
        let seeds: Vec<String> = self.ips.iter().map(ToString::to_string).collect();
        let seeds = format!("cluster.seeds={}", seeds.join(","));
        let rack = format!("rack=r{node}");
        let settings = ["listen.internode_port=7000", &seeds, &rack];
        let address = SocketAddr::new(self.ips[node], 9042);
        Node::begin(self.dirs[node].path(), address, &settings)
    }

    /// Starts all, in that order, and waits until they serve.
    fn start(&self, order: [usize; NODES], pause: Duration) -> Vec<Node> {
        let began = Instant::now();
        let mut nodes: Vec<(usize, Node)> = Vec::new();
        for node in order {
            nodes.push((node, self.begin(node)));
            std::thread::sleep(pause);
        }
        nodes.sort_by_key(|(number, _)| *number);
        let mut nodes: Vec<Node> = nodes.into_iter().map(|(_, node)| node).collect();
        nodes.iter_mut().for_each(Node::wait_until_it_serves);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        nodes
    }
}

/// A driver that talks to that node only, and knows of all.
async fn session(node: &Node) -> Session {
    let only = AllowListHostFilter::new([node.address]).unwrap();
    let builder = SessionBuilder::new().known_node_addr(node.address);
    builder.host_filter(std::sync::Arc::new(only)).build().await.unwrap()
}

/// Waits until that driver knows of all nodes, which their node tells it at once.
async fn await_known(session: &Session) {
    let peers = session.query_unpaged("SELECT host_id FROM system.peers", ()).await.unwrap();
    assert_eq!(peers.into_rows_result().unwrap().rows_num(), NODES - 1);
    let end = Instant::now() + Duration::from_secs(10);
    while session.get_cluster_state().get_nodes_info().len() != NODES {
        assert!(Instant::now() < end, "the driver does not know of all nodes");
        // What it has begun to read before counts for it, too.
        session.refresh_metadata().await.unwrap();
    }
}

/// Waits until `helenus status` of a node shows so many nodes up, and so many down.
fn await_status(cluster: &Cluster, node: usize, up: usize, down: usize) {
    let end = Instant::now() + Duration::from_secs(15);
    loop {
        let status = done(cluster.dirs[node].path(), &["status"]);
        let count = |begin| status.lines().filter(|line| line.starts_with(begin)).count();
        if (count("UN"), count("DN")) == (up, down) {
            return;
        }
        assert!(Instant::now() < end, "not {up} up and {down} down:\n{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

async fn run(session: &Session, statement: &str) {
    session.query_unpaged(statement, ()).await.unwrap();
}

/// Waits until all vote on the metadata: from then on any one of them can be missed.
async fn await_voters(session: &Session) {
    let select = "SELECT value FROM system_views.helenus WHERE name = 'metadata_voters'";
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let result = session.query_unpaged(select, ()).await.unwrap().into_rows_result().unwrap();
        if result.single_row::<(String,)>().unwrap().0 == NODES.to_string() {
            return;
        }
        assert!(Instant::now() < end, "not all nodes vote");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn three_nodes_found_one_cluster_in_any_order_and_share_the_schema() {
    for (order, pause) in [([0, 1, 2], 0), ([2, 0, 1], 300)] {
        let cluster = Cluster::new();
        let mut nodes = cluster.start(order, Duration::from_millis(pause));
        let first = session(&nodes[0]).await;
        run(
            &first,
            "CREATE KEYSPACE app WITH replication = {'class': 'NetworkTopologyStrategy', \
             'datacenter1': 1}",
        )
        .await;
        run(&first, "CREATE TABLE app.t (k int PRIMARY KEY)").await;
        let third = session(&nodes[2]).await;
        run(&third, "SELECT * FROM app.t").await;

        await_voters(&third).await;
        await_known(&third).await;
        assert!(third.await_schema_agreement().await.is_ok());
        await_status(&cluster, 2, NODES, 0);
        // Who was away finds what has happened, and comes back as who it was.
        nodes.remove(1).kill();
        run(&third, "CREATE TABLE app.without (k int PRIMARY KEY)").await;
        await_status(&cluster, 2, NODES - 1, 1);
        let mut back = cluster.begin(1);
        back.wait_until_it_serves();
        let second = session(&back).await;
        run(&second, "SELECT * FROM app.without").await;
        run(&second, "CREATE TABLE app.u (k int PRIMARY KEY)").await;
        run(&first, "SELECT * FROM app.u").await;
        for node in nodes.into_iter().chain([back]) {
            assert_eq!(node.stop().code(), Some(0));
        }
    }
}

#[test]
fn a_node_that_waits_for_others_stops_when_asked() {
    let cluster = Cluster::new();
    let node = cluster.begin(2);
    node.wait_until_it_says("waiting: ");
    assert_eq!(node.stop().code(), Some(0));
}
