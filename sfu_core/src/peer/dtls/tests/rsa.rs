//! Clients that show an RSA certificate in DTLS 1.2 (RFC 5246 §7.4.4, §7.4.8), as `vendor/dimpl.patch` lets them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair, UnparsedPublicKey,
};
use dimpl::crypto::{HashAlgorithm, SignatureAlgorithm, SignatureVerifier, aws_lc_rs::default_provider};
use dimpl::{CryptoError, CryptoOperation};

use super::*;

const WRONG: CryptoError = CryptoError::OperationFailed(CryptoOperation::VerifySignature);
const SEEN: &[u8] = b"what both ends saw";
const HASHES: [(HashAlgorithm, &dyn RsaEncoding); 3] = [
    (HashAlgorithm::SHA256, &RSA_PKCS1_SHA256),
    (HashAlgorithm::SHA384, &RSA_PKCS1_SHA384),
    (HashAlgorithm::SHA512, &RSA_PKCS1_SHA512),
];
/// `rsaEncryption` and `ecdsa-with-SHA256` as DER (RFC 8017, RFC 5758).
const RSA_ENCRYPTION: &[u8] = &[6, 9, 42, 134, 72, 134, 247, 13, 1, 1, 1, 5, 0];
const ECDSA_WITH_SHA256: &[u8] = &[6, 8, 42, 134, 72, 206, 61, 4, 3, 2];

/// A key of 1024 bits and its signature of `SEEN` with SHA-256, both made by OpenSSL.
const SHORT_KEY: &str = "30818902818100c3437d4f9de1f0e9267a8e4cf1131c2eacff1487f7c42d0ddab714dd2a201f642d2529985b23d2727b7\
    74f932179ceb98dbecb03cb0a1b228386e12cdb23ff72da81270f4e6675046db78b90cdb2f1dfe6a5596cb84416b76c3d461356eb68dbc0d32eb1\
    25b8e52046d5511879627c9922f2f017e1e33f57e4cc3352b60b1b450203010001";
const SHORT_SIGNATURE: &str = "9a04edbf32c9af025ee43ff505dcfc570703692df5a58ced699900c7fc694ee7bbdef2c65f4e5b781c8ec0cefad6984\
    7cc23195cd469230395d6fe0883b029b7baa193c51a34e9dbc4d69cd8a5baaef4ebe74f0da209fc937bbb45963ad84b7059a837f42c5d898a24199\
    c7b3a58e4f4c5b08e1ea6a52aeddcf090b0b13e18fb";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).expect("hexadecimal") as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = (content.len() as u16).to_be_bytes();
    let len: &[u8] = match content.len() {
        0..0x80 => &[low],
        0x80..0x100 => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag], len, &content].concat()
}

/// A certificate with this key, and no signature anybody looks at: its fingerprint is what counts (RFC 8122).
fn certificate(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let signed_with = der(0x30, &[ECDSA_WITH_SHA256]);
    let nobody = der(0x30, &[]);
    let validity = der(0x30, &[&der(0x17, &[b"260101000000Z"]), &der(0x17, &[b"270101000000Z"])]);
    let public = der(0x30, &[&der(0x30, &[algorithm]), &der(0x03, &[&[0], key])]);
    let to_be_signed = der(0x30, &[&[2, 1, 1], &signed_with, &nobody, &validity, &nobody, &public]);
    der(0x30, &[&to_be_signed, &signed_with, &der(0x03, &[&[0]])])
}

struct Client {
    key: RsaKeyPair,
    certificate: Vec<u8>,
}

impl Client {
    fn new(size: KeySize) -> Self {
        let key = RsaKeyPair::generate(size).expect("a key");
        let certificate = certificate(RSA_ENCRYPTION, key.public_key().as_ref());
        Self { key, certificate }
    }

    fn sign(&self, encoding: &'static dyn RsaEncoding) -> Vec<u8> {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(encoding, &SystemRandom::new(), SEEN, &mut signature).expect("a signature");
        signature
    }
}

fn verifier() -> &'static dyn SignatureVerifier {
    default_provider().signature_verification
}

fn verify(certificate: &[u8], signature: &[u8], hash: HashAlgorithm) -> Result<(), CryptoError> {
    verifier().verify_rsa_pkcs1(certificate, SEEN, signature, hash)
}

#[test]
fn keys_of_2048_to_4096_bits_sign_with_each_of_three_hashes() {
    for size in [KeySize::Rsa2048, KeySize::Rsa3072, KeySize::Rsa4096] {
        let client = Client::new(size);
        for (hash, encoding) in HASHES {
            verify(&client.certificate, &client.sign(encoding), hash).expect("the client's");
        }
    }
}

