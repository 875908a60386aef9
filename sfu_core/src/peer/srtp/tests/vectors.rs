//! Published test vectors: RFC 3711 appendix B, RFC 7714 §16 and §17, and those of libsrtp for whole packets.

use super::super::cipher::Cipher;
use super::super::gcm::Gcm;
use super::super::kdf::{Label, MasterKey, counter_key, xor_keystream};
use super::*;
use crate::ids::Ssrc;

const MASTER_KEY: &str = "e1f97a0d3e018be0d64fa32c06de4139";
const MASTER_SALT: &str = "0ec675ad498afeebb6960b3aabe6";
/// "Gallia est omnis divisa in partes tres" behind the header of RFC 7714 §16.
const GALLIA: &str = "8040f17b8041f8d35501a0b2\
    47616c6c696120657374206f6d6e697320646976697361\
    20696e207061727465732074726573";
const REPORT: &str = "81c8000d4d6172734e5450314e54503252545020\
    0000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).expect("hexadecimal") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn gcm(key_len: u8) -> Cipher {
    let key: Vec<u8> = (0..key_len).collect();
    let salt = hex("517569642070726f2071756f").try_into().expect("12 bytes");
    Cipher::Gcm(Gcm::new(&key, salt))
}

#[test]
fn keystream_is_that_of_rfc_3711_b2() {
    let key = counter_key(&hex("2b7e151628aed2a6abf7158809cf4f3c"));
    let mut keystream = [0; 48];
    let iv = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd0000").try_into().expect("16 bytes");
    xor_keystream(&key, iv, &mut keystream);
    let expected = "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab41e95b3bb0a2e8dd477901e4fca894c0";
    assert_eq!(keystream.to_vec(), hex(expected));
}

#[test]
fn session_keys_are_those_of_rfc_3711_b3() {
    let master = MasterKey::new(&hex(MASTER_KEY), &hex(MASTER_SALT));
    assert_eq!(master.derive::<16>(Label::RtpKey).to_vec(), hex("c61e7a93744f39ee10734afe3ff7a087"));
    assert_eq!(master.derive::<14>(Label::RtpSalt).to_vec(), hex("30cbbc08863d8c85d49db34a9ae1"));
    let authentication = "cebe321f6ff7716b6fd4ab49af256a156d38baa48f0a0acf3c34e2359e6cdbcee049646c43d9327a\
        d175578ef72270986371c10c9a369ac2f94a8c5fbcdddc256d6e919a48b610ef17c2041e47403576\
        6b68642c59bbfc2f34db60dbdfb2dc68";
    let derived = master.derive::<94>(Label::RtpAuthentication);
    assert_eq!(derived[..], hex(authentication)[..94]);
}

#[test]
fn counter_mode_packets_are_those_of_libsrtp() {
    let profile = SrtpProfile::Aes128CmSha1_80;
    let mut outbound = SrtpOutbound::new(profile, &hex(MASTER_KEY), &hex(MASTER_SALT));
    let plain = hex("800f1234decafbadcafebabeabababababababababababababababab");
    let packet = hex("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb");
    assert_eq!(sealed(&outbound, &plain, 0), packet);
    let plain_rtcp = hex("81c8000bcafebabeabababababababababababababababab");
    let packet_rtcp = hex("81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798");
    assert_eq!(sealed_rtcp(&mut outbound, &plain_rtcp), packet_rtcp);
    let mut inbound = SrtpInbound::new(profile, &hex(MASTER_KEY), &hex(MASTER_SALT));
    assert_eq!(opened(&mut inbound, &packet), Ok(plain));
    assert_eq!(opened_rtcp(&mut inbound, &packet_rtcp), Ok(plain_rtcp));
}

#[test]
fn gcm_rtp_packets_are_those_of_rfc_7714_16() {
    let with_128 = "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a\
        51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce";
    let with_256 = "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a02\
        76ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13";
    for (key_len, expected) in [(16, with_128), (32, with_256)] {
        let (cipher, plain) = (gcm(key_len), hex(GALLIA));
        let mut packet = plain.clone();
        packet.resize(plain.len() + 16, 0);
        cipher.seal_rtp(&mut packet, 12, plain.len() - 12, Ssrc(0x5501_a0b2), 0xf17b);
        assert_eq!(packet, hex(expected));
        assert_eq!(cipher.open_rtp(&mut packet, 12, Ssrc(0x5501_a0b2), 0xf17b), Ok(plain.len()));
        assert_eq!(packet[..plain.len()], plain);
    }
}

#[test]
fn gcm_rtcp_packets_are_those_of_rfc_7714_17() {
    let with_128 = "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda\
        4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4";
    let with_256 = "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be\
        8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4";
    for (key_len, expected) in [(16, with_128), (32, with_256)] {
        let (cipher, plain) = (gcm(key_len), hex(REPORT));
        let mut packet = plain.clone();
        packet.resize(plain.len() + 20, 0);
        let len = cipher.seal_rtcp(&mut packet, plain.len(), Ssrc(0x4d61_7273), 0x5d4);
        assert_eq!(packet[..len], hex(expected));
        let word = cipher.rtcp_word(&packet).expect("long enough");
        assert_eq!(word, [0x80, 0, 5, 0xd4]);
        assert_eq!(cipher.open_rtcp(&mut packet, Ssrc(0x4d61_7273), 0x5d4, word), Ok(plain.len()));
        assert_eq!(packet[..plain.len()], plain);
    }
}

/// RFC 7714 §17.3 and §17.4: tagged with these very keys, but in the clear, which WebRTC has not (RFC 8827 §6.5).
#[test]
fn rtcp_that_is_only_tagged_is_not_opened() {
    for (key_len, tag) in [(16, "841dd9683dd78ec92ae58790125f62b3"), (32, "91db4afbfeee5a978fab4393ed2615fe")] {
        let mut packet = [hex(REPORT), hex(tag), hex("000005d4")].concat();
        let cipher = gcm(key_len);
        let word = cipher.rtcp_word(&packet).expect("long enough");
        assert_eq!(word, [0, 0, 5, 0xd4]);
        let opened = cipher.open_rtcp(&mut packet, Ssrc(0x4d61_7273), 0x5d4, word);
        assert_eq!(opened, Err(SrtpError::Unauthenticated));
    }
}
