//! What strangers, strangers' clusters, newer versions, copies and bad cables bring: refused, and
//! nobody else is disturbed.

use std::future::poll_fn;

use helenus_platform::net::write_all;

use super::*;
use crate::internode::frame::{FrameWriter, Next, next_frame};
use crate::internode::message::{self, Head, Message, Messages};

fn hello(node: u8) -> Hello {
    let (expected, lz4) = (Some([2; 16]), false);
    Hello { versions: VERSIONS, own: own(node), instance: 1, expected, channel: 2, lz4 }
}

fn bytes_of(introduction: &Introduction) -> BytesMut {
    let mut out = BytesMut::new();
    introduction.encode(&mut out);
    out
}

fn framed(messages: &[(u64, &[u8])]) -> BytesMut {
    let mut writer = FrameWriter::new(false);
    for (id, payload) in messages {
        let remaining = Duration::from_secs(5);
        let head = Head { verb: Verb::Mutation as u8, id: Some(*id), remaining, trace: None };
        message::put_work(writer.begin(), &head, payload);
        writer.end();
    }
    writer.finish();
    BytesMut::from(writer.bytes())
}

impl Lab {
    /// Says `bytes` to node 2 as somebody at address 99, and hears what it says until it closes, or
    /// for three seconds.
    async fn say(&self, bytes: &[u8]) -> (BytesMut, bool) {
        let host = self.network.host(ip(99));
        let mut stream = host.connect(address(2)).await.unwrap();
        // Fails if the node has closed already.
        let _ = write_all(&mut *stream, bytes).await;
        let mut heard = BytesMut::new();
        let mut late = self.runtime.sleep(Duration::from_secs(3));
        let closed = poll_fn(|context| {
            loop {
                match stream.poll_read(context, &mut heard, 1 << 20) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(true),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending => return late.as_mut().poll(context).map(|()| false),
                }
            }
        });
        let closed = closed.await;
        (heard, closed)
    }
}

