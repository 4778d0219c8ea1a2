//! What the client makes of servers that fail.

use std::time::Duration;

use icecore::{Bytes, Commit, Error, ErrorKind, Kv, Versionstamp, key};
use icecore_wire::frame::{self, PING};
use icecore_wire::message::{
    AtomicWrite, AtomicWriteOutput, KvEntry, ReadRangeOutput, SnapshotRead, SnapshotReadOutput,
    WatchKeyOutput, WatchOutput, encoding, read_status, write_status,
};
use prost::Message;

use crate::scripted::{Answer, Came, JSON, PROTOBUF, Scripted, TEXT, metadata, metadata_of};

const UNAVAILABLE: &[u8] = b"The server is temporarially unavailable, try again later.";

fn open(server: &Scripted) -> Result<Kv, Error> {
    let builder = Kv::builder(&server.url).access_token("access");
    builder.call_timeout(Duration::from_secs(20)).open()
}

/// A server that answers metadata as it should, and the rest as `script` says.
fn server(script: impl Fn(&Came) -> Answer + Send + Sync + 'static) -> (Scripted, Kv) {
    let server = Scripted::start(move |came| match &*came.method {
        "/" => metadata(came),
        _ => script(came),
    });
    let kv = open(&server).unwrap();
    (server, kv)
}

fn reply(message: &impl Message) -> Answer {
    Answer::Reply(200, PROTOBUF, message.encode_to_vec())
}

fn stamp(number: u64) -> Bytes {
    Bytes::copy_from_slice(&Versionstamp::new(number).to_bytes())
}

fn done(number: u64) -> Answer {
    let (status, versionstamp) = (write_status::SUCCESS, stamp(number));
    reply(&AtomicWriteOutput { status, versionstamp, ..AtomicWriteOutput::default() })
}

fn entry(key: Bytes, number: u64) -> KvEntry {
    let value = Bytes::copy_from_slice(&number.to_le_bytes());
    KvEntry { key, value, encoding: encoding::LE64, versionstamp: stamp(number) }
}

/// The answer in which each range has the entry of its start.
fn found(came: &Came, number: u64) -> SnapshotReadOutput {
    let read = SnapshotRead::decode(came.body.clone()).unwrap();
    let one = |start: Bytes| ReadRangeOutput { values: vec![entry(start, number)] };
    SnapshotReadOutput {
        ranges: read.ranges.into_iter().map(|range| one(range.start)).collect(),
        read_is_strongly_consistent: true,
        status: read_status::SUCCESS,
        ..SnapshotReadOutput::default()
    }
}

#[test]
fn a_commit_whose_answer_is_lost_is_not_sent_again() {
    let (server, kv) = server(|came| match &*came.method {
        "atomic_write" if came.earlier == 0 => Answer::Lost,
        "atomic_write" => done(2),
        _ => reply(&found(came, 1)),
    });
    let error = kv.atomic().sum(key!["visits"], 1).commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    assert_eq!(server.came("atomic_write").len(), 1);
    // The client goes on, over another connection.
    assert_eq!(kv.get(key!["visits"]).unwrap().u64().unwrap(), 1);
    assert_eq!(kv.set(key!["a"], 1).unwrap(), Versionstamp::new(2));
    assert_eq!(server.came("atomic_write").len(), 2);
}

