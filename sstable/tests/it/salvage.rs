//! What is left of a damaged table is right, and whatever is missing was told.

use icecore_disk::sim::SimDisk;
use icecore_disk::{Disk, Name};
use icecore_model::{DatabaseId, RangeTombstone, Versionstamp};
use icecore_sstable::salvage::{Damage, Lost, table_owner};
use icecore_sstable::{Compression, Error, Origins, Remains, TableSummary};

use crate::damage::{place, small_model, small_options, small_table};
use crate::support::{HOME, Model, change, disk, write};

const STRANGER: DatabaseId = DatabaseId([8; 16]);

fn at_home() -> Origins {
    Origins { known: [STRANGER, HOME].into(), others: false }
}

/// What is found of the table of these `bytes`, on a disk of its own.
fn survey(
    bytes: &[u8],
    expected: Option<&TableSummary>,
) -> (std::sync::Arc<SimDisk>, Result<Remains, Error>) {
    let disk = disk();
    place(&*disk, Name::Table(1), bytes);
    let remains = Remains::survey(&*disk, 1, expected, &at_home());
    (disk, remains)
}

/// Whether the loss of the version `stamp` of `key` was told.
fn is_told(damage: &[Damage], key: &[u8], stamp: Versionstamp) -> bool {
    damage.iter().any(|d| {
        let within = d.from.as_slice() <= key && d.to.as_ref().is_none_or(|to| key <= &to[..]);
        d.lost == Lost::Versions && within && stamp <= d.through
    })
}

/// Compares what was found with what the table was made of. Says how many entries were found.
fn judge(disk: &dyn Disk, remains: &Remains, model: &Model, ranges: &[RangeTombstone]) -> u64 {
    let mut missing = model.clone();
    let mut pieces = remains.pieces(disk).unwrap();
    let mut found = 0;
    loop {
        pieces.next().unwrap();
        let Some(entry) = pieces.entry() else { break };
        let version = missing.get_mut(entry.key).and_then(|versions| versions.remove(&entry.stamp));
        let version = version.expect("each entry is one of the table, and comes once");
        assert_eq!(entry.change, change(&version));
        found += 1;
    }
    assert_eq!(found, remains.found().entries);
    for (key, versions) in &missing {
        for stamp in versions.keys() {
            let damage = remains.damage();
            assert!(is_told(damage, key, *stamp), "{}: {damage:?}", key.escape_ascii());
        }
    }
    let there: Vec<_> = remains.ranges().iter().collect();
    for RangeTombstone { start, end, stamp } in ranges {
        let found = there.contains(&(&start[..], &end[..], *stamp));
        let told = remains.damage().iter().any(|d| d.lost == Lost::Ranges && *stamp <= d.through);
        assert!(found || told, "{:?}", remains.damage());
    }
    found
}

/// Surveys `bytes`, of which something was changed, with and without a manifest.
fn survey_and_judge(bytes: &[u8], summary: &TableSummary) -> u64 {
    let (model, ranges) = small_model();
    let mut found = 0;
    for expected in [None, Some(summary)] {
        let (disk, remains) = survey(bytes, expected);
        match remains {
            Ok(remains) => {
                assert!(!remains.damage().is_empty(), "damage goes unnoticed");
                found += judge(&*disk, &remains, &model, &ranges);
            }
            // Rot in the place that tells formats apart looks like another format.
            Err(Error::UnknownFormat { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    found
}

#[test]
fn a_whole_table_is_found_whole() {
    for compression in [Compression::None, Compression::Lz4] {
        let (bytes, summary) = small_table(compression);
        let (model, ranges) = small_model();
        let (disk, remains) = survey(&bytes, Some(&summary));
        let remains = remains.unwrap();
        assert_eq!((remains.number(), remains.owner()), (1, Some(HOME)));
        assert_eq!((remains.damage(), remains.known()), (&[][..], Some(&summary)));
        assert_eq!(judge(&*disk, &remains, &model, &ranges), summary.entries);
        assert_eq!(table_owner(&*disk, 1), Some(HOME));
    }
}

#[test]
fn around_any_changed_byte_the_rest_is_found_and_the_loss_is_told() {
    for compression in [Compression::None, Compression::Lz4] {
        let (bytes, summary) = small_table(compression);
        let mut found = 0;
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            found += survey_and_judge(&bytes, &summary);
        }
        let all = 2 * summary.entries * bytes.len() as u64;
        assert!(found > all / 2 && found < all, "{found} of {all}");
    }
}

#[test]
fn around_any_two_changed_bytes_the_loss_is_told() {
    let (bytes, summary) = small_table(Compression::None);
    let places: Vec<usize> = (0..bytes.len()).step_by(19).collect();
    for (i, one) in places.iter().enumerate() {
        for other in &places[..i] {
            let mut bytes = bytes.clone();
            bytes[*one] ^= 1;
            bytes[*other] ^= 1;
            survey_and_judge(&bytes, &summary);
        }
    }
}

#[test]
fn of_a_table_that_was_cut_anywhere_the_beginning_is_found() {
    let (bytes, summary) = small_table(Compression::None);
    let mut found_before = 0;
    for end in 0..bytes.len() {
        let found = survey_and_judge(&bytes[..end], &summary);
        assert!(found >= found_before, "{end}: {found} entries, but {found_before} in less of it");
        found_before = found;
    }
    assert_eq!(found_before, 2 * summary.entries);
}

#[test]
fn bytes_behind_a_table_hide_nothing_from_who_knows_its_length() {
    let (mut bytes, summary) = small_table(Compression::None);
    bytes.extend([7; 1000]);
    let (model, ranges) = small_model();
    let (disk, remains) = survey(&bytes, Some(&summary));
    assert_eq!(judge(&*disk, &remains.unwrap(), &model, &ranges), summary.entries);
}

#[test]
fn a_table_that_is_another_than_it_should_be_is_named_as_what_it_is() {
    let (bytes, summary) = small_table(Compression::None);
    let (model, _) = small_model();
    let disk = disk();
    for number in [1, 2] {
        place(&*disk, Name::Table(number), &bytes);
    }
    let refused = |number, expected, origins: &Origins| {
        Remains::survey(&*disk, number, expected, origins).unwrap_err().to_string()
    };
    let abroad = Origins { known: [STRANGER].into(), others: false };
    assert!(refused(1, None, &abroad).ends_with("it belongs to another store"));
    assert!(refused(2, None, &at_home()).ends_with("it is another table under this name"));
    assert_eq!(table_owner(&*disk, 2), None);
    // The same store and number, but written with other content.
    let options = small_options(Compression::None);
    let other = write(&*crate::support::disk(), 1, &options, &model, &[]).unwrap();
    assert_ne!(other.bytes, summary.bytes);
    let longer = TableSummary { bytes: summary.bytes, ..other.clone() };
    for expected in [&other, &longer] {
        let versions = refused(1, Some(expected), &at_home());
        assert!(versions.ends_with("it is another version of itself"), "{versions}");
    }
    let anybody = Origins { others: true, ..abroad };
    assert!(Remains::survey(&*disk, 1, Some(&summary), &anybody).is_ok());
    // Without its footer, what is left must fit what is known of the table.
    let (disk, _) = survey(&bytes[..bytes.len() - 1], None);
    let smaller = TableSummary { entries: 1, ..summary };
    let fits = Remains::survey(&*disk, 1, Some(&smaller), &at_home()).unwrap_err();
    assert!(fits.to_string().ends_with("what is left of it is not from this table"), "{fits}");
}
