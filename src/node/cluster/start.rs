//! Starting a node that others can reach.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cql_lite::types::text::print_uuid;
use helenus_gossip::state::{Status, number_value};
use helenus_gossip::{ClusterId, Conflict, Key, ShadowReport, Value};
use helenus_platform::net::Network;
use helenus_platform::runtime::BoxFuture;

use super::addresses::Seeds;
use super::watch::Doom;
use super::{Addresses, Connected, bootstrap, forming, watch};
use crate::cluster::gossiping::Announcement;
use crate::cluster::members::{FEATURE_LEVEL, MemberState};
use crate::cluster::transport::NoTransport;
use crate::cluster::wait::within;
use crate::config::Config;
use crate::internode::{ConnectionState, ConnectionView, Direction, Request, Target, Verb};
use crate::node::open::{Held, found, hold, prepare_empty, read_metadata, unless_writable};
use crate::node::{Node, OpenError, World};

/// How long a node that comes back waits for what others know of it.
const RETURN_ROUND: Duration = Duration::from_secs(2);
/// How many such rounds there are while others say that somebody else has this node's host id.
const COPY_ROUNDS: usize = 8;
/// How long it waits for the metadata of the others before it serves with its own.
const CURRENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a node waits to hear of the other members before it serves.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(3);
/// How long another node has to show that it is where this one says it is.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// How often, and how far apart, it is looked whether old connections have ended.
const OLD_CONNECTION_LOOKS: usize = 50;
const OLD_CONNECTION_LOOK: Duration = Duration::from_millis(2);
/// The most addresses that gossip begins with.
const SEEDS_MAX: usize = helenus_gossip::SEEDS_MAX;

impl Node {
    /// Opens the data directory that `config` names as [`Node::open`] does, and makes the node a
    /// member of its cluster: an empty directory is founded or joins, as the seeds have it. Ready
    /// when the node can serve. Waits for seeds as long as that takes; dropping the future gives
    /// up. Its polls block on the disk, so it is not for a thread that runs tasks.
    ///
    /// # Errors
    /// Name the file or the address and say what to do.
    pub fn start(
        world: World,
        network: Arc<dyn Network>,
        config: Config,
    ) -> BoxFuture<'static, Result<Node, OpenError>> {
        Box::pin(async move {
            let dir = config.data_dir.clone();
            let started = start(world, network, config).await;
            started.map_err(|error| unless_writable(&dir, error))
        })
    }

    /// Says goodbye to the other nodes and closes the connections to them. To be called when
    /// clients are gone.
    pub async fn retire(&self) {
        if let Some(connected) = self.shared.connected.get() {
            connected.gossip.stop().await;
            connected.internode.close().await;
        }
    }

    /// Ready when the node must end: it has left, or others say so.
    pub async fn doomed(&self) -> Doom {
        watch::doomed(self).await
    }

    /// Addresses of the other members, as the metadata have them.
    fn other_members(&self) -> Vec<SocketAddr> {
        let own = self.identity().host_id;
        let state = self.metadata().state();
        let others = state.members.present().filter(|member| member.host_id != own);
        others.map(|member| member.internode_address).collect()
    }
}

async fn start(world: World, network: Arc<dyn Network>, config: Config) -> Result<Node, OpenError> {
    let own = Addresses::find(&config, network.as_ref(), &world.runtime).await?;
    let (held, identity) = hold(&world, &config)?;
    let founded = match identity {
        Some(identity) => read_metadata(&world, &config, identity)?,
        None if config.seeds.is_empty() => {
            prepare_empty(&world, &config)?;
            found(&world, &config, &own, None)?
        }
        None => {
            let host_id = forming::host_id(&world, &config)?;
            let connected = Connected::listen(&world, network, &config, &own, host_id).await?;
            let founded = forming::form(&world, &config, &own, &connected, host_id).await?;
            let seeds = Seeds::find(&config, &own, connected.network.as_ref(), &world.runtime);
            let seeds = seeds.await.addresses;
            let held = Held { at: world.clock.monotonic(), ..held };
            let node = Node::assemble(world, config, held, founded, own)?;
            return or_close(&node, take_part(&node, connected, seeds)).await;
        }
    };
    let node = Node::assemble(world, config, held, founded, own)?;
    or_close(&node, come_back(&node, network)).await
}

/// The node, once `rest` of its start is done; closed if that fails.
async fn or_close(
    node: &Node,
    rest: impl Future<Output = Result<(), OpenError>>,
) -> Result<Node, OpenError> {
    match rest.await {
        Ok(()) => Ok(node.clone()),
        Err(error) => {
            if let Err(closing) = node.close().await {
                tracing::warn!(error = %closing, "could not stop cleanly");
            }
            Err(error)
        }
    }
}

