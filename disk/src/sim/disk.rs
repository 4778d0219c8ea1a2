//! The directory's side of the simulated disk: names, locks, and links.

use std::any::Any;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::directory::Directory;
use super::error::{OpKind, stopped};
use super::file::SimFile;
use super::rest::Foreign;
use super::trace::number_of;
use super::world::{InodeId, World};
use super::{Shared, SimDisk};
use crate::{Disk, File, Listed, LockError, LockGuard, LockMode, Name, OpenMode};

impl SimDisk {
    /// A handle of an inode that counts one more handle. It is made outside of the world's lock,
    /// which it takes when it is dropped.
    fn file(&self, (inode, handle): (InodeId, u64), name: Name, mode: OpenMode) -> Box<dyn File> {
        let shared = Arc::clone(&self.shared);
        Box::new(SimFile { shared, life: self.life, inode, handle, name, mode })
    }

    fn whole<T>(
        &self,
        kind: OpKind,
        name: Option<Name>,
        effect: impl FnOnce(&mut World) -> io::Result<T>,
    ) -> io::Result<T> {
        self.world().whole(self.life, kind, name, (self.directory as u64, 0), effect)
    }
}

impl Disk for SimDisk {
    /// Takes the lock. It belongs to the directory, not to the file `LOCK`, so that removing that
    /// file gives no second owner; an exclusive lock creates the file if it is missing.
    fn lock(&self, mode: LockMode) -> Result<Box<dyn LockGuard>, LockError> {
        let here = self.directory;
        let mut world = self.world();
        world.enter(self.life, OpKind::Lock).map_err(LockError::Io).and_then(|step| {
            step.failure.map_or(Ok(()), |failure| Err(LockError::Io(failure.into())))
        })?;
        let held = {
            let directory = &world.directories[here];
            directory.exclusive || (mode == LockMode::Exclusive && directory.shared > 0)
        };
        world.record(OpKind::Lock, None, (here as u64, u64::from(held)), Ok(0));
        if held {
            return Err(LockError::Held { holder: "this process".to_owned() });
        }
        if mode == LockMode::Exclusive && world.read_only {
            return Err(LockError::Io(Errno::ROFS.into()));
        }
        let missing = world.find(here, Name::Lock).is_err();
        if mode == LockMode::Exclusive && missing {
            let range = (here as u64, 0);
            let created =
                world.whole(self.life, OpKind::Create, Some(Name::Lock), range, |world| {
                    world.create(here, Name::Lock)
                });
            created.map_err(LockError::Io)?;
        }
        match mode {
            LockMode::Exclusive => world.directories[here].exclusive = true,
            LockMode::Shared => world.directories[here].shared += 1,
        }
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(SimGuard { shared, life: self.life, directory: here, mode }))
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        self.whole(OpKind::List, None, |world| {
            let directory = &world.directories[self.directory];
            let files = directory.names.iter().map(|(name, id)| Listed {
                name: Ok(*name),
                bytes: world.inodes[id].len,
                regular: true,
            });
            let foreign = directory.foreign.iter().map(|(text, entry)| Listed {
                name: Name::parse(text).ok_or_else(|| text.clone()),
                bytes: if let Foreign::File(content) = entry { content.len() as u64 } else { 0 },
                regular: matches!(entry, Foreign::File(_)),
            });
            Ok(files.chain(foreign).collect())
        })
    }

    fn create(&self, name: Name) -> io::Result<Box<dyn File>> {
        let inode = self.whole(OpKind::Create, Some(name), |world| {
            let inode = world.create(self.directory, name)?;
            Ok((inode, world.open_handle(inode)))
        })?;
        Ok(self.file(inode, name, OpenMode::ReadWrite))
    }

    fn open(&self, name: Name, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let inode = self.whole(OpKind::Open, Some(name), |world| {
            if world.directories[self.directory].blocked(name) {
                return Err(Errno::LOOP.into());
            }
            let inode = world.find(self.directory, name)?;
            if world.read_only && mode == OpenMode::ReadWrite {
                return Err(Errno::ROFS.into());
            }
            Ok((inode, world.open_handle(inode)))
        })?;
        Ok(self.file(inode, name, mode))
    }

    fn rename(&self, from: Name, to: Name) -> io::Result<()> {
        self.whole(OpKind::Rename, Some(from), |world| {
            world.trace.note(number_of(to), || format!("rename {from} to {to}"));
            world.rename(self.directory, from, to)
        })
    }

    fn remove(&self, name: Name) -> io::Result<()> {
        let removed = self.whole(OpKind::Remove, Some(name), |w| w.remove(self.directory, name));
        if removed.is_err() {
            self.world().note_failed_removal(self.directory, name);
        }
        removed
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.whole(OpKind::SyncDir, None, |world| {
            if world.dice.happens(world.rules.lying_syncs) {
                let pending = !world.directories[self.directory].pending.is_empty();
                world.betrayals += u64::from(pending);
            } else {
                world.sync_dir(self.directory);
            }
            Ok(())
        })
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.whole(OpKind::FreeBytes, None, |world| Ok(world.free()))
    }

    fn create_directory(&self, path: &Path) -> io::Result<Arc<dyn Disk>> {
        self.whole(OpKind::CreateDirectory, None, |world| {
            let label = path.to_string_lossy().into_owned();
            let known = world.directories.iter().position(|d| d.label == label);
            let directory = match known {
                Some(i) if !world.directories[i].is_empty() => return Err(Errno::EXIST.into()),
                Some(i) => i,
                None => {
                    world.room_for_entry()?;
                    world.directories.push(Directory::new(label));
                    world.directories.len() - 1
                }
            };
            let shared = Arc::clone(&self.shared);
            Ok(Arc::new(SimDisk { shared, life: self.life, directory }) as Arc<dyn Disk>)
        })
    }

    fn link(&self, name: Name, target: &dyn Disk) -> io::Result<()> {
        let same_machine = target
            .as_any()
            .downcast_ref::<SimDisk>()
            .filter(|target| Arc::ptr_eq(&target.shared, &self.shared));
        let Some(target) = same_machine else {
            return Err(Errno::XDEV.into());
        };
        if target.life != self.life {
            return Err(stopped());
        }
        self.whole(OpKind::Link, Some(name), |world| {
            world.link(self.directory, name, target.directory)
        })
    }

    fn label(&self) -> String {
        self.world().directories[self.directory].label.clone()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Holds a lock of a directory until it is dropped or its life is over.
struct SimGuard {
    shared: Arc<Shared>,
    life: u64,
    directory: usize,
    mode: LockMode,
}

impl LockGuard for SimGuard {}

impl Drop for SimGuard {
    fn drop(&mut self) {
        let mut world = self.shared.lock();
        if world.lives(self.life) {
            let directory = &mut world.directories[self.directory];
            match self.mode {
                LockMode::Exclusive => directory.exclusive = false,
                LockMode::Shared => directory.shared -= 1,
            }
        }
    }
}

impl fmt::Debug for SimGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimGuard({:?}, life {})", self.mode, self.life)
    }
}
