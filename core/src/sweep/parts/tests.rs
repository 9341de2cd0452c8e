use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;

use super::*;
use crate::event::TriggerKind;
use crate::fakes::{FakeEc2, FakeTable, group, record, refused, settings, world};
use crate::model::GroupAddress;
use crate::ports::ApiError;
use crate::reconcile::{MissingReferences, Settings};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScopeTable for FakeTable {
    async fn known_scopes(&self) -> Result<KnownScopes, ApiError> {
        self.trouble()?;
        Ok(lock(&self.scopes).clone())
    }

    async fn remember_scope(&self, scope: &Scope) -> Result<(), ApiError> {
        let mut known = lock(&self.scopes);
        known.scopes.entry(scope.clone()).or_default();
        Ok(())
    }

    async fn note_refused(&self, _: &Scope, _: Option<&str>) -> Result<(), ApiError> {
        Ok(())
    }

    async fn go_on_after(&self, scope: &Scope, group: Option<&str>) -> Result<(), ApiError> {
        let mut known = lock(&self.scopes);
        known.scopes.insert(scope.clone(), group.map(str::to_owned));
        Ok(())
    }
}

/// A queue that holds tasks and refuses them on request.
#[derive(Default)]
struct FakeQueue {
    tasks: Mutex<VecDeque<SweepTask>>,
    error: Mutex<Option<ApiError>>,
}

impl SweepQueue for FakeQueue {
    async fn waiting(&self) -> Result<u64, ApiError> {
        let tasks = lock(&self.tasks);
        Ok(tasks.len() as u64)
    }

    async fn send(&self, tasks: &[SweepTask]) -> Result<(), ApiError> {
        if let Some(error) = &*lock(&self.error) {
            return Err(error.clone());
        }
        let mut queue = lock(&self.tasks);
        queue.extend(tasks.iter().cloned());
        Ok(())
    }
}

/// A table with this many records that cannot be understood. Their reports fill answers.
fn unreadable(count: usize) -> FakeTable {
    let table = FakeTable::default();
    let spread = 0x1_0000_0000_0000_u64 / (count as u64 + 1);
    for number in 1..=count as u64 {
        table.put(address(number * spread), json!({"rules": "unreadable"}));
    }
    table
}

/// The group at this place among the new ids. The place is the first 12 digits after the zero.
fn address(place: u64) -> GroupAddress {
    GroupAddress {
        id: format!("sg-0{place:012x}0000").parse().expect("an id"),
        ..group()
    }
}

fn everything() -> Sweep {
    Sweep {
        trigger: Trigger {
            kind: TriggerKind::Sweep,
            ..Trigger::default()
        },
        everywhere: true,
        ..Sweep::default()
    }
}

struct Scene {
    ec2: FakeEc2,
    table: FakeTable,
    queue: Option<FakeQueue>,
    settings: Settings,
    has_role: bool,
    /// How often each group was reported.
    told: BTreeMap<String, usize>,
}

impl Scene {
    fn new(table: FakeTable, queue: Option<FakeQueue>) -> Self {
        Self {
            ec2: FakeEc2::new(&[]),
            table,
            queue,
            settings: settings(),
            has_role: true,
            told: BTreeMap::new(),
        }
    }

    async fn run(&mut self, request: &Sweep) -> SweepResult {
        let missing = MissingReferences::default();
        let scope = group().scope;
        let waiting = match (&self.queue, request.attempt) {
            (Some(queue), 0) => Some(queue.waiting().await),
            _ => None,
        };
        let round = SweepRound {
            world: World {
                settings: self.settings,
                ..world(&self.ec2, &self.table, &missing)
            },
            scope_table: &self.table,
            waiting,
            scope: &scope,
            request,
            queue: self.queue.as_ref(),
            has_role: self.has_role,
            looks_ahead: false,
            budget: Budget::of(Duration::from_secs(30)),
        };
        let report = round.run().await;
        for told in &report.reports {
            let group = told.group.as_ref().expect("a group");
            *self.told.entry(group.id.to_string()).or_default() += 1;
        }
        report
    }

