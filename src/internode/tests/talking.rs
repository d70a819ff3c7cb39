//! Requests, answers and one-way messages between healthy nodes.

use super::*;

#[test]
fn a_request_is_answered_and_both_sides_know_one_another() {
    let lab = Lab::new(1);
    let lab2 = lab.clone();
    lab.run(async move {
        let (a, b) = (lab2.node(1).await, lab2.node(2).await);
        assert_eq!(a.request(2, Verb::Read, b"hello").await, ok(b"hello"));
        assert_eq!(b.request(1, Verb::Read, b"").await, ok(b""));
        let (peer, message) = b.handler.seen.lock().unwrap()[0].clone();
        assert_eq!(peer.host_id, [1; 16]);
        assert_eq!((peer.address, peer.cluster_id), (address(1), Some(CLUSTER)));
        assert_eq!((peer.remote.ip(), peer.channel), (ip(1), Channel::Normal));
        assert_eq!((message.verb, message.is_request), (Verb::Read, true));
        let left = message.deadline - lab2.now();
        assert!(left > Duration::from_millis(1900) && left <= Duration::from_secs(2), "{left:?}");
        let peer = a.internode.peer(&target(2)).unwrap();
        assert_eq!((peer.host_id, peer.feature_level), ([2; 16], 1));
        assert_eq!(a.internode.peer(&target(3)), None);
        assert_eq!(a.request(2, Verb::Ping, b"").await, ok(b""), "needs no handler");
        assert_eq!(b.handler.seen().len(), 1);
    });
}

#[test]
fn one_value_takes_the_answers_of_three_replicas() {
    #[derive(Default)]
    struct Replicas {
        answers: Mutex<Vec<(u32, Result<Bytes, RequestError>)>>,
        moved: Signal,
    }
    impl Responses for Replicas {
        fn respond(&self, tag: u32, response: Result<Bytes, RequestError>) {
            self.answers.lock().unwrap().push((tag, response));
            self.moved.notify_all();
        }
    }
    let lab = Lab::new(2);
    let lab2 = lab.clone();
    lab.run(async move {
        let a = lab2.node(1).await;
        let others = [lab2.node(2).await, lab2.node(3).await, lab2.node(4).await];
        let replicas = Arc::new(Replicas::default());
        let request = Request {
            verb: Verb::Mutation,
            payload: Bytes::from_static(b"row"),
            deadline: a.internode.deadline(Duration::from_secs(1)),
            trace: Some([7; 16]),
        };
        for node in 2..=4 {
            let to = replicas.clone();
            a.internode.request_with(&target(node), request.clone(), to, u32::from(node)).unwrap();
        }
        loop {
            let epoch = replicas.moved.epoch();
            if replicas.answers.lock().unwrap().len() == 3 {
                break;
            }
            replicas.moved.wait_past(epoch).await;
        }
        let mut answers = replicas.answers.lock().unwrap().clone();
        answers.sort_by_key(|(tag, _)| *tag);
        assert_eq!(answers, [2, 3, 4].map(|tag| (tag, ok(b"row"))));
        assert!(others.iter().all(|node| node.handler.seen()[0].trace == Some([7; 16])));
    });
}

#[test]
fn one_way_messages_keep_their_order_and_share_frames() {
    let lab = Lab::new(3);
    let lab2 = lab.clone();
    lab.run(async move {
        let (a, b) = (lab2.node(1).await, lab2.node(2).await);
        assert!(a.request(2, Verb::Ping, b"").await.is_ok());
        let writes = a.writes.load(Ordering::SeqCst);
        for n in 0..500_u32 {
            a.send(2, Verb::Gossip, &n.big_endian()).unwrap();
        }
        assert!(a.request(2, Verb::Ping, b"").await.is_ok());
        let seen = b.handler.payloads();
        assert_eq!(seen.len(), 500);
        let in_order = seen.iter().enumerate();
        assert!(in_order.clone().all(|(n, p)| p[..] == (n as u32).big_endian()[..]));
        assert!(b.handler.seen().iter().all(|message| !message.is_request));
        // What was ready together left together.
        let writes = a.writes.load(Ordering::SeqCst) - writes;
        assert!(writes <= 3, "{writes} writes for 501 messages");
        assert_eq!(b.metrics.received[0].get(), 502);
        assert_eq!(a.metrics.sent[0].get(), 502);
    });
}

trait ToBytes {
    fn big_endian(self) -> Vec<u8>;
}

impl ToBytes for u32 {
    fn big_endian(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.put_u32_be(self);
        bytes
    }
}

#[test]
fn answers_share_frames_too() {
    let lab = Lab::new(4);
    let lab2 = lab.clone();
    lab.run(async move {
        let (a, b) = (lab2.node(1).await, lab2.node(2).await);
        assert!(a.request(2, Verb::Ping, b"").await.is_ok());
        assert!(a.request(2, Verb::Read, b"").await.is_ok());
        let writes = b.writes.load(Ordering::SeqCst);
        let all: Vec<Response> = (0..64).map(|n| a.request(2, Verb::Read, &[n; 200])).collect();
        for (n, response) in (0..64).zip(all) {
            assert_eq!(response.await, ok(&[n; 200]));
        }
        let writes = b.writes.load(Ordering::SeqCst) - writes;
        assert!(writes <= 2, "{writes} writes for 64 answers");
    });
}

