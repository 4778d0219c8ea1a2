//! `icecore serve`: a store for programs of Deno and Node, over KV Connect.
//!
//! One store is the database at `/`; further ones are at `/db/NAME`. Each has access tokens of its
//! own, which come from files or, for the first, from the environment, and never from the command
//! line, where every user of the machine could read them. Results go to standard output: the line
//! that says where the server listens. The log goes to standard error.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use icecore::Kv;
use icecore_connect::{AccessTokens, Identity, Served, Server, Settings, store_limits};
use tracing_subscriber::filter::LevelFilter;

use crate::failure::Failure;
use crate::print;

/// Where access tokens may come from if there is no file.
const TOKEN_VARIABLES: [&str; 2] = ["ICECORE_ACCESS_TOKEN", "DENO_KV_ACCESS_TOKEN"];

/// Serve a store to programs of Deno and Node, over KV Connect.
///
/// A program opens it with Deno.openKv("http://127.0.0.1:4512") or, in Node, with openKv of the
/// package @deno/kv; the access token goes into the variable DENO_KV_ACCESS_TOKEN.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory of the store, which is made if there is none.
    store: PathBuf,
    /// Where to listen. Beyond this machine it takes --tls-cert and --tls-key.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4512")]
    addr: SocketAddr,
    /// The access tokens, one a line; read again on SIGHUP. Without it, that of the variable ICECORE_ACCESS_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// One more store, at the path /db/NAME. May be given several times.
    #[arg(long = "db", value_name = "NAME=STORE", value_parser = pair)]
    databases: Vec<(String, PathBuf)>,
    /// The access tokens of that store.
    #[arg(long = "db-token-file", value_name = "NAME=FILE", value_parser = pair)]
    database_tokens: Vec<(String, PathBuf)>,
    /// The certificate chain, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Listen beyond this machine without TLS: tokens and data are sent in the clear.
    #[arg(long)]
    insecure_http: bool,
    /// Open the stores for reading only, and refuse writes.
    #[arg(long)]
    read_only: bool,
    /// Send values as they are stored, also to programs that cannot read them.
    #[arg(long)]
    no_normalise: bool,
    /// The form of the log.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// What goes into the log: error, warn, info, debug, trace or off.
    #[arg(long, default_value = "info")]
    log_level: LevelFilter,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// A name and a path.
fn pair(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("write it as NAME=PATH")?;
    if !icecore_connect::is_database_name(name) {
        return Err(format!("{name:?} is no name: use up to 64 letters, digits, - and _"));
    }
    Ok((name.to_owned(), PathBuf::from(path)))
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let settings = Settings {
        address: args.addr,
        identity: identity(args)?,
        insecure_http: args.insecure_http,
        normalise: !args.no_normalise,
        ..Settings::default()
    };
    // All that can be wrong with a call is found before a store is opened.
    let hint = "--tls-cert FILE --tls-key FILE; or --insecure-http, if nobody listens on the way";
    settings.check().map_err(|what| Failure::problem(what).hint(hint))?;
    let tokens = tokens(args)?;
    let mut paths = vec![(None, &args.store)];
    paths.extend(args.databases.iter().map(|(name, path)| (Some(name.clone()), path)));
    let opened = paths.into_iter().zip(tokens).map(|((name, path), tokens)| {
        let kv = open(path, args.read_only)?;
        Ok(Served { name, kv, tokens, read_only: args.read_only })
    });
    let served = opened.collect::<Result<Vec<Served>, Failure>>()?;
    log(args);
    let listening = |server: &Server| {
        // Whoever waits for this line has gone away if it cannot be written.
        print(&format!("Listening on {}", server.url())).unwrap_or_default();
    };
    // The same files are read again, and the environment as it was.
    let again = args.clone();
    let read_again = move || self::tokens(&again).map_err(|failure| failure.what().to_owned());
    icecore_connect::run(settings, served, read_again, listening)
        .map_err(|error| Failure::problem(error.to_string()))
}

fn open(path: &Path, read_only: bool) -> Result<Kv, Failure> {
    let builder = Kv::builder(path).limits(store_limits());
    let builder = if read_only { builder.read_only(true).create(false) } else { builder };
    builder.open().map_err(|error| Failure::from(error).during(&format!("{}", path.display())))
}

/// The access tokens of all stores, in their order.
fn tokens(args: &Args) -> Result<Vec<AccessTokens>, Failure> {
    let mut tokens = vec![match &args.token_file {
        Some(file) => tokens_in(file)?,
        None => tokens_of_environment()?,
    }];
    for (name, _) in &args.databases {
        let mut files = args.database_tokens.iter().filter(|(of, _)| of == name);
        let Some((_, file)) = files.next() else {
            let what = format!("there is no access token for the database {name}");
            return Err(Failure::problem(what).hint(format!("--db-token-file {name}=FILE")));
        };
        tokens.push(tokens_in(file)?);
    }
    let is_known = |name: &String| args.databases.iter().any(|(known, _)| known == name);
    match args.database_tokens.iter().find(|(name, _)| !is_known(name)) {
        Some((name, _)) => {
            let what = format!("there is a token file for {name}, but no such database");
            Err(Failure::problem(what).hint(format!("--db {name}=STORE")))
        }
        None => Ok(tokens),
    }
}

fn tokens_in(file: &Path) -> Result<AccessTokens, Failure> {
    let text = String::from_utf8_lossy(&read(file)?).into_owned();
    AccessTokens::parse(&text)
        .map_err(|what| Failure::problem(format!("{}: {what}", file.display())))
}

#[expect(clippy::disallowed_methods, reason = "a secret is no argument")]
fn tokens_of_environment() -> Result<AccessTokens, Failure> {
    let found =
        TOKEN_VARIABLES.into_iter().find_map(|name| Some((name, std::env::var(name).ok()?)));
    let Some((name, token)) = found else {
        let hint = "--token-file FILE, with a token of 32 characters nobody can guess: \
                    openssl rand -hex 16";
        return Err(Failure::problem("there is no access token").hint(hint));
    };
    AccessTokens::parse(&token).map_err(|what| Failure::problem(format!("{name}: {what}")))
}

fn identity(args: &Args) -> Result<Option<Identity>, Failure> {
    let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) else { return Ok(None) };
    Identity::from_pem(&read(certificate)?, &read(key)?).map(Some).map_err(Failure::problem)
}

#[expect(clippy::disallowed_methods, reason = "a file of the operator, not of a store")]
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| Failure::io(&format!("read {}", file.display()), &error))
}

fn log(args: &Args) {
    // Nobody may be there to read the log. To say that on standard error, too, is to panic, perhaps
    // between a commit and its answer.
    let log = tracing_subscriber::fmt()
        .with_max_level(args.log_level)
        .with_writer(io::stderr)
        .log_internal_errors(false);
    match args.log_format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
}
