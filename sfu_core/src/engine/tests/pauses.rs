//! What a pause leaves as it was: nothing that is known of a path changes while nothing is on its way.

use super::*;

fn estimate(rig: &mut rig::Rig, peer: PeerId) -> u64 {
    let Ok(Reply::PeerStats { stats }) = rig.command(Command::PeerStats { peer }) else { panic!("figures") };
    stats.estimate_bps
}

/// Alice's camera at Bob's for two seconds, and what his downlink is then taken to carry.
fn watched() -> (rig::Rig, PeerId, PeerId, u64) {
    let (mut rig, alice, bob, _) = camera_call();
    for number in 0..60 {
        rig.ingest_video(alice, number, number == 0, 1_100);
        rig.flush();
        rig.advance(Duration::from_millis(33));
        rig.acknowledge(bob);
    }
    let before = estimate(&mut rig, bob);
    (rig, alice, bob, before)
}

#[test]
fn a_last_packet_that_is_lost_before_a_pause_costs_nothing() {
    let (mut rig, alice, bob, before) = watched();
    rig.ingest_video(alice, 60, false, 1_100);
    rig.flush();
    rig.ingest_video(alice, 61, false, 1_100);
    // It leaves, and what came before it is acknowledged.
    rig.advance(Duration::from_millis(20));
    rig.acknowledge(bob);
    rig.advance(Duration::from_secs(60));
    assert!(estimate(&mut rig, bob) >= before);
}

#[test]
fn feedback_that_is_lost_before_a_pause_costs_a_step_or_two() {
    let (mut rig, alice, bob, before) = watched();
    rig.ingest_video(alice, 60, false, 1_100);
    rig.flush();
    rig.advance(Duration::from_secs(60));
    assert!(estimate(&mut rig, bob) as f64 >= before as f64 * 0.6);
}
