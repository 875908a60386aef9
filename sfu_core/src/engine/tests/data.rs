//! Messages from peer to peer, with everything that leaves the engine for a subscriber seen in the clear.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::engine::event::{DataSnapshot, RosterSnapshot};
use crate::gate::Flow;
use crate::ids::{Mid, ParticipantId};
use crate::peer::sctp::budget::MAX_BURST_BYTES;
use crate::peer::sctp::outbox::MessageSender;
use crate::peer::sctp::{DataEvent, DataTransport, Reliability};
use crate::session::DataMedia;

const MS: Duration = Duration::from_millis(1);
const ONE_WAY: Duration = Duration::from_millis(20);
const CHAT: &str = "chat";

/// Peers with a data channel each, and what flies between them and the engine.
struct Table {
    rig: Rig,
    ends: BTreeMap<PeerId, DataTransport>,
    flying: BTreeMap<(Instant, u32), (PeerId, bool, Vec<u8>)>,
    number: u32,
    /// One datagram in so many is lost; 0 loses none.
    lose_every: u32,
    /// What left for whom since it was last asked.
    left: Vec<(PeerId, Vec<u8>)>,
    heard: BTreeMap<PeerId, Vec<Vec<u8>>>,
}

/// What a peer says: its own mark, over and over.
fn words(who: usize, len: usize) -> Vec<u8> {
    mark(who).repeat(len)
}

fn mark(who: usize) -> Vec<u8> {
    format!("<this is of person {who}>").into_bytes()
}

impl Table {
    fn of(count: u64) -> (Self, Vec<PeerId>) {
        let mut rig = Rig::new();
        let peers: Vec<PeerId> = (1..=count).map(|n| rig.join(n)).collect();
        let media = DataMedia { mid: Mid::new("d").expect("a mid"), sctp_port: 5_000, max_message_size: 65_536 };
        let now = rig.now;
        let mut ends = BTreeMap::new();
        for peer in &peers {
            rig.transport(*peer).data = Some(DataTransport::new(false, media, now));
            let mut end = DataTransport::new(true, media, now);
            end.open(CHAT, true, Reliability::Reliable).expect("room");
            ends.insert(*peer, end);
        }
        let (flying, heard) = (BTreeMap::new(), BTreeMap::new());
        let mut table = Self { rig, ends, flying, number: 0, lose_every: 0, left: Vec::new(), heard };
        table.run(500 * MS);
        (table, peers)
    }

    fn say(&mut self, who: PeerId, payload: &[u8]) {
        let end = self.ends.get_mut(&who).expect("a peer");
        if end.send(CHAT, Arc::from(payload), true, MessageSender::Server).is_err() {
            let _ = end.open(CHAT, true, Reliability::Reliable); // a revocation may have closed it
        }
    }

    fn allow(&mut self, publisher: PeerId, subscriber: PeerId) {
        self.rig.command(Command::AllowData { publisher, subscriber }).expect("an edge");
    }

    fn revoke(&mut self, publisher: PeerId, subscriber: PeerId) {
        self.rig.command(Command::RevokeData { publisher, subscriber }).expect("a revocation");
    }

    fn fly(&mut self, peer: PeerId, to_engine: bool, datagram: Vec<u8>) {
        self.number += 1;
        if self.lose_every == 0 || !self.number.is_multiple_of(self.lose_every) {
            self.flying.insert((self.rig.now + ONE_WAY, self.number), (peer, to_engine, datagram));
        }
    }

    fn gather(&mut self) {
        let peers: Vec<PeerId> = self.ends.keys().copied().collect();
        for peer in peers {
            let end = self.ends.get_mut(&peer).expect("a peer");
            end.hand_over(&Gate::default(), |_| ());
            let sent: Vec<_> = std::iter::from_fn(|| end.poll_transmit()).collect();
            let events = std::iter::from_fn(|| end.poll_event());
            let said = events.filter_map(|event| match event {
                DataEvent::Message { payload, .. } => Some(payload),
                _ => None,
            });
            self.heard.entry(peer).or_default().extend(said);
            for datagram in sent {
                self.fly(peer, true, datagram);
            }
            let data = self.rig.transport(peer).data.as_mut().expect("data channels");
            let sent: Vec<_> = std::iter::from_fn(|| data.poll_transmit()).collect();
            for datagram in sent {
                self.left.push((peer, datagram.clone()));
                self.fly(peer, false, datagram);
            }
        }
    }

