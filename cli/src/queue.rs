//! `icecore queue`: what is in the queues of a store, and messages sent and received by hand.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use icecore::{Enqueue, Kv, Message, Queue, Value, Waiting};
use serde::Serialize;
use serde_json::Value as Json;

use crate::failure::Failure;
use crate::figures::parse_seconds;
use crate::{print, print_json, store};

/// So many messages are read at once.
const PAGE: usize = 1_000;

/// Look at the queues of a store, send messages and receive them.
///
/// No other process has the store open meanwhile: the messages of a store that is served are
/// received over HTTP. Each message is printed as one JSON object. Dead letters are no queue: a
/// message whose last attempt has failed becomes the value of the keys that its sender has named.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    List(List),
    Peek(Peek),
    Send(Send),
    Receive(Receive),
}

/// Say which queues have messages, how many of them are ready, and since when the first one is.
#[derive(Debug, clap::Args)]
struct List {
    /// The directory of the store.
    store: PathBuf,
    /// Print one JSON object for each queue.
    #[arg(long)]
    json: bool,
}

/// Print the first messages of a queue, also those that are not ready, and leave them there.
#[derive(Debug, clap::Args)]
struct Peek {
    /// The directory of the store.
    store: PathBuf,
    /// The name of the queue. That of Deno's kv.enqueue is empty.
    #[arg(long, default_value = "")]
    queue: String,
    /// How many.
    #[arg(long, default_value_t = 10)]
    count: usize,
}

/// Send a message.
#[derive(Debug, clap::Args)]
struct Send {
    /// The directory of the store.
    store: PathBuf,
    /// The payload as JSON, which becomes a value of JavaScript; or - for standard input.
    payload: String,
    /// The name of the queue. That of Deno's kv.listenQueue is empty.
    #[arg(long, default_value = "")]
    queue: String,
    /// The payload is not JSON: send its bytes as they are.
    #[arg(long)]
    raw: bool,
    /// So many seconds from now it is ready.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    delay: Option<Duration>,
    /// Where the payload goes if every attempt fails: a key such as ["failed", 1n]. May be given
    /// several times.
    #[arg(long = "dead-letter", value_name = "KEY")]
    dead_letters: Vec<icecore::Key>,
}

/// Receive messages that are ready, and take them out of the queue.
///
/// Without --exec a message is finished as soon as it was printed.
#[derive(Debug, clap::Args)]
struct Receive {
    /// The directory of the store.
    store: PathBuf,
    /// The name of the queue. That of Deno's kv.enqueue is empty.
    #[arg(long, default_value = "")]
    queue: String,
    /// How many at most. Without it, all that are ready.
    #[arg(long)]
    count: Option<u64>,
    /// Wait for messages until there were --count of them, or for ever.
    #[arg(long)]
    wait: bool,
    /// Run a command of the shell for each, with the payload on its standard input: JSON for a value
    /// of JavaScript, bytes as they are. If it exits with 0 the message is finished; otherwise the
    /// attempt has failed, and the message comes again after the next interval of its schedule.
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::List(args) => list(args),
        Action::Peek(args) => peek(args),
        Action::Send(args) => send(args),
        Action::Receive(args) => receive(args),
    }
}

/// What is in a queue.
#[derive(Default, Serialize)]
struct Content {
    queue: String,
    messages: u64,
    ready: u64,
    /// How often one of them was received without success.
    attempts: u64,
    /// For how many seconds the first one has been ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_ready_s: Option<u64>,
}

fn list(args: &List) -> Result<(), Failure> {
    let kv = store::open_to_look(&args.store)?;
    let now = now();
    let mut contents = Vec::new();
    for name in Queue::names(&kv)? {
        contents.push(count(&kv.queue(&name), now)?);
    }
    kv.close()?;
    if args.json {
        return contents.iter().try_for_each(print_json);
    }
    print("  messages      ready   attempts   oldest  queue")?;
    contents.iter().try_for_each(|content| {
        let Content { queue, messages, ready, attempts, oldest_ready_s } = content;
        let oldest =
            oldest_ready_s.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s"));
        print(&format!("{messages:>10} {ready:>10} {attempts:>10} {oldest:>8}  {queue:?}"))
    })
}

fn count(queue: &Queue, now: SystemTime) -> Result<Content, Failure> {
    let mut content = Content { queue: queue.name().to_owned(), ..Content::default() };
    let mut page = queue.peek(PAGE)?;
    if let Some(first) = page.first() {
        content.oldest_ready_s = now.duration_since(first.ready_at).ok().map(|age| age.as_secs());
    }
    while let Some(last) = page.last() {
        content.messages += page.len() as u64;
        content.ready += page.iter().filter(|one| one.ready_at <= now).count() as u64;
        content.attempts += page.iter().map(|one| u64::from(one.attempts)).sum::<u64>();
        page = queue.peek_after(last, PAGE)?;
    }
    Ok(content)
}

