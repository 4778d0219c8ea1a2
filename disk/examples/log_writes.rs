//! Compares ways of writing a log durably, and ways of preparing its segments.
//!
//! ```text
//! cargo run --release -p icecore-disk --example log_writes -- [directory]
//! ```
//!
//! Each cell is the median of several rounds. The rounds go through all cells in turn, so that a
//! disk which is slow for a while is slow for all of them. Everything is printed as a ratio to one
//! cell: absolute numbers of one machine mean little on another. On a machine that is busy with
//! other work, what is measured is how soon a writer runs again after its wait, unless it runs
//! before others (`chrt --fifo 1`).
//!
//! It opens files by itself because it compares what [`icecore_disk::RealDisk`] could do with what
//! it does.

#![cfg_attr(
    target_os = "linux",
    expect(clippy::disallowed_methods, reason = "measures the operating system itself")
)]

use std::io;

/// Where the files go if no directory is given: beside the build, not in a temporary directory that
/// may be memory.
const DIRECTORY: &str = ".";

#[cfg(target_os = "linux")]
fn main() -> io::Result<()> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| DIRECTORY.to_owned());
    linux::compare(&tempfile::tempdir_in(directory)?)
}

#[cfg(not(target_os = "linux"))]
fn main() -> io::Result<()> {
    println!("{DIRECTORY}: only Linux has the calls that are compared");
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;
    use std::fs::{File, OpenOptions, rename};
    use std::io::{self, IoSlice};
    use std::os::unix::fs::{FileExt, OpenOptionsExt};
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use icecore_disk::Buffer;
    use rustix::fs::{Advice, FallocateFlags, OFlags, fadvise, fallocate};
    use rustix::io::{ReadWriteFlags, pwritev2};

    const BLOCK_BYTES: usize = 4096;
    const WRITES_PER_THREAD: u64 = 250;
    const THREADS: [u64; 4] = [1, 2, 4, 8];
    const ROUNDS: usize = 5;
    const SEGMENT_BYTES: u64 = 8 * WRITES_PER_THREAD * BLOCK_BYTES as u64;

    /// How a block is written durably.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Way {
        /// `pwrite`, then `fdatasync`.
        WriteAndSync,
        /// `pwritev2` with `RWF_DSYNC`, through the page cache.
        Dsync,
        /// `pwrite` to a file opened with `O_DIRECT | O_DSYNC`.
        Direct,
    }

    /// What the segment is before the first write.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Preparation {
        /// Empty.
        Growing,
        /// Reserved with `fallocate`.
        Fallocated,
        /// Filled with zeros in steps of 1 MiB and synced.
        PreWritten,
        /// Filled with zeros block by block and synced, so that the page cache holds it in small
        /// folios.
        PreWrittenByBlocks,
        /// An older segment, full of records, under a new name; no longer in the page cache.
        Reused,
    }

    const WAYS: [Way; 3] = [Way::WriteAndSync, Way::Dsync, Way::Direct];
    const PREPARATIONS: [Preparation; 5] = [
        Preparation::Growing,
        Preparation::Fallocated,
        Preparation::PreWritten,
        Preparation::PreWrittenByBlocks,
        Preparation::Reused,
    ];

    pub(crate) fn compare(directory: &tempfile::TempDir) -> io::Result<()> {
        let mut rates: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        let mut costs: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        for _ in 0..ROUNDS {
            for preparation in PREPARATIONS {
                for way in WAYS {
                    for threads in THREADS {
                        let (path, cost) = prepare(directory.path(), preparation)?;
                        costs.entry(preparation).or_default().push(cost.as_secs_f64());
                        let rate = measure(&path, way, threads)?;
                        rates.entry((preparation, way, threads)).or_default().push(rate);
                        std::fs::remove_file(path)?;
                    }
                }
            }
        }
        print_rates(&mut rates);
        print_costs(&mut costs);
        Ok(())
    }

    /// Makes a segment, and tells how long the part took that a log would have to wait for.
    fn prepare(directory: &Path, preparation: Preparation) -> io::Result<(PathBuf, Duration)> {
        let path = directory.join("segment");
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        if preparation == Preparation::Reused {
            fill(&file, 0xa5, 1 << 20)?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
        let start = Instant::now();
        match preparation {
            Preparation::Growing => {}
            Preparation::Fallocated => {
                fallocate(&file, FallocateFlags::empty(), 0, SEGMENT_BYTES)?;
            }
            Preparation::PreWritten => fill(&file, 0, 1 << 20)?,
            Preparation::PreWrittenByBlocks => fill(&file, 0, BLOCK_BYTES)?,
            Preparation::Reused => rename(&path, directory.join("renamed"))?,
        }
        file.sync_all()?;
        File::open(directory)?.sync_all()?;
        let path =
            if preparation == Preparation::Reused { directory.join("renamed") } else { path };
        Ok((path, start.elapsed()))
    }

    fn fill(file: &File, byte: u8, step_bytes: usize) -> io::Result<()> {
        let step = vec![byte; step_bytes];
        for offset in (0..SEGMENT_BYTES).step_by(step_bytes) {
            let left = usize::try_from(SEGMENT_BYTES - offset).map_err(io::Error::other)?;
            file.write_all_at(&step[..left.min(step_bytes)], offset)?;
        }
        file.sync_all()
    }

    /// Durable writes per second of `threads` threads that take turns with the blocks.
    fn measure(path: &Path, way: Way, threads: u64) -> io::Result<f64> {
        let mut options = OpenOptions::new();
        options.write(true);
        if way == Way::Direct {
            let flags = OFlags::DIRECT | OFlags::DSYNC;
            options.custom_flags(i32::try_from(flags.bits()).map_err(io::Error::other)?);
        }
        let file = options.open(path)?;
        if way == Way::Direct {
            // A log that writes directly has no pages in the cache to be thrown out first.
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
        let next = AtomicU64::new(0);
        let writes = threads * WRITES_PER_THREAD;
        let start = Instant::now();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| write_blocks(&file, way, &next, writes)))
                .collect();
            threads.into_iter().try_for_each(|t| t.join().expect("a writer does not panic"))
        })?;
        Ok(writes as f64 / start.elapsed().as_secs_f64())
    }

    fn write_blocks(file: &File, way: Way, next: &AtomicU64, writes: u64) -> io::Result<()> {
        let mut block = Buffer::with_capacity(BLOCK_BYTES);
        block.extend(&[0x5a; BLOCK_BYTES]);
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= writes {
                return Ok(());
            }
            let offset = n * BLOCK_BYTES as u64;
            let written = match way {
                Way::WriteAndSync => {
                    let written = file.write_at(&block, offset)?;
                    file.sync_data()?;
                    written
                }
                Way::Dsync => {
                    pwritev2(file, &[IoSlice::new(&block)], offset, ReadWriteFlags::DSYNC)?
                }
                Way::Direct => file.write_at(&block, offset)?,
            };
            if written != BLOCK_BYTES {
                return Err(io::Error::other("a short write would be measured as a whole one"));
            }
        }
    }

    fn median(samples: &mut [f64]) -> f64 {
        samples.sort_by(f64::total_cmp);
        samples[samples.len() / 2]
    }

    fn print_rates(rates: &mut BTreeMap<(Preparation, Way, u64), Vec<f64>>) {
        let base = (Preparation::PreWritten, Way::WriteAndSync, 1);
        let base = median(rates.get_mut(&base).expect("every cell was measured"));
        println!("Durable {BLOCK_BYTES}-byte writes per second; 1.00 is {base:.0}.\n");
        println!("| segment | way | 1 thread | 2 | 4 | 8 |");
        println!("|---|---|---|---|---|---|");
        for preparation in PREPARATIONS {
            for way in WAYS {
                print!("| {preparation:?} | {way:?} |");
                for threads in THREADS {
                    let samples = rates.get_mut(&(preparation, way, threads));
                    let rate = median(samples.expect("every cell was measured"));
                    print!(" {:.2} |", rate / base);
                }
                println!();
            }
        }
    }

    fn print_costs(costs: &mut BTreeMap<Preparation, Vec<f64>>) {
        let base = costs.get_mut(&Preparation::PreWritten).expect("every cell was measured");
        let base = median(base);
        let mib = SEGMENT_BYTES as f64 / f64::from(1 << 20);
        println!("\nTime to prepare {mib:.0} MiB; 1.00 is {:.1} ms.\n", base * 1000.0);
        println!("| segment | time |");
        println!("|---|---|");
        for (preparation, samples) in costs {
            println!("| {preparation:?} | {:.2} |", median(samples) / base);
        }
    }
}
