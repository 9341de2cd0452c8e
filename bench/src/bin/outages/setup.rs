//! The stack of one replay, and the groups in it.

use std::path::Path;
use std::time::Duration;

use rulekeeper_bench::journal::is_function;
use rulekeeper_bench::{Result, stack};
use rulekeeper_local::{Ec2, Latency, Stack};
use serde_json::{Value, json};

use crate::rules::Described;

/// How long each EC2 call of any principal takes; our choice. On loopback a call takes a few milliseconds, and the measured
/// times would be better than real ones.
pub(crate) const EC2_CALL: Duration = Duration::from_millis(100);

/// Without rulekeeper or with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Without,
    /// With it, and this delay from a call until the function gets the event.
    With(Duration),
    /// The same, and the group is watched.
    Watched(Duration),
}

impl Mode {
    /// The delay of events, where there is rulekeeper.
    pub(crate) fn delay(self) -> Option<Duration> {
        match self {
            Self::Without => None,
            Self::With(delay) | Self::Watched(delay) => Some(delay),
        }
    }
}

/// How often a watched group is read, in seconds.
pub(crate) const WATCH_SECONDS: u64 = 2;

/// How long a run of the watch may last: longer than any replay.
const WATCH_MAX: Duration = Duration::from_secs(900);

/// The stack of one replay.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) stack: Stack,
    pub(crate) mode: Mode,
    vpc: String,
}

/// The request id of the run that watches, if one does.
pub(crate) type WatchRun = Option<String>;

/// A principal of the record: a pattern of its role's name, and the policy.
pub(crate) type Principal = (&'static str, &'static str);

impl Setup {
    /// A stack with a VPC and nothing else.
    pub(crate) fn start(mode: Mode, function: &Path) -> Result<Self> {
        let function = (mode != Mode::Without).then(|| function.to_path_buf());
        let mut config = stack::config(function);
        config.delivery.event_names.clear();
        if let Mode::Watched(_) = mode {
            config.lambda.timeout = WATCH_MAX;
        }
        let stack = Stack::start(config)?;
        let vpc = stack.cloud().ec2().quietly().create_vpc("10.0.0.0/16")?;
        Ok(Self { stack, mode, vpc })
    }

    /// EC2 without events, for what is not part of the story.
    fn ec2(&self) -> Ec2 {
        self.stack.cloud().ec2().quietly()
    }

    /// Makes a group with rules, and returns its id.
    pub(crate) fn group(&self, name: &str, rules: &Described) -> Result<String> {
        let group = self.ec2().create_group(name, &self.vpc)?;
        for (rule, description) in rules {
            let rule = rule.to_string();
            self.ec2()
                .authorize_described(&group, &rule, description, &[])?;
        }
        Ok(group)
    }

    /// The id of a deleted group.
    pub(crate) fn deleted_group(&self) -> Result<String> {
        let group = self.group("deleted", &Described::new())?;
        self.ec2().delete_group(&group)?;
        Ok(group)
    }

    /// Starts the story: pins the group and delivers events, if the mode is with rulekeeper. From now on calls are counted
    /// and take their time.
    pub(crate) fn begin(&self, group: &str, principals: &[Principal]) -> Result<WatchRun> {
        let mut run = None;
        if let Some(delay) = self.mode.delay() {
            self.pin(group, principals)?;
            let delay_ms = u64::try_from(delay.as_millis())?;
            self.stack.bridge().adjust(|delivery| {
                // As the rule in template.yaml. That rule leaves out refused revokes; no story has one.
                delivery.event_names = [
                    "RevokeSecurityGroupIngress",
                    "ModifySecurityGroupRules",
                    "UpdateSecurityGroupRuleDescriptionsIngress",
                    "AuthorizeSecurityGroupIngress",
                    "DeleteSecurityGroup",
                ]
                .map(str::to_owned)
                .into();
                delivery.delay_ms = delay_ms;
            });
        }
        if let Mode::Watched(_) = self.mode {
            let request = json!({"watch": {"every_seconds": WATCH_SECONDS}});
            run = Some(self.stack.lambda().invoke_event(request));
            self.wait_for_first_look()?;
        }
        let latency = Latency {
            fixed_ms: u64::try_from(EC2_CALL.as_millis())?,
            jitter_ms: 0,
        };
        self.stack.cloud().adjust(|dials| {
            for action in [
                "DescribeSecurityGroups",
                "DescribeSecurityGroupRules",
                "AuthorizeSecurityGroupIngress",
                "RevokeSecurityGroupIngress",
                "ModifySecurityGroupRules",
                "DeleteSecurityGroup",
            ] {
                dials.latency.insert(action.to_owned(), latency);
            }
        });
        self.stack.cloud().clear_calls();
        Ok(run)
    }

    fn wait_for_first_look(&self) -> Result<()> {
        for _ in 0..500 {
            let calls = self.stack.cloud().calls();
            let is_look = |call: &rulekeeper_local::Call| {
                call.action == "DescribeSecurityGroups" && is_function(&call.principal)
            };
            if calls.iter().any(is_look) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("the watch does not begin".into())
    }

    /// Records the live rules of a group, with principals.
    fn pin(&self, group: &str, principals: &[Principal]) -> Result<()> {
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
        if let Mode::Watched(_) = self.mode {
            record["watch"] = true.into();
        }
        rulekeeper(&["apply", "-f", "-"], &record.to_string())?;
        Ok(())
    }
}
