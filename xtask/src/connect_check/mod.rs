//! `cargo xtask connect-check`: do real programs of Deno and Node use a store that is served?
//!
//! The `icecore` of this workspace [serves](server) a store; [clients] that npm installs,
//! unmodified and of pinned versions, run `xtask/connect/suite.mjs`. Values that one of them writes
//! the other reads; agents of both transfer funds in one store at the same time; a server that is
//! killed and started again goes unnoticed. What the store holds in the end is looked at here.

mod clients;
pub(crate) mod server;

use clap::Args;
use icecore::{Kv, key, prefix};

use self::clients::{Client, Clients, OUTLIVES};
use self::server::Server;
use crate::deno_diff::deno::NotHere;

/// How much is done.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Rounds of each of the eight agents.
    #[arg(long, default_value_t = 100)]
    rounds: u64,
    /// Writes to a server that is killed meanwhile.
    #[arg(long, default_value_t = 2_000)]
    writes: u64,
    /// How often it is killed.
    #[arg(long, default_value_t = 3)]
    kills: u64,
}

/// What each account of `suite.mjs` holds at first, and how many there are.
const ACCOUNTS: u64 = 8;
const OPENING: u64 = 1_000;

/// Says whether everything held. Without the clients it says that nothing was checked.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let clients = match Clients::install() {
        Ok(clients) => clients,
        Err(NotHere(reason)) => {
            println!("skipped: connect-check ({reason})");
            return true;
        }
    };
    match check(&clients, arguments) {
        Ok(held) => {
            println!("connect-check: all {held} checks hold");
            true
        }
        Err(trouble) => {
            println!("connect-check: {trouble}");
            false
        }
    }
}

/// How many checks held.
fn check(clients: &Clients, arguments: &Arguments) -> Result<usize, String> {
    server::build()?;
    let mut held = 0;
    let directory = tempfile::tempdir().map_err(|error| format!("no directory: {error}"))?;
    let server = Server::start(directory.path(), None)?;
    let both = [clients.deno(), clients.node()];
    for writer in &both {
        held += writer.run(&server, "write", writer.name())?;
    }
    for reader in &both {
        for writer in &both {
            held += reader.run(&server, "read", writer.name())?;
        }
        for command in ["lists", "watches", "expiry", "atomics", "limits"] {
            held += reader.run(&server, command, "")?;
        }
    }
    for receiver in &both {
        held += clients.node().run(&server, "enqueue", "")?;
        held += receiver.run(&server, "queue", "")?;
    }
    held += clients.node().run(&server, "enqueue", "")?;
    held += transfer(&server, &both, arguments.rounds)?;
    server.end()?;
    held += inspect(directory.path()).map_err(|error| format!("the store: {error}"))?;
    held += survive(clients, arguments)?;
    Ok(held)
}

/// Eight agents, four in each program, at the same time.
fn transfer(server: &Server, both: &[Client<'_>; 2], rounds: u64) -> Result<usize, String> {
    let rounds = &*rounds.to_string();
    let mut held = both[0].run(server, "accounts", "")?;
    std::thread::scope(|scope| {
        let running =
            both.each_ref().map(|client| scope.spawn(move || client.run(server, "agents", rounds)));
        for agents in running {
            held += agents.join().expect("it does not panic")?;
        }
        Ok(held)
    })
}

/// What the programs have left.
fn inspect(store: &std::path::Path) -> Result<usize, Box<dyn std::error::Error>> {
    let kv = Kv::builder(server::store_in(store)).create(false).open()?;
    let mut balances = Vec::new();
    for entry in kv.list(prefix!["account"]) {
        balances.push(entry?.u64()?);
    }
    let total: u64 = balances.iter().sum();
    println!("accounts: {balances:?}, {total} in all");
    if total != ACCOUNTS * OPENING || balances.iter().all(|balance| *balance == OPENING) {
        return Err(format!("{total} is not what was there at first, or nothing moved").into());
    }
    let messages = kv.queue("").len()?;
    if messages != 1 {
        return Err(format!("one message was sent, and {messages} are there").into());
    }
    let report = kv.check()?;
    kv.close()?;
    if !report.problems.is_empty() {
        return Err(format!("it is damaged: {:?}", report.problems).into());
    }
    Ok(3)
}

/// Kills the server again and again while Deno writes, and looks for what was acknowledged.
fn survive(clients: &Clients, arguments: &Arguments) -> Result<usize, String> {
    let directory = tempfile::tempdir().map_err(|error| format!("no directory: {error}"))?;
    let mut server = Server::start(directory.path(), None)?;
    let writes = arguments.writes.to_string();
    let mut journal = clients.deno().start(&server, OUTLIVES, &writes)?;
    let mut acknowledged = Vec::new();
    let share = (arguments.writes / (arguments.kills + 1)).max(1);
    let mut kills = 0;
    while let Some(line) = journal.line()? {
        let Some(number) = line.strip_prefix("acknowledged ") else { continue };
        acknowledged.push(number.parse::<u64>().map_err(|error| format!("{line}: {error}"))?);
        if kills < arguments.kills && acknowledged.len() as u64 == share * (kills + 1) {
            kills += 1;
            let address = server.address().to_owned();
            server.kill()?;
            server = Server::start(directory.path(), Some(&address))?;
        }
    }
    journal.end()?;
    server.end()?;
    let missing = missing(directory.path(), &acknowledged).map_err(|error| error.to_string())?;
    println!("killed {kills} times: {} writes acknowledged, {missing} missing", acknowledged.len());
    let all = acknowledged.len() as u64 == arguments.writes;
    if missing == 0 && all && kills == arguments.kills {
        Ok(1)
    } else {
        Err("an acknowledged write is missing, or Deno has given up".to_owned())
    }
}

fn missing(store: &std::path::Path, acknowledged: &[u64]) -> Result<usize, icecore::Error> {
    let kv = Kv::builder(server::store_in(store)).create(false).open()?;
    let mut missing = 0;
    for number in acknowledged {
        // A number of JavaScript is a float.
        let key = key!["journal", f64::from(u32::try_from(*number).unwrap_or(u32::MAX))];
        missing += usize::from(!kv.get(key)?.is_present());
    }
    kv.close()?;
    Ok(missing)
}
