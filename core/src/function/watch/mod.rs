//! Reads the watched groups every few seconds, and reconciles those that differ from their record.
//!
//! CloudTrail promises no delivery time. A look at 200 groups is one describe; what differs goes through the same reconcile
//! as events and sweeps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use jiff::SignedDuration;
use serde_json::Value;
use tokio::time::Instant;

use super::permissions::TryClouds;
use super::{Answer, Handler, Home};
use crate::desired::DesiredRecord;
use crate::event::{Evidence, GroupLocator, Lookup, Sweep, Trigger, TriggerKind, WatchRequest};
use crate::model::{GroupAddress, GroupId, RuleKey, Scope};
use crate::ports::{
    ApiError, Budget, Calls, GROUPS_PER_READ, Lease, Pace, ScopeTable, SecurityGroups, Verdict,
    WatchTable,
};
use crate::report::WatchReport;

mod lease;
mod looks;
#[cfg(test)]
mod tests;

use lease::Claim;
use looks::Looks;

/// How often the list of watched groups is read.
const RELOAD: Duration = Duration::from_secs(60);

/// How often an heir looks whether it holds the lease.
const POLL: Duration = Duration::from_millis(250);

/// The longest time for the reconcile of a group. What is missing then is seen again by the next looks.
const RECONCILE_MAX: Duration = Duration::from_secs(10);

/// The longest time for one look, or for one call to the table.
const LOOK_MAX: Duration = Duration::from_secs(4);

/// How many groups are reconciled at once. EC2 allows an account 5 authorizes a second after a burst of 50.
const RECONCILES_AT_ONCE: usize = 8;

/// How much longer a pause gets at most while EC2 throttles: 16 times.
const SLOWER_MAX: u32 = 4;

impl<C: TryClouds> Handler<C> {
    /// Watches until another run takes over or `remaining` is nearly over. `run` names this run, unlike any other. `told`
    /// is called with each reconciled group, and once a minute with what was done; what was done since is returned.
    pub async fn watch(
        &self,
        request: &WatchRequest,
        home: &Home,
        run: &str,
        remaining: Duration,
        told: impl AsyncFn(&Answer),
    ) -> Answer {
        let Some(home_scope) = home.scope_of(&Sweep::default()) else {
            let reason = "the function's account and Region are not known".to_owned();
            return Answer::Watch {
                watch: WatchReport {
                    reason: Some(reason),
                    ..WatchReport::default()
                },
            };
        };
        let mut watch = Watch {
            handler: self,
            home,
            run,
            every: Duration::from_secs(request.every_seconds),
            ends: Instant::now() + remaining.saturating_sub(RECONCILE_MAX + LOOK_MAX),
            told: &told,
            home_scope,
            lease: Lease::default(),
            watched: BTreeMap::new(),
            unwatchable: BTreeSet::new(),
            looks: Looks::default(),
            reloaded: None,
            looked: None,
            slower: 0,
            report: WatchReport::default(),
        };
        let reason = watch.run().await;
        Answer::Watch {
            watch: WatchReport {
                reason: Some(reason),
                ..watch.report()
            },
        }
    }
}

/// The recorded rules of the watched groups of a scope.
type Recorded = BTreeMap<GroupId, BTreeSet<RuleKey>>;

/// What EC2 shows of the groups of a scope.
struct Seen {
    scope: Scope,
    live: Vec<(GroupId, BTreeSet<RuleKey>)>,
    unwatchable: Vec<GroupId>,
    error: Option<ApiError>,
    throttled: bool,
}

/// A reconcile that has ended, and the look that led to it.
struct Reconciled {
    due: Due,
    may_pass: bool,
}

/// A group to reconcile.
struct Due {
    group: GroupAddress,
    recorded: BTreeSet<RuleKey>,
    live: BTreeSet<RuleKey>,
}

/// A run of the watch.
struct Watch<'a, C, F> {
    handler: &'a Handler<C>,
    home: &'a Home,
    run: &'a str,
    every: Duration,
    /// No look begins after this.
    ends: Instant,
    told: &'a F,
    home_scope: Scope,
    lease: Lease,
    watched: BTreeMap<Scope, Recorded>,
    /// Groups whose id EC2 does not understand, until the list is read again.
    unwatchable: BTreeSet<GroupAddress>,
    looks: Looks,
    reloaded: Option<Instant>,
    looked: Option<Instant>,
    /// How often the pause is doubled.
    slower: u32,
    report: WatchReport,
}