/// Of the operator's clock, which is that of the store.
#[expect(clippy::disallowed_methods, reason = "the age of a message is for people")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn peek(args: &Peek) -> Result<(), Failure> {
    let kv = store::open_to_look(&args.store)?;
    for waiting in kv.queue(&args.queue).peek(args.count)? {
        print(&waiting_line(&waiting))?;
    }
    Ok(kv.close()?)
}

fn waiting_line(waiting: &Waiting) -> String {
    let ms = |moment: SystemTime| {
        moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis()
    };
    let keys = waiting.keys_if_undelivered.iter().map(|key| Json::from(key.to_string()));
    format!(
        r#"{{"id":"{}","attempts":{},"enqueuedMs":{},"readyMs":{},"deadLetters":{},{}}}"#,
        waiting.id,
        waiting.attempts,
        ms(waiting.enqueued_at),
        ms(waiting.ready_at),
        Json::Array(keys.collect()),
        payload(&waiting.payload)
    )
}

/// The payload as a field of a JSON object, whose name says what it is.
fn payload(value: &Value) -> String {
    match value {
        Value::U64(number) => format!(r#""u64":"{number}""#),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => format!(r#""text":{}"#, Json::from(text)),
            Err(_) => format!(r#""bytes":"{}""#, STANDARD.encode(bytes)),
        },
        Value::V8(_) => match value.to_json() {
            Ok(json) => format!(r#""payload":{json}"#),
            // Not every value of JavaScript is one of JSON.
            Err(_) => format!(r#""shown":{}"#, Json::from(value.to_string())),
        },
    }
}

fn send(args: &Send) -> Result<(), Failure> {
    let mut given = Vec::new();
    if args.payload == "-" {
        let read = io::stdin().lock().read_to_end(&mut given);
        read.map_err(|error| Failure::io("read standard input", &error))?;
    } else {
        given.extend_from_slice(args.payload.as_bytes());
    }
    let value = if args.raw { Value::from(given) } else { json_value(&given)? };
    let message = Enqueue::new(value)
        .queue(&args.queue)
        .delay(args.delay.unwrap_or_default())
        .keys_if_undelivered(&args.dead_letters);
    let kv = store::open_to_work(&args.store)?;
    let versionstamp = kv.enqueue(message)?;
    kv.close()?;
    print(&versionstamp.to_string())
}

fn json_value(given: &[u8]) -> Result<Value, Failure> {
    let text = std::str::from_utf8(given).map_err(|error| Failure::problem(error.to_string()));
    let hint = "put quotes around a text: '\"hello\"'; or send it with --raw";
    let value = text.and_then(|text| Ok(Value::from_json(text)?));
    value.map_err(|failure| failure.hint(hint))
}

fn receive(args: &Receive) -> Result<(), Failure> {
    let kv = store::open_to_work(&args.store)?;
    let outcome = receive_all(args, &kv);
    kv.close()?;
    match outcome? {
        0 => Ok(()),
        1 => Err(Failure::problem("the command has failed for one message")),
        failed => Err(Failure::problem(format!("the command has failed for {failed} messages"))),
    }
}

/// Receives what it should, and says how many attempts have failed.
fn receive_all(args: &Receive, kv: &Kv) -> Result<u64, Failure> {
    let queue = kv.queue(&args.queue);
    let (mut received, mut failed) = (0, 0);
    while args.count.is_none_or(|count| received < count) {
        let next = if args.wait { queue.receive()? } else { queue.try_receive()? };
        let Some(message) = next else { break };
        received += 1;
        let is_done = match &args.exec {
            None => print(&message_line(&message)).map(|()| true),
            Some(command) => handle(command, &message),
        };
        match is_done {
            Ok(true) => message.finish()?,
            Ok(false) => {
                failed += 1;
                message.fail()?;
            }
            Err(failure) => {
                message.fail()?;
                return Err(failure);
            }
        }
    }
    Ok(failed)
}

fn message_line(message: &Message) -> String {
    let (id, attempt, last) = (message.id(), message.attempt(), message.is_last_attempt());
    let payload = payload(message.payload());
    format!(r#"{{"id":"{id}","attempt":{attempt},"lastAttempt":{last},{payload}}}"#)
}

/// Runs the command for a message; whether it has dealt with it.
fn handle(command: &str, message: &Message) -> Result<bool, Failure> {
    let failure = |error: &io::Error| Failure::io(&format!("run {command:?}"), error);
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("ICECORE_MESSAGE", message.id().to_string())
        .env("ICECORE_ATTEMPT", message.attempt().to_string())
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| failure(&error))?;
    let input = match message.payload() {
        Value::Bytes(bytes) => bytes.to_vec(),
        Value::U64(number) => number.to_string().into_bytes(),
        value @ Value::V8(_) => value.to_json().unwrap_or_else(|_| value.to_string()).into_bytes(),
    };
    let written = child.stdin.take().expect("its input is a pipe").write_all(&input);
    let status = child.wait().map_err(|error| failure(&error))?;
    match written {
        // A command may leave its input unread.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failure(&error)),
        _ => Ok(status.success()),
    }
}
