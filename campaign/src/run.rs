//! One run of a case.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, timeout};

use crate::actors::{self, Want};
use crate::case::{Case, Fault};
use crate::cloud::Cloud;
use crate::ports::{Ports, function};
use crate::{clock, promises};
use rulekeeper_core::decide::changes::GroupState;
use rulekeeper_core::decide::plan::Batch;
use rulekeeper_core::desired::{DesiredRecord, Principal};
use rulekeeper_core::fakes::{group, settings};
use rulekeeper_core::function::{Answer, Handler, Home};
use rulekeeper_core::model::{ActualRules, IngressRule, RuleKey};
use rulekeeper_core::ports::SweepTask;
use rulekeeper_core::probe::{Fault as Mistake, is_made};

/// Lambda's time limit of the function.
const INVOCATION: Duration = Duration::from_secs(30);

/// Lambda waits this long before the second and the third try.
const WAITS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];

/// An invocation in progress.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) number: usize,
    pub(crate) began: Instant,
    pub(crate) calls: Cell<u32>,
    /// Since when its latest read shows everything.
    pub(crate) read_at: Cell<Option<Instant>>,
    pub(crate) dies: Notify,
}

/// A rule that we authorized.
#[derive(Debug, Clone)]
pub(crate) struct Ours {
    pub(crate) rule: RuleKey,
    pub(crate) at: Instant,
    pub(crate) invocation: usize,
    pub(crate) began: Instant,
    pub(crate) read_at: Option<Instant>,
}

/// What somebody listed closed for good.
#[derive(Debug, Clone)]
pub(crate) struct Closing {
    pub(crate) rule: RuleKey,
    pub(crate) at: Instant,
    pub(crate) event: usize,
    /// When somebody opened it again.
    pub(crate) until: Option<Instant>,
}

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) ours: Vec<Ours>,
    pub(crate) generations: Vec<(Instant, DesiredRecord)>,
    pub(crate) closings: Vec<Closing>,
    pub(crate) wants: BTreeMap<RuleKey, Want>,
    pub(crate) answers: Vec<(Instant, Value)>,
    /// Rules that were described anew, and the events.
    pub(crate) described: Vec<(RuleKey, usize)>,
    /// Invocations that died or were cut off.
    pub(crate) died: usize,
    pub(crate) invocations: usize,
    pub(crate) events: usize,
    pub(crate) faults: BTreeMap<String, usize>,
    pub(crate) story: Vec<String>,
    pub(crate) broken: Vec<String>,
}

impl Log {
    /// The records that were current at some time since then.
    pub(crate) fn records_since(&self, began: Instant) -> impl Iterator<Item = &DesiredRecord> {
        let generations = self.generations.iter().enumerate();
        let during = generations.filter(move |(index, _)| {
            let ended = self.generations.get(index + 1).map(|(at, _)| *at);
            ended.is_none_or(|ended| ended >= began)
        });
        during.map(|(_, (_, record))| record)
    }
}

/// A run in progress.
pub(crate) struct Run {
    pub(crate) case: Case,
    pub(crate) cloud: RefCell<Cloud>,
    pub(crate) log: RefCell<Log>,
    calls: Cell<u32>,
    /// Nothing goes wrong any more.
    is_calm: Cell<bool>,
    began: Instant,
    idle: RefCell<Vec<Instance>>,
    tasks: RefCell<JoinSet<()>>,
}

/// An instance of the function.
struct Instance {
    handler: Handler<Ports>,
    present: Rc<RefCell<Rc<Invocation>>>,
}

/// Runs a case. Returns what happened.
pub(crate) fn run(case: &Case) -> Log {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    fastrand::seed(case.seed);
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        clock::begin(case.skew_ms);
        let run = Rc::new(Run::new(case.clone()));
        run.clone().whole().await;
        run.tasks.borrow_mut().abort_all();
        // Instances hold the run.
        run.idle.borrow_mut().clear();
        let events = run.cloud.borrow().events.len();
        let mut log = run.log.take();
        log.events = events;
        log
    })
}

