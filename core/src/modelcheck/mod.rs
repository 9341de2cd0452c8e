//! A model of the event-handling protocol, explored with [`stateright`].
//!
//! What is explored is the real [`reconcile`](crate::reconcile::reconcile), [`sweep`](crate::sweep::sweep) and
//! [`apply`](crate::operator::apply), not a copy of what they decide: `replay` runs them over ports that answer from a
//! list and stop at the first call that has no answer yet. An invocation in flight is the answers that it has had so
//! far, so a state of the world can be kept, compared and left in any direction.
//!
//! # What can happen
//! - **Invocations.** Events, sweeps and an operator's `apply`, up to two at the same time. Each call takes effect and is
//!   answered in one step, and anything else may happen between two calls. The first two calls, which are made at once,
//!   are answered in either order. A call is answered no earlier than it was made, so whoever waits for a change to
//!   settle is overtaken by everything that may happen meanwhile. What an invocation may last is Lambda's 30 seconds.
//! - **Deaths.** An invocation may die wherever it waits for a call, before the call takes effect or after it. Lambda
//!   repeats an event whose invocation died or failed for a retryable reason.
//! - **Events** are told in whole seconds, and arrive in any order, as late as may be, more than once, or never.
//! - **EC2** takes a call as a whole or refuses it: a rule that is there, or one that names a group that does not exist. A
//!   read may show the group as it was before its last change, for up to a second. Calls may end in silence, whether they
//!   took effect or not.
//! - **The table** reads consistently and writes on condition, as the adapter asks of DynamoDB.
//! - **Others**: a followed controller that replaces rules in the old order or the new one, has its authorize refused,
//!   stops half-way, or insists; a principal whose revokes are accepted; a stranger; an operator.
//! - **Rest.** When nobody has anything left to do and no event is under way, a sweep looks after ten seconds, another
//!   after a quarter of an hour, and others after each wait of a fight. Then a run is over.
//!
//! # What must hold
//! `properties` has the promises, and `scenarios` what each scenario is to end in.
//!
//! - **(a)** At each authorize of ours, each of its rules is in a generation that was current at some time since the
//!   invocation began.
//! - **(b)** When a run is over, each rule of the record is live, or *invalid* (EC2 refuses it for what it names), or
//!   superseded by live rules outside the record. Nothing is *held* then: all waits are over. This holds whatever was
//!   lost, and whoever stopped half-way.
//! - **(c)** When a run is over, all did what they meant to, and each event was dealt with: rules that a principal meant to
//!   take away are not in the record and are not live, and those that it meant to add are both. A change is *meant* when
//!   the call that makes up for a followed principal's revoke succeeds before the revoke has settled and reads show
//!   it by then; when the principal insists; or when its revokes are accepted. A rule that we had put back before we were
//!   told of an accepted revoke stays live, because nothing is ever revoked, and is out of the record.
//! - **(d)** In the same runs: rules whose change was aborted, or that nobody meant to take away, are in the record and live.
//! - **(e)** A rule is restored no more than five times in ten minutes, plus once for each invocation that died or met
//!   silence before it could note its restore; the fight ends contested; no invocation makes more than 60 calls.
//! - **(f)** A rule leaves the record only with a new generation, its number the next one, with a reason and an author: an
//!   operator, or a principal whose changes are meant, who did revoke that rule after an operator last put it in.
//! - **(g)** Where pauses are shorter than the wait for causes, a rule that an accepted principal revoked is never open again.
//! - Each run comes to rest. All runs are finite, because everything that may go wrong is counted.
//!
//! Each exploration is complete within its bounds, and fails when no run of a scenario ends well, or no fight contested.
//! `faults` has mistakes to be made on purpose; each promise is broken by one, or the tests fail.
//!
//! # What does not hold
//! - A rule whose revoke is lost, or told after the wait, is restored, and a controller that means it has to revoke it again.
//! - Asking twice is enough when each revoke is dealt with before the next. Otherwise each event that is late, each
//!   death and each stale read may cost another time.
//! - A generation that the table does not take holds back the rules that were to leave, until the event is delivered
//!   again; if it is not, a sweep puts them back.
//! - An accepted revoke whose event names no rule ids is lost when another instance has put the rule back and not said so
//!   yet.
//!
//! # What is left out
//! Incidents, reports, metrics; quotas, throttling, tags and descriptions; events of `ModifySecurityGroupRules` and
//! `DeleteSecurityGroup`; pauses and observe mode; settings; groups that go away; more than one group; a table that
//! fails half of a transaction. Most of these have tests of their own.
//!
//! `RULEKEEPER_MODEL_BOUNDS=all cargo test -p rulekeeper-core modelcheck -- --nocapture` explores the long scenarios too,
//! and `large` explores more in each, for some minutes;
//! `RULEKEEPER_MODEL_ONLY` takes some text of the names of scenarios.

pub(crate) mod faults;
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
