//! What must hold after each answer, and at rest.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::actors::End;
use crate::run::{Closing, Invocation, Ours, Run};
use rulekeeper_core::decide::cover::covering;
use rulekeeper_core::fakes::group;
use rulekeeper_core::function::Answer;
use rulekeeper_core::model::RuleKey;
use rulekeeper_core::report::{RuleOutcome, RuleReport};

/// How far a read may lag behind.
const LAG: Duration = Duration::from_secs(5);

/// The most calls of one invocation.
const CALLS_MAX: u32 = 100;

/// Nothing that an answer says of a rule is false.
pub(crate) fn of_answer(run: &Rc<Run>, invocation: &Invocation, answer: &Answer) {
    if invocation.calls.get() > CALLS_MAX {
        run.broken(format!(
            "{} calls in one invocation",
            invocation.calls.get()
        ));
    }
    for report in answer.reports() {
        for line in &report.rules {
            if let Some(why) = is_false(run, invocation, line) {
                let (rule, outcome) = (&line.rule, line.outcome.name());
                let reason = line.reason.as_deref().unwrap_or_default();
                run.broken(format!("{rule} is told as {outcome} ({reason}), but {why}"));
            }
        }
    }
}

fn is_false(run: &Run, invocation: &Invocation, line: &RuleReport) -> Option<&'static str> {
    let (rule, log) = (&line.rule, run.log.borrow());
    let cloud = run.cloud.borrow();
    let from = invocation
        .began
        .checked_sub(LAG)
        .unwrap_or(invocation.began);
    let during = cloud.live_between(from, Instant::now());
    let was_live = during.iter().any(|live| live.contains_key(rule));
    let was_missing = during.iter().any(|live| !live.contains_key(rule));
    let is_recorded = log
        .generations
        .iter()
        .any(|(_, record)| record.rules.contains_key(rule));
    let has_reason = line
        .reason
        .as_ref()
        .is_some_and(|reason| !reason.is_empty());
    match line.outcome {
        RuleOutcome::Restored => {
            let mut ours = log.ours.iter();
            let is_ours = ours.any(|it| it.rule == *rule && it.invocation == invocation.number);
            // Without an answer nobody can tell who put it back.
            let without_answer = line
                .reason
                .as_ref()
                .is_some_and(|it| it.contains("the rule is there"));
            let is_true = is_ours || without_answer && was_live;
            (!is_true).then_some("this invocation did not authorize it")
        }
        RuleOutcome::AlreadyPresent | RuleOutcome::RestoredElsewhere => {
            (!was_live).then_some("it was not live")
        }
        RuleOutcome::Superseded => {
            let mut records = log.records_since(invocation.began);
            let has_left = records.any(|record| !record.rules.contains_key(rule));
            let covered = |live: &&crate::cloud::Live| {
                covering(rule, live.keys().filter(|other| *other != rule)).is_some()
            };
            let is_true = has_left || during.iter().any(covered);
            (!is_true).then_some("nothing allows the same, and it has not left the record")
        }
        RuleOutcome::Held | RuleOutcome::Contested | RuleOutcome::Failed => match () {
            () if !has_reason => Some("no reason is given"),
            () if !was_missing => Some("it was live all the time"),
            () if !is_recorded => Some("no record held it"),
            () => None,
        },
    }
}

/// What must hold when nothing is under way any more.
pub(crate) fn at_rest(run: &Rc<Run>) {
    for broken in closed_again(run).into_iter().chain(ends(run)) {
        run.broken(broken);
    }
}

/// What was closed for good was opened although that was known, or before the wait for its cause was over.
fn closed_again(run: &Run) -> Vec<String> {
    let (log, cloud) = (run.log.borrow(), run.cloud.borrow());
    let wait = Duration::from_secs(run.case.cause_wait.into());
    // Clocks differ, and the wait begins at a look.
    let wait = wait.saturating_sub(Duration::from_millis(2 * run.case.skew_ms));
    let is_early = |closing: &Closing, ours: &Ours| {
        let told = cloud.events[closing.event].told;
        let was_told = told.is_some_and(|told| told < ours.began);
        was_told || ours.at < closing.at + wait
    };
    let mut broken = Vec::new();
    let is_unknown = |closing: &&Closing| cloud.events[closing.event].by_id && !run.case.pinned;
    for closing in log.closings.iter().filter(|closing| !is_unknown(closing)) {
        let of_rule = log.ours.iter().filter(|ours| ours.rule == closing.rule);
        let mut since = of_rule.filter(|ours| {
            let until = closing.until.is_none_or(|until| ours.at < until);
            ours.at > closing.at && until && ours.read_at.is_some_and(|read| read > closing.at)
        });
        if let Some(ours) = since.find(|ours| is_early(closing, ours))
            && !has_untold(run)
        {
            let known = cloud.events[closing.event]
                .told
                .is_some_and(|told| told < ours.began);
            let why = match known {
                true => "although that was known",
                false => "before the wait for its cause was over",
            };
            let rule = &closing.rule;
            broken.push(format!("{rule} was closed and is opened again {why}"));
        }
    }
    broken
}

