//! The templates against the code and against each other. `pipeline/privileges.rs` judges the roles' policies.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rulekeeper_core::event::{Intent, Trigger, WatchRequest, intent};
use rulekeeper_core::function::{Answer, Payload};
use rulekeeper_core::model::GroupAddress;
use rulekeeper_core::report::{GroupOutcome, Report};
use serde_json::json;

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The operations that an adapter names; each names them once, as a constant beside the call.
fn operations(path: &str, service: &str) -> BTreeSet<String> {
    let text = source(path);
    let named = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("const OPERATION: &str = \""));
    named
        .map(|rest| format!("{service}:{}", rest.trim_end_matches("\";")))
        .collect()
}

/// Every action that the template allows, in order.
fn allowed() -> Vec<String> {
    actions(&source("template.yaml"))
}

/// Values of `Action`, on its line or in the list below it.
fn actions(text: &str) -> Vec<String> {
    let is_action = |word: &str| {
        let (service, action) = word.split_once(':').unwrap_or_default();
        let service_is_a_name = !service.is_empty()
            && service
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'*');
        service_is_a_name
            && action.starts_with(|c: char| c.is_ascii_uppercase() || c == '*')
            && action
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'*')
    };
    let word = |line: &str| {
        let line = line.trim().trim_start_matches("- ");
        line.strip_prefix("Action:")
            .unwrap_or(line)
            .trim()
            .trim_matches(['"', '\''])
            .to_owned()
    };
    text.lines()
        .map(word)
        .filter(|word| is_action(word))
        .collect()
}

#[test]
fn no_action_can_take_a_rule_away_and_none_is_a_wildcard() {
    let allowed = allowed();
    assert!(allowed.len() > 10, "{allowed:?}");
    let of_members = actions(&source("template-member.yaml"));
    assert!(of_members.len() > 5, "{of_members:?}");
    for action in allowed.into_iter().chain(of_members) {
        assert!(!action.contains('*'), "{action}");
        for verb in [
            "Revoke",
            "Modify",
            "Delete",
            "Update",
            "Detach",
            "Disassociate",
        ] {
            let taken = action.starts_with("ec2:") && action.contains(verb);
            assert!(!taken, "{action}");
        }
    }
}

#[test]
fn member_accounts_hand_over_the_same_events() {
    let (hub, member) = (source("template.yaml"), source("template-member.yaml"));
    let pattern = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim);
        let lines = lines.skip_while(|line| *line != "source: [aws.ec2]");
        let of_pattern = lines.take_while(|line| !line.ends_with("Policy:") && *line != "Targets:");
        of_pattern.map(str::to_owned).collect()
    };
    assert_eq!(pattern(&member), pattern(&hub));
    assert_eq!(pattern(&hub).len(), 8, "{:#?}", pattern(&hub));
}

#[test]
fn members_hand_over_calls_of_ec2_only() {
    let bus = resource("MembersHandOver");
    assert_eq!(values(&bus, "aws:PrincipalOrgID"), ["!Ref OrganizationId"]);
    assert_eq!(values(&bus, "events:source"), ["aws.ec2"]);
    let detail_type = values(&bus, "events:detail-type");
    // A member's rule hands over what the pattern in both templates takes, and that must be allowed.
    assert_eq!(detail_type, ["AWS API Call via CloudTrail"]);
    let member = source("template-member.yaml");
    assert!(member.contains("source: [aws.ec2]\n"));
    assert!(member.contains("detail-type: [AWS API Call via CloudTrail]\n"));
}

#[test]
fn what_members_cannot_hand_over_raises_an_alarm_and_no_region_is_guessed_for_the_role() {
    let member = source("template-member.yaml");
    let alarm = block(
        &block(&member, "Resources", 0),
        "ForwardDeadLettersAlarm",
        2,
    );
    assert!(
        alarm.contains("!GetAtt ForwardDeadLetters.QueueName"),
        "{alarm}"
    );
    assert!(alarm.contains("[!Ref AlarmTopicArn]"), "{alarm}");
    let region = block(&block(&member, "Parameters", 0), "RoleRegion", 2);
    assert_eq!(values(&region, "Default"), [""; 0]);
    let pattern = values(&region, "AllowedPattern");
    assert_eq!(pattern, ["^[a-z]{2,4}(-[a-z]+)+-[0-9]+$"]);
}