    fn run(&mut self, span: Duration) {
        let until = self.rig.now + span;
        while self.rig.now < until {
            self.gather();
            self.rig.now += MS;
            let now = self.rig.now;
            while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= now) {
                let (peer, to_engine, datagram) = entry.remove();
                if to_engine {
                    self.rig.transport(peer).data.as_mut().expect("data").on_datagram(&datagram, now);
                } else {
                    self.ends.get_mut(&peer).expect("a peer").on_datagram(&datagram, now);
                }
            }
            let peers: Vec<PeerId> = self.ends.keys().copied().collect();
            for peer in peers {
                self.ends.get_mut(&peer).expect("a peer").handle_timeout(now);
                self.rig.transport(peer).data.as_mut().expect("data").handle_timeout(now);
                self.rig.settle(peer);
            }
        }
    }

    /// Whether anything that left for `to` since the last call was said by `who`.
    fn left_of(&self, who: usize, to: PeerId) -> bool {
        let mark = mark(who);
        self.left.iter().any(|(peer, datagram)| *peer == to && datagram.windows(mark.len()).any(|seen| seen == mark))
    }
}

#[test]
fn after_the_right_to_messages_is_taken_away_none_leaves_even_of_those_that_wait() {
    let (mut table, peers) = Table::of(2);
    let [alice, bob] = [peers[0], peers[1]];
    table.allow(alice, bob);
    for _ in 0..50 {
        table.say(alice, &words(0, 150));
    }
    table.run(150 * MS);
    assert!(table.left_of(0, bob) && table.heard[&bob].len() < 50, "some have left, some wait");
    table.revoke(alice, bob);
    table.left.clear();
    table.run(5_000 * MS);
    assert!(!table.left_of(0, bob));
    assert_eq!(table.rig.stats().unauthorized_forwards, 0);
}

#[test]
fn the_second_table_counts_a_message_that_the_gate_should_not_have_let_through() {
    let (mut table, peers) = Table::of(2);
    let [alice, bob] = [peers[0], peers[1]];
    table.rig.engine.gate.allow(Flow::Data(alice), bob).expect("room"); // as a bug would: past the command
    table.say(alice, b"hello");
    table.run(500 * MS);
    assert_eq!(table.heard[&bob], [b"hello"]);
    assert_eq!(table.rig.stats().unauthorized_forwards, 1);
}

#[test]
fn who_says_too_much_is_slowed_down_and_nothing_of_it_is_lost() {
    let (mut table, peers) = Table::of(2);
    let [alice, bob] = [peers[0], peers[1]];
    table.allow(alice, bob);
    for number in 0..60 {
        table.say(alice, &[number; 16_000]);
    }
    table.run(2_000 * MS);
    let soon = table.heard[&bob].len() as i64;
    let burst = MAX_BURST_BYTES / 16_064;
    assert!((burst..=burst + 10).contains(&soon), "{soon}: the burst and two seconds more at most");
    table.run(12_000 * MS);
    let heard: Vec<u8> = table.heard[&bob].iter().map(|payload| payload[0]).collect();
    assert_eq!(heard, (0..60).collect::<Vec<u8>>(), "all of it, in order");
    assert_eq!(table.rig.stats().drops.rate_limited, 0);
    table.say(alice, b"sorry");
    table.run(200 * MS);
    assert_eq!(table.heard[&bob].last().map(Vec::as_slice), Some(&b"sorry"[..]));
}

