use super::*;
use crate::units::start;

mod rsa;

const CLIENT_HELLO_HEAD: [u8; 14] = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];

fn record(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 0, 0, body.len() as u8];
    record.extend(body);
    record
}

/// An endpoint with one thing to say after each datagram.
struct Says(fn() -> DtlsOutput<'static>, bool, Instant);

impl DtlsEndpoint for Says {
    fn handle_packet(&mut self, _: &[u8], _: Instant) -> Result<(), DtlsError> {
        self.1 = true;
        Ok(())
    }
    fn handle_timeout(&mut self, _: Instant) -> Result<(), DtlsError> {
        Ok(())
    }
    fn poll<'a>(&mut self, _: &'a mut [u8]) -> DtlsOutput<'a> {
        if std::mem::take(&mut self.1) { (self.0)() } else { DtlsOutput::Idle(self.2 + HANDSHAKE_TIMEOUT) }
    }
    fn send(&mut self, _: &[u8]) -> Result<(), DtlsError> {
        Ok(())
    }
    fn close(&mut self) -> Result<(), DtlsError> {
        Ok(())
    }
    fn version(&self) -> &'static str {
        "1.2"
    }
}

fn ours(versions: DtlsVersions, fingerprints: Vec<Fingerprint>) -> Dtls {
    Dtls::new(Identity::generate(versions).expect("an identity"), DtlsRole::Server, fingerprints)
}

fn fed_with(says: fn() -> DtlsOutput<'static>) -> Dtls {
    let now = start();
    let mut dtls = ours(DtlsVersions::Only12, vec![]);
    dtls.endpoint = Some(Box::new(Says(says, false, now)));
    dtls.on_datagram(&CLIENT_HELLO_HEAD, now);
    assert!(dtls.advance(now));
    dtls
}

#[test]
fn keys_without_a_certificate_are_not_given_out() {
    let mut dtls = fed_with(|| DtlsOutput::Keys(SrtpProfile::AEAD_AES_128_GCM, vec![0; 56]));
    assert!(dtls.poll_event().is_none() && !dtls.is_connected());
    assert_eq!(dtls.failed_attempts(), 1);
}

#[test]
fn something_longer_than_the_buffer_ends_the_attempt_and_not_the_thread() {
    assert_eq!(fed_with(|| DtlsOutput::TooLong).failed_attempts(), 1);
}

#[test]
fn application_data_before_the_keys_is_not_given_out() {
    assert!(fed_with(|| DtlsOutput::Application(b"x")).poll_event().is_none());
}

#[test]
fn only_handshake_records_reach_a_fresh_endpoint_and_no_plain_alert_one_without_keys() {
    let (hello, alert, secret) = (record(22, 0, b"x"), record(21, 0, &[2, 40]), record(21, 1, b"sealed"));
    let hidden = [hello.clone(), alert.clone()].concat();
    let cases = [
        (&hello, true, true, true),
        (&alert, false, false, true),
        (&secret, false, true, true),
        (&hidden, false, false, true),
        (&record(20, 0, &[1]), false, true, true),
        (&record(23, 0, b"x"), false, true, true),
        (&hello[..9].to_vec(), false, false, true),
        (&vec![], false, false, true),
        (&vec![0x2f, 1, 2], false, true, true),
    ];
    for (datagram, fresh, handshaking, connected) in cases {
        let allowed = [Stage::Fresh, Stage::Handshaking, Stage::Connected].map(|at| is_acceptable(datagram, at));
        assert_eq!(allowed, [fresh, handshaking, connected], "{datagram:?}");
    }
}

#[test]
fn both_versions_connect_by_configuration() {
    for (versions, expected) in [(DtlsVersions::Only12, "1.2"), (DtlsVersions::UpTo13, "1.3")] {
        let mut now = start();
        let certificate = dimpl::certificate::generate_self_signed_certificate().expect("a certificate");
        let fingerprint = Fingerprint { algorithm: "sha-256".to_owned(), value: certificate.fingerprint() };
        let mut ours = ours(versions, vec![fingerprint]);
        let config = Arc::new(dimpl::Config::builder().build().expect("a config"));
        let mut theirs = dimpl::Dtls::new_auto(config, certificate, now);
        theirs.set_active(true);
        let mut event = None;
        for _ in 0..20 {
            DtlsEndpoint::handle_timeout(&mut theirs, now).expect("no failure");
            for packet in drain(&mut theirs) {
                ours.on_datagram(&packet, now);
                while ours.advance(now) {}
            }
            while let Some(packet) = ours.poll_transmit() {
                theirs.handle_packet(&packet).expect("no failure");
            }
            event = event.or_else(|| ours.poll_event());
            now += Duration::from_millis(10);
        }
        let Some(DtlsEvent::Connected { version, .. }) = event else { panic!("{expected}: {event:?}") };
        assert_eq!(version, expected);
    }
}

#[test]
fn what_the_remote_says_right_behind_its_handshake_is_not_lost() {
    let now = start();
    let certificate = dimpl::certificate::generate_self_signed_certificate().expect("a certificate");
    let fingerprint = Fingerprint { algorithm: "sha-256".to_owned(), value: certificate.fingerprint() };
    let mut ours = ours(DtlsVersions::UpTo13, vec![fingerprint]);
    let config = Arc::new(dimpl::Config::builder().build().expect("a config"));
    let mut theirs = dimpl::Dtls::new_auto(config, certificate, now);
    theirs.set_active(true);
    DtlsEndpoint::handle_timeout(&mut theirs, now).expect("no failure");
    let (mut heard, mut spoken) = (None, false);
    for _ in 0..5 {
        let (mut packets, has_keys) = drain_to_keys(&mut theirs);
        if has_keys && !spoken {
            // In DTLS 1.3 the client has its keys when it sends its last flight, and need not wait (RFC 9147 §5.7).
            spoken = theirs.send_application_data(b"at once").is_ok();
            packets.extend(drain(&mut theirs));
        }
        for packet in &packets {
            ours.on_datagram(packet, now);
        }
        while ours.advance(now) {}
        while let Some(packet) = ours.poll_transmit() {
            theirs.handle_packet(&packet).expect("no failure");
        }
        while let Some(event) = ours.poll_event() {
            heard = heard.or(if let DtlsEvent::Application(bytes) = event { Some(bytes) } else { None });
        }
    }
    assert!(spoken);
    assert_eq!(heard.as_deref(), Some(&b"at once"[..]));
}

fn drain(endpoint: &mut dimpl::Dtls) -> Vec<Vec<u8>> {
    drain_to_keys(endpoint).0
}

/// What it sends, and whether it has keys from here on.
fn drain_to_keys(endpoint: &mut dimpl::Dtls) -> (Vec<Vec<u8>>, bool) {
    let (mut packets, mut has_keys, mut buffer) = (vec![], false, [0; 2048]);
    loop {
        match endpoint.poll(&mut buffer) {
            DtlsOutput::Packet(packet) => packets.push(packet.to_vec()),
            DtlsOutput::Keys(..) => has_keys = true,
            DtlsOutput::Idle(_) => return (packets, has_keys),
            _ => {}
        }
    }
}
