//! `icecore copy`, between all that it can copy.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use icecore::{Enqueue, Key, Kv, Limits, Part, Queue, Selector, Value, Versionstamp, key};
use tempfile::TempDir;

use crate::serve::{Server, token_file};
use crate::{code, errors, icecore, json, text};

/// More than five years ahead, whenever the test runs.
const LATER: Duration = Duration::from_secs(10_000_000_000);

type Content = (Vec<(Key, Value, Option<SystemTime>)>, Vec<(String, String)>);

/// All that two copies must have in common.
fn content(store: &Path) -> Content {
    let kv = Kv::builder(store).read_only(true).open().unwrap();
    let entries = kv.list(Selector::all()).map(|entry| {
        let entry = entry.unwrap();
        let expires_at = entry.expires_at();
        (entry.key, entry.value.unwrap(), expires_at)
    });
    let entries = entries.collect();
    let mut messages = Vec::new();
    for name in Queue::names(&kv).unwrap() {
        for one in kv.queue(&name).peek(100_000).unwrap() {
            let what = (one.payload, one.ready_at, one.backoff, one.keys_if_undelivered);
            messages.push((name.clone(), format!("{what:?}")));
        }
    }
    kv.close().unwrap();
    (entries, messages)
}

/// A store with every kind of part, value and message.
fn store(directory: &TempDir) -> PathBuf {
    let path = directory.path().join("store");
    let kv = Kv::builder(&path).limits(Limits::none()).open().unwrap();
    let later = UNIX_EPOCH + LATER;
    for part in [
        Part::Float(-0.0),
        Part::Float(f64::NAN),
        Part::Float(-f64::NAN),
        Part::Float(0.1),
        Part::Bool(false),
        Part::Bytes(vec![0, 255, 0]),
        Part::String("a\0\u{1f600}".to_owned()),
    ] {
        kv.set(Key::from(vec![part]), "x").unwrap();
    }
    kv.set(key![u64::MAX, -1], Value::U64(u64::MAX)).unwrap();
    kv.set(key!["js"], Value::number(0.5)).unwrap();
    kv.set(key!["not V8"], Value::V8(vec![1, 2, 3].into())).unwrap();
    kv.set(key!["bytes"], &[0xff, 0x00][..]).unwrap();
    kv.set(key!["large"], vec![7; 3_000_000]).unwrap();
    kv.set_expiring(key!["expires"], "later", later).unwrap();
    kv.set_expiring(key!["expires soon"], "never", UNIX_EPOCH).unwrap();
    kv.enqueue(Enqueue::new("now").backoff([])).unwrap();
    let message = Enqueue::new(&[0xfe][..]).queue("mail").ready_at(later);
    let message = message.backoff([Duration::from_millis(7)]).keys_if_undelivered([key!["d", 1]]);
    kv.enqueue(message).unwrap();
    kv.close().unwrap();
    path
}

/// A store with this many entries and messages, large enough to be stopped on the way.
fn long_store(directory: &TempDir, entries: u64, messages: u64) -> PathBuf {
    let path = directory.path().join("long");
    let kv = Kv::builder(&path).limits(Limits::none()).open().unwrap();
    for first in (0..entries).step_by(10_000) {
        let sets = first..entries.min(first + 10_000);
        let atomic = sets.fold(kv.atomic(), |atomic, n| atomic.set(key!["n", n], n * 7));
        assert!(atomic.commit_buffered().unwrap().versionstamp().is_some());
    }
    let payload = |number: u64| Value::number(number as f64);
    let atomic = (0..messages).fold(kv.atomic(), |atomic, number| atomic.enqueue(payload(number)));
    assert!(atomic.commit().unwrap().versionstamp().is_some());
    kv.close().unwrap();
    path
}

fn copy(args: &[&str]) -> std::process::Output {
    icecore(&[&["copy"], args].concat())
}

