//! What `apply` did or would do, and what it says before.

use rulekeeper_cli::operator::{Applied, ApplyOutcome, LiveView};
use rulekeeper_core::model::RuleKey;

use super::{difference, plain};

/// A paragraph for each record that differs, and the numbers.
pub(crate) fn applied(items: &[Applied]) -> String {
    let mut text: String = items.iter().map(one).collect();
    let count = |outcome: ApplyOutcome| items.iter().filter(|it| it.outcome == outcome).count();
    if let [only] = items
        && only.outcome == ApplyOutcome::Unchanged
    {
        let Applied {
            group, generation, ..
        } = only;
        return format!(
            "{group}: nothing differs from generation {generation}; nothing was written\n"
        );
    }
    let numbers = [
        (ApplyOutcome::Written, "written"),
        (ApplyOutcome::Pruned, "taken out"),
        (ApplyOutcome::WouldWrite, "to write"),
        (ApplyOutcome::WouldPrune, "to take out"),
        (ApplyOutcome::Unchanged, "unchanged"),
    ];
    let numbers = numbers.map(|(outcome, name)| (count(outcome), name));
    let numbers = numbers.into_iter().filter(|(number, _)| *number > 0);
    let numbers: Vec<String> = numbers
        .map(|(number, name)| format!("{number} {name}"))
        .collect();
    if items.len() > 1 {
        text += &format!("{}\n", numbers.join(", "));
    }
    text
}

fn one(item: &Applied) -> String {
    let group = item.group.named(item.name.as_deref().map(plain).as_deref());
    let generation = item.generation;
    let file = item.file.as_deref().map(plain).unwrap_or_default();
    let head = match item.outcome {
        ApplyOutcome::Unchanged => return String::new(),
        ApplyOutcome::Written => format!("{group}: generation {generation} is written"),
        ApplyOutcome::Pruned => {
            format!("{group}: the record was taken out, as generation {generation} of its history")
        }
        ApplyOutcome::WouldWrite if generation == 0 => format!("{group}: {file} is a new record"),
        ApplyOutcome::WouldWrite => {
            format!("{group}: {file} differs from generation {generation}")
        }
        ApplyOutcome::WouldPrune => format!("{group}: to be taken out, no file holds it"),
    };
    format!("{head}\n{}", difference(&item.difference, "  "))
}

/// What the new records mean for live rules; nothing where record and live rules agree.
pub(crate) fn live_rules(items: &[Applied]) -> String {
    let views = items
        .iter()
        .filter_map(|item| Some((item, item.live.as_ref()?)));
    views.map(|(item, view)| of_group(item, view)).collect()
}

fn of_group(item: &Applied, view: &LiveView) -> String {
    let group = item.group.named(item.name.as_deref().map(plain).as_deref());
    if let Some(problem) = &view.problem {
        return format!("{group}: {problem}\n");
    }
    let mut text = String::new();
    let mut say = |number: usize, one: &str, more: &str, end: &str, rules: Vec<String>| {
        let subject = match number {
            0 => return,
            1 => one.to_owned(),
            number => format!("{number} {more}"),
        };
        text += &format!("{group}: {subject} {end}\n");
        text.extend(rules.iter().map(|rule| format!("  {}\n", plain(rule))));
    };
    let (held, opened): (Vec<_>, Vec<_>) = view.not_live.iter().partition(|it| it.held.is_some());
    let names = |rules: &[RuleKey]| rules.iter().map(ToString::to_string).collect::<Vec<_>>();
    say(
        opened.len(),
        "1 rule is not live:",
        "rules are not live:",
        "the next look opens what nothing hinders",
        opened.iter().map(|it| it.rule.to_string()).collect(),
    );
    say(
        held.len(),
        "1 rule is not live,",
        "rules are not live,",
        "for a reason",
        held.iter()
            .map(|it| format!("{}: {}", it.rule, it.held.as_deref().unwrap_or_default()))
            .collect(),
    );
    say(
        view.kept_no_more.len(),
        "1 live rule is",
        "live rules are",
        "kept no more",
        names(&view.kept_no_more),
    );
    text
}

#[cfg(test)]
mod tests {
    use rulekeeper_cli::operator::{Difference, NotLive};
    use rulekeeper_core::model::{GroupAddress, Scope};

    use super::*;

    fn rule(text: &str) -> RuleKey {
        text.parse().expect("rule notation")
    }

    fn item(id: &str, outcome: ApplyOutcome, generation: u64) -> Applied {
        Applied {
            group: GroupAddress {
                scope: Scope {
                    account: "111122223333".parse().expect("an account"),
                    region: "eu-west-1".parse().expect("a Region"),
                },
                id: id.parse().expect("an id"),
            },
            name: None,
            outcome,
            generation,
            file: Some("web.yaml".to_owned()),
            difference: Difference::default(),
            live: None,
        }
    }

    #[test]
    fn what_differs_is_told_and_what_does_not_is_counted() {
        let mut new = item("sg-0a", ApplyOutcome::WouldWrite, 0);
        new.difference.added = vec![rule("tcp 443 from 10.0.0.0/8")];
        let mut pruned = item("sg-0c", ApplyOutcome::WouldPrune, 3);
        pruned.difference.removed = vec![rule("tcp 80 from 10.0.0.0/8")];
        pruned.name = Some("old\u{1b}".to_owned());
        let same = item("sg-0b", ApplyOutcome::Unchanged, 2);
        let expected = "\
111122223333/eu-west-1/sg-0a: web.yaml is a new record
  + tcp 443 from 10.0.0.0/8
111122223333/eu-west-1/sg-0c (old\\u{1b}): to be taken out, no file holds it
  - tcp 80 from 10.0.0.0/8
1 to write, 1 to take out, 1 unchanged
";
        assert_eq!(applied(&[new, same.clone(), pruned]), expected);
        assert_eq!(
            applied(&[same]),
            "111122223333/eu-west-1/sg-0b: nothing differs from generation 2; nothing was written\n"
        );
    }

    #[test]
    fn rules_that_open_and_rules_that_are_kept_no_more_are_listed() {
        let mut changed = item("sg-0a", ApplyOutcome::WouldWrite, 1);
        let not_live = |text: &str, held: Option<&str>| NotLive {
            rule: rule(text),
            held: held.map(str::to_owned),
        };
        changed.live = Some(LiveView {
            problem: None,
            not_live: vec![
                not_live("tcp 1 from 10.0.0.0/8", None),
                not_live("tcp 2 from 10.0.0.0/8", None),
                not_live("tcp 3 from 10.0.0.0/8", Some("the record only observes")),
            ],
            kept_no_more: vec![rule("tcp 4 from 10.0.0.0/8")],
        });
        let expected = "\
111122223333/eu-west-1/sg-0a: 2 rules are not live: the next look opens what nothing hinders
  tcp 1 from 10.0.0.0/8
  tcp 2 from 10.0.0.0/8
111122223333/eu-west-1/sg-0a: 1 rule is not live, for a reason
  tcp 3 from 10.0.0.0/8: the record only observes
111122223333/eu-west-1/sg-0a: 1 live rule is kept no more
  tcp 4 from 10.0.0.0/8
";
        let same = item("sg-0b", ApplyOutcome::Unchanged, 2);
        assert_eq!(live_rules(&[same, changed]), expected);
    }
}