#[test]
fn a_stack_says_who_reads_its_alarms_and_notices() {
    let outputs = block(&source("template.yaml"), "Outputs", 0);
    for (reader, condition) in [
        ("AlarmReader", "HasAlarmEmail"),
        ("NoticeReader", "HasNoticeEmail"),
    ] {
        let output = block(&outputs, reader, 2);
        let value = values(&output, "Value");
        assert!(
            value[0].starts_with(&format!("!If [{condition}, ")),
            "{output}"
        );
        assert!(value[0].contains("nobody: subscribe to"), "{output}");
    }
    let topics = values(&resource("Function"), "RULEKEEPER_TOPICS").concat();
    assert_eq!(topics, r#"!Sub "${AlarmTopic} ${NoticesTopic}""#);
    let doctor = source("cli/src/doctor/cloud/function.rs");
    assert!(doctor.contains("\"RULEKEEPER_TOPICS\""));
}

#[test]
fn the_adapter_calls_nothing_that_takes_a_rule_away() {
    let adapter = source("src/aws/ec2.rs");
    for call in ["revoke_", "modify_", "delete_", "update_", "disassociate_"] {
        assert!(!adapter.contains(&format!(".{call}")), "{call}");
    }
}

#[test]
fn what_the_doctor_tries_changes_nothing() {
    let tries = source("src/aws/permissions.rs");
    // Each call that could change something is made in one place, with what keeps it from doing so.
    for (call, guard) in [
        (
            ".authorize_security_group_ingress()\n            .dry_run(true)",
            "AuthorizeSecurityGroupIngress",
        ),
        (".condition_expression(NEVER)", "PutItem"),
        (".condition_expression(NEVER)", "UpdateItem"),
    ] {
        assert!(tries.contains(call), "{guard}: {call}");
    }
    let count = |call: &str| tries.matches(call).count();
    assert_eq!(count(".authorize_security_group_ingress()"), 1);
    assert_eq!(
        count(".put_item()") + count(".update_item()"),
        count(".condition_expression(NEVER)")
    );
    assert_eq!(count(".dry_run("), count(".dry_run(true)"));
    for call in ["revoke_", "modify_", "delete_", "transact_", "batch_write"] {
        assert!(!tries.contains(&format!(".{call}")), "{call}");
    }
}

/// The lines below a name at this depth, up to the next name at it.
fn block(text: &str, name: &str, depth: usize) -> String {
    let indent = " ".repeat(depth);
    let head = format!("{indent}{name}:");
    let mut lines = text.lines().skip_while(|line| *line != head);
    assert!(lines.next().is_some(), "{name} is in the template");
    let deeper = format!("{indent} ");
    let belongs = |line: &&str| line.is_empty() || line.starts_with(&deeper);
    lines.take_while(belongs).collect::<Vec<_>>().join("\n")
}

fn resource(name: &str) -> String {
    block(&block(&source("template.yaml"), "Resources", 0), name, 2)
}

/// The resources of a type, by name.
fn resources(kind: &str) -> Vec<(String, String)> {
    let all = block(&source("template.yaml"), "Resources", 0);
    let names = all
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
        .filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric()));
    let of_kind = format!("    Type: {kind}");
    names
        .map(|name| (name.to_owned(), block(&all, name, 2)))
        .filter(|(_, lines)| lines.lines().any(|line| line == of_kind))
        .collect()
}

/// The values of a key, on its line.
fn values<'a>(lines: &'a str, key: &str) -> Vec<&'a str> {
    let value = |line: &'a str| line.trim().strip_prefix(key)?.strip_prefix(": ");
    lines.lines().filter_map(value).collect()
}