/// Whether somebody who is not listed took what nobody can tell: that counts as the cause of whatever is missing.
fn has_untold(run: &Run) -> bool {
    let cloud = run.cloud.borrow();
    let mut events = cloud.events.iter();
    events.any(|event| event.by_id && event.by == "script")
}

/// Whether each rule ended as it was meant, and is told of.
fn ends(run: &Run) -> Vec<String> {
    let (log, cloud) = (run.log.borrow(), run.cloud.borrow());
    let live = cloud.ec2.state().live.clone();
    let table = &cloud.table;
    let item = table.items.lock().expect("not poisoned")[&group()].clone();
    let record = crate::ports::record_of(&item);
    let answers = log.answers.iter().rev().map(|(_, answer)| answer);
    let swept = answers.clone().find(|answer| answer["sweep"].is_object());
    let lines: Vec<&Value> = swept.into_iter().flat_map(lines).collect();
    let line = |rule: &RuleKey| {
        let name = rule.to_string();
        lines.iter().find(|line| line["rule"] == name.as_str())
    };
    let mut broken = Vec::new();
    for rule in record.rules.keys().filter(|rule| !live.contains_key(*rule)) {
        match line(rule) {
            None => broken.push(format!(
                "{rule} is recorded and missing, and nothing is said of it"
            )),
            Some(line) if line["outcome"] == "restored" => {
                broken.push(format!("{rule} is told as restored, and is missing"));
            }
            Some(_) => {}
        }
    }
    for (rule, event) in &log.described {
        let recorded = record.rules.get(rule);
        let is_told = cloud.events[*event].told.is_some();
        let is_new = recorded.is_none_or(|it| it.description.as_deref() == Some("described anew"));
        let is_as_meant = log
            .wants
            .get(rule)
            .is_some_and(|want| want.end == End::Kept);
        if is_told && is_as_meant && !is_new {
            broken.push(format!(
                "{rule} was described anew, and the record does not say so"
            ));
        }
    }
    let told_open: BTreeSet<String> = answers.flat_map(reopened).collect();
    // A revoke without ids cannot be told from one of a rule that was not there, if another invocation saw the rule
    // before its return was noted.
    let is_vague = !run.case.tells_ids && !run.case.is_prompt();
    for (rule, want) in &log.wants {
        if is_vague && matches!(want.end, End::Gone | End::Pending) {
            continue;
        }
        let is_told = |event: &usize| cloud.events[*event].told.is_some();
        let by_unknown_id = |event: &usize| cloud.events[*event].by_id && !run.case.pinned;
        if !want.events.iter().all(is_told) || want.events.iter().any(by_unknown_id) {
            continue;
        }
        let (is_live, is_recorded) = (live.contains_key(rule), record.rules.contains_key(rule));
        let others = live
            .keys()
            .filter(|other| !record.rules.contains_key(*other));
        let is_superseded = || covering(rule, others.clone()).is_some();
        let is_told_open = told_open.contains(&rule.to_string());
        let is_good = match want.end {
            End::Kept => is_recorded && (is_live || is_superseded()),
            End::Gone => !is_recorded && (!is_live || is_told_open),
            End::Unrecorded => !is_recorded,
            End::Pending => is_recorded && (!is_live || is_told_open),
            End::Unrestorable => is_recorded && !is_live,
            End::Any => true,
        };
        if !is_good {
            let end = want.end;
            broken.push(format!(
                "{rule} was to be {end:?}, and is recorded: {is_recorded}, live: {is_live}"
            ));
        }
    }
    broken
}

/// The lines of a sweep's answer.
pub(crate) fn lines(answer: &Value) -> Vec<&Value> {
    let lists = ["reports", "remarks"].into_iter();
    let reports = lists.flat_map(|list| answer[list].as_array().into_iter().flatten());
    let lines = reports.flat_map(|report| report["rules"].as_array().into_iter().flatten());
    lines.collect()
}

/// The rules that an answer names as reopened, in its lists or in its notices.
fn reopened(answer: &Value) -> Vec<String> {
    let lists = ["reports", "remarks"].into_iter();
    let reports = lists.flat_map(|list| answer[list].as_array().into_iter().flatten());
    let reports = reports.chain([answer]);
    let listed = reports.flat_map(|report| report["reopened"].as_array().into_iter().flatten());
    listed
        .filter_map(|rule| rule.as_str().map(str::to_owned))
        .collect()
}
