//! Sweeps of more groups than one invocation can look at, and of more accounts than one.
//!
//! An invocation looks at what it can and hands the rest over: it cuts what is left into parts about as wide as what it
//! managed, and puts an errand for each into the queue that feeds the function. A part that turns out too large is cut in
//! the same way. Where there is no queue, or it still holds errands of earlier sweeps, the table remembers how far the sweep
//! came, and the next one goes on there and ends where it began. So no group waits for ever, whichever way the rest goes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::budget::Budget;
use crate::event::{Sweep, Trigger};
use crate::model::{Part, Scope};
use crate::ports::{Errand, Errands, Fleet, FleetTable, SecurityGroups, Table};
use crate::reconcile::World;
use crate::report::{HandedOver, SweepReport};
use crate::sweep::{Bounds, sweep};

/// The reports of one answer, in bytes. With the request around it, an answer must fit into an event of 256 KiB (Amazon
/// EventBridge User Guide, "PutEvents event entry size"); two sweeps may share one.
const ANSWER_BYTES_MAX: usize = 100_000;

/// The least time to begin a group with; most take a tenth of it.
const GROUP_TIME_MIN: Duration = Duration::from_secs(2);

/// The longest time for one group of a sweep.
const GROUP_TIME_MAX: Duration = Duration::from_secs(10);

/// The most errands of one hand-over: nine calls of ten.
const ERRANDS_MAX: usize = 90;

/// How often groups that failed for a passing reason are looked at anew, once the rest is handed over.
const ATTEMPTS_MAX: u32 = 3;

/// How long to wait before that, so that what failed has time to pass.
const RETRY_DELAY: Duration = Duration::from_secs(60);

/// A sweep to be made, and what there is to make it with.
pub(crate) struct Round<'a, E, T, Q> {
    pub(crate) world: World<'a, E, T>,
    pub(crate) scope: &'a Scope,
    pub(crate) request: &'a Sweep,
    pub(crate) queue: Option<&'a Q>,
    /// Whether a role is assumed in other accounts.
    pub(crate) has_role: bool,
    pub(crate) budget: Budget,
}

