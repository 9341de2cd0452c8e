//! What to say of recorded rules that guardrails forbid, or would.

use rulekeeper_core::decide::guardrail::{Entries, Guardrails};
use rulekeeper_core::desired::DesiredRecord;
use rulekeeper_core::reconcile::Forbidden;

/// What a person should know of a record before its rules are needed: those that guardrails forbid or, without guardrails,
/// those that open administration to the world. Entries of prefix lists are not looked up.
pub fn guardrail_remarks(never: &Guardrails, record: &DesiredRecord) -> Vec<String> {
    let rules = record.rules.keys();
    if never.is_empty() {
        let usual = Guardrails::usual();
        let open = usual.forbidden(rules, &Entries::new()).into_iter();
        let remarks = open.map(|(rule, guardrail)| {
            format!(
                "{rule} is open to the world: it allows {guardrail}, alone or with other rules of the record; without guardrails (NeverAuthorize) it comes back whenever it is dropped"
            )
        });
        return remarks.collect();
    }
    let forbidden = Forbidden::with(never, rules.clone(), &Entries::new());
    let forbidden = forbidden.iter();
    let lists = never.lists_to_read(rules).into_iter();
    let lists = lists.map(|list| {
        format!(
            "{list} counts by its entries, which were not looked at: `rulekeeper check` holds guardrails against them"
        )
    });
    forbidden
        .map(|(rule, reason)| format!("{rule} would not come back: {reason}"))
        .chain(lists)
        .collect()
}

#[cfg(test)]
mod tests {
    use rulekeeper_core::fakes::record;

    use super::*;

    fn remarks(never: &str, rules: &[&str]) -> Vec<String> {
        guardrail_remarks(&never.parse().expect("guardrails"), &record(rules))
    }

    #[test]
    fn without_guardrails_administration_from_the_world_is_remarked_on() {
        let rules = [
            "all from ::/0",
            "tcp 22 from 10.0.0.0/8",
            "tcp 443 from 0.0.0.0/0",
        ];
        let said = remarks("", &rules);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with("all from ::/0 is open to the world: it allows tcp 22 from ::/0")
        );
    }

    #[test]
    fn guardrails_are_remarked_on_alone_and_lists_are_left_to_a_check() {
        let rules = [
            "tcp 22 from 0.0.0.0/0",
            "tcp 80 from 0.0.0.0/0",
            "tcp 80 from pl-0a",
        ];
        let said = remarks("tcp 80 from 0.0.0.0/0", &rules);
        assert!(
            said[0].starts_with("tcp 80 from 0.0.0.0/0 would not come back"),
            "{said:?}"
        );
        assert!(
            said[1].starts_with("pl-0a counts by its entries") && said.len() == 2,
            "{said:?}"
        );
    }
}