impl Run {
    fn new(case: Case) -> Self {
        let (live, groups) = (actors::rules(&case), actors::groups());
        let cloud = Cloud::new(&live, &groups, case.tells_ids);
        let principals = case.listed().map(|(actor, policy)| Principal {
            arn: actors::caller(actor).arn(),
            policy,
            settle_seconds: None,
        });
        let rules = live.iter().cloned();
        let record = DesiredRecord {
            generation: 1,
            principals: principals.collect(),
            cause_wait_seconds: Some(case.cause_wait),
            rules: rules
                .map(|key| (key.clone(), IngressRule::bare(key)))
                .collect(),
            ..DesiredRecord::default()
        };
        cloud.table.put(group(), record.to_json().into());
        if case.pinned {
            let mut state = GroupState::default();
            let read = ActualRules::new(cloud.ec2.state().live.values().cloned(), Vec::new());
            state.note_ids(&record.rules, &read, clock::exact());
            let mut item = state.to_json();
            item.insert("revision".to_owned(), 1.into());
            let mut states = cloud.table.states.lock().expect("not poisoned");
            states.insert(group(), item.into());
        }
        let log = Log {
            generations: vec![(Instant::now(), record)],
            wants: live.into_iter().map(|rule| (rule, Want::kept())).collect(),
            ..Log::default()
        };
        Self {
            case,
            cloud: RefCell::new(cloud),
            log: RefCell::new(log),
            calls: Cell::new(0),
            is_calm: Cell::new(false),
            began: Instant::now(),
            idle: RefCell::default(),
            tasks: RefCell::default(),
        }
    }

    /// Everybody acts, then everything comes to rest.
    async fn whole(self: Rc<Self>) {
        let mut acting = JoinSet::new();
        for (number, actor) in self.case.actors.iter().enumerate() {
            acting.spawn_local(actors::act(self.clone(), number, actor.clone()));
        }
        let sweeps = tokio::task::spawn_local({
            let run = self.clone();
            async move {
                loop {
                    sleep(Duration::from_secs(run.case.sweep_minutes * 60)).await;
                    run.sweep();
                }
            }
        });
        while let Some(ended) = acting.join_next().await {
            ended.expect("no actor panics");
        }
        sweeps.abort();
        self.drain().await;
        self.is_calm.set(true);
        self.rest().await;
        promises::at_rest(&self);
        if self.case.two_days {
            self.two_days_later().await;
            promises::at_rest(&self);
        }
    }

    /// Sweeps until nothing is under way and all waits are over.
    async fn rest(self: &Rc<Self>) {
        self.drain().await;
        // What waits for a deletion, for a person or because it was dropped too often is waited out.
        for number in 0..100 {
            sleep(Duration::from_secs(16 * 60)).await;
            self.sweep();
            self.drain().await;
            if number > 1 && !self.waits() {
                return;
            }
        }
        self.broken("something still waits after a day".to_owned());
    }

    /// Whether something waits, as the last sweep tells. What waits for a person does so for ever.
    fn waits(&self) -> bool {
        let log = self.log.borrow();
        let answers = log.answers.iter().rev().map(|(_, answer)| answer);
        let last = answers
            .into_iter()
            .find(|answer| answer["sweep"].is_object());
        let lines: Vec<&Value> = last.into_iter().flat_map(promises::lines).collect();
        let state = self.state();
        let for_ever = |line: &&Value| {
            let name = line["rule"].as_str().unwrap_or_default();
            let mut known = state.pending.keys().chain(state.unrestorable.keys());
            known.any(|rule| rule.to_string() == name)
        };
        let mut lines = lines.into_iter().filter(|line| !for_ever(line));
        lines.any(|line| line["outcome"] != "superseded")
    }

    async fn two_days_later(self: &Rc<Self>) {
        sleep(Duration::from_secs(48 * 3600)).await;
        {
            let cloud = self.cloud.borrow();
            let mut states = cloud.table.states.lock().expect("not poisoned");
            states.retain(|_, item| {
                let state = GroupState::of_item(Some(item));
                state.outlives_the_day() && !is_made(Mistake::StatesExpire)
            });
        }
        actors::drop_something(self);
        self.rest().await;
    }

    /// Waits until no event, message or invocation is under way.
    async fn drain(&self) {
        loop {
            let next = std::future::poll_fn(|context| {
                let mut tasks = self.tasks.borrow_mut();
                tasks.poll_join_next(context)
            });
            match next.await {
                Some(ended) => ended.expect("no delivery panics"),
                None => return,
            }
        }
    }

