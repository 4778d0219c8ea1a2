use super::*;
use icecore_disk::clock::ManualClock;

/// The 23rd of November 2026.
const NOW_MS: u64 = 1_795_463_931_530;

fn sessions(url: &str) -> Sessions {
    let mut settings = Settings::new(url, "the access token");
    settings.clock = Arc::new(ManualClock::at(NOW_MS));
    Sessions::new(&settings).unwrap()
}

fn metadata(change: (&str, &str)) -> String {
    r#"{"version":3,"databaseId":"00112233-4455-6677-8899-aabbccddeeff","endpoints":[{"url":"/v2","consistency":"strong"}],"token":"session","expiresAt":"2026-11-23T20:58:51Z"}"#
        .replace(change.0, change.1)
}

fn session(change: (&str, &str)) -> Result<Session, String> {
    sessions("http://localhost:1/db/a").session(0, metadata(change).as_bytes())
}

#[test]
fn a_session_says_where_and_with_what_to_call() {
    let session = session(("", "")).unwrap();
    assert_eq!(session.database_id[..3], [0x00, 0x11, 0x22]);
    let post = session.post("watch", Consistency::Eventual, Bytes::new()).unwrap();
    assert_eq!(post.uri, "http://localhost:1/v2/watch");
    assert_eq!(post.headers["x-denokv-version"], "3");
    assert_eq!(post.headers["x-denokv-database-id"], "00112233-4455-6677-8899-aabbccddeeff");
    assert_eq!(post.headers["authorization"], "Bearer session");
    assert!(!format!("{post:?}").contains("Bearer session"), "{post:?}");
}

#[test]
fn eventual_reads_go_to_an_eventual_endpoint_where_there_is_one() {
    let both = r#"{"url":"https://far.example/e","consistency":"eventual"},{"url"#;
    let session = session((r#"{"url"#, both)).unwrap();
    let uri = |consistency| session.post("x", consistency, Bytes::new()).unwrap().uri.to_string();
    assert_eq!(uri(Consistency::Strong), "http://localhost:1/v2/x");
    assert_eq!(uri(Consistency::Eventual), "https://far.example/e/x");
}

#[test]
fn the_first_version_has_another_header() {
    let session = session(("\"version\":3", "\"version\":1")).unwrap();
    let post = session.post("x", Consistency::Strong, Bytes::new()).unwrap();
    assert!(post.headers.contains_key("x-transaction-domain-id"));
    assert!(!post.headers.contains_key("x-denokv-version"));
}

#[test]
fn metadata_that_make_no_sense_are_refused_without_showing_the_token() {
    for (change, expected) in [
        (("\"version\":3", "\"version\":1000"), "unknown metadata version 1000"),
        (("\"/v2\"", "\"/v2/\""), "is not the front of others"),
        (("\"/v2\"", "\"http://far.example/v2\""), "plain http"),
        (("strong", "eventual"), "no strong endpoint"),
        (("00112233", "0011223g"), "no UUID"),
        (("2026-11-23T", "2026"), "no moment"),
        (("\"session\"", "\"ses\\nsion\""), "its token is none"),
        (("\"token\"", "\"taken\""), "cannot be read"),
    ] {
        let refused = session(change).err().unwrap();
        assert!(refused.contains(expected), "{refused} is not {expected}");
        assert!(!refused.contains("session"), "{refused}");
    }
}

#[test]
fn a_session_is_used_until_shortly_before_its_end_and_an_ended_one_for_a_moment() {
    let lasts = |expires: &str| {
        let session = session(("2026-11-23T20:58:51", expires)).unwrap();
        session.renew_at.duration_since(Instant::now()).as_secs()
    };
    assert!((3_585..=3_590).contains(&lasts("2026-11-23T20:58:51")));
    assert!(lasts("1999-11-23T20:58:51") <= 5);
    assert!(lasts("9999-11-23T20:58:51") <= 24 * 60 * 60, "however far away its end is");
}

#[test]
fn a_token_that_cannot_be_sent_is_refused() {
    for token in ["", " ", "a\nb"] {
        let refused = Sessions::new(&Settings::new("http://localhost", token)).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
    }
}
