//! What holds for every store. Each scenario has keys of its own.

use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use futures_lite::future::block_on;
use icecore::{
    Bytes, Commit, Enqueue, Entry, ErrorKind, Key, Kv, Limit, List, Mutation, Part, SumRange,
    Value, key, prefix,
};

use crate::backend::Backend;

pub(crate) type Scenario = fn(&Backend);

/// All of them. The last one closes the store.
pub(crate) const ALL: [(&str, Scenario); 17] = [
    ("what is set is there until it is deleted", set_and_delete),
    ("values and keys of every kind come back as they were", kinds),
    ("a few keys are read at one moment", several_keys),
    ("lists have every form that Deno has", lists),
    ("lists lend what they give", visits),
    ("lists go on from a cursor, and from both ends", paging),
    ("a commit takes effect only if its checks hold", checks),
    ("numbers are computed where they are stored", sums),
    ("keys get the versionstamp of their commit", versionstamped),
    ("values expire", expiry),
    ("limits are looked at before anything is done", limits),
    ("an operation that is refused leaves nothing", refusals),
    ("a watch tells of changes", watching),
    ("messages are sent", messages),
    ("commits are futures", futures),
    ("transfers keep the total", transfers),
    ("a store that was closed does nothing", closing),
];

fn keys_of(list: impl Iterator<Item = Result<Entry, icecore::Error>>) -> Vec<Key> {
    list.map(|entry| entry.unwrap().key).collect()
}

fn set_and_delete(backend: &Backend) {
    let (kv, key) = (&backend.kv, key!["set", "a"]);
    let absent = kv.get(&key).unwrap();
    assert_eq!((absent.value, absent.versionstamp), (None, None));
    let first = kv.set(&key, "one").unwrap();
    let second = kv.set(&key, "two").unwrap();
    assert!(first < second);
    let entry = kv.get(&key).unwrap();
    assert_eq!((entry.str().unwrap(), entry.versionstamp), ("two", Some(second)));
    kv.delete(&key).unwrap();
    assert!(!kv.get(&key).unwrap().is_present());
    kv.delete(&key).unwrap();
}

fn kinds(backend: &Backend) {
    let kv = &backend.kv;
    let values = [
        Value::from(u64::MAX),
        Value::from(""),
        Value::from(vec![7; 60_000]),
        Value::number(-0.5),
        Value::V8(Bytes::from_static(b"\xff\x0fT")),
    ];
    let keys = [
        key!["kinds", "text"],
        key!["kinds", b"bytes\0\xff"],
        key!["kinds", -1_i64, u64::MAX],
        key!["kinds", 1.5, true],
        key!["kinds", "", false],
    ];
    for (key, value) in keys.iter().zip(&values) {
        kv.set(key, value).unwrap();
    }
    for (key, value) in keys.iter().zip(&values) {
        assert_eq!(kv.get(key).unwrap().value.as_ref(), Some(value), "{key}");
    }
    let mut sorted = keys.to_vec();
    sorted.sort();
    assert_eq!(keys_of(kv.list(prefix!["kinds"])), sorted);
    let children: Vec<Part> = kv.children(key!["kinds"]).collect::<Result<_, _>>().unwrap();
    assert_eq!(children.len(), 5);
}

fn several_keys(backend: &Backend) {
    let kv = &backend.kv;
    let commit = kv.atomic().set(key!["many", 1], 1).set(key!["many", 3], 3).commit().unwrap();
    let [one, two, three] =
        kv.get_many([key!["many", 1], key!["many", 2], key!["many", 3]]).unwrap();
    assert_eq!((one.u64().unwrap(), three.u64().unwrap()), (1, 3));
    assert!(!two.is_present());
    assert_eq!((one.versionstamp, three.versionstamp), (commit.versionstamp(), one.versionstamp));
    assert_eq!(kv.get_all((0..10).map(|n| key!["many", n])).unwrap()[3].u64().unwrap(), 3);
    let error = kv.get_many([(); 11].map(|()| key!["many", 1])).unwrap_err();
    let limit = Limit::GetManyKeys;
    assert_eq!(error.kind(), ErrorKind::LimitExceeded { limit, max: 10, got: 11 });
    let all = kv.get_all((0..11).map(|n| key!["many", n]));
    match kv.capabilities().reads_of_many_keys {
        true => assert_eq!(all.unwrap().len(), 11),
        false => assert_eq!(all.unwrap_err().text(), "Too many ranges (max 10)"),
    }
}