    pub(crate) fn state(&self) -> GroupState {
        let cloud = self.cloud.borrow();
        let states = cloud.table.states.lock().expect("not poisoned");
        GroupState::of_item(states.get(&group()))
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.tasks.borrow_mut().spawn_local(task);
    }

    /// Delivers an event, perhaps late, twice or never.
    pub(crate) fn deliver(self: &Rc<Self>, event: usize) {
        let mut rng =
            Rng::with_seed(self.case.seed ^ (0xe0 + event as u64).wrapping_mul(0xd6e8_feb8));
        let delivery = self.case.delivery;
        if rng.u64(0..1000) < delivery.lost {
            self.say(format!("event {event} is lost"));
            return;
        }
        let copies = 1 + u64::from(rng.u64(0..1000) < delivery.twice);
        for _ in 0..copies {
            let mut delay = rng.u64(200..=delivery.delay_ms.max(200));
            if rng.u64(0..1000) < delivery.late {
                delay += rng.u64(0..3_600_000);
            }
            let run = self.clone();
            self.spawn(async move {
                sleep(Duration::from_millis(delay)).await;
                let payload = run.cloud.borrow().events[event].payload.clone();
                for wait in [Duration::ZERO].into_iter().chain(WAITS) {
                    sleep(wait).await;
                    let label = format!("event {event}");
                    let answer = run.clone().invoke(&label, &payload).await;
                    if answer.is_some_and(|answer| !answer.is_retryable()) {
                        let told = &mut run.cloud.borrow_mut().events[event].told;
                        *told = told.or(Some(Instant::now()));
                        return;
                    }
                }
                run.say(format!("event {event} is given up"));
            });
        }
    }

    pub(crate) fn sweep(self: &Rc<Self>) {
        let run = self.clone();
        self.spawn(async move {
            drop(run.invoke("sweep", &json!({"sweep": {}})).await);
        });
    }

