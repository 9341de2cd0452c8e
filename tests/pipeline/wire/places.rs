//! Where in the work a call is made: what is recorded, what is live, and what begins the work.

use std::collections::BTreeSet;
use std::time::Duration;

use rulekeeper_local::{Ec2, EventSource, Identity, Params, QueueConfig, StackConfig};
use serde_json::{Value, json};

use super::proxy::{Proxy, SERVICES};
use crate::support::{ACCOUNT, MotoTable, Scene, rule_json, sdk_config};

const OFFICE: &str = "tcp 443 from 10.0.0.0/8";
const WEB: &str = "tcp 80 from 10.0.0.0/8";
const NO_GROUP: &str = "tcp 80 from sg-0bad0bad0bad0bad0";
const NO_LIST: &str = "tcp 80 from pl-0bad0bad0bad0bad0";
const TABLE: &str = "rulekeeper";
const MEMBER: &str = "444455556666";

/// A place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A rule is revoked.
    Drop,
    /// The same, and another rule of the record names a group that is gone.
    GroupGone,
    /// The same with a prefix list.
    ListGone,
    /// The same, and a guardrail needs the list's entries.
    Guarded,
    /// A revoke names its group by name.
    ByName,
    /// A rule is lost without an event, and the schedule comes.
    Sweep,
    /// The same, in another account too.
    Members,
    /// A principal whose changes are accepted revokes a rule.
    Decision,
    /// Nobody knows who revoked a rule, and that matters.
    Waiting,
}

/// A scene that is set, and what the work is for.
pub(super) struct Set {
    place: Place,
    pub(super) scene: Scene,
    pub(super) proxy: Proxy,
    /// The groups that must have their rules in the end.
    kept: Vec<(Ec2, String)>,
    /// Their rules, sorted.
    goal: Vec<&'static str>,
    /// Everything that may be authorized.
    pub(super) recorded: BTreeSet<String>,
}

impl Place {
    pub(super) async fn set(self, limit: Duration, retries: usize) -> Set {
        let proxy = Proxy::start();
        let mut scene = Scene::with(|config| {
            configure(config, &proxy, limit, retries);
            if self == Self::Guarded {
                let never = "tcp 22 from 192.0.2.0/24".to_owned();
                let env = &mut config.lambda.env;
                env.insert("RULEKEEPER_NEVER".to_owned(), never);
            }
        })
        .await;
        let stack = scene.stack.endpoint();
        for service in SERVICES {
            proxy.lead(service, &stack);
        }
        // moto takes one call at a time, and here are many scenes at once.
        scene.table = MotoTable {
            client: aws_sdk_dynamodb::Client::new(&sdk_config(
                &scene.stack.endpoint(),
                "eu-west-1",
            )),
            name: TABLE.to_owned(),
        };
        let mut rules = vec![OFFICE, WEB];
        match self {
            Self::GroupGone => rules.push(NO_GROUP),
            Self::ListGone | Self::Guarded => rules.push(NO_LIST),
            _ => {}
        }
        let ec2 = scene.stack.cloud().ec2();
        let quiet = ec2.clone().quietly();
        if self == Self::ByName {
            let vpc = quiet.default_vpc().expect("there is one");
            scene.group = quiet.create_group("web", &vpc).expect("a group");
            // The answer would name the group's id.
            let cloud = scene.stack.cloud();
            cloud.adjust(|dials| dials.omit_revoked_rule_set = true);
        }
        let live = [OFFICE, WEB];
        quiet.authorize(&scene.group, &live).expect("good");
        let recorded: Vec<Value> = rules.iter().map(|rule| rule_json(rule)).collect();
        let mut record =
            json!({"schema": 1, "generation": 7, "mode": "enforce", "rules": recorded});
        let terraform = format!("arn:aws:iam::{ACCOUNT}:role/terraform");
        if matches!(self, Self::Decision | Self::Waiting) {
            record["principals"] = json!([{"arn": terraform, "policy": "accept"}]);
            record["cause_wait_seconds"] = 1.into();
        }
        scene.record_as(&record).await;
        let mut kept = vec![(ec2, scene.group.clone())];
        if self == Self::Members {
            let them = Identity::user(MEMBER, "them");
            let ec2 = scene.stack.cloud().ec2().acting_as(them);
            let quiet = ec2.clone().quietly();
            let vpc = quiet.create_vpc("10.0.0.0/16").expect("a VPC");
            let group = quiet.create_group("web", &vpc).expect("a group");
            quiet.authorize(&group, &live).expect("good");
            let scope = format!("desired#{MEMBER}#eu-west-1");
            scene.table.put(&scope, &group, &record).await;
            let key = format!("{MEMBER}#eu-west-1");
            scene.table.put("fleet", &key, &json!({})).await;
            kept.push((ec2, group));
        }
        let goal = match self {
            Self::Decision => vec![WEB],
            _ => live.into(),
        };
        let recorded = rules.into_iter().map(str::to_owned).collect();
        Set {
            place: self,
            scene,
            proxy,
            kept,
            goal,
            recorded,
        }
    }
}

