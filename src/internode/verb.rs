//! What messages are about, and which connection they take.

/// The connections of a pair of nodes, each a queue of its own: what is slow on one does not hold
/// up another. Messages keep their order within a channel, and only there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Channel {
    /// Small and urgent: who is up, what was decided.
    Urgent = 1,
    /// The small messages of clients' requests.
    Normal = 2,
    /// Messages of [`Limits::large_bytes`](super::Limits::large_bytes) and more.
    Large = 3,
    /// Background work, which may be large and may wait.
    Bulk = 4,
}

impl Channel {
    /// All of them.
    pub const ALL: [Channel; 4] = [Channel::Urgent, Channel::Normal, Channel::Large, Channel::Bulk];

    /// The channel with this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| *channel as u8 == code)
    }

    /// Its name in metrics and log lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Channel::Urgent => "urgent",
            Channel::Normal => "normal",
            Channel::Large => "large",
            Channel::Bulk => "bulk",
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize - 1
    }
}

/// What a message is about. Each payload's layout belongs to whoever handles the verb. Numbers are
/// for ever: a verb that is given up leaves its number behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Verb {
    /// Are you there? Answered by the other side's internode itself, with an empty payload.
    Ping = 1,
    /// A message of `helenus_gossip`.
    Gossip = 2,
    /// A node that belongs to no cluster asks to be taken in.
    Join = 3,
    /// The metadata log's group: votes, entries, snapshots.
    Metadata = 4,
    /// A mutation for a replica.
    Mutation = 10,
    /// A read of a replica.
    Read = 11,
    /// TRUNCATE, carried out on a replica.
    Truncate = 12,
    /// A logged batch, to be kept until it is done: `coordinator/batch_log.rs`.
    BatchStore = 13,
    /// It is done.
    BatchRemove = 14,
    /// A mutation that was kept for a replica while it was away.
    HintedMutation = 20,
    /// Comparing and repairing replicas.
    Repair = 21,
    /// A page of a range, for a node that is to have it. Payloads are those of `Read`.
    Copy = 22,
}

impl Verb {
    /// All of them.
    pub const ALL: [Verb; 12] = [
        Verb::Ping,
        Verb::Gossip,
        Verb::Join,
        Verb::Metadata,
        Verb::Mutation,
        Verb::Read,
        Verb::Truncate,
        Verb::BatchStore,
        Verb::BatchRemove,
        Verb::HintedMutation,
        Verb::Repair,
        Verb::Copy,
    ];

    /// The verb with this number, if this version knows it.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| *verb as u8 == code)
    }

    /// The channel of messages that are not large; bulk stays bulk whatever its size.
    #[must_use]
    pub fn channel(self) -> Channel {
        match self {
            Verb::Ping | Verb::Gossip | Verb::Join | Verb::Metadata => Channel::Urgent,
            Verb::Mutation | Verb::Read | Verb::Truncate | Verb::BatchStore | Verb::BatchRemove => {
                Channel::Normal
            }
            Verb::HintedMutation | Verb::Repair | Verb::Copy => Channel::Bulk,
        }
    }

    /// Whether it may pass while one of the two nodes belongs to no cluster.
    #[must_use]
    pub fn before_membership(self) -> bool {
        matches!(self, Verb::Ping | Verb::Gossip | Verb::Join)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_they_were() {
        let verbs = Verb::ALL.map(|verb| format!("{verb:?}={}", verb as u8)).join(" ");
        let known = "Ping=1 Gossip=2 Join=3 Metadata=4 Mutation=10 Read=11 Truncate=12 BatchStore=13 \
                     BatchRemove=14 HintedMutation=20 Repair=21 Copy=22";
        assert_eq!(verbs, known);
        let channels = Channel::ALL.map(|channel| format!("{channel:?}={}", channel as u8));
        assert_eq!(channels.join(" "), "Urgent=1 Normal=2 Large=3 Bulk=4");
        for code in 0..=255 {
            assert!(Verb::from_code(code).is_none_or(|verb| verb as u8 == code));
            assert!(Channel::from_code(code).is_none_or(|channel| channel as u8 == code));
        }
        assert_eq!(Channel::ALL.map(Channel::index), [0, 1, 2, 3]);
    }
}
