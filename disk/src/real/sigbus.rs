//! A page of a mapping that cannot be read becomes a note in a table, not the end of the process.
//!
//! Linux and macOS tell of such a page (the file was cut, its medium failed, a sparse file found no
//! room) by SIGBUS in the thread that reads it. The handler here looks the address up among the
//! mappings of this crate ([`watched`]), notes the fault, puts a page of zeros in its place and
//! returns: the read goes on with zeros, and who made it asks afterwards
//! ([`Region::check`](crate::Region::check)). Whatever else the signal means goes to the handler
//! that was there before, or ends the process as before.
//!
//! 1. The handler is installed once, with the first watched mapping, and stays: code that was
//!    loaded as a library must not be unloaded after that.
//! 2. It takes no lock, allocates nothing and leaves `errno` as it was.
//! 3. It touches only pages of mappings in the table, which are only ever read.
//! 4. It runs on the alternate signal stack of the thread, where there is one.
//!
//! Who installs another handler later must pass on what it does not know, as this one does.

use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use libc::{c_int, c_void, sigaction, siginfo_t};

use super::watched;

/// Who had the signal before. Set before the handler is, and never freed.
static PREVIOUS: AtomicPtr<sigaction> = AtomicPtr::new(ptr::null_mut());

/// The size of a page, which the handler must not ask for.
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Installs the handler, if that has not been done.
pub(super) fn install() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    let installed = INSTALLED
        .get_or_init(|| set_handler().map_err(|e| e.raw_os_error().unwrap_or(libc::EINVAL)));
    installed.map_err(io::Error::from_raw_os_error)
}

#[expect(unsafe_code, reason = "the signal has no safe interface")]
fn set_handler() -> io::Result<()> {
    // SAFETY: `sysconf` only answers.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let page_bytes = usize::try_from(page_bytes).map_err(|_| io::Error::last_os_error())?;
    PAGE_BYTES.store(page_bytes, Ordering::Release);
    let mut before = asked(None)?;
    // The signals that the handler before wanted to be spared are kept away from this one, too,
    // which may call it.
    let ours = sigaction {
        sa_sigaction: on_sigbus as extern "C" fn(_, _, _) as usize,
        sa_flags: libc::SA_SIGINFO | libc::SA_ONSTACK,
        ..before
    };
    remember(before);
    before = asked(Some(&ours))?;
    remember(before);
    Ok(())
}

fn remember(action: sigaction) {
    PREVIOUS.store(Box::leak(Box::new(action)), Ordering::Release);
}

/// What happens at SIGBUS, before it is changed to `action`.
#[expect(unsafe_code, reason = "the signal has no safe interface")]
fn asked(action: Option<&sigaction>) -> io::Result<sigaction> {
    let mut before = std::mem::MaybeUninit::<sigaction>::zeroed();
    // SAFETY:
    // - the first pointer is null or leads to a whole `sigaction`, the second to room for one;
    // - the action given is the default one, or `on_sigbus`, which lives as long as the code does
    //   and does only what a signal handler may;
    // - zeros are a valid `sigaction` (numbers, and a pointer that may be null).
    unsafe {
        let action = action.map_or(ptr::null(), ptr::from_ref);
        match libc::sigaction(libc::SIGBUS, action, before.as_mut_ptr()) {
            0 => Ok(before.assume_init()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// The handler.
#[expect(unsafe_code, reason = "the kernel hands over pointers")]
extern "C" fn on_sigbus(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: by the contract of SA_SIGINFO, `info` leads to a whole `siginfo_t` for as long as the
    // handler runs; its address field is valid, or any number, with every code.
    let (address, code) = unsafe { ((*info).si_addr().addr(), (*info).si_code) };
    let is_fault = is_fault(code);
    if !(is_fault && replace_page(address)) {
        pass_on(signal, info, context, is_fault);
    }
}

/// Whether the signal comes from a read or write of memory, not from somebody who sent it.
fn is_fault(code: c_int) -> bool {
    // BUS_ADRALN, BUS_ADRERR, BUS_OBJERR, and Linux's two for broken memory.
    (1..=5).contains(&code)
}

/// Notes the fault and puts zeros where the page at `address` is, if it belongs to a mapping that
/// is watched.
#[expect(unsafe_code, reason = "a page is mapped over another one")]
fn replace_page(address: usize) -> bool {
    let page_bytes = PAGE_BYTES.load(Ordering::Acquire);
    let start = address & !(page_bytes - 1);
    if !watched::note(&(start..start + page_bytes), address) {
        return false;
    }
    // SAFETY:
    // - `mmap` is a plain system call on Linux and macOS, which a handler may make; `errno` is put
    //   back;
    // - MAP_FIXED replaces what is mapped there. The page holds `address`, which lies in a mapping
    //   of this crate: it was entered before the read that faulted and leaves the table before it
    //   is unmapped, which the borrow behind that read prevents. Mappings begin and end at pages,
    //   so nothing of anybody else lies in this one;
    // - the mapping is only ever read, before and after; that the new page is private and the lost one
    //   was shared makes no difference to a reader. Unmapping the whole range later takes it along;
    // - its bytes change under shared slices, as they may at any time when somebody else writes to
    //   the file. Here it is a page that nobody could read: no thread has seen other bytes since
    //   the page was lost, and the fault is noted before any thread can see these.
    unsafe {
        let errno = errno_place();
        let before = *errno;
        let place = ptr::without_provenance_mut(start);
        let flags = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANON;
        let mapped = libc::mmap(place, page_bytes, libc::PROT_READ, flags, -1, 0);
        *errno = before;
        mapped != libc::MAP_FAILED
    }
}

/// Does what would have been done without this handler.
#[expect(unsafe_code, reason = "another handler is called by its address")]
fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void, is_fault: bool) {
    // SAFETY: `remember` has stored a pointer to a leaked box before the handler was installed.
    let previous = unsafe { &*PREVIOUS.load(Ordering::Acquire) };
    match previous.sa_sigaction {
        // The kernel does not let anybody ignore a fault.
        libc::SIG_IGN if !is_fault => {}
        libc::SIG_DFL | libc::SIG_IGN => end_process(),
        // SAFETY: whoever installed this handler declared by the flag which of the two shapes it
        // has; it gets what the kernel would have given it.
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => unsafe {
            let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                std::mem::transmute(handler);
            handler(signal, info, context);
        },
        // SAFETY: as above.
        handler => unsafe {
            let handler: extern "C" fn(c_int) = std::mem::transmute(handler);
            handler(signal);
        },
    }
}

/// Takes the handler away and sends the signal once more: it ends the process when the handler
/// returns, at the very instruction that faulted.
#[expect(unsafe_code, reason = "the signal has no safe interface")]
fn end_process() {
    // SAFETY:
    // - zeros are the default action with no flags and an empty mask;
    // - `sigaction` and `raise` are among the functions that a handler may call.
    unsafe {
        let default = std::mem::MaybeUninit::<sigaction>::zeroed().assume_init();
        libc::sigaction(libc::SIGBUS, &raw const default, ptr::null_mut());
        libc::raise(libc::SIGBUS);
    }
}

#[cfg(not(target_vendor = "apple"))]
use libc::__errno_location as errno_place;
#[cfg(target_vendor = "apple")]
use libc::__error as errno_place;