#[test]
fn everything_goes_through_a_dump_into_another_store_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let (dump, other) = (directory.path().join("a.ndjson"), directory.path().join("other"));
    let output = copy(&[text(&store), text(&dump), "--json"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let first = json(&output);
    assert_eq!(first["source"], first["destination"]);
    assert_eq!(first["source"]["entries"], 13);
    assert_eq!(first["source"]["messages"], 2);
    let said = json(&copy(&[text(&dump), text(&other), "--json"]));
    assert_eq!((&said["source"], &said["destination"]), (&first["source"], &first["source"]));
    assert_eq!(content(&store), content(&other));
    // A store of its own, and back to text: the lines of entries are the same but for their stamps.
    let again = directory.path().join("again.ndjson");
    assert_eq!(code(&copy(&[text(&other), text(&again)])), 0);
    let line = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        text.lines().find(|line| line.contains("\"js\"")).unwrap().to_owned()
    };
    assert!(line(&dump).starts_with(r#"{"key":["js"],"v8":""#), "{}", line(&dump));
    assert!(line(&dump).contains(r#""shown":"0.5""#));
    assert_ne!(line(&dump), line(&again), "entries have the versionstamps of the copy");
}

#[test]
fn a_dump_goes_through_a_pipe() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let other = directory.path().join("other");
    let output = copy(&[text(&store), "-"]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(errors(&output).contains("not read back"), "{output:?}");
    let file = directory.path().join("piped");
    fs::write(&file, &output.stdout).unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_icecore"))
        .args(["copy", "-", text(&other)])
        .stdin(fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    assert_eq!(code(&status), 0, "{status:?}");
    assert_eq!(content(&store), content(&other));
}

#[test]
fn a_dump_that_is_cut_off_or_changed_is_refused_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let dump = directory.path().join("a.ndjson");
    assert_eq!(code(&copy(&[text(&store), text(&dump)])), 0);
    let whole = fs::read_to_string(&dump).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let but_last = lines[..lines.len() - 1].join("\n") + "\n";
    let swapped = [&lines[..1], &[lines[2], lines[1]], &lines[3..]].concat().join("\n") + "\n";
    let wrong = [
        (but_last, "line 17: the dump is cut off"),
        (whole[..whole.len() - 60].to_owned(), "line 17: "),
        (whole.replace("later", "Later"), "line 17: counts or hash"),
        (swapped, "line 3: its key is not greater"),
        (whole.clone() + "{}\n", "line 18: something follows"),
        (whole.replace("\"version\":1", "\"version\":2"), "line 1: version 2 of the format"),
        (String::new(), "line 1: it is empty"),
        ("{\"a\":1}\n".to_owned(), "line 1: "),
        (whole.replace("{\"key\"", "{\"kez\""), "line 2: unknown field `kez`"),
    ];
    for (number, (changed, says)) in wrong.iter().enumerate() {
        fs::write(&dump, changed).unwrap();
        let other = directory.path().join(format!("other {number}"));
        let output = copy(&[text(&dump), text(&other)]);
        assert_eq!(code(&output), 1, "{says}: {output:?}");
        assert!(errors(&output).contains(says), "{says}: {output:?}");
        assert!(!other.exists(), "{says}");
    }
}

#[test]
fn a_copy_that_is_killed_again_and_again_is_resumed_to_the_same_content() {
    let directory = tempfile::tempdir().unwrap();
    let store = long_store(&directory, 30_000, 10_000);
    let other = directory.path().join("other");
    let mut kills = 0;
    // Each run tells of 10,000 records at a time, so one that began later is killed later.
    for lines in 1..=6 {
        let resume: &[&str] = if kills > 0 { &["--resume"] } else { &[] };
        let mut child = Command::new(env!("CARGO_BIN_EXE_icecore"))
            .args(["copy", text(&store), text(&other)])
            .args(resume)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines().take(lines).count();
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if status.success() {
            break;
        }
        assert_eq!(said, lines, "it was killed at work");
        kills += 1;
        if other.exists() && kills == 2 {
            let output = copy(&[text(&other), "-"]);
            assert!(errors(&output).contains("not finished"), "{output:?}");
            let output = copy(&[text(&store), text(&other)]);
            assert!(errors(&output).ends_with("try: --resume\n"), "{output:?}");
        }
    }
    assert!(kills >= 3, "{kills}");
    let output = copy(&[text(&store), text(&other), "--resume", "--json"]);
    let is_done = errors(&output).contains("there is nothing to resume");
    assert!(is_done || code(&output) == 0, "{output:?}");
    assert_eq!(content(&store), content(&other));
}

#[test]
fn another_source_does_not_continue_a_copy() {
    let directory = tempfile::tempdir().unwrap();
    let source = store(&directory);
    let other = directory.path().join("other");
    let cut = directory.path().join("cut");
    let whole = copy(&[text(&source), "-"]).stdout;
    fs::write(&cut, &whole[..whole.len() - 60]).unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_icecore"))
        .args(["copy", "-", text(&other)])
        .stdin(fs::File::open(&cut).unwrap())
        .output()
        .unwrap();
    assert_eq!(code(&status), 1, "{status:?}");
    let output = copy(&[text(&source), text(&other), "--resume"]);
    assert_eq!(code(&output), 1);
    assert!(errors(&output).contains("the unfinished copy is one of the dump of"), "{output:?}");
    let dump = directory.path().join("whole.ndjson");
    fs::write(&dump, &whole).unwrap();
    let output = copy(&[text(&dump), text(&other), "--resume"]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(content(&source), content(&other));
}

#[test]
fn a_store_that_is_not_empty_takes_a_copy_only_if_told_to_merge() {
    let directory = tempfile::tempdir().unwrap();
    let source = store(&directory);
    let other = directory.path().join("other");
    let kv = Kv::open(&other).unwrap();
    kv.set(key!["js"], "other").unwrap();
    kv.set(key!["mine"], "stays").unwrap();
    kv.close().unwrap();
    let output = copy(&[text(&source), text(&other)]);
    assert_eq!(code(&output), 1);
    assert!(errors(&output).contains("the destination is not empty"), "{output:?}");
    let report = json(&copy(&[text(&source), text(&other), "--merge", "--json"]));
    assert_eq!(report["source"], report["destination"]);
    assert_eq!(report["messages_not_compared"], 2);
    let (mut entries, messages) = content(&other);
    entries.retain(|(key, ..)| *key != key!["mine"]);
    assert_eq!((entries, messages), content(&source));
}

#[test]
fn a_dump_is_replaced_only_if_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let source = store(&directory);
    let dump = directory.path().join("a.ndjson");
    fs::write(&dump, "mine").unwrap();
    let output = copy(&[text(&source), text(&dump)]);
    assert_eq!((code(&output), fs::read(&dump).unwrap()), (1, b"mine".to_vec()));
    assert_eq!(code(&copy(&[text(&source), text(&dump), "--overwrite"])), 0);
    assert_eq!(code(&copy(&[text(&dump), text(&directory.path().join("other"))])), 0);
}

#[test]
fn what_cannot_be_copied_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let source = store(&directory);
    let kv = Kv::open(&source).unwrap();
    assert_eq!(code(&copy(&[text(&source), "-"])), 3, "somebody else has it open");
    kv.close().unwrap();
}

const TOKEN: &str = "the-token-of-the-copy";

/// A store that is served, and the file of its token.
struct Far {
    server: Server,
    token: String,
}

impl Far {
    fn serve(directory: &TempDir, store: &Path) -> Far {
        let token = token_file(directory.path(), "token", TOKEN);
        let args = [text(store), "--token-file", &token, "--addr", "127.0.0.1:0"];
        Far { server: Server::start(&args), token }
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    fn copy_to(&self, source: &Path, more: &[&str]) -> std::process::Output {
        let to = [text(source), &self.url(), "--json", "--dst-token-file", &self.token];
        copy(&[&to, more].concat())
    }

    fn copy_from(&self, destination: &Path) -> std::process::Output {
        copy(&[&self.url(), text(destination), "--json", "--src-token-file", &self.token])
    }

    fn end(self) {
        let (code, log) = self.server.end("-TERM");
        assert_eq!(code, Some(0), "{log}");
    }
}

/// As [`store`], within the limits that a server has.
fn small_store(directory: &TempDir) -> PathBuf {
    let path = store(directory);
    let kv = Kv::builder(&path).limits(Limits::none()).open().unwrap();
    kv.delete(key!["large"]).unwrap();
    kv.enqueue(Enqueue::new(Value::number(0.5))).unwrap();
    // The protocol has 32 bits for a wait: in it this one would become shorter.
    let wait = Duration::from_millis(u64::from(u32::MAX) + 1);
    kv.enqueue(Enqueue::new(Value::number(1.5)).backoff([wait])).unwrap();
    kv.close().unwrap();
    path
}

#[test]
fn a_store_goes_to_a_server_and_comes_back_without_what_the_protocol_does_not_tell() {
    let directory = tempfile::tempdir().unwrap();
    let source = small_store(&directory);
    let (served, back) = (directory.path().join("served"), directory.path().join("back"));
    let far = Far::serve(&directory, &served);
    let output = far.copy_to(&source, &[]);
    assert_eq!(code(&output), 5, "{output:?}");
    assert!(errors(&output).contains("3 messages were not copied"), "{output:?}");
    let said = json(&output);
    assert_eq!(said["source"], said["destination"]);
    assert_eq!(said["source"]["entries"], 12);
    assert_eq!(
        (&said["messages_not_compared"], &said["messages_not_copied"]),
        (&1.into(), &3.into())
    );
    assert!(!errors(&output).contains(TOKEN));

    let output = far.copy_from(&back);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(errors(&output).contains("does not tell when entries expire"), "{output:?}");
    assert_eq!(json(&output)["source"], json(&output)["destination"]);
    let dump = directory.path().join("far.ndjson");
    assert_eq!(code(&far.copy_from(&dump)), 0);
    far.end();

    // The server has all of it, expiries included; who reads it over the network has no expiries.
    let (sent, arrived, returned) = (content(&source), content(&served), content(&back));
    assert_eq!(sent.0, arrived.0);
    assert_eq!(arrived.1.len(), 1);
    let lasting = |content: Content| content.0.into_iter().map(|(key, value, _)| (key, value));
    assert!(returned.0.iter().all(|(_, _, expires_at)| expires_at.is_none()));
    assert!(lasting(sent).eq(lasting(returned)));
    assert_eq!(fs::read_to_string(&dump).unwrap().lines().count(), 14, "head, entries, end");
}

#[test]
fn a_copy_to_a_server_that_is_killed_is_resumed_and_merged_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let source = long_store(&directory, 5_000, 3);
    let served = directory.path().join("served");
    let far = Far::serve(&directory, &served);
    let mut child = Command::new(env!("CARGO_BIN_EXE_icecore"))
        .args(["copy", text(&source), &far.url(), "--dst-token-file", &far.token])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The destination says that a copy has begun; then it is stopped, wherever it is.
    let kv = Kv::builder(far.url()).access_token(TOKEN).open().unwrap();
    while !kv.get(key!["icecore", "unfinished copy"]).unwrap().is_present() {}
    child.kill().unwrap();
    child.wait().unwrap();
    let is_unfinished = kv.get(key!["icecore", "unfinished copy"]).unwrap().is_present();
    assert!(is_unfinished, "it was killed too late");
    let refused = far.copy_to(&source, &[]);
    assert!(errors(&refused).contains("was not finished"), "{refused:?}");
    let resumed = far.copy_to(&source, &["--resume"]);
    assert_eq!(code(&resumed), 0, "{resumed:?}");
    assert_eq!(json(&resumed)["destination"]["entries"], 5_000);
    let again = far.copy_to(&source, &[]);
    assert!(errors(&again).contains("not empty"), "{again:?}");
    let merged = far.copy_to(&source, &["--merge"]);
    assert_eq!(code(&merged), 0, "{merged:?}");
    far.end();
    assert_eq!(content(&source).0, content(&served).0);
    assert_eq!(content(&served).1.len(), 6, "each copy has sent the messages once");
}

#[test]
fn a_server_that_refuses_or_is_not_there_is_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let source = store(&directory);
    let far = Far::serve(&directory, &directory.path().join("served"));
    let wrong = token_file(directory.path(), "wrong", "another-token-altogether");
    let url = far.url();
    let output = copy(&[text(&source), &url, "--dst-token-file", &wrong]);
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(errors(&output).contains("token"), "{output:?}");
    assert!(!errors(&output).contains("another-token"));
    // What is too large for it is told by its limit, and the copy stays unfinished.
    let output = far.copy_to(&source, &[]);
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(errors(&output).contains("size limit"), "{output:?}");
    far.end();
    let token = token_file(directory.path(), "token", TOKEN);
    for (place, says) in [(&*url, "refused"), ("http://10.0.0.1:9", "http")] {
        let output = copy(&[text(&source), place, "--dst-token-file", &token]);
        assert_eq!(code(&output), 1, "{output:?}");
        assert!(errors(&output).contains(says), "{output:?}");
    }
    let empty = token_file(directory.path(), "empty", "#");
    let output = copy(&[text(&source), &url, "--dst-token-file", &empty]);
    assert!(errors(&output).contains("no access token in"), "{output:?}");
}

#[cfg(feature = "sqlite")]
#[test]
fn a_store_goes_through_a_file_for_deno_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let source = small_store(&directory);
    let (file, back) = (directory.path().join("kv.sqlite3"), directory.path().join("back"));
    let output = copy(&[text(&source), text(&file), "--json"]);
    assert_eq!(code(&output), 5, "{output:?}");
    let said = json(&output);
    assert_eq!(said["source"], said["destination"]);
    assert_eq!(said["messages_not_copied"], 2);
    assert_eq!(code(&copy(&[text(&file), text(&back)])), 0);
    let (sent, returned) = (content(&source), content(&back));
    assert_eq!((sent.0, returned.1.len()), (returned.0, 2));
    assert!(returned.1.iter().all(|message| sent.1.contains(message)));
    let again = copy(&[text(&source), text(&file)]);
    assert!(errors(&again).contains("not empty"), "{again:?}");
    let nothing = copy(&[text(&source), text(&file), "--resume"]);
    assert!(errors(&nothing).contains("nothing to resume"), "{nothing:?}");
}

#[cfg(feature = "sqlite")]
#[test]
fn a_copy_into_a_file_for_deno_that_is_killed_is_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let source = long_store(&directory, 5_000, 700);
    let (file, back) = (directory.path().join("kv.sqlite3"), directory.path().join("back"));
    let mark = key!["icecore", "unfinished copy"];
    let is_unfinished = || {
        let deno = rusqlite::Connection::open(&file).ok()?;
        let asked = "select v from kv where k = ?1";
        deno.query_row(asked, [mark.encoded()], |row| row.get::<_, Vec<u8>>(0)).ok()
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_icecore"));
    command.args(["copy", text(&source), text(&file)]).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    while is_unfinished().is_none() {}
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_unfinished().is_some(), "it was killed too late");
    let refused = copy(&[text(&source), text(&file)]);
    assert!(errors(&refused).contains("was not finished"), "{refused:?}");
    let resumed = copy(&[text(&source), text(&file), "--resume", "--json"]);
    assert_eq!(code(&resumed), 0, "{resumed:?}");
    assert_eq!(json(&resumed)["destination"]["messages"], 700);
    assert!(is_unfinished().is_none());
    assert_eq!(code(&copy(&[text(&file), text(&back)])), 0);
    assert_eq!(content(&source).0, content(&back).0);
    assert_eq!(content(&back).1.len(), 700);
}

