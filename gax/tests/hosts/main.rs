//! FLIP over raw Ethernet between hosts that are network namespaces: two segments of three hosts each,
//! joined by a flipd, a decoy interface on every host. Needs root and `ip`; one line says so if it skips.
//!
//! Implements: DESIGN 12; [Thesis §2.4.2], [Thesis §2.5].

#[path = "../../../flip-net/tests/support/mod.rs"]
mod support;

mod segments;
mod station;

use flip_net::address::FlipAddress;
use flip_net::flip_box::Mark;
use flip_net::time::Duration;
use flip_net::wire::Kind;
use flip_net::{SendOptions, Undelivered};
use segments::{LEFT, RIGHT, Segments};
use stack::flip_net;
use station::{Seen, Station, until};

/// Private addresses that stand for themselves.
fn private(letter: u8) -> FlipAddress {
    FlipAddress::new([letter; 8])
}

fn skip() -> Option<Segments> {
    Segments::new()
}

/// Six stations, one a host, with the addresses 1 to 6.
fn stations(segments: &Segments, key: Option<[u8; 32]>) -> Vec<Station> {
    let open = |host: usize| {
        let station = Station::open(segments, host, key);
        station.register(private(host as u8 + 1));
        station
    };
    (0..6).map(open).collect()
}

#[test]
fn a_unicast_crosses_from_segment_to_segment() {
    let Some(segments) = skip() else { return };
    let _flipd = segments.flipd(None);
    let all = stations(&segments, None);
    for (from, to, len) in [(0, 1, 10), (0, 5, 10), (5, 0, 100_000), (3, 4, 100_000)] {
        let sent = all[from].send_until_there(
            private(from as u8 + 1),
            private(to as u8 + 1),
            len,
            &all[to],
        );
        assert!(sent <= 2, "{from} to {to} took {sent} attempts");
    }
    // Long unicasts are held back by credits, not by losing them.
    let lost: u64 = all.iter().map(Station::lost).sum();
    assert_eq!(lost, 0);
    let credits: u64 = all
        .iter()
        .map(|each| each.stats().networks[0].flow_received[2])
        .sum();
    assert!(credits > 0, "the fragments were paid for");
}

#[test]
fn a_multicast_is_one_frame_on_each_segment() {
    let Some(segments) = skip() else { return };
    let flipd = segments.flipd(None);
    let all = stations(&segments, None);
    let group = private(77);
    let public = group.one_way();
    // Two listeners beside the sender, three beyond the flipd.
    for listener in &all[1..] {
        listener.register(group);
    }
    let taps = [LEFT, RIGHT].map(|segment| segments.tap(segment, public.link_multicast()));
    // Until everybody has agreed, and the flipd knows that three listen behind it, copies go out.
    let sent = || all[0].stats().networks[0].sent.of(Kind::MultiData);
    until("one frame serves each segment", || {
        taps.iter().for_each(|tap| drop(tap.take()));
        let before = (sent(), flipd.multicasts_sent());
        let number = all[0].multicast(private(1), public, 100, 4);
        let heard = all[1..]
            .iter()
            .all(|each| each.waits_briefly_for(Seen::Arrived(number)));
        let frames = taps.each_ref().map(|tap| tap.take().len());
        let sent = (sent() - before.0, flipd.multicasts_sent() - before.1);
        (heard && frames == [1, 1] && sent == (1, 1)).then_some(())
    });
    // From then on: ten messages, ten frames on each segment, and nobody gets one twice.
    let before = (sent(), flipd.multicasts_sent());
    let numbers: Vec<u64> = (0..10)
        .map(|_| all[0].multicast(private(1), public, 100, 4))
        .collect();
    for each in &all[1..] {
        assert!(
            numbers
                .iter()
                .all(|number| each.waits_for(Seen::Arrived(*number)))
        );
    }
    for tap in &taps {
        until("the frames were seen", || (tap.seen() >= 10).then_some(()));
        let frames = tap.take();
        assert_eq!(
            frames.len(),
            10,
            "frames to the multicast address on one segment"
        );
    }
    let copies = "no copies beside the multicasts";
    assert_eq!(sent() - before.0, 10, "{copies}");
    assert_eq!(flipd.multicasts_sent() - before.1, 10, "{copies}");
    assert!(all[0].stats().marks.of(Mark::MulticastFrame) >= 10);
    for each in &all[1..] {
        let arrivals = each.arrivals().into_iter();
        let twice = arrivals.filter(|(number, count)| numbers.contains(number) && *count > 1);
        assert_eq!(twice.count(), 0, "a message came twice");
    }
}

