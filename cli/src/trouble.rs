//! What is wrong with groups now, each with the command that helps.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rulekeeper_cli::operator::{Content, Listed, PastIncident};
use rulekeeper_core::model::{GroupAddress, RuleKey, Scope};
use rulekeeper_core::report::GroupOutcome;
use rulekeeper_core::report::plan::{PlannedAction, PlannedRule, ReopenedRule};
use serde::Serialize;

use crate::planned::PlannedGroup;

/// One thing that is wrong: a rule, or a whole group of which nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Trouble {
    /// The group; absent if a whole account and Region could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<GroupAddress>,
    /// Its name, if the record has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<RuleKey>,
    /// What is wrong, in a word.
    pub(crate) state: &'static str,
    /// When it was dropped, if an incident tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
    /// Until when it is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Timestamp>,
    /// Whose call it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) principal: Option<String>,
    /// The session of the caller's role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    /// What is wrong, in a sentence.
    pub(crate) reason: String,
    /// The command that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<String>,
    /// The key of the incident that told of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// Whether the rule is live.
    #[serde(rename = "live")]
    pub(crate) is_live: bool,
}

impl Trouble {
    fn of(group: Option<&GroupAddress>, name: Option<&str>, state: &'static str) -> Self {
        Self {
            group: group.cloned(),
            name: name.map(str::to_owned),
            rule: None,
            state,
            since: None,
            until: None,
            principal: None,
            session: None,
            reason: String::new(),
            command: None,
            key: None,
            is_live: false,
        }
    }

    /// An account and Region that could not be looked at.
    pub(crate) fn unknown(scope: &Scope, reason: &str) -> Self {
        Self {
            reason: format!("{scope} could not be looked at: {reason}"),
            ..Self::of(None, None, "unknown")
        }
    }

    /// Whether a rule is missing that should be there.
    pub(crate) fn is_missing(&self) -> bool {
        self.rule.is_some() && !self.is_live
    }

    /// Everything that is wrong with a group by the plan of it.
    pub(crate) fn of_plan(plan: &PlannedGroup) -> Vec<Self> {
        let about = |state| Self::of(plan.group.as_ref(), plan.name.as_deref(), state);
        let state = match plan.outcome {
            outcome if outcome == GroupOutcome::Orphaned.name() => Some(("orphaned", "unpin")),
            outcome if outcome == GroupOutcome::Unmanaged.name() => Some(("unmanaged", "pin")),
            outcome if outcome == GroupOutcome::Failed.name() => Some(("unknown", "plan")),
            _ => None,
        };
        let whole = state.map(|(state, verb)| Self {
            reason: plan.reason.clone(),
            command: plan.group.as_ref().map(|group| command(verb, group, "")),
            ..about(state)
        });
        let rules = plan.rules.iter().filter_map(|line| {
            let (state, verb, more) = state_of(line)?;
            let rule = quoted(&line.rule);
            let more = more.replace("RULE", &rule);
            Some(Self {
                rule: Some(line.rule.clone()),
                until: line.until,
                principal: line.by.clone(),
                reason: line.reason.clone(),
                command: plan.group.as_ref().map(|group| command(verb, group, &more)),
                ..about(state)
            })
        });
        let reopened = plan
            .reopened
            .iter()
            .map(|it| Self::reopened(it, about("reopened")));
        whole.into_iter().chain(rules).chain(reopened).collect()
    }

    fn reopened(rule: &ReopenedRule, about: Self) -> Self {
        Self {
            rule: Some(rule.rule.clone()),
            since: Some(rule.at),
            principal: Some(rule.by.clone()),
            reason: format!(
                "{} had closed it, and it was put back before that was known; it is live",
                rule.by
            ),
            command: Some(rule.close.clone()),
            is_live: true,
            ..about
        }
    }

    /// Whether it is not known what is wrong.
    pub(crate) fn is_unknown(&self) -> bool {
        ["unknown", "unreadable"].contains(&self.state)
    }

    /// Says what the record of the group tells: that it cannot be understood, so that nothing is known of the group, or that
    /// the pause is not its own, so that another command ends it.
    pub(crate) fn of_record(&mut self, listed: &Listed) {
        let Some(group) = &self.group else { return };
        match (self.state, listed.state) {
            ("unknown", "unreadable") => {
                self.command = Some(command("show", group, ""));
                self.state = "unreadable";
            }
            ("paused", own) if own != "paused" => {
                self.command = Some("rulekeeper resume --all".to_owned());
            }
            _ => {}
        }
    }

    /// Adds to the command what this run was told of the table and of credentials.
    pub(crate) fn with_options(&mut self, options: &str) {
        if let Some(command) = &mut self.command
            && command.starts_with("rulekeeper ")
        {
            command.push_str(options);
        }
    }