impl<E: SecurityGroups, T: Table + FleetTable, Q: Errands> Round<'_, E, T, Q> {
    /// Sweeps as far as it goes, and hands over or remembers the rest.
    pub(crate) async fn run(&self) -> SweepReport {
        let fleet = match self.is_whole() {
            // A table that cannot be read stops the sweep itself, with the reason.
            true => self.world.table.fleet().await.unwrap_or_default(),
            false => Fleet::default(),
        };
        let (elsewhere, waiting) = self.send_elsewhere(&fleet).await;
        let cursor = fleet.scopes.get(self.scope).cloned().flatten();
        let (mut report, left) = self.look(cursor.as_deref()).await;
        if left.is_empty() {
            if cursor.is_some() {
                self.remember(&mut report, None).await;
            }
        } else if report.passing && report.reached_any {
            self.pass_on(&mut report, &left, waiting).await;
        }
        elsewhere.add_to(&mut report);
        report
    }

    /// Whether this is to be a sweep of the whole scope, and not a part of one.
    fn is_whole(&self) -> bool {
        self.request.part.is_all() && self.request.attempt <= 1
    }

    /// Looks at the groups behind the cursor first, and then at those before it. What is left of both is the second half
    /// of the answer.
    async fn look(&self, cursor: Option<&str>) -> (SweepReport, VecDeque<Part>) {
        let whole = &self.request.part;
        let mut left = match cursor {
            Some(cursor) => VecDeque::from([whole.behind(cursor), whole.up_to(cursor)]),
            None => VecDeque::from([whole.clone()]),
        };
        let trigger: &Trigger = &self.request.trigger;
        let mut looked: Option<SweepReport> = None;
        while let Some(part) = left.pop_front() {
            let bounds = Bounds {
                part,
                answer_bytes_max: ANSWER_BYTES_MAX,
                group_time_min: GROUP_TIME_MIN,
                group_time_max: GROUP_TIME_MAX,
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
            looked = Some(match looked {
                Some(before) => before.and(report),
                None => report,
            });
            if let Some(rest) = rest {
                left.push_front(rest);
                break;
            }
        }
        (looked.unwrap_or_default(), left)
    }

    /// Asks for sweeps of the other accounts and Regions that have records. Says how many errands waited, if it had to
    /// find out.
    async fn send_elsewhere(&self, fleet: &Fleet) -> (Elsewhere, Option<u64>) {
        let others = fleet.scopes.keys().filter(|scope| *scope != self.scope);
        let others: Vec<&Scope> = others.collect();
        if !self.request.everywhere || others.is_empty() || !self.world.settings.writes {
            return (Elsewhere::Nobody, None);
        }
        let number = others.len();
        let Some(queue) = self.queue else {
            let problem = "RULEKEEPER_SWEEP_QUEUE is not set".to_owned();
            return (Elsewhere::Unswept { number, problem }, None);
        };
        if !self.has_role
            && others
                .iter()
                .any(|other| other.account != self.scope.account)
        {
            let problem = "RULEKEEPER_ROLE_NAME is not set".to_owned();
            return (Elsewhere::Unswept { number, problem }, None);
        }
        let waiting = match queue.waiting().await {
            Ok(waiting) => waiting,
            Err(error) => {
                let problem = error.to_string();
                return (Elsewhere::Unswept { number, problem }, None);
            }
        };
        if waiting > 0 {
            let problem = still_waiting(waiting);
            return (Elsewhere::Unswept { number, problem }, Some(waiting));
        }
        let errands: Vec<Errand> = others.into_iter().cloned().map(whole).collect();
        let elsewhere = match queue.send(&errands).await {
            Ok(()) => Elsewhere::Asked { number },
            Err(error) => Elsewhere::Unswept {
                number,
                problem: error.to_string(),
            },
        };
        // What was just sent is not what waits from before.
        (elsewhere, Some(0))
    }

    /// Hands the rest over, or remembers where it begins.
    async fn pass_on(&self, report: &mut SweepReport, left: &VecDeque<Part>, waiting: Option<u64>) {
        let why = report.reason.take().unwrap_or_default();
        let problem = match self.hand_over(report, left, waiting).await {
            Ok(sweeps) => {
                report.handed_over = Some(HandedOver {
                    sweeps,
                    reason: why,
                });
                report.passing = false;
                // They are part of what was handed over, and the same event must not bring the errands again.
                let reports = report.reports.iter_mut().chain(&mut report.remarks);
                reports.for_each(|report| report.passing = false);
                return;
            }
            Err(problem) => problem,
        };
        report.reason = Some(match problem {
            Some(problem) => format!("{why}, and the rest was not handed over: {problem}"),
            None => why,
        });
        let next = left.front().and_then(|part| part.after.clone());
        if self.is_whole() && self.world.settings.writes {
            self.remember(report, next.as_deref()).await;
        }
    }

    /// Puts errands for what is left into the queue; says how many, or why not.
    async fn hand_over(
        &self,
        report: &SweepReport,
        left: &VecDeque<Part>,
        waiting: Option<u64>,
    ) -> Result<usize, Option<String>> {
        let Some(queue) = self.queue.filter(|_| self.world.settings.writes) else {
            return Err(None);
        };
        // Errands are made while others wait, or a part could never be cut; sweeps of everything are not, or a fleet that
        // takes longer than the schedule's interval would have ever more of them.
        if self.request.attempt == 0 {
            let waiting = match waiting {
                Some(waiting) => waiting,
                None => queue
                    .waiting()
                    .await
                    .map_err(|error| Some(error.to_string()))?,
            };
            if waiting > 0 {
                return Err(Some(still_waiting(waiting)));
            }
        }
        let done = match (&report.of, left.front()) {
            (Some(of), Some(rest)) => match &rest.after {
                Some(reached) => of.part.up_to(reached),
                None => of.part.clone(),
            },
            _ => self.request.part.clone(),
        };
        let mut errands = Vec::new();
        for (number, rest) in left.iter().enumerate() {
            let pieces = match number {
                0 => rest.split(&done, ERRANDS_MAX - 2),
                _ => vec![rest.clone()],
            };
            errands.extend(pieces.into_iter().map(|part| self.errand(part)));
        }
        let failed = report.reports.iter().any(|report| report.passing);
        let attempt = self.request.attempt.max(1);
        if failed && attempt < ATTEMPTS_MAX {
            errands.push(Errand {
                attempt: attempt + 1,
                delay: RETRY_DELAY,
                ..self.errand(done)
            });
        }
        match queue.send(&errands).await {
            Ok(()) => Ok(errands.len()),
            Err(error) => Err(Some(error.to_string())),
        }
    }

    fn errand(&self, part: Part) -> Errand {
        Errand {
            part,
            ..whole(self.scope.clone())
        }
    }

    async fn remember(&self, report: &mut SweepReport, group: Option<&str>) {
        if !self.world.settings.writes {
            return;
        }
        if let Err(error) = self.world.table.go_on_after(self.scope, group).await {
            let problem = format!("where to go on could not be noted: {error}");
            add_reason(report, problem);
        }
    }
}

/// What becomes of the other accounts and Regions.
enum Elsewhere {
    Nobody,
    Asked { number: usize },
    Unswept { number: usize, problem: String },
}

impl Elsewhere {
    fn add_to(self, report: &mut SweepReport) {
        match self {
            Self::Nobody => {}
            Self::Asked { number } => {
                let reason = "other accounts or Regions have records".to_owned();
                match &mut report.handed_over {
                    Some(handed_over) => {
                        handed_over.sweeps += number;
                        handed_over.reason = format!("{}; {reason}", handed_over.reason);
                    }
                    None => {
                        report.handed_over = Some(HandedOver {
                            sweeps: number,
                            reason,
                        });
                    }
                }
            }
            Self::Unswept { number, problem } => add_reason(
                report,
                format!(
                    "other accounts or Regions with records were not swept ({number}): {problem}"
                ),
            ),
        }
    }
}

fn add_reason(report: &mut SweepReport, problem: String) {
    report.reason = Some(match report.reason.take() {
        Some(reason) => format!("{reason}; {problem}"),
        None => problem,
    });
}

fn whole(scope: Scope) -> Errand {
    Errand {
        scope,
        part: Part::default(),
        attempt: 1,
        delay: Duration::ZERO,
    }
}

fn still_waiting(waiting: u64) -> String {
    format!("about {waiting} errands of earlier sweeps still wait in the queue")
}

#[cfg(test)]
mod tests;
