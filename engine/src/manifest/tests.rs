//! What the catalog allows, and the bytes of manifests and of `CURRENT`. Whole files on a disk are
//! in [`store`].

mod store;

use icecore_disk::name::NUMBER_MAX;
use icecore_model::frame::Salt;
use icecore_model::{DatabaseId, Timestamp, Versionstamp};
use icecore_sstable::TableSummary;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::catalog::{Catalog, Edit, LEVELS};
use super::format::{self, BadHeader, CURRENT_BYTES, HEADER_BYTES, Header};
use super::past::{Forgotten, Past};

const DATABASE: DatabaseId = DatabaseId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

/// A table of one value at each end of its range of keys.
fn table(number: u64, smallest: &str, largest: &str) -> TableSummary {
    TableSummary {
        number,
        bytes: 4096 + number,
        hash: 0x0123_4567_89ab_cdef ^ number,
        smallest: smallest.into(),
        largest: largest.into(),
        entries: 2,
        never_expires: 2,
        key_bytes: 9,
        value_bytes: 200,
        min_stamp: Versionstamp::new(number),
        max_stamp: Versionstamp::new(number + 5),
        ..TableSummary::default()
    }
}

fn adds(level: usize, table: TableSummary) -> Edit {
    Edit { next_table: Some(table.number + 1), added: vec![(level, table)], ..Edit::default() }
}

fn removes(level: usize, number: u64) -> Edit {
    Edit { removed: vec![(level, number)], ..Edit::default() }
}

/// The catalog after these edits of an empty one.
fn after(edits: &[Edit]) -> Catalog {
    let mut catalog = Catalog::empty(DATABASE);
    for edit in edits {
        catalog.apply(edit).unwrap();
    }
    catalog
}

fn numbers(catalog: &Catalog, level: usize) -> Vec<u64> {
    catalog.levels[level].iter().map(|table| table.number).collect()
}

#[test]
fn level_0_is_kept_newest_first_and_the_runs_by_key() {
    let catalog = after(&[
        adds(0, table(1, "a", "z")),
        adds(0, table(2, "a", "z")),
        adds(1, table(3, "m", "p")),
        adds(1, table(4, "a", "l")),
    ]);
    assert_eq!(numbers(&catalog, 0), [2, 1]);
    assert_eq!(numbers(&catalog, 1), [4, 3]);
}

#[test]
fn a_table_may_change_its_level_in_one_edit() {
    let mut catalog = after(&[adds(0, table(1, "a", "c"))]);
    let moves = Edit { added: vec![(1, table(1, "a", "c"))], ..removes(0, 1) };
    catalog.apply(&moves).unwrap();
    assert_eq!((numbers(&catalog, 0), numbers(&catalog, 1)), (vec![], vec![1]));
}

#[test]
fn an_edit_that_does_not_fit_is_refused_with_a_reason() {
    let before = after(&[
        adds(0, table(1, "a", "c")),
        adds(1, table(2, "a", "c")),
        Edit { segment_added: Some(5), ..Edit::default() },
    ]);
    let never_given = Edit { next_table: None, ..adds(1, table(9, "x", "y")) };
    let cases = [
        (removes(0, 7), "an edit removes a table that is not there"),
        (removes(1, 1), "an edit removes a table that is not there"),
        (removes(LEVELS, 1), "an edit names an unknown level"),
        (adds(LEVELS, table(3, "x", "y")), "an edit names an unknown level"),
        (adds(2, table(2, "x", "y")), "a table is listed twice"),
        (never_given, "a table has a number that was never given"),
        (adds(1, table(3, "c", "d")), "two tables of one run overlap"),
        (
            Edit { segment_added: Some(5), ..Edit::default() },
            "an edit adds a log segment out of order",
        ),
    ];
    for (edit, reason) in cases {
        assert_eq!(before.clone().apply(&edit), Err(reason), "{edit:?}");
    }
}

#[test]
fn the_extents_of_deleted_ranges_count_as_keys_of_a_run() {
    let before = after(&[adds(1, table(1, "d", "f"))]);
    let deleted = |number, start: &str, end: &str| TableSummary {
        range_tombstones: 1,
        range_extent: Some((start.into(), end.into())),
        ..table(number, "a", "b")
    };
    assert_eq!(before.clone().apply(&adds(1, deleted(2, "c", "d"))), Ok(()));
    assert_eq!(
        before.clone().apply(&adds(1, deleted(2, "c", "e"))),
        Err("two tables of one run overlap")
    );
}

