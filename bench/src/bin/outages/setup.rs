//! The setup of one replay: a cloud of its own, and the groups in it.

use std::path::PathBuf;
use std::time::Duration;

use rulekeeper_bench::{Result, stack};
use rulekeeper_local::{Ec2, Latency, Stack};
use serde_json::{Value, json};

use crate::rules::Described;

/// How long each EC2 call takes, whoever makes it: a number of ours. On loopback they would take a few milliseconds, and
/// figures would look better than they are.
pub(crate) const EC2_CALL: Duration = Duration::from_millis(100);

/// Who keeps the rules in a replay of a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Without,
    /// rulekeeper does, and is told after so long.
    With(Duration),
}

/// Where a replay takes place.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) stack: Stack,
    pub(crate) mode: Mode,
    vpc: String,
}

/// A principal of the record: the pattern of its role's name, and the policy.
pub(crate) type Principal = (&'static str, &'static str);

impl Setup {
    /// A cloud with nothing in it but a VPC.
    pub(crate) fn start(mode: Mode, function: PathBuf) -> Result<Self> {
        let stack = stack::start_without_events((mode != Mode::Without).then_some(function))?;
        let vpc = stack.cloud().ec2().quietly().create_vpc("10.0.0.0/16")?;
        Ok(Self { stack, mode, vpc })
    }

    /// EC2 in process, for what is not part of the story; without events.
    pub(crate) fn ec2(&self) -> Ec2 {
        self.stack.cloud().ec2().quietly()
    }

    /// Makes a group with rules in it, and returns its id.
    pub(crate) fn group(&self, name: &str, rules: &Described) -> Result<String> {
        let group = self.ec2().create_group(name, &self.vpc)?;
        for (rule, description) in rules {
            let rule = rule.to_string();
            self.ec2()
                .authorize_described(&group, &rule, description, &[])?;
        }
        Ok(group)
    }

    /// The id of a group that was deleted.
    pub(crate) fn deleted_group(&self) -> Result<String> {
        let group = self.group("deleted", &Described::new())?;
        self.ec2().delete_group(&group)?;
        Ok(group)
    }

    /// Makes the live rules of a group its record, with principals, and lets events travel from now on, if somebody keeps
    /// the rules at all. From here on calls count, and take their time.
    pub(crate) fn open(&self, group: &str, principals: &[Principal]) -> Result<()> {
        if let Mode::With(delay) = self.mode {
            let rulekeeper = |arguments: &[&str], input: &str| {
                let arguments = [arguments, &["--output", "json"]].concat();
                stack::run_cli(&self.stack, &arguments, input, 0)
            };
            rulekeeper(&["pin", group], "")?;
            let exported = rulekeeper(&["export", group, "--format", "json"], "")?;
            let mut record: Value = serde_json::from_str(&exported)?;
            let account = self.stack.cloud().account();
            let principals = principals.iter().map(|(role, policy)| {
                json!({ "arn": format!("arn:aws:iam::{account}:role/{role}"), "policy": policy })
            });
            record["principals"] = principals.collect();
            rulekeeper(&["apply", "-f", "-"], &record.to_string())?;
            let delay_ms = u64::try_from(delay.as_millis())?;
            self.stack.bridge().adjust(|delivery| {
                // What the event rule of template.yaml lets through, refused calls included: nobody here is refused a
                // revoke.
                delivery.event_names = [
                    "RevokeSecurityGroupIngress",
                    "ModifySecurityGroupRules",
                    "DeleteSecurityGroup",
                    "AuthorizeSecurityGroupIngress",
                ]
                .map(str::to_owned)
                .into();
                delivery.delay_ms = delay_ms;
            });
        }
        let fixed_ms = u64::try_from(EC2_CALL.as_millis())?;
        self.stack.cloud().adjust(|dials| {
            for action in [
                "DescribeSecurityGroups",
                "DescribeSecurityGroupRules",
                "AuthorizeSecurityGroupIngress",
                "RevokeSecurityGroupIngress",
            ] {
                let jitter_ms = 0;
                let latency = Latency {
                    fixed_ms,
                    jitter_ms,
                };
                dials.latency.insert(action.to_owned(), latency);
            }
        });
        self.stack.cloud().clear_calls();
        Ok(())
    }
}
