//! The metadata exchange.

use serde_json::Value;

use crate::harness::{Harness, NOW_MS, OTHER_TOKEN, TOKEN};
use crate::wire::{Call, Reply};

fn json(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_slice(&reply.body).unwrap()
}

#[tokio::test]
async fn the_answer_has_the_form_that_the_strictest_client_asks_for() {
    let harness = Harness::new().await;
    let reply = harness.send_both(&Harness::exchange("/", TOKEN)).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let metadata = json(&reply);
    let keys: Vec<&String> = metadata.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["databaseId", "endpoints", "expiresAt", "token", "version"]);
    assert_eq!(metadata["version"], 3);
    let id = metadata["databaseId"].as_str().unwrap();
    let parts: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12]);
    assert!(id.bytes().all(|b| matches!(b, b'-' | b'0'..=b'9' | b'a'..=b'f')), "{id}");
    let endpoints = serde_json::json!([{ "url": "/v2", "consistency": "strong" }]);
    assert_eq!(metadata["endpoints"], endpoints);
    // The clock stands at the 23rd of November 2026, 19:58:51.53.
    assert_eq!(metadata["expiresAt"], "2026-11-24T19:58:51.530Z");
    let token = metadata["token"].as_str().unwrap();
    assert!(token.len() >= 64 && !token.contains(TOKEN));
}

#[tokio::test]
async fn the_highest_common_version_is_spoken() {
    let harness = Harness::new().await;
    for (body, version) in [("[1,2,3]", 3), ("[2,1]", 2), ("[3,4,5]", 3), ("[2]", 2)] {
        let body = format!("{{\"supportedVersions\":{body}}}");
        let call = Call { body: body.into(), ..Harness::exchange("/", TOKEN) };
        assert_eq!(json(&harness.send_both(&call).await)["version"], version);
    }
}

#[tokio::test]
async fn clients_of_version_1_are_told_to_come_with_another() {
    let harness = Harness::new().await;
    let told = async |body: &'static str| {
        let call = Call { body: body.into(), ..Harness::exchange("/", TOKEN) };
        let reply = harness.send_both(&call).await;
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
        (reply.status, reply.text().to_owned())
    };
    let old = "The server requires at least protocol version 2. Use Deno 1.38.0 or newer.";
    for body in ["", "{", "{}", "[]", "\u{0}\u{1}"] {
        assert_eq!(told(body).await, (400, old.to_owned()), "{body:?}");
    }
    let none = "The server could not negotiate a protocol version. The server requires protocol \
                version 2 or 3.";
    for body in [r#"{"supportedVersions":[1]}"#, r#"{"supportedVersions":[]}"#] {
        assert_eq!(told(body).await, (400, none.to_owned()), "{body:?}");
    }
}

#[tokio::test]
async fn only_an_access_token_opens() {
    let harness = Harness::new().await;
    let good = Harness::exchange("/", TOKEN);
    let told = async |call: Call| {
        let reply = harness.send_both(&call).await;
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        (reply.status, reply.text().to_owned())
    };
    let malformed = (401, "Malformed authorization header.".to_owned());
    let invalid = (401, "Invalid access token.".to_owned());
    assert_eq!(told(good.clone().without("authorization")).await, malformed);
    assert_eq!(told(good.clone().header("authorization", TOKEN)).await, malformed);
    for wrong in [format!("Basic {TOKEN}"), format!("Bearer {TOKEN}x"), "Bearer x".to_owned()] {
        assert_eq!(told(good.clone().header("authorization", &wrong)).await, invalid, "{wrong}");
    }
    let session = json(&harness.send(&good).await)["token"].as_str().unwrap().to_owned();
    let shown = good.clone().header("authorization", &format!("Bearer {session}"));
    assert_eq!(told(shown).await, invalid, "a session is exchanged for nothing");
    let lower = good.clone().header("authorization", &format!("bearer {TOKEN}"));
    assert_eq!(harness.send_both(&lower).await.status, 200);
}

#[tokio::test]
async fn the_token_is_looked_at_before_the_body() {
    let harness = Harness::new().await;
    let call = Call::post("/", r#"{"supportedVersions":[1]}"#);
    assert_eq!(harness.send_both(&call).await.status, 401);
    let call = call.header("authorization", &format!("Bearer {TOKEN}"));
    assert_eq!(harness.send_both(&call).await.status, 400);
}

#[tokio::test]
async fn every_database_has_its_identity_its_tokens_and_its_paths() {
    let harness = Harness::new().await;
    let first = json(&harness.send(&Harness::exchange("/", TOKEN)).await);
    let other = json(&harness.send_both(&Harness::exchange("/db/other", OTHER_TOKEN)).await);
    assert_eq!(other["endpoints"][0]["url"], "/db/other/v2");
    assert_ne!(other["databaseId"], first["databaseId"]);
    for (path, token) in [("/", OTHER_TOKEN), ("/db/other", TOKEN)] {
        assert_eq!(harness.send_both(&Harness::exchange(path, token)).await.status, 401, "{path}");
    }
    let reply = harness.send_both(&Harness::exchange("/db/none", TOKEN)).await;
    assert_eq!(reply.told(), (404, "Resource not found."));
    // A session of one database is none of the other, whatever else is right.
    let call = Call::post("/db/other/v2/snapshot_read", "")
        .header("authorization", &format!("Bearer {}", first["token"].as_str().unwrap()))
        .header("x-denokv-version", "3")
        .header("x-denokv-database-id", other["databaseId"].as_str().unwrap());
    assert_eq!(harness.send_both(&call).await.told(), (401, "Invalid access token."));
    let own = format!("Bearer {}", other["token"].as_str().unwrap());
    assert_eq!(harness.send_both(&call.header("authorization", &own)).await.status, 200);
}

#[tokio::test]
async fn a_session_ends_with_its_time() {
    let harness = Harness::new().await;
    let call = harness.call("snapshot_read", "").await;
    harness.clock.set_wall_ms(NOW_MS + 24 * 3_600_000 - 1);
    assert_eq!(harness.send(&call).await.status, 200);
    harness.clock.set_wall_ms(NOW_MS + 24 * 3_600_000);
    assert_eq!(harness.send(&call).await.told(), (401, "Invalid access token."));
}