/// A list that lends its entries gives the same as one that gives them away.
fn visits(backend: &Backend) {
    let kv = &backend.kv;
    let values =
        ["x".into(), Value::U64(7), Value::number(0.5), Value::Bytes(vec![0; 3000].into())];
    for (n, value) in values.iter().cycle().take(25).enumerate() {
        kv.set(key!["visit", n], value).unwrap();
    }
    let forwards = || kv.list(prefix!["visit"]).batch_size(4);
    for list in [&forwards as &dyn Fn() -> List, &|| forwards().reverse(), &|| forwards().limit(6)]
    {
        let (mut visited, mut listed) = (list(), list());
        for entries in [3, 5, 100] {
            let mut shown = Vec::new();
            let broken = visited.visit(|entry| {
                shown.push(entry.to_entry());
                if shown.len() == entries {
                    ControlFlow::Break(7)
                } else {
                    ControlFlow::Continue(())
                }
            });
            assert_eq!(broken.unwrap(), (shown.len() == entries).then_some(7));
            let taken: Vec<Entry> = listed.by_ref().take(entries).map(Result::unwrap).collect();
            assert_eq!(shown, taken);
            assert_eq!(visited.cursor_after().unwrap(), listed.cursor_after().unwrap());
        }
    }
}

fn lists(backend: &Backend) {
    let kv = &backend.kv;
    let day = |n: i32| key!["days", n];
    for n in 1..=9 {
        kv.set(day(n), u64::try_from(n).unwrap()).unwrap();
    }
    kv.atomic().set(key!["days"], 0).set(key!["dayz"], 0).commit().unwrap().versionstamp().unwrap();
    let days = |numbers: &[i32]| -> Vec<Key> { numbers.iter().map(|n| day(*n)).collect() };
    let all = || kv.list(prefix!["days"]);
    assert_eq!(keys_of(all()), days(&[1, 2, 3, 4, 5, 6, 7, 8, 9]));
    assert_eq!(keys_of(all().reverse().limit(2)), days(&[9, 8]));
    assert_eq!(keys_of(all().batch_size(2)), keys_of(all()));
    assert_eq!(keys_of(all().batch_size(3).reverse()), days(&[9, 8, 7, 6, 5, 4, 3, 2, 1]));
    assert_eq!(keys_of(kv.list(prefix!["days"].start(day(8)))), days(&[8, 9]));
    assert_eq!(keys_of(kv.list(prefix!["days"].end(day(3)))), days(&[1, 2]));
    assert_eq!(keys_of(kv.list(day(2)..day(4))), days(&[2, 3]));
    assert_eq!(keys_of(kv.list(day(2)..=day(4))), days(&[2, 3, 4]));
    assert_eq!(keys_of(kv.list(prefix!["nobody"])), []);
    assert!(kv.list(..).any(|entry| entry.unwrap().key == key!["dayz"]));
    let eventual = all().consistency("eventual".parse().unwrap());
    assert_eq!(eventual.count(), 9);
    assert_eq!(kv.count(prefix!["days"]).unwrap(), 9);
    let keys: Vec<Key> = kv.keys(prefix!["days"]).limit(2).collect::<Result<_, _>>().unwrap();
    assert_eq!(keys, days(&[1, 2]));
    let wrong = [
        (all().limit(0), "Limit must be a positive integer: received 0"),
        (all().batch_size(1_001), "Too many entries (max 1000)"),
        (kv.list(day(4)..day(2)), "Start key is greater than end key"),
    ];
    for (mut list, text) in wrong {
        assert_eq!(list.next().unwrap().unwrap_err().text(), text);
        assert!(list.next().is_none());
    }
}

fn paging(backend: &Backend) {
    let kv = &backend.kv;
    for n in 0..25 {
        kv.set(key!["page", n], "x").unwrap();
    }
    for reverse in [false, true] {
        let list = || {
            let list = kv.list(prefix!["page"]);
            if reverse { list.reverse() } else { list }
        };
        let (mut cursor, mut paged) = (String::new(), Vec::new());
        loop {
            let mut page = list().cursor(&cursor).limit(10).batch_size(4);
            paged.extend(keys_of(page.by_ref()));
            cursor = page.cursor_after().unwrap();
            if cursor.is_empty() {
                break;
            }
        }
        assert_eq!(paged, keys_of(list()));
        assert_eq!(paged.len(), 25);
    }
    let mut list = kv.list(prefix!["page"]).batch_size(3);
    let mut taken = Vec::new();
    for turn in 0.. {
        let next = if turn % 3 == 0 { list.next_back() } else { list.next() };
        let Some(entry) = next else { break };
        taken.push(entry.unwrap().key);
    }
    assert_eq!(taken[..3], [key!["page", 24], key!["page", 0], key!["page", 1]]);
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), 25, "each key once");
    assert!(list.next().is_none() && list.next_back().is_none());
}