#[test]
fn an_edit_drops_segments_below_a_number_and_adds_one_above() {
    let added = |segment| Edit { segment_added: Some(segment), ..Edit::default() };
    let mut catalog = after(&[added(2), added(3), added(7)]);
    catalog.apply(&Edit { segments_below: Some(7), ..added(9) }).unwrap();
    assert_eq!(catalog.segments, [7, 9]);
}

/// Hexadecimal digits, of which everything from `|` to the end of the line is a comment.
fn golden(text: &str) -> Vec<u8> {
    let digits: String = text
        .lines()
        .flat_map(|line| line.split('|').next().unwrap_or_default().split_whitespace())
        .collect();
    let byte = |i: usize| u8::from_str_radix(&digits[i..i + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

#[test]
fn current_has_these_bytes() {
    let bytes = golden(
        "49 43 45 43 55 52 52 31           | ICECURR1
         01 00 00 00                       | format version 1
         00 00 00 00                       | zero
         00 01 02 03 04 05 06 07           | database id
         08 09 0a 0b 0c 0d 0e 0f
         07 00 00 00 00 00 00 00           | manifest 7
         72 46 a2 99                       | CRC-32 of the bytes above",
    );
    assert_eq!(bytes.len(), CURRENT_BYTES);
    assert_eq!(format::encode_current(DATABASE, 7), bytes);
    assert_eq!(format::decode_current(&bytes), Ok((DATABASE, 7)));
}

#[test]
fn the_header_of_a_manifest_has_these_bytes() {
    let bytes = golden(
        "49 43 45 4d 41 4e 49 31           | ICEMANI1
         01 00 00 00                       | format version 1
         00 00 00 00                       | zero
         00 01 02 03 04 05 06 07           | database id
         08 09 0a 0b 0c 0d 0e 0f
         07 00 00 00 00 00 00 00           | number 7
         ef cd ab 89 67 45 23 01           | salt
         a1 cc 2a 1b                       | CRC-32 of the bytes above",
    );
    let header = Header { database: DATABASE, number: 7, salt: Salt(0x0123_4567_89ab_cdef) };
    assert_eq!(bytes.len(), HEADER_BYTES);
    assert_eq!(header.encode(), bytes);
    assert_eq!(Header::decode(&bytes), Ok(header));
}

#[test]
fn an_edit_has_these_bytes() {
    let bytes = golden(
        "02 01 ac 02                       | level 1 loses table 300
         03 05                             | flushed through 5
         04 80 01                          | ceiling 128
         05 04                             | segment 4 is in use
         06 03                             | segments below 3 are not
         07 ad 02                          | the next table gets number 301
         08                                | the log was closed
         09 10 ac 02                       | keyspace 16 forgot a deletion by commit 300
         09 20 05                          | keyspace 32 one by commit 5",
    );
    let edit = Edit {
        flushed: Some(Versionstamp::new(5)),
        ceiling: Some(Versionstamp::new(128)),
        segment_added: Some(4),
        segments_below: Some(3),
        next_table: Some(301),
        closed: true,
        forgotten: forgotten(&[(0x10, 300), (0x20, 5)]),
        ..removes(1, 300)
    };
    assert_eq!(edit.encode(), bytes);
    assert_eq!(Edit::decode(&bytes), Ok(edit));
}

fn forgotten(spaces: &[(u8, u64)]) -> Forgotten {
    let mut forgotten = Forgotten::default();
    spaces.iter().for_each(|(space, stamp)| forgotten.note(*space, Versionstamp::new(*stamp)));
    forgotten
}

#[test]
fn a_snapshot_has_these_bytes() {
    let bytes = golden(
        "00 01 02 03 04 05 06 07           | database id
         08 09 0a 0b 0c 0d 0e 0f
         01                                | the one id that its tables may have
         00 01 02 03 04 05 06 07
         08 09 0a 0b 0c 0d 0e 0f
         05                                | flushed through 5
         80 01                             | ceiling 128
         00                                | not closed
         01                                | the next table gets number 1
         01 04                             | one segment: 4
         00                                | no tables
         02                                | two keyspaces have forgotten deletions
         10 03                             | keyspace 16, by commit 3
         20 05                             | keyspace 32, by commit 5
         01                                | one gap
         05 80 01                          | after 5, through 128",
    );
    let mut catalog = after(&[Edit {
        flushed: Some(Versionstamp::new(5)),
        ceiling: Some(Versionstamp::new(128)),
        segment_added: Some(4),
        forgotten: forgotten(&[(0x10, 3), (0x20, 5)]),
        ..Edit::default()
    }]);
    catalog.past.note_lost(Versionstamp::new(5), Versionstamp::new(128));
    assert_eq!(catalog.encode(), bytes);
    assert_eq!(Catalog::decode(&bytes), Ok(catalog));
}

#[test]
fn keyspaces_that_descend_and_gaps_that_overlap_are_refused() {
    let with_past = |past: &[u8]| {
        let mut bytes = after(&[]).encode();
        bytes.truncate(bytes.len() - 2);
        bytes.extend_from_slice(past);
        Catalog::decode(&bytes).map_err(|malformed| malformed.what)
    };
    assert!(with_past(&[0, 0]).is_ok());
    assert_eq!(with_past(&[2, 7, 1, 7, 1, 0]), Err("a keyspace in ascending order"));
    assert_eq!(with_past(&[0, 2, 1, 3, 2, 5]), Err("two gaps overlap"));
    assert_eq!(with_past(&[0, 1, 3, 3]), Err("a gap has no stamps, or is one too many"));
    assert_eq!(with_past(&[0, 17]), Err("a count of gaps"));
}

#[test]
fn what_is_forgotten_adds_up_over_edits() {
    let forgets = |spaces| Edit { forgotten: forgotten(spaces), ..Edit::default() };
    let catalog = after(&[forgets(&[(1, 5), (2, 3)]), forgets(&[(1, 4), (3, 9)])]);
    assert_eq!(catalog.past.forgotten, forgotten(&[(1, 5), (2, 3), (3, 9)]));
}

#[test]
fn a_version_that_is_not_known_is_told_from_damage() {
    let mut bytes = format::encode_current(DATABASE, 7);
    bytes[8] = 2;
    assert_eq!(format::decode_current(&bytes), Err(BadHeader::Version(2)));
    let mut bytes = Header { database: DATABASE, number: 7, salt: Salt(1) }.encode();
    bytes[8] = 2;
    assert_eq!(Header::decode(&bytes), Err(BadHeader::Version(2)));
}

#[test]
fn a_field_that_is_not_known_is_refused_with_its_place() {
    for tag in [0, 0x7f, 0xff] {
        let malformed = Edit::decode(&[3, 5, tag]).unwrap_err();
        assert_eq!((malformed.what, malformed.offset), ("a known field", 2));
    }
}

#[test]
fn a_snapshot_leaves_nothing_over() {
    let mut bytes = after(&[adds(0, table(1, "a", "c"))]).encode();
    bytes.push(0);
    assert_eq!(Catalog::decode(&bytes).unwrap_err().what, "the end of a snapshot");
}

#[test]
fn a_snapshot_that_contradicts_itself_is_refused() {
    let mut catalog = after(&[adds(1, table(1, "a", "c")), adds(1, table(2, "d", "f"))]);
    catalog.levels[1].reverse();
    let malformed = Catalog::decode(&catalog.encode()).unwrap_err();
    assert_eq!(malformed.what, "two tables of one run overlap");
}

#[test]
fn a_count_beyond_what_is_left_is_refused_before_anything_is_allocated() {
    let mut bytes = DATABASE.0.to_vec();
    bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    assert_eq!(Catalog::decode(&bytes).unwrap_err().what, "a count of ids");
}

/// What a table may be, apart from its number and keys.
fn summaries() -> impl Strategy<Value = TableSummary> {
    let numbers = (any::<u64>(), any::<u64>(), 1u64..1000, any::<bool>(), 1u64.., any::<bool>());
    numbers.prop_map(|(bytes, hash, entries, expires, ms, deletes)| TableSummary {
        bytes,
        hash,
        entries,
        never_expires: entries - u64::from(expires),
        min_expiry: Timestamp::from_ms(if expires { ms } else { 0 }),
        max_expiry: Timestamp::from_ms(if expires { ms } else { 0 }),
        range_tombstones: u64::from(deletes),
        max_stamp: Versionstamp::new(hash),
        ..TableSummary::default()
    })
}

/// Gives the tables numbers from 1 and keys that do not overlap.
fn numbered(levels: Vec<(usize, TableSummary)>) -> Vec<(usize, TableSummary)> {
    let number = |(place, (level, mut table)): (usize, (usize, TableSummary))| {
        let key = |end: &str| format!("{place:04}{end}").into_bytes();
        table.number = place as u64 + 1;
        (table.smallest, table.largest) = (key("b"), key("c"));
        if table.range_tombstones > 0 {
            table.range_extent = Some((key("a"), key("d")));
        }
        (level, table)
    };
    levels.into_iter().enumerate().map(number).collect()
}

fn forgets() -> impl Strategy<Value = Forgotten> {
    let stamp = 0..=Versionstamp::ISSUED_MAX.get();
    vec((any::<u8>(), stamp), 0..4).prop_map(|spaces| forgotten(&spaces))
}

fn pasts() -> impl Strategy<Value = Past> {
    (forgets(), vec((0u64..1000, 0u64..1000), 0..20)).prop_map(|(forgotten, losses)| {
        let mut past = Past { forgotten, gaps: Vec::new() };
        for (after, last) in losses {
            past.note_lost(Versionstamp::new(after), Versionstamp::new(last));
        }
        past
    })
}

fn catalogs() -> impl Strategy<Value = Catalog> {
    let tables = vec((0..LEVELS, summaries()), 0..12).prop_map(numbered);
    let segments = btree_set(any::<u32>(), 0..5);
    let others = vec(any::<[u8; 16]>(), 0..3);
    let stamps = || 0..=Versionstamp::ISSUED_MAX.get();
    let numbers = (stamps(), stamps(), 13..=NUMBER_MAX);
    (tables, segments, others, numbers, any::<bool>(), pasts()).prop_map(
        |(tables, segments, others, (flushed, ceiling, next_table), closed, past)| {
            let mut catalog = Catalog::empty(DATABASE);
            catalog.accepted.extend(others.into_iter().map(DatabaseId));
            catalog.flushed = Versionstamp::new(flushed);
            catalog.ceiling = Versionstamp::new(ceiling);
            catalog.segments = segments.into_iter().collect();
            catalog.next_table = next_table;
            catalog.closed = closed;
            catalog.past = past;
            for (level, table) in tables {
                catalog.levels[level].push(table);
            }
            catalog
        },
    )
}

fn edits() -> impl Strategy<Value = Edit> {
    let added = vec((0..LEVELS, summaries()), 0..4).prop_map(numbered);
    let removed = vec((0..LEVELS, any::<u64>()), 0..4);
    let stamp = || any::<Option<u64>>().prop_map(|stamp| stamp.map(Versionstamp::new));
    let segment = any::<Option<u32>>;
    let last = (any::<Option<u64>>(), any::<bool>(), forgets());
    (added, removed, stamp(), stamp(), segment(), segment(), last).prop_map(
        |(added, removed, flushed, ceiling, segment_added, segments_below, last)| Edit {
            added,
            removed,
            flushed,
            ceiling,
            segment_added,
            segments_below,
            next_table: last.0,
            closed: last.1,
            forgotten: last.2,
        },
    )
}

proptest! {
    #[test]
    fn a_catalog_reads_back(catalog in catalogs()) {
        prop_assert_eq!(Catalog::decode(&catalog.encode()), Ok(catalog));
    }

    #[test]
    fn an_edit_reads_back(edit in edits()) {
        prop_assert_eq!(Edit::decode(&edit.encode()), Ok(edit));
    }

    #[test]
    fn a_header_reads_back(id: [u8; 16], number: u64, salt: u64) {
        let header = Header { database: DatabaseId(id), number, salt: Salt(salt) };
        prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
        let current = format::encode_current(DatabaseId(id), number);
        prop_assert_eq!(format::decode_current(&current), Ok((DatabaseId(id), number)));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes: Vec<u8>) {
        // What comes out does not matter, only that something does.
        drop((Catalog::decode(&bytes), Edit::decode(&bytes)));
        prop_assert!(Header::decode(&bytes).is_err() && format::decode_current(&bytes).is_err());
    }

    #[test]
    fn damage_to_valid_bytes_makes_no_decoder_panic(
        catalog in catalogs(),
        edit in edits(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let damaged = |mut bytes: Vec<u8>| {
            for (place, byte) in damage.iter().filter(|_| !bytes.is_empty()).collect::<Vec<_>>() {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            bytes
        };
        drop(Edit::decode(&damaged(edit.encode())));
        // A catalog that is read without an error holds its own invariants.
        if let Ok(catalog) = Catalog::decode(&damaged(catalog.encode())) {
            prop_assert_eq!(catalog.validate(), Ok(()));
        }
    }
}
