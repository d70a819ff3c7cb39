//! Messages of other nodes, handed to whom they are for: gossip and the metadata as soon as the node
//! listens, everything else once it is open.

use std::sync::{Arc, OnceLock};

use helenus_platform::signal::Signal;
use helenus_storage::Engine;
use helenus_storage::model::LogPosition;

use crate::cluster::gossiping::GossipInbox;
use crate::cluster::metadata::Metadata;
use crate::cluster::transport::is_join;
use crate::coordinator::failure;
use crate::internode::{
    Answer, Failure, Incoming, MessageHandler, Peer, Position, Received, ReplyWriter, Verb,
};

/// What a replica answers: mutations, reads, and whatever else is about rows. Answers may be held
/// for a position of the engine's log.
pub trait ReplicaMessages: Send + Sync {
    /// As [`MessageHandler::receive`].
    fn receive(&self, from: &Peer, message: Incoming, reply: &mut ReplyWriter<'_>) -> Received;
}

/// The one handler of the node's internode port.
pub(crate) struct NodeMessages {
    // Each set once.
    gossip: OnceLock<GossipInbox>,
    metadata: OnceLock<Arc<Metadata>>,
    engine: OnceLock<Engine>,
    replica: OnceLock<Arc<dyn ReplicaMessages>>,
    /// Stands in for the engine's before there is one; nothing is held then.
    unmoved: Signal,
}

impl NodeMessages {
    pub(super) fn new() -> Arc<NodeMessages> {
        Arc::new(NodeMessages {
            gossip: OnceLock::new(),
            metadata: OnceLock::new(),
            engine: OnceLock::new(),
            replica: OnceLock::new(),
            unmoved: Signal::new(),
        })
    }

    pub(super) fn set_gossip(&self, inbox: GossipInbox) {
        drop(self.gossip.set(inbox));
    }

    /// The node's metadata take part from now on.
    pub(super) fn set_metadata(&self, metadata: Arc<Metadata>) {
        drop(self.metadata.set(metadata));
    }

    /// The node is open.
    pub(super) fn set_engine(&self, engine: Engine) {
        drop(self.engine.set(engine));
    }

    /// The node answers for its rows from now on. To be called after the engine is set.
    pub(crate) fn set_replica(&self, replica: Arc<dyn ReplicaMessages>) {
        drop(self.replica.set(replica));
    }

    fn ask_metadata(
        &self,
        from: &Peer,
        message: Incoming,
        reply: &mut ReplyWriter<'_>,
    ) -> Received {
        let joins = is_join(&message.payload);
        if joins != (message.verb == Verb::Join) {
            let text = "the message does not ask what its verb says";
            reply.fail(&Failure::new(Failure::NOT_A_MEMBER, text));
            return Received::NOW;
        }
        let Some(metadata) = self.metadata.get() else { return starting(reply) };
        let answer = metadata.handle(Some(from.host_id), message.payload);
        Received::Pending(Box::pin(
            async move { Answer { result: Ok(answer.await), hold_until: None } },
        ))
    }
}

fn starting(reply: &mut ReplyWriter<'_>) -> Received {
    reply.fail(&Failure::new(failure::STARTING, "the node is starting"));
    Received::NOW
}

impl MessageHandler for NodeMessages {
    fn receive(&self, from: &Peer, message: Incoming, reply: &mut ReplyWriter<'_>) -> Received {
        match message.verb {
            Verb::Gossip => {
                if let Some(gossip) = self.gossip.get() {
                    gossip.receive(from.address, message.payload);
                }
                // Gossip answers by messages of its own.
                if message.is_request { Received::NOW } else { Received::Nothing }
            }
            Verb::Join | Verb::Metadata => self.ask_metadata(from, message, reply),
            _ => match self.replica.get() {
                Some(replica) => replica.receive(from, message, reply),
                None => starting(reply),
            },
        }
    }

    fn watermark(&self) -> Position {
        self.engine.get().map_or(0, |engine| engine.answer_position().0)
    }

    fn write_out(&self, position: Position) {
        if let Some(engine) = self.engine.get() {
            engine.write_out(LogPosition(position));
        }
    }

    fn watermark_signal(&self) -> &Signal {
        // A connection waits on it only while it holds an answer of a replica, which is set after
        // the engine: it never waits on one and gives its place back to the other.
        self.engine.get().map_or(&self.unmoved, Engine::watermark_signal)
    }

    fn failure(&self) -> Option<Failure> {
        let error = self.engine.get()?.failure()?;
        let text = format!("the node refuses writes until it is restarted: {error}");
        Some(Failure::new(failure::ENGINE, text))
    }
}
