//! What the crate hands on from the layers below, each with an example of its use here.

/// ```
/// use icecore::{Durability, Kv, key};
///
/// let kv = Kv::builder_in_memory().durability(Durability::Buffered).open()?;
/// kv.set(key!["a"], 1)?; // As the store says.
/// kv.atomic().set(key!["b"], 2).commit_with(Durability::Sync)?; // As this call says.
/// # Ok::<(), icecore::Error>(())
/// ```
#[doc(inline)]
pub use icecore_engine::Durability;

/// ```
/// use std::sync::Arc;
/// use icecore::{Environment, Kv, key};
/// use icecore_disk::{MemoryDisk, clock::ManualClock, random::SeededRandom};
///
/// let clock = Arc::new(ManualClock::at(1_800_000_000_000));
/// let environment = Environment {
///     disk: Arc::new(MemoryDisk::new()),
///     clock: clock.clone(),
///     random: Arc::new(SeededRandom::new(1)),
/// };
/// let kv = Kv::builder_in(environment).open()?;
/// kv.set_expiring(key!["a"], 1, std::time::Duration::from_secs(60))?;
/// clock.advance_ms(60_000);
/// assert!(!kv.get(key!["a"])?.is_present());
/// # Ok::<(), icecore::Error>(())
/// ```
#[doc(inline)]
pub use icecore_engine::Environment;

/// ```
/// use icecore::{Kv, key};
///
/// let kv = Kv::in_memory()?;
/// kv.set(key!["a"], 1)?;
/// kv.flush()?;
/// let tables: u64 = kv.stats()?.levels.iter().map(|level| level.tables).sum();
/// assert_eq!(tables, 1);
/// # Ok::<(), icecore::Error>(())
/// ```
#[doc(inline)]
pub use icecore_engine::LevelStats;

/// ```
/// use icecore::{Kv, key};
///
/// let kv = Kv::in_memory()?;
/// kv.set(key!["a"], 1)?;
/// let log = kv.stats()?.log;
/// assert_eq!((log.commits, log.segments), (1, 1));
/// # Ok::<(), icecore::Error>(())
/// ```
#[doc(inline)]
pub use icecore_engine::LogStats;

/// ```
/// use icecore::{Kv, key};
///
/// let kv = Kv::in_memory()?;
/// let versionstamp = kv.set(key!["a"], 1)?;
/// let stats = kv.stats()?;
/// assert_eq!((stats.commits, stats.visible), (1, versionstamp));
/// assert_eq!(stats.poisoned, None);
/// # Ok::<(), icecore::Error>(())
/// ```
#[doc(inline)]
pub use icecore_engine::Stats;

/// ```
/// use icecore::{Kv, Versionstamp, key};
///
/// let kv = Kv::in_memory()?;
/// let first = kv.set(key!["a"], 1)?;
/// assert!(kv.set(key!["a"], 1)? > first);
/// assert_eq!(first.to_string().parse::<Versionstamp>()?, first);
/// # Ok::<(), icecore::Error>(())
/// ```
#[doc(inline)]
pub use icecore_model::Versionstamp;

/// ```
/// use icecore::{Int, key};
///
/// let large: Int = "340282366920938463463374607431768211456".parse().unwrap(); // 2^128
/// assert!(large > Int::from(u128::MAX));
/// assert!(key!["n", -1] < key!["n", large]);
/// ```
#[doc(inline)]
pub use icecore_model::int::Int;

/// ```
/// use icecore::{Part, key};
///
/// let parts = key!["user", 42].parts()?;
/// assert_eq!(parts[0].as_str(), Some("user"));
/// assert!(matches!(&parts[1], Part::Int(number) if u64::try_from(number) == Ok(42)));
/// # Ok::<(), icecore::Error>(())
/// ```
#[doc(inline)]
pub use icecore_model::key::Part;

/// ```
/// use icecore::{ParseStampError, Versionstamp};
///
/// let refused: Result<Versionstamp, ParseStampError> = "12".parse();
/// assert!(refused.is_err());
/// ```
#[doc(inline)]
pub use icecore_model::stamp::ParseStampError;