#[test]
fn who_says_too_much_on_a_channel_that_may_lose_some_is_cut_short() {
    let (mut table, peers) = Table::of(2);
    let [alice, bob] = [peers[0], peers[1]];
    table.allow(alice, bob);
    for peer in [alice, bob] {
        let end = table.ends.get_mut(&peer).expect("a peer");
        end.open("moves", false, Reliability::MaxRetransmits(0)).expect("room");
    }
    table.run(500 * MS);
    for _ in 0..60 {
        let end = table.ends.get_mut(&alice).expect("a peer");
        end.send("moves", Arc::from([7; 8_000]), true, MessageSender::Server).expect("room");
        table.run(5 * MS);
    }
    table.run(1_000 * MS);
    let told = table.rig.events().iter().filter(|event| matches!(event, Event::DataReceived { .. })).count() as u64;
    assert_eq!(told + table.rig.stats().drops.rate_limited, 60);
    let may = MAX_BURST_BYTES as u64 / 8_064;
    assert!((may..=may + 3).contains(&told), "{told}: the burst and what came beside it at most");
    assert!(table.heard[&bob].len() as u64 <= told);
}

#[test]
fn a_snapshot_tells_who_listens_and_whose_messages_go_where() {
    let (mut table, peers) = Table::of(3);
    table.allow(peers[0], peers[1]);
    table.allow(peers[0], peers[2]);
    table.revoke(peers[0], peers[2]);
    let Ok(Reply::Snapshot { snapshot }) = table.rig.command(Command::Snapshot) else { panic!("a snapshot") };
    let room = table.rig.room;
    assert_eq!(snapshot.rosters, [RosterSnapshot { room, listeners: vec![ParticipantId(2)] }]);
    assert_eq!(snapshot.data, [DataSnapshot { publisher: peers[0], subscriber: peers[1] }]);
}

#[test]
fn what_is_held_goes_on_only_where_the_server_sends_it_and_only_while_it_may() {
    let (mut table, peers) = Table::of(3);
    let [alice, bob, carol] = [peers[0], peers[1], peers[2]];
    table.allow(alice, bob);
    table.rig.command(Command::HoldData { peer: alice }).expect("a peer");
    table.say(alice, b"as it was said");
    table.run(500 * MS);
    assert!(table.heard[&bob].is_empty());
    let told: Vec<_> = table.rig.events();
    assert!(told.iter().any(|event| matches!(event, Event::DataReceived { peer, .. } if *peer == alice)), "{told:?}");

    let passed_on = |to, publisher| Command::SendData {
        peer: to,
        publisher: Some(publisher),
        label: CHAT.to_owned(),
        payload: b"as it was looked at".to_vec(),
        binary: true,
    };
    assert_eq!(table.rig.command(passed_on(bob, alice)), Ok(Reply::Done));
    assert_eq!(table.rig.command(passed_on(carol, alice)), Err(Refusal::NotAllowed));
    assert_eq!(table.rig.command(passed_on(alice, bob)), Err(Refusal::NotAllowed), "the other way is another right");
    table.run(500 * MS);
    assert_eq!(table.heard[&bob], [b"as it was looked at"]);
    table.revoke(alice, bob);
    assert_eq!(table.rig.command(passed_on(bob, alice)), Err(Refusal::NotAllowed));
    assert_eq!(table.rig.stats().unauthorized_forwards, 0);
}

#[test]
fn a_message_that_waits_on_behalf_of_somebody_does_not_leave_once_it_may_not() {
    let (mut table, peers) = Table::of(2);
    let [alice, bob] = [peers[0], peers[1]];
    table.allow(alice, bob);
    for _ in 0..50 {
        let (label, payload) = (CHAT.to_owned(), words(0, 150));
        let send = Command::SendData { peer: bob, publisher: Some(alice), label, payload, binary: true };
        table.rig.command(send).expect("taken");
    }
    table.run(60 * MS);
    assert!(table.left_of(0, bob) && table.heard[&bob].len() < 50, "some have left, some wait");
    table.revoke(alice, bob);
    table.left.clear();
    table.run(5_000 * MS);
    assert!(!table.left_of(0, bob));
}

