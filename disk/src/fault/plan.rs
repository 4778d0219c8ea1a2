//! What goes wrong, and when: the plan that a test shares with its faulty disks.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Name;

/// What is asked of a disk or a file, as far as faults tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the method of `Disk` or `File` that bears its name")]
pub enum Operation {
    Lock,
    List,
    Create,
    Open,
    Rename,
    Remove,
    SyncDir,
    FreeBytes,
    CreateDirectory,
    Link,
    /// [`File::complete`](crate::File::complete): a submitted write succeeds or fails when it is completed.
    Complete,
    WriteAt,
    ReadAt,
    Len,
    SetLen,
    Allocate,
    Sync,
    Map,
}

/// How far an operation gets before its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It does nothing.
    None,
    /// A write writes the first half of its bytes; anything else does nothing.
    Half,
    /// It happens, and the error comes all the same.
    Full,
}

#[derive(Clone, Copy, Debug)]
enum Cause {
    Kind(io::ErrorKind),
    Code(i32),
    Short,
}

/// One thing that goes wrong: by default once, at the first operation.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    cause: Cause,
    operation: Option<Operation>,
    names: Option<fn(Name) -> bool>,
    skip: u64,
    for_ever: bool,
    reach: Reach,
}

impl Fault {
    fn new(cause: Cause) -> Fault {
        let (operation, names) = (None, None);
        Fault { cause, operation, names, skip: 0, for_ever: false, reach: Reach::None }
    }

    /// An error of this kind, such as [`io::ErrorKind::Interrupted`].
    pub fn kind(kind: io::ErrorKind) -> Fault {
        Fault::new(Cause::Kind(kind))
    }

    /// An error with this code of the operating system (an `errno`).
    pub fn code(code: i32) -> Fault {
        Fault::new(Cause::Code(code))
    }

    /// [`Operation::WriteAt`] and [`Operation::ReadAt`] do half of what they are asked, at least one
    /// byte, and succeed. Other operations are not counted.
    pub fn short() -> Fault {
        Fault::new(Cause::Short)
    }

    /// Counts only this operation.
    pub fn on(self, operation: Operation) -> Fault {
        Fault { operation: Some(operation), ..self }
    }

    /// Counts only operations on such names; a rename is on both of its names.
    pub fn named(self, names: fn(Name) -> bool) -> Fault {
        Fault { names: Some(names), ..self }
    }

    /// Lets this many of the counted operations pass first.
    pub fn after(self, operations: u64) -> Fault {
        Fault { skip: operations, ..self }
    }

    /// Fails every counted operation from there on, not only one.
    pub fn for_ever(self) -> Fault {
        Fault { for_ever: true, ..self }
    }

    /// Lets the failing operation get this far.
    pub fn reaching(self, reach: Reach) -> Fault {
        Fault { reach, ..self }
    }

    fn counts(&self, operation: Operation, names: &[Name]) -> bool {
        let possible = match self.cause {
            Cause::Short => matches!(operation, Operation::WriteAt | Operation::ReadAt),
            _ => true,
        };
        possible
            && self.operation.is_none_or(|only| only == operation)
            && self.names.is_none_or(|only| names.iter().any(|name| only(*name)))
    }
}

/// What goes wrong, and how much was done. Shared by a test and its disks.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    operations: u64,
    struck: u64,
    pending: Vec<Fault>,
}

/// What a fault does to the operation that it strikes.
pub(super) enum Strike {
    Short,
    Error(io::Error, Reach),
}

impl Faults {
    /// A plan in which nothing goes wrong.
    pub fn new() -> Arc<Faults> {
        Arc::default()
    }

    /// Adds a fault, which counts operations from now on. Of several that strike at once the one
    /// added first wins, and the others have counted.
    pub fn inject(&self, fault: Fault) {
        self.state().pending.push(fault);
    }

    /// Forgets all faults.
    pub fn clear(&self) {
        self.state().pending.clear();
    }

    /// How many operations were asked for so far, the failed ones included.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// How many operations a fault has struck so far: 0 tells a test that it tested nothing.
    pub fn struck(&self) -> u64 {
        self.state().struck
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of the test must not hide behind a second one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation and says what goes wrong with it.
    pub(super) fn strike(&self, operation: Operation, names: &[Name]) -> Option<Strike> {
        let mut state = self.state();
        state.operations += 1;
        let mut strike = None;
        state.pending.retain_mut(|fault| {
            if !fault.counts(operation, names) {
                return true;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                return true;
            }
            strike.get_or_insert(match fault.cause {
                Cause::Short => Strike::Short,
                Cause::Kind(kind) => Strike::Error(kind.into(), fault.reach),
                Cause::Code(code) => Strike::Error(io::Error::from_raw_os_error(code), fault.reach),
            });
            fault.for_ever
        });
        state.struck += u64::from(strike.is_some());
        strike
    }

    /// Performs an operation that is done in one step, unless it fails.
    pub(super) fn perform<T>(
        &self,
        operation: Operation,
        names: &[Name],
        perform: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        match self.strike(operation, names) {
            Some(Strike::Error(error, Reach::Full)) => perform().and(Err(error)),
            Some(Strike::Error(error, _)) => Err(error),
            Some(Strike::Short) | None => perform(),
        }
    }
}