    /// A message that asks for another look.
    pub(crate) fn enqueue(self: &Rc<Self>, task: &SweepTask) {
        let body = json!({"sweep": {"account": task.scope.account, "region": task.scope.region,
            "attempt": task.attempt, "after": task.range.after, "until": task.range.until}});
        let message = json!({"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": body.to_string()}]});
        let (run, delay) = (self.clone(), task.delay);
        self.spawn(async move {
            sleep(delay).await;
            for _ in 0..5 {
                let answer = run.clone().invoke("message", &message).await;
                if let Some(Answer::Queue(queue)) = answer
                    && !queue.messages.iter().any(|(_, it)| it.is_retryable())
                {
                    return;
                }
                sleep(Duration::from_secs(180)).await;
            }
        });
    }

    /// Invokes the function: an idle instance, or a new one. `None` if it died or was cut off.
    async fn invoke(self: Rc<Self>, label: &str, payload: &Value) -> Option<Answer> {
        let number = {
            let mut log = self.log.borrow_mut();
            log.invocations += 1;
            log.invocations
        };
        let invocation = Rc::new(Invocation {
            number,
            began: Instant::now(),
            calls: Cell::new(0),
            read_at: Cell::new(None),
            dies: Notify::new(),
        });
        let idle = self.idle.borrow_mut().pop();
        let instance = idle.unwrap_or_else(|| {
            let ports = Ports::new(&self, invocation.clone());
            let clock = [clock::exact, clock::ahead, clock::behind][number % 3];
            let present = ports.present.clone();
            let handler = Handler::new(ports, settings(), clock);
            Instance { handler, present }
        });
        *instance.present.borrow_mut() = invocation.clone();
        let home = Home::of_function("arn:aws:lambda:eu-west-1:111122223333:function:rulekeeper");
        let answer = {
            let handled = instance.handler.handle(payload, &home, INVOCATION);
            tokio::select! {
                biased;
                () = invocation.dies.notified() => None,
                answer = timeout(INVOCATION, handled) => answer.ok(),
            }
        };
        let Some(answer) = answer else {
            self.log.borrow_mut().died += 1;
            self.say(format!("{label}: invocation {number} dies"));
            return None;
        };
        self.idle.borrow_mut().push(instance);
        let text = serde_json::to_value(&answer).expect("an answer is JSON");
        self.say(format!(
            "{label}: invocation {number}: {}",
            in_short(&answer)
        ));
        promises::of_answer(&self, &invocation, &answer);
        self.log.borrow_mut().answers.push((Instant::now(), text));
        Some(answer)
    }

    pub(crate) fn next_call(&self) -> u32 {
        let number = self.calls.get();
        self.calls.set(number + 1);
        number
    }

    pub(crate) fn last_call(&self) -> u32 {
        self.calls.get().saturating_sub(1)
    }

    /// What goes wrong with a call.
    pub(crate) fn fault(&self, number: u32, of_table: bool) -> Option<Fault> {
        if self.is_calm.get() {
            return None;
        }
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let storm = self.case.storm.filter(|storm| {
            storm.of_table == of_table && (storm.from_ms..storm.until_ms).contains(&now)
        });
        let single = self.case.faults.get(&number).copied();
        storm.map(|storm| storm.fault).or(single)
    }

    /// How far a read of rules lags behind.
    pub(crate) fn lag(&self, number: u32) -> Duration {
        match self.fault(number, false) {
            Some(Fault::Stale) => Duration::from_millis(u64::from(number) * 37 % 5_000),
            _ => Duration::ZERO,
        }
    }

    pub(crate) fn note_fault(&self, fault: Fault, of_table: bool) {
        let service = if of_table { "table" } else { "EC2" };
        let name = format!("{fault:?} ({service})");
        *self.log.borrow_mut().faults.entry(name).or_default() += 1;
        self.say(format!("{fault:?}, {service}"));
    }

    /// Whether what is authorized is in a record that was current since the invocation began, as it is written there.
    pub(crate) fn check_recorded(&self, invocation: &Invocation, batch: &Batch) {
        let log = self.log.borrow();
        let strange = batch.rules.iter().find(|rule| {
            let mut records = log.records_since(invocation.began);
            !records.any(|record| {
                let recorded = record.rules.get(&rule.key);
                recorded.is_some_and(|it| it.description == rule.description)
            })
        });
        let strange = strange.map(|rule| rule.key.clone());
        drop(log);
        if let Some(rule) = strange {
            self.broken(format!(
                "{rule} is authorized, and no current record holds it"
            ));
        }
    }

    pub(crate) fn note_generation(&self, record: &DesiredRecord) {
        let by = record.updated_by.clone().unwrap_or_default();
        let reason = record.reason.clone().unwrap_or_default();
        self.say(format!(
            "generation {} by {by}: {reason}",
            record.generation
        ));
        let mut log = self.log.borrow_mut();
        let before = log.generations.last().map_or(0, |(_, it)| it.generation);
        if record.generation != before + 1 || by.is_empty() || reason.is_empty() {
            let broken = format!("generation {} after {before}, by {by:?}", record.generation);
            log.broken.push(broken);
        }
        log.generations.push((Instant::now(), record.clone()));
    }

    /// CloudTrail records our own authorize too.
    pub(crate) fn own_authorize(self: &Rc<Self>, rules: &[RuleKey]) {
        self.say(format!("authorized {}", names(rules)));
        let event = self.cloud.borrow_mut().record_authorize(&function(), rules);
        self.deliver(event);
    }

    pub(crate) fn say(&self, text: String) {
        let at = clock::since_began(Instant::now());
        self.log.borrow_mut().story.push(format!("{at:9.3} {text}"));
    }

    pub(crate) fn broken(&self, text: String) {
        self.say(format!("BROKEN: {text}"));
        self.log.borrow_mut().broken.push(text);
    }
}

pub(crate) fn names(rules: &[RuleKey]) -> String {
    let names: Vec<String> = rules.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn in_short(answer: &Answer) -> String {
    let reports = answer.reports().into_iter().map(|report| {
        let lines = report.rules.iter().map(|line| {
            let reason = line.reason.as_deref().unwrap_or_default();
            format!("{} {} ({reason})", line.rule, line.outcome.name())
        });
        let lines: Vec<String> = lines.collect();
        let told = report.notices.join(" | ");
        let reopened = names(&report.reopened);
        format!(
            "{} [{}] notices [{told}] reopened [{reopened}] warnings {:?}",
            report.outcome.name(),
            lines.join("; "),
            report.warnings
        )
    });
    let reports: Vec<String> = reports.collect();
    let again = match answer.is_retryable() {
        true => ", again",
        false => "",
    };
    format!("{}{again}", reports.join(" || "))
}
