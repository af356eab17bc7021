//! Listeners besides the two plain ones: TLS, open metrics.

use crate::support::{Gateway, Setup, chat};
use crate::upstream::{Options, Upstream};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Self-signed for `localhost`, good for these tests only.
fn tls_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/tls").join(name)
}

async fn house_with_admin_tls() -> (Upstream, Gateway) {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let setup = Setup::default()
        .env("TOLLGATE_ADMIN_TLS_CERT", tls_file("certificate.pem").to_str().unwrap())
        .env("TOLLGATE_ADMIN_TLS_KEY", tls_file("key.pem").to_str().unwrap());
    let gateway = setup.start(&upstream).await;
    (upstream, gateway)
}

/// Shakes hands with the admin listener, trusting the test's certificate only.
async fn shake_hands(gateway: &Gateway, name: &str, protocols: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(tls_file("certificate.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(gateway.admin.trim_start_matches("http://")).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector.connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
}

#[tokio::test]
async fn the_admin_listener_speaks_tls() {
    let (_upstream, gateway) = house_with_admin_tls().await;
    let mut stream = shake_hands(&gateway, "localhost", &["http/1.1"]).await.unwrap();
    let body = json!({"provider": "openai", "setting": {"apikey": "sk-upstream"}}).to_string();
    let request = format!(
        "PUT /api/provider-settings HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // How the connection ends does not matter: the answer says its length.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"provider\":\"openai\""), "{answer}");

    let h2 = shake_hands(&gateway, "localhost", &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(h2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert!(shake_hands(&gateway, "elsewhere.example", &[]).await.is_err(), "the certificate is not for that name");
}

#[tokio::test]
async fn a_tls_listener_has_no_words_for_plain_http_and_survives_it() {
    let (_upstream, gateway) = house_with_admin_tls().await;
    assert!(gateway.http.get(format!("{}/healthz", gateway.admin)).send().await.is_err());
    // A connection that says nothing does not keep others from their handshake.
    let _silent = TcpStream::connect(gateway.admin.trim_start_matches("http://")).await.unwrap();
    shake_hands(&gateway, "localhost", &["http/1.1"]).await.unwrap();
}

#[tokio::test]
async fn the_metrics_listener_is_open_and_has_nothing_else() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let setup = Setup::default().env("TOLLGATE_TELEMETRY_METRICS_LISTEN", "127.0.0.1:0").env("ADMIN_PASS", "secret");
    let gateway = setup.start(&upstream).await;
    assert_eq!(chat(&gateway, "no-such-key").await.status(), 401);
    let base = format!("http://{}", gateway.listener("telemetry").await);
    let metrics = gateway.http.get(format!("{base}/metrics")).send().await.unwrap();
    assert_eq!(metrics.status(), 200);
    let text = metrics.text().await.unwrap();
    assert!(text.contains("# TYPE tollgate_"), "{text}");
    for path in ["/", "/api/provider-settings", "/api/key-management/keys?tag=a", "/api/openapi.json"] {
        assert_eq!(gateway.http.get(format!("{base}{path}")).send().await.unwrap().status(), 404, "{path}");
    }
    let guarded = gateway.http.get(format!("{}/metrics", gateway.admin)).send().await.unwrap();
    assert_eq!(guarded.status(), 401, "the admin listener still asks for the secret");
}
