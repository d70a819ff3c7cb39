//! More messages than there is room for.

use super::*;

#[test]
fn a_full_queue_refuses_at_once_and_the_others_still_work() {
    let lab = Lab::new(31);
    let lab2 = lab.clone();
    lab.run(async move {
        let limits =
            Limits { queue_bytes: 100_000, node_queue_bytes: 150_000, ..Limits::default() };
        let a = lab2.node_as(own(1), limits, TestHandler::echo()).await;
        let (_b, _c, _d) = (lab2.node(2).await, lab2.node(3).await, lab2.node(4).await);
        lab2.network.partition(&[ip(1)], &[ip(2), ip(3)]);
        let mut taken = 0;
        while a.send(2, Verb::Mutation, &[0; 10_000]).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 9);
        assert_eq!(a.request(2, Verb::Read, &[0; 20_000]).await, Err(RequestError::QueueFull));
        assert_eq!(a.lane(Channel::Normal).queued, 9);
        // All queues together have a limit, too; but not what is small and urgent.
        taken = 0;
        while a.send(3, Verb::Mutation, &[0; 10_000]).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 5);
        assert_eq!(a.metrics.queue_full[1].get(), 3);
        assert_eq!(a.request(4, Verb::Read, b"small").await, ok(b"small"));
        lab2.sleep(12_000).await;
        assert_eq!(a.internode.queued_bytes(), 0, "deadlines empty it");
    });
}

#[test]
fn only_so_many_requests_wait_for_answers() {
    let lab = Lab::new(32);
    let lab2 = lab.clone();
    lab.run(async move {
        let limits = Limits { requests_max: 10, ..Limits::default() };
        let a = lab2.node_as(own(1), limits, TestHandler::echo()).await;
        let never: Does = Box::new(|_, _| Received::Nothing);
        let _b = lab2.node_as(own(2), Limits::default(), TestHandler::new(never)).await;
        let all: Vec<Response> = (0..11).map(|n| a.request(2, Verb::Read, &[n])).collect();
        let mut errors = Vec::new();
        for response in all {
            errors.push(response.await.unwrap_err());
        }
        assert_eq!(errors.pop(), Some(RequestError::QueueFull));
        assert!(errors.iter().all(|error| *error == RequestError::Timeout));
    });
}

#[test]
fn a_slow_receiver_stops_reading_and_its_senders_queue_fills() {
    let lab = Lab::new(33);
    let lab2 = lab.clone();
    lab.run(async move {
        let sender = Limits { queue_bytes: 1 << 20, ..Limits::default() };
        let a = lab2.node_as(own(1), sender, TestHandler::echo()).await;
        let gate = Arc::new(Signal::new());
        let open = gate.clone();
        let slow: Does = Box::new(move |message, _| {
            let gate = gate.clone();
            Received::Pending(Box::pin(async move {
                if gate.epoch() == 0 {
                    gate.wait_past(0).await;
                }
                Answer { result: Ok(message.payload.slice(..4)), hold_until: None }
            }))
        });
        let limits = Limits { pending_max: 8, ..Limits::default() };
        let b = lab2.node_as(own(2), limits, TestHandler::new(slow)).await;
        let mut sent = Vec::new();
        // A connection that is read would take all of it.
        for n in 0..2000_u32 {
            let mut payload = vec![0; 10_000];
            payload[..4].copy_from_slice(&[0, 0, (n >> 8) as u8, n as u8]);
            sent.push((n, a.request_within(2, Verb::Mutation, &payload, 60_000)));
            if n % 16 == 0 {
                lab2.sleep(2).await;
            }
        }
        assert_eq!(b.handler.seen().len(), 8);
        assert!(a.metrics.queue_full[1].get() > 1500);
        // Another channel of the same pair is not held up.
        assert!(a.request(2, Verb::Ping, b"").await.is_ok());
        open.notify_all();
        let mut answered = 0;
        for (n, response) in sent {
            match response.await {
                Ok(answer) => {
                    assert_eq!(answer[..], [0, 0, (n >> 8) as u8, n as u8]);
                    answered += 1;
                }
                Err(error) => assert_eq!(error, RequestError::QueueFull),
            }
        }
        assert_eq!(answered + a.metrics.queue_full[1].get(), 2000);
    });
}

#[test]
fn one_way_messages_go_on_after_the_network_was_full() {
    let lab = Lab::new(36);
    let lab2 = lab.clone();
    lab.run(async move {
        let (a, b) = (lab2.node(1).await, lab2.node(2).await);
        assert!(a.request(2, Verb::Read, b"").await.is_ok());
        // More than a frame and more than the network holds; nothing comes back that would wake
        // the sender.
        for n in 0..100 {
            a.send(2, Verb::Mutation, &[n; 10_000]).unwrap();
        }
        lab2.sleep(500).await;
        assert_eq!(b.handler.seen().len(), 101);
    });
}

#[test]
fn a_peer_that_reads_no_answers_is_not_read_either() {
    let lab = Lab::new(34);
    let lab2 = lab.clone();
    lab.run(async move {
        let a = lab2.node(1).await;
        let limits = Limits { answer_bytes: 200_000, ..Limits::default() };
        let generous: Does = Box::new(|_, reply| {
            reply.put_bytes(&[1; 50_000]);
            Received::NOW
        });
        let b = lab2.node_as(own(2), limits, TestHandler::new(generous)).await;
        assert!(a.request(2, Verb::Read, b"").await.is_ok());
        lab2.network.cut(ip(2), ip(1));
        let all: Vec<Response> =
            (0..200).map(|_| a.request_within(2, Verb::Read, b"x", 5000)).collect();
        lab2.sleep(1000).await;
        let handled = b.handler.seen().len();
        assert!(handled < 10, "{handled} handled while nobody reads the answers");
        lab2.network.heal_all();
        for response in all {
            assert_eq!(response.await.map(|answer| answer.len()), Ok(50_000));
        }
    });
}

#[test]
fn large_frames_wait_for_memory() {
    let lab = Lab::new(35);
    let lab2 = lab.clone();
    lab.run(async move {
        let limits = Limits { message_bytes_max: 1 << 20, receive_bytes: 0, ..Limits::default() };
        // Room for two frames of a megabyte, and little else.
        let b = lab2.node_as(own(2), limits.clone(), TestHandler::echo()).await;
        let mut senders = Vec::new();
        for node in 10..18 {
            senders.push(lab2.node_as(own(node), limits.clone(), TestHandler::echo()).await);
        }
        let all: Vec<Response> = senders
            .iter()
            .map(|node| node.request_within(2, Verb::Mutation, &[3; 1 << 20], 60_000))
            .collect();
        let mut most = 0;
        for response in all {
            let mut response = std::pin::pin!(response);
            let answer = std::future::poll_fn(|context| {
                most = most.max(b.internode.receiving_bytes());
                let polled = response.as_mut().poll(context);
                if polled.is_pending() {
                    context.waker().wake_by_ref();
                }
                polled
            });
            assert_eq!(answer.await.map(|answer| answer.len()), Ok(1 << 20));
        }
        assert!(most > 1 << 20 && most < 5 << 19, "{most} bytes at most");
        assert_eq!(b.internode.receiving_bytes(), 0);
    });
}
