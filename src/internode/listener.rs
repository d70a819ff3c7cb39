//! Accepts connections of other nodes: hears who they are, and decides whether to talk.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use bytes::BytesMut;
use helenus_platform::net::{Listener, Stream, accept_until, write_all};

use super::error::{Reason, Refusal};
use super::handler::{MessageHandler, Peer};
use super::handshake::{Hello, Introduction, Welcome};
use super::inbound::Inbound;
use super::own::judge;
use super::registry::{Registered, Stranger, register};
use super::shared::Shared;
use super::verb::Channel;

/// Bytes asked for at a time before it is known who is there.
const READ_BYTES: usize = 4 << 10;

/// Accepts until the node stops.
pub(super) async fn accept(
    listener: Box<dyn Listener>,
    shared: Arc<Shared>,
    handler: Arc<dyn MessageHandler>,
) {
    let each = |stream, remote| {
        let Some(stranger) = Stranger::admit(&shared) else {
            shared.metrics.refused.increment();
            if let Some(left_out) = shared.admit_line() {
                tracing::warn!(
                    %remote, left_out,
                    "refused a connection to the internode port: too many others have not said \
                     who they are; make sure that only nodes can reach it"
                );
            }
            return;
        };
        let task = serve(stream, remote, shared.clone(), handler.clone(), stranger);
        shared.spawn("internode accepted", Box::pin(task));
    };
    accept_until(listener, "internode", &shared.stop, &*shared.runtime, each).await;
}

async fn serve(
    mut stream: Box<dyn Stream>,
    remote: SocketAddr,
    shared: Arc<Shared>,
    handler: Arc<dyn MessageHandler>,
    stranger: Stranger,
) {
    let mut input = BytesMut::new();
    let heard = hear(&mut *stream, &mut input, &shared).await;
    let hello = match heard {
        Ok(hello) => hello,
        Err(error) => {
            shared.metrics.refused.increment();
            if let Some(left_out) = shared.admit_line() {
                tracing::warn!(
                    %remote, left_out, %error,
                    "refused a connection to the internode port: it does not speak the internode \
                     protocol; make sure that only nodes can reach it"
                );
            }
            return;
        }
    };
    let (answer, accepted) = match decide(&shared, remote, &hello) {
        Ok((welcome, registered)) => {
            (Introduction::Welcome(welcome), Some((registered, welcome.lz4)))
        }
        Err(refusal) => {
            shared.metrics.refused.increment();
            log_refusal(&shared, remote, &hello, &refusal);
            (Introduction::Refused(refusal), None)
        }
    };
    let mut out = BytesMut::new();
    answer.encode(&mut out);
    // The answer is short: it finds room in the network's buffer.
    let sent = write_all(&mut *stream, &out).await;
    drop(stranger);
    let (Some((registered, lz4)), Ok(())) = (accepted, sent) else {
        // Its failing would mean that the other side is gone, which is as good.
        let _ = poll_fn(|context| stream.poll_shutdown(context)).await;
        return;
    };
    let peer = registered.accepted.peer.clone();
    for lane in shared.all_lanes() {
        if lane.target.host_id == Some(peer.host_id) || lane.target.address == peer.address {
            lane.revive();
        }
    }
    let connection = Inbound::new(shared.clone(), handler, registered, stream, input, lz4);
    if let Err(error) = connection.await {
        log_end(&shared, &peer, &error);
    }
}

/// Reads the HELLO, for as long as that may take.
async fn hear(stream: &mut dyn Stream, input: &mut BytesMut, shared: &Shared) -> io::Result<Hello> {
    let mut late = shared.runtime.sleep(shared.limits.connect_timeout);
    loop {
        let taken = Introduction::take(input)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        match taken {
            Some(Introduction::Hello(hello)) => return Ok(hello),
            Some(_) => return Err(io::ErrorKind::InvalidData.into()),
            None => {}
        }
        let read = poll_fn(|context| {
            if late.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            stream.poll_read(context, input, READ_BYTES)
        });
        if read.await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn decide(
    shared: &Arc<Shared>,
    remote: SocketAddr,
    hello: &Hello,
) -> Result<(Welcome, Registered), Refusal> {
    if shared.stop.is_raised() {
        return Err(Refusal::new(Reason::Stopping, "it is stopping"));
    }
    let welcome = judge(&shared.own(), shared.instance, shared.limits.compression, hello)?;
    let channel = Channel::from_code(hello.channel).ok_or_else(|| {
        Refusal::new(Reason::UnknownChannel, "the kind of connection is not known")
    })?;
    let peer = Peer {
        host_id: hello.own.host_id,
        address: hello.own.address,
        remote,
        cluster_id: hello.own.cluster_id,
        feature_level: hello.own.feature_level,
        channel,
    };
    Ok((welcome, register(shared, peer, hello.instance)?))
}

fn log_refusal(shared: &Shared, remote: SocketAddr, hello: &Hello, refusal: &Refusal) {
    let node = hello.own.address;
    if refusal.reason.is_some_and(|reason| !reason.is_a_mistake()) {
        tracing::debug!(%remote, %node, "refused the connection of a node: {}", refusal.text);
    } else if let Some(left_out) = shared.admit_line() {
        tracing::warn!(%remote, %node, left_out, "refused the connection of a node: {}", refusal.text);
    }
}

fn log_end(shared: &Shared, peer: &Peer, error: &io::Error) {
    let (node, channel) = (peer.address, peer.channel.name());
    if error.kind() != io::ErrorKind::InvalidData {
        tracing::debug!(%node, channel, %error, "the connection of a node ended");
        return;
    }
    shared.metrics.damaged.increment();
    if let Some(left_out) = shared.admit_line() {
        tracing::warn!(
            %node, channel, left_out,
            "closed the connection of a node: {error}; if it happens again, look at the network \
             between the two and at that node's memory"
        );
    }
}
