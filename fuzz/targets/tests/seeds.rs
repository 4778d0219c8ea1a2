//! The seeds of all targets: each is replayed by every test run.
//!
//! Seeds are files `fuzz/corpus/<target>/seed-*`. Those that this file makes are called
//! `seed-made-…`:
//!
//! ```text
//! cargo test -p icecore-fuzz-targets --test seeds -- --ignored
//! ```
//!
//! Others are what a fuzzer has found worth keeping, and inputs that once led to a bug
//! (`seed-found-…`).

#![expect(clippy::disallowed_methods, reason = "seeds are files of this repository")]
#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use icecore_disk::Name;
use icecore_disk::random::SeededRandom;
use icecore_fuzz_targets::TARGETS;
use icecore_model::Versionstamp;
use icecore_model::key::{self, Part};
use icecore_sim::History;
use icecore_sim::World;
use icecore_v8::{Number, parse_json, write};
use icecore_wire::frame;
use icecore_wire::message::{
    AtomicWrite, Check, Enqueue, KvValue, Mutation, ReadRange, SnapshotRead, Watch, WatchKey,
};
use prost::Message;

/// All seeds together are smaller than this.
const SEED_BYTES_MAX: u64 = 1 << 20;
/// How many random seeds a target has.
const RANDOM: u64 = 24;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target)
}

/// The seeds of a target, by name.
fn seeds(target: &str) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder(target)).unwrap().map(|file| file.unwrap());
    let named = files.map(|file| (file.file_name().into_string().unwrap(), file.path()));
    // What a fuzzer has left here is not checked in.
    let seeds = named.filter(|(name, _)| name.starts_with("seed-"));
    seeds.map(|(name, path)| (name, fs::read(path).unwrap())).collect()
}

#[test]
fn every_corpus_replays() {
    let mut bytes = 0;
    for (target, run) in TARGETS {
        let seeds = seeds(target);
        assert!(seeds.len() > 10, "{target} has {} seeds", seeds.len());
        for (name, seed) in seeds {
            bytes += seed.len() as u64;
            // The name of the seed, in case that it fails.
            println!("{target}/{name}");
            run(&seed);
        }
    }
    assert!(bytes <= SEED_BYTES_MAX, "{bytes} bytes of seeds");
}

#[test]
fn every_target_takes_nothing_at_all() {
    for (target, run) in TARGETS {
        println!("{target}");
        run(&[]);
        run(&[0]);
        run(&[1]);
        run(&[u8::MAX]);
    }
}

#[test]
#[ignore = "it writes the seeds anew"]
fn make_seeds() {
    for (target, _) in TARGETS {
        let folder = folder(target);
        fs::create_dir_all(&folder).unwrap();
        for old in fs::read_dir(&folder).unwrap().map(|file| file.unwrap()) {
            if old.file_name().to_str().unwrap().starts_with("seed-made-") {
                fs::remove_file(old.path()).unwrap();
            }
        }
        let real = real(target).into_iter().enumerate();
        for (i, seed) in real.map(|(i, seed)| (format!("real-{i}"), seed)).chain(random(target)) {
            fs::write(folder.join(format!("seed-made-{i}")), seed).unwrap();
        }
    }
}

/// Bytes without a meaning, which for most targets are choices: short ones and long ones.
fn random(target: &str) -> impl Iterator<Item = (String, Vec<u8>)> {
    let base = target.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte));
    (0..RANDOM).map(move |n| {
        let random = SeededRandom::new(base + n);
        let length = 16 + 14 * n;
        (format!("random-{n:02}"), (0..length).map(|_| random.next().to_be_bytes()[0]).collect())
    })
}

/// What stores really write, behind the byte that says so.
fn real(target: &str) -> Vec<Vec<u8>> {
    let files = |is: fn(&Name) -> bool, first: u8| {
        let found = files().into_iter().filter(|(name, _)| is(name)).map(|(_, content)| content);
        let small = found.filter(|content| content.len() <= 8 << 10);
        small.take(6).map(|content| [&[first], &content[..]].concat()).collect()
    };
    match target {
        "wal_frames" => files(|name| matches!(name, Name::Wal(_)), 0),
        "manifest" => files(|name| matches!(name, Name::Manifest(_)), 0),
        "sst_open" => files(|name| matches!(name, Name::Table(_)), 0),
        "key_codec" => keys().map(|key| [&[0], &key[..]].concat()).collect(),
        "v8_value" => values().map(|value| [&[3], &value[..]].concat()).collect(),
        "kvconnect_pb" => messages(),
        "http_request" => requests(),
        _ => Vec::new(),
    }
}