#[test]
fn no_other_signature_is_taken_for_the_client_s() {
    let (client, other) = (Client::new(KeySize::Rsa2048), Client::new(KeySize::Rsa2048));
    let right = client.sign(&RSA_PKCS1_SHA256);
    verify(&client.certificate, &right, HashAlgorithm::SHA256).expect("the client's");
    for at in [0, right.len() / 2, right.len() - 1] {
        let mut wrong = right.clone();
        wrong[at] ^= 1;
        assert_eq!(verify(&client.certificate, &wrong, HashAlgorithm::SHA256), Err(WRONG), "bit of octet {at}");
    }
    let padded_otherwise = client.sign(&RSA_PSS_SHA256);
    let of_another = other.sign(&RSA_PKCS1_SHA256);
    for wrong in [&[], &right[1..], &padded_otherwise, &of_another] {
        assert_eq!(verify(&client.certificate, wrong, HashAlgorithm::SHA256), Err(WRONG), "{} octets", wrong.len());
    }
    let of_else = verifier().verify_rsa_pkcs1(&client.certificate, b"else", &right, HashAlgorithm::SHA256);
    assert_eq!(of_else, Err(WRONG));
    assert_eq!(verify(&client.certificate, &right, HashAlgorithm::SHA384), Err(WRONG));
    for hash in [HashAlgorithm::SHA1, HashAlgorithm::MD5, HashAlgorithm::None] {
        let refused = CryptoError::UnsupportedSignaturePair { signature: SignatureAlgorithm::RSA, hash };
        assert_eq!(verify(&client.certificate, &right, hash), Err(refused));
    }
}

#[test]
fn a_key_of_other_than_2048_to_4096_bits_is_refused() {
    let (key, signature) = (hex(SHORT_KEY), hex(SHORT_SIGNATURE));
    let weaker = UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, &key);
    weaker.verify(SEEN, &signature).expect("the signature is right");
    let short = certificate(RSA_ENCRYPTION, &key);
    assert_eq!(verify(&short, &signature, HashAlgorithm::SHA256), Err(WRONG));
    let of_a_longer_key = [1; 4_096 / 8 + 1];
    assert_eq!(verify(&short, &of_a_longer_key, HashAlgorithm::SHA256), Err(CryptoError::InvalidSignatureFormat));
}

#[test]
fn a_key_is_taken_for_what_its_certificate_says_it_is() {
    let client = Client::new(KeySize::Rsa2048);
    let signature = client.sign(&RSA_PKCS1_SHA256);
    let disguised = certificate(ECDSA_WITH_SHA256, client.key.public_key().as_ref());
    let elliptic = dimpl::certificate::generate_self_signed_certificate().expect("a certificate").certificate;
    for (wrong, refused) in [
        (&disguised, CryptoError::UnsupportedPublicKeyAlgorithm),
        (&elliptic, CryptoError::UnsupportedPublicKeyAlgorithm),
        (&client.certificate[1..].to_vec(), CryptoError::CertificateParseFailed),
        (&vec![], CryptoError::CertificateParseFailed),
    ] {
        assert_eq!(verify(wrong, &signature, HashAlgorithm::SHA256), Err(refused));
    }
}

#[test]
fn dtls_1_3_which_forbids_this_padding_never_gets_to_it() {
    let client = Client::new(KeySize::Rsa2048);
    for (hash, encoding) in HASHES {
        let signature = client.sign(encoding);
        let verdict = verifier().verify_signature(&client.certificate, SEEN, &signature, hash, SignatureAlgorithm::RSA);
        assert!(verdict.is_err());
    }
}

#[test]
fn clients_are_asked_for_ecdsa_or_rsa() {
    let now = start();
    let mut ours = ours(DtlsVersions::Only12, vec![]);
    let certificate = dimpl::certificate::generate_self_signed_certificate().expect("a certificate");
    let mut theirs =
        dimpl::Dtls::new_12(Arc::new(dimpl::Config::builder().build().expect("a config")), certificate, now);
    theirs.set_active(true);
    DtlsEndpoint::handle_timeout(&mut theirs, now).expect("no failure");
    for packet in drain(&mut theirs) {
        ours.on_datagram(&packet, now);
        while ours.advance(now) {}
    }
    let flight: Vec<u8> = std::iter::from_fn(|| ours.poll_transmit()).flatten().collect();
    // ecdsa_sign and rsa_sign; then hash and algorithm of each signature; no authorities.
    let request = [2, 64, 1, 0, 10, 4, 3, 5, 3, 4, 1, 5, 1, 6, 1, 0, 0];
    assert!(flight.windows(request.len()).any(|window| window == request));
}
