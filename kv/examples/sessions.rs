//! Sessions of a web site: they end by themselves half an hour after they were last used.
//!
//! A session is a key with an expiry. Whoever uses it puts the end off with `touch`, which leaves
//! the value as it is. Reads see it until the millisecond in which it ends, and not after. The
//! program brings a clock of its own, so that nobody has to wait for half an hour.
//!
//! ```text
//! cargo run -p icecore --example sessions
//! ```

use std::sync::Arc;
use std::time::Duration;

use icecore::{Environment, Error, Expiry, Kv, key, prefix};
use icecore_disk::MemoryDisk;
use icecore_disk::clock::ManualClock;
use icecore_disk::random::SystemRandom;

const LIFETIME: Duration = Duration::from_secs(30 * 60);

/// The sessions in a store. An entry for each token holds the name of the user.
struct Sessions {
    kv: Kv,
}

impl Sessions {
    /// Begins a session. A token that is in use is refused.
    fn begin(&self, token: &str, user: &str) -> Result<bool, Error> {
        let session = key!["session", token];
        let outcome = self
            .kv
            .atomic()
            .check_absent(&session)
            .set_expiring(&session, user, LIFETIME)
            .commit()?;
        Ok(outcome.versionstamp().is_some())
    }

    /// Who has the session, if it has not ended. That is a use: it lives for half an hour more.
    fn user_of(&self, token: &str) -> Result<Option<String>, Error> {
        let session = self.kv.get(key!["session", token])?;
        if !session.is_present() {
            return Ok(None);
        }
        // Touching an absent key does nothing, so a session that ends in between stays ended.
        // Losing this commit in a power cut ends a session early: it need not be durable.
        let touched = self.kv.atomic().touch(&session.key, Some(Expiry::In(LIFETIME)));
        drop(touched.commit_buffered()?);
        Ok(Some(session.str()?.to_owned()))
    }

    /// Ends a session.
    fn end(&self, token: &str) -> Result<(), Error> {
        self.kv.delete(key!["session", token]).map(drop)
    }

    /// How many sessions there are.
    fn count(&self) -> Result<u64, Error> {
        self.kv.count(prefix!["session"])
    }
}

fn main() -> Result<(), Error> {
    let clock = Arc::new(ManualClock::at(1_800_000_000_000));
    let environment = Environment {
        disk: Arc::new(MemoryDisk::new()),
        clock: clock.clone(),
        random: Arc::new(SystemRandom),
    };
    let sessions = Sessions { kv: Kv::builder_in(environment).open()? };
    let minutes = |minutes: u64| clock.advance_ms(minutes * 60_000);

    assert!(sessions.begin("4f2a", "ada")?);
    assert!(sessions.begin("91c0", "bob")?);
    assert!(!sessions.begin("4f2a", "eve")?, "the token is in use");

    minutes(20);
    assert_eq!(sessions.user_of("4f2a")?.as_deref(), Some("ada"));
    minutes(20);
    assert_eq!(sessions.user_of("4f2a")?.as_deref(), Some("ada"), "it was used in between");
    assert_eq!(sessions.user_of("91c0")?, None, "it was not");
    assert_eq!(sessions.count()?, 1);

    // To the millisecond.
    clock.advance_ms(30 * 60_000 - 1);
    assert_eq!(sessions.count()?, 1);
    clock.advance_ms(1);
    assert_eq!(sessions.count()?, 0);

    assert!(sessions.begin("4f2a", "eve")?, "a token whose session has ended is free");
    sessions.end("4f2a")?;
    assert_eq!(sessions.user_of("4f2a")?, None);
    println!("sessions ended when they should");
    Ok(())
}

#[test]
fn sessions_end_to_the_millisecond_unless_they_are_used() -> Result<(), Error> {
    main()
}
