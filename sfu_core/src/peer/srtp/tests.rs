//! SRTP and SRTCP: what both ends of a connection, and an attacker between them, see.

mod hostile;
mod vectors;

use super::*;

/// Master key and salt of a direction in tests.
fn keys(profile: SrtpProfile, seed: u8) -> (Vec<u8>, Vec<u8>) {
    ((0..profile.key_len() as u8).map(|n| n ^ seed).collect(), (100..100 + profile.salt_len() as u8).collect())
}

fn pair(profile: SrtpProfile) -> (SrtpOutbound, SrtpInbound) {
    let (key, salt) = keys(profile, 0x5a);
    (SrtpOutbound::new(profile, &key, &salt), SrtpInbound::new(profile, &key, &salt))
}

/// A plain RTP packet: 12 bytes of header, payload of `n` bytes that depend on the number.
fn rtp(ssrc: u32, sequence_number: u16, n: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence_number.to_be_bytes());
    packet.extend([0, 0, 3, 232]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..n).map(|at| (at as u8).wrapping_mul(7) ^ sequence_number as u8));
    packet
}

/// A receiver report without blocks and some bytes more.
fn rtcp(ssrc: u32, n: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..n).map(|at| at as u8));
    packet
}

fn sealed(outbound: &SrtpOutbound, plain: &[u8], roc: u32) -> Vec<u8> {
    let number = u16::from_be_bytes([plain[2], plain[3]]);
    let mut packet = plain.to_vec();
    packet.resize(plain.len() + MAX_SRTP_OVERHEAD, 0);
    let header_len = wire::rtp_header(plain).expect("a valid header").len;
    let index = u64::from(roc) << 16 | u64::from(number);
    let len = outbound.seal_rtp(&mut packet, header_len, plain.len() - header_len, index);
    packet.truncate(len);
    packet
}

fn sealed_rtcp(outbound: &mut SrtpOutbound, plain: &[u8]) -> Vec<u8> {
    let mut packet = plain.to_vec();
    packet.resize(plain.len() + MAX_SRTCP_OVERHEAD, 0);
    let len = outbound.seal_rtcp(&mut packet, plain.len());
    packet.truncate(len);
    packet
}