fn checks(backend: &Backend) {
    let (kv, a, b) = (&backend.kv, key!["checks", "a"], key!["checks", "b"]);
    let old = kv.get(&a).unwrap();
    assert!(kv.atomic().check(&old).set(&a, 1).commit().unwrap().versionstamp().is_some());
    let commit = kv.atomic().check_absent(&b).check(&old).set(&b, 2).commit().unwrap();
    // Older servers of Deno do not say which.
    let Commit::CheckFailed { indexes } = commit else { panic!("the check does not hold") };
    assert!(indexes == [1] || (indexes.is_empty() && backend.name == "denokv"), "{indexes:?}");
    assert!(!kv.get(&b).unwrap().is_present());
    let now = kv.get(&a).unwrap();
    assert!(kv.atomic().check(&now).delete(&a).commit().unwrap().versionstamp().is_some());
    let many = (0..backend.checks_max).fold(kv.atomic(), |atomic, _| atomic.check_absent(&a));
    assert!(many.set(&a, 1).commit().unwrap().versionstamp().is_some());
}

fn sums(backend: &Backend) {
    let (kv, n) = (&backend.kv, key!["sums", "n"]);
    for _ in 0..3 {
        kv.atomic()
            .sum(&n, 5)
            .max(key!["sums", "max"], 7)
            .min(key!["sums", "min"], 7)
            .commit()
            .unwrap()
            .versionstamp()
            .unwrap();
    }
    kv.atomic()
        .max(key!["sums", "max"], 9)
        .min(key!["sums", "min"], 3)
        .commit()
        .unwrap()
        .versionstamp()
        .unwrap();
    let [n_entry, max, min] =
        kv.get_many([&n, &key!["sums", "max"], &key!["sums", "min"]]).unwrap();
    assert_eq!([n_entry, max, min].map(|entry| entry.u64().unwrap()), [15, 9, 3]);
    kv.atomic().sum(&n, u64::MAX).commit().unwrap().versionstamp().unwrap();
    assert_eq!(kv.get(&n).unwrap().u64().unwrap(), 14, "it wraps around");

    kv.set(key!["sums", "text"], "text").unwrap();
    let error = kv.atomic().sum(key!["sums", "text"], 1).commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TypeMismatch, "{error}");
    assert_eq!(error.text(), "Failed to perform 'sum' mutation on a non-U64 value in the database");
    if !backend.sums_numbers {
        return;
    }
    let level = key!["sums", "level"];
    let range = |clamp| SumRange { max: Some(Value::number(10.0)), clamp, ..SumRange::default() };
    for _ in 0..5 {
        let sum = kv.atomic().sum_within(&level, Value::number(2.5), range(true));
        sum.commit().unwrap().versionstamp().unwrap();
    }
    assert_eq!(kv.get(&level).unwrap().number().unwrap(), 10.0);
    let error = kv.atomic().sum_within(&level, Value::number(1.0), range(false)).commit();
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.text(), "The result of a Sum operation would exceed its range limit");
    let error = kv.atomic().sum_within(&level, Value::bigint(1_i64), SumRange::default()).commit();
    assert_eq!(error.unwrap_err().kind(), ErrorKind::TypeMismatch);
    let min = SumRange { min: Some(Value::from(1)), ..SumRange::default() };
    let error = kv.atomic().sum_within(&level, Value::number(1.0), min).commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TypeMismatch);
    assert_eq!(error.text(), "Some of the parameters are not valid V8 values");
}

fn versionstamped(backend: &Backend) {
    let kv = &backend.kv;
    for line in ["first", "second"] {
        let commit = kv.atomic().set_versionstamped(key!["log"], line).commit().unwrap();
        let stamp = commit.versionstamp().unwrap();
        let entry = kv.get(key!["log", stamp]).unwrap();
        assert_eq!((entry.str().unwrap(), entry.versionstamp), (line, Some(stamp)));
    }
    assert_eq!(kv.list(prefix!["log"]).last().unwrap().unwrap().str().unwrap(), "second");
}

