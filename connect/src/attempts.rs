//! How often an address may show wrong tokens.
//!
//! 1. An address may fail [`BURST`] times at once and [`PER_SECOND`] times each second from then on:
//!    no program with one wrong token comes near that, and nobody guesses a token at that rate.
//! 2. While it has no failure left, none of its exchanges is looked at, since an answer would say
//!    whether the token was right. Sessions cannot be guessed: who has one is served.
//! 3. What is kept is bounded. When it is full, those that are as good as new are forgotten; if there
//!    are none, all further addresses count as one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::Refusal;

/// Failures at once.
const BURST: u32 = 100;
/// Failures that are forgiven in a second.
const PER_SECOND: u32 = 10;
/// Addresses that are kept.
const ADDRESSES_MAX: usize = 4_096;

/// The failures of each address.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// By the moment at which all is forgiven; `None` stands for all addresses that found no place.
    forgiven: Mutex<HashMap<Option<IpAddr>, Duration>>,
}

/// How long one failure counts.
fn weight() -> Duration {
    Duration::from_secs(1) / PER_SECOND
}

/// What counts as one address: who has one of IPv6 has the 2⁶⁴ beside it.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Attempts {
    /// Refuses an address that has failed too often, at the moment `now` of a clock that never goes
    /// back.
    pub(crate) fn check(&self, address: IpAddr, now: Duration) -> Result<(), Refusal> {
        let forgiven = self.forgiven.lock().unwrap_or_else(PoisonError::into_inner);
        let source = Some(source(address));
        let key = if forgiven.contains_key(&source) { source } else { None };
        let wait = forgiven.get(&key).map_or(Duration::ZERO, |at| at.saturating_sub(now));
        if wait + weight() > weight() * BURST {
            return Err(Refusal::too_many_attempts());
        }
        Ok(())
    }

    /// Notes a failure.
    pub(crate) fn note(&self, address: IpAddr, now: Duration) {
        let mut forgiven = self.forgiven.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = Some(source(address));
        if forgiven.len() >= ADDRESSES_MAX && !forgiven.contains_key(&key) {
            forgiven.retain(|_, at| *at > now);
            if forgiven.len() >= ADDRESSES_MAX {
                key = None;
            }
        }
        let at = forgiven.entry(key).or_insert(now);
        // More than the burst is no worse than the burst.
        *at = ((*at).max(now) + weight()).min(now + weight() * BURST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const START: Duration = Duration::from_secs(1_000);

    #[test]
    fn an_address_fails_a_hundred_times_and_then_ten_times_a_second() {
        let (attempts, bad) = (Attempts::default(), IpAddr::V4(Ipv4Addr::new(1, 2, 3, 4)));
        let allowed = |now| {
            let mut count = 0;
            while attempts.check(bad, now).is_ok() {
                attempts.note(bad, now);
                count += 1;
            }
            count
        };
        assert_eq!(allowed(START), 100);
        assert_eq!(attempts.check(bad, START).unwrap_err().status, 429);
        let mapped = IpAddr::V6(Ipv4Addr::new(1, 2, 3, 4).to_ipv6_mapped());
        assert!(attempts.check(mapped, START).is_err(), "it is the same address");
        assert!(attempts.check(IpAddr::V4(Ipv4Addr::new(1, 2, 3, 5)), START).is_ok());
        assert_eq!(allowed(START + Duration::from_secs(1)), 10);
        assert_eq!(allowed(START + Duration::from_secs(3_600)), 100);
    }

    #[test]
    fn a_million_addresses_take_no_more_room_than_four_thousand() {
        let attempts = Attempts::default();
        let address = |number: u128| IpAddr::V6(Ipv6Addr::from_bits(number << 64 | 1));
        for number in 0..20_000 {
            attempts.note(address(number), START);
        }
        assert!(attempts.forgiven.lock().unwrap().len() <= ADDRESSES_MAX + 1);
        assert!(attempts.check(address(30_000), START).is_err(), "all others are as one");
        assert!(attempts.check(address(1), START).is_ok(), "it has failed once");
        let later = START + Duration::from_secs(60);
        assert!(attempts.check(address(30_000), later).is_ok());
        attempts.note(address(30_000), later);
        assert_eq!(attempts.forgiven.lock().unwrap().len(), 1);
    }
}
