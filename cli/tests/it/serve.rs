use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{code, errors, text};

/// A server that runs. Dropped, it is killed.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Server {
        let mut child = serve(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("Listening on http://");
        let address = address.unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Server { child, address }
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    fn exchange(&self, path: &str, token: &str) -> String {
        let body = r#"{"supportedVersions":[3]}"#;
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        let length = body.len();
        let head = format!("{head}authorization: Bearer {token}\r\ncontent-length: {length}\r\n");
        self.ask(&format!("{head}\r\n{body}"))
    }

    /// Tells it to end, and gives its exit code and its log.
    pub(crate) fn end(mut self, signal: &str) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (status.code(), log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where all is well.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

fn serve(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_icecore"));
    command.arg("serve").args(args);
    command.env_remove("ICECORE_ACCESS_TOKEN").env_remove("DENO_KV_ACCESS_TOKEN");
    command
}

pub(crate) fn token_file(directory: &Path, name: &str, token: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, format!("# a token\n{token}\n")).unwrap();
    text(&path).to_owned()
}

const ANY: [&str; 2] = ["--addr", "127.0.0.1:0"];

#[test]
fn a_server_says_where_it_listens_and_ends_in_order_when_it_is_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = token_file(directory.path(), "tokens", "the-first-token");
    let store = directory.path().join("store");
    for (signal, format) in [("-TERM", "text"), ("-INT", "json")] {
        let args = [text(&store), "--token-file", &tokens, ANY[0], ANY[1], "--log-format", format];
        let server = Server::start(&args);
        let health = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        assert!(server.ask(health).ends_with("\r\n\r\nok\n"));
        assert!(server.exchange("/", "the-first-token").starts_with("HTTP/1.1 200 "));
        let (code, log) = server.end(signal);
        assert_eq!(code, Some(0), "{log}");
        let last = log.lines().last().unwrap();
        assert!(last.contains("ending"), "{log}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(last).is_ok(), format == "json");
        assert!(!log.contains("the-first-token"));
    }
}

#[test]
fn access_tokens_are_read_again_on_a_hangup_and_stay_when_they_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = token_file(directory.path(), "tokens", "the-first-token");
    let store = directory.path().join("store");
    let server = Server::start(&[text(&store), "--token-file", &tokens, ANY[0], ANY[1]]);
    let id = server.child.id().to_string();
    let hang_up = || assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    let opens = |token: &str| server.exchange("/", token).starts_with("HTTP/1.1 200 ");
    assert!(opens("the-first-token") && !opens("the-second-token"));
    token_file(directory.path(), "tokens", "the-second-token");
    assert!(opens("the-first-token"), "nobody has asked for it to be read");
    hang_up();
    // The signal is on its way.
    while opens("the-first-token") {}
    assert!(opens("the-second-token"));
    std::fs::write(&tokens, "short").unwrap();
    hang_up();
    let (code, log) = {
        // It still serves, and says why nothing has changed.
        assert!(opens("the-second-token"));
        server.end("-TERM")
    };
    assert_eq!(code, Some(0));
    assert!(log.contains("the access tokens were read again"), "{log}");
}

#[test]
fn several_stores_are_served_each_to_those_who_have_its_token() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&directory.path().join(name)).to_owned();
    let shop_tokens = token_file(directory.path(), "tokens", "token-of-the-shop");
    let (shop, shop_tokens) = (format!("shop={}", path("b")), format!("shop={shop_tokens}"));
    let store = path("a");
    let args = [
        &*store,
        "--db",
        &shop,
        "--db-token-file",
        &shop_tokens,
        ANY[0],
        ANY[1],
        "--log-level",
        "off",
    ];
    let mut command = serve(&args);
    command.env("ICECORE_ACCESS_TOKEN", "token-of-the-environment");
    let output = command.env("DENO_KV_ACCESS_TOKEN", "another-token-of-it").stdout(Stdio::piped());
    let mut child = output.stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("Listening on http://").unwrap().to_owned();
    let server = Server { child, address };
    let status = |path: &str, token: &str| server.exchange(path, token)[9..12].to_owned();
    assert_eq!(status("/", "token-of-the-environment"), "200");
    assert_eq!(status("/db/shop", "token-of-the-shop"), "200");
    assert_eq!(status("/", "token-of-the-shop"), "401");
    assert_eq!(status("/db/shop", "token-of-the-environment"), "401");
    assert_eq!(server.end("-TERM"), (Some(0), String::new()));
}

#[test]
fn a_log_that_nobody_reads_costs_no_answer_and_no_orderly_end() {
    let directory = tempfile::tempdir().unwrap();
    let store = text(&directory.path().join("store")).to_owned();
    let tokens = token_file(directory.path(), "tokens", "a-token-of-some-length");
    let args = [&*store, "--token-file", &tokens, ANY[0], ANY[1], "--log-level", "debug"];
    let mut server = Server::start(&args);
    drop(server.child.stderr.take());
    for _ in 0..3 {
        let reply = server.exchange("/", "a-token-of-some-length");
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    }
    let id = server.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_is_wrong_with_a_call_is_said_with_what_to_try() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let good = token_file(directory.path(), "good", "a-good-token-of-some-length");
    let short = token_file(directory.path(), "short", "elevenchars");
    let refused = |args: &[&str]| {
        let output = serve(&[&[text(&store)], args].concat()).output().unwrap();
        assert!(!store.exists(), "no store is opened before");
        (code(&output), errors(&output))
    };
    let (code, errors) = refused(&[]);
    assert!(
        code == 1 && errors.contains("there is no access token\ntry: --token-file"),
        "{errors}"
    );
    let (code, errors) = refused(&["--token-file", &short]);
    assert_eq!(code, 1);
    assert!(errors.contains("Access token must be at minimum 12 chars long."), "{errors}");
    assert!(!errors.contains("elevenchars"));
    let (code, errors) = refused(&["--token-file", &good, "--db", "shop=x"]);
    assert!(code == 1 && errors.contains("try: --db-token-file shop=FILE"), "{errors}");
    let (code, errors) = refused(&["--token-file", &good, "--db-token-file", "shop=x"]);
    assert!(code == 1 && errors.contains("try: --db shop=STORE"), "{errors}");
    assert_eq!(refused(&["--token-file", &good, "--db", "../x=x"]).0, 2);
    assert_eq!(refused(&["--token-file", &good, "--tls-cert", "x"]).0, 2);
    let (code, errors) = refused(&["--token-file", &good, "--addr", "0.0.0.0:0"]);
    assert!(code == 1 && errors.contains("in the clear"), "{errors}");
}

#[test]
fn a_store_that_somebody_else_has_open_is_not_served() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = token_file(directory.path(), "tokens", "a-good-token-of-some-length");
    let store = directory.path().join("store");
    let args = [text(&store), "--token-file", &tokens, ANY[0], ANY[1]];
    let _server = Server::start(&args);
    assert_eq!(code(&serve(&args).output().unwrap()), 3);
}
