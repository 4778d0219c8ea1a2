//! One call after the other fails while a store is copied: by a checkpoint, by salvage. What comes
//! of it is an error or a right copy, and the original has not noticed.

use std::io::ErrorKind as Kind;
use std::path::Path;
use std::sync::Arc;

use icecore_disk::fault::Operation;
use icecore_disk::sim::SimDisk;
use icecore_disk::{Disk, Fault, FaultDisk, Faults};
use icecore_engine::{Engine, Error, ErrorKind, salvage};

use crate::checkpoint::layered;
use crate::salvage::{Golden, OUT, state};
use crate::support::{Machine, assert_clean, contents, get, set, small};

const EIO: i32 = 5;

/// Numbers for `try_call`, as many as it makes calls: it says whether there was a call of this number.
fn at_every_call(mut try_call: impl FnMut(u64) -> bool) -> u64 {
    (0..).find(|call| !try_call(*call)).expect("it ends")
}

fn faulty(disk: &Arc<SimDisk>) -> (Arc<Faults>, Arc<dyn Disk>) {
    let faults = Faults::new();
    (Arc::clone(&faults), Arc::new(FaultDisk::new(disk.clone(), faults)))
}

/// What the half-made copy at `path` is: no store, or one with this content.
fn is_nothing_or(machine: &Machine, path: &str, content: &[(String, Vec<u8>)]) {
    let Some(directory) = machine.disk.directory(Path::new(path)) else { return };
    let never = icecore_engine::Options { create: icecore_engine::Create::Never, ..small() };
    match Engine::open(machine.env_on(directory), never) {
        Ok(copy) => assert_eq!(contents(&copy), content),
        Err(error) => assert!(!matches!(error, Error::Io { .. }), "{error}"),
    }
}

#[test]
fn a_checkpoint_whose_every_call_may_fail_leaves_the_original_as_it_was() {
    let machine = Machine::new(1);
    let before = contents(&layered(&machine));
    machine.disk.kill();
    for linking in [true, false] {
        let calls = at_every_call(|call| {
            let machine = Machine { disk: machine.disk.fork().reopen(), ..Machine::new(2) };
            let (faults, disk) = faulty(&machine.disk);
            let engine = Engine::open(machine.env_on(disk), small()).unwrap();
            let stamp = set(&engine, "last", b"of the original");
            let original = contents(&engine);
            assert_eq!(original.len(), before.len() + 1);
            if !linking {
                faults.inject(Fault::kind(Kind::CrossesDevices).on(Operation::Link).for_ever());
            }
            let begun = faults.operations();
            faults.inject(Fault::code(EIO).after(call));
            let copied = engine.checkpoint("copy");
            let failed = faults.operations() - begun > call;
            match copied {
                Ok(at) => assert_eq!(at, stamp),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Io, "{call}: {error}");
                    assert!(failed, "{call}: {error}");
                }
            }
            faults.clear();
            is_nothing_or(&machine, "copy", &original);
            assert!(get(&engine, "last").is_some());
            set(&engine, "later", b"it goes on");
            engine.checkpoint("another copy").unwrap();
            failed
        });
        assert!(calls > 15, "{calls} calls");
    }
}

#[test]
fn a_salvage_whose_every_call_may_fail_gives_an_error_or_an_honest_copy() {
    let golden = Golden::new(true);
    let (mut failed, mut told) = (0, 0);
    let calls = at_every_call(|call| {
        let machine = golden.damaged(|_| {});
        let before = machine.disk.snapshot_files();
        let (faults, disk) = faulty(&machine.disk);
        faults.inject(Fault::code(EIO).after(call));
        let result = salvage(&machine.env_on(disk), Path::new(OUT), &small(), &mut |_| {});
        assert!(machine.disk.snapshot_files() == before, "{call}: the original has changed");
        let copy = machine.disk.directory(Path::new(OUT));
        let found = copy.map(|copy| Engine::open(machine.env_on(copy), small()).unwrap());
        match (result, found) {
            (Ok(report), Some(copy)) => {
                assert_clean(&copy);
                golden.honest(&report, &state(&copy));
                told += u64::from(!report.damage.is_empty());
            }
            (Ok(_), None) => panic!("{call}: there is no copy"),
            // What could not be written is gone; what could not be checked is whole.
            (Err(error), copy) => {
                assert_eq!(error.kind(), ErrorKind::Io, "{call}: {error}");
                let found = copy.map(|copy| state(&copy)).unwrap_or_default();
                assert!(found.is_empty() || found == golden.state, "{call}: {error}");
                failed += 1;
            }
        }
        faults.struck() > 0
    });
    assert!(failed > 50 && told > 50 && calls > 150, "{failed} and {told} of {calls}");
}
