//! Notices for chat: the form that Amazon Q Developer in chat applications renders in Slack and Microsoft Teams ("Custom
//! notifications", event schema, version 1.0).
//!
//! The texts in a report are anybody's. They stand in code spans, in which nothing is a mention, a link or markup, with the
//! backtick replaced and what Slack takes for markup escaped (Slack API, "Formatting text for app surfaces").

use serde::Serialize;
use serde_json::{Map, Value};

use super::{GroupOutcome, Report, RuleOutcome, RuleReport, SweepReport};
use crate::event::console_link;
use crate::model::{GroupAddress, shortened};

/// The most rules of a message that are named.
const RULES_MAX: usize = 10;

/// The longest text of anybody in a message, in characters.
const TEXT_MAX: usize = 300;

/// The longest description, in characters. The service names no limit; Slack cuts off a block of text at 3,000.
const DESCRIPTION_MAX: usize = 2_800;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChatNotice {
    version: &'static str,
    source: &'static str,
    /// The same for every delivery of one event, so that a reader can leave out what it has.
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    content: Content,
    metadata: Metadata,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    text_type: &'static str,
    title: String,
    description: String,
    next_steps: Vec<String>,
    keywords: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    /// Messages about one group stand in one thread.
    thread_id: String,
    summary: String,
    event_type: String,
    related_resources: Vec<String>,
    additional_context: Map<String, Value>,
}

impl Report {
    /// Whether somebody should read of it: rules came back, could not, or may not; a notice; a rule that left the record.
    pub fn is_news(&self) -> bool {
        use GroupOutcome::{Contested, Failed, Observed, Orphaned, Partial, Restored};
        let outcomes = [Restored, Partial, Failed, Contested, Orphaned, Observed];
        outcomes.contains(&self.outcome) || !self.notices.is_empty() || self.removes_rules()
    }

    /// The message about a group, if somebody should read it.
    pub fn chat(&self) -> Option<ChatNotice> {
        self.chat_of(&self.description())
    }

