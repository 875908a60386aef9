use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;

use self::bench::{Bench, address, start};
use super::*;
use crate::demux::{MAX_ADDRESSES_PER_PEER, stun_username};
use crate::peer::dtls::MAX_PENDING_HANDSHAKE;
use crate::peer::ice::{CONSENT_LIFETIME, MAX_NEW_ADDRESSES, MAX_REMOTE_CANDIDATES};

mod bench;
mod handshake;

const SERVER: &str = "203.0.113.1:7000";
const WIFI: &str = "192.0.2.10:40000";
const MOBILE: &str = "198.51.100.20:50000";
const THIEF: &str = "198.51.100.66:6666";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_remote_connects_and_both_ends_have_the_same_keys() {
    for (server, remote) in [(SERVER, WIFI), ("[2001:db8::1]:7000", "[2001:db8:1::9]:40000")] {
        for role in [DtlsRole::Server, DtlsRole::Client] {
            let mut bench = Bench::with_role(server, remote, role);
            bench.connect();
            bench.run(seconds(1));
            assert!(bench.is_connected(), "{remote} {role:?}: {:?}", bench.events);
            assert_eq!(bench.media(), Some(address(remote)));
            assert!(bench.peer.srtp.is_some() && bench.remote_keys.is_some());
            assert!(bench.stray.is_empty() && bench.peer.round_trip().is_some());
        }
    }
}

#[test]
fn a_remote_that_asks_before_its_description_is_here_connects() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut bench = Bench::with_role(SERVER, WIFI, role);
        bench.run(Duration::from_millis(600));
        assert!(bench.events.contains(&PeerEvent::AddressAuthenticated(address(WIFI))));
        assert_eq!(bench.media(), None);
        bench.connect();
        bench.run(seconds(2));
        assert!(bench.is_connected(), "{role:?}: {:?}", bench.events);
    }
}

#[test]
fn a_peer_may_live_on_any_thread() {
    fn sendable<T: Send>() {}
    sendable::<Peer>();
}

#[test]
fn copies_of_requests_from_elsewhere_move_nothing() {
    let mut bench = Bench::connected(SERVER, WIFI);
    bench.stray.clear();
    for n in 0..10_000 {
        let at = n % bench.requests.len();
        let request = bench.requests[at].1.clone();
        bench.peer.on_stun(address(THIEF), bench.server.ip(), &request, bench.now);
        bench.drain_peer();
        assert_eq!(bench.media(), Some(address(WIFI)));
    }
    assert!(bench.stray.is_empty(), "not even an answer goes to the thief");
    let replays = bench.events.iter().filter(|event| **event == PeerEvent::StunReplayed).count();
    assert_eq!(replays, 10_000, "each is told apart from what the remote repeats itself");
}

/// A request that the remote sent and that reached nobody yet.
fn held_back(bench: &mut Bench) -> Vec<u8> {
    let before = bench.requests.len();
    bench.dead.insert(address(WIFI));
    bench.nat.insert(address(WIFI), address(WIFI));
    for _ in 0..2_000 {
        bench.agent.handle_timeout(bench.now);
        if let Some(transmit) = bench.agent.poll_transmit() {
            bench.dead.clear();
            assert_eq!(bench.requests.len(), before);
            return transmit.contents.to_vec();
        }
        bench.now += Duration::from_millis(5);
    }
    panic!("the remote sent nothing");
}

#[test]
fn a_request_taken_off_the_wire_and_sent_from_elsewhere_moves_nothing() {
    let mut bench = Bench::connected(SERVER, WIFI);
    for _ in 0..20 {
        let request = held_back(&mut bench);
        assert!(is::stun::StunMessage::parse(&request).is_ok_and(|message| message.use_candidate()));
        bench.peer.on_stun(address(THIEF), bench.server.ip(), &request, bench.now);
        bench.run(seconds(1));
        assert_eq!(bench.media(), Some(address(WIFI)), "the thief cannot answer our check");
    }
    assert!(!bench.events.contains(&PeerEvent::PathChanged));
}

#[test]
fn an_answer_from_elsewhere_than_the_check_went_proves_nothing() {
    let mut bench = Bench::connected(SERVER, WIFI);
    let request = held_back(&mut bench);
    bench.stray.clear();
    bench.peer.on_stun(address(THIEF), bench.server.ip(), &request, bench.now);
    bench.drain_peer();
    let check = bench.stray.iter().find(|(_, bytes)| bytes.starts_with(&[0, 1])).expect("a check").1.clone();
    // The thief has the remote itself answer the check, and sends that on, but from a third address.
    let message = is::stun::StunMessage::parse(&check).expect("STUN");
    let packet =
        is::stun::StunPacket { proto: is::Protocol::Udp, source: bench.server, destination: address(WIFI), message };
    assert!(bench.agent.handle_packet(bench.now, packet));
    let answer = bench.agent.poll_transmit().expect("an answer").contents.to_vec();
    bench.peer.on_stun(address(WIFI), bench.server.ip(), &answer, bench.now);
    bench.drain_peer();
    assert!(!bench.events.contains(&PeerEvent::AddressValidated(address(THIEF))));
    assert_eq!(bench.media(), Some(address(WIFI)));
}