#[test]
fn answers_that_do_not_say_what_became_of_a_commit_leave_it_open() {
    let answers: [fn() -> Answer; 9] = [
        || Answer::Reply(500, TEXT, b"An internal server error occurred.".to_vec()),
        || Answer::Reply(502, TEXT, b"Bad Gateway".to_vec()),
        || Answer::Reply(503, TEXT, b"upstream connect error or disconnect".to_vec()),
        || Answer::Reply(409, TEXT, b"The outcome of the write is unknown".to_vec()),
        || Answer::Reply(200, "text/html", b"<html>".to_vec()),
        || Answer::Reply(200, PROTOBUF, vec![0xff; 40]),
        || Answer::Reply(200, PROTOBUF, Vec::new()),
        || Answer::Reply(200, PROTOBUF, vec![0; 1 << 20]),
        // A check has failed, where there was none.
        || Answer::Reply(200, PROTOBUF, vec![0x08, 0x02]),
    ];
    let count = answers.len();
    let (server, kv) = server(move |came| answers[came.earlier]());
    for sent in 1..=count {
        let error = kv.set(key!["a"], 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
        assert_eq!(server.came("atomic_write").len(), sent, "{error}");
    }
}

#[test]
fn a_commit_that_was_not_begun_is_sent_again() {
    let (server, kv) = server(|came| match came.earlier {
        0 | 1 => Answer::Reply(503, TEXT, UNAVAILABLE.to_vec()),
        _ => done(9),
    });
    assert_eq!(kv.set(key!["a"], 1).unwrap(), Versionstamp::new(9));
    assert_eq!(server.came("atomic_write").len(), 3);
}

#[test]
fn a_commit_that_is_refused_has_not_happened_and_keeps_the_words() {
    let text = "Cannot sum Number with BigInt";
    let (server, kv) = server(move |came| match came.earlier {
        0 => Answer::Reply(400, TEXT, text.into()),
        1 => Answer::Reply(413, TEXT, b"too much".to_vec()),
        2 => Answer::Reply(307, TEXT, Vec::new()),
        _ => reply(&AtomicWriteOutput {
            status: write_status::WRITE_DISABLED,
            ..AtomicWriteOutput::default()
        }),
    });
    let error = kv.set(key!["a"], 1).unwrap_err();
    assert_eq!((error.kind(), &*error.text()), (ErrorKind::TypeMismatch, text));
    assert_eq!(kv.set(key!["a"], 1).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let redirect = kv.set(key!["a"], 1).unwrap_err();
    assert_eq!(redirect.kind(), ErrorKind::Io);
    assert!(redirect.to_string().contains("redirect"), "{redirect}");
    assert_eq!(kv.set(key!["a"], 1).unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(server.came("atomic_write").len(), 4);
}

#[test]
fn failed_checks_are_told_as_by_a_store_in_this_process() {
    let (_server, kv) = server(|came| {
        let write = AtomicWrite::decode(came.body.clone()).unwrap();
        let places: u32 = write.checks.len().try_into().unwrap();
        let failed_checks = (0..places).rev().collect();
        let status = write_status::CHECK_FAILURE;
        reply(&AtomicWriteOutput { status, failed_checks, ..AtomicWriteOutput::default() })
    });
    let commit = kv.atomic().check_absent(key!["a"]).check_absent(key!["b"]).commit();
    assert_eq!(commit.unwrap(), Commit::CheckFailed { indexes: vec![0, 1] });
}

#[test]
fn a_read_is_sent_again_until_it_is_answered() {
    let (server, kv) = server(|came| match came.earlier {
        0 => Answer::Lost,
        1 => Answer::Reply(500, TEXT, Vec::new()),
        2 => Answer::Reply(503, TEXT, b"whatever".to_vec()),
        _ => reply(&found(came, 7)),
    });
    assert_eq!(kv.get(key!["a"]).unwrap().u64().unwrap(), 7);
    assert_eq!(server.came("snapshot_read").len(), 4);
}

#[test]
fn a_read_gives_up_when_its_time_is_up_and_says_why() {
    let server = Scripted::start(|came| match &*came.method {
        "/" => metadata(came),
        _ => Answer::Reply(502, TEXT, b"the gateway has gone fishing".to_vec()),
    });
    let builder = Kv::builder(&server.url).access_token("access");
    let kv = builder.call_timeout(Duration::from_millis(700)).open().unwrap();
    let error = kv.get(key!["a"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("gone fishing"), "{error}");
    assert!(server.came("snapshot_read").len() > 1);
}

#[test]
fn a_session_that_is_refused_is_replaced_once() {
    for status in [401, 403] {
        let (server, kv) = server(move |came| match &*came.token {
            "Bearer session-0" => Answer::Reply(status, TEXT, b"Invalid access token.".to_vec()),
            _ => done(3),
        });
        assert_eq!(kv.set(key!["a"], 1).unwrap(), Versionstamp::new(3));
        let tokens: Vec<String> =
            server.came("atomic_write").into_iter().map(|came| came.token).collect();
        assert_eq!(tokens, ["Bearer session-0", "Bearer session-1"]);
        assert!(server.came("/").iter().all(|came| came.token == "Bearer access"));
        assert_eq!(server.came("/").len(), 2);
    }
    let (server, kv) = server(|_| Answer::Reply(401, TEXT, b"Invalid access token.".to_vec()));
    assert_eq!(kv.get(key!["a"]).unwrap_err().kind(), ErrorKind::Unauthorized);
    assert_eq!(server.came("snapshot_read").len(), 2);
}

#[test]
fn answers_that_are_none_are_errors_and_no_panic() {
    type Broken = fn(&Came) -> Answer;
    let answers: [Broken; 8] = [
        |_| Answer::Reply(200, PROTOBUF, vec![0xff; 100]),
        |_| Answer::Reply(200, "text/html", b"<html>".to_vec()),
        |_| Answer::Reply(302, TEXT, Vec::new()),
        |_| Answer::Reply(204, PROTOBUF, Vec::new()),
        // No range, where one was asked for; and one with a key that was not.
        |_| reply(&SnapshotReadOutput { read_is_strongly_consistent: true, ..<_>::default() }),
        |came| {
            let mut output = found(came, 1);
            output.ranges[0].values[0].key = Bytes::from_static(b"\x02z\0");
            reply(&output)
        },
        |came| reply(&SnapshotReadOutput { read_is_strongly_consistent: false, ..found(came, 1) }),
        |came| {
            let mut output = found(came, 1);
            let values = &mut output.ranges[0].values;
            values.push(values[0].clone());
            reply(&output)
        },
    ];
    let count = answers.len();
    let (server, kv) = server(move |came| answers[came.earlier](came));
    for sent in 1..=count {
        let error = kv.get(key!["a"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(server.came("snapshot_read").len(), sent, "it is of no use to ask again");
    }
}

#[test]
fn values_and_versionstamps_of_other_kinds_are_told_apart_from_nothing() {
    let (_server, kv) = server(|came| {
        let mut output = found(came, 1);
        let entry = &mut output.ranges[0].values[0];
        match came.earlier {
            0 => entry.encoding = 9,
            1 => entry.encoding = 0,
            2 => entry.versionstamp = Bytes::from_static(&[1; 10]),
            _ => entry.value = Bytes::from_static(b"short"),
        }
        reply(&output)
    });
    for _ in 0..3 {
        assert_eq!(kv.get(key!["a"]).unwrap_err().kind(), ErrorKind::UnknownFormat);
    }
    assert!(matches!(kv.get(key!["a"]).unwrap_err().kind(), ErrorKind::Corrupt { .. }));
}

#[test]
fn metadata_may_be_of_many_forms() {
    type Form = fn() -> Answer;
    let forms: [(Form, Option<ErrorKind>); 9] = [
        (|| metadata_of("t", "/v2", 1000, "2099-01-01T00:00:00Z"), Some(ErrorKind::Io)),
        (|| metadata_of("t", "/v2/", 3, "2099-01-01T00:00:00Z"), Some(ErrorKind::Io)),
        (
            || metadata_of("t", "http://far.example/v2", 3, "2099-01-01T00:00:00Z"),
            Some(ErrorKind::Io),
        ),
        (|| Answer::Reply(200, TEXT, b"hello".to_vec()), Some(ErrorKind::Io)),
        (|| Answer::Reply(200, JSON, b"{".to_vec()), Some(ErrorKind::Io)),
        (|| Answer::Reply(200, JSON, vec![b' '; 1 << 20]), Some(ErrorKind::Io)),
        (
            || Answer::Reply(401, TEXT, b"Invalid access token.".to_vec()),
            Some(ErrorKind::Unauthorized),
        ),
        (|| metadata_of("t", "v2", 2, "1999-01-01T00:00:00Z"), None),
        (|| Answer::Reply(503, TEXT, UNAVAILABLE.to_vec()), Some(ErrorKind::Io)),
    ];
    for (form, expected) in forms {
        let server = Scripted::start(move |came| match &*came.method {
            "/" => form(),
            _ => reply(&found(came, 7)),
        });
        match (open(&server), expected) {
            (Ok(kv), None) => {
                assert_eq!(kv.get(key!["a"]).unwrap().u64().unwrap(), 7);
                assert_eq!(kv.get(key!["a"]).unwrap().u64().unwrap(), 7);
                assert_eq!(server.came("/").len(), 1, "an ended session is used for a moment");
            }
            (opened, expected) => assert_eq!(opened.err().map(|error| error.kind()), expected),
        }
        assert_eq!(server.came("/").len(), 1, "opening tries nothing again");
    }
}

fn frame_of(number: u64) -> Bytes {
    let state = Some(entry(Bytes::from_static(b"\x02a\0"), number));
    let keys = vec![WatchKeyOutput { changed: true, entry_if_changed: state }];
    frame::encode(&WatchOutput { status: read_status::SUCCESS, keys })
}

#[test]
fn a_watch_whose_stream_breaks_goes_on_without_a_frame_missed_or_doubled() {
    let (server, kv) = server(|came| match came.earlier {
        // The second frame comes by half.
        0 => Answer::Stream(vec![PING, frame_of(1), frame_of(2).slice(..20)], false),
        1 => Answer::Lost,
        2 => Answer::Reply(503, TEXT, Vec::new()),
        // What was there before, and then what has been missed.
        3 => Answer::Stream(vec![frame_of(1)], false),
        _ => Answer::Stream(vec![PING, frame_of(2), PING, frame_of(3)], true),
    });
    let mut watch = kv.watch([key!["a"]]).unwrap().raw(true);
    let mut seen = vec![watch.next().unwrap().unwrap()[0].u64().unwrap()];
    while seen.last() != Some(&3) {
        seen.push(watch.next().unwrap().unwrap()[0].u64().unwrap());
    }
    // The second and the third come so quickly that they may share a frame.
    assert!(seen == [1, 2, 3] || seen == [1, 3], "{seen:?}");
    assert_eq!(server.came("watch").len(), 5);
    assert!(watch.try_next().unwrap().is_none());
}

#[test]
fn a_watch_ends_with_an_error_when_what_comes_is_no_stream() {
    let huge = Bytes::copy_from_slice(&u32::MAX.to_le_bytes());
    let garbage = Bytes::from_static(&[4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    let none = frame::encode(&WatchOutput { status: read_status::SUCCESS, keys: Vec::new() });
    for piece in [huge, garbage, none] {
        let (_server, kv) = server(move |_| Answer::Stream(vec![piece.clone()], true));
        let mut watch = kv.watch([key!["a"]]).unwrap();
        assert_eq!(watch.next().unwrap().unwrap_err().kind(), ErrorKind::Io);
        assert!(watch.next().is_none());
    }
    let (_server, kv) = server(|_| Answer::Reply(400, TEXT, b"Too many keys".to_vec()));
    let error = kv.watch([key!["a"]]).unwrap().next().unwrap().unwrap_err();
    assert_eq!((error.kind(), &*error.text()), (ErrorKind::InvalidArgument, "Too many keys"));
}

#[test]
fn closing_waits_for_commits_under_way() {
    let (server, kv) = server(|came| match came.earlier {
        0 => Answer::Reply(503, TEXT, UNAVAILABLE.to_vec()),
        _ => done(5),
    });
    let pending = kv.atomic().set(key!["a"], 1).commit_async();
    kv.close().unwrap();
    let commit = futures_lite::future::block_on(pending).unwrap();
    assert_eq!(commit.versionstamp(), Some(Versionstamp::new(5)));
    assert_eq!(server.came("atomic_write").len(), 2);
}