    /// The same with other lines.
    fn chat_of(&self, lines: &[String]) -> Option<ChatNotice> {
        let group = self.group.as_ref().filter(|_| self.is_news())?;
        let at = self.trigger.event_time;
        let at = at.map(|at| at.to_string()).unwrap_or_default();
        let event = self.trigger.event_id.as_deref().unwrap_or_default();
        let name = self.title();
        let outcome = self.outcome.name();
        let mut context = Map::new();
        let mut add = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                let value = shortened(value, TEXT_MAX).into_owned();
                context.insert(name.to_owned(), value.into());
            }
        };
        add("account", Some(group.scope.account.as_str()));
        add("region", Some(group.scope.region.as_str()));
        add("principal", self.trigger.principal.as_deref());
        add("session", self.trigger.session.as_deref());
        add("owner", self.owner.as_deref());
        Some(ChatNotice {
            version: "1.0",
            source: "custom",
            // What a look found has no event, and each is a message of its own.
            id: match event {
                "" => String::new(),
                event => format!("{group}/{at}#{event}"),
            },
            content: Content {
                text_type: "client-markdown",
                title: format!("rulekeeper: {outcome}: {name}"),
                description: fitted(lines),
                next_steps: self.next_steps(group),
                keywords: [Some(outcome.to_owned()), self.owner.as_deref().map(code)]
                    .into_iter()
                    .flatten()
                    .collect(),
            },
            metadata: Metadata {
                thread_id: group.to_string(),
                summary: format!("{outcome}: {name}"),
                event_type: format!("rulekeeper {outcome}"),
                related_resources: vec![group.id.to_string()],
                additional_context: context,
            },
        })
    }

    fn title(&self) -> String {
        let id = self.group.as_ref().map(|group| group.id.to_string());
        let id = id.unwrap_or_default();
        match &self.name {
            Some(name) => format!("{} ({id})", code(name)),
            None => id,
        }
    }

    fn description(&self) -> Vec<String> {
        let mut lines = vec![code(&self.reason)];
        let its: Vec<&RuleReport> = self.own().collect();
        for line in its.iter().take(RULES_MAX) {
            let reason = line
                .reason
                .as_deref()
                .filter(|_| line.outcome != RuleOutcome::Restored);
            let reason = reason
                .map(|reason| format!(": {}", code(reason)))
                .unwrap_or_default();
            let outcome = line.outcome.name();
            lines.push(format!(
                "• {outcome}: {}{reason}",
                code(&line.rule.to_string())
            ));
        }
        if let Some(more @ 1..) = its.len().checked_sub(RULES_MAX) {
            lines.push(format!("• and {more} more"));
        }
        let trigger = &self.trigger;
        if let (Some(call), Some(principal)) = (&trigger.event_name, &trigger.principal) {
            let at = trigger
                .event_time
                .map(|at| format!(" at {at}"))
                .unwrap_or_default();
            let from = trigger.source_ip.as_ref();
            let from = from
                .map(|from| format!(" from {}", code(from)))
                .unwrap_or_default();
            let session = trigger.session.as_ref();
            let session = session.map(|it| format!(", session {}", code(it)));
            let session = session.unwrap_or_default();
            lines.push(format!(
                "Who: {}{session}, {}{at}{from}",
                code(principal),
                code(call)
            ));
        }
        if let Some(ms) = self.drift_open_ms() {
            lines.push(format!("Open for: {}", length(ms)));
        }
        if let Some(owner) = &self.owner {
            lines.push(format!("Owner: {}", code(owner)));
        }
        lines.extend(self.notices.iter().map(|notice| code(notice)));
        lines
    }

    fn next_steps(&self, group: &GroupAddress) -> Vec<String> {
        let GroupAddress { scope, id } = group;
        let place = format!("{id} --account {} --region {}", scope.account, scope.region);
        let mut steps = vec![format!(
            "See what is wrong now: `rulekeeper status {place}`"
        )];
        match self.outcome {
            GroupOutcome::Contested => {
                steps.push(format!("Put it back now: `rulekeeper restore {place} --now`"));
            }
            GroupOutcome::Orphaned => {
                steps.push(format!("Keep it no more: `rulekeeper unpin {place}`"));
            }
            GroupOutcome::Restored if self.trigger.principal.is_some() => steps.push(format!(
                "If the caller was right, leave the group alone while you change its record: `rulekeeper pause {place} --for 1h --reason WHY`"
            )),
            _ => steps.push(format!("See what a restore would do: `rulekeeper plan {place}`")),
        }
        if self.removes_rules() {
            steps.push(format!(
                "See who changed the record: `rulekeeper history {place}`"
            ));
        }
        let event_id = self.trigger.event_id.as_deref();
        let link = event_id.and_then(|id| console_link(&scope.region, id));
        steps.extend(link.map(|link| format!("See the call in CloudTrail: {link}")));
        steps
    }
}

impl SweepReport {
    /// The message about a sweep that brought rules back, or has something to say that is said once.
    pub fn chat(&self) -> Option<ChatNotice> {
        use GroupOutcome::{Partial, Restored};
        let is_new = |report: &&Report| {
            matches!(report.outcome, Restored | Partial)
                || !report.notices.is_empty()
                || report.removes_rules()
        };
        let all = self.reports.iter().chain(&self.remarks);
        let news: Vec<&Report> = all.filter(is_new).collect();
        let permission = self.permission.as_ref().filter(|it| it.changed);
        let mut lines: Vec<String> = permission.iter().map(|it| code(&it.found)).collect();
        let Some((first, others)) = news.split_first() else {
            return permission.map(|_| ChatNotice::of_role(&lines));
        };
        if !others.is_empty() {
            let names: Vec<String> = others.iter().take(RULES_MAX).map(|it| it.title()).collect();
            let names = names.join(", ");
            lines.push(format!("and {} more groups: {names}", others.len()));
        }
        lines.extend(first.description());
        first.chat_of(&lines)
    }
}