fn expiry(backend: &Backend) {
    let kv = &backend.kv;
    kv.set_expiring(key!["expiry", "late"], "x", Duration::from_secs(3_600)).unwrap();
    assert!(kv.get(key!["expiry", "late"]).unwrap().is_present());
    kv.set_expiring(key!["expiry", "past"], "x", SystemTime::UNIX_EPOCH).unwrap();
    if backend.hides_expired {
        assert!(!kv.get(key!["expiry", "past"]).unwrap().is_present());
        assert_eq!(kv.count(prefix!["expiry"]).unwrap(), 1);
    }
    let told = kv.get(key!["expiry", "late"]).unwrap().expires_at().is_some();
    assert_eq!(told, kv.capabilities().expiry_times);
    let never = Duration::from_millis(9_007_199_254_740_991);
    let error = kv.set_expiring(key!["expiry", "never"], 1, never).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

fn limits(backend: &Backend) {
    let kv = &backend.kv;
    let (long, large) = (key!["limits", "k".repeat(2_048)], vec![0; 65_537]);
    let texts = [
        (kv.set(&long, 1).unwrap_err(), "Key too large for write (max 2048 bytes)"),
        (kv.get(&long).unwrap_err(), "Key too large for read (max 2049 bytes)"),
        (kv.set(key!["limits"], large).unwrap_err(), "Value too large (max 65536 bytes)"),
        (kv.set(key![], 1).unwrap_err(), "key cannot be empty"),
        (kv.watch([(); 11].map(|()| key!["a"])).unwrap_err(), "Too many keys (max 10)"),
    ];
    for (error, text) in texts {
        assert_eq!(error.text(), text);
    }
    let many = (0..101).fold(kv.atomic(), |atomic, _| atomic.check_absent(key!["limits"]));
    assert_eq!(many.commit().unwrap_err().text(), "Too many checks (max 100)");
    let value = vec![7; 60_000];
    let whole = (0..14).fold(kv.atomic(), |atomic, n| atomic.set(key!["limits", n], &value));
    let error = whole.commit().unwrap_err();
    assert_eq!(error.text(), "Total mutation size too large (max 819200 bytes)");
    assert_eq!(kv.count(prefix!["limits"]).unwrap(), 0);
}

fn refusals(backend: &Backend) {
    let (kv, text) = (&backend.kv, key!["refusals", "text"]);
    kv.set(&text, "text").unwrap();
    let other = key!["refusals", "other"];
    kv.atomic().sum(&text, 1).set(&other, 1).commit().unwrap_err();
    assert!(!kv.get(&other).unwrap().is_present());

    let able = kv.capabilities();
    let unsupported = |did: Result<(), icecore::Error>, is_able: bool| match (did, is_able) {
        (Err(error), false) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}"),
        (did, is_able) => assert_eq!(did.is_ok(), is_able, "{did:?}"),
    };
    let set = kv.atomic().set(&other, 1);
    let with = |mutation| set.clone().mutate(mutation).commit().map(drop);
    let selector = prefix!["refusals", "none"];
    unsupported(with(Mutation::DeleteRange { selector }), able.range_deletions);
    unsupported(with(Mutation::Touch { key: key!["none"], expiry: None }), able.touch);
    let message = |message: Enqueue| set.clone().enqueue(message).commit().map(drop);
    let payload = || Enqueue::new(Value::number(1.0));
    unsupported(message(payload().queue("mail")), able.named_queues);
    unsupported(message(payload().queue("").backoff([])), able.named_queues);
    unsupported(message(Enqueue::new("bytes")), able.named_queues);
    // A wait that the protocol has no number for is refused, whether a limit or the protocol says so.
    let long = Duration::from_millis(u64::from(u32::MAX) + 1);
    message(payload().backoff([long])).unwrap_err();
    unsupported(kv.snapshot().map(drop), able.snapshots);
    unsupported(kv.list_many([prefix!["a"]]).map(drop), able.snapshots);
    unsupported(kv.watch_prefix(prefix!["a"]).map(drop), able.feeds);
    unsupported(kv.queue("q").try_receive().map(drop), able.receiving);
    unsupported(kv.queue("q").len().map(drop), able.receiving);
    unsupported(kv.stats().map(drop), able.maintenance);
    unsupported(kv.check().map(drop), able.maintenance);
    unsupported(kv.flush(), able.maintenance);
    unsupported(kv.compact(), able.maintenance);
    assert_eq!(kv.get(&other).unwrap().is_present(), able.range_deletions, "nothing was sent");
}

