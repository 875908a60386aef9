//! Packets between a bot's player and the engine.

use super::*;

const BOT: PeerId = PeerId::new(1, 0);
const ROOM: RoomId = RoomId::new(0, 0);

fn bots() -> (Bots, BotRegistry) {
    let registry = BotRegistry::default();
    let mut bots = Bots::new(Arc::clone(&registry), Arc::new(Wake::new().expect("a descriptor")));
    bots.insert(BOT, ROOM).expect("a descriptor");
    (bots, registry)
}

fn link(registry: &BotRegistry) -> Option<Arc<BotLink>> {
    registry.lock().expect("not poisoned").get(&BOT).cloned()
}

#[test]
fn packets_pass_both_ways_in_order() {
    let (mut bots, registry) = bots();
    let link = link(&registry).expect("registered");
    bots.deliver(BOT, b"one");
    bots.deliver(BOT, b"two");
    assert!(link.drain().is_empty(), "not before the flush is over");
    assert!(!bots.publish());
    assert_eq!(link.drain(), [b"one".to_vec(), b"two".to_vec()]);
    assert!(link.send(b"three"));
    let mut received = Vec::new();
    bots.receive(|bot, packet| received.push((bot, packet.to_vec())));
    assert_eq!(received, [(BOT, b"three".to_vec())]);
}

#[test]
fn packets_without_a_byte_have_a_cap_too() {
    let mut ring = PacketQueue::default();
    for _ in 0..2 * MAX_BOT_PACKETS {
        ring.push(b"");
    }
    assert_eq!((ring.lengths.len(), ring.take_dropped()), (MAX_BOT_PACKETS, MAX_BOT_PACKETS as u64));
}

#[test]
fn a_bot_that_does_not_read_loses_its_oldest_packets() {
    let (mut bots, registry) = bots();
    let link = link(&registry).expect("registered");
    let packet = vec![7; 1_000];
    for number in 0..1_500_u32 {
        let mut packet = packet.clone();
        packet[..4].copy_from_slice(&number.to_be_bytes());
        bots.deliver(BOT, &packet);
        bots.publish();
    }
    assert_eq!(bots.take_dropped(), 500, "counted although it never reads");
    let packets = link.drain();
    assert_eq!((packets.len(), bots.take_dropped()), (1_000, 0));
    assert_eq!(packets[0][..4], 500_u32.to_be_bytes());
}

#[test]
fn a_worker_does_not_wait_for_a_player_that_holds_the_ring() {
    let (mut bots, registry) = bots();
    let link = link(&registry).expect("registered");
    let held = link.to_bot.lock().expect("not poisoned");
    bots.deliver(BOT, b"late");
    assert!(bots.publish(), "kept for the next turn");
    drop(held);
    assert!(!bots.publish());
    assert_eq!(link.drain(), [b"late".to_vec()]);
}

#[test]
fn what_waits_of_a_sender_whose_right_ended_is_not_handed_over() {
    let (mut bots, registry) = bots();
    let link = link(&registry).expect("registered");
    let packet = |ssrc: u32| [&[0x80; 8][..], &ssrc.to_be_bytes(), b"payload"].concat();
    for ssrc in [1, 2, 1] {
        bots.deliver(BOT, &packet(ssrc));
    }
    let keyframe_wanted_of_the_bot = [0x81, 206, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1];
    bots.deliver(BOT, &keyframe_wanted_of_the_bot);
    bots.publish();
    let held = link.to_bot.lock().expect("not poisoned");
    bots.deliver(BOT, &packet(1));
    assert!(bots.publish(), "held back");
    drop(held);
    bots.drop_held_back();
    link.discard(Ssrc(1));
    bots.publish();
    assert_eq!(link.drain(), [packet(2), keyframe_wanted_of_the_bot.to_vec()]);
}

#[test]
fn a_bot_is_gone_with_its_room() {
    let (mut bots, registry) = bots();
    bots.remove_room(ROOM);
    bots.deliver(BOT, b"nobody");
    assert!(link(&registry).is_none());
}

#[test]
fn what_is_too_large_for_a_datagram_is_refused() {
    let (_bots, registry) = bots();
    assert!(!link(&registry).expect("registered").send(&[0; MAX_BOT_PACKET + 1]));
}
