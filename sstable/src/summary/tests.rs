use super::*;

fn points(smallest: &[u8], largest: &[u8]) -> TableSummary {
    TableSummary {
        entries: 2,
        never_expires: 2,
        smallest: smallest.to_vec(),
        largest: largest.to_vec(),
        ..TableSummary::default()
    }
}

fn ranges(start: &[u8], end: &[u8], summary: TableSummary) -> TableSummary {
    let range_extent = Some((start.to_vec(), end.to_vec()));
    TableSummary { range_tombstones: 1, range_extent, ..summary }
}

#[test]
fn bounds_count_the_extents_of_deleted_ranges() {
    use Bound::{Excluded, Included};
    let empty = TableSummary::default();
    assert_eq!(points(b"b", b"d").bounds(), (&b"b"[..], Included(&b"d"[..])));
    assert_eq!(ranges(b"b", b"d", empty).bounds(), (&b"b"[..], Excluded(&b"d"[..])));
    let bounds = |start: &[u8], end: &[u8]| {
        let table = ranges(start, end, points(b"b", b"d"));
        let (low, high) = table.bounds();
        (low.to_vec(), high.map(<[u8]>::to_vec))
    };
    let owned = |low: &[u8], high: Bound<&[u8]>| (low.to_vec(), high.map(<[u8]>::to_vec));
    assert_eq!(bounds(b"a", b"c"), owned(b"a", Included(b"d")));
    assert_eq!(bounds(b"c", b"d"), owned(b"b", Included(b"d")));
    assert_eq!(bounds(b"c", b"d\0"), owned(b"b", Excluded(b"d\0")));
    assert_eq!(bounds(b"e", b"f"), owned(b"b", Excluded(b"f")));
}

#[test]
fn tables_overlap_what_shares_a_key_with_them() {
    use Bound::{Excluded, Included, Unbounded};
    let table = points(b"b", b"d");
    for (start, end, overlaps) in [
        (&b""[..], Unbounded, true),
        (b"", Excluded(&b"b"[..]), false),
        (b"", Included(b"b"), true),
        (b"d", Unbounded, true),
        (b"d\0", Unbounded, false),
        (b"c", Included(b"c"), true),
        (b"c", Excluded(b"c"), false),
    ] {
        assert_eq!(table.overlaps(start, end), overlaps, "{start:?} {end:?}");
    }
    let deleted = ranges(b"b", b"d", TableSummary::default());
    assert!(deleted.overlaps(b"c", Unbounded));
    assert!(!deleted.overlaps(b"d", Unbounded));
    assert!(!TableSummary::default().overlaps(b"", Unbounded));
}

#[test]
fn a_summary_reads_back_and_leaves_the_rest() {
    let moment = Timestamp::from_ms(77);
    let summary = TableSummary {
        number: 1 << 40,
        bytes: 12345,
        hash: u64::MAX - 1,
        key_bytes: 10,
        value_bytes: 20,
        min_stamp: Versionstamp::new(3),
        max_stamp: Versionstamp::new(9),
        min_expiry: moment,
        max_expiry: moment,
        never_expires: 1,
        ..ranges(b"x", b"z", points(b"a", b"b"))
    };
    for summary in [summary, TableSummary::default()] {
        let mut bytes = Vec::new();
        summary.encode(&mut bytes);
        bytes.push(99);
        let mut reader = Reader::new(&bytes);
        assert_eq!(TableSummary::decode(&mut reader), Ok(summary));
        assert_eq!(reader.u8("the rest"), Ok(99));
        for end in 0..bytes.len() - 1 {
            assert!(TableSummary::decode(&mut Reader::new(&bytes[..end])).is_err(), "{end}");
        }
    }
}

#[test]
fn properties_that_contradict_themselves_are_refused() {
    let good = points(b"a", b"b");
    for bad in [
        points(b"b", b"a"),
        ranges(b"z", b"x", good.clone()),
        TableSummary { tombstones: 3, ..good.clone() },
        TableSummary { never_expires: 3, ..good.clone() },
        TableSummary { never_expires: 1, ..good.clone() },
        TableSummary { min_stamp: Versionstamp::new(1), ..good.clone() },
        TableSummary { max_expiry: Timestamp::from_ms(5), ..good },
    ] {
        let mut bytes = Vec::new();
        bad.encode(&mut bytes);
        assert!(TableSummary::decode(&mut Reader::new(&bytes)).is_err(), "{bad:?}");
    }
}
