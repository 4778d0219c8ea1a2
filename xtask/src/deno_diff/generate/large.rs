//! Steps at a limit: just within it, or just beyond.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use super::Maker;
use crate::deno_diff::history::{Check, Cursor, List, Message, Mutation, Parts, Step};
use crate::deno_diff::tagged::Tagged;

/// Bytes of an encoded key.
const KEY_BYTES: usize = 2048;
const VALUE_BYTES: usize = 65_536;
const COMMIT_BYTES: usize = 819_200;
/// What V8 adds to a long text of one byte a character: header, tag and length.
const TEXT_BYTES: usize = 6;

/// A key of one part whose encoding has so many bytes.
fn key_of_bytes(bytes: usize) -> Parts {
    vec![Tagged::text(&"k".repeat(bytes - 2))]
}

impl Maker {
    /// Each sum goes over by 0 or by 1.
    pub(super) fn large_step(&mut self) -> Step {
        let over = self.below(2);
        let key = || vec![Tagged::text("z")];
        match self.below(20) {
            0 => Step::Get { key: key_of_bytes(KEY_BYTES + over) },
            1 => Step::Set {
                key: key_of_bytes(KEY_BYTES + over),
                value: Tagged::Null,
                expire_in: None,
            },
            2 => Step::Delete { key: key_of_bytes(KEY_BYTES + over) },
            3 => checking(vec![key_of_bytes(KEY_BYTES + over)]),
            4 => {
                let value = Tagged::bytes(&vec![7; VALUE_BYTES + over]);
                Step::Set { key: key(), value, expire_in: None }
            }
            5 => {
                let value = Tagged::text(&"é".repeat(VALUE_BYTES - TEXT_BYTES + over));
                let short = Tagged::text(&"x".repeat(VALUE_BYTES - TEXT_BYTES + over));
                let value = if self.one_in(4) { value } else { short };
                Step::Set { key: key(), value, expire_in: None }
            }
            6 => Step::GetMany { keys: vec![self.any_key(); 10 + over] },
            7 => checking(vec![vec![Tagged::text("absent")]; 100 + over]),
            8 => mutating(vec![Mutation::Delete { key: key() }; 1_000 + over]),
            9 => {
                let key = key_of_bytes(KEY_BYTES);
                mutating(vec![Mutation::Delete { key }; COMMIT_BYTES / KEY_BYTES + over])
            }
            10 => {
                let key = key_of_bytes(KEY_BYTES);
                let set = Mutation::Set { key, value: Tagged::Null, expire_in: None };
                mutating(vec![set; 40 + over])
            }
            11 => exactly_full(over),
            12 => {
                Step::List(List { prefix: Some(key_of_bytes(KEY_BYTES + over)), ..List::default() })
            }
            13 => Step::List(List {
                start: Some(key_of_bytes(KEY_BYTES + over)),
                end: Some(key_of_bytes(KEY_BYTES + 1)),
                ..List::default()
            }),
            14 => {
                // The length of a text of Latin-1 whose payload is just as long.
                let value = Tagged::text(&"p".repeat(VALUE_BYTES - TEXT_BYTES + over));
                self.enqueue(Message { value, ..plain() })
            }
            15 => {
                let backoff = Some(vec![1; 5 + over]);
                self.enqueue(Message { backoff, ..plain() })
            }
            16 => {
                let backoff = Some(vec![1, 3_600_000 + over as u64]);
                self.enqueue(Message { backoff, ..plain() })
            }
            17 => {
                // Behind a key, a range begins with one byte more.
                let cursor = URL_SAFE.encode(vec![b'c'; KEY_BYTES + self.below(3)]);
                let (cursor, prefix) = (Some(Cursor::Text { text: cursor }), Some(Vec::new()));
                Step::List(List { cursor, prefix, reverse: self.one_in(2), ..List::default() })
            }
            18 => {
                let delay = Some(2_592_000_000 + over as u64);
                self.enqueue(Message { delay, ..plain() })
            }
            _ => {
                let backoff = [None, Some(Vec::new()), Some(vec![1; 3])][self.below(3)].clone();
                let message = filling_up(backoff, over);
                self.send(message.clone(), full_with(message))
            }
        }
    }

