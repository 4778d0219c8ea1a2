//! Errors that a world gives: those that were armed, those that the rules draw, and the end.

use std::io;

use rustix::io::Errno;

/// The kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    /// [`crate::Disk::lock`].
    Lock,
    /// [`crate::Disk::list`].
    List,
    /// [`crate::Disk::create`].
    Create,
    /// [`crate::Disk::open`].
    Open,
    /// [`crate::Disk::rename`].
    Rename,
    /// [`crate::Disk::remove`].
    Remove,
    /// [`crate::Disk::sync_dir`].
    SyncDir,
    /// [`crate::Disk::free_bytes`].
    FreeBytes,
    /// [`crate::Disk::create_directory`].
    CreateDirectory,
    /// [`crate::Disk::link`].
    Link,
    /// [`crate::File::submit`].
    Submit,
    /// [`crate::File::complete`].
    Complete,
    /// [`crate::File::write_at`].
    Write,
    /// [`crate::File::read_at`].
    Read,
    /// [`crate::File::len`].
    Len,
    /// [`crate::File::set_len`].
    SetLen,
    /// [`crate::File::allocate`].
    Allocate,
    /// [`crate::File::sync`].
    Sync,
    /// [`crate::File::map`].
    Map,
}

impl OpKind {
    /// Whether calls of this kind are mutating operations, which are numbered and at which the
    /// machine can stop. `Lock` is one only when it creates the lock file.
    pub fn mutates(self) -> bool {
        use OpKind::*;
        match self {
            List | Open | FreeBytes | Read | Len | Map | Lock => false,
            Create | Rename | Remove | SyncDir | CreateDirectory | Link | Submit | Complete
            | Write | SetLen | Allocate | Sync => true,
        }
    }
}

/// An error to give. A failing write, submitted or not, may have stored any part of its data; a
/// failing sync or durable write loses sectors for good (E3); other failing calls change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// `EIO`.
    Io,
    /// `ENOSPC`.
    NoSpace,
    /// `EDQUOT`.
    Quota,
    /// `EFBIG`.
    TooBig,
    /// `EINTR`.
    Interrupted,
    /// `EACCES`.
    Access,
    /// `EROFS`.
    ReadOnly,
    /// `EMFILE`.
    TooManyFiles,
    /// `ENOMEM`.
    NoMemory,
    /// `ENFILE`.
    NoFileTable,
    /// Not an error: a read or a write of fewer bytes than asked. Other calls fail with `EIO`.
    Short,
    /// E5: a sync or durable write loses sectors and says so only the next time. Other calls fail
    /// with `EIO`.
    Late,
    /// E6: a sync or durable write loses sectors and tells only the other handles. Other calls fail
    /// with `EIO`.
    Stray,
    /// E9: a sync or durable write succeeds without making anything durable. Other calls fail with
    /// `EIO`.
    Lie,
    /// E8: a read or write of another place. Other calls fail with `EIO`.
    Astray,
}

impl Failure {
    /// All of them.
    pub const ALL: [Failure; 15] = [
        Failure::Io,
        Failure::NoSpace,
        Failure::Quota,
        Failure::TooBig,
        Failure::Interrupted,
        Failure::Access,
        Failure::ReadOnly,
        Failure::TooManyFiles,
        Failure::NoMemory,
        Failure::NoFileTable,
        Failure::Short,
        Failure::Late,
        Failure::Stray,
        Failure::Lie,
        Failure::Astray,
    ];
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> io::Error {
        let errno = match failure {
            Failure::Io
            | Failure::Short
            | Failure::Late
            | Failure::Stray
            | Failure::Lie
            | Failure::Astray => Errno::IO,
            Failure::NoSpace => Errno::NOSPC,
            Failure::Quota => Errno::DQUOT,
            Failure::TooBig => Errno::FBIG,
            Failure::Interrupted => Errno::INTR,
            Failure::Access => Errno::ACCESS,
            Failure::ReadOnly => Errno::ROFS,
            Failure::TooManyFiles => Errno::MFILE,
            Failure::NoMemory => Errno::NOMEM,
            Failure::NoFileTable => Errno::NFILE,
        };
        errno.into()
    }
}

/// What every call of a life that is over gives.
pub(super) fn stopped() -> io::Error {
    io::Error::other("the machine has stopped")
}

/// An armed error and when it goes off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Armed {
    pub(super) when: When,
    pub(super) failure: Failure,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    /// At the next calls of a kind, so many times.
    Next(OpKind, u64),
    /// At one mutating operation.
    Operation(u64),
    /// At one call, mutating or not.
    Call(u64),
    /// At every call from one on.
    CallsFrom(u64),
}

/// The armed errors of a life.
#[derive(Clone, Debug, Default)]
pub(super) struct Arsenal {
    armed: Vec<Armed>,
}

impl Arsenal {
    pub(super) fn arm(&mut self, when: When, failure: Failure) {
        self.armed.push(Armed { when, failure });
    }

    pub(super) fn clear(&mut self) {
        self.armed.clear();
    }

    /// The error that is due at this call, which spends one of its times.
    pub(super) fn due(
        &mut self,
        kind: OpKind,
        operation: Option<u64>,
        call: u64,
    ) -> Option<Failure> {
        if self.armed.is_empty() {
            return None;
        }
        let i = self.armed.iter().position(|armed| match armed.when {
            When::Next(of, _) => of == kind,
            When::Operation(n) => operation == Some(n),
            When::Call(n) => call == n,
            When::CallsFrom(n) => call >= n,
        })?;
        let failure = self.armed[i].failure;
        match &mut self.armed[i].when {
            When::CallsFrom(_) => {}
            When::Next(_, times) if *times > 1 => *times -= 1,
            When::Next(..) | When::Operation(_) | When::Call(_) => {
                self.armed.remove(i);
            }
        }
        Some(failure)
    }
}
