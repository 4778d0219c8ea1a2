//! The merge for flush and compaction: every version, forward.

use std::cmp::Ordering;

use icecore_model::Entry;

use super::settle;

/// A cursor that walks all versions of one source once, in the order of entries.
pub(crate) trait VersionSource {
    /// Why a move failed. The source is not used any more then.
    type Error;

    /// Moves to the first entry.
    fn first(&mut self) -> Result<(), Self::Error>;
    /// Moves to the next entry, from an entry.
    fn next(&mut self) -> Result<(), Self::Error>;
    /// The entry that the cursor stands at; `None` at the end.
    fn entry(&self) -> Option<Entry<'_>>;
    /// Whether what was read of that entry could be read: asked after the use of it.
    fn check(&self) -> Result<(), Self::Error>;
}

/// All versions of all sources in the order of entries: keys ascending, stamps descending.
///
/// A version that two sources hold comes once, from the one that was given first. After an error
/// the merge is empty for good.
#[derive(Debug)]
pub(crate) struct MergeVersions<S> {
    sources: Vec<S>,
    /// The sources that stand at an entry, in the order of these entries.
    order: Vec<usize>,
}

impl<S: VersionSource> MergeVersions<S> {
    /// Moves every source to its first entry, and stands at the first of all.
    pub(crate) fn new(mut sources: Vec<S>) -> Result<MergeVersions<S>, S::Error> {
        sources.iter_mut().try_for_each(S::first)?;
        let mut order: Vec<usize> =
            (0..sources.len()).filter(|index| sources[*index].entry().is_some()).collect();
        order.sort_unstable_by(|a, b| rank(&sources, *a, *b));
        Ok(MergeVersions { sources, order })
    }

    /// The entry that the merge stands at; `None` at the end.
    #[inline]
    pub(crate) fn entry(&self) -> Option<Entry<'_>> {
        self.sources[*self.order.first()?].entry()
    }

    /// Whether what was read of that entry could be read: asked after the use of it.
    pub(crate) fn check(&self) -> Result<(), S::Error> {
        self.order.first().map_or(Ok(()), |winner| self.sources[*winner].check())
    }

    /// Moves to the next entry.
    pub(crate) fn next(&mut self) -> Result<(), S::Error> {
        while self.order.len() > 1 && self.runner_up_is_equal() {
            self.advance(1)?;
        }
        if self.order.is_empty() { Ok(()) } else { self.advance(0) }
    }

    fn runner_up_is_equal(&self) -> bool {
        match (self.sources[self.order[0]].entry(), self.sources[self.order[1]].entry()) {
            (Some(winner), Some(runner_up)) => winner.order(&runner_up).is_eq(),
            _ => false,
        }
    }

    /// Moves the source at `place` of the order, and finds its place again behind that.
    #[inline]
    fn advance(&mut self, place: usize) -> Result<(), S::Error> {
        let source = &mut self.sources[self.order[place]];
        if let Err(error) = source.next() {
            self.order.clear();
            return Err(error);
        }
        if source.entry().is_none() {
            self.order.remove(place);
            return Ok(());
        }
        let sources = &self.sources;
        settle(&mut self.order[place..], |a, b| rank(sources, a, b));
        Ok(())
    }
}

#[inline]
fn rank<S: VersionSource>(sources: &[S], a: usize, b: usize) -> Ordering {
    let (Some(left), Some(right)) = (sources[a].entry(), sources[b].entry()) else {
        unreachable!("a source in the order stands at an entry")
    };
    left.order(&right).then(a.cmp(&b))
}
