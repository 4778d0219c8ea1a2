//! TLS, with a certificate that was made for these tests and is good for nothing else.

use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use icecore_connect::Identity;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::harness::Harness;
use crate::wire::{Call, raw};

const CERTIFICATE: &[u8] = include_bytes!("../tls/certificate.pem");
const KEY: &[u8] = include_bytes!("../tls/key.pem");

async fn harness() -> Harness {
    let identity = Identity::from_pem(CERTIFICATE, KEY).unwrap();
    Harness::with(|settings| settings.identity = Some(identity)).await
}

async fn connect(harness: &Harness, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CERTIFICATE).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(harness.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
    stream
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_by_agreement() {
    let harness = harness().await;
    let stream = TokioIo::new(connect(&harness, b"h2").await);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://localhost/healthz").body(Empty::<&[u8]>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok\n");
    let stream = TokioIo::new(connect(&harness, b"http/1.1").await);
    let (mut sender, connection) = http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/healthz").header("host", "localhost");
    let response = sender.send_request(request.body(Empty::<&[u8]>::new()).unwrap()).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok\n");
}

#[tokio::test]
async fn nothing_is_said_in_the_clear() {
    let harness = harness().await;
    let plain = raw(harness.address, &Call::new("GET", "/healthz").bytes("")).await;
    assert!(plain.is_none(), "{plain:?}");
    connect(&harness, b"h2").await;
}

#[test]
fn a_certificate_and_a_key_that_do_not_belong_together_are_told_apart() {
    let error = |certificate: &[u8], key: &[u8]| Identity::from_pem(certificate, key).unwrap_err();
    assert_eq!(error(b"", KEY), "the certificate file holds no certificate");
    assert!(error(CERTIFICATE, b"").starts_with("the key file cannot be read: "));
    assert!(error(CERTIFICATE, CERTIFICATE).starts_with("the key file cannot be read: "));
}
