//! Sweeps of more groups than one invocation can look at, and of several accounts and Regions.
//!
//! An invocation looks at as many groups as it can and hands over the rest. It cuts the rest into ranges about as wide
//! as its own and puts a task for each into the queue that feeds the function. A range that is still too large is cut
//! again.
//! If there is no queue, or it still holds tasks of earlier sweeps, the table remembers where the sweep stopped. The
//! next sweep continues there and wraps around to where it began, so every group of that account and Region gets its
//! turn. Other accounts and Regions are swept through the queue only.

use std::collections::VecDeque;
use std::time::Duration;

use crate::event::{Sweep, Trigger};
use crate::model::{GroupRange, Scope};
use crate::ports::{
    ApiError, Budget, KnownScopes, ScopeTable, SecurityGroups, SweepQueue, SweepTask, Table,
};
use crate::reconcile::World;
use crate::report::HandedOver;
use crate::sweep::{Bounds, SweepResult, sweep};

/// The size of the reports of one answer, in bytes. With the request around it, an answer must fit into an event of 256
/// KiB (Amazon EventBridge User Guide, "PutEvents event entry size"). Two sweeps may share one answer.
const ANSWER_BYTES_MAX: usize = 100_000;

/// The least time to begin a group with. Most groups need a tenth of it.
const GROUP_TIME_MIN: Duration = Duration::from_secs(2);

/// The longest time for one group of a sweep.
const GROUP_TIME_MAX: Duration = Duration::from_secs(10);

/// The most tasks that are handed over at once: nine calls of ten messages.
const TASKS_MAX: usize = 90;

/// How often a range is swept if its groups fail for a retryable reason.
const ATTEMPTS_MAX: u32 = 3;

/// The delay before such a new attempt, so that the cause of the failure can pass.
const RETRY_DELAY: Duration = Duration::from_secs(60);

/// A sweep to make, with what it needs.
pub(crate) struct SweepRound<'a, E, T, Q> {
    pub(crate) world: World<'a, E, T>,
    /// The table, with a little more time than the world's.
    pub(crate) scope_table: &'a T,
    pub(crate) scope: &'a Scope,
    pub(crate) request: &'a Sweep,
    pub(crate) queue: Option<&'a Q>,
    /// How many tasks waited at the start. `None` for a sweep that is itself a task, or without a queue.
    pub(crate) waiting: Option<Result<u64, ApiError>>,
    /// Whether we assume a role in other accounts.
    pub(crate) has_role: bool,
    /// Whether to look which rules could not come back.
    pub(crate) looks_ahead: bool,
    pub(crate) budget: Budget,
}

/// The result of looking at the groups.
struct Progressed {
    report: SweepResult,
    /// The ranges that were looked at.
    done: Vec<GroupRange>,
    /// The ranges that were not.
    remaining: VecDeque<GroupRange>,
}

