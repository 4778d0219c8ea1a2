//! The board alone: notes, and those who wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::super::format::messages_of;
use super::*;

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn spot(deadline_ms: u64) -> Spot {
    Spot { deadline_ms, ..Spot::FIRST }
}

fn put(board: &Board, stamp: u64, deadline_ms: u64) {
    let key = spot(deadline_ms).message_key(&messages_of("q"));
    board.touched(Versionstamp::new(stamp), Touched::Set { key: &key });
}

#[test]
fn a_note_stays_until_its_commits_are_visible_and_then_goes_although_others_come() {
    let board = Board::default();
    let news = |visible| {
        let news = board.news(Versionstamp::new(visible));
        (news.lowest.map(|spot| spot.deadline_ms), news.unseen.map(Versionstamp::get))
    };
    assert_eq!(news(9), (None, None));
    put(&board, 10, 100);
    put(&board, 11, 50);
    assert_eq!(news(9), (Some(50), Some(11)));
    put(&board, 12, 70);
    assert_eq!(news(10), (Some(50), Some(12)));
    assert_eq!(news(10), (Some(50), Some(12)), "the second note takes 11 and 12");
    assert_eq!(news(12), (Some(50), None));
    assert_eq!(news(12), (None, None));
}

#[test]
fn each_message_wakes_one_waiter_and_one_that_leaves_wakes_the_next() {
    let board = Arc::new(Board::default());
    let bells = [(); 3].map(|()| Arc::new(Bell::default()));
    let rung = || bells.each_ref().map(|bell| bell.0.load(Ordering::SeqCst));
    let [first, mut second, third] = bells.each_ref().map(|bell| {
        let mut waiter = board.waiter();
        waiter.enter(&Arc::clone(bell).into());
        waiter
    });
    put(&board, 1, 1);
    assert_eq!(rung(), [1, 0, 0]);
    drop(first);
    assert_eq!(rung(), [1, 1, 0]);
    second.served();
    assert_eq!(rung(), [1, 1, 0]);
    drop(third);
    put(&board, 2, 1);
    assert_eq!(rung(), [1, 1, 0]);
}

#[test]
fn the_alarm_wakes_one_waiter_once() {
    let board = Arc::new(Board::default());
    let at = Duration::from_millis;
    assert!(!board.set_alarm(at(5)), "nobody waits");
    let bell = Arc::new(Bell::default());
    let mut waiter = board.waiter();
    waiter.enter(&Arc::clone(&bell).into());
    assert!(board.set_alarm(at(5)) && board.set_alarm(at(3)) && !board.set_alarm(at(4)));
    board.ring(at(3));
    waiter.enter(&Arc::clone(&bell).into());
    board.ring(at(5));
    assert_eq!(bell.0.load(Ordering::SeqCst), 1);
    board.closed();
    assert_eq!(bell.0.load(Ordering::SeqCst), 2);
    assert!(board.news(Versionstamp::ZERO).closed);
}

/// Counts its calls; dropped only where nobody holds the lock of the board.
struct Careful(Arc<Board>, Arc<AtomicUsize>);

impl Wake for Careful {
    fn wake(self: Arc<Self>) {
        unreachable!("the board calls by reference");
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Careful {
    fn drop(&mut self) {
        assert!(self.0.state.try_lock().is_ok(), "others wait for this");
        self.1.fetch_add(100, Ordering::SeqCst);
    }
}

#[test]
fn wakers_are_kept_by_commits_and_dropped_by_receivers_without_the_lock() {
    let board = Arc::new(Board::default());
    let count = Arc::new(AtomicUsize::new(0));
    let waker = || Waker::from(Arc::new(Careful(Arc::clone(&board), Arc::clone(&count))));
    let counted = || count.swap(0, Ordering::SeqCst);
    let mut waiter = board.waiter();
    waiter.enter(&waker());
    put(&board, 1, 1);
    assert_eq!(counted(), 1, "called, and kept");
    board.sweep();
    assert_eq!(counted(), 100);
    waiter.enter(&waker());
    waiter.enter(&waker());
    assert_eq!(counted(), 100, "one takes the place of the other");
    waiter.served();
    assert_eq!(counted(), 0);
    waiter.enter(&waker());
    board.closed();
    assert_eq!(counted(), 1);
    drop(waiter);
    assert_eq!(counted(), 200);
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("this waker panics");
    }
}

#[test]
fn a_waker_that_panics_harms_neither_the_commit_nor_the_next_waiter() {
    let board = Arc::new(Board::default());
    let bell = Arc::new(Bell::default());
    let (mut bad, mut good) = (board.waiter(), board.waiter());
    bad.enter(&Arc::new(Panics).into());
    good.enter(&Arc::clone(&bell).into());
    put(&board, 1, 1);
    assert_eq!(bell.0.load(Ordering::SeqCst), 1);
    bad.enter(&Arc::new(Panics).into());
    good.enter(&Arc::clone(&bell).into());
    board.closed();
    assert_eq!(bell.0.load(Ordering::SeqCst), 2);
}