#[test]
fn media_follows_a_new_binding_of_the_address_translation() {
    let mut bench = Bench::connected(SERVER, WIFI);
    let rebound = address("192.0.2.10:41111");
    bench.nat.insert(address(WIFI), rebound);
    bench.run(seconds(4));
    assert_eq!(bench.media(), Some(rebound));
    assert!(bench.events.contains(&PeerEvent::PathChanged));
    assert!(!bench.events.iter().any(|event| matches!(event, PeerEvent::Disconnected | PeerEvent::Failed(_))));
}

#[test]
fn media_moves_from_wifi_to_mobile_at_once_although_that_has_the_lower_priority() {
    let mut bench = Bench::connected(SERVER, WIFI);
    bench.move_to(MOBILE);
    bench.run(Duration::from_millis(200));
    assert_eq!(bench.media(), Some(address(MOBILE)));
}

#[test]
fn consent_expires_without_answers_although_requests_come() {
    let mut bench = Bench::connected(SERVER, WIFI);
    // The remote hears nothing any more but goes on asking, so it cannot answer.
    bench.nat.insert(address(THIEF), address(WIFI));
    let asks = bench.now;
    let mut left = None;
    bench.dead.insert(address(WIFI));
    while bench.now < asks + seconds(40) {
        bench.agent.handle_timeout(bench.now);
        while let Some(transmit) = bench.agent.poll_transmit() {
            bench.peer.on_stun(address(WIFI), bench.server.ip(), &transmit.contents, bench.now);
        }
        bench.step();
        if left.is_none() && bench.media().is_none() {
            left = Some(bench.now - asks);
        }
        bench.now += Duration::from_millis(50);
    }
    let left = left.expect("media stops");
    assert!(left + seconds(4) > CONSENT_LIFETIME && left <= CONSENT_LIFETIME + seconds(1), "{left:?}");
    assert!(bench.events.contains(&PeerEvent::Disconnected));
    assert!(bench.events.contains(&PeerEvent::AddressLost(address(WIFI))));
}

#[test]
fn a_remote_that_was_away_comes_back_without_a_handshake() {
    let mut bench = Bench::connected(SERVER, WIFI);
    let keys = bench.remote_keys.clone();
    bench.dead.insert(address(WIFI));
    bench.run(seconds(15));
    assert!(bench.events.contains(&PeerEvent::Disconnected) && bench.media().is_some());
    bench.dead.clear();
    bench.run(seconds(5));
    assert!(bench.events.contains(&PeerEvent::Reconnected), "{:?}", bench.events);
    assert_eq!((bench.media(), bench.remote_keys), (Some(address(WIFI)), keys));
}

#[test]
fn a_remote_that_stays_away_has_failed() {
    let mut bench = Bench::connected(SERVER, WIFI);
    bench.dead.insert(address(WIFI));
    bench.run(CONSENT_LIFETIME + MAX_ABSENCE + seconds(2));
    let failed = |event: &&PeerEvent| matches!(event, PeerEvent::Failed(FailReason::Ice));
    assert_eq!(bench.events.iter().filter(failed).count(), 1);
}

#[test]
fn a_remote_that_never_comes_has_failed() {
    let mut bench = Bench::new(SERVER, WIFI);
    bench.dead.insert(address(WIFI));
    bench.connect();
    bench.run(CONNECT_DEADLINE + seconds(1));
    assert_eq!(bench.events, [PeerEvent::Failed(FailReason::Ice)]);
}

#[test]
fn a_restart_keeps_the_old_address_until_the_new_one_is_proved() {
    let mut bench = Bench::connected(SERVER, WIFI);
    let keys = bench.remote_keys.clone();
    bench.restart();
    assert_eq!(bench.media(), Some(address(WIFI)));
    bench.move_to(MOBILE);
    bench.step();
    assert_eq!(bench.media(), Some(address(WIFI)), "nothing is proved before the description is there");
    bench.connect();
    bench.run(seconds(1));
    assert_eq!(bench.media(), Some(address(MOBILE)));
    assert_eq!(bench.remote_keys, keys);
    assert!(!bench.is_connected(), "DTLS and SRTP went on");
    bench.run(seconds(60));
    assert!(!bench.events.contains(&PeerEvent::Disconnected));
}