#[test]
fn a_channel_that_the_server_opens_can_be_used_once_the_other_end_agreed() {
    let (mut table, peers) = Table::of(1);
    let open = |label: &str, reliability| {
        let label = label.to_owned();
        Command::OpenData { peer: peers[0], label, ordered: false, reliability }
    };
    let send = |label: &str, payload: &[u8]| {
        let (label, payload) = (label.to_owned(), payload.to_vec());
        Command::SendData { peer: peers[0], publisher: None, label, payload, binary: true }
    };
    assert_eq!(table.rig.command(open("news", Reliability::MaxRetransmits(0))), Ok(Reply::Done));
    assert_eq!(table.rig.command(send("news", b"too early")), Err(Refusal::UnknownChannel));
    assert_eq!(table.rig.command(open("news", Reliability::Reliable)), Err(Refusal::ChannelInUse));
    assert_eq!(table.rig.command(open(CHAT, Reliability::Reliable)), Err(Refusal::ChannelInUse), "theirs");
    assert_eq!(table.rig.command(open(&"n".repeat(70_000), Reliability::Reliable)), Err(Refusal::MessageTooLarge));
    table.run(500 * MS);
    assert_eq!(table.rig.command(send("news", &vec![0; 70_000])), Err(Refusal::MessageTooLarge));
    assert_eq!(table.rig.command(send("news", b"hello")), Ok(Reply::Done));
    table.run(500 * MS);
    assert_eq!(table.heard[&peers[0]], [b"hello"]);
    let most = crate::peer::sctp::MAX_CHANNELS;
    let opened = (0..most).map(|n| table.rig.command(open(&n.to_string(), Reliability::Reliable)));
    assert_eq!(opened.last(), Some(Err(Refusal::Full(crate::engine::command::Cap::Channels))));
}

#[test]
fn a_bot_too_many_is_refused() {
    let mut rig = Rig::new();
    let session = rig::session(0x1000);
    let room = rig.room;
    let mut create =
        |n| rig.command(Command::CreateBot { room, participant: ParticipantId(n), session: Box::new(session.clone()) });
    assert!((0..MAX_BOTS as u64).all(|n| create(n).is_ok()));
    assert_eq!(create(9_999), Err(Refusal::Full(super::super::command::Cap::Bots)));
}

#[test]
fn nobody_is_a_listener_of_their_own_messages() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    let allow = Command::AllowData { publisher: alice, subscriber: alice };
    assert_eq!(rig.command(allow), Err(Refusal::EchoNotAsked));
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Allow(usize, usize),
    Revoke(usize, usize),
    Say { who: usize, count: usize },
    Wait(u32),
}

fn act() -> impl Strategy<Value = Act> {
    let who = 0..3_usize;
    prop_oneof![
        3 => (who.clone(), who.clone()).prop_map(|(from, to)| Act::Allow(from, to)),
        3 => (who.clone(), who.clone()).prop_map(|(from, to)| Act::Revoke(from, to)),
        4 => (who, 1..9_usize).prop_map(|(who, count)| Act::Say { who, count }),
        4 => (0..80_u32).prop_map(Act::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn no_message_ever_leaves_without_a_right_to_it(acts in prop::collection::vec(act(), 1..40), lose_every in 0..6_u32) {
        let (mut table, peers) = Table::of(3);
        table.lose_every = if lose_every == 1 { 0 } else { lose_every };
        let mut granted = [[false; 3]; 3];
        for (from, to) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
            table.allow(peers[from], peers[to]);
            granted[from][to] = true;
        }
        for act in acts.into_iter().chain([Act::Wait(1_500)]) {
            match act {
                Act::Allow(from, to) if from != to => {
                    table.allow(peers[from], peers[to]);
                    granted[from][to] = true;
                }
                Act::Revoke(from, to) if from != to => {
                    table.revoke(peers[from], peers[to]);
                    granted[from][to] = false;
                }
                Act::Say { who, count } => (0..count).for_each(|_| table.say(peers[who], &words(who, 250))),
                Act::Wait(ms) => table.run(MS * ms),
                Act::Allow(..) | Act::Revoke(..) => {}
            }
            for (from, rights) in granted.iter().enumerate() {
                for (to, may) in rights.iter().enumerate() {
                    prop_assert!(*may || !table.left_of(from, peers[to]), "of {} to {}", from, to);
                }
            }
            table.left.clear();
        }
        prop_assert_eq!(table.rig.stats().unauthorized_forwards, 0);
    }
}
