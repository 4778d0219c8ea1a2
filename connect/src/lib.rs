//! Icecore over KV Connect: the server for programs of Deno and Node.
//!
//! Unmodified programs use a store that is served as they use Deno KV, with
//! `Deno.openKv("http://127.0.0.1:4512")` or `openKv` of the npm package `@deno/kv`, and the access
//! token in the environment variable `DENO_KV_ACCESS_TOKEN`:
//!
//! ```
//! use icecore::Kv;
//! use icecore_connect::{AccessTokens, Served, Server, Settings, store_limits};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let kv = Kv::builder_in_memory().limits(store_limits()).open()?;
//! let tokens = AccessTokens::parse("a token that nobody else knows".replace(' ', "-").as_str())?;
//! let served = Served { name: None, kv, tokens, read_only: false };
//! let settings = Settings { address: "127.0.0.1:0".parse()?, ..Settings::default() };
//! let server = Server::bind(settings, vec![served]).await?;
//! println!("Listening on {}", server.url());
//! server.run(async { /* until somebody asks it to end */ }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! From the wire inwards: `server` (listens, and ends in order), `connection`, `respond` (from a
//! request to its answer), `negotiate` and `auth` (who may use what), `read`, `write`, `watch` (the
//! three methods), `client` (values as the asking program can read them). The bytes of all of it are
//! those of `icecore-wire`.

#![forbid(unsafe_code)]

mod account;
mod attempts;
mod auth;
mod body;
mod budget;
mod call;
mod client;
mod connection;
mod database;
mod drive;
mod error;
mod files;
mod limits;
mod metrics;
mod negotiate;
mod peer;
mod pool;
mod pulse;
mod queue;
mod read;
mod request;
mod respond;
mod run;
mod server;
mod settings;
mod stall;
mod state;
mod stream;
mod tls;
mod watch;
mod write;

pub use auth::{ACCESS_TOKEN_CHARS_MIN, AccessTokens};
pub use database::{Served, is_database_name};
pub use limits::store_limits;
pub use run::run;
pub use server::{ServeError, Server, Tokens};
pub use settings::{PORT, Settings};
pub use tls::Identity;
