//! What is too late is dropped on either side, and somebody is told.

use super::*;

#[test]
fn a_request_without_an_answer_times_out_on_time() {
    let lab = Lab::new(11);
    let lab2 = lab.clone();
    lab.run(async move {
        let a = lab2.node(1).await;
        let never: Does = Box::new(|_, _| Received::Nothing);
        let _b = lab2.node_as(own(2), Limits::default(), TestHandler::new(never)).await;
        for millis in [1, 20, 500] {
            let began = lab2.now();
            let response = a.request_within(2, Verb::Read, b"", millis).await;
            assert_eq!(response, Err(RequestError::Timeout));
            let took = lab2.now() - began;
            let most = Duration::from_millis(millis + 40);
            assert!(took >= Duration::from_millis(millis) && took < most, "{took:?}");
        }
        assert_eq!(a.metrics.timeouts[1].get(), 3);
        assert_eq!(a.lane(Channel::Normal).timeouts, 3);
        assert_eq!(a.lane(Channel::Normal).pending, 0);
        assert_eq!(a.request_within(2, Verb::Read, b"", 0).await, Err(RequestError::Timeout));
    });
}

#[test]
fn an_answer_after_the_deadline_finds_nobody() {
    let lab = Lab::new(12);
    let lab2 = lab.clone();
    lab.run(async move {
        let a = lab2.node(1).await;
        let runtime = lab2.runtime.clone();
        let slow: Does = Box::new(move |message, _| {
            let sleep = runtime.sleep(Duration::from_millis(if message.payload.is_empty() {
                200
            } else {
                0
            }));
            Received::Pending(Box::pin(async move {
                sleep.await;
                Answer { result: Ok(message.payload), hold_until: None }
            }))
        });
        let b = lab2.node_as(own(2), Limits::default(), TestHandler::new(slow)).await;
        let late = a.request_within(2, Verb::Read, b"", 100).await;
        assert_eq!(late, Err(RequestError::Timeout));
        assert_eq!(a.request(2, Verb::Read, b"next").await, ok(b"next"));
        lab2.sleep(300).await;
        assert_eq!(b.metrics.answered_late[1].get(), 1);
    });
}

#[test]
fn what_waits_too_long_to_be_sent_is_not_sent() {
    let lab = Lab::new(13);
    let lab2 = lab.clone();
    lab.run(async move {
        let limits = Limits {
            connect_timeout: Duration::from_secs(5),
            one_way_timeout: Duration::from_millis(50),
            ..Limits::default()
        };
        let a = lab2.node_as(own(1), limits, TestHandler::echo()).await;
        let b = lab2.node(2).await;
        lab2.network.partition(&[ip(1)], &[ip(2)]);
        let late = a.request_within(2, Verb::Mutation, b"late", 100);
        a.send(2, Verb::Mutation, b"late one-way").unwrap();
        let patient = a.request_within(2, Verb::Mutation, b"patient", 5000);
        let began = lab2.now();
        assert_eq!(late.await, Err(RequestError::Timeout));
        assert!(lab2.now() - began < Duration::from_millis(150));
        lab2.network.heal_all();
        assert_eq!(patient.await, ok(b"patient"));
        assert_eq!(b.handler.payloads(), [&b"patient"[..]]);
        assert_eq!(a.metrics.expired_before_sending[1].get(), 2);
        assert_eq!(a.internode.queued_bytes(), 0);
    });
}

#[test]
fn what_is_late_is_not_sent_even_behind_what_is_not() {
    let lab = Lab::new(15);
    let lab2 = lab.clone();
    lab.run(async move {
        let limits = Limits { connect_timeout: Duration::from_secs(5), ..Limits::default() };
        let a = lab2.node_as(own(1), limits, TestHandler::echo()).await;
        let b = lab2.node(2).await;
        lab2.network.partition(&[ip(1)], &[ip(2)]);
        let patient = a.request_within(2, Verb::Mutation, b"patient", 5000);
        let late = a.request_within(2, Verb::Mutation, b"late", 100);
        assert_eq!(late.await, Err(RequestError::Timeout));
        lab2.network.heal_all();
        assert_eq!(patient.await, ok(b"patient"));
        assert_eq!(a.metrics.expired_before_sending[1].get(), 1);
        assert_eq!(b.metrics.received[1].get(), 1);
    });
}

#[test]
fn what_waits_too_long_to_be_handled_is_not_handled() {
    let lab = Lab::new(14);
    let lab2 = lab.clone();
    lab.run(async move {
        let a = lab2.node(1).await;
        // Answers are held, and there may be only so many: the next requests wait in the input.
        let held: Does = Box::new(|_, reply| {
            reply.put_bytes(&[0; 1000]);
            Received::Answered { hold_until: Some(10) }
        });
        let limits = Limits { answer_bytes: 1000, ..Limits::default() };
        let b = lab2.node_as(own(2), limits, TestHandler::new(held)).await;
        assert!(a.request(2, Verb::Ping, b"").await.is_ok());
        let first = a.request_within(2, Verb::Mutation, b"first", 5000);
        let second = a.request_within(2, Verb::Mutation, b"second", 100);
        let third = a.request_within(2, Verb::Mutation, b"third", 5000);
        assert_eq!(second.await, Err(RequestError::Timeout));
        lab2.sleep(50).await;
        assert_eq!(b.handler.payloads(), [&b"first"[..]]);
        b.handler.move_watermark(10);
        assert!(first.await.is_ok() && third.await.is_ok());
        assert_eq!(b.handler.payloads(), [&b"first"[..], b"third"]);
        assert_eq!(b.metrics.expired_before_handling[1].get(), 1);
    });
}