impl<E: SecurityGroups, T: Table + ScopeTable, Q: SweepQueue> SweepRound<'_, E, T, Q> {
    /// Sweeps as many groups as possible, and hands over or remembers the rest.
    pub(crate) async fn run(&self) -> SweepResult {
        let scopes = match self.is_whole() {
            true => self.scope_table.known_scopes().await,
            false => Ok(KnownScopes::default()),
        };
        let (scopes, unknown) = match scopes {
            Ok(scopes) => (scopes, None),
            Err(error) => (KnownScopes::default(), Some(error)),
        };
        let elsewhere = self.send_elsewhere(&scopes).await;
        let cursor = scopes.scopes.get(self.scope).cloned().flatten();
        let mut swept = self.sweep_from(cursor.as_deref()).await;
        self.ask_to_look_again(&mut swept.report).await;
        let passed_on = self.pass_on(&mut swept, elsewhere.asked > 0).await;
        let mut report = swept.report;
        if cursor.is_some() && (swept.remaining.is_empty() || passed_on) {
            self.save_cursor(&mut report, None).await;
        }
        elsewhere.add_to(&mut report);
        if let Some(error) = unknown {
            let what = "which accounts and Regions have records, and where the last sweep stopped, is not known";
            add_reason(&mut report, format!("{what}: {error}"));
        }
        report
    }

    /// Whether this sweeps the whole scope and not a range of it.
    fn is_whole(&self) -> bool {
        self.request.range.is_all() && self.request.attempt <= 1
    }

    /// Looks at the groups after the cursor first, and then at those before it.
    async fn sweep_from(&self, cursor: Option<&str>) -> Progressed {
        let whole = &self.request.range;
        let mut remaining = match cursor {
            Some(cursor) => VecDeque::from([whole.behind(cursor), whole.up_to(cursor)]),
            None => VecDeque::from([whole.clone()]),
        };
        let trigger: &Trigger = &self.request.trigger;
        let mut done = Vec::new();
        let mut swept: Option<SweepResult> = None;
        while let Some(range) = remaining.pop_front() {
            let bounds = Bounds {
                range,
                answer_bytes_max: ANSWER_BYTES_MAX,
                group_time_min: GROUP_TIME_MIN,
                group_time_max: GROUP_TIME_MAX,
                looks_ahead: self.looks_ahead,
            };
            let quiet = |_, _| {};
            let report = sweep(
                self.world,
                self.scope,
                trigger,
                &bounds,
                self.budget,
                &quiet,
            )
            .await;
            let rest = report.rest.clone();
            if let Some(of) = report.of.as_ref().filter(|_| report.reached_any) {
                done.push(of.range.clone());
            }
            swept = Some(match swept {
                Some(before) => before.and(report),
                None => report,
            });
            if let Some(rest) = rest {
                remaining.push_front(rest);
                break;
            }
        }
        Progressed {
            report: swept.unwrap_or_default(),
            done,
            remaining,
        }
    }

    /// Asks for sweeps of the other accounts and Regions that have records.
    async fn send_elsewhere(&self, known: &KnownScopes) -> Elsewhere {
        let others = known.scopes.keys().filter(|scope| *scope != self.scope);
        let (reachable, closed): (Vec<&Scope>, Vec<&Scope>) =
            others.partition(|other| self.has_role || other.account == self.scope.account);
        let mut elsewhere = Elsewhere::default();
        if !self.request.everywhere || !self.world.settings.writes {
            return elsewhere;
        }
        if !closed.is_empty() {
            elsewhere.leave(closed.len(), "RULEKEEPER_ROLE_NAME is not set");
        }
        if reachable.is_empty() {
            return elsewhere;
        }
        let number = reachable.len();
        let tasks: Vec<SweepTask> = reachable.into_iter().cloned().map(whole).collect();
        match self.send(&tasks).await {
            Ok(()) => elsewhere.asked = number,
            Err(Unsent::NoQueue) => elsewhere.leave(number, "RULEKEEPER_SWEEP_QUEUE is not set"),
            Err(Unsent::Waiting(reason) | Unsent::Failed(reason)) => {
                elsewhere.leave(number, &reason);
            }
        }
        elsewhere
    }

    /// Hands over the rest, and groups that failed for a retryable reason. Returns whether the whole rest was handed
    /// over.
    ///
    /// Lambda or SQS repeat some work by themselves, and it is left to them: a sweep that reached no group, and failed
    /// groups of a sweep that handed nothing over.
    async fn pass_on(&self, swept: &mut Progressed, asked_elsewhere: bool) -> bool {
        let Progressed {
            report,
            done,
            remaining,
        } = swept;
        let stopped = !remaining.is_empty();
        let failed = !report.group_retries.is_empty();
        let is_ours = match stopped {
            true => report.retryable && report.reached_any,
            // The same message would sweep the whole range again, and the same event would ask for every sweep
            // elsewhere again.
            false => failed && (self.request.attempt > 0 || asked_elsewhere),
        };
        if !is_ours {
            return false;
        }
        let mut tasks = self.rest(done, remaining);
        let attempt = self.request.attempt.max(1);
        if failed && attempt < ATTEMPTS_MAX {
            tasks.extend(done.iter().map(|range| SweepTask {
                attempt: attempt + 1,
                delay: RETRY_DELAY,
                ..self.task(range.clone())
            }));
        }
        if tasks.is_empty() {
            // The attempts are used up; the next scheduled sweep looks again.
            report.without_retry();
            return false;
        }
        let why = report.reason.take();
        let unsent = match self.send(&tasks).await {
            Ok(()) => {
                let reason = "groups failed for a retryable reason".to_owned();
                report.handed_over = Some(HandedOver {
                    sweeps: tasks.len(),
                    reason: why.unwrap_or(reason),
                });
                report.without_retry();
                return stopped;
            }
            Err(unsent) => unsent,
        };
        let why = why.unwrap_or_default();
        report.reason = Some(match &unsent {
            Unsent::NoQueue => why,
            Unsent::Waiting(problem) | Unsent::Failed(problem) => {
                format!("{why}, and the rest was not handed over: {problem}")
            }
        });
        if stopped && self.is_whole() {
            let next = remaining.front().and_then(|range| range.after.clone());
            self.save_cursor(report, next.as_deref()).await;
        }
        if let Unsent::Waiting(_) = unsent {
            // The next sweep continues. Another call now would only compete with the sweeps in progress.
            report.without_retry();
        }
        false
    }

    /// Tasks for the rest. Its first range is cut into pieces as wide as the last finished one.
    fn rest(&self, done: &[GroupRange], remaining: &VecDeque<GroupRange>) -> Vec<SweepTask> {
        let like = done.last().unwrap_or(&self.request.range);
        let pieces = remaining
            .iter()
            .enumerate()
            .flat_map(|(number, rest)| match number {
                0 => rest.split(like, TASKS_MAX - 3),
                _ => vec![rest.clone()],
            });
        pieces.map(|range| self.task(range)).collect()
    }

    fn task(&self, range: GroupRange) -> SweepTask {
        SweepTask {
            range,
            ..whole(self.scope.clone())
        }
    }

    /// Asks for another look at groups with a rule that waits for its cause. Without a queue, the next sweep looks again.
    async fn ask_to_look_again(&self, report: &mut SweepResult) {
        let Some(queue) = self.queue.filter(|_| self.world.settings.writes) else {
            return;
        };
        let wakes = std::mem::take(&mut report.wakes);
        if wakes.is_empty() {
            return;
        }
        if let Err(error) = queue.look_again(&wakes, (self.world.now)()).await {
            add_reason(
                report,
                format!("another look could not be asked for: {error}"),
            );
        }
    }

    /// Puts tasks into the queue.
    ///
    /// A sweep that is itself a task may add tasks while others wait; otherwise its range could never be cut. Any other
    /// sweep adds none then; otherwise a fleet that takes longer than the schedule's interval would add tasks without
    /// end.
    async fn send(&self, tasks: &[SweepTask]) -> Result<(), Unsent> {
        let Some(queue) = self.queue.filter(|_| self.world.settings.writes) else {
            return Err(Unsent::NoQueue);
        };
        match &self.waiting {
            Some(Err(error)) => return Err(Unsent::Failed(error.to_string())),
            Some(Ok(waiting @ 1..)) => return Err(Unsent::Waiting(still_waiting(*waiting))),
            Some(Ok(0)) | None => {}
        }
        let sent = queue.send(tasks).await;
        sent.map_err(|error| Unsent::Failed(error.to_string()))
    }

    async fn save_cursor(&self, report: &mut SweepResult, group: Option<&str>) {
        if !self.world.settings.writes {
            return;
        }
        if let Err(error) = self.scope_table.go_on_after(self.scope, group).await {
            let problem = format!("where to go on could not be noted: {error}");
            add_reason(report, problem);
        }
    }
}