/// What stands between quotes, in order.
fn quoted(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

/// Whether the code writes a metric of this name. The code before its tests counts.
fn is_written(metric: &str) -> bool {
    let metrics = source("core/src/function/metrics.rs");
    let code = metrics.split("#[cfg(test)]").next().unwrap_or_default();
    quoted(code).contains(&metric)
}

#[test]
fn alarms_watch_metrics_that_are_written() {
    let namespace = format!("\"{}\"", rulekeeper_core::function::metrics::NAMESPACE);
    assert!(source("core/src/function/metrics.rs").contains(&namespace));
    let alarms = resources("AWS::CloudWatch::Alarm");
    assert!(alarms.len() > 10, "{alarms:?}");
    let (mut own, mut named) = (BTreeSet::new(), BTreeSet::new());
    for (name, alarm) in &alarms {
        let ([space], [metric]) = (
            &values(alarm, "Namespace")[..],
            &values(alarm, "MetricName")[..],
        ) else {
            panic!("{name} has one metric: {alarm}")
        };
        if *space == rulekeeper_core::function::metrics::NAMESPACE {
            assert!(is_written(metric), "{name} watches {metric}");
            assert!(!alarm.contains("Dimensions"), "{name} has dimensions");
            own.insert((*metric).to_owned());
        } else {
            assert!(alarm.contains("Dimensions"), "{name} has no dimensions");
        }
        assert!(
            alarm.contains("AlarmActions: [!Ref AlarmTopic]"),
            "{name} tells nobody"
        );
        // What may not be deployed cannot be named there.
        if !alarm.contains("Condition: Watches") {
            named.insert(format!("${{{name}.Arn}}"));
        }
    }
    for metric in [
        "RulesFailed",
        "RulesContested",
        "RulesReopened",
        "RulesUnrestorable",
        "RecordsUnreadable",
        "GroupsUnread",
        "SweptGroups",
    ] {
        assert!(own.contains(metric), "{metric} raises no alarm");
    }
    let dashboard = resource("Dashboard");
    for alarm in named {
        assert!(
            dashboard.contains(&alarm),
            "{alarm} is not on the dashboard"
        );
    }
}

/// The two functions are one program with one configuration, but for what only the one that gets events needs.
#[test]
fn the_watch_is_the_same_function_and_its_calls_are_known() {
    let (function, watch) = (resource("Function"), resource("WatchFunction"));
    let variables = |lines: &str| {
        let variables = block(lines, "Variables", 8);
        let lines = variables.lines().map(|line| line.trim().to_owned());
        lines
            .filter(|line| line.starts_with("RULEKEEPER_"))
            .collect::<BTreeSet<_>>()
    };
    let missing = &variables(&function) - &variables(&watch);
    let names: Vec<&str> = missing
        .iter()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(names, ["RULEKEEPER_TOPICS", "RULEKEEPER_WATCH_FUNCTION"]);
    let name = values(&watch, "FunctionName")[0];
    assert!(
        function
            .contains("RULEKEEPER_WATCH_FUNCTION: !If [Watches, !Sub \"${AWS::StackName}-watch\"")
    );
    assert_eq!(name, "!Sub ${AWS::StackName}-watch");
    for key in [
        "CodeUri",
        "Handler",
        "Runtime",
        "Architectures",
        "Role",
        "BuildMethod",
        "Binary",
    ] {
        assert_eq!(values(&function, key), values(&watch, key), "{key}");
    }
    assert!(watch.contains("Condition: Watches"));
    let input = quoted_once(values(&watch, "Input")[0]);
    let request = input.replace("${WatchSeconds}", "2");
    let request = serde_json::from_str(&request).expect("JSON");
    let every_2_s = WatchRequest { every_seconds: 2 };
    assert_eq!(intent(&request), Intent::Watch(every_2_s));
}

/// Lambda hands the answer on as `responsePayload`.
#[test]
fn what_the_rule_for_chat_takes_out_is_in_every_answer_that_is_news() {
    let rule = resource("ChatNoticesRule");
    assert_eq!(
        values(&rule, "InputPath"),
        ["$.detail.responsePayload.chat"]
    );
    assert!(
        rule.contains("chat:\n              version: [\"1.0\"]"),
        "{rule}"
    );
    let answered = |outcome| {
        let group: GroupAddress = serde_json::from_value(json!({
            "account": "111122223333", "region": "eu-west-1", "id": "sg-0123456789abcdef0",
        }))
        .expect("an address");
        let report = Report::bare(Trigger::default(), Some(group), outcome, "why".to_owned());
        json!(Payload::from(Answer::Group(Box::new(report.into()))))
    };
    let news = answered(GroupOutcome::Restored);
    assert_eq!(news["chat"]["version"], "1.0");
    assert_eq!(
        (&news["outcome"], &news["reason"]),
        (&json!("restored"), &json!("why"))
    );
    assert_eq!(answered(GroupOutcome::Converged).get("chat"), None);
}

#[test]
fn a_key_of_the_customer_encrypts_all_that_keeps_something_and_is_used_through_its_services_only() {
    let key = "!If [HasKmsKey, !Ref KmsKeyArn, !Ref \"AWS::NoValue\"]";
    for (kind, count, property) in [
        ("AWS::DynamoDB::Table", 1, "KMSMasterKeyId"),
        ("AWS::SQS::Queue", 3, "KmsMasterKeyId"),
        ("AWS::SNS::Topic", 3, "KmsMasterKeyId"),
        ("AWS::Logs::LogGroup", 1, "KmsKeyId"),
    ] {
        let of_kind = resources(kind);
        assert_eq!(of_kind.len(), count, "{of_kind:?}");
        for (name, lines) in of_kind {
            assert_eq!(values(&lines, property), [key], "{name}");
        }
    }
    let role = resource("FunctionRole");
    let statement = role.split("- Sid: UseKey").nth(1).expect("a statement");
    let lines = statement.lines().map(str::trim).skip(1);
    let lines: Vec<&str> = lines.take(9).collect();
    assert_eq!(
        lines,
        [
            "Effect: Allow",
            "Action:",
            "- kms:Decrypt",
            "- kms:GenerateDataKey",
            "Resource: !Ref KmsKeyArn",
            "Condition:",
            "StringLike:",
            "kms:ViaService:",
            "- !Sub dynamodb.${AWS::Region}.*",
        ]
    );
    assert_eq!(role.matches("kms:").count(), 3);
}

#[test]
fn every_role_takes_the_permissions_boundary() {
    let boundary =
        "!If [HasPermissionsBoundary, !Ref PermissionsBoundaryArn, !Ref \"AWS::NoValue\"]";
    for (template, roles) in [("template.yaml", 1), ("template-member.yaml", 2)] {
        let text = source(template);
        assert_eq!(text.matches("    Type: AWS::IAM::Role\n").count(), roles);
        let boundaries = values(&text, "PermissionsBoundary");
        assert_eq!(boundaries, vec![boundary; roles], "{template}");
    }
}

/// What stands between single quotes.
fn quoted_once(text: &str) -> &str {
    text.split('\'').nth(1).unwrap_or_default()
}

#[test]
fn the_dashboard_draws_what_is_written_and_is_json() {
    let dashboard = resource("Dashboard");
    let body = dashboard
        .split("DashboardBody: !Sub |")
        .nth(1)
        .expect("a body");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let widgets = body["widgets"].as_array().expect("widgets");
    let metrics = widgets
        .iter()
        .filter_map(|widget| widget["properties"]["metrics"].as_array())
        .flatten();
    let drawn: BTreeSet<(&str, &str)> = metrics
        .filter(|metric| metric[0] == rulekeeper_core::function::metrics::NAMESPACE)
        .map(|metric| {
            let stat = metric[2]["stat"].as_str().expect("a statistic");
            (metric[1].as_str().expect("a name"), stat)
        })
        .collect();
    for (metric, _) in &drawn {
        assert!(is_written(metric), "nothing writes {metric}");
    }
    for wanted in [
        ("DriftOpenMs", "p50"),
        ("DriftOpenMs", "p99"),
        ("RulesRestored", "Sum"),
        ("RulesFailed", "Sum"),
    ] {
        assert!(drawn.contains(&wanted), "{wanted:?} is not drawn");
    }

    let queries: String = widgets
        .iter()
        .filter_map(|widget| widget["properties"]["query"].as_str())
        .collect();
    let counted: BTreeSet<&str> = queries
        .split("sum(report.calls.")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .collect();
    let called: BTreeSet<String> = operations("src/aws/ec2.rs", "")
        .into_iter()
        .chain(operations("src/aws/dynamodb.rs", ""))
        .chain(operations("src/aws/transaction.rs", ""))
        .collect();
    let called: BTreeSet<&str> = called.iter().map(|call| &call[1..]).collect();
    assert_eq!(counted, called);
}

#[test]
fn notices_are_of_outcomes_and_fields_that_reports_have() {
    let reports = source("core/src/report/mod.rs") + &source("core/src/report/sweep.rs");
    let outcomes = reports
        .split("impl GroupOutcome")
        .nth(1)
        .and_then(|rest| rest.split("\n}").next())
        .map(quoted)
        .expect("the names of outcomes");
    let event = source("core/src/event/mod.rs");
    for rule in ["EventNoticesRule", "SweepNoticesRule"] {
        let rule = resource(rule);
        let named: Vec<&str> = rule
            .split("outcome: [")
            .skip(1)
            .filter_map(|rest| rest.split(']').next())
            .flat_map(|list| list.split(", "))
            .collect();
        assert!(named.contains(&"restored"), "{named:?}");
        for outcome in named {
            assert!(outcomes.contains(&outcome), "no report is {outcome}");
        }
        for path in rule
            .split("$.detail.responsePayload.")
            .skip(1)
            .filter_map(|rest| rest.lines().next())
        {
            for field in path.split('.') {
                let field = field.trim_end_matches("[0]");
                // Fields of a group's address have names of their own in the answer.
                let known = ["account", "region", "id"].contains(&field)
                    || [&reports, &event]
                        .iter()
                        .any(|text| text.contains(&format!("pub {field}: ")));
                assert!(known, "{path}: no field is {field}");
            }
        }
        for field in ["notices", "changes", "removed"] {
            assert!(rule.contains(&format!("{field}: ")), "{field}");
            assert!(reports.contains(&format!("pub {field}: ")), "{field}");
        }
        // Every variable has a path, and every path is used.
        let paths = block(&rule, "InputPathsMap", 12);
        let paths: BTreeSet<&str> = paths
            .lines()
            .filter_map(|line| line.trim().split(": $.").next())
            .collect();
        let template = rule.split("InputTemplate: !Sub |").nth(1).expect("lines");
        let used: BTreeSet<&str> = template
            .split('<')
            .skip(1)
            .filter_map(|rest| rest.split('>').next())
            .collect();
        assert_eq!(used, paths);
        // EventBridge takes text in several lines as one quoted string each.
        for line in template
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let text: Result<String, _> = serde_json::from_str(line);
            assert!(text.is_ok(), "{line}");
        }
    }
}