/// A node that has an identity: asks others whether anything speaks against its coming back.
async fn come_back(node: &Node, network: Arc<dyn Network>) -> Result<(), OpenError> {
    let (world, config, own) = (node.world(), node.config(), &node.shared.own);
    let others = node.other_members();
    let host_id = node.identity().host_id;
    let is_alone = config.seeds.is_empty() && others.is_empty();
    if config.internode_port == 0 {
        if !is_alone {
            return Err(OpenError::Cluster(
                "the node is one of several members of its cluster, and listen.internode_port is \
                 0: set it to the port that the others know"
                    .to_owned(),
            ));
        }
        node.begin(Arc::new(NoTransport));
        return Ok(());
    }
    let connected = match Connected::listen(world, network, config, own, host_id).await {
        Ok(connected) => connected,
        Err(error) if is_alone => {
            tracing::warn!("no other node can join this one: {error}");
            node.begin(Arc::new(NoTransport));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let seeds = Seeds::find(config, own, connected.network.as_ref(), &world.runtime).await;
    let mut asked = seeds.addresses;
    asked.extend(others);
    asked.retain(|address| *address != own.internode);
    asked.sort_unstable();
    asked.dedup();
    asked.truncate(SEEDS_MAX);
    if !asked.is_empty() {
        let generation = node.identity().gossip_generation;
        for round in 1.. {
            let round_of_all = asked.clone();
            let asking = connected.gossip.shadow_round(round_of_all, generation, RETURN_ROUND);
            if let Some(report) = asking.await {
                check(node, &connected, &report).await?;
            }
            // A node that has moved, and was cut off before, is believed once its old connections
            // are silent for long enough.
            match connected.is_copied() {
                Some(why) if round >= COPY_ROUNDS => return Err(OpenError::Cluster(why)),
                Some(why) => tracing::info!("waiting: {why}"),
                None => break,
            }
        }
    }
    take_part(node, connected, asked).await
}

/// Refuses to come back where something speaks against it.
async fn check(node: &Node, connected: &Connected, report: &ShadowReport) -> Result<(), OpenError> {
    let identity = node.identity();
    let own = ClusterId(u128::from_be_bytes(identity.cluster_id));
    let host_id = print_uuid(&identity.host_id);
    let refuse = |why: String| Err(OpenError::Cluster(why));
    if let Some(other) = report.cluster_id.filter(|other| *other != own) {
        return refuse(format!(
            "the data directory belongs to cluster {own}, and cluster.seeds to cluster {other}: \
             list seeds of its own cluster, or give the node an empty directory to join the other"
        ));
    }
    for conflict in &report.conflicts {
        match conflict {
            Conflict::Cluster { other } => {
                return refuse(format!(
                    "cluster.seeds belong to different clusters, {own} and {other}: list only \
                     seeds of one"
                ));
            }
            Conflict::Gone { .. } => {
                return refuse(format!(
                    "the node {host_id} has left its cluster, or was removed: it can join again \
                     with an empty data directory"
                ));
            }
            Conflict::Generation { known, address } => {
                let place = address.map_or_else(String::new, |at| format!(" at {at}"));
                return refuse(format!(
                    "the cluster knows a later life of the node {host_id}{place} ({known}; this \
                     one would be {}): the data directory was copied, or the clock was set back; \
                     start the newest copy only, with the right time",
                    identity.gossip_generation
                ));
            }
            Conflict::Address { host } if is_there(node, connected, host.0.to_be_bytes()).await => {
                return refuse(format!(
                    "another node, {host}, is up at {}: set cluster.advertise_address and \
                     listen.internode_port to what is this node's own",
                    node.shared.own.internode
                ));
            }
            // It was there once.
            _ => {}
        }
    }
    Ok(())
}

/// Whether the node of that host id answers at this node's address.
async fn is_there(node: &Node, connected: &Connected, host_id: [u8; 16]) -> bool {
    let target = Target { address: node.shared.own.internode, host_id: Some(host_id) };
    let deadline = connected.internode.deadline(PING_TIMEOUT);
    let ping = Request { verb: Verb::Ping, payload: Vec::new().into(), deadline, trace: None };
    let answer = connected.internode.request(&target, ping);
    let answer = within(&node.world().runtime, Some(PING_TIMEOUT), answer).await;
    matches!(answer, Some(Ok(_)))
}

/// Becomes a member among the others, and goes on until the node can serve.
async fn take_part(
    node: &Node,
    connected: Connected,
    mut seeds: Vec<SocketAddr>,
) -> Result<(), OpenError> {
    let shared = &node.shared;
    let identity = node.identity();
    seeds.extend(node.other_members());
    seeds.sort_unstable();
    seeds.dedup();
    seeds.retain(|address| *address != shared.own.internode);
    seeds.truncate(SEEDS_MAX);
    let announcement = Announcement {
        cluster_id: identity.cluster_id,
        generation: identity.gossip_generation,
        seeds,
        values: values(node),
    };
    connected.internode.set_cluster(identity.cluster_id);
    await_new_connections(node, &connected).await;
    connected.messages.set_engine(node.engine().clone());
    connected.messages.set_metadata(shared.services.metadata.clone());
    let transport = connected.transport();
    drop(shared.liveness.set(connected.gossip.liveness()));
    let connected = shared.connected.get_or_init(|| connected);
    let announced = connected.gossip.announce(announcement).await;
    announced.map_err(|error| OpenError::Cluster(error.to_string()))?;
    node.begin(transport);
    node.spawn_counted("cluster watch", watch::run);
    node.replicate(connected)?;
    if own_state(node).is_none_or(|state| state == MemberState::Joining) {
        bootstrap::become_normal(node).await;
    } else if !node.other_members().is_empty() {
        await_current(node).await;
    }
    await_others(node).await;
    Ok(())
}

/// Waits a while for the others to be heard of, so that the first clients are not told that
/// replicas are missing which are only not known yet.
async fn await_others(node: &Node) {
    let Some(gossip) = node.gossip() else { return };
    let own = node.identity().host_id;
    let wait = async {
        loop {
            let heard = gossip.moved().epoch();
            let state = node.metadata().state();
            let mut others = state.members.present().filter(|member| member.host_id != own);
            if others.all(|member| node.liveness().is_up(&member.host_id)) {
                return;
            }
            gossip.moved().wait_past(heard).await;
        }
    };
    // Who has not been heard of by then is probably down.
    within(&node.world().runtime, Some(OTHERS_TIMEOUT), wait).await;
}

/// Waits until connections that were opened before the node was a member have ended, which takes a
/// moment: what is written to them is lost.
async fn await_new_connections(node: &Node, connected: &Connected) {
    let is_old = |connection: &ConnectionView| {
        connection.direction == Direction::Outbound && connection.state == ConnectionState::Up
    };
    for _ in 0..OLD_CONNECTION_LOOKS {
        if !connected.internode.connections().iter().any(is_old) {
            return;
        }
        node.world().runtime.sleep(OLD_CONNECTION_LOOK).await;
    }
}

/// Where this node is in its life, as far as its metadata know.
pub(super) fn own_state(node: &Node) -> Option<MemberState> {
    if node.metadata().has_left() {
        return Some(MemberState::Left);
    }
    let state = node.metadata().state();
    state.members.get(&node.identity().host_id).map(|member| member.state)
}

/// What gossip calls the state of a member.
pub(super) fn status(state: Option<MemberState>) -> Status {
    match state {
        None | Some(MemberState::Joining) => Status::Joining,
        Some(MemberState::Normal) => Status::Normal,
        Some(MemberState::Leaving) => Status::Leaving,
        Some(MemberState::Left) => Status::Left,
    }
}

/// What the node says of itself from the beginning.
fn values(node: &Node) -> Vec<(Key, Value)> {
    let config = node.config();
    let text = |text: &str| Value::from(text.as_bytes());
    vec![
        (Key::STATUS, status(own_state(node)).value()),
        (Key::DATA_CENTRE, text(&config.data_center)),
        (Key::RACK, text(&config.rack)),
        (Key::FEATURE_LEVEL, number_value(u64::from(FEATURE_LEVEL))),
        (Key::METADATA_VERSION, number_value(node.metadata().state().version)),
        (Key::RELEASE, text(env!("CARGO_PKG_VERSION"))),
    ]
}

/// Waits until this node has the metadata that the others have, for a while: those that it has
/// are good enough to read and write by, and the others may be the ones that are missing.
async fn await_current(node: &Node) {
    let (metadata, runtime) = (node.metadata(), &node.world().runtime);
    let Some(gossip) = node.gossip() else { return };
    let own = node.identity().host_id;
    let is_current = || {
        let view = gossip.view();
        let others = view.nodes().filter(|other| other.up && other.host.0.to_be_bytes() != own);
        let known: Vec<u64> = others.filter_map(|other| other.metadata_version).collect();
        let newest = known.iter().max();
        metadata.standing().leader.is_some()
            && newest.is_some_and(|newest| metadata.state().version >= *newest)
    };
    let wait = async {
        loop {
            let (moved, seen) = (metadata.signal().epoch(), gossip.moved().epoch());
            if is_current() {
                return;
            }
            watch::any(&[(metadata.signal(), moved), (gossip.moved(), seen)]).await;
        }
    };
    if within(runtime, Some(CURRENT_TIMEOUT), wait).await.is_none() {
        tracing::warn!(
            "no majority of the members that vote on the metadata can be reached: serving with \
             the schema that this node has; changes of the schema fail until they are back"
        );
    }
}

#[cfg(test)]
mod tests {
    use helenus_gossip::Generation;
    use helenus_platform::random::SeededRandom;

    use crate::cluster::identity::Identity;

    #[test]
    fn the_least_generation_is_one_that_gossip_takes() {
        let mut identity = Identity::found(&SeededRandom::new(1));
        for clock in [-5_000_000, 0, 0, 1_700_000_000_000_000, 1_600_000_000_000_000] {
            let before = identity.gossip_generation;
            let next = identity.next_generation(clock);
            assert!(next > before && Generation(next) <= Generation::MAX);
        }
    }
}