#[test]
fn the_credentials_before_a_restart_answer_until_it_is_done() {
    let mut bench = Bench::connected(SERVER, WIFI);
    // Only our end starts over; the remote has not heard of it.
    bench.peer.restart_ice("another".to_owned(), "another-password-of-22".to_owned(), bench.now);
    bench.run(seconds(25));
    assert_eq!(bench.media(), Some(address(WIFI)));
    assert!(!bench.events.contains(&PeerEvent::Disconnected), "{:?}", bench.events);
}

#[test]
fn a_restart_that_the_remote_never_hears_of_changes_nothing() {
    let mut bench = Bench::connected(SERVER, WIFI);
    // Once given up before the description of the remote came, once after.
    bench.peer.restart_ice("first".to_owned(), "another-password-of-22".to_owned(), bench.now);
    bench.run(seconds(100));
    bench.peer.restart_ice("second".to_owned(), "another-password-of-22".to_owned(), bench.now);
    let described = RemoteTransport {
        ufrag: "unused".to_owned(),
        pwd: "unused-of-22-characters".to_owned(),
        ..bench.remote.clone()
    };
    bench.peer.connect(&described, None, bench.now);
    bench.run(seconds(100));
    assert_eq!(bench.media(), Some(address(WIFI)));
    assert!(!bench.events.contains(&PeerEvent::Disconnected), "{:?}", bench.events);
    bench.move_to(MOBILE);
    bench.run(seconds(15));
    assert_eq!(bench.media(), Some(address(MOBILE)), "it still follows the remote");
    assert!(bench.failures().is_empty());
}

#[test]
fn new_addresses_come_few_at_a_time_and_never_more_than_the_cap() {
    let mut bench = Bench::connected(SERVER, WIFI);
    bench.run(ice::NEW_ADDRESS_SPAN);
    let count = |bench: &Bench, which: fn(&PeerEvent) -> bool| bench.events.iter().filter(|event| which(event)).count();
    for port in 0..400 {
        let request = bench.request(true);
        bench.peer.on_stun(SocketAddr::from(([198, 51, 100, 7], 1000 + port)), bench.server.ip(), &request, bench.now);
        bench.run(Duration::from_millis(500));
        let heard = count(&bench, |event| matches!(event, PeerEvent::AddressAuthenticated(_)));
        let lost = count(&bench, |event| matches!(event, PeerEvent::AddressLost(_)));
        assert!(heard <= MAX_NEW_ADDRESSES * (1 + usize::from(port) / 20), "{heard} after {port}");
        assert!(heard - lost < MAX_ADDRESSES_PER_PEER);
        assert_eq!(bench.media(), Some(address(WIFI)));
    }
    assert!(!bench.events.contains(&PeerEvent::Disconnected), "{:?}", bench.events);
}

#[test]
fn a_remote_that_goes_back_to_where_it_was_is_followed_at_once() {
    let mut bench = Bench::connected(SERVER, WIFI);
    bench.nat.insert(address(WIFI), address(MOBILE));
    bench.run(seconds(4));
    assert_eq!(bench.media(), Some(address(MOBILE)));
    bench.nat.clear();
    let request = bench.request(true);
    bench.peer.on_stun(address(WIFI), bench.server.ip(), &request, bench.now);
    assert_eq!(bench.media(), Some(address(MOBILE)), "the old proof is no proof");
    bench.run(Duration::from_millis(20));
    assert_eq!(bench.media(), Some(address(WIFI)));
}

#[test]
fn the_stages_of_a_join_are_told_once_and_the_agent_s_retries_are_no_replays() {
    let mut bench = Bench::new(SERVER, WIFI);
    bench.connect();
    bench.run(seconds(30));
    let stage = |wanted: &PeerEvent| bench.events.iter().filter(|event| *event == wanted).count();
    assert_eq!(
        (stage(&PeerEvent::WayFound), stage(&PeerEvent::KeysAgreed), stage(&PeerEvent::StunReplayed)),
        (1, 1, 0)
    );
    let at = |wanted: fn(&PeerEvent) -> bool| bench.events.iter().position(wanted);
    let connected = at(|event| matches!(event, PeerEvent::Connected { .. }));
    assert!(at(|event| *event == PeerEvent::WayFound) < connected);
    assert!(at(|event| *event == PeerEvent::KeysAgreed) < connected);
}

#[test]
fn a_repeated_request_is_answered_and_moves_nothing() {
    let mut bench = Bench::connected(SERVER, WIFI);
    let old = bench.request(true);
    bench.peer.on_stun(address(WIFI), bench.server.ip(), &old, bench.now);
    bench.nat.insert(address(WIFI), address(MOBILE));
    bench.run(seconds(4));
    assert_eq!(bench.media(), Some(address(MOBILE)));
    bench.stray.clear();
    bench.peer.on_stun(address(WIFI), bench.server.ip(), &old, bench.now);
    bench.drain_peer();
    assert_eq!(bench.stray.len(), 1, "one answer, no check");
    bench.run(seconds(4));
    assert_eq!(bench.media(), Some(address(MOBILE)));
}