/// What comes before a look.
enum Step {
    Look,
    /// The lease does not cover the work. It could not be renewed.
    Wait,
    Leave(String),
}

impl<C: TryClouds, F: AsyncFn(&Answer)> Watch<'_, C, F> {
    /// Returns why it ended.
    async fn run(&mut self) -> String {
        if let Err(reason) = self.take_over().await {
            return reason;
        }
        let (handler, home, told) = (self.handler, self.home, self.told);
        let mut running = FuturesUnordered::new();
        let mut due = VecDeque::new();
        let reason = loop {
            let began = Instant::now();
            let (ended, step) = meanwhile(&mut running, self.before_look()).await;
            self.note(ended);
            match step {
                Step::Leave(reason) => break reason,
                Step::Wait => {}
                Step::Look => {
                    let (ended, seen) = meanwhile(&mut running, self.look()).await;
                    self.note(ended);
                    due.extend(self.differing(seen));
                }
            }
            while running.len() < RECONCILES_AT_ONCE
                && self.covers_a_reconcile()
                && let Some(next) = due.pop_front()
            {
                running.push(reconcile(handler, home, told, next));
            }
            let pause = tokio::time::sleep_until(began + self.every * 2_u32.pow(self.slower));
            let (ended, ()) = meanwhile(&mut running, pause).await;
            self.note(ended);
        };
        while let Some(ended) = running.next().await {
            self.note(vec![ended]);
        }
        self.hand_over().await;
        reason
    }

    /// Waits until this run holds the lease. An error says why it never will.
    async fn take_over(&mut self) -> Result<(), String> {
        let mut asked = false;
        loop {
            if Instant::now() >= self.ends {
                return Err("another run watches, and did not hand over in time".to_owned());
            }
            let read = self.read_lease().await;
            match read.map(|()| self.lease.claim(self.run, asked, (self.handler.now)())) {
                Ok(Claim::Held) => return Ok(()),
                Ok(Claim::Leave(other)) => return Err(format!("{other} watches in its place")),
                Ok(Claim::Wait) => {}
                Ok(Claim::Write(lease)) => {
                    asked |= self.write_lease(lease).await;
                    if asked && self.is_holder() {
                        return Ok(());
                    }
                }
                Err(error) => self.note_failed(&error),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn is_holder(&self) -> bool {
        self.lease.holder.as_deref() == Some(self.run)
    }

    fn covers_a_reconcile(&self) -> bool {
        let work = SignedDuration::try_from(RECONCILE_MAX).unwrap_or(SignedDuration::MAX);
        self.lease.covers(work, (self.handler.now)())
    }

    /// Renews the lease, and reads the list of groups if it is old.
    async fn before_look(&mut self) -> Step {
        if Instant::now() >= self.ends {
            return Step::Leave("its time is over".to_owned());
        }
        if !self
            .write_lease(self.lease.renewed((self.handler.now)()))
            .await
        {
            match self.read_lease().await {
                Ok(()) if !self.is_holder() => {
                    return Step::Leave("its lease ended, and another run watches".to_owned());
                }
                Ok(()) => {
                    if let Some(heir) = &self.lease.heir {
                        return Step::Leave(format!("{heir} goes on"));
                    }
                }
                Err(error) => self.note_failed(&error),
            }
        }
        if self.reloaded.is_none_or(|at| at.elapsed() >= RELOAD) {
            self.reloaded = Some(Instant::now());
            if self.report.looks > 0 {
                let report = self.report();
                (self.told)(&Answer::Watch { watch: report }).await;
            }
            self.reload().await;
        }
        match self.covers_a_reconcile() {
            true => Step::Look,
            false => Step::Wait,
        }
    }

    /// Lets another run take over. A lease that cannot be written ends by itself.
    async fn hand_over(&mut self) {
        if let Err(error) = self.read_lease().await {
            self.note_failed(&error);
        }
        if !self.is_holder() {
            return;
        }
        let handed_over = self.lease.handed_over((self.handler.now)());
        if !self.write_lease(handed_over).await
            && self.read_lease().await.is_ok()
            && self.is_holder()
        {
            // An heir came in this moment.
            let handed_over = self.lease.handed_over((self.handler.now)());
            self.write_lease(handed_over).await;
        }
    }

    async fn read_lease(&mut self) -> Result<(), ApiError> {
        let (_, table) = self.home_clouds().await;
        self.lease = table.lease().await?;
        Ok(())
    }

    /// Whether the lease was written. If it was not, another run may have written one.
    async fn write_lease(&mut self, lease: Lease) -> bool {
        let (_, table) = self.home_clouds().await;
        match table.write_lease(&lease).await {
            Ok(true) => {
                self.lease = Lease {
                    revision: lease.revision + 1,
                    ..lease
                };
                true
            }
            Ok(false) => false,
            Err(error) => {
                self.note_failed(&error);
                false
            }
        }
    }

    /// EC2 and the table for one call of bookkeeping.
    async fn home_clouds(&self) -> (C::Ec2, C::Table) {
        let (calls, budget) = (Calls::default(), Budget::of(LOOK_MAX));
        let clouds = &self.handler.clouds;
        clouds
            .in_scope(&self.home_scope, false, Pace::Free, &calls, budget)
            .await
    }

    /// Reads which groups are watched. Where that fails, the list stays as it is.
    async fn reload(&mut self) {
        let (_, table) = self.home_clouds().await;
        let mut scopes = BTreeSet::from([self.home_scope.clone()]);
        match table.known_scopes().await {
            Ok(known) => scopes.extend(known.scopes.into_keys()),
            Err(error) => {
                self.note_failed(&error);
                scopes.extend(self.watched.keys().cloned());
            }
        }
        // Without a role, groups of other accounts cannot be seen.
        let has_role = self.handler.clouds.has_role();
        scopes.retain(|scope| has_role || !self.home.is_foreign(&scope.account));
        let lists = scopes.into_iter().map(async |scope| {
            let (_, table) = self.home_clouds().await;
            let items = table.watched(&scope).await;
            (scope, items)
        });
        let lists = join_all(lists).await;
        let mut before = std::mem::take(&mut self.watched);
        let mut unreadable = 0;
        for (scope, items) in lists {
            let recorded = match items {
                Ok(items) => {
                    let asked = items.len();
                    let recorded = recorded(&scope, items);
                    unreadable += asked - recorded.len();
                    recorded
                }
                Err(error) => {
                    self.note_failed(&error);
                    before.remove(&scope).unwrap_or_default()
                }
            };
            if !recorded.is_empty() {
                self.watched.insert(scope, recorded);
            }
        }
        self.report.unreadable = unreadable;
        self.unwatchable.clear();
        let watched = &self.watched;
        self.looks.keep(|group| {
            let scope = watched.get(&group.scope);
            scope.is_some_and(|groups| groups.contains_key(&group.id))
        });
    }

    /// Looks at all watched groups, at those of several accounts and Regions at the same time.
    async fn look(&mut self) -> Vec<Seen> {
        if let Some(before) = self.looked.replace(Instant::now()) {
            let pause = u64::try_from(before.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.report.longest_pause_ms = self.report.longest_pause_ms.max(pause);
        }
        self.report.looks += 1;
        let (handler, home, unwatchable) = (self.handler, self.home, &self.unwatchable);
        let looks = self.watched.iter().map(|(scope, recorded)| {
            let ids = recorded.keys().filter(|id| {
                let id = (*id).clone();
                !unwatchable.contains(&GroupAddress {
                    scope: scope.clone(),
                    id,
                })
            });
            look_at_scope(handler, home, scope, ids.cloned().collect())
        });
        join_all(looks).await
    }

    /// The groups that are to be reconciled after a look.
    fn differing(&mut self, seen: Vec<Seen>) -> Vec<Due> {
        let is_throttled = seen.iter().any(|seen| seen.throttled);
        self.report.throttled += u64::from(is_throttled);
        self.slower = match is_throttled {
            true => (self.slower + 1).min(SLOWER_MAX),
            false => self.slower.saturating_sub(1),
        };
        let mut due = Vec::new();
        for Seen {
            scope,
            live,
            unwatchable,
            error,
            ..
        } in seen
        {
            if let Some(error) = error {
                self.note_failed(&error);
            }
            let address = |id| GroupAddress {
                scope: scope.clone(),
                id,
            };
            self.unwatchable
                .extend(unwatchable.into_iter().map(address));
            let Some(groups) = self.watched.get(&scope) else {
                continue;
            };
            for (id, live) in live {
                let Some(recorded) = groups.get(&id) else {
                    continue;
                };
                let group = address(id);
                if self.looks.note(&group, recorded, &live) {
                    let recorded = recorded.clone();
                    due.push(Due {
                        group,
                        recorded,
                        live,
                    });
                }
            }
        }
        due
    }

    fn note(&mut self, ended: Vec<Reconciled>) {
        for Reconciled { due, may_pass } in ended {
            self.report.reconciled += 1;
            self.looks
                .reconciled(&due.group, due.recorded, due.live, may_pass);
        }
    }

    fn note_failed(&mut self, error: &ApiError) {
        self.report.failed_reads += 1;
        self.report.last_error = Some(error.to_string());
    }

    /// What was done since the last report.
    fn report(&mut self) -> WatchReport {
        let report = std::mem::take(&mut self.report);
        self.report.unreadable = report.unreadable;
        WatchReport {
            every_seconds: self.every.as_secs(),
            groups: self.watched.values().map(BTreeMap::len).sum(),
            ..report
        }
    }
}

/// Waits for a future while reconciles go on, and returns those that ended too.
async fn meanwhile<R: Future<Output = Reconciled>, T>(
    running: &mut FuturesUnordered<R>,
    future: impl Future<Output = T>,
) -> (Vec<Reconciled>, T) {
    let mut future = pin!(future);
    let mut ended = Vec::new();
    loop {
        tokio::select! {
            output = &mut future => return (ended, output),
            Some(one) = running.next() => ended.push(one),
        }
    }
}

/// The rules of the records that can be read.
fn recorded(scope: &Scope, items: Vec<(String, Value)>) -> Recorded {
    let read = |(name, item): (String, Value)| {
        let reading = DesiredRecord::from_json(&item, &scope.account).ok()?;
        Some((
            name.parse().ok()?,
            reading.record.rules.into_keys().collect(),
        ))
    };
    items.into_iter().filter_map(read).collect()
}

/// Looks at groups of one account and Region. One id that EC2 does not understand makes the read of all fail; halving finds
/// it.
async fn look_at_scope<C: TryClouds>(
    handler: &Handler<C>,
    home: &Home,
    scope: &Scope,
    ids: Vec<GroupId>,
) -> Seen {
    let mut chunks: VecDeque<&[GroupId]> = ids.chunks(GROUPS_PER_READ).collect();
    let calls = Calls::default();
    let time = LOOK_MAX * u32::try_from(chunks.len()).unwrap_or(u32::MAX);
    let foreign = home.is_foreign(&scope.account);
    let (ec2, _) = handler
        .clouds
        .in_scope(scope, foreign, Pace::Watch, &calls, Budget::of(time))
        .await;
    let mut seen = Seen {
        scope: scope.clone(),
        live: Vec::new(),
        unwatchable: Vec::new(),
        error: None,
        throttled: false,
    };
    while let Some(chunk) = chunks.pop_front() {
        match ec2.described_rules(chunk).await {
            Ok(mut rules) => {
                let live = |id: &GroupId| (id.clone(), rules.remove(id).unwrap_or_default());
                seen.live.extend(chunk.iter().map(live));
            }
            Err(error) if error.is_retryable() || error.verdict() == Verdict::Denied => {
                // The rest would fail too, and each call that is throttled delays others.
                seen.error = Some(error);
                break;
            }
            Err(error) => match chunk {
                [one] => {
                    seen.unwatchable.push(one.clone());
                    seen.error = Some(error);
                }
                several => {
                    let (first, second) = several.split_at(several.len() / 2);
                    chunks.push_front(second);
                    chunks.push_front(first);
                }
            },
        }
    }
    seen.throttled = calls.throttled();
    seen
}

async fn reconcile<C: TryClouds>(
    handler: &Handler<C>,
    home: &Home,
    told: &impl AsyncFn(&Answer),
    due: Due,
) -> Reconciled {
    let lookup = Lookup {
        scope: due.group.scope.clone(),
        group: GroupLocator::Id(due.group.id.clone()),
        trigger: Trigger {
            kind: TriggerKind::Watch,
            ..Trigger::default()
        },
        call: None,
        evidence: Evidence::default(),
    };
    let budget = Budget::of(RECONCILE_MAX);
    let result = handler.look_at(&lookup, home, budget).await;
    let may_pass = result.retryable || result.unread;
    told(&Answer::Group(Box::new(result))).await;
    Reconciled { due, may_pass }
}
