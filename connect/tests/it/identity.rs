//! Wrong tokens, and tokens that are taken away.

use icecore::key;

use crate::harness::{Harness, OTHER_TOKEN, TOKEN, tokens};
use crate::watching::{Piece, Stream, request};
use crate::wire::{BOTH, Call, Protocol};

#[tokio::test]
async fn an_address_that_shows_wrong_tokens_is_not_looked_at_and_sessions_are_served() {
    let harness = Harness::new().await;
    let session = harness.call("atomic_write", "").await;
    let wrong = Harness::exchange("/", "a-wrong-token");
    let mut refused = 0;
    while harness.send(&wrong).await.status == 401 {
        refused += 1;
    }
    println!("{refused} wrong tokens were looked at");
    assert_eq!(refused, 100);
    let limited = (429, "Too many invalid access tokens: try again later.");
    let reply = harness.send_both(&wrong).await;
    assert_eq!(reply.told(), limited);
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    let right = Harness::exchange("/", TOKEN);
    assert_eq!(harness.send(&right).await.told(), limited, "nobody learns that it is right");
    let forged = session.clone().header("authorization", "Bearer 00");
    assert_eq!(harness.send_both(&forged).await.told(), limited);
    assert_eq!(harness.send_both(&session).await.status, 200);
    assert_eq!(harness.send_both(&Call::new("GET", "/healthz")).await.status, 200);
    harness.clock.advance_ms(1_000);
    assert_eq!(harness.send(&right).await.status, 200);
}

#[tokio::test]
async fn a_token_that_is_taken_away_takes_its_sessions_and_watches_with_it() {
    for protocol in BOTH {
        let harness = Harness::new().await;
        let write = harness.call("atomic_write", "").await;
        let watch = harness.call("watch", request(&[key!["a"]])).await;
        let mut stream = Stream::open(&watch, harness.address, protocol).await;
        assert_eq!(stream.frame().await, Piece::Frame(vec![None]));
        let other = tokens(OTHER_TOKEN);
        let both = tokens(&format!("a-token-before-it\n{TOKEN}"));
        harness.tokens.replace(vec![both, other.clone()]);
        assert_eq!(harness.send(&write).await.status, 200, "it is still among them");
        harness.kv.set(key!["a"], 1).unwrap();
        assert_eq!(stream.frame().await, Piece::Frame(vec![Some(1)]));
        harness.tokens.replace(vec![tokens("a-token-before-it"), other]);
        assert_eq!(stream.frame().await, Piece::End);
        assert_eq!(harness.send(&write).await.told(), (401, "Invalid access token."));
        assert_eq!(harness.send(&Harness::exchange("/", TOKEN)).await.status, 401);
        assert_eq!(harness.send(&Harness::exchange("/", "a-token-before-it")).await.status, 200);
    }
}

#[tokio::test]
async fn a_token_that_stays_keeps_the_places_that_it_has_taken() {
    let harness = Harness::with(|settings| settings.watches_per_token_max = 1).await;
    let call = harness.call("watch", request(&[key!["a"]])).await;
    let _stream = Stream::open(&call, harness.address, Protocol::Http2).await;
    harness.tokens.replace(vec![tokens(TOKEN), tokens(OTHER_TOKEN)]);
    assert_eq!(harness.send(&call).await.status, 429);
}
