//! What a publisher of one picture is told of how much it may send (draft-alvestrand-rmcat-remb-03).

use super::rig::Rig;
use super::*;
use crate::bwe::estimator::MAX_RATE;
use crate::rtcp::RtcpPacket;
use crate::rtcp::remb::Remb;
use crate::units::Bitrate;

/// Alice's camera and microphone to Bob, who is found to be able to take so much of the picture.
struct Watched {
    rig: Rig,
    alice: PeerId,
    camera: TrackId,
    sent: u16,
}

impl Watched {
    fn new() -> Self {
        let (mut rig, alice, bob, camera) = camera_call();
        let microphone = rig.publish(alice, "a", TrackSource::Microphone);
        rig.subscribe(bob, "a", microphone);
        rig.allow(microphone, bob);
        Self { rig, alice, camera, sent: 0 }
    }

    fn takes(&mut self, share: Option<Bitrate>) {
        let track = self.rig.engine.tracks.find_mut(self.camera).expect("it lasts");
        track.subscriptions[0].share = share;
    }

    /// What Alice is told while she speaks and shows herself for a second.
    fn told(&mut self) -> Vec<Remb> {
        for _ in 0..20 {
            self.rig.ingest_video(self.alice, self.sent, self.sent == 0, 500);
            self.rig.send_audio(self.alice, self.sent, &[7; 200]);
            self.sent += 1;
            self.rig.advance(Duration::from_millis(50));
        }
        self.rig.flush();
        let compounds = self.rig.rtcp_to(self.alice);
        let packets =
            compounds.iter().flat_map(|compound| crate::rtcp::packets(compound).flatten().collect::<Vec<_>>());
        packets.filter_map(|packet| if let RtcpPacket::Remb(remb) = packet { Some(remb) } else { None }).collect()
    }
}

#[test]
fn a_publisher_is_told_its_ceiling_with_room_for_its_sound_and_which_streams_that_is_for() {
    let mut call = Watched::new();
    assert_eq!(call.told(), [], "nobody has too little");
    call.takes(Some(Bitrate::kbps(500)));
    call.told();
    call.takes(Some(Bitrate::kbps(500))); // the estimate of the rig's quiet link let go of it
    let told = call.told();
    let last = told.last().expect("she is told");
    let sound = last.bitrate - Bitrate::kbps(500);
    assert!(sound > Bitrate::kbps(32) && sound < Bitrate::kbps(60), "20 packets of 200 bytes a second: {sound:?}");
    assert_eq!(last.ssrcs.len(), 2, "{:?}", last.ssrcs);
}

#[test]
fn who_joins_and_could_not_receive_yet_makes_nobody_send_less() {
    let mut rig = Rig::new();
    let alice = rig.join_with(1, |session| session.receive[1].encodings.truncate(1));
    let camera = rig.publish(alice, "v", TrackSource::Camera);
    let mut sent = 0;
    let mut shows = |rig: &mut Rig| {
        // 2.6 Mbit/s, more than a downlink is taken to carry at first.
        for _ in 0..150 {
            for _ in 0..6 {
                rig.ingest_video(alice, sent, sent == 0, 1_100);
                sent += 1;
            }
            rig.advance(Duration::from_millis(20));
        }
        rig.flush();
    };
    let bob = rig.knock(2);
    rig.subscribe(bob, "v", camera);
    rig.allow(camera, bob);
    shows(&mut rig);
    rig.connect(bob);
    shows(&mut rig);
    assert_eq!(rig.stats().publisher_limits, 0, "nothing is known of his downlink");
}

#[test]
fn a_publisher_is_told_three_times_that_it_may_send_as_it_likes_again() {
    let mut call = Watched::new();
    call.told();
    call.takes(Some(Bitrate::kbps(500)));
    let told: Vec<Bitrate> = (0..6).flat_map(|_| call.told()).map(|remb| remb.bitrate).collect();
    let lifted = told.iter().position(|rate| *rate >= MAX_RATE * 0.99).expect("it is lifted");
    assert!(lifted > 0 && told[lifted..].iter().all(|rate| *rate >= MAX_RATE * 0.99), "{told:?}");
    assert_eq!(told.len() - lifted, 3, "{told:?}");
    assert_eq!(call.told(), [], "and no more");
}
