//! The kinds of stores.

use std::any::Any;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

use icecore::Kv;
use icecore_connect::{AccessTokens, Identity, Served, Server, Settings, store_limits};
use tokio::sync::oneshot;

pub(crate) const TOKEN: &str = "the-token-of-the-tests";

/// A store of one kind.
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    pub(crate) kv: Kv,
    /// Whether what has expired is hidden at once.
    pub(crate) hides_expired: bool,
    /// How many checks a commit may have.
    pub(crate) checks_max: usize,
    /// Whether sums of numbers that this version of Deno writes are understood.
    pub(crate) sums_numbers: bool,
    /// What the store needs to be there.
    _keeps: Box<dyn Any>,
}

impl Backend {
    fn of(name: &'static str, kv: Kv, keeps: impl Any) -> Backend {
        let keeps = Box::new(keeps);
        let (hides_expired, sums_numbers) = (true, true);
        Backend { name, kv, hides_expired, checks_max: 100, sums_numbers, _keeps: keeps }
    }

    pub(crate) fn memory() -> Backend {
        Backend::of("in memory", Kv::in_memory().unwrap(), ())
    }

    pub(crate) fn disk(directory: &Path) -> Backend {
        Backend::of("on a disk", Kv::open(directory.join("store")).unwrap(), ())
    }

    pub(crate) fn served() -> Backend {
        let server = Running::start(None);
        let kv = Kv::builder(&server.url).access_token(TOKEN).open().unwrap();
        Backend::of("our server", kv, server)
    }

    pub(crate) fn served_with_tls() -> Backend {
        let certificate = include_bytes!("../../../connect/tests/tls/certificate.pem");
        let key = include_bytes!("../../../connect/tests/tls/key.pem");
        let server = Running::start(Some(Identity::from_pem(certificate, key).unwrap()));
        let url = server.url.replace("127.0.0.1", "localhost");
        let builder = Kv::builder(url).access_token(TOKEN).trust_certificates(certificate);
        Backend::of("our server with TLS", builder.open().unwrap(), server)
    }

    /// The program that the environment names.
    #[expect(clippy::disallowed_methods, reason = "the caller of the test says where it is")]
    pub(crate) fn denokv() -> Option<Backend> {
        let program = std::env::var("DENOKV").ok()?;
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.arg("--sqlite-path").arg(directory.path().join("kv.sqlite3")).arg("serve");
        command.args(["--addr", "127.0.0.1:0", "--access-token", TOKEN]);
        let mut child = Denokv(command.stderr(Stdio::piped()).spawn().unwrap());
        let lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
        let mut urls = lines.filter_map(|line| {
            let line = line.ok()?;
            Some(line.split_once("Listening on ")?.1.trim().to_owned())
        });
        let url = urls.next().expect("it listens");
        let kv = Kv::builder(url).access_token(TOKEN).open().unwrap();
        let backend = Backend::of("denokv", kv, (child, directory));
        Some(Backend { hides_expired: false, checks_max: 10, sums_numbers: false, ..backend })
    }
}

struct Denokv(Child);

impl Drop for Denokv {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

/// Our server, with a store in memory, on a thread of its own.
pub(crate) struct Running {
    pub(crate) url: String,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    #[expect(clippy::disallowed_methods, reason = "the server is another program, in truth")]
    pub(crate) fn start(identity: Option<Identity>) -> Running {
        let kv = Kv::builder_in_memory().limits(store_limits()).open().unwrap();
        let tokens = AccessTokens::parse(TOKEN).unwrap();
        let served = Served { name: None, kv, tokens, read_only: false };
        let settings =
            Settings { address: "127.0.0.1:0".parse().unwrap(), identity, ..Settings::default() };
        let (end, ended) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let server = Server::bind(settings, vec![served]).await.unwrap();
                tell.send(server.url()).unwrap();
                server.run(async { ended.await.unwrap_or_default() }).await.unwrap();
            });
        });
        let url = told.recv().unwrap();
        Running { url, end: Some(end), thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.end.take());
        let thread = self.thread.take().unwrap();
        thread.join().unwrap_or_else(|_| eprintln!("the server has panicked"));
    }
}