#[test]
fn large_messages_have_a_connection_of_their_own() {
    let lab = Lab::new(5);
    let lab2 = lab.clone();
    lab.run(async move {
        for compression in [false, true] {
            let limits = Limits { compression, ..Limits::default() };
            let base = if compression { 10 } else { 20 };
            let a = lab2.node_as(own(base), limits.clone(), TestHandler::echo()).await;
            let b = lab2.node_as(own(base + 1), limits.clone(), TestHandler::echo()).await;
            let to = base + 1;
            let large: Vec<u8> = (0..16 << 20).map(|n| (n / 64 * 7) as u8).collect();
            let large = a.request_within(to, Verb::Mutation, &large, 60_000);
            let small = a.request(to, Verb::Mutation, b"small").await;
            assert_eq!(small, ok(b"small"));
            if !compression {
                let seen = b.handler.payloads();
                assert!(seen == [&b"small"[..]], "it did not wait for the large one");
            }
            let answer = large.await.unwrap();
            assert_eq!(answer.len(), 16 << 20);
            assert!(answer.iter().enumerate().all(|(n, byte)| *byte == (n / 64 * 7) as u8));
            let seen = b.handler.seen.lock().unwrap().clone();
            let channel =
                |(peer, message): &(Peer, Incoming)| (peer.channel, message.payload.len());
            let mut channels: Vec<_> = seen.iter().map(channel).collect();
            channels.sort_unstable();
            assert_eq!(channels, [(Channel::Normal, 5), (Channel::Large, 16 << 20)]);
            let on_wire = a.metrics.sent_bytes[Channel::Large.index()].get();
            assert_eq!(on_wire < 8 << 20, compression, "{on_wire} bytes");
            assert_eq!(b.internode.receiving_bytes(), 0);
            let too_large = vec![0; limits.message_bytes_max + 1];
            let refused = a.request(to, Verb::Mutation, &too_large).await;
            assert!(matches!(refused, Err(RequestError::TooLarge { .. })), "{refused:?}");
        }
    });
}

#[test]
fn what_fails_there_is_told_here_and_harms_no_other() {
    let lab = Lab::new(6);
    let lab2 = lab.clone();
    lab.run(async move {
        let a = lab2.node(1).await;
        let does: Does = Box::new(|message, reply| match &message.payload[..] {
            b"fail" => {
                reply.put_bytes(b"half an answer");
                reply.fail(&Failure::new(Failure::OWN_CODES + 1, "no such table"));
                reply.put_bytes(b"ignored");
                Received::NOW
            }
            b"panic" => {
                reply.put_bytes(b"half an answer");
                panic!("planted")
            }
            b"panic later" => Received::Pending(Box::pin(async { panic!("planted") })),
            b"too much" => {
                reply.put_bytes(&vec![0; (17 << 20) + 1]);
                Received::NOW
            }
            b"later" => Received::Pending(Box::pin(async {
                Answer { result: Ok(Bytes::from_static(b"now")), hold_until: None }
            })),
            _ => Received::NOW,
        });
        let b = lab2.node_as(own(2), Limits::default(), TestHandler::new(does)).await;
        let cases: [&[u8]; 6] =
            [b"fail", b"panic", b"panic later", b"too much", b"later", b"empty"];
        let all = cases.map(|case| a.request(2, Verb::Read, case));
        let mut codes = Vec::new();
        for response in all {
            codes.push(match response.await {
                Ok(answer) => Err(answer),
                Err(RequestError::Failed(failure)) => Ok(failure.code),
                Err(error) => panic!("{error}"),
            });
        }
        assert_eq!(codes[0], Ok(Failure::OWN_CODES + 1));
        assert_eq!(codes[1..4], [3, 3, 4].map(Ok));
        assert_eq!(codes[4..], [Err(Bytes::from_static(b"now")), Err(Bytes::new())]);
        assert_eq!(b.metrics.panics.get(), 2);
        assert_eq!(a.lane(Channel::Normal).opened, 1);
    });
}

#[test]
fn a_node_without_a_cluster_may_ask_to_be_taken_in_and_nothing_else() {
    let lab = Lab::new(7);
    let lab2 = lab.clone();
    lab.run(async move {
        let alone = Own { cluster_id: None, ..own(1) };
        let a = lab2.node_as(alone, Limits::default(), TestHandler::echo()).await;
        let b = lab2.node(2).await;
        assert_eq!(a.request(2, Verb::Join, b"me").await, ok(b"me"));
        for (from, to, verb) in [(&a, 2, Verb::Mutation), (&b, 1, Verb::Metadata)] {
            let refused = from.request(to, verb, b"").await;
            let is_it = matches!(&refused, Err(RequestError::Failed(failure))
                if failure.code == Failure::NOT_A_MEMBER);
            assert!(is_it, "{refused:?}");
        }
        a.internode.set_cluster(CLUSTER);
        lab2.sleep(100).await;
        assert_eq!(a.request(2, Verb::Mutation, b"x").await, ok(b"x"));
        assert_eq!(b.request(1, Verb::Metadata, b"y").await, ok(b"y"));
    });
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| {
        let lab = Lab::new(seed);
        let lab2 = lab.clone();
        let ended = lab.run(async move {
            let (a, b) = (lab2.node(1).await, lab2.node(2).await);
            for n in 0..50 {
                let both = (a.request(2, Verb::Read, &[n]), b.request(1, Verb::Mutation, &[n]));
                assert_eq!((both.0.await, both.1.await), (ok(&[n]), ok(&[n])));
            }
            lab2.network.reset(ip(1), ip(2));
            let mut lost = 0;
            while a.request(2, Verb::Read, b"").await.is_err() {
                lost += 1;
                lab2.sleep(20).await;
            }
            (lost, lab2.now())
        });
        (ended, lab.runtime.trace_hash())
    };
    assert_eq!(run(8), run(8));
    assert_ne!(run(8), run(9));
}
