use std::sync::Mutex;

use icecore_engine::Workers;

use super::*;
use crate::witness::labour::{prepare, small_options, work};

/// A store after some work, what it held before that, and what it acknowledged.
fn worked() -> (Book, Content, Vec<Acknowledgement>) {
    let engine = Engine::open_in_memory(small_options(Workers::Manual)).unwrap();
    let acknowledged = Mutex::new(Vec::new());
    let witness = |acknowledgement| {
        acknowledged.lock().unwrap().push(acknowledgement);
        Ok(())
    };
    prepare(&engine, 0, &witness).unwrap();
    work(&engine, (0, 0), 5, 200, &|| true, &witness).unwrap();
    let mut book = Book::default();
    let before = Content::of(&engine).unwrap();
    assert_eq!(book.advance(&before, &acknowledged.lock().unwrap()), [""; 0]);
    prepare(&engine, 1, &witness).unwrap();
    work(&engine, (1, 0), 6, 200, &|| true, &witness).unwrap();
    let of_life_1 = |a: &Acknowledgement| a.token.life == 1;
    let acknowledged = acknowledged.into_inner().unwrap().into_iter().filter(of_life_1).collect();
    (book, Content::of(&engine).unwrap(), acknowledged)
}

#[test]
fn a_store_that_keeps_its_word_passes() {
    let (mut book, content, acknowledged) = worked();
    assert!(acknowledged.len() > 190);
    assert_eq!(book.advance(&content, &acknowledged), [""; 0]);
    assert_eq!(book.advance(&content, &acknowledged), [""; 0], "twice is the same");
}

#[test]
fn whatever_is_not_as_the_journal_tells_is_noticed() {
    let (book, content, acknowledged) = worked();
    let problems = |tamper: &dyn Fn(&mut Content)| {
        let mut content = content.clone();
        tamper(&mut content);
        book.clone().advance(&content, &acknowledged)
    };
    let is_journal = |key: &[u8]| Token::parse(key).is_some();
    let middle = acknowledged[acknowledged.len() / 2].token.key();

    let lost = problems(&|content| drop(content.entries.remove(&middle)));
    assert!(lost.iter().any(|p| p.starts_with("after deed ")), "{lost:?}");
    assert!(lost.iter().any(|p| p.ends_with("and is lost")), "{lost:?}");

    let torn = problems(&|content| {
        let mut found = content.entries.iter().filter(|(key, _)| !is_journal(key));
        let key = found.next_back().unwrap().0.clone();
        content.entries.remove(&key);
    });
    assert!(torn[0].ends_with("is missing"), "{torn:?}");

    let stale = problems(&|content| {
        let mut values = content.entries.iter_mut().filter(|(key, _)| !is_journal(key));
        values.next_back().unwrap().1.value.push(0);
    });
    assert!(stale[0].contains("is not what"), "{stale:?}");

    let back = problems(&|content| {
        let old = book.entries.iter().find(|(key, _)| !content.entries.contains_key(*key));
        let (key, held) = old.unwrap();
        content.entries.insert(key.clone(), held.clone());
    });
    assert!(back[0].ends_with("and should not"), "{back:?}");

    let moved = problems(&|content| content.entries.get_mut(&middle).unwrap().stamp += 1);
    assert!(moved.iter().any(|p| p.contains("was acknowledged at")), "{moved:?}");

    let made = problems(&|content| {
        let mut accounts = content.entries.iter_mut().filter(|(key, _)| key.starts_with(ACCOUNT));
        accounts.next().unwrap().1.value[0] ^= 1;
    });
    assert!(made.iter().any(|p| p.starts_with("the accounts hold")), "{made:?}");
}

#[test]
fn an_acknowledged_end_that_is_missing_is_noticed() {
    let (book, _, acknowledged) = worked();
    // The store as it was before: whole, but too old.
    let before = Content { entries: book.entries.clone(), ..Content::default() };
    let problems = book.clone().advance(&before, &acknowledged);
    assert!(problems[0].ends_with("and is lost"), "{problems:?}");
    assert!(problems.last().unwrap().starts_with("and "), "{problems:?}");
}