fn watching(backend: &Backend) {
    let (kv, door, lamp) = (&backend.kv, key!["watch", "door"], key!["watch", "lamp"]);
    let mut watch = kv.watch([&door, &lamp]).unwrap();
    let first = watch.next().unwrap().unwrap();
    assert!(first.iter().all(|entry| !entry.is_present()));
    let stamp = kv.atomic().set(&door, "open").set(&lamp, "on").commit().unwrap().versionstamp();
    let frame = watch.next().unwrap().unwrap();
    assert_eq!(frame[0].versionstamp, stamp);
    assert_eq!(frame[1].versionstamp, stamp, "a frame is of one moment");
    assert_eq!((frame[0].str().unwrap(), frame[1].key.clone()), ("open", lamp.clone()));
    for n in 0..20 {
        kv.set(&lamp, n).unwrap();
    }
    let mut last = 0;
    while last < 19 {
        let seen = watch.next().unwrap().unwrap()[1].u64().unwrap();
        assert!(seen >= last, "time does not go back");
        last = seen;
    }
    kv.delete(&door).unwrap();
    let frame = block_on(std::future::poll_fn(|context| watch.poll_next(context)));
    assert!(!frame.unwrap().unwrap()[0].is_present());
    let canceller = watch.canceller();
    canceller.cancel();
    assert!(watch.next().is_none() && watch.is_ended());
    assert!(kv.watch(Vec::<Key>::new()).unwrap().next().is_none());
}

fn messages(backend: &Backend) {
    let kv = &backend.kv;
    let message = Enqueue::new(Value::number(7.0))
        .delay(Duration::from_secs(3_600))
        .backoff([Duration::from_millis(5)])
        .keys_if_undelivered([key!["undelivered", 1]]);
    let commit = kv.atomic().set(key!["messages"], 1).enqueue(message.clone()).commit().unwrap();
    assert_eq!(kv.get(key!["messages"]).unwrap().versionstamp, commit.versionstamp());
    let stale = kv.atomic().check_absent(key!["messages"]).enqueue(message).commit().unwrap();
    assert_eq!(stale.versionstamp(), None);
    let late = Enqueue::new(Value::number(7.0)).delay(Duration::from_secs(40 * 24 * 3_600));
    assert!(matches!(kv.enqueue(late).unwrap_err().kind(), ErrorKind::LimitExceeded { .. }));
}

fn futures(backend: &Backend) {
    let kv = &backend.kv;
    let pending: Vec<_> =
        (0..30).map(|_| kv.atomic().sum(key!["futures"], 1).commit_async()).collect();
    for commit in pending {
        assert!(block_on(commit).unwrap().versionstamp().is_some());
    }
    assert_eq!(kv.get(key!["futures"]).unwrap().u64().unwrap(), 30);
    let error = block_on(kv.atomic().set(key![], 1).commit_async()).unwrap_err();
    assert_eq!(error.text(), "key cannot be empty");
}

fn transfers(backend: &Backend) {
    const ACCOUNTS: u64 = 4;
    let kv = &backend.kv;
    let account = |n: u64| key!["account", n % ACCOUNTS];
    (0..ACCOUNTS).for_each(|n| kv.set(account(n), 100).map(drop).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            scope.spawn(move || {
                (0..10).for_each(|n| transfer(kv, account(thread + n), account(thread + n + 1)))
            });
        }
    });
    let total: u64 = kv.list(prefix!["account"]).map(|entry| entry.unwrap().u64().unwrap()).sum();
    assert_eq!(total, ACCOUNTS * 100);
}

fn transfer(kv: &Kv, from: Key, to: Key) {
    loop {
        let [a, b] = kv.get_many([&from, &to]).unwrap();
        let (rest, more) = (a.u64().unwrap() - 1, b.u64().unwrap() + 1);
        let commit = kv.atomic().check(&a).check(&b).set(&from, rest).set(&to, more).commit();
        if commit.unwrap().versionstamp().is_some() {
            return;
        }
    }
}

fn closing(backend: &Backend) {
    let kv = &backend.kv;
    let mut watch = kv.watch([key!["closing"]]).unwrap();
    watch.next().unwrap().unwrap();
    let clone = kv.clone();
    let left = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| watch.next().is_none());
        clone.close().unwrap();
        waiting.join().unwrap()
    });
    assert!(left, "the watch ends");
    let closed = |error: icecore::Error| assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    closed(kv.get(key!["a"]).unwrap_err());
    closed(kv.set(key!["a"], 1).unwrap_err());
    closed(kv.watch([key!["a"]]).unwrap_err());
    closed(kv.list(..).next().unwrap().unwrap_err());
    closed(block_on(kv.atomic().set(key!["a"], 1).commit_async()).unwrap_err());
}
