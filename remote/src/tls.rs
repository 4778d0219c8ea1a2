//! Whom a client trusts: what the machine trusts, and what its caller adds.
//!
//! The certificates of the machine, and not a list in the program: they can be changed without
//! building anew, and they know authorities of one's own.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, ErrorKind};

/// The configuration of all connections; `trusted` are further certificates, in PEM.
pub(crate) fn config(trusted: &[u8]) -> Result<Arc<ClientConfig>, Error> {
    let invalid = |text: String| Error::new(ErrorKind::Invalid, text);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trusted) {
        let certificate = certificate
            .map_err(|error| invalid(format!("a trusted certificate cannot be read: {error}")))?;
        let added = roots.add(certificate);
        added.map_err(|error| invalid(format!("a certificate cannot be trusted: {error}")))?;
    }
    if !trusted.is_empty() && roots.is_empty() {
        return Err(invalid("there is no certificate in what is to be trusted".to_owned()));
    }
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let causes: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(invalid(format!("the machine trusts nobody: {}", causes.join(", "))));
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}
