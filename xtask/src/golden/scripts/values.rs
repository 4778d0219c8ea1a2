//! Stores with all that the face can put into them.

use std::time::Duration;

use icecore::{Enqueue, Key, Kv, Value, key};
use icecore_engine::Mutation;
use icecore_engine::keyspace::DATA;
use icecore_model::Timestamp;

use crate::golden::folder::archive::Files;
use crate::golden::maker::{
    Maker, START_MS, commit, delete, flush, key as stored, set, set_until, tiny, value, work,
};

/// Lets the face write, and then the engine put what was written into tables.
fn by_the_face(maker: &mut Maker, write: impl FnOnce(&Kv) -> Result<(), icecore::Error>) -> Files {
    let kv = Kv::builder_in(maker.environment()).open();
    let kv = kv.expect("nothing is wrong with the machine");
    write(&kv).expect("nothing is wrong with the machine");
    kv.close().expect("nothing is wrong with the machine");
    drop(kv);
    let engine = maker.open(tiny());
    maker.closed(&engine)
}

/// Every kind of part, at the limits of its encoding.
pub(super) fn keys_of_every_kind(maker: &mut Maker) -> Files {
    by_the_face(maker, |kv| {
        let mut keys: Vec<Key> = Vec::new();
        for bytes in [&b""[..], b"\0", b"\0\xff", b"plain", &[0xff; 20]] {
            keys.push(key![bytes]);
        }
        for text in ["", "\0", "plain", "\u{e9}\u{1f9ca}"] {
            keys.push(key![text]);
        }
        for bits in [0, 1, 7, 8, 31, 32, 52, 53, 63, 64, 65, 100] {
            let int = 1_i128 << bits;
            keys.extend([key![int], key![-int], key![int - 1], key![1 - int]]);
        }
        let floats = [0.0, -0.0, 1.5, -1.5, f64::MIN, f64::MAX, f64::INFINITY, f64::NAN, 5e-324];
        for float in floats {
            keys.extend([key![float], key![-float]]);
        }
        keys.extend([key![false], key![true], key!["of", 3, "parts", true, 2.5, b"\0"]]);
        for (place, key) in keys.into_iter().enumerate() {
            kv.set(key, place as u64)?;
        }
        Ok(())
    })
}

/// Numbers, bytes, and what V8 writes.
pub(super) fn of_javascript(maker: &mut Maker) -> Files {
    by_the_face(maker, |kv| {
        for (name, number) in [("zero", 0.0), ("half", 0.5), ("large", 1e300), ("nan", f64::NAN)] {
            kv.set(key!["number", name], Value::number(number))?;
        }
        for (name, int) in [("small", -1_i64), ("wide", i64::MAX)] {
            kv.set(key!["bigint", name], Value::bigint(int))?;
        }
        for json in
            ["null", "[1,2,[3]]", r#"{"a":{"b":"\u00e9\ud83e\uddca"},"c":[true,false,1.5]}"#]
        {
            let parsed = icecore_v8::parse_json(json).expect("it is JSON");
            kv.set(key!["json", json], Value::V8(icecore_v8::write(&parsed).into()))?;
        }
        kv.set(key!["u64"], u64::MAX)?;
        kv.set(key!["bytes"], [0, 1, 0xff])?;
        kv.set(key!["text"], "\u{e9}")?;
        let sums = kv.atomic().sum(key!["sum"], 7).sum(key!["sum"], u64::MAX);
        let bounds = kv.atomic().max(key!["max"], 7).min(key!["min"], 7);
        for operation in [sums, bounds, kv.atomic().set_versionstamped(key!["log"], "a")] {
            assert!(operation.commit()?.versionstamp().is_some(), "there is no check");
        }
        Ok(())
    })
}

/// Messages that wait, that are due later, that were tried, and one that was given up.
pub(super) fn queue(maker: &mut Maker) -> Files {
    let clock = maker.clock.clone();
    by_the_face(maker, |kv| {
        kv.enqueue("plain")?;
        kv.enqueue(Enqueue::new(3_u64).queue("other").delay(Duration::from_secs(3_600)))?;
        let tried = Enqueue::new("tried").queue("tried").backoff([Duration::from_secs(60)]);
        kv.enqueue(tried.keys_if_undelivered([key!["undelivered"]]))?;
        let message = kv.queue("tried").try_receive()?.expect("one is ready");
        message.fail()?;
        let two = kv.atomic().enqueue("first of two").enqueue("second of two");
        assert!(two.set(key!["k"], 1_u64).commit()?.versionstamp().is_some(), "there is no check");
        clock.advance_ms(1_000);
        kv.enqueue(
            Enqueue::new("given up").queue("short").backoff([]).keys_if_undelivered([key!["up"]]),
        )?;
        kv.queue("short").try_receive()?.expect("one is ready").fail()?;
        Ok(())
    })
}

/// Commits of several mutations: sets, deletions and ranges that meet in one commit.
pub(super) fn batches(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    for round in 0..6 {
        let name = |i: u32| stored(&format!("{:02}", (round * 3 + i) % 20));
        let value = value(&format!("{round}"), 70);
        let (keys, start, end) = ([name(0), name(1), name(2)], stored("15"), stored("18"));
        commit(
            &engine,
            &[
                Mutation::Set { key: &keys[0], value: &value, expires_at: None },
                Mutation::Delete { key: &keys[1] },
                Mutation::DeleteRange { start: &start, end: &end },
                Mutation::Set {
                    key: &keys[2],
                    value: b"",
                    expires_at: Timestamp::from_ms(u64::MAX >> 2),
                },
            ],
        );
        if round == 3 {
            flush(&engine);
        }
    }
    set(&engine, "one byte", &[DATA]);
    maker.killed()
}

/// Entries that have expired when the store is read, and others that have not; no sweeper ran.
pub(super) fn expiry(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    for i in 0..20_u64 {
        // The last ten are still there when golden stores are read.
        let until_ms = START_MS + 1 + i * 20_000_000_000;
        set_until(&engine, &format!("{i:02}"), &value("until", 60), until_ms);
        if i == 12 {
            flush(&engine);
        }
    }
    set(&engine, "for ever", b"v");
    set(&engine, "05", b"no longer expires");
    maker.killed()
}

/// Entries whose end the sweeper has written down.
pub(super) fn expiry_swept(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    for i in 0..20_u64 {
        set_until(&engine, &format!("{i:02}"), &value("until", 60), START_MS + 1_000 * i + 1);
    }
    delete(&engine, "19");
    flush(&engine);
    maker.clock.advance_ms(10_000);
    work(&engine, 100);
    let stats = engine.stats().expect("the store is open");
    assert!(stats.swept > 5, "{stats:?}");
    maker.killed()
}
