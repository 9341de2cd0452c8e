//! A model of the event-handling protocol, explored with [`stateright`].
//!
//! It explores the real [`reconcile`](crate::reconcile::reconcile) and [`sweep`](crate::sweep::sweep), and the write
//! that the command `apply` makes, not a copy of their decisions. `replay` runs them over ports that answer from a list
//! and stop at the first call without an answer. An invocation in progress is the list of its answers so far. So a
//! state of the world can be stored, compared and continued in any direction.
//!
//! # What can happen
//! - **Invocations.** Events, sweeps and an operator's `apply`, up to two at the same time. Each call takes effect and
//!   is answered in one step, and anything else may happen between two calls. The first two calls are made at once and
//!   are answered in either order. A call is answered no earlier than it was made, so anything may happen while an
//!   invocation waits for a change to settle. An invocation lasts at most Lambda's 30 seconds.
//! - **Deaths.** An invocation may die wherever it waits for a call, before the call takes effect or after it. Lambda
//!   repeats an event whose invocation died or failed for a retryable reason.
//!   The table may refuse a write because of another transaction.
//! - **Events** tell whole seconds. They arrive in any order, with any delay, more than once, or never.
//! - **EC2** accepts or refuses a call as a whole. It refuses a rule that is live, and one that references a missing
//!   group. A read may show the group before its last change, for up to a second. A call may end without an answer,
//!   whether or not it took effect.
//! - **The table** reads consistently and writes on condition, as the adapter does with DynamoDB. State items that need
//!   not stay expire when two days pass.
//! - **A referenced group** may be deleted while no live rule refers to it. Its deletion, or the refused one, is kept in
//!   a state item of its own.
//! - **Others.** A followed controller replaces rules in the old order or the new one, has its authorize refused, stops
//!   half-way, is throttled, deletes a referenced group, or insists. There are also a principal whose revokes are accepted, a principal that is not listed, and
//!   an operator.
//! - **Rest.** When nobody has a step left and no event is under way, a sweep looks after ten seconds, another one 16
//!   minutes later, and others after each wait of a contested rule. Then a run is over.
//!
//! # What must hold
//! `properties` has the promises, and `scenarios` has the required end of each scenario.
//!
//! - **(a)** When we authorize a rule, it is in a generation that was current at some time since the invocation began.
//! - **(b)** When a run is over, each rule of the record is live, *invalid* (EC2 refuses what it references), or
//!   superseded by live rules outside the record. No rule is *held* then, because all waits are over. This is true even
//!   if events were lost or somebody stopped half-way.
//! - **(c)** This is about runs in which everybody took all steps and each event was handled. Rules that a principal
//!   meant to remove are neither in the record nor live. Rules that it meant to add are both. A change of a followed
//!   principal is *meant* if the authorize that belongs to its revoke succeeds before the revoke has settled, and reads
//!   show it by then; or if the principal insists. An accepted principal means every revoke. A rule that we restored
//!   before we knew of its accepted revoke leaves the record but stays live, because we never revoke.
//! - **(d)** In the same runs: rules of an aborted change, and rules that nobody meant to remove, are in the record and
//!   live.
//! - **(e)** A rule is restored at most five times in ten minutes, plus once for each invocation that died or got no
//!   answer before it could note its restore. A rule that is dropped again and again ends contested. No invocation
//!   makes more than 60 calls.
//! - **(f)** A rule leaves the record only with a new generation that has the next number, a reason and an author. The
//!   author is an operator, or a principal whose changes are meant and who revoked that rule after an operator last
//!   added it.
//! - **(g)** If pauses are shorter than the wait for causes, a rule that an accepted principal revoked is never live
//!   again.
//! - **(h)** An invocation that knows of a revoke, and that its caller was refused to delete the referenced group or was
//!   throttled when it authorized, leaves the rule closed: 15 minutes for a deletion, two for an authorize. The deletion
//!   succeeds in the end.
//! - **(i)** A rule that a large change or a refused narrowing took away stays closed and recorded, also when two days
//!   pass.
//! - **(j)** When the invocation of an event is a success, the state has the call of that event.
//! - Each run comes to rest. All runs are finite, because everything that may go wrong is counted.
//!
//! Each exploration is complete within its bounds. It fails if no run of a scenario ends well, or if a scenario about a
//! contested rule never ends with one. `faults` has deliberate mistakes. The tests fail unless each promise is broken
//! by one of them.
//!
//! # What does not hold
//! - If the event of a revoke is lost or comes after the wait, the rule is restored, and a controller that meant the
//!   revoke has to repeat it.
//! - Two revokes are enough if the first is handled before the second. Otherwise each late event, each death and each
//!   stale read may cost one more.
//! - If the table does not accept a generation, the rules that it removes are held until the event is delivered again.
//!   Without another delivery, a sweep restores them.
//! - An accepted revoke whose event has no rule ids is lost if another instance has restored the rule and has not noted
//!   it yet.
//!
//! # What is left out
//! Incidents, reports, metrics; quotas, tags, throttled calls of our own; persons who insist; pauses and observe mode;
//! settings; deletion of the kept group; more than one kept group; a table that fails half of a transaction. Most of
//! these have tests of their own.
//!
//! `RULEKEEPER_MODEL_BOUNDS=all cargo test -p rulekeeper-core modelcheck -- --nocapture` explores the long scenarios
//! too. `large` explores more in each, which takes minutes. `RULEKEEPER_MODEL_ONLY` selects the scenarios whose names
//! contain its text.

mod properties;
mod protocol;
mod replay;
mod scenario;
mod scenarios;
mod state;
#[expect(
    clippy::disallowed_methods,
    reason = "how long exploring takes is told, and what to explore is asked for"
)]
mod tests;
