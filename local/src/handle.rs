//! EC2 in process, in rule notation: how tests set up groups and read them.

use serde_json::Value;

use crate::cloud::Cloud;
use crate::ec2::{Answer, Ec2Error, Params};
use crate::identity::{Caller, Identity};
use crate::ids;

/// EC2 as one principal in one Region. Calls go straight to the state: faults, hooks and the journal don't see them. CloudTrail records them, unless [`Ec2::quietly`].
///
/// Rules are written as `tcp 443 from 10.0.0.0/8`, `udp 5000-5010 from ::/0`, `icmp 8/-1 from sg-…`, `all from pl-…`, `50 from 10.0.0.0/8`; a group of another account as `tcp 80 from 444455556666/sg-…`.
#[derive(Debug, Clone)]
pub struct Ec2 {
    cloud: Cloud,
    caller: Caller,
    quiet: bool,
}

impl Cloud {
    /// EC2 in process, as an IAM user of the default account and Region. CloudTrail records the calls; faults and hooks don't apply.
    #[must_use]
    pub fn ec2(&self) -> Ec2 {
        Ec2::new(
            self.clone(),
            Identity::user(self.account(), "local"),
            self.region().to_owned(),
        )
    }
}

impl Ec2 {
    fn new(cloud: Cloud, identity: Identity, region: String) -> Self {
        let user_agent = "rulekeeper-local (in process)".to_owned();
        let host = format!("ec2.{region}.amazonaws.com");
        let caller = Caller {
            identity,
            access_key: "AKIALOCALINPROCESS00".to_owned(),
            region,
            user_agent,
            host,
        };
        Self {
            cloud,
            caller,
            quiet: false,
        }
    }

    /// The same client as another principal, in that principal's account.
    #[must_use]
    pub fn acting_as(mut self, identity: Identity) -> Self {
        self.caller.identity = identity;
        self
    }

    /// The same client in another Region.
    #[must_use]
    pub fn in_region(mut self, region: &str) -> Self {
        region.clone_into(&mut self.caller.region);
        self
    }