fn configure(config: &mut StackConfig, proxy: &Proxy, limit: Duration, retries: usize) {
    config.table = Some(TABLE.to_owned());
    config.dynamodb = None;
    config.lambda.timeout = limit;
    config.lambda.retry_waits = vec![Duration::from_millis(50); retries];
    // Starting a process is most of the work.
    config.lambda.concurrency = 1;
    let env = &mut config.lambda.env;
    for service in SERVICES {
        let variable = format!("AWS_ENDPOINT_URL_{service}");
        env.insert(variable, proxy.endpoint(service));
    }
    let queue = format!("https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/sweeps");
    let variables = [
        ("RULEKEEPER_TABLE", TABLE),
        ("RULEKEEPER_ROLE_NAME", "rulekeeper-member"),
        ("RULEKEEPER_SWEEP_QUEUE", &queue),
        ("RULEKEEPER_RESULTS_BUS", "results"),
    ];
    env.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let source = EventSource {
        batch_size: 1,
        concurrency: 1,
    };
    config.queues = vec![
        QueueConfig::named("dead"),
        QueueConfig {
            visibility_timeout: limit,
            redrive: Some((2, "dead".to_owned())),
            event_source: Some(source),
            ..QueueConfig::named("sweeps")
        },
    ];
}

impl Set {
    /// Lets it happen.
    pub(super) fn begin(&self) {
        let (ec2, group) = &self.kept[0];
        match self.place {
            Place::Drop | Place::GroupGone | Place::ListGone | Place::Guarded => {
                ec2.revoke(group, &[OFFICE]).expect("live");
            }
            Place::ByName => {
                let pairs = [
                    ("GroupName", "web"),
                    ("IpPermissions.1.IpProtocol", "tcp"),
                    ("IpPermissions.1.FromPort", "443"),
                    ("IpPermissions.1.ToPort", "443"),
                    ("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8"),
                ];
                let params = Params::from_pairs(pairs);
                ec2.call("RevokeSecurityGroupIngress", &params)
                    .expect("live");
            }
            Place::Sweep | Place::Members => {
                for (ec2, group) in &self.kept {
                    let quiet = ec2.clone().quietly();
                    quiet.revoke(group, &[OFFICE]).expect("live");
                }
                self.scene.stack.bridge().schedule("sweep");
            }
            Place::Decision => {
                let terraform = Identity::assumed_role(ACCOUNT, "terraform", "session");
                let terraform = ec2.clone().acting_as(terraform);
                terraform.revoke(group, &[OFFICE]).expect("live");
            }
            Place::Waiting => {
                ec2.clone()
                    .quietly()
                    .revoke(group, &[OFFICE])
                    .expect("live");
                self.scene.stack.bridge().schedule("sweep");
            }
        }
    }

    /// Waits until everything is at rest. A message may be hidden for a minute.
    pub(super) async fn rest(&self) {
        let lambda = self.scene.stack.lambda();
        let rest = lambda.wait_idle(Duration::from_secs(100)).await;
        if let Err(error) = rest {
            panic!("{error}: {:#?}", super::said(self));
        }
    }

    /// The same, or until a group that failed waits for its next turn, which is hidden for a minute.
    pub(super) async fn rest_or_given_back(&self) {
        let lambda = self.scene.stack.lambda();
        let waits = |line: &String| line.contains("groups failed for a retryable reason");
        while !super::said(self).iter().any(waits) {
            if lambda.wait_idle(Duration::from_millis(200)).await.is_ok() {
                return;
            }
        }
    }

    /// What a person does once the fault is over, and the next sweep.
    pub(super) async fn look_again(&self) {
        let lambda = self.scene.stack.lambda();
        let letters = lambda.dead_letters();
        lambda.clear();
        for letter in letters {
            lambda.invoke_event(letter.payload);
        }
        self.rest().await;
        // A cause is waited for that long.
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.scene.stack.bridge().schedule("sweep");
        self.rest().await;
    }

    /// Everything that is live in the groups.
    pub(super) fn live(&self) -> BTreeSet<String> {
        let groups = self.kept.iter();
        groups.flat_map(|(ec2, group)| ec2.rules(group)).collect()
    }

    /// Whether the work is done.
    pub(super) async fn reached(&self) -> bool {
        let is_kept = |(ec2, group): &(Ec2, String)| ec2.rules(group) == self.goal;
        let live = self.kept.iter().all(is_kept);
        let generations = match self.place {
            Place::Decision => self.scene.generations().await,
            _ => Vec::new(),
        };
        live && generations
            .last()
            .is_none_or(|last| last.rules == self.goal && last.number == 8)
    }
}