    /// An operation with several faults, of which one is told.
    pub(super) fn faulty_step(&mut self) -> Step {
        let mut checks = vec![Check { key: self.any_key(), stamp: None }];
        let mut mutations = vec![Mutation::Delete { key: self.any_key() }];
        let set = |key, value, expire_in| Mutation::Set { key, value, expire_in };
        let long = || key_of_bytes(KEY_BYTES + 1);
        let short = || vec![Tagged::text("z")];
        for _ in 0..2 + self.below(2) {
            let check_place = self.below(checks.len() + 1);
            let place = self.below(mutations.len() + 1);
            match self.below(14) {
                0 => checks.insert(check_place, Check { key: Vec::new(), stamp: None }),
                1 => checks.insert(check_place, Check { key: long(), stamp: None }),
                2 => checks.extend(vec![Check { key: short(), stamp: None }; 101]),
                3 => mutations.insert(place, Mutation::Delete { key: Vec::new() }),
                4 => mutations.insert(place, Mutation::Delete { key: long() }),
                5 => mutations.insert(place, set(long(), Tagged::Null, None)),
                6 => {
                    let value = Tagged::bytes(&[7; VALUE_BYTES + 1]);
                    mutations.insert(place, set(short(), value, None));
                }
                7 => mutations.insert(place, set(short(), Tagged::Null, Some(u64::MAX >> 11))),
                8 => mutations.extend(vec![Mutation::Delete { key: short() }; 1_000]),
                9 => {
                    let key = key_of_bytes(KEY_BYTES);
                    mutations.extend(vec![set(key, Tagged::Null, None); 41]);
                }
                10 => mutations.extend(vec![set(short(), Tagged::bytes(&[7; 60_000]), None); 14]),
                11 => {
                    let value = Tagged::text(&"p".repeat(VALUE_BYTES));
                    mutations.insert(place, Mutation::Enqueue(Message { value, ..plain() }));
                }
                12 => {
                    let backoff = Some(vec![0; 6]);
                    mutations.insert(place, Mutation::Enqueue(Message { backoff, ..plain() }));
                }
                _ => {
                    let delay = Some(2_592_000_001);
                    mutations.insert(place, Mutation::Enqueue(Message { delay, ..plain() }));
                }
            }
        }
        Step::Atomic { checks, mutations }
    }

    /// A message whose payload no other has, unless it is a long one.
    fn enqueue(&mut self, message: Message) -> Step {
        self.messages += 1;
        let value = match message.value {
            Tagged::Null => Tagged::text(&format!("odd message {}", self.messages)),
            long => long,
        };
        let message = Message { value, ..message };
        self.send(message.clone(), Step::Enqueue(message))
    }

    /// The step that sends `message`, unless one with this payload was sent before.
    fn send(&self, message: Message, step: Step) -> Step {
        let is_same = |sent: &Message| sent.value == message.value;
        let is_repeated = self.steps.iter().any(|step| match step {
            Step::Enqueue(sent) => is_same(sent),
            Step::Atomic { mutations, .. } => mutations.iter().any(|mutation| match mutation {
                Mutation::Enqueue(sent) => is_same(sent),
                _ => false,
            }),
            _ => false,
        });
        if is_repeated { Step::Pass } else { step }
    }
}

fn plain() -> Message {
    Message { value: Tagged::Null, delay: None, backoff: Some(vec![]), keys: vec![], fails: 0 }
}

fn checking(keys: Vec<Parts>) -> Step {
    let checks = keys.into_iter().map(|key| Check { key, stamp: None }).collect();
    Step::Atomic { checks, mutations: Vec::new() }
}

fn mutating(mutations: Vec<Mutation>) -> Step {
    Step::Atomic { checks: Vec::new(), mutations }
}

/// The key of what fills an operation.
fn filling_key() -> Parts {
    vec![Tagged::text("z")]
}

/// What its key counts: both times.
const FILLING_KEY_BYTES: usize = 2 * 3;

/// As many of the largest values as an operation can hold.
const WHOLE: usize = COMMIT_BYTES / (VALUE_BYTES + FILLING_KEY_BYTES);

/// What is left then.
const REST: usize = COMMIT_BYTES - WHOLE * (VALUE_BYTES + FILLING_KEY_BYTES);

fn filling(bytes: usize) -> Mutation {
    let value = Tagged::bytes(&vec![9; bytes]);
    Mutation::Set { key: filling_key(), value, expire_in: None }
}

/// Sets that together have as many bytes as an operation may.
fn exactly_full(over: usize) -> Step {
    let mut mutations = vec![filling(VALUE_BYTES); WHOLE];
    mutations.push(filling(REST - FILLING_KEY_BYTES + over));
    mutating(mutations)
}

/// Sets and a message that takes what they leave.
fn full_with(message: Message) -> Step {
    let mut mutations = vec![filling(VALUE_BYTES); WHOLE];
    mutations.push(Mutation::Enqueue(message));
    mutating(mutations)
}

/// Payload and, if it is named, the schedule of this message have as many bytes as are left.
fn filling_up(backoff: Option<Vec<u64>>, over: usize) -> Message {
    let schedule = 4 * backoff.as_ref().map_or(0, Vec::len);
    let value = Tagged::text(&"m".repeat(REST - TEXT_BYTES - schedule + over));
    Message { value, backoff, ..plain() }
}