#[test]
fn the_function_hands_sweeps_over_to_the_queue_that_feeds_it() {
    let function = resource("Function");
    let queue = values(&function, "RULEKEEPER_SWEEP_QUEUE");
    assert_eq!(queue, ["!Ref SweepQueue"]);
    assert_eq!(values(&function, "Queue"), ["!GetAtt SweepQueue.Arn"]);
    // Without this a failed part would bring back its neighbours too.
    assert_eq!(
        values(&function, "FunctionResponseTypes"),
        ["[ReportBatchItemFailures]"]
    );
    let seconds = |text: &str, key: &str| {
        let value = values(text, key).first().and_then(|text| text.parse().ok());
        value.unwrap_or(0_u32)
    };
    // Lambda Developer Guide, "Using Lambda with Amazon SQS": six times the function's time.
    let hidden = seconds(&resource("SweepQueue"), "VisibilityTimeout");
    assert_eq!(hidden, 6 * seconds(&function, "Timeout"));
}

#[test]
fn every_skipped_check_says_why() {
    let template = source("template.yaml");
    let skips: Vec<&str> = template.split("- id: CKV").skip(1).collect();
    assert!(!skips.is_empty());
    for skip in skips {
        let comment = skip.lines().nth(1).unwrap_or_default().trim();
        let reason = comment.strip_prefix("comment: ").unwrap_or_default();
        assert!(reason.len() > 40, "{comment}");
    }
}
