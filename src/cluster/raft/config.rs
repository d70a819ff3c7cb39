//! Who is in the group, and who of them decides.

use std::collections::BTreeSet;

use helenus_platform::codec::{CodecError, Put, Reader};

use super::NodeId;

/// More members than a ring may have.
const MEMBERS_MAX: u64 = 16_384;

/// The members of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// A majority of these elects and commits.
    pub voters: BTreeSet<NodeId>,
    /// These only follow.
    pub learners: BTreeSet<NodeId>,
}

impl Config {
    /// Whether these voters are more than half of all.
    pub fn is_majority(&self, some: &BTreeSet<NodeId>) -> bool {
        2 * self.voters.intersection(some).count() > self.voters.len()
    }

    /// How many voters make a majority.
    pub fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// Voters that one of the two has and the other has not.
    pub fn voters_apart(&self, other: &Config) -> usize {
        self.voters.symmetric_difference(&other.voters).count()
    }

    /// Everybody, voters first.
    pub fn members(&self) -> impl Iterator<Item = &NodeId> {
        self.voters.iter().chain(&self.learners)
    }

    /// Appends `varint count + that many host ids` of the voters, then the same of the learners.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for set in [&self.voters, &self.learners] {
            out.put_varint(set.len() as u64);
            set.iter().for_each(|id| out.put_bytes(id));
        }
    }

    /// Reads what [`Config::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Config, CodecError> {
        let mut set = || -> Result<BTreeSet<NodeId>, CodecError> {
            let error = reader.error("number of members");
            let count = reader.varint()?;
            if count > MEMBERS_MAX {
                return Err(error);
            }
            let id = |bytes: &[u8]| NodeId::try_from(bytes).unwrap_or_default();
            (0..count).map(|_| reader.bytes(16).map(id)).collect()
        };
        Ok(Config { voters: set()?, learners: set()? })
    }
}
