//! The blocking interface on real threads: who is released when, what a crash leaves, and that no
//! wait is for ever.

#![allow(
    clippy::disallowed_methods,
    reason = "real threads are measured by a real clock"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use stack::Config;
use stack::api::{
    EnterError, Group, LeaveError, ReceiveError, Received, ResetError, Rpc, SendError, ServeError,
    TransError,
};
use stack::capability::{Header, Port};
use stack::flip_net::Frame;
use stack::flip_net::Link;
use stack::flip_net::address::LinkAddress;
use stack::flip_net::driver::{Device, MemoryNetwork, Sink};
use stack::flip_net::time::Duration as Span;
use stack::group::{MemberIndex, WaitStep};

const PORT: Port = Port::new(*b"tests\0");
const SERVICE: Port = Port::new(*b"serve\0");
const LONG: Duration = Duration::from_secs(30);

/// A device that can be cut off while it runs: its processor is there and hears nothing, as if
/// frozen.
struct Freezer {
    device: Arc<dyn Device>,
    is_frozen: AtomicBool,
}

impl Device for Freezer {
    fn link(&self) -> Link {
        self.device.link()
    }

    fn station(&self) -> LinkAddress {
        self.device.station()
    }

    fn send(&self, frames: &[Frame]) {
        if !self.is_frozen.load(SeqCst) {
            self.device.send(frames);
        }
    }

    fn receive(&self, wait: Span, sink: &mut Sink<'_>) -> usize {
        self.device.receive(wait, &mut |from, bytes| {
            if !self.is_frozen.load(SeqCst) {
                sink(from, bytes);
            }
        })
    }

    fn wake(&self) {
        self.device.wake();
    }

    fn lost(&self) -> u64 {
        self.device.lost()
    }
}

/// Processors on one network.
struct Net {
    network: MemoryNetwork,
    freezers: Vec<Arc<Freezer>>,
    adapt: fn(&mut Config),
}

impl Net {
    fn new(adapt: fn(&mut Config)) -> Net {
        Net {
            network: MemoryNetwork::new(),
            freezers: Vec::new(),
            adapt,
        }
    }

    fn parts(&mut self) -> (Config, Vec<Arc<dyn Device>>) {
        let freezer = Arc::new(Freezer {
            device: self.network.device(),
            is_frozen: AtomicBool::new(false),
        });
        self.freezers.push(Arc::clone(&freezer));
        let devices: Vec<Arc<dyn Device>> = vec![freezer];
        let mut config = Config::of(&devices, PORT).with_rpc();
        config.group.timing.probe_after = Span::from_millis(100);
        config.group.timing.probe_max = Span::from_millis(80);
        config.group.timing.silence_max = Span::from_millis(800);
        (self.adapt)(&mut config);
        (config, devices)
    }

    fn group(&mut self, count: usize) -> Vec<Group> {
        let mut groups = Vec::new();
        for number in 0..count {
            let (config, devices) = self.parts();
            let enter = if number == 0 {
                Group::create
            } else {
                Group::join
            };
            groups.push(enter(config, devices).expect("the group is there"));
        }
        groups
    }

    fn freeze(&self, processor: usize, frozen: bool) {
        self.freezers[processor].is_frozen.store(frozen, SeqCst);
    }
}

fn plain(_: &mut Config) {}

fn resilient(config: &mut Config) {
    config.group.resilience = 1;
}

fn member(index: u16) -> MemberIndex {
    MemberIndex::new(index)
}

/// Receives until so many messages have come; the group is well all the time.
fn receive_messages(group: &Group, count: usize) -> Vec<(u32, MemberIndex, Vec<u8>)> {
    let mut messages = Vec::new();
    while messages.len() < count {
        match group.receive_within(LONG).expect("more is to come") {
            Received::Message { seq, from, bytes } => {
                messages.push((seq.value(), from, bytes.to_vec()));
            }
            Received::Joined { .. } => {}
            other => panic!("{other:?} instead of a message"),
        }
    }
    messages
}

/// Receives until the group is told to be broken.
fn receive_abort(group: &Group) -> String {
    loop {
        match group.receive_within(LONG) {
            Err(error @ ReceiveError::Aborted { .. }) => return error.to_string(),
            Ok(_) => {}
            other => panic!("{other:?} instead of an abort"),
        }
    }
}

