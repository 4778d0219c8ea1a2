//! TLS, with rustls: versions 1.2 and 1.3, and both versions of HTTP by agreement.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate and its key.
#[derive(Clone)]
pub struct Identity {
    config: Arc<ServerConfig>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// Reads a chain of certificates, the server's own first, and its key, both in PEM.
    ///
    /// ```
    /// let error = icecore_connect::Identity::from_pem(b"nothing", b"nothing").unwrap_err();
    /// assert_eq!(error, "the certificate file holds no certificate");
    /// ```
    ///
    /// # Errors
    /// A text that says which of the two is not as it should be.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Identity, String> {
        let certificates: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(certificates)
                .collect::<Result<_, _>>()
                .map_err(|error| format!("the certificate file cannot be read: {error}"))?;
        if certificates.is_empty() {
            return Err("the certificate file holds no certificate".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| format!("the key file cannot be read: {error}"))?;
        let unusable = |error| format!("certificate and key cannot be used: {error}");
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Identity { config: Arc::new(config) })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}
