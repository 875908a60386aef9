//! Makes both ends of a str0m connection use `AEAD_AES_128_GCM`. DTLS chooses `AEAD_AES_256_GCM` by itself; the keys it agreed on
//! are cut to length on both ends alike.

use std::sync::Arc;
use std::time::Instant;

use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, KeyingMaterial, ProtocolVersion,
    SrtpProfile,
};
use str0m::crypto::{CryptoError, CryptoProvider};

/// Two keys of 16 and two salts of 12 bytes.
const KEYING_MATERIAL: usize = 2 * (16 + 12);

/// The default provider, but for the profile.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let dtls_provider: &'static dyn DtlsProvider = &Gcm128;
    Arc::new(CryptoProvider { dtls_provider, ..str0m::crypto::from_feature_flags() })
}

#[derive(Debug)]
struct Gcm128;

impl DtlsProvider for Gcm128 {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        str0m::crypto::from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let inner = str0m::crypto::from_feature_flags().dtls_provider.new_dtls(certificate, now, version, mtu)?;
        Ok(Box::new(Shortened { inner }))
    }
}

#[derive(Debug)]
struct Shortened {
    inner: Box<dyn DtlsInstance>,
}

impl DtlsInstance for Shortened {
    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        match self.inner.poll_output(buf) {
            DtlsOutput::KeyingMaterial(keys, _) => {
                DtlsOutput::KeyingMaterial(KeyingMaterial::new(&keys[..KEYING_MATERIAL]), SrtpProfile::AEAD_AES_128_GCM)
            }
            other => other,
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.inner.handle_timeout(now)
    }

    fn send_application_data(&mut self, bytes: &[u8]) -> Result<usize, DtlsImplError> {
        self.inner.send_application_data(bytes)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}
