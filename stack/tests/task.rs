//! The same interface as futures, on the smallest executor there is.

#![cfg(feature = "async")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use stack::Config;
use stack::api::{Group, ReceiveError, Received, Rpc, SendError};
use stack::capability::{Header, Port};
use stack::flip_net::driver::{Device, MemoryNetwork};
use stack::group::Payload;
use stack::rpc::TransOptions;

const PORT: Port = Port::new(*b"tasks\0");
const SERVICE: Port = Port::new(*b"serve\0");

/// Wakes by a message.
struct Bell(SyncSender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        match self.0.try_send(()) {
            Ok(()) | Err(TrySendError::Full(())) => {}
            Err(TrySendError::Disconnected(())) => {} // Nobody waits any more.
        }
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let (bell, rung) = sync_channel(1);
    let waker = Waker::from(Arc::new(Bell(bell)));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        let woken = rung.recv_timeout(Duration::from_secs(30));
        woken.expect("a future that waits is woken");
    }
}

/// Both, on one thread.
async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    std::future::poll_fn(move |context| {
        if of_a.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(context)
        {
            of_a = Some(output);
        }
        if of_b.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(context)
        {
            of_b = Some(output);
        }
        match (of_a.take(), of_b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (of_a, of_b) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

fn parts(network: &MemoryNetwork) -> (Config, Vec<Arc<dyn Device>>) {
    let devices: Vec<Arc<dyn Device>> = vec![network.device()];
    (Config::of(&devices, PORT).with_rpc(), devices)
}

fn bytes(text: &str) -> Payload {
    Payload::from(text.as_bytes())
}

async fn pair() -> [Group; 2] {
    let network = MemoryNetwork::new();
    let (config, devices) = parts(&network);
    let first = Group::create_async(config, devices).await.unwrap();
    let (config, devices) = parts(&network);
    let second = Group::join_async(config, devices).await.unwrap();
    [first, second]
}

async fn message(group: &Group) -> Vec<u8> {
    loop {
        if let Received::Message { bytes, .. } = group.receive_async(None).await.unwrap() {
            return bytes.to_vec();
        }
    }
}

#[test]
fn one_thread_sends_and_receives_in_two_groups_members() {
    block_on(async {
        let [first, second] = pair().await;
        for _ in 0..100 {
            let sends = both(
                first.send_async(bytes("one"), None),
                second.send_async(bytes("two"), None),
            );
            let (sent, received) = both(sends, both(message(&first), message(&second))).await;
            assert!(sent.0.is_ok() && sent.1.is_ok());
            assert_eq!(received.0, received.1, "one order");
            assert_eq!(message(&first).await, message(&second).await);
        }
        let departed = second.leave_async().await.expect("it was in");
        drop(departed);
        let left = first.receive_async(None).await;
        assert!(matches!(left, Ok(Received::Left { .. })), "{left:?}");
    });
}

#[test]
fn deadlines_and_resets_need_no_timer_of_the_executor() {
    let [first, second] = block_on(pair());
    let soon = Some(Duration::from_millis(20));
    block_on(async {
        // The join of the second.
        first.receive_async(soon).await.expect("it came");
        let nothing = first.receive_async(soon).await;
        assert!(matches!(nothing, Err(ReceiveError::TimedOut { .. })));
        second.die();
        let broken = first.receive_async(None).await;
        assert!(matches!(broken, Err(ReceiveError::Aborted { .. })));
        let refused = first.send_async(bytes("now"), None).await;
        assert!(matches!(refused, Err(SendError::Aborted { .. })));
        assert_eq!(first.reset_async(1, None).await, Ok(1));
        first.send_async(bytes("again"), None).await.unwrap();
    });
}

#[test]
fn a_future_that_is_dropped_takes_nothing_with_it() {
    let [first, second] = block_on(pair());
    let waker = Waker::noop();
    let mut context = Context::from_waker(waker);
    block_on(first.receive_async(None)).expect("the join of the second");
    // It waits, and is gone before anything comes; then another may receive.
    assert!(
        pin!(first.receive_async(None))
            .poll(&mut context)
            .is_pending()
    );
    block_on(second.send_async(bytes("kept"), None)).unwrap();
    assert_eq!(block_on(message(&first)), b"kept");

    let rpc: Rpc = first.rpc().unwrap();
    assert!(
        pin!(rpc.get_request_async(SERVICE, None))
            .poll(&mut context)
            .is_pending()
    );
    let header = Header::to(SERVICE.put_port());
    let trans = rpc.trans_async(header, b"what", TransOptions::default(), None);
    assert!(pin!(trans).poll(&mut context).is_pending());
    assert!(rpc.pending().is_empty(), "{:?}", rpc.pending());
}

#[test]
fn one_thread_is_client_and_server() {
    block_on(async {
        let [first, second] = pair().await;
        let (server, client) = (first.rpc().unwrap(), second.rpc().unwrap());
        let header = Header::to(SERVICE.put_port());
        let serve = async {
            let request = server.get_request_async(SERVICE, None).await.unwrap();
            let reply = [&request.data[..], b" too"].concat();
            let put = server.put_reply_async(&request, header, &reply);
            put.await.expect("the client has it");
        };
        let ask = client.trans_async(header, b"me", TransOptions::default(), None);
        let ((), reply) = both(serve, ask).await;
        assert_eq!(reply.unwrap().data[..], *b"me too");
    });
}