#[test]
fn a_cable_is_pulled_and_plugged_in_elsewhere() {
    let Some(segments) = skip() else { return };
    let _flipd = segments.flipd(None);
    let all = stations(&segments, None);
    let (from, to) = (private(2), private(1));
    assert!(all[1].send_until_there(from, to, 10, &all[0]) <= 2);
    segments.pull(0);
    let number = all[1].unicast(from, to.one_way(), 10, SendOptions::default());
    assert!(
        !all[0].waits_briefly_for(Seen::Arrived(number)),
        "there is no cable"
    );
    segments.plug(0, RIGHT);
    // The route is stale: the first repeat, with a new locate, gets through.
    assert!(all[1].send_until_there(from, to, 10, &all[0]) <= 3);
    let way = all[1].routes_to(to.one_way());
    assert_eq!((way.len(), way[0].hops), (1, 6), "by the flipd now");
    segments.pull(0);
    segments.plug(0, LEFT);
    assert!(all[1].send_until_there(from, to, 10, &all[0]) <= 3);
    assert_eq!(all[1].routes_to(to.one_way())[0].hops, 3);
}

#[test]
fn a_process_moves_and_is_found_again() {
    let Some(segments) = skip() else { return };
    let _flipd = segments.flipd(None);
    let all = stations(&segments, None);
    let moving = private(50);
    all[2].register(moving);
    assert!(all[0].send_until_there(private(1), moving, 10, &all[2]) <= 2);
    for (here, there) in [(2, 4), (4, 1), (1, 3)] {
        all[here].unregister(moving.one_way());
        all[there].register(moving);
        // The message comes back, or is lost with a route that leads nowhere; the repeat finds it.
        let attempts = all[0].send_until_there(private(1), moving, 5_000, &all[there]);
        assert!(attempts <= 3, "{attempts} attempts from {here} to {there}");
    }
}

#[test]
fn nobody_without_the_key_takes_part() {
    let Some(segments) = skip() else { return };
    let key = [9; 32];
    let _flipd = segments.flipd(Some(key));
    let all = stations(&segments, Some(key));
    assert!(all[0].send_until_there(private(1), private(6), 10_000, &all[5]) <= 3);
    let stranger = Station::open(&segments, 1, None);
    stranger.register(private(99));
    let other = Station::open(&segments, 2, Some([8; 32]));
    other.register(private(98));
    for (outsider, address) in [(&stranger, private(99)), (&other, private(98))] {
        let options = SendOptions {
            locate_time: Duration::from_millis(200),
            ..SendOptions::default()
        };
        let number = outsider.unicast(address, private(1).one_way(), 10, options);
        assert!(outsider.waits_for(Seen::Returned(number, Undelivered::NotLocated)));
        let number = all[0].unicast(private(1), address.one_way(), 10, options);
        assert!(all[0].waits_for(Seen::Returned(number, Undelivered::NotLocated)));
    }
    // What asks for security goes over the keyed network, and only there.
    let secure = SendOptions {
        security: true,
        ..SendOptions::default()
    };
    let number = all[0].unicast(private(1), private(5).one_way(), 10, secure);
    assert!(all[4].waits_for(Seen::Arrived(number)));
    let number = stranger.unicast(private(99), private(1).one_way(), 10, secure);
    assert!(!stranger.waits_briefly_for(Seen::Arrived(number)));
}

#[test]
fn udp_leaves_by_the_interface_that_leads_to_the_peers() {
    let Some(segments) = skip() else { return };
    // Every host has the same address on its decoy, and it comes first.
    for host in 0..3 {
        let listed = segments.host(host).ip("-o link show");
        let place = |name: &str| listed.find(&format!(" {name}")).expect("it is there");
        assert!(place("docker0") < place("eth0"), "{listed}");
    }
    let all: Vec<Station> = (0..3)
        .map(|host| Station::open_udp(&segments, host, &[0, 1, 2]))
        .collect();
    for (host, station) in all.iter().enumerate() {
        station.register(private(host as u8 + 1));
    }
    assert!(all[0].send_until_there(private(1), private(3), 50_000, &all[2]) <= 2);
    assert!(all[2].send_until_there(private(3), private(2), 10, &all[1]) <= 2);
}