    /// Handles the queue's tasks until it is empty. Returns the length of the longest chain of tasks.
    async fn work_off(&mut self) -> usize {
        let mut longest = 0;
        let mut generation: Vec<SweepTask> = self.take();
        while !generation.is_empty() {
            longest += 1;
            let mut next = Vec::new();
            for task in generation {
                let request = Sweep {
                    range: task.range,
                    attempt: task.attempt,
                    ..everything()
                };
                let request = Sweep {
                    everywhere: false,
                    ..request
                };
                let report = self.run(&request).await;
                assert_eq!(report.reason, None);
                next.extend(self.take());
            }
            generation = next;
        }
        longest
    }

    fn take(&self) -> Vec<SweepTask> {
        let queue = self.queue.as_ref().expect("a queue");
        lock(&queue.tasks).drain(..).collect()
    }

    fn cursor(&self) -> Option<String> {
        let scopes = lock(&self.table.scopes);
        scopes.scopes.get(&group().scope).cloned().flatten()
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_invocation_cannot_do_is_cut_into_parts_and_each_group_looked_at_once() {
    let mut scene = Scene::new(unreadable(2_000), Some(FakeQueue::default()));
    let first = scene.run(&everything()).await;
    let looked_at = first.sweep["groups"];
    assert!((100..1_000).contains(&looked_at), "{looked_at}");
    assert_eq!((first.reason.as_deref(), first.retryable), (None, false));
    let handed_over = first.report.handed_over.expect("the rest");
    let parts = 2_000_u64.div_ceil(looked_at);
    let sweeps = handed_over.sweeps as u64;
    assert!(
        (parts - 1..=parts + 1).contains(&sweeps),
        "{sweeps} for {parts} parts"
    );
    let chain = scene.work_off().await;
    assert!(
        chain <= 2,
        "a range that is a little too large is cut once more: {chain}"
    );
    assert_eq!(scene.told.len(), 2_000);
    assert!(scene.told.values().all(|times| *times == 1));
    assert_eq!(scene.cursor(), None);
}

#[tokio::test(start_paused = true)]
async fn groups_whose_rules_take_longer_to_read_than_an_invocation_has_are_read_in_parts() {
    for (groups, read_takes) in [(200, 150), (200, 500), (3, 11_000)] {
        let mut scene = Scene::new(unreadable(groups), Some(FakeQueue::default()));
        scene.ec2.state().read_takes = Duration::from_millis(read_takes);
        let began = tokio::time::Instant::now();
        let first = scene.run(&everything()).await;
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{:?}",
            began.elapsed()
        );
        assert!(first.sweep["groups"] > 0, "{first:#?}");
        scene.work_off().await;
        assert_eq!(scene.told.len(), groups, "{read_takes}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_the_next_sweep_goes_on_and_ends_where_it_began() {
    let mut scene = Scene::new(unreadable(600), None);
    let first = scene.run(&everything()).await;
    assert!(first.retryable, "Lambda calls again, and goes on");
    let reached = scene.cursor().expect("a place to go on at");
    let reason = first.report.reason.expect("a reason");
    assert!(reason.ends_with(&reached), "{reason}");
    let mut sweeps = 1;
    while scene.cursor().is_some() {
        scene.run(&everything()).await;
        sweeps += 1;
        assert!(sweeps < 10, "it comes to an end");
    }
    assert_eq!(scene.told.len(), 600);
    // The sweep wrapped around: some groups are seen twice.
    assert!(scene.told.values().all(|times| (1..=2).contains(times)));
}

#[tokio::test(start_paused = true)]
async fn while_tasks_wait_no_more_are_made_and_nobody_starves() {
    let waiting = whole(group().scope);
    let mut scene = Scene::new(unreadable(600), Some(FakeQueue::default()));
    let queue = scene.queue.as_ref().expect("a queue");
    lock(&queue.tasks).push_back(waiting);
    for _ in 0..4 {
        let report = scene.run(&everything()).await;
        assert_eq!(report.handed_over, None);
        assert!(!report.is_retryable(), "nobody is to call at once");
        if let Some(reason) = report.report.reason {
            assert!(
                reason.contains("about 1 tasks of earlier sweeps"),
                "{reason}"
            );
        }
    }
    assert_eq!(
        scene.told.len(),
        600,
        "every group, although nobody works the queue off"
    );
}

#[tokio::test(start_paused = true)]
async fn a_round_that_goes_on_where_another_stopped_is_handed_over_whole_and_begins_anew_after() {
    let mut scene = Scene::new(unreadable(2_000), Some(FakeQueue::default()));
    let middle = address(0x8000_0000_0000).id.to_string();
    let scope = group().scope;
    let noted = scene.table.go_on_after(&scope, Some(&middle)).await;
    noted.expect("noted");
    let first = scene.run(&everything()).await;
    assert!(first.handed_over.is_some(), "{:?}", first.reason);
    let of = first.report.of.expect("a range of the groups");
    assert_eq!(of.range.after.as_deref(), Some(middle.as_str()));
    assert_eq!(
        scene.cursor(),
        None,
        "the next round begins at the beginning"
    );
    let tasks = lock(&scene.queue.as_ref().expect("a queue").tasks).len();
    assert!(tasks < 20, "parts are as wide as what was done: {tasks}");
    scene.work_off().await;
    assert_eq!(scene.told.len(), 2_000);
    assert!(scene.told.values().all(|times| *times == 1));
}

#[tokio::test(start_paused = true)]
async fn a_round_that_comes_back_to_where_it_began_has_looked_at_everything() {
    let mut scene = Scene::new(unreadable(50), None);
    let middle = address(0x8000_0000_0000).id.to_string();
    let scope = group().scope;
    let noted = scene.table.go_on_after(&scope, Some(&middle)).await;
    noted.expect("noted");
    let report = scene.run(&everything()).await;
    assert_eq!(
        (report.sweep["groups"], report.reason.as_deref()),
        (50, None)
    );
    assert!(report.report.of.is_some_and(|of| of.range.is_all()));
    assert_eq!(scene.cursor(), None);
}

#[tokio::test(start_paused = true)]
async fn a_part_with_groups_that_fail_for_a_retryable_reason_is_tried_three_times_in_all() {
    let table = FakeTable::with(&record(&["tcp 443 from 10.0.0.0/8"]));
    let mut scene = Scene::new(table, Some(FakeQueue::default()));
    let throttled = (refused("RequestLimitExceeded"), false);
    let throttles = std::iter::repeat_n(throttled, 10_000);
    scene.ec2.state().authorize_errors.extend(throttles);
    let mut request = Sweep {
        range: GroupRange::default().up_to("sg-1"),
        attempt: 1,
        everywhere: false,
        ..everything()
    };
    for attempt in 1..=ATTEMPTS_MAX {
        request.attempt = attempt;
        let report = scene.run(&request).await;
        assert!(!report.is_retryable(), "the message is done with");
        let next: Vec<u32> = scene.take().iter().map(|task| task.attempt).collect();
        match attempt < ATTEMPTS_MAX {
            true => assert_eq!(next, [attempt + 1]),
            false => assert!(next.is_empty(), "{next:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_of_the_fleet_is_told() {
    let mut scene = Scene::new(FakeTable::with(&record(&[])), Some(FakeQueue::default()));
    *lock(&scene.table.error) = Some(refused("AccessDeniedException"));
    let reason = scene
        .run(&everything())
        .await
        .report
        .reason
        .unwrap_or_default();
    assert!(
        reason.contains("which accounts and Regions have records"),
        "{reason}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_refuses_is_told_of_and_the_place_remembered() {
    let mut scene = Scene::new(unreadable(600), Some(FakeQueue::default()));
    let queue = scene.queue.as_ref().expect("a queue");
    *lock(&queue.error) = Some(refused("AccessDeniedException"));
    let report = scene.run(&everything()).await;
    assert!(report.retryable && report.handed_over.is_none());
    assert!(
        report
            .reason
            .as_ref()
            .is_some_and(|reason| reason.contains("AccessDeniedException"))
    );
    assert!(scene.cursor().is_some());
    // A range has no cursor, because SQS delivers its message again.
    let range = Sweep {
        range: GroupRange::default().up_to("sg-0f"),
        attempt: 1,
        ..everything()
    };
    lock(&scene.table.scopes).scopes.clear();
    assert!(scene.run(&range).await.retryable);
    assert_eq!(scene.cursor(), None);
}

#[tokio::test(start_paused = true)]
async fn other_accounts_with_records_get_a_task_each() {
    let other = Scope {
        account: "444455556666".parse().expect("an account"),
        ..group().scope
    };
    let table = FakeTable::with(&record(&[]));
    for scope in [group().scope, other.clone()] {
        table.remember_scope(&scope).await.expect("noted");
    }
    let mut scene = Scene::new(table, Some(FakeQueue::default()));
    let report = scene.run(&everything()).await;
    assert_eq!(
        report
            .report
            .handed_over
            .map(|handed_over| handed_over.sweeps),
        Some(1)
    );
    assert_eq!(scene.take(), [whole(other)]);

    let here_only = Sweep {
        everywhere: false,
        ..everything()
    };
    assert_eq!(scene.run(&here_only).await.handed_over, None);
    scene.has_role = false;
    let report = scene.run(&everything()).await;
    assert!(
        report
            .reason
            .as_ref()
            .is_some_and(|reason| reason.contains("RULEKEEPER_ROLE_NAME"))
    );
    (scene.queue, scene.has_role) = (None, true);
    let report = scene.run(&everything()).await;
    assert!(
        report
            .reason
            .as_ref()
            .is_some_and(|reason| reason.contains("RULEKEEPER_SWEEP_QUEUE"))
    );
    assert_eq!(report.sweep["converged"], 1, "home is swept all the same");
}

#[tokio::test(start_paused = true)]
async fn groups_that_failed_for_a_retryable_reason_are_looked_at_anew_when_the_rest_is_handed_over()
{
    let table = unreadable(600);
    let office = json!(record(&["tcp 443 from 10.0.0.0/8"]).to_json());
    table.put(group(), office);
    let mut scene = Scene::new(table, Some(FakeQueue::default()));
    let throttled = (refused("RequestLimitExceeded"), false);
    let throttles = std::iter::repeat_n(throttled, 1_000);
    scene.ec2.state().authorize_errors.extend(throttles);
    let report = scene.run(&everything()).await;
    assert!(
        !report.is_retryable(),
        "the same event must not hand over twice"
    );
    let tasks = scene.take();
    let again: Vec<&SweepTask> = tasks.iter().filter(|task| task.attempt == 2).collect();
    let [again] = again[..] else {
        panic!("one task for what was swept: {tasks:?}")
    };
    assert_eq!(again.delay, RETRY_DELAY);
    assert!(again.range.contains(group().id.as_str()));

    let request = |attempt| Sweep {
        range: again.range.clone(),
        attempt,
        ..everything()
    };
    // The answer is full again, and this is the last attempt.
    scene.run(&request(ATTEMPTS_MAX)).await;
    assert!(scene.take().iter().all(|task| task.attempt == 1));
    scene.ec2.state().authorize_errors.clear();
    scene.run(&request(2)).await;
    assert_eq!(scene.ec2.live(), ["tcp 443 from 10.0.0.0/8"]);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_reached_no_group_hands_nothing_over() {
    let mut scene = Scene::new(unreadable(600), Some(FakeQueue::default()));
    scene
        .ec2
        .state()
        .read_errors
        .push_back(refused("RequestLimitExceeded"));
    let report = scene.run(&everything()).await;
    assert!(report.retryable, "Lambda calls again");
    assert_eq!((report.report.handed_over, scene.cursor()), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_plan_hands_nothing_over_and_notes_nothing() {
    let mut scene = Scene::new(unreadable(600), Some(FakeQueue::default()));
    scene.settings.writes = false;
    let report = scene.run(&everything()).await;
    assert!(report.reason.is_some() && report.handed_over.is_none());
    assert!(scene.take().is_empty() && scene.cursor().is_none());
}
