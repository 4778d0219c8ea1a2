//! Errors that say which file they are about.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What went wrong with which file. It is found inside the [`io::Error`]s of a
/// [`RealDisk`](super::RealDisk), whose kind is that of [`FileError::source`].
#[derive(Debug)]
pub struct FileError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// Wraps `source`, keeping its kind.
    pub(super) fn wrap(
        operation: &'static str,
        path: &Path,
        source: impl Into<io::Error>,
    ) -> io::Error {
        let source = source.into();
        let path = path.to_owned();
        io::Error::new(source.kind(), FileError { operation, path, source })
    }

    /// The file or directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The operating system's code of `error`, also when it is wrapped in a [`FileError`].
pub fn os_code(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| {
        let wrapped = error.get_ref()?.downcast_ref::<FileError>()?;
        wrapped.source.raw_os_error()
    })
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.operation, self.path.display(), self.source)
    }
}

impl Error for FileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_wrapped_error_keeps_its_kind_and_code_and_names_the_file() {
        let error = FileError::wrap("write", Path::new("/store/0000000007.wal"), Errno::NOSPC);
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(os_code(&error), Some(Errno::NOSPC.raw_os_error()));
        assert!(error.to_string().starts_with("cannot write /store/0000000007.wal: "));
        let inner = error.get_ref().and_then(|e| e.downcast_ref::<FileError>()).unwrap();
        assert_eq!(inner.path(), Path::new("/store/0000000007.wal"));
        let source = inner.source().and_then(|e| e.downcast_ref::<io::Error>()).unwrap();
        assert_eq!(source.raw_os_error(), Some(Errno::NOSPC.raw_os_error()));
        assert_eq!(os_code(&io::ErrorKind::NotFound.into()), None);
    }
}