fn opened(inbound: &mut SrtpInbound, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let len = inbound.unprotect_rtp(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

fn opened_rtcp(inbound: &mut SrtpInbound, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let len = inbound.unprotect_rtcp(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

#[test]
fn both_directions_of_every_profile_carry_rtp_and_rtcp() {
    for profile in SrtpProfile::ALL {
        let material: Vec<u8> = (0..2 * (profile.key_len() + profile.salt_len()) as u8).collect();
        let keys = SrtpKeys::new(profile, &material).expect("the right length");
        assert_eq!(SrtpKeys::new(profile, &material[1..]), None);
        assert_eq!(keys.server.key[0] as usize, profile.key_len());
        assert_eq!(keys.client.salt[0] as usize, 2 * profile.key_len());
        for (ours, theirs) in [(&keys.client, &keys.server), (&keys.server, &keys.client)] {
            let mut outbound = SrtpOutbound::new(profile, &ours.key, &ours.salt);
            let mut inbound = SrtpInbound::new(profile, &ours.key, &ours.salt);
            let mut wrong_half = SrtpInbound::new(profile, &theirs.key, &theirs.salt);
            let (media, report) = (rtp(1, 7, 900), rtcp(1, 20));
            let (media_sealed, report_sealed) = (sealed(&outbound, &media, 0), sealed_rtcp(&mut outbound, &report));
            assert_eq!(media_sealed.len(), media.len() + profile.tag_len());
            assert_eq!(report_sealed.len(), report.len() + profile.tag_len() + 4);
            assert_eq!(opened(&mut wrong_half, &media_sealed), Err(SrtpError::Unauthenticated));
            assert_eq!(opened(&mut inbound, &media_sealed), Ok(media));
            assert_eq!(opened_rtcp(&mut inbound, &report_sealed), Ok(report));
        }
    }
}

#[test]
fn csrcs_and_extensions_stay_readable_and_are_authenticated() {
    for profile in SrtpProfile::ALL {
        let (outbound, mut inbound) = pair(profile);
        let mut plain = rtp(9, 5, 0);
        plain[0] |= 0x12;
        plain.extend([1, 1, 1, 1, 2, 2, 2, 2, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
        plain.extend(b"payload");
        let packet = sealed(&outbound, &plain, 0);
        assert_eq!(packet[..28], plain[..28]);
        assert_ne!(packet[28..35], plain[28..35]);
        for clear in 0..28 {
            let mut forged = packet.clone();
            forged[clear] ^= 1;
            assert!(opened(&mut inbound, &forged).is_err(), "byte {clear}");
        }
        assert_eq!(opened(&mut inbound, &packet), Ok(plain));
    }
}

#[test]
fn a_packet_is_accepted_once_and_in_any_order_inside_the_window() {
    for profile in SrtpProfile::ALL {
        let (outbound, mut inbound) = pair(profile);
        let packets: Vec<_> = (0..1_100).map(|n| sealed(&outbound, &rtp(3, 30_000 + n, 40), 0)).collect();
        assert!(opened(&mut inbound, &packets[1_099]).is_ok());
        assert_eq!(opened(&mut inbound, &packets[75]), Err(SrtpError::Replayed));
        for late in (76..1_099).rev() {
            assert!(opened(&mut inbound, &packets[late]).is_ok(), "{late}");
            assert_eq!(opened(&mut inbound, &packets[late]), Err(SrtpError::Replayed), "{late}");
        }
    }
}

#[test]
fn the_roll_over_counter_follows_more_than_two_wraps() {
    for profile in SrtpProfile::ALL {
        let (outbound, mut inbound) = pair(profile);
        for index in (65_000_u64..210_000).step_by(7) {
            let plain = rtp(4, index as u16, 8);
            let packet = sealed(&outbound, &plain, (index >> 16) as u32);
            assert_eq!(opened(&mut inbound, &packet), Ok(plain), "{index}");
        }
    }
}

#[test]
fn a_start_just_below_the_wrap_survives_loss_and_reordering() {
    let numbered =
        |outbound: &SrtpOutbound, index: u64| sealed(outbound, &rtp(4, index as u16, 8), (index >> 16) as u32);
    for profile in SrtpProfile::ALL {
        let arrivals: [&[u64]; 3] =
            [&[65_534, 65_536, 65_535, 65_537], &[65_537, 65_535, 65_536, 65_534], &[65_540, 65_536, 65_600]];
        for order in arrivals {
            let (outbound, mut inbound) = pair(profile);
            let mut in_order = order.to_vec();
            in_order.sort_unstable();
            let packets: Vec<_> = in_order.iter().map(|index| (*index, numbered(&outbound, *index))).collect();
            for index in order {
                let (_, packet) = packets.iter().find(|(known, _)| known == index).expect("sealed above");
                assert!(opened(&mut inbound, packet).is_ok(), "{index} of {order:?}");
                assert_eq!(opened(&mut inbound, packet), Err(SrtpError::Replayed));
            }
        }
    }
}

#[test]
fn rtcp_counts_from_one_sets_the_encrypted_flag_and_is_accepted_once() {
    for profile in SrtpProfile::ALL {
        let (mut outbound, mut inbound) = pair(profile);
        let first = sealed_rtcp(&mut outbound, &rtcp(1, 8));
        let second = sealed_rtcp(&mut outbound, &rtcp(1, 8));
        let word = if profile == SrtpProfile::Aes128CmSha1_80 { 16..20 } else { 32..36 };
        assert_eq!(first[word.clone()], [0x80, 0, 0, 1]);
        assert_eq!(second[word.clone()], [0x80, 0, 0, 2]);
        let mut plainly = first.clone();
        plainly[word.start] = 0;
        assert_eq!(opened_rtcp(&mut inbound, &plainly), Err(SrtpError::Unauthenticated));
        assert!(opened_rtcp(&mut inbound, &second).is_ok());
        assert!(opened_rtcp(&mut inbound, &first).is_ok());
        assert_eq!(opened_rtcp(&mut inbound, &first), Err(SrtpError::Replayed));
        outbound.set_next_rtcp((1 << 31) - 1);
        assert!(!sealed_rtcp(&mut outbound, &rtcp(1, 8)).is_empty());
        assert!(sealed_rtcp(&mut outbound, &rtcp(1, 8)).is_empty(), "the keys are used up");
    }
}

#[test]
#[should_panic(expected = "twice")]
fn sealing_an_index_twice_is_caught() {
    let (outbound, _) = pair(SrtpProfile::AeadAes128Gcm);
    for number in [7, 8, 6, 7] {
        sealed(&outbound, &rtp(1, number, 4), 0);
    }
}

#[test]
#[should_panic(expected = "long gone by")]
fn sealing_an_index_below_the_record_is_caught() {
    let (outbound, _) = pair(SrtpProfile::AeadAes128Gcm);
    sealed(&outbound, &rtp(1, 7, 4), 1);
    sealed(&outbound, &rtp(1, 7, 4), 0);
}
