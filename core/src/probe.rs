//! What tests look at and change inside: deliberate mistakes, and which verdicts were reached. Each thread has its own.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::decide::changes::{PendingReason, RemovalReason, RestoreReason, Verdict, WaitReason};
use crate::model::RuleKey;

/// A mistake. Those before [`Fault::RecordsHoldWhatEventsName`] are made in the code, at a `fault!` with their name. That
/// one and the later ones are made in the scripted table, which then breaks what the code relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
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
    /// A rule of any caller commits a followed principal's change.
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
pub fn is_made(fault: Fault) -> bool {
    MADE.get() == Some(fault)
}

/// Runs a function with a mistake.
pub fn making<T>(fault: Option<Fault>, run: impl FnOnce() -> T) -> T {
    let before = MADE.replace(fault);
    let result = run();
    MADE.set(before);
    result
}

thread_local! {
    static REACHED: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Counts the verdicts of a judgement.
pub fn reached<'v>(verdicts: impl IntoIterator<Item = (&'v RuleKey, &'v Verdict)>) {
    REACHED.with_borrow_mut(|reached| {
        for (_, verdict) in verdicts {
            *reached.entry(name(verdict)).or_default() += 1;
        }
    });
}

/// The counts of this thread, which begin anew.
pub fn take() -> BTreeMap<&'static str, u64> {
    REACHED.take()
}

/// Every name but that of rules that stay as they are.
pub const ROWS: [&str; 24] = [
    "restored: nobody is listed",
    "restored: a person recorded it",
    "restored: not listed",
    "restored: aborted",
    "restored: half a change",
    "restored: large change",
    "restored: withheld before",
    "restored: never told",
    "waits: unknown cause",
    "waits: settles",
    "waits: tries again",
    "waits: deletion",
    "waits: a person insists",
    "pending: large change",
    "pending: narrowing refused",
    "leaves: accepted",
    "leaves: modified",
    "leaves: committed",
    "leaves: narrowed",
    "leaves: asked twice",
    "leaves: rolled back",
    "leaves: reference gone",
    "enters",
    "returns to the record",
];

fn name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Keep => "stays",
        Verdict::Restore(why) => match why {
            RestoreReason::NobodyListed => ROWS[0],
            RestoreReason::Recorded => ROWS[1],
            RestoreReason::Unlisted { .. } => ROWS[2],
            RestoreReason::Aborted { .. } => ROWS[3],
            RestoreReason::Half { .. } => ROWS[4],
            RestoreReason::LargeChange { .. } => ROWS[5],
            RestoreReason::Withheld { .. } => ROWS[6],
            RestoreReason::NeverTold { .. } => ROWS[7],
        },
        Verdict::Wait { why, .. } => match why {
            WaitReason::UnknownCause { .. } => ROWS[8],
            WaitReason::Settles { .. } => ROWS[9],
            WaitReason::TriesAgain { .. } => ROWS[10],
            WaitReason::Deletion { .. } => ROWS[11],
            WaitReason::Insists { .. } => ROWS[12],
        },
        Verdict::Pend(pending) => match pending.why {
            PendingReason::LargeChange => ROWS[13],
            PendingReason::NarrowingRefused => ROWS[14],
        },
        Verdict::Leave(leaving) => match leaving.why {
            RemovalReason::Accepted => ROWS[15],
            RemovalReason::Modified => ROWS[16],
            RemovalReason::Committed(_) => ROWS[17],
            RemovalReason::Narrowed(_) => ROWS[18],
            RemovalReason::AskedTwice => ROWS[19],
            RemovalReason::RolledBack => ROWS[20],
            RemovalReason::ReferenceGone => ROWS[21],
        },
        Verdict::Enter { .. } => ROWS[22],
        Verdict::Reinstate { .. } => ROWS[23],
    }
}