#[test]
fn an_error_from_the_remote_does_not_turn_the_roles_around() {
    let mut bench = Bench::connected(SERVER, WIFI);
    for _ in 0..20 {
        let mut error = bench.request(false);
        error[..2].copy_from_slice(&[1, 0x11]);
        bench.peer.on_stun(address(WIFI), bench.server.ip(), &error, bench.now);
    }
    bench.run(seconds(10));
    assert_eq!(bench.media(), Some(address(WIFI)));
}

#[test]
fn the_reply_leaves_from_the_address_that_was_asked() {
    let mut bench = Bench::connected(SERVER, WIFI);
    let inside = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
    let request = held_back(&mut bench);
    bench.peer.on_stun(address(WIFI), inside, &request, bench.now);
    let mut bytes = vec![];
    assert_eq!(bench.peer.poll_transmit(&mut bytes), Some((address(WIFI), Some(inside))));
    assert_eq!(bench.peer.media_address(), Some((address(WIFI), Some(inside))));
}

#[test]
fn nothing_is_sent_to_an_address_that_is_only_named() {
    let mut bench = Bench::new(SERVER, WIFI);
    bench.remote.candidates = vec![address(THIEF); 40];
    bench.connect();
    bench.run(seconds(1));
    assert!(bench.is_connected() && bench.stray.is_empty());
}

#[test]
fn named_addresses_are_checked_where_configured_but_few_and_only_those_of_hosts() {
    let mut bench = Bench::checking_named(SERVER, WIFI);
    let named = (1..=60).map(|port| SocketAddr::from(([198, 51, 100, 7], port)));
    bench.remote.candidates = ["127.0.0.1:9", "0.0.0.0:9", "224.0.0.1:9", "169.254.1.1:9"].map(address).to_vec();
    bench.remote.candidates.extend(named);
    bench.connect();
    bench.run(seconds(10));
    let checked: BTreeSet<_> = bench.stray.iter().map(|(to, _)| *to).collect();
    assert_eq!(checked.len(), MAX_REMOTE_CANDIDATES);
    assert!(checked.iter().all(|to| to.ip() == address("198.51.100.7:1").ip()));
    assert!(bench.is_connected());
}

#[test]
fn a_server_behind_address_translation_answers_under_any_address_of_its_own() {
    for own in ["10.0.0.7", "203.0.113.1", "0.0.0.0"] {
        let mut bench = Bench::new(SERVER, WIFI);
        bench.own = own.parse().expect("an address");
        bench.connect();
        bench.run(seconds(1));
        assert!(bench.is_connected());
        assert_eq!(
            bench.peer.media_address(),
            Some((address(WIFI), Some(bench.own).filter(|own| !own.is_unspecified())))
        );
    }
}

#[test]
fn a_peer_with_keys_needs_no_network() {
    let keys = SrtpKeys::new(SrtpProfile::AeadAes128Gcm, &[5; 56]).expect("56 bytes");
    let mut peer = Peer::with_keys(address(WIFI), &keys, DtlsRole::Server, start());
    assert_eq!(peer.media_address(), Some((address(WIFI), None)));
    assert!(matches!(peer.poll_event(), Some(PeerEvent::AddressAuthenticated(_))));
    assert!(peer.srtp.is_some() && peer.poll_timeout().is_none());
}

#[test]
fn what_leaves_with_a_request_names_both_ends() {
    let bench = Bench::connected(SERVER, WIFI);
    let name = stun_username(&bench.requests[0].1).expect("a user name");
    assert!(name.ends_with(b":remote0"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_and_damaged_datagrams_neither_panic_nor_grow_anything(
        junk in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 1..40),
        flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..40),
    ) {
        let mut bench = Bench::new(SERVER, WIFI);
        bench.connect();
        bench.run(Duration::from_millis(20));
        for bytes in &junk {
            bench.peer.on_stun(address(WIFI), bench.server.ip(), bytes, bench.now);
            bench.peer.on_dtls(address(WIFI), bytes, bench.now);
        }
        for (at, mask) in flips {
            let mut damaged = bench.requests[0].1.clone();
            let at = at % damaged.len();
            damaged[at] ^= mask;
            bench.peer.on_stun(address(THIEF), bench.server.ip(), &damaged, bench.now);
            damaged[0] = 22;
            bench.peer.on_dtls(address(WIFI), &damaged, bench.now);
        }
        prop_assert!(bench.peer.pending_handshake() <= MAX_PENDING_HANDSHAKE);
        while bench.peer.advance_handshake(bench.now) {}
        bench.run(seconds(3));
        prop_assert_eq!(bench.media(), Some(address(WIFI)));
        prop_assert!(bench.is_connected(), "the remote connects all the same");
    }
}