/// Messages of KV Connect, each behind the byte that says what is done with it.
fn messages() -> Vec<Vec<u8>> {
    let (start, end) = (b"\x02a\0".to_vec(), b"\x02z\0".to_vec());
    let range =
        ReadRange { start: start.clone().into(), end: end.into(), limit: 10, reverse: true };
    let read = SnapshotRead { ranges: vec![range] }.encode_to_vec();
    let value = KvValue { data: 7_u64.to_le_bytes().to_vec().into(), encoding: 2 };
    let mutation = |kind| Mutation {
        key: start.clone().into(),
        value: Some(value.clone()),
        mutation_type: kind,
        ..Mutation::default()
    };
    let check = Check { key: start.clone().into(), versionstamp: Vec::new().into() };
    let write = AtomicWrite {
        checks: vec![check],
        mutations: [1, 3, 4, 5, 9, 2].map(mutation).to_vec(),
        enqueues: vec![Enqueue { payload: b"\xff\x0f0".to_vec().into(), ..Enqueue::default() }],
    };
    let write = write.encode_to_vec();
    let watch = Watch { keys: vec![WatchKey { key: start.into() }] };
    let frame = frame::encode(&watch);
    let watch = watch.encode_to_vec();
    let first = |byte: u8, bytes: &[u8]| [&[byte], bytes].concat();
    vec![
        first(0, &[&[3], &frame[..], &frame[..], &[0; 4]].concat()),
        first(1, &read),
        first(2, &write),
        first(3, &watch),
        first(4, &read),
        first(4, &write),
        first(4, &watch),
    ]
}

/// What clients send, with `$S` for the session and `$D` for the database.
fn requests() -> Vec<Vec<u8>> {
    let call = |path: &str, body: &[u8]| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer $S\r\nx-denokv-version: 3\r\n\
             x-denokv-database-id: $D\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let body = |number: usize| messages()[number][1..].to_vec();
    let read = call("/v2/snapshot_read", &body(1));
    let chunked = b"POST /v2/atomic_write HTTP/1.1\r\nhost: x\r\nauthorization: Bearer $S\r\n\
        x-denokv-version: 3\r\nx-denokv-database-id: $D\r\ntransfer-encoding: chunked\r\n\r\n\
        2\r\n\x0a\x00\r\n0\r\n\r\n";
    // The preface, empty settings, and headers that are one byte of HPACK: GET.
    let h2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x82";
    vec![
        [&read[..], &read[..]].concat(),
        call("/v2/atomic_write", &body(2)),
        call("/v2/watch", &body(3)),
        call("/v2/queue/receive", br#"{"waitMs":0}"#),
        call("/v2/queue/finish", br#"{"message":"x","ok":true}"#),
        call("/", br#"{"supportedVersions":[1,2,3]}"#),
        b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"GET /db/x HTTP/1.0\r\n\r\n".to_vec(),
        chunked.to_vec(),
        h2.to_vec(),
    ]
}

/// The files that some histories of the simulation leave behind.
fn files() -> Vec<(Name, Vec<u8>)> {
    let mut files = Vec::new();
    for seed in 1..6 {
        let history = History::new(seed);
        let mut world = World::new(seed, history.rules, history.options, None);
        world.run(&history.ops).unwrap();
        files.extend(world.disk().snapshot_files());
    }
    files
}

fn keys() -> impl Iterator<Item = Vec<u8>> {
    let parts = |parts: &[Part]| key::encode(parts);
    let mut stamped = parts(&[Part::String("log".into())]);
    key::append_versionstamp(&mut stamped, Versionstamp::new(77));
    [
        parts(&[Part::String("users".into()), Part::Int((-7).into()), Part::Bool(true)]),
        parts(&[Part::Bytes(vec![0, 255, 0]), Part::Float(-0.5), Part::Bool(false)]),
        parts(&[Part::Int(u64::MAX.into()), Part::Int(i128::MIN.into())]),
        stamped,
    ]
    .into_iter()
}

fn values() -> impl Iterator<Item = Vec<u8>> {
    let json = [
        r#"{"name": "ice", "parts": [1, 2.5, null, true, {"deep": [[]]}]}"#,
        r#""text with é and 𝄞""#,
        "[1,2,3,-4,4294967296]",
    ];
    let values = json.into_iter().map(|json| write(&parse_json(json).unwrap()));
    let numbers = [Number::Float(0.1), Number::Float(-0.0), Number::Float(f64::NAN)];
    values.chain(numbers.into_iter().map(|number| number.write()))
}
