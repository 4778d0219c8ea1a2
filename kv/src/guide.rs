//! The chapters of the guide, whose examples are tested with those of this crate.

#[doc = include_str!("../../docs/guide/src/getting-started.md")]
struct GettingStarted;

#[doc = include_str!("../../docs/guide/src/keys.md")]
struct Keys;

#[doc = include_str!("../../docs/guide/src/values.md")]
struct Values;

#[doc = include_str!("../../docs/guide/src/reading.md")]
struct Reading;

#[doc = include_str!("../../docs/guide/src/atomic.md")]
struct Atomic;

#[doc = include_str!("../../docs/guide/src/counters.md")]
struct Counters;

#[doc = include_str!("../../docs/guide/src/expiry.md")]
struct Expiry;

#[doc = include_str!("../../docs/guide/src/watching.md")]
struct Watching;

#[doc = include_str!("../../docs/guide/src/queues.md")]
struct Queues;

#[doc = include_str!("../../docs/guide/src/limits.md")]
struct Limits;

#[doc = include_str!("../../docs/guide/src/durability.md")]
struct Durability;

#[doc = include_str!("../../docs/guide/src/stores.md")]
struct Stores;

#[doc = include_str!("../../docs/guide/src/remote.md")]
struct Remote;

#[doc = include_str!("../../docs/guide/src/deno.md")]
struct Deno;

#[doc = include_str!("../../docs/guide/src/operating.md")]
struct Operating;

#[doc = include_str!("../../docs/guide/src/testing.md")]
struct Testing;

#[doc = include_str!("../../docs/guide/src/when-not.md")]
struct WhenNot;
