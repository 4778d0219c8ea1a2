//! The sanitizer's checks of addresses, as small functions that change no register but two.
//!
//! The compiler calls one for each access when it is told to (`-asan-optimize-callbacks`, in the
//! profile of this package): one for each kind of access, size and register with the address. LLVM
//! has them in its own runtime of the sanitizer, and Rust's copy of that lacks them. They are weak:
//! if it has them one day, its own are taken.
//!
//! Eight bytes of memory have one byte of shadow, at an eighth of their address plus 0x7fff8000. It
//! is 0 if all of them may be accessed, k if only the first k may, and negative if none may.

use std::arch::global_asm;

global_asm!(
    ".macro ICECORE_CHECK access, size, register",
    ".weak __asan_check_\\access\\()_add_\\size\\()_\\register",
    ".type __asan_check_\\access\\()_add_\\size\\()_\\register, @function",
    "__asan_check_\\access\\()_add_\\size\\()_\\register:",
    "mov r11, \\register",
    "shr r11, 3",
    ".if \\size == 16",
    "cmp word ptr [r11 + 0x7fff8000], 0",
    "jne 2f",
    "ret",
    ".elseif \\size == 8",
    "cmp byte ptr [r11 + 0x7fff8000], 0",
    "jne 2f",
    "ret",
    ".else",
    "movsx r10d, byte ptr [r11 + 0x7fff8000]",
    "test r10d, r10d",
    "jne 1f",
    "ret",
    // The last byte of the access must be among the first of its eight.
    "1:",
    "mov r11, \\register",
    "and r11d, 7",
    "add r11d, \\size - 1",
    "cmp r11d, r10d",
    "jge 2f",
    "ret",
    ".endif",
    "2:",
    "mov rdi, \\register",
    "jmp __asan_report_\\access\\()\\size@PLT",
    ".endm",
    ".irp register, RAX, RBX, RCX, RDX, RSI, RDI, RBP, R8, R9, R12, R13, R14, R15",
    ".irp size, 1, 2, 4, 8, 16",
    "ICECORE_CHECK load, \\size, \\register",
    "ICECORE_CHECK store, \\size, \\register",
    ".endr",
    ".endr",
);