    /// Live rules that could not come back if they were dropped, as the function last saw.
    pub(crate) fn foreseen(scope: &Scope, listed: &Listed, known: &[Self]) -> Vec<Self> {
        let Ok(id) = listed.group.parse() else {
            return Vec::new();
        };
        let scope = scope.clone();
        let group = GroupAddress { scope, id };
        let is_known = |rule: &RuleKey| {
            let mut known = known.iter().filter(|it| it.group.as_ref() == Some(&group));
            known.any(|it| it.rule.as_ref() == Some(rule))
        };
        let rules = listed.standing.unrestorable.iter();
        let rules = rules.filter(|rule| !is_known(rule)).map(|rule| Self {
            rule: Some(rule.clone()),
            reason: "it is live, and could not come back if it were dropped".to_owned(),
            command: Some(command("check", &group, "")),
            is_live: true,
            ..Self::of(Some(&group), listed.name.as_deref(), "unrestorable")
        });
        rules.collect()
    }

    /// The rules that the last incident about them left missing, where EC2 cannot be asked: the newest incident first.
    pub(crate) fn last_told(incidents: &[PastIncident]) -> Vec<Self> {
        let mut told = BTreeSet::new();
        let mut troubles = Vec::new();
        for incident in incidents {
            let Content::Readable(facts) = &incident.content else {
                continue;
            };
            for line in &facts.lines {
                if !told.insert((&incident.group, &line.rule)) || !line.is_missing() {
                    continue;
                }
                let mut trouble = Self {
                    rule: line.rule.parse().ok(),
                    reason: line.reason.clone().unwrap_or_default(),
                    command: Some(command("status", &incident.group, "")),
                    ..Self::of(Some(&incident.group), incident.name.as_deref(), "missing")
                };
                trouble.told_by(incidents);
                troubles.push(trouble);
            }
        }
        troubles
    }

    /// Adds what the group's incidents tell, the newest first: since when, whose call it was, and how the last try failed.
    pub(crate) fn told_by(&mut self, incidents: &[PastIncident]) {
        let Some(rule) = self.rule.as_ref().map(ToString::to_string) else {
            return;
        };
        if self.state == "reopened" {
            return;
        }
        let mut is_last = true;
        for incident in incidents {
            if Some(&incident.group) != self.group.as_ref() {
                continue;
            }
            let Content::Readable(facts) = &incident.content else {
                continue;
            };
            let Some(line) = facts.lines.iter().find(|line| line.rule == rule) else {
                continue;
            };
            if !line.is_missing() {
                return;
            }
            if is_last && self.state == "missing" && line.outcome == "failed" {
                self.state = "failed";
                let said = [line.error_code.as_deref(), line.reason.as_deref()];
                let said: Vec<&str> = said.into_iter().flatten().collect();
                self.reason = format!("the last try failed: {}", said.join(": "));
            }
            is_last = false;
            // A look that found it missing, or put others back, did not drop it.
            if facts.kind == "event" && line.is_own() {
                self.since = incident.time();
                self.principal = facts.principal.clone().or(self.principal.take());
                self.session.clone_from(&facts.session);
                self.key = Some(incident.key.clone());
                return;
            }
        }
    }
}

/// The state of a missing rule, and the verb that helps with more arguments; `None` for a rule that is not meant to be there.
fn state_of(line: &PlannedRule) -> Option<(&'static str, &'static str, &'static str)> {
    Some(match line.action {
        PlannedAction::Restore => ("missing", "restore", ""),
        PlannedAction::Wait => ("held", "restore", "--now"),
        PlannedAction::Contested => ("contested", "restore", "--now"),
        PlannedAction::Pending => ("pending", "confirm", ""),
        PlannedAction::Unrestorable => ("unrestorable", "release", "RULE"),
        PlannedAction::NoRoom => ("no_room", "check", ""),
        PlannedAction::Paused => ("paused", "resume", ""),
        PlannedAction::Observe => ("observed", "show", ""),
        PlannedAction::Leave | PlannedAction::Superseded => return None,
    })
}

fn command(verb: &str, group: &GroupAddress, more: &str) -> String {
    let GroupAddress { scope, id } = group;
    let more = match more {
        "" => String::new(),
        more => format!(" {more}"),
    };
    format!(
        "rulekeeper {verb} {id}{more} --account {} --region {}",
        scope.account, scope.region
    )
}

/// A rule as a shell takes it. Rule notation has no quotes.
fn quoted(rule: &RuleKey) -> String {
    format!("'{rule}'")
}
