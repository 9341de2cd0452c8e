//! A report that is small enough to travel. Lambda's destinations and EventBridge take 256 KiB with the request in it
//! (Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations"), and DynamoDB 400 KB for an item.

use std::borrow::Cow;

use super::{Report, RuleOutcome};
use crate::model::shortened;

/// The longest report as JSON, in bytes.
pub const REPORT_BYTES_MAX: usize = 100_000;

/// The longest text in a report that had to be cut, in characters.
const TEXT_MAX: usize = 300;

/// The longest list besides the rules in a report that had to be cut.
const LIST_MAX: usize = 50;

/// The outcomes whose lines may go, the least telling first.
const EXPENDABLE: [RuleOutcome; 7] = [
    RuleOutcome::AlreadyPresent,
    RuleOutcome::Superseded,
    RuleOutcome::RestoredElsewhere,
    RuleOutcome::Restored,
    RuleOutcome::Held,
    RuleOutcome::Contested,
    RuleOutcome::Failed,
];

fn bytes(report: &Report) -> usize {
    serde_json::to_vec(report).map_or(0, |text| text.len())
}

impl Report {
    /// The report, or what fits of it, with `cut` saying what does not. Counts and metrics are made of the whole one.
    pub fn capped(&self) -> Cow<'_, Self> {
        if bytes(self) <= REPORT_BYTES_MAX {
            return Cow::Borrowed(self);
        }
        let mut report = self.clone();
        let mut cut = vec![format!("texts of more than {TEXT_MAX} characters")];
        report.shorten_texts();
        report.shorten_lists(&mut cut);
        // The line about what is cut is not there yet, and a line less may be needed than is counted.
        let most = REPORT_BYTES_MAX - 2 * TEXT_MAX;
        for outcome in EXPENDABLE {
            let mut size = bytes(&report);
            let before = report.rules.len();
            for place in (0..before).rev() {
                if size > most && report.rules[place].outcome == outcome {
                    let line = report.rules.remove(place);
                    size -= serde_json::to_vec(&line).map_or(0, |text| text.len());
                }
            }
            let gone = before - report.rules.len();
            if gone > 0 {
                cut.push(format!("{gone} rules that are {}", outcome.name()));
            }
        }
        report.cut = Some(format!("left out for want of room: {}", cut.join(", ")));
        Cow::Owned(report)
    }

    fn shorten_texts(&mut self) {
        let trigger = &mut self.trigger;
        let of_trigger = [
            &mut trigger.event_id,
            &mut trigger.event_name,
            &mut trigger.principal,
            &mut trigger.session,
            &mut trigger.source_ip,
            &mut trigger.user_agent,
            &mut trigger.access_key_id,
        ];
        let lists = [&mut self.warnings, &mut self.notices, &mut self.unexpected];
        let lines = self.rules.iter_mut();
        let lines = lines.flat_map(|line| [&mut line.reason, &mut line.error_code]);
        let changes = self.changes.iter_mut();
        let changes = changes.flat_map(|change| [&mut change.author, &mut change.reason]);
        let texts = of_trigger.into_iter().chain(lines).flatten();
        let texts = texts.chain(lists.into_iter().flatten()).chain(changes);
        for text in texts
            .chain([&mut self.reason])
            .chain(&mut self.name)
            .chain(&mut self.owner)
        {
            if let Cow::Owned(short) = shortened(text, TEXT_MAX) {
                *text = short;
            }
        }
    }

    fn shorten_lists(&mut self, cut: &mut Vec<String>) {
        fn shorten<T>(name: &str, list: &mut Vec<T>, cut: &mut Vec<String>) {
            if let Some(gone) = list.len().checked_sub(LIST_MAX).filter(|gone| *gone > 0) {
                list.truncate(LIST_MAX);
                cut.push(format!("{gone} of {name}"));
            }
        }
        shorten("unexpected", &mut self.unexpected, cut);
        shorten("warnings", &mut self.warnings, cut);
        shorten("notices", &mut self.notices, cut);
        shorten("reopened", &mut self.reopened, cut);
        shorten("pending", &mut self.pending, cut);
        shorten("unrestorable", &mut self.unrestorable, cut);
        for change in &mut self.changes {
            shorten("added rules", &mut change.added, cut);
            shorten("removed rules", &mut change.removed, cut);
        }
        shorten("changes", &mut self.changes, cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Trigger;
    use crate::fakes::{group, key};
    use crate::report::{GroupOutcome, RuleReport};

    #[test]
    fn a_report_that_fits_stays_and_one_that_does_not_keeps_what_failed_and_says_what_is_gone() {
        let mut report = Report::bare(
            Trigger::default(),
            Some(group()),
            GroupOutcome::Partial,
            "r".to_owned(),
        );
        let line = |n: usize| {
            let rule = key(&format!("tcp {n} from 10.0.0.0/8"));
            match n % 10 {
                0 => RuleReport::new(rule, RuleOutcome::Failed).because("x".repeat(5_000)),
                1..=4 => RuleReport::new(rule, RuleOutcome::AlreadyPresent).because("live"),
                _ => RuleReport::new(rule, RuleOutcome::Superseded).because("y".repeat(250)),
            }
        };
        report.rules = (1..10).map(line).collect();
        assert!(matches!(report.capped(), Cow::Borrowed(_)));
        report.rules = (0..1_000).map(line).collect();
        report.unexpected = (0..2_000).map(|n| format!("tcp {n} from ::/0")).collect();
        report.trigger.event_id = Some("z".repeat(300_000));
        let capped = report.capped();
        assert!(bytes(&capped) <= REPORT_BYTES_MAX, "{}", bytes(&capped));
        let of = |outcome| (report.count(outcome), capped.count(outcome));
        assert_eq!(of(RuleOutcome::Failed), (100, 100));
        assert_eq!(of(RuleOutcome::AlreadyPresent), (400, 0));
        let (all, left) = of(RuleOutcome::Superseded);
        assert!(left > 50 && left < all, "{left} of {all}");
        let cut = capped.cut.as_deref().unwrap_or_default();
        for part in [
            "texts of more than 300 characters",
            "1950 of unexpected",
            "400 rules that are already_present",
            &format!("{} rules that are superseded", all - left),
        ] {
            assert!(cut.contains(part), "{part} is not in {cut}");
        }
    }
}
