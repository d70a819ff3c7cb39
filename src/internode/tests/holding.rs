//! Answers that wait for the commit log.

use super::*;

fn holding() -> Arc<TestHandler> {
    TestHandler::new(Box::new(|message, reply| {
        reply.put_bytes(&message.payload);
        Received::Answered { hold_until: message.payload.first().map(|n| u64::from(*n)) }
    }))
}

#[test]
fn held_answers_leave_in_bulk_as_the_watermark_passes() {
    let lab = Lab::new(21);
    let lab2 = lab.clone();
    lab.run(async move {
        let a = lab2.node(1).await;
        let b = lab2.node_as(own(2), Limits::default(), holding()).await;
        assert!(a.request(2, Verb::Mutation, b"").await.is_ok());
        let first: Vec<Response> = (1..=20).map(|n| a.request(2, Verb::Mutation, &[n])).collect();
        let later: Vec<Response> = (21..=30).map(|n| a.request(2, Verb::Mutation, &[n])).collect();
        lab2.sleep(50).await;
        assert_eq!(
            a.request(2, Verb::Mutation, b"").await,
            ok(b""),
            "what waits for nothing overtakes"
        );
        assert_eq!(a.lane(Channel::Normal).pending, 30);
        assert_eq!(b.handler.asked_to_write.lock().unwrap().last(), Some(&30));
        let writes = b.writes.load(Ordering::SeqCst);
        b.handler.move_watermark(20);
        for (n, response) in (1..=20).zip(first) {
            assert_eq!(response.await, ok(&[n]));
        }
        assert_eq!(b.writes.load(Ordering::SeqCst) - writes, 1, "one write for 20 answers");
        assert_eq!(a.lane(Channel::Normal).pending, 10);
        // The log fails for good: what it had reached is good, the rest is an error.
        b.handler.watermark.store(25, Ordering::SeqCst);
        let failure = Failure::new(200, "the disk failed");
        *b.handler.failure.lock().unwrap() = Some(failure.clone());
        b.handler.moved.notify_all();
        for (n, response) in (21..=30).zip(later) {
            let expected =
                if n <= 25 { ok(&[n]) } else { Err(RequestError::Failed(failure.clone())) };
            assert_eq!(response.await, expected, "{n}");
        }
    });
}

#[test]
fn an_answer_written_apart_is_held_as_well() {
    let lab = Lab::new(22);
    let lab2 = lab.clone();
    lab.run(async move {
        let a = lab2.node(1).await;
        let apart: Does = Box::new(|message, _| {
            let answer = Answer { result: Ok(message.payload), hold_until: Some(5) };
            Received::Pending(Box::pin(async { answer }))
        });
        let b = lab2.node_as(own(2), Limits::default(), TestHandler::new(apart)).await;
        let held = a.request(2, Verb::Mutation, b"x");
        lab2.sleep(100).await;
        assert_eq!(b.metrics.sent_bytes[1].get(), 0);
        b.handler.move_watermark(5);
        assert_eq!(held.await, ok(b"x"));
    });
}

#[test]
fn a_stopping_node_answers_what_it_has_taken() {
    let lab = Lab::new(23);
    let lab2 = lab.clone();
    lab.run(async move {
        let a = lab2.node(1).await;
        let b = lab2.node_as(own(2), Limits::default(), holding()).await;
        let held = a.request(2, Verb::Mutation, &[9]);
        let own_request = b.request(1, Verb::Ping, b"");
        assert!(own_request.await.is_ok());
        lab2.sleep(20).await;
        let began = lab2.now();
        let handler = b.handler.clone();
        let lab3 = lab2.clone();
        lab2.runtime.spawn(
            "log",
            Box::pin(async move {
                lab3.sleep(300).await;
                handler.move_watermark(9);
            }),
        );
        b.internode.close().await;
        let took = lab2.now() - began;
        assert!(
            took >= Duration::from_millis(300) && took < Duration::from_millis(400),
            "{took:?}"
        );
        assert_eq!(held.await, ok(&[9]));
        assert_eq!(b.request(1, Verb::Ping, b"").await, Err(RequestError::Stopped));
        let gone = a.request(2, Verb::Mutation, b"").await;
        assert!(matches!(gone, Err(RequestError::Unreachable { .. })), "{gone:?}");
        // One that cannot be answered does not keep the node from stopping.
        let c = lab2.node_as(own(3), Limits::default(), holding()).await;
        let never = a.request_within(3, Verb::Mutation, &[9], 60_000);
        lab2.sleep(20).await;
        let began = lab2.now();
        c.internode.close().await;
        assert!(lab2.now() - began < Duration::from_millis(5100));
        assert!(matches!(never.await, Err(RequestError::Unreachable { sent: true, .. })));
    });
}