#[test]
fn many_threads_send_while_one_receives_and_all_members_see_one_order() {
    const THREADS: u8 = 4;
    const EACH: u8 = 50;
    let groups = Net::new(plain).group(3);
    let total = groups.len() * usize::from(THREADS) * usize::from(EACH);
    let (orders, acknowledged) = std::thread::scope(|scope| {
        let receivers: Vec<_> = groups
            .iter()
            .map(|group| scope.spawn(move || receive_messages(group, total)))
            .collect();
        let senders: Vec<_> = groups
            .iter()
            .flat_map(|group| (0..THREADS).map(move |thread| (group, thread)))
            .map(|(group, thread)| {
                scope.spawn(move || {
                    let me = group.info().group.me;
                    let send = |number| {
                        let seq = group.send(vec![thread, number]).expect("it is a member");
                        (seq.value(), me, vec![thread, number])
                    };
                    (0..EACH).map(send).collect::<Vec<_>>()
                })
            })
            .collect();
        let acknowledged = senders.into_iter().map(|sender| sender.join().unwrap());
        let acknowledged: Vec<_> = acknowledged.collect();
        let orders = receivers
            .into_iter()
            .map(|receiver| receiver.join().unwrap());
        (orders.collect::<Vec<_>>(), acknowledged)
    });
    // The last to join has seen no more than its own stay; all messages came after that.
    assert_eq!(orders[0], orders[1]);
    assert_eq!(orders[0], orders[2]);
    let by_seq: BTreeMap<_, _> = orders[0].iter().map(|line| (line.0, line)).collect();
    for thread in &acknowledged {
        assert!(thread.is_sorted_by_key(|line| line.0), "a thread's order");
        for line in thread {
            assert_eq!(by_seq.get(&line.0), Some(&line), "its place as it was told");
        }
    }
}

#[test]
fn a_blocked_sender_takes_no_delivery_from_the_receiver() {
    let groups = Net::new(plain).group(2);
    for number in 0..20_u8 {
        groups[0].send(vec![number]).unwrap();
        groups[1].send(vec![number]).unwrap();
    }
    assert!(groups[0].info().has_more);
    assert_eq!(receive_messages(&groups[0], 40).len(), 40);
    assert_eq!(receive_messages(&groups[1], 40).len(), 40);
}

