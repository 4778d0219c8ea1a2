//! What the golden stores hold, and how they came about.
//!
//! Each script covers what its name says. A script never changes once its store belongs to a
//! release; a new one is added instead.

mod histories;
mod logs;
mod tables;
mod values;

use super::folder::archive::Files;
use super::maker::Maker;

/// Makes a store, and gives the files of its directory.
type Script = fn(&mut Maker) -> Files;

/// Every script by name, in the order of names.
pub(super) const ALL: &[(&str, Script)] = &[
    ("batches", values::batches),
    ("beacon", logs::beacon),
    ("blocks-of-4096", logs::blocks_of_4096),
    ("bloom-filter", tables::bloom_filter),
    ("buffered", logs::buffered),
    ("checkpoint", histories::checkpoint),
    ("checkpoint-lived-on", histories::checkpoint_lived_on),
    ("compacted", tables::compacted),
    ("crash-in-compaction", histories::crash_in_compaction),
    ("crash-in-flush", histories::crash_in_flush),
    ("crash-in-recovery", histories::crash_in_recovery),
    ("deletions-forgotten", tables::deletions_forgotten),
    ("empty", logs::empty),
    ("empty-killed", logs::empty_killed),
    ("expiry", values::expiry),
    ("expiry-swept", values::expiry_swept),
    ("frozen-memtables", logs::frozen_memtables),
    ("keys-long", tables::keys_long),
    ("keys-of-every-kind", values::keys_of_every_kind),
    ("keys-small", tables::keys_small),
    ("large-commit", logs::large_commit),
    ("large-values", tables::large_values),
    ("level-0", tables::level_0),
    ("level-0-and-log", tables::level_0_and_log),
    ("levels", tables::levels),
    ("log-closed", logs::closed),
    ("log-killed", logs::killed),
    ("lz4", tables::lz4),
    ("manifest-long", histories::manifest_long),
    ("manifest-rolled", histories::manifest_rolled),
    ("no-filter", tables::no_filter),
    ("old-versions", tables::old_versions),
    ("queue", values::queue),
    ("ranges-in-levels", tables::ranges_in_levels),
    ("ranges-in-log", logs::ranges),
    ("ranges-in-tables", tables::ranges),
    ("reopened", histories::reopened),
    ("segments", logs::segments),
    ("segments-closed", logs::segments_closed),
    ("spares", logs::spares),
    ("stamps-lost", histories::stamps_lost),
    ("stamps-near-ceiling", histories::stamps_near_ceiling),
    ("tiny-blocks", tables::tiny_blocks),
    ("torn", logs::torn),
    ("torn-segments", logs::torn_segments),
    ("values-of-javascript", values::of_javascript),
];
