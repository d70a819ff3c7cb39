//! What follows from news of others, as long as the node lives: it says of itself what has changed,
//! lets go of who has left, and tells drivers.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use helenus_gossip::Key;
use helenus_gossip::state::number_value;
use helenus_platform::signal::Signal;

use super::start::{own_state, status};
use super::tell_clients::Told;
use crate::cluster::members::MemberState;
use crate::cluster::wait::within;
use crate::node::Node;

/// Why a node must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doom {
    /// It has left its cluster.
    Left,
    /// Others say so, for this reason: it was removed, or somebody else has its identity.
    Failed(String),
}

/// How long a node that has left still answers its operator.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How often the node says how much data it holds.
const LOAD_EVERY: Duration = Duration::from_secs(30);

/// Waits until one of the signals has moved past its epoch.
pub(super) async fn any(signals: &[(&Signal, u64)]) {
    let mut waits: Vec<_> =
        signals.iter().map(|(signal, epoch)| Box::pin(signal.wait_past(*epoch))).collect();
    poll_fn(|context| {
        let is_over = waits.iter_mut().any(|wait| Pin::new(wait).poll(context).is_ready());
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The task.
pub(super) async fn run(node: Node) {
    let (metadata, stopped) = (node.metadata(), &node.shared.stopped);
    let (Some(gossip), Some(internode)) = (node.gossip(), node.internode()) else { return };
    let runtime = &node.world().runtime;
    let own = node.identity().host_id;
    let (mut load_at, mut version, mut told) = (Duration::ZERO, None, Told::default());
    loop {
        let epochs = (metadata.signal().epoch(), gossip.moved().epoch(), stopped.epoch());
        if node.is_stopping() {
            return;
        }
        let state = metadata.state();
        if version != Some(state.version) {
            version = Some(state.version);
            gossip.say(Key::STATUS, status(own_state(&node)).value());
            gossip.say(Key::METADATA_VERSION, number_value(state.version));
            for member in state.members.all().filter(|m| m.state == MemberState::Left) {
                gossip.gone(&member.host_id);
                internode.forget(member.host_id);
            }
        }
        for event in told.news(&own, &state, &gossip.view()) {
            node.events().publish(event);
        }
        let now = node.world().clock.monotonic();
        if now >= load_at {
            gossip.say(Key::LOAD, number_value(node.load()));
            load_at = now + LOAD_EVERY;
        }
        let signals =
            [(metadata.signal(), epochs.0), (gossip.moved(), epochs.1), (stopped, epochs.2)];
        within(runtime, Some(load_at.saturating_sub(now)), any(&signals)).await;
    }
}

/// Ready when the node must end.
pub(super) async fn doomed(node: &Node) -> Doom {
    let (metadata, unmoved) = (node.metadata(), Signal::new());
    let gossip = node.gossip();
    let heard = gossip.map_or(&unmoved, |gossip| gossip.moved());
    loop {
        let epochs = (metadata.signal().epoch(), heard.epoch());
        if let Some(why) = gossip.and_then(|gossip| gossip.fatal()) {
            return Doom::Failed(why.to_owned());
        }
        if own_state(node) == Some(MemberState::Left) {
            // Whoever has asked for it is told first.
            node.world().runtime.sleep(LAST_WORDS).await;
            return Doom::Left;
        }
        any(&[(metadata.signal(), epochs.0), (heard, epochs.1)]).await;
    }
}
