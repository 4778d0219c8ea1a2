//! Walks that lend their entries, beside lists of the same.

use std::ops::ControlFlow;
use std::time::Duration;

use icecore::{Entry, Error, ErrorKind, Key, Kv, List, Snapshot, key, prefix};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::machine::Machine;

/// What the list shows until it has shown `entries`.
fn shown(list: &mut List, entries: usize) -> Result<Vec<Entry>, Error> {
    let mut shown = Vec::new();
    if entries == 0 {
        return Ok(shown);
    }
    list.visit(|entry| {
        shown.push(entry.to_entry());
        if shown.len() == entries { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(shown)
}

fn taken(list: &mut List, entries: usize) -> Result<Vec<Entry>, Error> {
    list.take(entries).collect()
}

fn days() -> Kv {
    let kv = Kv::in_memory().unwrap();
    for day in 1..=9 {
        kv.set(key!["days", day], day).unwrap();
    }
    kv
}

#[test]
fn a_visit_ends_where_it_is_told_to_and_can_be_gone_on_with() {
    let kv = days();
    let mut list = kv.list(prefix!["days"]);
    let found = list.visit(|entry| match entry.u64().unwrap() {
        3 => ControlFlow::Break(entry.key.to_key()),
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(found.unwrap(), Some(key!["days", 3]));
    let cursor = list.cursor_after().unwrap();
    assert_eq!(list.next_back().unwrap().unwrap().key, key!["days", 9]);
    assert_eq!(list.next().unwrap().unwrap().key, key!["days", 4]);
    assert_eq!(shown(&mut list, 9).unwrap().len(), 4, "as far as the back has come");
    assert_eq!(list.cursor_after().unwrap(), "");
    assert_eq!(shown(&mut list, 9).unwrap(), []);
    let mut rest = kv.list(prefix!["days"]).cursor(&cursor);
    assert_eq!(shown(&mut rest, 1).unwrap()[0].key, key!["days", 4]);
}

#[test]
fn a_limit_ends_a_visit_and_leaves_the_cursor() {
    let kv = days();
    let mut list = kv.list(prefix!["days"]).limit(2);
    assert_eq!(shown(&mut list, 9).unwrap().len(), 2);
    assert_eq!(list.size_hint().1, Some(0));
    assert!(!list.cursor_after().unwrap().is_empty());
    assert_eq!(shown(&mut list, 9).unwrap(), []);
    assert!(list.next().is_none());
    let mut nine = kv.list(prefix!["days"]).limit(9);
    assert_eq!(shown(&mut nine, 99).unwrap().len(), 9);
    assert!(!nine.cursor_after().unwrap().is_empty(), "nobody knows yet that it was the last");
}

#[test]
fn what_is_wrong_with_a_list_is_told_once_by_its_visit() {
    let kv = days();
    let mut list = kv.list(prefix!["days"]).limit(0);
    assert_eq!(shown(&mut list, 9).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(shown(&mut list, 9).unwrap(), []);
    let mut list = kv.list(prefix!["days"]);
    kv.close().unwrap();
    assert_eq!(shown(&mut list, 9).unwrap_err().kind(), ErrorKind::Closed);
    assert!(list.next().is_none());
}

#[test]
fn a_store_that_is_closed_during_a_visit_ends_it() {
    let kv = days();
    let mut list = kv.list(prefix!["days"]);
    let mut count = 0;
    let visited: Result<Option<()>, Error> = list.visit(|_| {
        count += 1;
        if count == 3 {
            kv.close().unwrap();
        }
        ControlFlow::Continue(())
    });
    assert_eq!(visited.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(count, 3);
    assert!(list.next().is_none() && shown(&mut list, 9).unwrap().is_empty());
}

#[test]
fn a_visitor_may_write_to_the_store_that_it_visits() {
    let kv = days();
    let mut list = kv.list(prefix!["days"]);
    let failed: Option<Error> = list
        .visit(|entry| {
            let moved = kv.atomic().delete(entry.key).set(key!["moved"], entry.value.to_value());
            moved.commit().map_or_else(ControlFlow::Break, |_| ControlFlow::Continue(()))
        })
        .unwrap();
    assert!(failed.is_none());
    assert_eq!(kv.count(prefix!["days"]).unwrap(), 0);
    assert_eq!(kv.get(key!["moved"]).unwrap().u64().unwrap(), 9);
}

/// What happens to a store.
#[derive(Clone, Debug)]
enum Event {
    Set(u8, u8),
    SetExpiring(u8, u8),
    Delete(u8),
    DeletePrefix(u8),
    Pass(u8),
    Flush,
    Compact,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (any::<u8>(), any::<u8>()).prop_map(|(key, value)| Event::Set(key, value)),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(key, value)| Event::SetExpiring(key, value)),
        4 => any::<u8>().prop_map(Event::Delete),
        1 => any::<u8>().prop_map(Event::DeletePrefix),
        1 => any::<u8>().prop_map(Event::Pass),
        1 => Just(Event::Flush),
        1 => Just(Event::Compact),
    ]
}

/// Sixteen groups of sixteen keys.
fn key_of(number: u8) -> Key {
    key![number >> 4, "key", number & 15]
}

fn happens(machine: &Machine, kv: &Kv, event: &Event) {
    let value = |value: u8| match value & 3 {
        0 => icecore::Value::from(u64::from(value)),
        1 => icecore::Value::number(f64::from(value)),
        2 => vec![value; 5_000].into(),
        _ => vec![value; usize::from(value)].into(),
    };
    let moment = |value: u8| Duration::from_millis(u64::from(value));
    match *event {
        Event::Set(key, content) => {
            kv.set(key_of(key), value(content)).unwrap();
        }
        Event::SetExpiring(key, content) => {
            kv.set_expiring(key_of(key), value(content), moment(content)).unwrap();
        }
        Event::Delete(key) => {
            kv.delete(key_of(key)).unwrap();
        }
        Event::DeletePrefix(key) => {
            let deletion = kv.atomic().delete_prefix(key![key >> 4]);
            assert!(matches!(deletion.commit().unwrap(), icecore::Commit::Done { .. }));
        }
        Event::Pass(time) => machine.clock.advance_ms(u64::from(time)),
        Event::Flush => kv.flush().unwrap(),
        Event::Compact => kv.compact().unwrap(),
    }
}

/// How a list is read: its selector, direction and limit.
type Asked = ((u8, u8, u8), bool, Option<usize>);

fn any_asked() -> impl Strategy<Value = Asked> {
    (any::<(u8, u8, u8)>(), any::<bool>(), proptest::option::of(1..60usize))
}

fn list(snapshot: &Snapshot, ((a, b, form), reversed, limit): &Asked) -> List {
    let (start, end) = (key_of(*a.min(b)), key_of(*a.max(b)));
    let list = match form & 3 {
        0 => snapshot.list(..),
        1 => snapshot.list(prefix![a >> 4]),
        2 => snapshot.list(start..end),
        _ => snapshot.list(start..=end),
    };
    let list = if *reversed { list.reverse() } else { list };
    match limit {
        Some(limit) => list.limit(*limit),
        None => list,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_visit_shows_what_a_list_gives(
        events in vec(any_event(), 1..120),
        asked in vec(any_asked(), 1..8),
        turns in vec((any::<bool>(), 0..9usize), 1..12),
    ) {
        let machine = Machine::at(1_000);
        let kv = machine.open();
        events.iter().for_each(|event| happens(&machine, &kv, event));
        let snapshot = kv.snapshot().unwrap();
        for asked in &asked {
            let (mut visited, mut listed) = (list(&snapshot, asked), list(&snapshot, asked));
            for (from_front, entries) in turns.iter().copied().chain([(true, usize::MAX)]) {
                if from_front {
                    let seen = shown(&mut visited, entries).unwrap();
                    prop_assert_eq!(seen, taken(&mut listed, entries).unwrap());
                } else {
                    let seen = visited.next_back().transpose().unwrap();
                    prop_assert_eq!(seen, listed.next_back().transpose().unwrap());
                }
                prop_assert_eq!(visited.cursor_after().ok(), listed.cursor_after().ok());
                prop_assert_eq!(visited.size_hint(), listed.size_hint());
            }
        }
    }
}