#[test]
fn only_one_thread_receives() {
    let groups = Net::new(plain).group(1);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| groups[0].receive());
        // Whichever of the two comes second is turned away.
        let second = groups[0].receive_within(Duration::from_millis(200));
        match second {
            Err(ReceiveError::SecondReceiver) => {
                groups[0].send(b"on".as_slice()).unwrap();
                first.join().unwrap().expect("it was first");
            }
            Err(ReceiveError::TimedOut { .. }) => {
                let first = first.join().unwrap();
                assert_eq!(first, Err(ReceiveError::SecondReceiver));
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn what_is_too_large_is_refused_with_its_number() {
    let groups = Net::new(|config| config.group.message_log2 = 10).group(1);
    let error = groups[0].send(vec![0; 1_025]).unwrap_err();
    assert_eq!(error.code(), -22);
    assert!(error.to_string().contains("1025 bytes"), "{error}");
    groups[0].send(vec![0; 1_024]).expect("it just fits");
}

#[test]
fn a_port_that_nobody_serves_is_told_in_time() {
    let mut net = Net::new(|config| config.group.timing.locate_total = Span::from_millis(100));
    let (config, devices) = net.parts();
    let begun = Instant::now();
    let error = Group::join(config, devices).map(|_| ()).unwrap_err();
    assert!(matches!(error, EnterError::NotFound { .. }), "{error}");
    assert_eq!(error.code(), -24);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let (mut config, devices) = net.parts();
    config.group.port = Port::NULL;
    assert_eq!(
        Group::create(config, devices)
            .map(|_| ())
            .unwrap_err()
            .code(),
        -23
    );
}

#[test]
fn a_sequencer_that_leaves_numbers_until_the_others_have_left() {
    let mut groups = Net::new(plain).group(2);
    let second = groups.pop().unwrap();
    let first = groups.pop().unwrap();
    let departed = first.leave().expect("it was in");
    assert!(departed.is_needed());
    second.send(b"alone".as_slice()).expect("it is numbered");
    let left = loop {
        match second.receive_within(LONG).unwrap() {
            Received::Left { member, .. } => break member,
            other => println!("{other:?}"),
        }
    };
    assert_eq!(left, member(0));
    let second = second.leave().expect("it was in");
    assert!(second.finish(LONG), "nobody is left");
    assert!(departed.finish(LONG), "nobody is left");
}

/// A message's place and bytes.
type Placed = (u32, Vec<u8>);

/// Sends until a while after the group was reset, which is done here if it has to be. Gives what was
/// acknowledged and what has failed.
fn send_through_reset(
    group: &Group,
    is_reset: &AtomicBool,
    acknowledged: &Sender<()>,
) -> (Vec<Placed>, Vec<Vec<u8>>) {
    let me = group.info().group.me.value() as u8;
    let (mut good, mut failed, mut after) = (Vec::new(), Vec::new(), 0);
    for number in 0..u32::MAX {
        let bytes = [&[me], &number.to_le_bytes()[..]].concat();
        let outcome = match group.send(bytes.clone()) {
            Err(SendError::Aborted { message, .. }) => {
                assert_eq!(group.reset(2), Ok(2));
                is_reset.store(true, SeqCst);
                match message {
                    Some(message) => group.outcome(message, LONG),
                    None => continue,
                }
            }
            other => other,
        };
        match outcome {
            Ok(seq) => good.push((seq.value(), bytes)),
            Err(SendError::Failed { .. }) => failed.push(bytes),
            Err(error) => panic!("{error}"),
        }
        // Who waited for the first of them listens no more.
        let _ = acknowledged.send(());
        after += u32::from(is_reset.load(SeqCst));
        if after > 5 {
            break;
        }
    }
    (good, failed)
}

/// Receives until the end is sent, over one reset that takes the first member out.
fn receive_through_reset(group: &Group) -> Vec<Placed> {
    let (mut messages, mut aborts, mut resets) = (Vec::new(), 0, 0);
    loop {
        match group.receive_within(LONG) {
            Ok(Received::Message { bytes, .. }) if bytes[..] == *b"end" => break,
            Ok(Received::Message { seq, bytes, .. }) => {
                messages.push((seq.value(), bytes.to_vec()));
            }
            Ok(Received::Reset {
                removed, members, ..
            }) => {
                assert_eq!(removed, [member(0)]);
                assert_eq!(members, [member(1), member(2)]);
                resets += 1;
            }
            Ok(Received::Joined { .. }) => {}
            Err(ReceiveError::Aborted { .. }) => aborts += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((aborts, resets), (1, 1));
    messages
}

#[test]
fn the_kill_of_a_resilient_sequencer_loses_nothing_and_outcomes_are_true() {
    let mut groups = Net::new(resilient).group(3);
    let sequencer = groups.remove(0);
    let is_reset = AtomicBool::new(false);
    let (acknowledged, sent) = channel();
    let (by_senders, received) = std::thread::scope(|scope| {
        let is_reset = &is_reset;
        let receivers: Vec<_> = groups
            .iter()
            .map(|group| scope.spawn(move || receive_through_reset(group)))
            .collect();
        let senders: Vec<_> = groups
            .iter()
            .map(|group| {
                let acknowledged = acknowledged.clone();
                scope.spawn(move || send_through_reset(group, is_reset, &acknowledged))
            })
            .collect();
        assert_eq!(sent.iter().take(20).count(), 20);
        drop((sequencer, sent));
        let by_senders: Vec<_> = senders.into_iter().map(|t| t.join().unwrap()).collect();
        groups[1].send(b"end".as_slice()).expect("it is well");
        let received: Vec<_> = receivers.into_iter().map(|t| t.join().unwrap()).collect();
        (by_senders, received)
    });
    assert_eq!(received[0], received[1]);
    for (good, failed) in &by_senders {
        for placed in good {
            assert!(received[0].contains(placed), "{placed:?} was acknowledged");
        }
        for bytes in failed {
            let is_there = received[0].iter().any(|placed| placed.1 == *bytes);
            assert!(!is_there, "{bytes:?} has failed");
        }
    }
}

#[test]
fn a_reset_with_too_few_says_how_many_and_another_may_follow() {
    let mut groups = Net::new(resilient).group(3);
    assert_eq!(
        groups[0].reset(4),
        Err(ResetError::TooFew {
            members: 3,
            members_min: 4
        })
    );
    assert_eq!(groups[0].reset(3), Ok(3), "a group that is well stays");
    drop(groups.remove(2));
    groups[0].declare_lost(member(2));
    let text = receive_abort(&groups[0]);
    assert!(text.contains("m2 was lost: Declared"), "{text}");
    assert!(matches!(
        groups[0].send(b"now".as_slice()),
        Err(SendError::Aborted { message: None, .. })
    ));
    let refused = groups[0].reset(3);
    assert_eq!(
        refused,
        Err(ResetError::TooFew {
            members: 2,
            members_min: 3
        })
    );
    assert_eq!(groups[0].reset(2), Ok(2));
    groups[0].send(b"again".as_slice()).expect("it is well");
    let info = groups[0].info();
    assert_eq!(info.group.members, [member(0), member(1)]);
    assert!(!info.group.is_broken && info.waits.is_empty(), "{info:?}");
}

#[test]
fn who_dies_is_not_waited_for() {
    let mut groups = Net::new(plain).group(2);
    let begun = Instant::now();
    groups.remove(1).die();
    let text = receive_abort(&groups[0]);
    assert!(text.contains("m1 was lost: Died"), "{text}");
    assert!(begun.elapsed() < Duration::from_millis(700), "by silence");
    assert_eq!(groups[0].reset(1), Ok(1));
}

#[test]
fn who_was_frozen_learns_that_the_others_went_on() {
    let mut net = Net::new(|config| config.group.auto_reset = Some(2));
    let groups = net.group(3);
    net.freeze(2, true);
    groups[0].send(b"one".as_slice()).unwrap();
    while groups[0].info().group.members.len() == 3 {
        // Blocks until something is received: the reset is.
        let _ = groups[0].receive_within(LONG);
    }
    net.freeze(2, false);
    let error = loop {
        match groups[2].receive_within(LONG) {
            Ok(_) | Err(ReceiveError::Aborted { .. }) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error, ReceiveError::Expelled);
    let send = groups[2].send(b"two".as_slice());
    assert_eq!(send, Err(SendError::Expelled { message: None }));
    assert_eq!(groups[2].reset(1), Err(ResetError::Expelled));
}

/// Every kind of wait of a group ends in time, and says for whom it waited.
#[test]
fn a_frozen_sequencer_is_named_by_every_wait() {
    let within = Duration::from_millis(100);
    let mut net = Net::new(|config| {
        config.group.timing.silence_max = Span::from_secs(20);
        config.group.timing.locate_total = Span::from_millis(300);
        config.group.timing.join_give_up = Span::from_millis(200);
    });
    let groups = net.group(2);
    net.freeze(0, true);
    let begun = Instant::now();
    // A request outstanding.
    let error = groups[1]
        .send_within(b"late".as_slice(), within)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("number of its oldest message, from m0"),
        "{error}"
    );
    let SendError::TimedOut {
        message: Some(message),
        waits,
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(waits.0[0].step, WaitStep::Request);
    assert_eq!(waits.0[0].peer, Some(member(0)));
    // The same for who receives, and for who asks what became of it.
    let error = groups[1].receive_within(within).unwrap_err();
    assert!(error.to_string().contains("from m0"), "{error}");
    let error = groups[1].outcome(message, within).unwrap_err();
    assert!(error.to_string().contains("from m0"), "{error}");
    // Joining.
    let (config, devices) = net.parts();
    let error = Group::join(config, devices).map(|_| ()).unwrap_err();
    assert!(matches!(error, EnterError::NotFound { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    // It was only late.
    net.freeze(0, false);
    groups[1].outcome(message, LONG).expect("it has its place");
}

/// A member that receives nothing fills its queue, then the history; senders wait, and nothing is
/// lost.
#[test]
fn who_does_not_receive_holds_senders_up_and_is_named() {
    let groups = Net::new(|config| {
        config.group.members_max = 3;
        config.group.history_log2 = 4;
        config.group.queue_messages_max = 4;
    })
    .group(2);
    let mut sent = 0_u8;
    let (message, waits) = loop {
        match groups[0].send_within(vec![sent], Duration::from_millis(200)) {
            Ok(_) => {
                receive_messages(&groups[0], 1);
                sent += 1;
            }
            Err(SendError::TimedOut { message, waits }) => break (message.unwrap(), waits),
            Err(error) => panic!("{error}"),
        }
    };
    assert!((10..30).contains(&sent), "{sent} were sent");
    assert!(matches!(waits.0[0].step, WaitStep::Room(_)), "{waits}");
    assert_eq!(waits.0[0].peer, Some(member(1)));
    let received = receive_messages(&groups[1], usize::from(sent) + 1);
    groups[0].outcome(message, LONG).expect("there is room");
    let received = received.into_iter().map(|(.., bytes)| bytes[0]);
    assert!(received.eq(0..=sent));
}

#[test]
fn a_sequencer_names_who_does_not_acknowledge() {
    let mut net = Net::new(|config| {
        config.group.resilience = 1;
        config.group.timing.silence_max = Span::from_secs(20);
    });
    let groups = net.group(2);
    net.freeze(1, true);
    let within = Duration::from_millis(100);
    let error = groups[0]
        .send_within(b"late".as_slice(), within)
        .unwrap_err();
    let SendError::TimedOut {
        message: Some(message),
        waits,
    } = error
    else {
        panic!("{error}")
    };
    assert!(
        matches!(waits.0[0].step, WaitStep::Acknowledgement(_)),
        "{waits}"
    );
    assert_eq!(waits.0[0].peer, Some(member(1)));
    // It was only late.
    net.freeze(1, false);
    groups[0].outcome(message, LONG).expect("it has its place");
}

#[test]
fn a_reset_names_whose_vote_is_missing_and_ends_without_it() {
    let mut net = Net::new(|config| config.group.timing.silence_max = Span::from_secs(20));
    let groups = net.group(3);
    net.freeze(1, true);
    net.freeze(2, true);
    groups[0].declare_lost(member(2));
    let error = groups[0]
        .reset_within(1, Duration::from_millis(50))
        .unwrap_err();
    let ResetError::TimedOut { waits } = error else {
        panic!("{error}")
    };
    assert_eq!(waits.0[0].step, WaitStep::Vote);
    assert!(
        waits.0.iter().any(|wait| wait.peer == Some(member(1))),
        "{waits}"
    );
    assert_eq!(groups[0].reset(1), Ok(1));
}

#[test]
fn a_leave_that_nobody_numbers_ends_in_time() {
    let mut net = Net::new(|config| {
        config.group.timing.silence_max = Span::from_millis(300);
        config.group.timing.linger = Span::from_millis(100);
        config.group.timing.probes_min = 1_000;
    });
    let mut groups = net.group(2);
    net.freeze(0, true);
    let error = groups.pop().unwrap().leave().map(|_| ()).unwrap_err();
    let LeaveError::TimedOut { waits, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(waits.0[0].peer, Some(member(0)), "{error}");
}

#[test]
fn other_times_hold_from_now_on() {
    let groups = Net::new(plain).group(1);
    let mut timing = groups[0].info().group.timing;
    timing.silence_max = Span::from_secs(7);
    groups[0].set(timing);
    assert_eq!(groups[0].info().group.timing, timing);
}

fn rpc(group: &Group) -> Rpc {
    group.rpc().expect("it has an endpoint")
}

#[test]
fn many_clients_are_served_by_a_group_that_forwards() {
    const CLIENTS: u8 = 16;
    const EACH: u8 = 20;
    let mut net = Net::new(plain);
    let groups = net.group(3);
    let (_, devices) = net.parts();
    let client = Rpc::start(devices).expect("it starts");
    let over = AtomicBool::new(false);
    let executed = AtomicU32::new(0);
    let forwarded = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for (group, number) in groups.iter().zip(0_u8..) {
            for _ in 0..4 {
                let (over, executed, forwarded) = (&over, &executed, &forwarded);
                let rpc = rpc(group);
                scope.spawn(move || {
                    while !over.load(SeqCst) {
                        let within = Duration::from_millis(50);
                        let request = match rpc.get_request_within(SERVICE, within) {
                            Ok(request) => request,
                            Err(ServeError::TimedOut { .. }) => continue,
                            Err(error) => panic!("{error}"),
                        };
                        // The first byte says who is to execute it.
                        let wanted = request.data[0] % 3;
                        if wanted == number {
                            executed.fetch_add(1, SeqCst);
                            let reply = [&[number], &request.data[..]].concat();
                            rpc.put_reply(&request, request.header, &reply).unwrap();
                        } else {
                            forwarded.fetch_add(1, SeqCst);
                            rpc.forward_request(&request, member(wanted.into()))
                                .unwrap();
                        }
                    }
                });
            }
        }
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let client = &client;
                scope.spawn(move || {
                    for round in 0..EACH {
                        let data = [round, number];
                        let header = Header::to(SERVICE.put_port());
                        let reply = client.trans(header, &data).expect("it is served");
                        assert_eq!(reply.data[..], [round % 3, round, number]);
                    }
                })
            })
            .collect();
        let ended: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        over.store(true, SeqCst);
        assert!(ended.into_iter().all(|client| client.is_ok()));
    });
    assert_eq!(executed.load(SeqCst), u32::from(CLIENTS) * u32::from(EACH));
    assert!(forwarded.load(SeqCst) > 0, "somebody asked the wrong one");
}

#[test]
fn a_request_is_answered_once_and_an_unanswered_one_is_told() {
    let mut net = Net::new(plain);
    let groups = net.group(2);
    let (server, client) = (&rpc(&groups[0]), &rpc(&groups[1]));
    let header = Header::to(SERVICE.put_port());
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| client.trans(header, b"what"));
        let request = server.get_request(SERVICE).unwrap();
        let nobody = server.forward_request(&request, member(9));
        assert_eq!(nobody, Err(ServeError::NoSuchMember { member: member(9) }));
        server.put_reply(&request, header, b"this").unwrap();
        assert_eq!(asked.join().unwrap().unwrap().data[..], *b"this");
        let again = server.put_reply(&request, header, b"that").unwrap_err();
        assert_eq!(again.code(), -1, "{again}");

        let within = Duration::from_millis(100);
        let asked = scope.spawn(move || client.trans_within(header, b"slow", within));
        let request = server.get_request(SERVICE).unwrap();
        let error = asked.join().unwrap().unwrap_err();
        assert!(
            error.to_string().contains("waits for the reply, peer"),
            "{error}"
        );
        assert!(!error.was_not_executed());
        while !request.is_signalled() {
            // Blocks for a while: the word that nobody waits is on its way.
            let _ = server.get_request_within(SERVICE, Duration::from_millis(5));
        }
        server
            .put_reply(&request, header, b"late")
            .expect("nobody wants it");

        let asked = scope.spawn(|| client.trans(header, b"what"));
        drop(server.get_request(SERVICE).unwrap());
        let error = asked.join().unwrap().unwrap_err();
        assert!(!error.was_not_executed(), "{error}");
    });
    let null = client.trans(Header::to(Port::NULL), b"").unwrap_err();
    assert_eq!((null.code(), null.was_not_executed()), (-8, true));
    assert!(client.pending().is_empty() && server.pending().is_empty());
}

#[test]
fn a_frozen_server_and_a_frozen_client_end_the_transaction_in_time() {
    let mut net = Net::new(|config| {
        config.group.timing.silence_max = Span::from_secs(60);
        let rpc = config.rpc.as_mut().expect("an endpoint");
        rpc.timing.locate_time = Span::from_millis(200);
    });
    let groups = net.group(2);
    let (server, client) = (rpc(&groups[0]), rpc(&groups[1]));
    let header = Header::to(SERVICE.put_port());
    let begun = Instant::now();
    // Nobody serves.
    let error = client.trans(header, b"what").unwrap_err();
    assert_eq!(
        (error.code(), error.was_not_executed()),
        (-2, true),
        "{error}"
    );
    std::thread::scope(|scope| {
        // The server executes, and is seen no more.
        let asked = scope.spawn(|| client.trans(header, b"what"));
        let request = server.get_request(SERVICE).unwrap();
        net.freeze(0, true);
        let error = asked.join().unwrap().unwrap_err();
        assert!(error.to_string().contains("contact with server"), "{error}");
        assert!(matches!(error, TransError::Failed(_)));
        // Its client is gone when it answers.
        let error = server.put_reply(&request, header, b"this").unwrap_err();
        assert_eq!(error.code(), -4, "{error}");
        assert!(
            error.to_string().contains(&request.client.to_string()),
            "{error}"
        );
    });
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
}
