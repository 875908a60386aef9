use super::*;
use crate::seeds;

fn seed(name: &str) -> Outcome {
    let seeds = seeds::all();
    let seed = seeds.iter().find(|seed| seed.target == "connected" && seed.name == name);
    run(&seed.expect("a seed of that name").bytes)
}

#[test]
fn the_honest_are_heard_however_the_hostile_are_let_in() {
    for options in 0..8 {
        assert_eq!(run(&[options]).heard, 4, "a packet of sound and a picture, of both pairs");
    }
}

#[test]
fn the_seeds_reach_what_they_are_named_after() {
    for name in ["keyed", "for_real", "up_to_13"] {
        let Outcome { stats, heard, .. } = seed(name);
        let of_hostile = stats.rtp_packets_in - heard;
        assert_eq!(of_hostile, 16, "{name}: nothing said is lost: {stats:?}");
        assert!(stats.nacked_packets_in == 10 && stats.rtx_packets_out > 0 && stats.keyframe_requests_in == 4);
        assert!(stats.drops == sfu_core::stats::Drops::default(), "{name}: {:?}", stats.drops);
    }
    assert!(seed("headers_changed").stats.drops.malformed > 0);
    assert!(seed("reports_changed").stats.drops.malformed > 5);
    assert!(seed("damaged").stats.drops.unauthenticated > 0);
    let replayed = seed("replayed").stats.drops;
    assert!(replayed.replayed > 5, "{replayed:?}");
    let from_elsewhere = seed("replayed_from_elsewhere").stats;
    assert!(from_elsewhere.stun_replays > 0 && from_elsewhere.drops.unknown_source > 5, "{from_elsewhere:?}");
    assert!(seed("from_elsewhere").stats.drops.unauthenticated > 0, "in the honest one's name");
    assert!(seed("silence").stats.drops.no_route > 0, "consent has expired");
    assert!(seed("removed").stats.drops.unknown_source > 5);
    for name in ["revoked_while_it_waits", "muted_while_it_waits"] {
        let stats = seed(name).stats;
        assert!(stats.drops.revoked > 0, "{name}: {stats:?}");
    }
    assert!(seed("out_of_order").stats.rtx_packets_out > 0);
}

#[test]
fn the_seeds_reach_data_channels() {
    for name in ["for_real", "up_to_13", "deaf", "messages_revoked"] {
        assert!(seed(name).messages > 0, "{name}");
    }
    assert!(seed("association_aborted").messages < seed("no_sctp").messages, "after its end nothing is said");
}

#[test]
fn an_address_that_a_hostile_one_proves_is_where_its_media_goes() {
    assert!(seed("moves").proved > 0);
}
