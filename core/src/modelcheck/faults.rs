//! Mistakes that a model can be asked to make, one at a time.

use std::cell::Cell;

/// A mistake. The first five are made in the code, where `fault!` names them; the others in the scripted table, which
/// then is not what the code relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// A followed principal's revoke is judged at once.
    JudgesBeforeSettling,
    /// A refused authorize means nothing.
    ForgetsAborts,
    /// Rules of the record stand in for one another.
    RecordedRulesStandIn,
    /// A generation is written without its author.
    WritesWithoutAuthor,
    /// A missing rule is restored before its cause is known.
    CausesAreNotAwaited,
    /// The record is answered with whatever the event names in it, so that this is what is authorized.
    RecordsHoldWhatEventsName,
    /// Records are read as they were a generation ago.
    RecordsAreReadLate,
    /// Records are written whatever is there.
    RecordsAreOverwritten,
    /// The run-time state is written whatever is there.
    StatesAreOverwritten,
    /// The run-time state loses what was restored.
    RestoresAreForgotten,
}

thread_local! {
    static MADE: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Whether this thread is to make the mistake at present.
pub(crate) fn is_made(fault: Fault) -> bool {
    MADE.get() == Some(fault)
}

/// Runs something with a mistake.
pub(super) fn making<T>(fault: Option<Fault>, run: impl FnOnce() -> T) -> T {
    let before = MADE.replace(fault);
    let result = run();
    MADE.set(before);
    result
}
