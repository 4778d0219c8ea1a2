//! A program that has its own ideas about SIGBUS, and its own mappings.

#![expect(unsafe_code, reason = "signals and mappings of somebody else")]

use std::path::Path;
use std::ptr;

use libc::{c_int, c_void, siginfo_t};

pub(crate) use libc::SIGBUS;

/// How a process ends whose own handler was called as it should be.
pub(crate) const DETAILED: i32 = 71;
pub(crate) const PLAIN: i32 = 72;

/// What the program does with the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Detailed,
    Plain,
    Default,
    Ignored,
    /// Nothing: it is as the runtime has set it.
    None,
}

extern "C" fn detailed(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's pointers are valid in a handler, and `_exit` may be called there.
    unsafe {
        let is_whole = signal == SIGBUS && !context.is_null() && !(*info).si_addr().is_null();
        libc::_exit(if is_whole { DETAILED } else { 1 })
    }
}

extern "C" fn plain(signal: c_int) {
    // SAFETY: `_exit` may be called in a handler.
    unsafe { libc::_exit(if signal == SIGBUS { PLAIN } else { 1 }) }
}

/// Sets what the process does at SIGBUS.
pub(crate) fn act(action: Action) {
    let (handler, flags) = match action {
        Action::Detailed => {
            (detailed as extern "C" fn(_, _, _) as usize, libc::SA_SIGINFO | libc::SA_ONSTACK)
        }
        Action::Plain => (plain as extern "C" fn(_) as usize, libc::SA_ONSTACK),
        Action::Default => (libc::SIG_DFL, 0),
        Action::Ignored => (libc::SIG_IGN, 0),
        Action::None => return,
    };
    // SAFETY: zeros are a valid action, and the handlers above may be called at any time.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(SIGBUS, &raw const action, ptr::null_mut()), 0);
    }
}

/// The address of the present handler.
pub(crate) fn handler() -> usize {
    // SAFETY: zeros are a valid action, which is only written to.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(SIGBUS, ptr::null(), &raw mut action), 0);
        action.sa_sigaction
    }
}

/// Sends the signal to the calling thread.
pub(crate) fn send() {
    // SAFETY: `raise` has no preconditions.
    assert_eq!(unsafe { libc::raise(SIGBUS) }, 0);
}

/// Reads a page that is not there, of a mapping that nobody else knows of.
pub(crate) fn fault(directory: &Path) {
    let file = tempfile::tempfile_in(directory).unwrap();
    file.set_len(1).unwrap();
    // SAFETY: this breaks the contract on purpose: nothing else reads the mapping.
    let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
    file.set_len(0).unwrap();
    std::hint::black_box(map[0]);
    unreachable!("the page is gone");
}
