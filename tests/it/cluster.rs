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

/// How many nodes that driver knows of.
async fn known(session: &Session) -> usize {
    session.refresh_metadata().await.unwrap();
    session.get_cluster_state().get_nodes_info().len()
}

/// How many lines of `helenus status` begin with that.
fn count(cluster: &Cluster, node: usize, begin: &str) -> usize {
    let status = done(cluster.dirs[node].path(), &["status"]);
    status.lines().filter(|line| line.starts_with(begin)).count()
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
        assert_eq!(known(&third).await, NODES);
        assert!(third.await_schema_agreement().await.is_ok());
        assert_eq!(count(&cluster, 2, "UN"), NODES);
        // Who was away finds what has happened, and comes back as who it was.
        nodes.remove(1).kill();
        run(&third, "CREATE TABLE app.without (k int PRIMARY KEY)").await;
        assert_eq!((count(&cluster, 2, "UN"), count(&cluster, 2, "DN")), (NODES - 1, 1));
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