impl ChatNotice {
    /// A message about what the function's role may do.
    fn of_role(lines: &[String]) -> Self {
        let title = "rulekeeper: what its role may do has changed".to_owned();
        Self {
            version: "1.0",
            source: "custom",
            id: String::new(),
            content: Content {
                text_type: "client-markdown",
                title: title.clone(),
                description: fitted(lines),
                next_steps: vec![
                    "Look at everything that is needed: `rulekeeper doctor`".to_owned(),
                ],
                keywords: vec!["role".to_owned()],
            },
            metadata: Metadata {
                thread_id: "role".to_owned(),
                summary: title,
                event_type: "rulekeeper role".to_owned(),
                related_resources: Vec::new(),
                additional_context: Map::new(),
            },
        }
    }
}

/// A time that rules were open for, to what people care for.
fn length(ms: u64) -> String {
    let (seconds, tenths) = (ms / 1_000, ms % 1_000 / 100);
    match seconds {
        0..120 => format!("{seconds}.{tenths} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

/// The lines that fit. None is cut: half a code span would be none.
fn fitted(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        if text.chars().count() + line.chars().count() > DESCRIPTION_MAX {
            text.push_str("… and more, in the function's answer and log");
            break;
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// A text of anybody as a code span.
fn code(text: &str) -> String {
    let short = shortened(text, TEXT_MAX);
    let mut safe = String::with_capacity(short.len() + 2);
    safe.push('`');
    for c in short.chars() {
        match c {
            '`' => safe.push('\''),
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe.push('`');
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Trigger, TriggerKind};
    use crate::fakes::{group, key, now};

    fn report(outcome: GroupOutcome, reason: &str) -> Report {
        let trigger = Trigger {
            kind: TriggerKind::Event,
            event_id: Some("11111111-2222-4333-8444-555555555555".to_owned()),
            event_name: Some("RevokeSecurityGroupIngress".to_owned()),
            event_time: Some(now()),
            principal: Some("arn:aws:iam::111122223333:role/admin".to_owned()),
            session: Some("anna@example.com".to_owned()),
            source_ip: Some("203.0.113.7".to_owned()),
            ..Trigger::default()
        };
        let mut report = Report::bare(trigger, Some(group()), outcome, reason.to_owned());
        report.name = Some("web".to_owned());
        report.owner = Some("team-web".to_owned());
        let rule = key("tcp 443 from 10.0.0.0/8");
        report.rules = vec![RuleReport::new(rule, RuleOutcome::Restored).dropped_by_this_event()];
        report.timing.event_age_ms = Some(2_900);
        report.timing.restored_ms = Some(61);
        report
    }

    #[test]
    fn a_message_says_which_group_who_what_how_long_and_what_to_do() {
        let notice = report(GroupOutcome::Restored, "1 of 1 dropped rule restored").chat();
        let message = serde_json::to_value(notice.expect("news")).expect("JSON");
        assert_eq!(
            (&message["version"], &message["source"]),
            (&"1.0".into(), &"custom".into())
        );
        let content = &message["content"];
        assert_eq!(content["textType"], "client-markdown");
        let id = &group().id;
        assert_eq!(
            content["title"],
            format!("rulekeeper: restored: `web` ({id})")
        );
        let said = content["description"].as_str().expect("a text");
        for part in [
            "• restored: `tcp 443 from 10.0.0.0/8`",
            "Who: `arn:aws:iam::111122223333:role/admin`, session `anna@example.com`",
            "from `203.0.113.7`",
            "Open for: 2.9 s",
            "Owner: `team-web`",
        ] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        let step = content["nextSteps"][0].as_str().expect("a step");
        assert!(
            step.contains(&format!("rulekeeper status {id} --account")),
            "{step}"
        );
        let link = content["nextSteps"][2].as_str().expect("a step");
        assert!(
            link.ends_with("region=eu-west-1#/events/11111111-2222-4333-8444-555555555555"),
            "{link}"
        );
        assert_eq!(message["metadata"]["threadId"], group().to_string());
        assert_eq!(
            message["metadata"]["additionalContext"]["owner"],
            "team-web"
        );
        // A second delivery has the same key.
        let again = report(GroupOutcome::Restored, "later")
            .chat()
            .expect("news");
        assert_eq!(message["id"], again.id);
        let other = Report {
            trigger: Trigger {
                event_id: Some("e-2".to_owned()),
                ..report(GroupOutcome::Restored, "").trigger
            },
            ..report(GroupOutcome::Restored, "")
        };
        assert_ne!(message["id"], other.chat().expect("news").id);
    }

    #[test]
    fn a_length_is_told_as_finely_as_it_matters() {
        let told = [2_961, 119_999, 120_000, 7_199_000, 7_200_000].map(length);
        assert_eq!(told, ["2.9 s", "119.9 s", "2 min", "119 min", "2 h"]);
    }

    #[test]
    fn what_is_no_news_makes_no_message() {
        for outcome in [
            GroupOutcome::Converged,
            GroupOutcome::Held,
            GroupOutcome::Ignored,
        ] {
            assert_eq!(report(outcome, "").chat(), None);
            let mut noticed = report(outcome, "");
            noticed.notices.push("said once".to_owned());
            assert!(noticed.chat().is_some());
        }
    }

    #[test]
    fn a_sweep_tells_of_its_first_group_names_the_others_and_says_what_the_role_may_not() {
        let mut sweep = SweepReport::default();
        assert_eq!(sweep.chat(), None);
        sweep.reports = vec![report(GroupOutcome::Failed, "as ever")];
        assert_eq!(sweep.chat(), None, "what stays wrong is told by alarms");
        sweep.permission = Some(super::super::Permission {
            authorize: false,
            tag: true,
            changed: true,
            found: "the role may not authorize".to_owned(),
        });
        let role = sweep.chat().expect("news");
        assert!(
            role.content.description.contains("may not authorize"),
            "{role:?}"
        );
        sweep.reports = vec![report(GroupOutcome::Restored, "back"); 3];
        let all = sweep.chat().expect("news");
        assert!(
            all.content.title.starts_with("rulekeeper: restored: `web`"),
            "{all:?}"
        );
        let said = all.content.description;
        assert!(
            said.contains("may not authorize") && said.contains("and 2 more groups: `web`"),
            "{said}"
        );
    }

    #[test]
    fn texts_of_anybody_are_neither_markup_nor_mentions_nor_too_long() {
        let hostile = "<!channel> *bold* `x` <https://example.com|here> &\n".repeat(2_000);
        let mut report = report(GroupOutcome::Failed, &hostile);
        report.name = Some(hostile.clone());
        report.trigger.session = Some(hostile.clone());
        report.owner = Some(hostile.clone());
        report.notices = vec![hostile.clone(); 200];
        let line = report.rules[0].clone();
        report.rules = vec![
            RuleReport {
                outcome: RuleOutcome::Failed,
                ..line
            }
            .because(&hostile);
            500
        ];
        let notice = report.chat().expect("news");
        assert!(notice.content.description.chars().count() <= DESCRIPTION_MAX + 200);
        for text in [
            &notice.content.title,
            &notice.content.description,
            &notice.content.keywords[1],
        ] {
            assert!(!text.contains('<') && !text.contains('>'), "{text:.200}");
            // Between two backticks nothing but our own words stands outside of a span.
            let outside: String = text.split('`').step_by(2).collect();
            assert!(
                !outside.contains("channel") && !outside.contains("bold"),
                "{outside:.200}"
            );
        }
        let bytes = serde_json::to_vec(&notice).expect("JSON").len();
        assert!(bytes < 20_000, "{bytes}");
    }
}
