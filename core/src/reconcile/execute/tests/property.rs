//! Any mixture of faults.

use proptest::prelude::*;

use super::*;

/// The fault of a rule in the property below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Rival,
    MissingGroup,
    MissingList,
    Malformed,
    Unknown,
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        8 => Just(Fault::None),
        1 => Just(Fault::Rival),
        1 => Just(Fault::MissingGroup),
        1 => Just(Fault::MissingList),
        1 => Just(Fault::Malformed),
        1 => Just(Fault::Unknown),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn each_rule_ends_as_its_own_faults_say_whatever_the_others_are(
        faults in prop::collection::vec((any_fault(), 0usize..3), 1..40),
        stale in 0usize..3,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
            .expect("a runtime");
        runtime.block_on(async {
            let ec2 = FakeEc2::new(&[]);
            let rule = |(index, (fault, tag)): (usize, &(Fault, usize))| {
                let source = match fault {
                    Fault::MissingGroup => "sg-0bad".to_owned(),
                    Fault::MissingList => "pl-0bad".to_owned(),
                    _ => "10.0.0.0/8".to_owned(),
                };
                (format!("tcp {} from {source} #tag{tag}", index + 1), *fault)
            };
            let rules: Vec<(String, Fault)> = faults.iter().enumerate().map(rule).collect();
            for (text, fault) in &rules {
                let key = key(text.split(" #").next().expect("a rule"));
                match fault {
                    Fault::Rival => ec2.state().rival.push(key),
                    Fault::Malformed => drop(ec2.state().bad_rules.insert(key, "InvalidPermission.Malformed")),
                    Fault::Unknown => drop(ec2.state().bad_rules.insert(key, "Odd.Weather")),
                    _ => {}
                }
            }
            ec2.state().stale_reads = std::iter::repeat_n(Vec::new(), stale).collect();
            let texts: Vec<&str> = rules.iter().map(|(text, _)| text.as_str()).collect();
            let record = record(&texts);
            let missing = MissingReferences::default();
            let execution = run_with(&ec2, &record, Duration::from_secs(900), &missing).await;
            for (text, fault) in &rules {
                let line = &execution.reports[&key(text.split(" #").next().expect("a rule"))];
                let expected = match fault {
                    Fault::None => RuleOutcome::Restored,
                    Fault::Rival => RuleOutcome::RestoredElsewhere,
                    _ => RuleOutcome::Failed,
                };
                assert_eq!(line.outcome, expected, "{text}: {line:?}");
            }
            // Every authorized rule is in the record, and no call lists a rule twice.
            for batch in &ec2.state().asked {
                let distinct: BTreeSet<&String> = batch.iter().collect();
                assert_eq!(distinct.len(), batch.len());
                assert!(batch.iter().all(|rule| record.rules.contains_key(&key(rule))));
            }
        });
    }
}
