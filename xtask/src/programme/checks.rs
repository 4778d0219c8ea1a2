//! The table of the programme: each check, its bar before a release, and its two forms.

/// A check.
#[derive(Debug)]
pub(super) struct Check {
    /// As its own last line begins, and docs/crash-safety.md names it.
    pub(super) id: &'static str,
    /// The name of its command.
    pub(super) name: &'static str,
    /// What it is to reach before a release.
    pub(super) bar: &'static str,
    /// How the gate runs it, if it does.
    pub(super) gate: Option<Form>,
    /// How the soak runs it, if it does.
    pub(super) soak: Option<Form>,
}

/// How a check is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// Its part of the time.
    pub(super) weight: u32,
    /// The command, without the time and the seed.
    pub(super) words: &'static str,
}

const fn form(weight: u32, words: &'static str) -> Option<Form> {
    Some(Form { weight, words })
}

/// In the order in which they run: the cheapest to find a bug first.
pub(super) const ALL: &[Check] = &[Check {
    id: "B7",
    name: "model",
    bar: "1 M keys, small memtables and tables",
    gate: form(3, "model --keys 200000"),
    soak: form(3, "model --rounds 1000000"),
}];
