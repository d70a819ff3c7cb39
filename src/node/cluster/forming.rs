//! A node with an empty directory and seeds: it asks them until it is clear whether it founds a
//! cluster or joins one.

use std::net::SocketAddr;
use std::time::Duration;

use cql_lite::types::text::print_uuid;
use helenus_gossip::ShadowReport;

use super::addresses::Seeds;
use super::{Addresses, Connected};
use crate::cluster::founding::{Founding, Waiting, decide};
use crate::cluster::identity::Identity;
use crate::cluster::members::{FEATURE_LEVEL, Member, MemberState};
use crate::cluster::metadata::{Joined, Metadata, join};
use crate::cluster::newcomer;
use crate::config::Config;
use crate::node::open::{Founded, found, give_identity, io, prepare_empty};
use crate::node::{OpenError, World};

/// How long seeds are waited for before what they say is looked at.
const ROUND: Duration = Duration::from_secs(1);
/// Between a round and the next.
const PAUSE: Duration = Duration::from_millis(200);
/// After nobody has let this node in.
const REFUSED_PAUSE: Duration = Duration::from_secs(2);
/// What is waited for is said again after so long.
const REPEAT: Duration = Duration::from_secs(30);

/// The host id that this directory joins under, kept across interruptions.
pub(super) fn host_id(world: &World, config: &Config) -> Result<[u8; 16], OpenError> {
    prepare_empty(world, config)?;
    let (disk, dir) = (world.disk.as_ref(), &config.data_dir);
    let path = dir.join(newcomer::NAME);
    if let Some(host_id) = newcomer::load(disk, dir).map_err(io("cannot read", &path))? {
        return Ok(host_id);
    }
    let host_id = world.random.uuid_v4();
    newcomer::store(disk, dir, host_id).map_err(io("cannot write", &path))?;
    Ok(host_id)
}

/// Says what the node waits for: when that changes, and now and then.
struct Waits {
    said: String,
    at: Duration,
}

impl Waits {
    fn say(&mut self, world: &World, why: String) {
        let now = world.clock.monotonic();
        if self.said != why || now >= self.at + REPEAT {
            tracing::info!("waiting: {why}");
            (self.said, self.at) = (why, now);
        }
    }
}

/// Founds a cluster or joins one; waits as long as that takes.
pub(super) async fn form(
    world: &World,
    config: &Config,
    own: &Addresses,
    connected: &Connected,
    host_id: [u8; 16],
) -> Result<Founded, OpenError> {
    let mut waits = Waits { said: String::new(), at: Duration::ZERO };
    loop {
        let seeds = Seeds::find(config, own, connected.network.as_ref(), &world.runtime).await;
        let seconds = u64::try_from(world.clock.wall_micros() / 1_000_000).unwrap_or(0).max(1);
        let asked = seeds.addresses.clone();
        let Some(report) = connected.gossip.shadow_round(asked, seconds, ROUND).await else {
            return Err(OpenError::Cluster("the node is stopping".to_owned()));
        };
        let pause = match next(own.internode, &seeds, &report) {
            Founding::Found => {
                prepare_empty(world, config)?;
                let founded = found(world, config, own, Some(host_id))?;
                let cluster_id = print_uuid(&founded.identity.cluster_id);
                tracing::info!(cluster_id, "founded a cluster");
                return Ok(founded);
            }
            Founding::Refuse(why) => return Err(OpenError::Cluster(why)),
            Founding::Join { seeds, .. } => {
                match ask_in_turn(world, config, own, connected, host_id, &seeds).await {
                    Ok(joined) => return settle(world, config, host_id, joined),
                    Err(why) => waits.say(world, why),
                }
                REFUSED_PAUSE
            }
            Founding::Wait(why) => {
                let unknown = match seeds.unknown.as_slice() {
                    [] => String::new(),
                    unknown => format!(" (seeds without an address: {})", unknown.join("; ")),
                };
                waits.say(world, format!("{why}{unknown}"));
                PAUSE
            }
        };
        world.runtime.sleep(pause).await;
    }
}

/// As the founding rule says, which needs to know every seed: one that is known by name alone may
/// be the one that founds.
fn next(own: SocketAddr, seeds: &Seeds, report: &ShadowReport) -> Founding {
    let all = seeds.addresses.len() + seeds.unknown.len();
    match decide(own, &seeds.addresses, report) {
        Founding::Found if !seeds.unknown.is_empty() => {
            let reachable = seeds.addresses.len();
            Founding::Wait(Waiting::Names { known: reachable, all })
        }
        decided => decided,
    }
}

/// Asks seeds to be taken in, until one does; otherwise what the last one said.
async fn ask_in_turn(
    world: &World,
    config: &Config,
    own: &Addresses,
    connected: &Connected,
    host_id: [u8; 16],
    seeds: &[SocketAddr],
) -> Result<Joined, String> {
    let newcomer = Member {
        host_id,
        internode_address: own.internode,
        cql_address: own.clients,
        data_center: config.data_center.clone(),
        rack: config.rack.clone(),
        tokens: Vec::new(),
        state: MemberState::Joining,
        feature_level: FEATURE_LEVEL,
        voter: false,
    };
    let transport = connected.transport();
    let mut why = "no seed belongs to the cluster".to_owned();
    for seed in seeds {
        match join(&world.runtime, transport.as_ref(), *seed, &newcomer).await {
            Ok(joined) => return Ok(joined),
            Err(error) => why = error.message,
        }
    }
    Err(why)
}

/// Makes the directory of a node that has been taken in.
fn settle(
    world: &World,
    config: &Config,
    host_id: [u8; 16],
    joined: Joined,
) -> Result<Founded, OpenError> {
    let Joined { cluster_id, version, member } = joined;
    if cluster_id == [0; 16] || member.host_id != host_id || member.tokens.is_empty() {
        let what = "the answer of the cluster that was asked to take this node in makes no sense";
        return Err(OpenError::Cluster(what.to_owned()));
    }
    prepare_empty(world, config)?;
    let metadata = Metadata::create_joining(
        world.disk.clone(),
        world.clock.clone(),
        &config.data_dir.join("metadata"),
        cluster_id,
        member.host_id,
    );
    let identity = Identity {
        cluster_id,
        host_id: member.host_id,
        tokens: member.tokens,
        ..Identity::found(world.random.as_ref())
    };
    tracing::info!(cluster_id = print_uuid(&cluster_id), version, "was taken into a cluster");
    give_identity(world, config, identity, metadata.map_err(OpenError::Metadata)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use helenus_gossip::{HostId, SeedAnswer};

    #[test]
    fn a_seed_that_is_known_by_name_alone_may_be_the_one_that_founds() {
        let address = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let answer = |port| SeedAnswer {
            address: address(port),
            host: HostId(1),
            cluster_id: None,
            in_shadow: true,
        };
        let report = ShadowReport {
            answers: vec![answer(2)],
            seeds: 2,
            cluster_id: None,
            complete: false,
            conflicts: Vec::new(),
        };
        let mut seeds = Seeds { addresses: vec![address(1), address(2)], unknown: Vec::new() };
        assert_eq!(next(address(1), &seeds, &report), Founding::Found);
        seeds.unknown.push("node3: it has no address".to_owned());
        assert!(matches!(next(address(1), &seeds, &report), Founding::Wait(_)));
    }
}