    /// The same client without CloudTrail records.
    #[must_use]
    pub fn quietly(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Any action, with its parameters under their names on the wire (`IpPermissions.1.IpProtocol`).
    ///
    /// # Errors
    /// EC2's refusal.
    pub fn call(&self, action: &str, params: &Params) -> Result<Answer, Ec2Error> {
        let result = self.cloud.run_ec2(&self.caller, action, params);
        if !self.quiet {
            self.cloud
                .trail(&self.caller, action, params, &ids::uuid(), &result);
        }
        result
    }

    fn pairs(&self, action: &str, pairs: &[(&str, &str)]) -> Result<Answer, Ec2Error> {
        self.call(action, &Params::from_pairs(pairs.iter().copied()))
    }

    /// Makes a VPC that is not the default one, and returns its id.
    ///
    /// # Errors
    /// EC2's refusal.
    pub fn create_vpc(&self, cidr: &str) -> Result<String, Ec2Error> {
        let answer = self.pairs("CreateVpc", &[("CidrBlock", cidr)])?;
        Ok(text(&answer["vpc"]["vpcId"]))
    }

    /// The id of the default VPC.
    ///
    /// # Errors
    /// EC2's refusal.
    pub fn default_vpc(&self) -> Result<String, Ec2Error> {
        let answer = self.pairs(
            "DescribeVpcs",
            &[
                ("Filter.1.Name", "is-default"),
                ("Filter.1.Value.1", "true"),
            ],
        )?;
        Ok(text(&answer["vpcSet"][0]["vpcId"]))
    }

    /// Makes a group in a VPC and returns its id.
    ///
    /// # Errors
    /// EC2's refusal.
    pub fn create_group(&self, name: &str, vpc_id: &str) -> Result<String, Ec2Error> {
        let pairs = [
            ("GroupName", name),
            ("GroupDescription", name),
            ("VpcId", vpc_id),
        ];
        Ok(text(&self.pairs("CreateSecurityGroup", &pairs)?["groupId"]))
    }

    /// Deletes a group.
    ///
    /// # Errors
    /// EC2's refusal, such as `DependencyViolation`.
    pub fn delete_group(&self, group: &str) -> Result<(), Ec2Error> {
        self.pairs("DeleteSecurityGroup", &[("GroupId", group)])
            .map(drop)
    }

    /// Makes a prefix list (IPv4) and returns its id.
    ///
    /// # Errors
    /// EC2's refusal.
    pub fn create_prefix_list(&self, name: &str, max_entries: u32) -> Result<String, Ec2Error> {
        let size = max_entries.to_string();
        let pairs = [
            ("PrefixListName", name),
            ("AddressFamily", "IPv4"),
            ("MaxEntries", size.as_str()),
        ];
        Ok(text(
            &self.pairs("CreateManagedPrefixList", &pairs)?["prefixList"]["prefixListId"],
        ))
    }

    /// Authorizes inbound rules in one call and returns their ids.
    ///
    /// # Errors
    /// EC2's refusal; then nothing is added.
    pub fn authorize(&self, group: &str, rules: &[&str]) -> Result<Vec<String>, Ec2Error> {
        let answer = self.call("AuthorizeSecurityGroupIngress", &permissions(group, rules)?)?;
        Ok(rule_ids(&answer["securityGroupRuleSet"]))
    }

    /// Authorizes one inbound rule with a description and tags, and returns its id.
    ///
    /// # Errors
    /// EC2's refusal.
    pub fn authorize_described(
        &self,
        group: &str,
        rule: &str,
        description: &str,
        tags: &[(&str, &str)],
    ) -> Result<String, Ec2Error> {
        let mut params = permissions(group, &[rule])?;
        for list in ["IpRanges", "Ipv6Ranges", "Groups", "PrefixListIds"] {
            if params
                .child("IpPermissions")
                .and_then(|p| p.child("1"))
                .is_some_and(|p| p.has(list))
            {
                params.set(
                    &format!("IpPermissions.1.{list}.1.Description"),
                    description.to_owned(),
                );
            }
        }
        for (number, (key, value)) in (1..).zip(tags) {
            params.set(
                "TagSpecification.1.ResourceType",
                "security-group-rule".to_owned(),
            );
            params.set(
                &format!("TagSpecification.1.Tag.{number}.Key"),
                (*key).to_owned(),
            );
            params.set(
                &format!("TagSpecification.1.Tag.{number}.Value"),
                (*value).to_owned(),
            );
        }
        let answer = self.call("AuthorizeSecurityGroupIngress", &params)?;
        Ok(text(
            &answer["securityGroupRuleSet"][0]["securityGroupRuleId"],
        ))
    }

    /// Revokes inbound rules by their properties, in one call.
    ///
    /// # Errors
    /// EC2's refusal; then nothing is removed.
    pub fn revoke(&self, group: &str, rules: &[&str]) -> Result<(), Ec2Error> {
        self.call("RevokeSecurityGroupIngress", &permissions(group, rules)?)
            .map(drop)
    }

    /// Revokes inbound rules by their ids, in one call.
    ///
    /// # Errors
    /// EC2's refusal; then nothing is removed.
    pub fn revoke_ids(&self, group: &str, ids: &[&str]) -> Result<(), Ec2Error> {
        let mut params = Params::from_pairs([("GroupId", group)]);
        for (number, id) in (1..).zip(ids) {
            params.set(&format!("SecurityGroupRuleId.{number}"), (*id).to_owned());
        }
        self.call("RevokeSecurityGroupIngress", &params).map(drop)
    }

    /// The group's inbound rules in notation, sorted. Always the current state, even if reads are stale.
    #[must_use]
    pub fn rules(&self, group: &str) -> Vec<String> {
        let mut rules: Vec<_> = self
            .rule_entries(group)
            .into_iter()
            .map(|(_, rule)| rule)
            .collect();
        rules.sort();
        rules
    }

    /// The id of an inbound rule given in notation.
    #[must_use]
    pub fn rule_id(&self, group: &str, rule: &str) -> Option<String> {
        self.rule_entries(group)
            .into_iter()
            .find(|(_, there)| there == rule)
            .map(|(id, _)| id)
    }

    fn rule_entries(&self, group: &str) -> Vec<(String, String)> {
        self.cloud
            .inbound(&self.caller.identity.account, &self.caller.region, group)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn rule_ids(set: &Value) -> Vec<String> {
    set.as_array()
        .into_iter()
        .flatten()
        .map(|entry| text(&entry["securityGroupRuleId"]))
        .collect()
}

/// Rules in notation as `IpPermissions`, one each.
fn permissions(group: &str, rules: &[&str]) -> Result<Params, Ec2Error> {
    let mut params = Params::from_pairs([("GroupId", group)]);
    for (number, rule) in (1..).zip(rules) {
        permission(&mut params, number, rule).ok_or_else(|| {
            Ec2Error::value(format!(
                "rulekeeper-local cannot read the rule notation '{rule}'"
            ))
        })?;
    }
    Ok(params)
}

fn permission(params: &mut Params, number: u32, rule: &str) -> Option<()> {
    let (traffic, source) = rule.split_once(" from ")?;
    let (protocol, ports) = traffic
        .split_once(' ')
        .map_or((traffic, None), |(protocol, ports)| (protocol, Some(ports)));
    let mut set = |name: &str, value: &str| {
        params.set(&format!("IpPermissions.{number}.{name}"), value.to_owned())
    };
    set(
        "IpProtocol",
        if protocol == "all" { "-1" } else { protocol },
    );
    if let Some(ports) = ports {
        let split = if protocol.starts_with("icmp") {
            ports.split_once('/')
        } else {
            ports.split_once('-')
        };
        let (from, to) = split.unwrap_or((ports, ports));
        set("FromPort", from);
        set("ToPort", to);
    }
    if source.starts_with("pl-") {
        set("PrefixListIds.1.PrefixListId", source);
    } else if let Some((owner, group)) = source.split_once("/sg-") {
        set("Groups.1.UserId", owner);
        set("Groups.1.GroupId", &format!("sg-{group}"));
    } else if source.starts_with("sg-") {
        set("Groups.1.GroupId", source);
    } else if source.contains(':') {
        set("Ipv6Ranges.1.CidrIpv6", source);
    } else {
        set("IpRanges.1.CidrIp", source);
    }
    Some(())
}
