use super::*;
use crate::seeds;

fn seed(name: &str) -> Outcome {
    let seeds = seeds::all();
    let seed = seeds.iter().find(|seed| seed.target == "relays" && seed.name == name);
    run(&seed.expect("a seed of that name").bytes)
}

#[test]
fn what_is_relayed_is_heard() {
    let Outcome { stats: [near, far], heard, closed } = run(&[]);
    assert_eq!((heard, closed), (2, 0), "a packet of sound and a picture: {far:?}");
    assert_eq!(near.relay_packets_out, 2, "{near:?}");
}

#[test]
fn the_seeds_reach_what_they_are_named_after() {
    let Outcome { stats: [near, far], closed, .. } = seed("talk");
    assert_eq!((far.rtp_packets_in, closed), (near.relay_packets_out, 0), "all that is said arrives");
    assert_eq!(near.rtp_packets_in, near.relay_packets_out);
    let late = seed("late").stats;
    assert_eq!(late[FAR].rtp_packets_in, late[NEAR].relay_packets_out);
    let [near, far] = seed("lost_and_asked_for_again").stats;
    assert!(near.nacked_packets_in > 0 && far.rtp_packets_in > 0, "{near:?}");
    assert!(seed("headers_changed").stats[FAR].nacked_packets_out > 0, "what has become something else is missing");
    assert!(seed("cut_short").stats[FAR].drops.malformed > 2);
    assert!(seed("as_something_else").stats[FAR].drops.malformed > 0);
    assert!(seed("made_up").stats[FAR].drops.malformed > 1);
    let asked = &seed("asked").stats[NEAR];
    assert!(asked.keyframe_requests_in >= 2 && asked.publisher_limits == 1, "{asked:?}");
    for name in ["revoked", "muted"] {
        let [near, far] = seed(name).stats;
        assert!(near.relay_packets_out < near.rtp_packets_in, "{name}: {near:?}");
        assert!(far.rtp_packets_in <= near.relay_packets_out, "{name}: {far:?}");
    }
    for name in ["near_removed", "far_removed", "published_anew", "negotiated_anew", "misled"] {
        assert!(seed(name).closed > 0, "{name}");
    }
    let [near, far] = seed("relayed_on").stats;
    assert!(near.relay_packets_out > 4 && far.relay_packets_out == 0, "nothing goes on from there: {far:?}");
    assert_eq!(seed("described_otherwise").stats[FAR].tracks, 4 + 9, "all of them can be published");
}
