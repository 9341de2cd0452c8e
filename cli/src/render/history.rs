//! Generations.

use rulekeeper_cli::operator::{Generation, History};

use super::{difference, plain};

/// Every generation, a paragraph each.
pub(crate) fn history(history: &History) -> String {
    if history.generations.is_empty() {
        return "there are no settings, and there have been none\n".to_owned();
    }
    let paragraphs = history.generations.iter().map(generation);
    paragraphs.collect::<Vec<_>>().join("\n")
}

fn generation(generation: &Generation) -> String {
    let mark = match (generation.current, generation.unpinned) {
        (true, _) => "  (current)",
        (_, true) => "  (record taken out)",
        _ => "",
    };
    let at = generation.updated_at.map(|at| format!("  {at}"));
    let by = generation.updated_by.as_ref();
    let by = by.map(|by| format!("  {}", plain(by)));
    let reason = generation.reason.as_ref();
    let reason = reason.map(|reason| format!("  {}\n", plain(reason)));
    let content = match &generation.unreadable {
        Some(fault) => format!("  cannot be understood: {}\n", plain(fault)),
        None => difference(&generation.difference, "    "),
    };
    format!(
        "generation {}{}{}{mark}\n{}{content}",
        generation.generation,
        at.unwrap_or_default(),
        by.unwrap_or_default(),
        reason.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use rulekeeper_cli::operator::Difference;

    use super::*;

    #[test]
    fn each_generation_says_who_when_why_and_what() {
        let rule = |text: &str| text.parse().expect("rule notation");
        let shown = History {
            group: None,
            generations: vec![
                Generation {
                    generation: 3,
                    updated_at: Some("2026-11-22T09:30:00Z".parse().expect("a time")),
                    updated_by: Some("arn:aws:iam::111122223333:user/maria".to_owned()),
                    reason: Some("released: not used".to_owned()),
                    current: true,
                    difference: Difference {
                        removed: vec![rule("tcp 80 from 10.0.0.0/8")],
                        ..Difference::default()
                    },
                    ..Generation::default()
                },
                Generation {
                    generation: 2,
                    unreadable: Some("rules: is not a list".to_owned()),
                    ..Generation::default()
                },
            ],
        };
        let expected = "\
generation 3  2026-11-22T09:30:00Z  arn:aws:iam::111122223333:user/maria  (current)
  released: not used
    - tcp 80 from 10.0.0.0/8

generation 2
  cannot be understood: rules: is not a list
";
        assert_eq!(history(&shown), expected);
    }
}
