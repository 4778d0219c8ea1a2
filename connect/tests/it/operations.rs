//! What operators see.

use icecore::{Kv, key};
use icecore_connect::{Served, Server, Settings, store_limits};

use crate::harness::{Harness, TOKEN, tokens};
use crate::wire::Call;

#[tokio::test]
async fn health_and_metrics_are_there_without_a_token() {
    let harness = Harness::new().await;
    harness.kv.set(key!["a"], 1).unwrap();
    assert_eq!(harness.send_both(&Call::new("GET", "/healthz")).await.told(), (200, "ok\n"));
    harness.send_both(&Call::post("/db/script/v2/watch", "")).await;
    let reply = harness.send(&Call::new("GET", "/metrics")).await;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)));
    let text = reply.text();
    for line in [
        "icecore_requests_total{method=\"health\",status=\"2xx\"} 2",
        "icecore_commits_total{database=\"default\"} 1",
        "icecore_commits_total{database=\"other\"} 0",
        "icecore_connections 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("script"), "nothing of a request is a label");
}

#[tokio::test]
async fn a_server_that_cannot_write_is_not_healthy() {
    let harness = Harness::new().await;
    harness.kv.close().unwrap();
    let reply = harness.send_both(&Call::new("GET", "/healthz")).await;
    let text = "The server is temporarially unavailable, try again later.";
    assert_eq!(reply.told(), (503, text));
    let call = harness.call("snapshot_read", "").await;
    assert_eq!(harness.send_both(&call).await.told(), (503, text));
}

#[tokio::test]
async fn plain_http_is_not_spoken_where_others_can_hear_it() {
    let bind = async |address: &str, names: [Option<&str>; 2], insecure_http| {
        let settings =
            Settings { address: address.parse().unwrap(), insecure_http, ..Settings::default() };
        let served = |name: Option<&str>| {
            let kv = icecore::Kv::builder_in_memory().limits(store_limits()).open().unwrap();
            Served { name: name.map(str::to_owned), kv, tokens: tokens(TOKEN), read_only: false }
        };
        let server = Server::bind(settings, names.map(served).into()).await;
        server.map(drop).map_err(|error| error.to_string())
    };
    let named = [None, Some("a")];
    let error = bind("0.0.0.0:0", named, false).await.unwrap_err();
    assert!(error.contains("in the clear"), "{error}");
    assert_eq!(bind("0.0.0.0:0", named, true).await, Ok(()));
    assert_eq!(bind("127.0.0.1:0", named, false).await, Ok(()));
    let twice = bind("127.0.0.1:0", [Some("a"), Some("a")], false).await.unwrap_err();
    assert_eq!(twice, "there are two databases a");
    let wrong = bind("127.0.0.1:0", [None, Some("a/b")], false).await.unwrap_err();
    assert!(wrong.contains("no name of a database"), "{wrong}");
}

/// With or without the feature `remote` of the crate icecore.
#[test]
fn an_url_is_never_taken_for_a_directory() {
    for url in ["http://127.0.0.1:1/store", "HTTPS://db.example"] {
        let error = Kv::open(url).unwrap_err();
        assert_eq!(error.kind(), icecore::ErrorKind::InvalidArgument, "{error}");
        assert!(!std::path::Path::new(&url[..url.find('/').unwrap()]).exists(), "{url}");
    }
}
