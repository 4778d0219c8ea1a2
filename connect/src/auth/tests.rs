use icecore_disk::random::SeededRandom;

use super::*;

const DATABASE: [u8; 16] = [7; 16];

fn tokens() -> AccessTokens {
    AccessTokens::parse("first-token-of-two\n\n# old\n  second-token-of-two  \n").unwrap()
}

fn headers(authorization: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, authorization.parse().unwrap())])
}

fn text(result: Result<Holder, Refusal>) -> String {
    result.unwrap_err().text
}

#[test]
fn every_token_of_the_file_opens_and_nothing_else_does() {
    let authenticate = |header: &str| tokens().authenticate(&headers(header));
    assert_eq!(authenticate("Bearer first-token-of-two"), Ok(Holder(0)));
    assert_eq!(authenticate("bEARER second-token-of-two"), Ok(Holder(1)));
    for wrong in ["Bearer first-token-of-tw", "Bearer ", "Bearer # old", "Basic first-token-of-two"]
    {
        assert_eq!(text(authenticate(wrong)), "Invalid access token.", "{wrong}");
    }
    assert_eq!(text(authenticate("first-token-of-two")), "Malformed authorization header.");
    assert_eq!(text(tokens().authenticate(&HeaderMap::new())), "Malformed authorization header.");
}

#[test]
fn a_session_is_good_for_its_database_until_it_expires_and_is_no_access_token() {
    let random = SeededRandom::new(1);
    let session = tokens().session(Holder(1), &DATABASE, 1_000, &random).unwrap();
    let shown = headers(&format!("Bearer {}", session.token));
    let at = |database, ms| tokens().authenticate_session(&shown, database, ms);
    assert_eq!(at(&DATABASE, session.expires_ms - 1), Ok(Holder(1)));
    assert_eq!(text(at(&DATABASE, session.expires_ms)), "Invalid access token.");
    assert_eq!(text(at(&[8; 16], 1_000)), "Invalid access token.");
    assert_eq!(text(tokens().authenticate(&shown)), "Invalid access token.");
    let other = AccessTokens::parse("another-token-of-12").unwrap();
    assert_eq!(text(other.authenticate_session(&shown, &DATABASE, 1_000)), "Invalid access token.");
}

#[test]
fn no_byte_of_a_session_can_be_changed() {
    let random = SeededRandom::new(2);
    let session = tokens().session(Holder(0), &DATABASE, 1_000, &random).unwrap();
    for place in 0..session.token.len() {
        let mut changed = session.token.clone().into_bytes();
        changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
        let changed = headers(&format!("Bearer {}", String::from_utf8(changed).unwrap()));
        let result = tokens().authenticate_session(&changed, &DATABASE, 1_000);
        assert_eq!(text(result), "Invalid access token.");
    }
    for wrong in ["", "00", &session.token[1..], &"é".repeat(56), &"zz".repeat(56)] {
        let Ok(value) = format!("Bearer {wrong}").parse() else { continue };
        let wrong = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        assert!(tokens().authenticate_session(&wrong, &DATABASE, 1_000).is_err());
    }
}

#[test]
fn sessions_differ_also_at_one_moment() {
    let random = SeededRandom::new(3);
    let session = || tokens().session(Holder(0), &DATABASE, 1_000, &random).unwrap().token;
    assert_ne!(session(), session());
}

#[test]
fn tokens_that_are_too_short_or_cannot_be_sent_are_refused_without_being_shown() {
    let error = |text: &str| AccessTokens::parse(text).unwrap_err();
    assert_eq!(error("elevenchars"), "Access token must be at minimum 12 chars long.");
    assert!(!error("twelve chars").contains("twelve chars"));
    assert_eq!(error("# none\n"), "there is no access token");
}