#[cfg(feature = "sqlite")]
#[test]
fn deno_s_own_file_is_read_with_its_messages() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kv.sqlite3");
    // As Deno's migrations leave it.
    let deno = rusqlite::Connection::open(&file).unwrap();
    deno.pragma_update(None, "journal_mode", "wal").unwrap();
    deno.execute_batch(
        "create table migration_state (k integer not null primary key, version integer not null);
         insert into migration_state values (0, 3);
         create table data_version (k integer primary key, version integer not null, seq integer);
         insert into data_version values (0, 77, 0);
         create table kv (k blob primary key, v blob not null, v_encoding integer not null,
             version integer not null, seq integer not null default 0,
             expiration_ms integer not null default -1) without rowid;
         create table queue (ts integer not null, id text not null, data blob not null,
             backoff_schedule text not null, keys_if_undelivered blob not null,
             primary key (ts, id));
         create table queue_running (deadline integer not null, id text not null,
             data blob not null, backoff_schedule text not null,
             keys_if_undelivered blob not null, primary key (deadline, id));",
    )
    .unwrap();
    let later = i64::try_from(LATER.as_millis()).unwrap();
    deno.execute_batch("begin").unwrap();
    for number in 0..1_200_u64 {
        let row = (key!["n", number].encoded().to_vec(), number.to_le_bytes(), 2, 5);
        deno.execute("insert into kv (k, v, v_encoding, version) values (?, ?, ?, ?)", row)
            .unwrap();
    }
    deno.execute_batch("commit").unwrap();
    let v8 = b"\xff\x0f\"\x02hi".to_vec();
    let insert = "insert into kv (k, v, v_encoding, version, expiration_ms) values (?, ?, ?, ?, ?)";
    deno.execute(insert, (key!["js"].encoded(), &v8, 1, 6, later)).unwrap();
    deno.execute(insert, (key!["gone"].encoded(), &v8, 3, 7, 1_000)).unwrap();
    let letters = serde_json::to_string(&[key!["dead"].encoded()]).unwrap();
    let queue = "insert into queue values (?, ?, ?, ?, ?)";
    deno.execute(queue, (later, "b", &v8, "[100,1000]", &letters)).unwrap();
    let running = "insert into queue_running values (?, ?, ?, ?, ?)";
    deno.execute(running, (9, "a", &v8, "null", "[]")).unwrap();
    // Deno has the file open meanwhile, and what it wrote is still in the log of SQLite.
    let other = directory.path().join("other");
    let output = copy(&[text(&file), text(&other), "--json"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let report = json(&output);
    assert_eq!(report["source"]["entries"], 1_201);
    assert_eq!((&report["expired"], &report["source"]["messages"]), (&1.into(), &2.into()));
    assert_eq!(report["source"], report["destination"]);
    let kv = Kv::open(&other).unwrap();
    assert_eq!(kv.get(key!["n", 1_199]).unwrap().u64().unwrap(), 1_199);
    let entry = kv.get(key!["js"]).unwrap();
    assert_eq!(entry.v8().unwrap(), &v8[..]);
    assert_eq!(entry.expires_at(), Some(UNIX_EPOCH + LATER));
    let waiting = kv.queue("").peek(9).unwrap();
    assert_eq!(waiting.len(), 2);
    assert!(waiting[0].backoff.is_empty() && waiting[0].keys_if_undelivered.is_empty());
    assert_eq!(waiting[1].backoff, [100, 1_000].map(Duration::from_millis));
    assert_eq!(waiting[1].keys_if_undelivered, [key!["dead"]]);
    assert_eq!(waiting[1].ready_at, UNIX_EPOCH + LATER);
    kv.close().unwrap();
    // A dump keeps the versionstamps.
    let dump = String::from_utf8(copy(&[text(&file), "-"]).stdout).unwrap();
    let stamp = Versionstamp::new(6).to_string();
    let line = dump.lines().find(|line| line.contains("[\"js\"]")).unwrap();
    assert!(line.contains(&stamp) && line.contains(r#""shown":"\"hi\"""#), "{line}");
    deno.execute("insert into kv (k, v, v_encoding, version) values (x'ff', x'00', 3, 8)", ())
        .unwrap();
    let output = copy(&[text(&file), "-"]);
    assert!(errors(&output).contains("the key ff: "), "{output:?}");
}
