//! Damage to a store at rest (F1 to F8): what backups, editors and other programs do to files.
//!
//! All of it needs a stopped world, and is durable at once.

use std::io;

use rustix::io::Errno;

use super::SimDisk;
use super::dice::Dice;
use super::inode::{Inode, usize_of};
use super::page::SECTOR;
use super::world::World;
use crate::Name;

/// An entry of a directory that no store makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A regular file. Its name is not one of ours.
    File(Vec<u8>),
    /// A symbolic link to anywhere, under any name.
    Symlink,
    /// A directory, under any name.
    Directory,
    /// A named pipe, under any name.
    Fifo,
}

/// How bytes at rest change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// So many bits flip, anywhere in the sector that holds the offset.
    FlipBits(u32),
    /// One bit of the byte at the offset flips.
    FlipBit(u32),
    /// The sector that holds the offset becomes zeros.
    ZeroSector,
    /// The sector that holds the offset becomes noise.
    RandomSector,
    /// The sector that holds the offset cannot be read.
    BadSector,
}

/// What is appended to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filler {
    /// Zeros.
    Zeros,
    /// Noise.
    Garbage,
}

impl SimDisk {
    /// The content of a file, as reads see it at the moment; works in every state.
    pub fn read_file(&self, name: Name) -> io::Result<Vec<u8>> {
        let world = self.world();
        let id = world.find(self.directory, name)?;
        Ok(world.inodes[&id].content())
    }

    /// The content of every file, as [`SimDisk::read_file`] gives it, in the order of names.
    pub fn snapshot_files(&self) -> Vec<(Name, Vec<u8>)> {
        let world = self.world();
        let names = &world.directories[self.directory].names;
        names.iter().map(|(name, id)| (*name, world.inodes[id].content())).collect()
    }

    /// Gives `name` the content `content`, as a file of its own, whether or not it exists. Serves
    /// for an older version of the same file (F6) and for a file of another store (F7) alike.
    ///
    /// # Panics
    /// When the machine runs, as all of the following.
    pub fn write_file(&self, name: Name, content: &[u8]) {
        self.at_rest(|world| world.place(self.directory, name, content));
    }

    /// F1: the file is missing.
    pub fn remove_file(&self, name: Name) -> io::Result<()> {
        self.at_rest(|world| {
            world.find(self.directory, name)?;
            world.displace(self.directory, name);
            Ok(())
        })
    }

    /// F2: the file ends at `bytes`, which is below its length.
    pub fn truncate_file(&self, name: Name, bytes: u64) -> io::Result<()> {
        self.change_file(name, |content, _| content.truncate(usize_of(bytes)))
    }

    /// F3: the file goes on for `bytes` more.
    pub fn extend_file(&self, name: Name, bytes: u64, filler: Filler) -> io::Result<()> {
        self.change_file(name, |content, world| {
            let start = content.len();
            content.resize(start + usize_of(bytes), 0);
            if filler == Filler::Garbage {
                world.dice.fill(&mut content[start..]);
            }
        })
    }

    /// F4: another name has the same content.
    pub fn duplicate_file(&self, from: Name, to: Name) -> io::Result<()> {
        self.at_rest(|world| {
            let content = world.inodes[&world.find(self.directory, from)?].content();
            world.place(self.directory, to, &content);
            Ok(())
        })
    }

    /// F5: two files change places.
    pub fn swap_files(&self, one: Name, other: Name) -> io::Result<()> {
        self.at_rest(|world| {
            let a = world.find(self.directory, one)?;
            let b = world.find(self.directory, other)?;
            world.directories[self.directory].settle();
            for (name, id) in [(one, b), (other, a)] {
                world.directories[self.directory].names.insert(name, id);
                world.directories[self.directory].durable.insert(name, id);
            }
            Ok(())
        })
    }

    /// F6: every file of an earlier snapshot that `which` names is put back.
    pub fn restore_older(&self, snapshot: &[(Name, Vec<u8>)], which: impl Fn(Name) -> bool) {
        for (name, content) in snapshot.iter().filter(|(name, _)| which(*name)) {
            self.write_file(*name, content);
        }
    }

    /// F8: an entry that no store makes, under any name.
    ///
    /// # Panics
    /// Also when `Foreign::File` is given one of our names: that is [`SimDisk::write_file`].
    pub fn add_foreign_entry(&self, name: &str, entry: Foreign) {
        let ours = Name::parse(name);
        assert!(ours.is_none() || !matches!(entry, Foreign::File(_)), "{name} is one of our names");
        self.at_rest(|world| {
            if let Some(ours) = ours {
                world.displace(self.directory, ours);
            }
            world.directories[self.directory].foreign.insert(name.to_owned(), entry);
        });
    }

    /// Damages the medium under a file, at or around the byte at `offset`. Unlike the others, it
    /// also works while the machine runs.
    pub fn corrupt(&self, name: Name, offset: u64, damage: Damage) -> io::Result<()> {
        let mut guard = self.world();
        let world = &mut *guard;
        let id = world.find(self.directory, name)?;
        world.trace.mix(offset);
        let inode = world.inodes.get_mut(&id).expect("a name leads to a file");
        if offset >= inode.len {
            return Err(Errno::INVAL.into());
        }
        inode.damage(offset, damage, &mut world.dice);
        Ok(())
    }

    fn change_file(
        &self,
        name: Name,
        change: impl FnOnce(&mut Vec<u8>, &mut World),
    ) -> io::Result<()> {
        self.at_rest(|world| {
            let mut content = world.inodes[&world.find(self.directory, name)?].content();
            change(&mut content, world);
            world.place(self.directory, name, &content);
            Ok(())
        })
    }

    fn at_rest<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world();
        assert!(!world.running, "files are damaged at rest: stop the machine first");
        world.judge();
        let result = change(&mut world);
        world.trace.note(7, || "damage at rest".to_owned());
        world.take_stock();
        result
    }
}

impl Inode {
    fn damage(&mut self, offset: u64, damage: Damage, dice: &mut Dice) {
        let start = offset / SECTOR as u64 * SECTOR as u64;
        let len = (self.len - start).min(SECTOR as u64);
        let mut bytes = vec![0; usize_of(len)];
        match damage {
            Damage::FlipBit(bit) => self.rot(offset, 1 << (bit % 8)),
            Damage::FlipBits(n) => {
                for _ in 0..n {
                    let at = start + dice.below(len);
                    self.rot(at, 1 << dice.below(8));
                }
            }
            Damage::ZeroSector => self.overwrite(start, &bytes),
            Damage::RandomSector => {
                dice.fill(&mut bytes);
                self.overwrite(start, &bytes);
            }
            Damage::BadSector => self.bad.insert(usize_of(offset)),
        }
    }
}

impl World {
    /// Puts a file at `name`, durably.
    fn place(&mut self, directory: usize, name: Name, content: &[u8]) {
        self.displace(directory, name);
        let mut inode = Inode::with_content(content);
        inode.charged = content.len() as u64;
        let id = self.add_inode(inode);
        self.directories[directory].names.insert(name, id);
        self.directories[directory].durable.insert(name, id);
    }

    /// Durably removes whatever is at `name`.
    fn displace(&mut self, directory: usize, name: Name) {
        let here = &mut self.directories[directory];
        here.settle();
        here.names.remove(&name);
        here.durable.remove(&name);
        here.foreign.remove(&name.to_string());
    }
}
