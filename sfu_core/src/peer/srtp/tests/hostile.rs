//! SRTP against those who have no keys, and against those who have and misuse them.

use proptest::prelude::*;

use super::super::replay::MIN_SILENCE_PACKETS;
use super::*;

fn any_profile() -> impl Strategy<Value = SrtpProfile> {
    prop::sample::select(SrtpProfile::ALL.to_vec())
}

proptest! {
    #[test]
    fn no_bytes_panic_or_leave_state(profile in any_profile(), bytes in prop::collection::vec(any::<u8>(), 0..120),
                                     version_two: bool) {
        let (_, mut inbound) = pair(profile);
        let mut packet = bytes;
        if let Some(first) = packet.first_mut().filter(|_| version_two) {
            *first = *first & 0x3f | 0x80;
        }
        prop_assert!(opened(&mut inbound, &packet).is_err());
        prop_assert!(opened_rtcp(&mut inbound, &packet).is_err());
        prop_assert_eq!(inbound.sources(), (0, 0));
    }

    #[test]
    fn a_flipped_bit_never_authenticates_and_changes_nothing(profile in any_profile(), bit in 0_usize..800,
                                                             number: u16) {
        let (mut outbound, mut inbound) = pair(profile);
        let media = sealed(&outbound, &rtp(1, number, 70), 0);
        let report = sealed_rtcp(&mut outbound, &rtcp(1, 60));
        let (mut bad_media, mut bad_report) = (media.clone(), report.clone());
        let (media_bits, report_bits) = (media.len() * 8, report.len() * 8);
        bad_media[bit % media_bits / 8] ^= 1 << (bit % 8);
        bad_report[bit % report_bits / 8] ^= 1 << (bit % 8);
        prop_assert!(opened(&mut inbound, &bad_media).is_err());
        prop_assert!(opened_rtcp(&mut inbound, &bad_report).is_err());
        prop_assert_eq!(inbound.sources(), (0, 0));
        prop_assert!(opened(&mut inbound, &media).is_ok());
        prop_assert!(opened_rtcp(&mut inbound, &report).is_ok());
        prop_assert!(opened(&mut inbound, &bad_media).is_err());
    }

    #[test]
    fn a_shuffled_run_is_accepted_exactly_once(profile in any_profile(), start in 64_000_u64..67_000,
                                               order in Just((0..200_u64).collect::<Vec<_>>()).prop_shuffle()) {
        let (outbound, mut inbound) = pair(profile);
        let numbered = |index: u64| sealed(&outbound, &rtp(1, index as u16, 10), (index >> 16) as u32);
        prop_assert!(opened(&mut inbound, &numbered(start)).is_ok());
        let packets: Vec<_> = (0..200).map(|n| numbered(start + 1 + n)).collect();
        for at in &order {
            prop_assert!(opened(&mut inbound, &packets[*at as usize]).is_ok());
        }
        for packet in &packets {
            prop_assert_eq!(opened(&mut inbound, packet), Err(SrtpError::Replayed));
        }
    }
}

#[test]
fn no_bit_of_a_thousand_packets_can_be_flipped_and_none_is_taken_twice() {
    let mut pairs = SrtpProfile::ALL.map(pair);
    for n in 0..1_000_u16 {
        let (outbound, inbound) = &mut pairs[usize::from(n) % SrtpProfile::ALL.len()];
        let packet = sealed(outbound, &rtp(1, n, usize::from(n % 23)), 0);
        for bit in 0..packet.len() * 8 {
            let mut forged = packet.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(opened(inbound, &forged).is_err(), "bit {bit} of packet {n}");
        }
        assert!(opened(inbound, &packet).is_ok(), "{n}");
        for _ in 0..3 {
            assert_eq!(opened(inbound, &packet), Err(SrtpError::Replayed), "{n}");
        }
    }
}

#[test]
fn forged_packets_from_new_sources_leave_no_state() {
    for profile in SrtpProfile::ALL {
        let (mut outbound, mut inbound) = pair(profile);
        assert!(opened(&mut inbound, &sealed(&outbound, &rtp(1, 1, 50), 0)).is_ok());
        let (media, report) = (sealed(&outbound, &rtp(1, 2, 50), 0), sealed_rtcp(&mut outbound, &rtcp(1, 10)));
        for ssrc in 2..5_000_u32 {
            let (mut media, mut report) = (media.clone(), report.clone());
            media[8..12].copy_from_slice(&ssrc.to_be_bytes());
            report[4..8].copy_from_slice(&ssrc.to_be_bytes());
            assert_eq!(opened(&mut inbound, &media), Err(SrtpError::Unauthenticated));
            assert_eq!(opened_rtcp(&mut inbound, &report), Err(SrtpError::Unauthenticated));
        }
        assert_eq!(inbound.sources(), (1, 0));
    }
}

#[test]
fn forged_sequence_numbers_do_not_move_the_roll_over_counter() {
    let (outbound, mut inbound) = pair(SrtpProfile::Aes128CmSha1_80);
    assert!(opened(&mut inbound, &sealed(&outbound, &rtp(1, 40_000, 50), 0)).is_ok());
    let genuine = sealed(&outbound, &rtp(1, 40_001, 50), 0);
    for number in (0..=u16::MAX).step_by(13).filter(|number| *number != 40_000) {
        let mut forged = genuine.clone();
        forged[2..4].copy_from_slice(&number.to_be_bytes());
        if number != 40_001 {
            assert!(opened(&mut inbound, &forged).is_err());
        }
    }
    assert!(opened(&mut inbound, &genuine).is_ok());
}

#[test]
fn a_full_table_refuses_new_sources_until_an_old_one_is_long_silent() {
    let (outbound, mut inbound) = pair(SrtpProfile::AeadAes128Gcm);
    for ssrc in 0..MAX_INBOUND_SSRCS as u32 {
        assert!(opened(&mut inbound, &sealed(&outbound, &rtp(ssrc, 1, 4), 0)).is_ok());
    }
    let late = sealed(&outbound, &rtp(9_999, 1, 4), 0);
    assert_eq!(opened(&mut inbound, &late), Err(SrtpError::TooManySources));
    for n in 0..MIN_SILENCE_PACKETS {
        assert!(opened(&mut inbound, &sealed(&outbound, &rtp(1, n as u16 + 2, 4), 0)).is_ok());
    }
    assert!(opened(&mut inbound, &late).is_ok());
    assert_eq!(inbound.sources(), (MAX_INBOUND_SSRCS, 0));
    assert!(
        opened(&mut inbound, &sealed(&outbound, &rtp(2, 2, 4), 0)).is_ok(),
        "the longest silent one went, not this"
    );
    assert_eq!(opened(&mut inbound, &late), Err(SrtpError::Replayed));
}