fn refusal(mut heard: BytesMut) -> Refusal {
    match Introduction::take(&mut heard) {
        Ok(Some(Introduction::Refused(refusal))) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn strangers_are_shown_the_door_and_nodes_still_talk() {
    let lab = Lab::new(51);
    let lab2 = lab.clone();
    lab.run(async move {
        let limits = Limits { handshakes_max: 3, ..Limits::default() };
        let b = lab2.node_as(own(2), limits, TestHandler::echo()).await;
        for stranger in [
            &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            b"\x04\x00\x00\x00\x05\x00\x00\x00\x00",
            b"HMNN\x01\xff\xff",
            b"",
            b"HMNN\x02\x00",
        ] {
            let (heard, closed) = lab2.say(stranger).await;
            assert!(heard.is_empty() && closed, "{stranger:?}");
        }
        assert_eq!(b.metrics.refused.get(), 5);
        // Those who say nothing have only so many places, and not for long.
        let host = lab2.network.host(ip(99));
        let mut silent = Vec::new();
        for _ in 0..10 {
            silent.push(host.connect(address(2)).await.unwrap());
        }
        lab2.sleep(10).await;
        assert_eq!(b.metrics.refused.get(), 12);
        lab2.sleep(3000).await;
        assert_eq!(b.metrics.refused.get(), 15);
        let a = lab2.node(1).await;
        assert_eq!(a.request(2, Verb::Read, b"x").await, ok(b"x"));
    });
}

#[test]
fn nodes_that_do_not_belong_together_are_told_why_on_both_sides() {
    let lab = Lab::new(52);
    let lab2 = lab.clone();
    lab.run(async move {
        let b = lab2.node(2).await;
        let stranger = Own { cluster_id: Some([9; 16]), ..own(3) };
        let c = lab2.node_as(stranger, Limits::default(), TestHandler::echo()).await;
        let why = |response| match response {
            Err(RequestError::Unreachable { why, sent: false }) => why,
            other => panic!("{other:?}"),
        };
        let text = why(c.request(2, Verb::Gossip, b"").await);
        assert!(text.contains("belongs to cluster 09090909"), "{text}");
        assert!(text.contains("remove the address"), "{text}");
        assert_eq!(b.metrics.refused.get(), 1);

        // Somebody else lives there now.
        let d = lab2.silent(own(4), Limits::default(), TestHandler::echo());
        let elsewhere = Target { address: address(2), host_id: Some([5; 16]) };
        let deadline = d.internode.deadline(Duration::from_secs(1));
        let request = Request { verb: Verb::Read, payload: Bytes::new(), deadline, trace: None };
        let text = why(d.internode.request(&elsewhere, request.clone()).await);
        assert!(text.contains("was meant"), "{text}");
        let anybody = Target { address: address(2), host_id: None };
        assert_eq!(d.internode.request(&anybody, request).await, ok(b""));

        // A copied data directory, and the node itself.
        let copy = Own { address: address(6), ..own(2) };
        let copy = lab2.silent(copy, Limits::default(), TestHandler::echo());
        let text = why(copy.request(2, Verb::Gossip, b"").await);
        assert!(text.contains("a data directory was copied"), "{text}");
        let text = why(b.request(2, Verb::Gossip, b"").await);
        assert!(text.contains("the node's own"), "{text}");
        assert!(b.handler.seen().len() == 1);
    });
}

#[test]
fn a_copy_is_noticed_by_third_nodes_and_the_first_is_believed() {
    let lab = Lab::new(53);
    let lab2 = lab.clone();
    lab.run(async move {
        let (a, b) = (lab2.node(1).await, lab2.node(2).await);
        assert!(a.request(2, Verb::Read, b"").await.is_ok());
        let copy = Own { address: address(7), ..own(1) };
        let copy = lab2.silent(copy, Limits::default(), TestHandler::echo());
        let refused = copy.request(2, Verb::Read, b"copy").await;
        let Err(RequestError::Unreachable { why, .. }) = refused else { panic!("{refused:?}") };
        assert!(why.contains("belongs to a live node at 10.0.0.1:7000"), "{why}");
        assert!(a.request(2, Verb::Read, b"").await.is_ok());
        assert_eq!(a.lane(Channel::Normal).opened, 1);
        // A node that has moved gets in once its old connections are silent.
        lab2.sleep(11_000).await;
        assert_eq!(copy.request(2, Verb::Read, b"moved").await, ok(b"moved"));
        assert_eq!(b.internode.connections().len(), 1);
    });
}

#[test]
fn a_newer_version_is_refused_with_both_numbers() {
    let lab = Lab::new(54);
    let lab2 = lab.clone();
    lab.run(async move {
        let b = lab2.node(2).await;
        let newer = Hello { versions: Versions { lowest: 3, highest: 5 }, ..hello(1) };
        let (heard, closed) = lab2.say(&bytes_of(&Introduction::Hello(newer))).await;
        let refusal = refusal(heard);
        assert_eq!(refusal.reason, Some(Reason::Version));
        assert!(refusal.text.contains("3 to 5") && refusal.text.contains("upgrade"), "{refusal:?}");
        assert!(closed);
        // One that still speaks an old version is welcome, whatever it says at the end.
        let both = Hello { versions: Versions { lowest: 1, highest: 5 }, ..hello(1) };
        let mut bytes = bytes_of(&Introduction::Hello(both));
        bytes.extend_from_slice(&framed(&[(8, b"row")]));
        let (mut heard, closed) = lab2.say(&bytes).await;
        assert!(!closed);
        let welcome = Introduction::take(&mut heard).unwrap();
        let is_it =
            matches!(&welcome, Some(Introduction::Welcome(welcome)) if welcome.version == 1);
        assert!(is_it, "{welcome:?}");
        let Ok(Next::Body(body)) = next_frame(&mut heard, 1000) else { panic!("no frame") };
        let answer = Messages::new(body).next();
        assert_eq!(answer, Ok(Some(Message::Answer(8, Ok(Bytes::from_static(b"row"))))));
        assert_eq!(b.handler.payloads(), [&b"row"[..]]);
    });
}

/// What node 1 says to node 2: two frames with three requests.
fn conversation() -> BytesMut {
    let mut all = bytes_of(&Introduction::Hello(hello(1)));
    all.extend_from_slice(&framed(&[(1, b"one"), (2, b"two")]));
    all.extend_from_slice(&framed(&[(3, b"three")]));
    all
}

#[test]
fn any_flipped_bit_of_what_is_asked_closes_the_connection() {
    let sound = conversation();
    for bit in 0..sound.len() * 8 {
        let mut damaged = sound.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let lab = Lab::new(bit as u64);
        let lab2 = lab.clone();
        lab.run(async move {
            let b = lab2.node(2).await;
            let (_, closed) = lab2.say(&damaged).await;
            assert!(closed, "bit {bit} was not noticed");
            let seen = b.handler.payloads();
            let whole = [&b"one"[..], b"two", b"three"];
            assert!(seen.len() < 3 && seen[..] == whole[..seen.len()], "bit {bit}: {seen:?}");
            assert_eq!(b.metrics.refused.get() + b.metrics.damaged.get(), 1, "bit {bit}");
        });
    }
}

#[test]
fn any_flipped_bit_of_what_is_answered_closes_the_connection() {
    let welcome = Welcome { version: 1, own: own(2), instance: 9, lz4: false };
    let mut sound = bytes_of(&Introduction::Welcome(welcome));
    let introduction = sound.len();
    let mut writer = FrameWriter::new(false);
    let start = message::begin_answer(writer.begin(), 0);
    writer.begin().put_bytes(b"answer");
    message::end_answer(writer.begin(), start);
    writer.finish();
    sound.extend_from_slice(writer.bytes());
    for bit in (0..=sound.len() * 8).rev() {
        let mut damaged = sound.clone();
        let is_sound = bit == sound.len() * 8;
        if !is_sound {
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
        let lab = Lab::new(bit as u64);
        let lab2 = lab.clone();
        lab.run(async move {
            let a = lab2.node(1).await;
            let mut listener = lab2.network.host(ip(2)).bind(address(2)).await.unwrap();
            let response = a.request_within(2, Verb::Read, b"", 5000);
            let (mut stream, _) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
            let (first, second) = damaged.split_at(introduction);
            write_all(&mut *stream, first).await.unwrap();
            lab2.sleep(20).await;
            // Fails if the node has closed already.
            let _ = write_all(&mut *stream, second).await;
            let answer = response.await;
            if is_sound {
                assert_eq!(answer, ok(b"answer"));
            } else {
                let is_it = matches!(answer, Err(RequestError::Unreachable { .. }));
                assert!(is_it, "bit {bit}: {answer:?}");
            }
        });
    }
}

#[test]
fn what_is_cut_off_is_never_half_handled() {
    let sound = conversation();
    for cut in 0..sound.len() {
        let short = sound[..cut].to_vec();
        let lab = Lab::new(cut as u64);
        let lab2 = lab.clone();
        lab.run(async move {
            let b = lab2.node(2).await;
            let host = lab2.network.host(ip(99));
            let mut stream = host.connect(address(2)).await.unwrap();
            write_all(&mut *stream, &short).await.unwrap();
            poll_fn(|context| stream.poll_shutdown(context)).await.unwrap();
            lab2.sleep(100).await;
            let seen = b.handler.payloads().len();
            assert!(seen == 0 || seen == 2, "cut at {cut}: {seen}");
            assert!(b.internode.connections().is_empty());
        });
    }
}

#[test]
fn bombs_and_broken_rules_cost_their_connection_and_nothing_else() {
    use helenus_platform::checksum::crc32;
    let forged = |stored: u32, whole: u32, flags: u8, body: &[u8]| {
        let mut frame = BytesMut::new();
        frame.put_u32_be(stored);
        frame.put_u32_be(whole);
        frame.put_u8(flags);
        frame.put_u32_be(crc32(body));
        let crc = crc32(&frame);
        frame.put_u32_be(crc);
        frame.put_bytes(body);
        frame
    };
    let plain = |body: &[u8]| forged(body.len() as u32, body.len() as u32, 0, body);
    let mut answer = BytesMut::new();
    let start = message::begin_answer(&mut answer, 1);
    message::end_answer(&mut answer, start);
    let cases = [
        forged(1000, u32::MAX, 1, &[0; 1000]),
        forged(u32::MAX, u32::MAX, 0, &[0; 1000]),
        forged(1000, 200_000, 1, &[0; 1000]),
        plain(&[0, 0, 0, 200, 1]),
        plain(&[0xff; 4]),
        plain(&[0, 0, 0, 1, 99]),
        plain(&answer),
        bytes_of(&Introduction::Hello(hello(1))),
    ];
    for (n, case) in cases.into_iter().enumerate() {
        let lab = Lab::new(n as u64);
        let lab2 = lab.clone();
        lab.run(async move {
            let b = lab2.node(2).await;
            let a = lab2.node(1).await;
            assert!(a.request(2, Verb::Read, b"").await.is_ok());
            let mut bytes = bytes_of(&Introduction::Hello(Hello { ..hello(3) }));
            bytes.extend_from_slice(&case);
            let (_, closed) = lab2.say(&bytes).await;
            assert!(closed, "case {n}");
            assert_eq!(b.metrics.damaged.get(), 1, "case {n}");
            assert_eq!(b.internode.receiving_bytes(), 0);
            assert!(a.request(2, Verb::Read, b"").await.is_ok());
            assert_eq!(a.lane(Channel::Normal).opened, 1);
        });
    }
}

#[test]
fn a_verb_of_a_newer_version_is_answered_and_the_connection_stays() {
    let lab = Lab::new(55);
    let lab2 = lab.clone();
    lab.run(async move {
        let b = lab2.node(2).await;
        let mut writer = FrameWriter::new(false);
        let remaining = Duration::from_secs(5);
        for (verb, id) in [(200, Some(1)), (201, None), (Verb::Read as u8, Some(2))] {
            let head = Head { verb, id, remaining, trace: None };
            message::put_work(writer.begin(), &head, b"x");
            writer.end();
        }
        writer.finish();
        let mut bytes = bytes_of(&Introduction::Hello(hello(1)));
        bytes.extend_from_slice(writer.bytes());
        let (mut heard, closed) = lab2.say(&bytes).await;
        assert!(!closed);
        Introduction::take(&mut heard).unwrap();
        let Ok(Next::Body(body)) = next_frame(&mut heard, 1000) else { panic!("no frame") };
        let mut messages = Messages::new(body);
        let Ok(Some(Message::Answer(1, Err(failure)))) = messages.next() else { panic!() };
        assert_eq!(failure.code, Failure::UNKNOWN_VERB);
        assert!(failure.text.contains("200"));
        let answer = Message::Answer(2, Ok(Bytes::from_static(b"x")));
        assert_eq!(messages.next(), Ok(Some(answer)));
        assert_eq!(messages.next(), Ok(None));
        assert_eq!(b.handler.payloads().len(), 1);
    });
}

#[test]
fn a_large_frame_that_never_ends_is_not_kept_for_ever() {
    let lab = Lab::new(56);
    let lab2 = lab.clone();
    lab.run(async move {
        let b = lab2.node(2).await;
        let large = framed(&[(1, &vec![5; 1 << 20])]);
        let mut bytes = bytes_of(&Introduction::Hello(hello(1)));
        bytes.extend_from_slice(&large[..large.len() - 1]);
        let mut stream = lab2.network.host(ip(99)).connect(address(2)).await.unwrap();
        write_all(&mut *stream, &bytes).await.unwrap();
        lab2.sleep(1000).await;
        let held = b.internode.receiving_bytes();
        assert!(held > 1 << 20 && held < 2 << 20, "{held}");
        lab2.sleep(31_000).await;
        assert_eq!(b.internode.receiving_bytes(), 0);
        assert!(b.internode.connections().is_empty());
    });
}
