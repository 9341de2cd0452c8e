//! One principal's hold on one group: the three calls that the scripted actors make.

use rulekeeper_local::{Identity, Stack};

use crate::rules::{Described, taken_apart};
use rulekeeper_bench::client::{Client, Refusal, refusal};

/// The group, as one principal sees and changes it.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client,
    group: String,
    /// The principal's ARN, by which its calls are counted.
    pub(crate) arn: String,
}

impl Api {
    /// Nothing is called yet.
    pub(crate) fn new(stack: &Stack, group: &str, identity: Identity) -> Self {
        let arn = identity.arn.clone();
        Self {
            client: Client::new(stack, "ASIAINCIDENTACTOR000", identity),
            group: group.to_owned(),
            arn,
        }
    }

    /// The same principal at another group.
    pub(crate) fn at(&self, group: &str) -> Self {
        Self {
            client: self.client.clone(),
            group: group.to_owned(),
            arn: self.arn.clone(),
        }
    }

    /// DescribeSecurityGroups.
    pub(crate) async fn read(&self) -> Result<Described, Refusal> {
        let call = self.client.ec2.describe_security_groups();
        let groups = call.group_ids(&self.group).send().await.map_err(refusal)?;
        let groups = groups.security_groups.unwrap_or_default();
        let permissions = groups.iter().flat_map(|group| group.ip_permissions());
        Ok(taken_apart(&permissions.cloned().collect::<Vec<_>>()))
    }

    /// RevokeSecurityGroupIngress by properties, all in one call.
    pub(crate) async fn revoke(&self, rules: &Described) -> Result<(), Refusal> {
        let rules = rules.iter().map(|(rule, text)| rule.permission(text));
        self.client.revoke(&self.group, rules.collect()).await
    }

    /// AuthorizeSecurityGroupIngress, all in one call.
    pub(crate) async fn authorize(&self, rules: &Described) -> Result<(), Refusal> {
        let rules = rules.iter().map(|(rule, text)| rule.permission(text));
        self.client.authorize(&self.group, rules.collect()).await
    }
}

/// What is in the one and not in the other, by protocol, ports and source alone.
pub(crate) fn lacking(of: &Described, there: &Described) -> Described {
    let lacking = of.iter().filter(|(rule, _)| !there.contains_key(rule));
    lacking
        .map(|(rule, text)| (rule.clone(), text.clone()))
        .collect()
}
