//! What a node says of itself to others, and how two nodes find out whether they should talk.

use std::net::SocketAddr;

use super::error::{Reason, Refusal};
use super::handshake::{Hello, Welcome};
use super::verb::Channel;

/// The layouts of frames and messages that this version speaks, lowest and highest.
pub const VERSIONS: Versions = Versions { lowest: 1, highest: 1 };

/// A range of layouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The lowest.
    pub lowest: u8,
    /// The highest.
    pub highest: u8,
}

impl Versions {
    /// The highest that both know.
    fn common(self, other: Versions) -> Option<u8> {
        let highest = self.highest.min(other.highest);
        (highest >= self.lowest.max(other.lowest)).then_some(highest)
    }
}

/// A node, as it introduces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Its cluster; none before it has founded or joined one.
    pub cluster_id: Option<[u8; 16]>,
    /// The node, for ever.
    pub host_id: [u8; 16],
    /// Where others reach it.
    pub address: SocketAddr,
    /// The newest feature level that it knows.
    pub feature_level: u32,
}

/// A host id for people, in the usual form.
pub(super) fn host_name(id: [u8; 16]) -> uuid::Uuid {
    uuid::Uuid::from_bytes(id)
}

/// Decides whether to talk to who introduces itself with `hello`. Whether its host id belongs to
/// another live node is not known here.
pub(super) fn judge(
    own: &Own,
    instance: u64,
    lz4: bool,
    hello: &Hello,
) -> Result<Welcome, Refusal> {
    let theirs = hello.versions;
    let Some(version) = VERSIONS.common(theirs) else {
        let (older, newer) = if theirs.lowest > VERSIONS.highest {
            ("this node", "the other")
        } else {
            ("the other", "this node")
        };
        return Err(Refusal::new(
            Reason::Version,
            format!(
                "it speaks versions {} to {} of the internode protocol, and this node {} to {}: \
                 {newer} is newer by too many releases; upgrade {older} first",
                theirs.lowest, theirs.highest, VERSIONS.lowest, VERSIONS.highest
            ),
        ));
    };
    if hello.own.host_id == own.host_id {
        return Err(if hello.instance == instance {
            Refusal::new(Reason::Itself, "the address is the node's own")
        } else {
            cloned(own.host_id)
        });
    }
    if let (Some(theirs), Some(ours)) = (hello.own.cluster_id, own.cluster_id)
        && theirs != ours
    {
        return Err(Refusal::new(
            Reason::OtherCluster,
            format!(
                "it belongs to cluster {}, and this node to {}: remove the address of the one \
                 from the seeds of the other",
                host_name(theirs),
                host_name(ours)
            ),
        ));
    }
    if let Some(meant) = hello.expected
        && meant != own.host_id
    {
        return Err(Refusal::new(
            Reason::NotWhoWasMeant,
            format!(
                "the node {} was meant, and at this address is {}: an address was given to \
                 another node, which gossip will tell; if it stays so, look at both nodes' \
                 internode addresses",
                host_name(meant),
                host_name(own.host_id)
            ),
        ));
    }
    if Channel::from_code(hello.channel).is_none() {
        return Err(Refusal::new(
            Reason::UnknownChannel,
            format!("a connection of kind {} is not known to this version", hello.channel),
        ));
    }
    Ok(Welcome { version, own: *own, instance, lz4: lz4 && hello.lz4 })
}

/// Checks who answered: the acceptor has checked all of it too, but need not be trusted to.
pub(super) fn confirm(hello: &Hello, welcome: &Welcome) -> Result<(), Refusal> {
    let versions = Versions { lowest: welcome.version, highest: welcome.version };
    let answered = Hello {
        versions,
        own: welcome.own,
        instance: welcome.instance,
        expected: None,
        channel: hello.channel,
        lz4: welcome.lz4,
    };
    judge(&hello.own, hello.instance, hello.lz4, &answered)?;
    match hello.expected {
        Some(meant) if meant != welcome.own.host_id => Err(Refusal::new(
            Reason::NotWhoWasMeant,
            format!(
                "the node {} was meant, and {} answered",
                host_name(meant),
                host_name(welcome.own.host_id)
            ),
        )),
        _ => Ok(()),
    }
}

pub(super) fn cloned(host_id: [u8; 16]) -> Refusal {
    Refusal::new(
        Reason::ClonedHostId,
        format!(
            "two nodes have the host id {}: a data directory was copied; stop one of the two and \
             start it with an empty directory",
            host_name(host_id)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(id: u8, cluster: Option<u8>) -> Own {
        Own {
            cluster_id: cluster.map(|c| [c; 16]),
            host_id: [id; 16],
            address: SocketAddr::from(([10, 0, 0, id], 7000)),
            feature_level: 1,
        }
    }

    fn hello(id: u8, cluster: Option<u8>) -> Hello {
        let own = own(id, cluster);
        Hello { versions: VERSIONS, own, instance: 5, expected: None, channel: 1, lz4: true }
    }

    #[test]
    fn only_nodes_that_belong_together_talk() {
        let us = own(1, Some(9));
        let reason = |hello: &Hello| judge(&us, 7, true, hello).map_err(|r| r.reason.unwrap());
        assert_eq!(reason(&hello(2, Some(9))).map(|w| w.lz4), Ok(true));
        assert!(reason(&hello(2, None)).is_ok());
        assert_eq!(reason(&hello(2, Some(8))).unwrap_err(), Reason::OtherCluster);
        assert_eq!(reason(&hello(1, Some(9))).unwrap_err(), Reason::ClonedHostId);
        assert_eq!(reason(&Hello { instance: 7, ..hello(1, None) }), Err(Reason::Itself));
        let meant = Hello { expected: Some([3; 16]), ..hello(2, None) };
        assert_eq!(reason(&meant), Err(Reason::NotWhoWasMeant));
        let meant = Hello { expected: Some([1; 16]), ..hello(2, None) };
        assert!(reason(&meant).is_ok());
        assert_eq!(reason(&Hello { channel: 9, ..hello(2, None) }), Err(Reason::UnknownChannel));
    }

    #[test]
    fn the_highest_common_version_is_spoken() {
        let versions = |lowest, highest| Versions { lowest, highest };
        assert_eq!(versions(1, 3).common(versions(2, 5)), Some(3));
        assert_eq!(versions(4, 4).common(versions(2, 5)), Some(4));
        assert_eq!(versions(1, 3).common(versions(4, 5)), None);
        let newer = Hello { versions: versions(2, 4), ..hello(2, None) };
        let refusal = judge(&own(1, None), 7, true, &newer).unwrap_err();
        assert_eq!(refusal.reason, Some(Reason::Version));
        assert!(refusal.text.contains("2 to 4") && refusal.text.contains("upgrade this node"));
    }

    #[test]
    fn who_answers_is_checked_too() {
        let asked = Hello { expected: Some([2; 16]), ..hello(1, Some(9)) };
        let answer =
            |id, cluster| Welcome { version: 1, own: own(id, cluster), instance: 6, lz4: true };
        let reason = |welcome: &Welcome| confirm(&asked, welcome).map_err(|r| r.reason.unwrap());
        assert_eq!(reason(&answer(2, Some(9))), Ok(()));
        assert_eq!(reason(&answer(2, Some(8))), Err(Reason::OtherCluster));
        assert_eq!(reason(&answer(3, Some(9))), Err(Reason::NotWhoWasMeant));
        assert_eq!(reason(&answer(1, Some(9))), Err(Reason::ClonedHostId));
        assert_eq!(reason(&Welcome { version: 2, ..answer(2, None) }), Err(Reason::Version));
    }
}