/// Why tasks were not sent.
enum Unsent {
    NoQueue,
    /// Tasks of earlier sweeps still wait.
    Waiting(String),
    Failed(String),
}

/// The sweeps of the other accounts and Regions.
#[derive(Default)]
struct Elsewhere {
    asked: usize,
    problems: Vec<String>,
}

impl Elsewhere {
    fn leave(&mut self, number: usize, problem: &str) {
        let problem =
            format!("other accounts or Regions with records were not swept ({number}): {problem}");
        self.problems.push(problem);
    }

    fn add_to(self, report: &mut SweepResult) {
        if self.asked > 0 {
            let reason = "other accounts or Regions have records".to_owned();
            let handed_over = report.handed_over.take();
            report.handed_over = Some(match handed_over {
                Some(own) => HandedOver {
                    sweeps: own.sweeps + self.asked,
                    reason: format!("{}; {reason}", own.reason),
                },
                None => HandedOver {
                    sweeps: self.asked,
                    reason,
                },
            });
        }
        for problem in self.problems {
            add_reason(report, problem);
        }
    }
}

fn add_reason(report: &mut SweepResult, problem: String) {
    report.reason = Some(match report.reason.take() {
        Some(reason) => format!("{reason}; {problem}"),
        None => problem,
    });
}

fn whole(scope: Scope) -> SweepTask {
    SweepTask {
        scope,
        range: GroupRange::default(),
        attempt: 1,
        delay: Duration::ZERO,
    }
}

fn still_waiting(waiting: u64) -> String {
    format!("about {waiting} tasks of earlier sweeps still wait in the queue")
}

#[cfg(test)]
mod tests;
