//! Peers that go away, and come back.

use super::*;

fn is_unreachable(response: &Result<Bytes, RequestError>, expected_sent: bool) -> bool {
    matches!(response, Err(RequestError::Unreachable { sent, .. }) if *sent == expected_sent)
}

#[test]
fn a_peer_that_is_gone_fails_requests_at_once_and_one_that_is_back_serves() {
    let lab = Lab::new(41);
    let lab2 = lab.clone();
    lab.run(async move {
        let a = lab2.node(1).await;
        let never: Does = Box::new(|_, _| Received::Nothing);
        let b = lab2.node_as(own(2), Limits::default(), TestHandler::new(never)).await;
        let waiting = a.request_within(2, Verb::Read, b"", 60_000);
        lab2.sleep(50).await;
        lab2.network.kill(ip(2));
        assert!(is_unreachable(&waiting.await, true));
        drop(b);
        // Nobody is there: the first one tries, the next ones are told at once.
        assert!(is_unreachable(&a.request(2, Verb::Read, b"").await, false));
        let began = lab2.now();
        assert!(is_unreachable(&a.request(2, Verb::Read, b"").await, false));
        assert!(lab2.now() - began < Duration::from_millis(1));
        assert!(a.send(2, Verb::Mutation, b"").is_err());
        assert!(matches!(a.lane(Channel::Normal).state, ConnectionState::Down(_)));
        let tried = a.metrics.failed[1].get();
        for _ in 0..1000 {
            let _ = a.request(2, Verb::Read, b"").await;
            lab2.sleep(10).await;
        }
        let tries = a.metrics.failed[1].get() - tried;
        assert!((3..12).contains(&tries), "{tries} tries in 10 seconds");
        // It shows itself by connecting, and needs no more patience.
        let b = lab2.node(2).await;
        assert!(b.request(1, Verb::Ping, b"").await.is_ok());
        assert_eq!(a.request(2, Verb::Read, b"again").await, ok(b"again"));
        assert_eq!(a.lane(Channel::Normal).state, ConnectionState::Up);
    });
}

#[test]
fn a_connection_that_had_held_is_opened_again_at_once() {
    let lab = Lab::new(42);
    let lab2 = lab.clone();
    lab.run(async move {
        let (a, _b) = (lab2.node(1).await, lab2.node(2).await);
        assert!(a.request(2, Verb::Read, b"").await.is_ok());
        lab2.network.reset(ip(1), ip(2));
        lab2.sleep(1).await;
        assert!(a.request(2, Verb::Read, b"").await.is_ok());
        assert_eq!(a.lane(Channel::Normal).opened, 2);
    });
}

#[test]
fn a_silent_peer_is_noticed_whatever_is_sent_to_it() {
    let lab = Lab::new(43);
    let lab2 = lab.clone();
    lab.run(async move {
        let (a, b) = (lab2.node(1).await, lab2.node(2).await);
        assert!(a.request(2, Verb::Ping, b"").await.is_ok());
        // One-way messages are not answered: a probe finds out that somebody takes them.
        for n in 0..30 {
            a.send(2, Verb::Gossip, &[n]).unwrap();
            lab2.sleep(500).await;
        }
        assert_eq!(a.lane(Channel::Urgent).opened, 1);
        assert_eq!(b.handler.payloads().len(), 30);
        assert!(b.metrics.received[0].get() > 35, "no probes");
        // Half of a partition is enough.
        for (from, to) in [(1, 2), (2, 1)] {
            lab2.network.cut(ip(from), ip(to));
            a.send(2, Verb::Gossip, b"lost?").unwrap();
            let waiting = a.request_within(2, Verb::Ping, b"", 60_000);
            let began = lab2.now();
            assert!(is_unreachable(&waiting.await, true));
            let took = (lab2.now() - began).as_millis();
            assert!((9_900..11_000).contains(&took), "{took}");
            lab2.network.heal_all();
            lab2.sleep(15_000).await;
            assert!(a.request(2, Verb::Ping, b"").await.is_ok());
        }
    });
}

#[test]
fn a_slow_answer_is_not_taken_for_silence() {
    let lab = Lab::new(44);
    let lab2 = lab.clone();
    lab.run(async move {
        let a = lab2.node(1).await;
        let runtime = lab2.runtime.clone();
        let slow: Does = Box::new(move |message, _| {
            let sleep = runtime.sleep(Duration::from_secs(40));
            Received::Pending(Box::pin(async move {
                sleep.await;
                Answer { result: Ok(message.payload), hold_until: None }
            }))
        });
        let _b = lab2.node_as(own(2), Limits::default(), TestHandler::new(slow)).await;
        assert_eq!(a.request_within(2, Verb::Repair, b"x", 60_000).await, ok(b"x"));
        assert_eq!(a.lane(Channel::Bulk).opened, 1);
    });
}

#[test]
fn unused_connections_are_closed_and_opened_again() {
    let lab = Lab::new(45);
    let lab2 = lab.clone();
    lab.run(async move {
        let (a, b) = (lab2.node(1).await, lab2.node(2).await);
        assert!(a.request(2, Verb::Read, b"").await.is_ok());
        assert_eq!(b.internode.connections().len(), 1);
        lab2.sleep(301_000).await;
        assert_eq!(b.internode.connections().len(), 0);
        assert_eq!(a.lane(Channel::Normal).state, ConnectionState::Idle);
        assert!(a.request(2, Verb::Read, b"").await.is_ok());
        // A machine that vanished does not leave its connections here for ever.
        lab2.network.isolate(ip(1));
        lab2.network.kill(ip(1));
        drop(a);
        assert_eq!(b.internode.connections().len(), 1);
        lab2.sleep(601_000).await;
        assert_eq!(b.internode.connections().len(), 0);
    });
}

#[test]
fn a_node_that_left_is_forgotten() {
    let lab = Lab::new(46);
    let lab2 = lab.clone();
    lab.run(async move {
        let (a, b) = (lab2.node(1).await, lab2.node(2).await);
        assert!(a.request(2, Verb::Read, b"").await.is_ok());
        assert!(b.request(1, Verb::Read, b"").await.is_ok());
        a.internode.forget([2; 16]);
        lab2.sleep(50).await;
        let is_up = |view: &ConnectionView| view.state == ConnectionState::Up;
        assert!(!a.internode.connections().iter().any(is_up));
        assert!(!b.internode.connections().iter().any(is_up));
    });
}
