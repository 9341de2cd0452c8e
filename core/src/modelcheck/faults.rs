//! Mistakes that a model can make on request, one at a time.

use std::cell::Cell;

/// A mistake. Those before [`Fault::RecordsHoldWhatEventsName`] are made in the code, at a `fault!` with their name. That
/// one and the later ones are made in the scripted table, which then breaks what the code relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// A followed principal's revoke is judged before it has settled.
    JudgesBeforeSettling,
    /// A refused authorize is ignored.
    ForgetsAborts,
    /// Rules of the record supersede each other.
    RecordedRulesStandIn,
    /// A generation is written without its author.
    WritesWithoutAuthor,
    /// A missing rule is restored before its cause is known.
    CausesAreNotAwaited,
    /// A change that leaves less than half of a record takes effect.
    LetsLargeChangesThrough,
    /// A modify gave its new content and took nothing away.
    ForgetsWhatModifiesTook,
    /// A modify took its old content away and gave nothing.
    ForgetsWhatModifiesGave,
    /// A look overwrites what ids stood for.
    LooksOverwriteIds,
    /// A new description is ignored.
    IgnoresDescriptions,
    /// Rules are restored while their caller deletes a group.
    IgnoresDeletions,
    /// Whoever authorized a rule, it commits a followed principal's change.
    CountsRulesOfOthers,
    /// A throttled authorize counts as refused.
    TakesThrottlesForRefusals,
    /// An invocation whose facts could not be written is a success.
    LosesFactsQuietly,
    /// The record is read as if it held every rule that the event names, so those rules are authorized.
    RecordsHoldWhatEventsName,
    /// Records are read one generation late.
    RecordsAreReadLate,
    /// Records are written without checking the present one.
    RecordsAreOverwritten,
    /// The run-time state is written without checking the present one.
    StatesAreOverwritten,
    /// The run-time state loses the restores.
    RestoresAreForgotten,
    /// The run-time state expires with all that has to stay.
    StatesExpire,
}

thread_local! {
    static MADE: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Whether this thread makes the mistake now.
pub(crate) fn is_made(fault: Fault) -> bool {
    MADE.get() == Some(fault)
}

/// Runs a function with a mistake.
pub(super) fn making<T>(fault: Option<Fault>, run: impl FnOnce() -> T) -> T {
    let before = MADE.replace(fault);
    let result = run();
    MADE.set(before);
    result
}
