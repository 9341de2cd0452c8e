//! The lines of `doctor`, in sections.

use rulekeeper_core::function::permissions::{Check, Outcome};

use super::{plain, wrap};
use crate::paint::{Tone, marked};

/// The sections, in the order in which they are read.
const SECTIONS: [&str; 10] = [
    "You",
    "EC2",
    "Table",
    "Records",
    "Function",
    "Role",
    "Events",
    "Trail",
    "Queues and alarms",
    "Deployment",
];

/// The section that a check stands in.
pub(crate) fn section(check: &Check) -> &'static str {
    match check.check.as_str() {
        "credentials" | "operator" => "You",
        "clock" if check.subject == "this machine" => "You",
        "ec2" | "quota" => "EC2",
        "records" | "record" | "settings" | "orphaned" | "guardrails" | "watch" => "Records",
        "role" | "member_role" => "Role",
        "event_rule" | "schedule" | "rule_failures" => "Events",
        "trail" => "Trail",
        "queue" | "topic" => "Queues and alarms",
        "deploy" => "Deployment",
        name if name == "table" || name.starts_with("table_") => "Table",
        _ => "Function",
    }
}

/// The marks of outcomes.
#[derive(Debug, Clone, Copy)]
struct Marks {
    ok: &'static str,
    warning: &'static str,
    failed: &'static str,
    skipped: &'static str,
    line: char,
}

const UNICODE: Marks = Marks {
    ok: "√",
    warning: "‼",
    failed: "×",
    skipped: "-",
    line: '─',
};

const ASCII: Marks = Marks {
    ok: "ok",
    warning: "!!",
    failed: "XX",
    skipped: "--",
    line: '-',
};

impl Marks {
    /// Those that the locale can show (POSIX: the first that is set decides).
    fn of_locale() -> Self {
        let set = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| {
            let value = std::env::var(name).ok()?;
            (!value.is_empty()).then_some(value)
        });
        let name = set.unwrap_or_default().to_lowercase();
        match name.contains("utf-8") || name.contains("utf8") {
            true => UNICODE,
            false => ASCII,
        }
    }

    fn of(self, outcome: Outcome) -> (&'static str, Tone) {
        match outcome {
            Outcome::Ok => (self.ok, Tone::Good),
            Outcome::Warning => (self.warning, Tone::Doubt),
            Outcome::Failed => (self.failed, Tone::Bad),
            Outcome::Skipped => (self.skipped, Tone::Faint),
        }
    }
}

/// Every check in its section, each with what to do about it, and the count.
pub(crate) fn checks(checks: &[Check]) -> String {
    with(Marks::of_locale(), checks)
}

fn with(marks: Marks, checks: &[Check]) -> String {
    let sections = SECTIONS.iter().filter_map(|name| {
        let own = checks.iter().filter(|check| section(check) == *name);
        let lines: String = own.map(|check| line(marks, check)).collect();
        let under: String = name.chars().map(|_| marks.line).collect();
        let head = marked(Tone::Strong, name);
        (!lines.is_empty()).then(|| format!("{head}\n{under}\n{lines}\n"))
    });
    format!("{}{}\n", sections.collect::<String>(), count(checks))
}

fn line(marks: Marks, check: &Check) -> String {
    let (mark, tone) = marks.of(check.outcome);
    let text = format!(
        "{} {}: {}",
        plain(&check.check),
        plain(&check.subject),
        plain(&check.found)
    );
    let text = wrap::words(&format!("{mark} "), &text, 4);
    let text = text.replacen(mark, &marked(tone, mark), 1);
    let mends = check.fix.iter().flat_map(|fix| fix.lines()).map(mend);
    text + &mends.collect::<String>()
}

/// A command on lines of its own, or words.
fn mend(line: &str) -> String {
    let line = plain(line);
    match line.starts_with("aws ") || line.starts_with("rulekeeper ") {
        true => wrap::command(&line, 6),
        false => wrap::words("    ", &line, 4),
    }
}

fn count(checks: &[Check]) -> String {
    let of = |outcome| {
        checks
            .iter()
            .filter(|check| check.outcome == outcome)
            .count()
    };
    let parts = [
        (Outcome::Ok, Tone::Good),
        (Outcome::Warning, Tone::Doubt),
        (Outcome::Failed, Tone::Bad),
        (Outcome::Skipped, Tone::Faint),
    ];
    let parts = parts.map(|(outcome, tone)| (of(outcome), outcome.name(), tone));
    let parts = parts.iter().filter(|(number, ..)| *number > 0);
    let parts: Vec<_> = parts
        .map(|(number, name, tone)| {
            let plural = if *name == "warning" && *number > 1 {
                "s"
            } else {
                ""
            };
            marked(*tone, &format!("{number} {name}{plural}"))
        })
        .collect();
    let noun = if checks.len() == 1 { "check" } else { "checks" };
    format!("{} {noun}: {}", checks.len(), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_stand_in_sections_with_their_mends_and_steer_no_terminal() {
        let arn = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/management";
        let fix = format!("Look:\naws cloudtrail start-logging --name {arn} --region eu-west-1");
        let all = [
            Check::new("trail", Outcome::Warning, "t", "w").fix(fix),
            Check::new("clock", Outcome::Ok, "this machine", "agrees"),
            Check::new("record", Outcome::Failed, "sg-0a", "x\u{1b}[2J").fix("correct it"),
            Check::new("queue", Outcome::Skipped, "-", "no"),
        ];
        let text = with(UNICODE, &all);
        let expected = "\
You
───
√ clock this machine: agrees

Records
───────
× record sg-0a: x\\u{1b}[2J
    correct it

Trail
─────
‼ trail t: w
    Look:
      aws cloudtrail start-logging \\
        --name arn:aws:cloudtrail:eu-west-1:111122223333:trail/management \\
        --region eu-west-1

Queues and alarms
─────────────────
- queue -: no

4 checks: 1 ok, 1 warning, 1 failed, 1 skipped
";
        assert_eq!(text, expected);
        let ascii = with(ASCII, &all[1..2]);
        assert_eq!(
            ascii,
            "You\n---\nok clock this machine: agrees\n\n1 check: 1 ok\n"
        );
    }
}
