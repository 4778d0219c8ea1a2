//! Which file systems show in a mapping what is in the file.

use std::fs::File;

/// Whether files of `directory` can be mapped. On network file systems and those in user space,
/// other machines change files behind the mapping, and a page may be lost with the connection.
/// Where the system does not say, it is taken for a local one.
#[cfg(target_os = "linux")]
pub(super) fn maps_faithfully(directory: &File) -> bool {
    rustix::fs::fstatfs(directory).map_or(true, |stat| !is_remote(stat.f_type))
}

#[cfg(target_os = "linux")]
fn is_remote(kind: rustix::fs::FsWord) -> bool {
    REMOTE.contains(&(kind.cast_unsigned() & 0xffff_ffff))
}

/// Names and numbers are from `linux/magic.h` and the sources of the file systems.
#[cfg(target_os = "linux")]
const REMOTE: [u64; 14] = [
    0x6573_5546, // FUSE
    0x6969,      // NFS
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB 2 and 3
    0x517b,      // SMB
    0x0102_1997, // 9P
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS of OpenAFS
    0x6b41_4653, // AFS of the kernel
    0x7375_7245, // Coda
    0x564c,      // NCP
    0x0bd0_0bd0, // Lustre
    0x786f_4256, // shared folders of VirtualBox
    0xbacb_acbc, // shared folders of VMware
];

#[cfg(target_vendor = "apple")]
pub(super) fn maps_faithfully(directory: &File) -> bool {
    let local = libc::MNT_LOCAL.cast_unsigned();
    rustix::fs::fstatfs(directory).map_or(true, |stat| stat.f_flags & local != 0)
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub(super) fn maps_faithfully(_: &File) -> bool {
    true
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_away_or_in_user_space_is_not_mapped() {
        for remote in [0x6573_5546, 0x6969, 0x0102_1997] {
            assert!(is_remote(remote));
        }
        // ext, XFS, btrfs, tmpfs, overlay.
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630] {
            assert!(!is_remote(local));
        }
    }
}
