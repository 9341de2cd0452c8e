//! Terraform's AWS provider, for one group.
//!
//! From its source (`internal/service/ec2/vpc_security_group.go`, `vpc_security_group_ingress_rule.go`):
//! - in-line rules: one call revokes what the new configuration does not have, and then one call authorizes what is new;
//! - a resource for each rule: each has calls of its own, and resources are handled in parallel. The older
//!   `aws_security_group_rule` is known by content and replaced; `aws_vpc_security_group_ingress_rule` is known by id and
//!   modified in place;
//! - a group with `revoke_rules_on_delete`: each rule is revoked by id, one after the other, and then the group is deleted;
//! - a deletion that EC2 refuses with `DependencyViolation` is tried again, at first after half a second, then after twice
//!   the time, up to ten seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::types::{SecurityGroupRuleRequest, SecurityGroupRuleUpdate};
use rulekeeper_bench::Result;
use rulekeeper_bench::client::{ApiError, Client};
use rulekeeper_local::{Identity, Stack};

use crate::group_client::GroupClient;
use crate::replay::Replay;
use crate::rules::{Described, Rule, described, missing, tcp};
use crate::setup::{Principal, Setup};

/// The record's policy for its role.
pub(crate) const ACCEPT: Principal = ("terraform", "accept");

/// The description of its rules.
pub(crate) const DESCRIPTION: &str = "managed by Terraform";

/// What EC2 answers while something needs the group.
const IN_USE: &str = "DependencyViolation";

const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// How often EC2 refuses a deletion: for eight seconds, so that events come before it and after it.
const REFUSALS: u32 = 4;

/// The access key of the calls that [`Client`] does not make.
const ACCESS_KEY: &str = "ASIALOCALTERRAFORM00";

/// The session of an apply.
fn session(stack: &Stack) -> Identity {
    Identity::assumed_role(stack.cloud().account(), ACCEPT.0, "apply-4711")
}

/// Terraform's client, for [`Replay::begin`].
pub(crate) fn client(stack: &Stack) -> Client {
    Client::new(stack, session(stack))
}

/// A rule of another group that keeps a group from being deleted.
#[derive(Debug)]
pub(crate) struct User {
    group: String,
    rule: Rule,
}

impl User {
    /// Makes a group with such a rule.
    pub(crate) fn of(setup: &Setup, group: &str) -> Result<Self> {
        let rule = tcp(443, 443, group);
        let group = setup.group("user", &one(&rule))?;
        Ok(Self { group, rule })
    }
}

/// Terraform, with the ids of a group's rules in its state.
#[derive(Debug)]
pub(crate) struct Terraform {
    client: GroupClient,
    ec2: aws_sdk_ec2::Client,
    group: String,
    ids: BTreeMap<Rule, String>,
}

impl Terraform {
    /// Takes the rules as they are now into its state.
    pub(crate) fn new(replay: &Replay, client: GroupClient) -> Self {
        let (stack, group) = (replay.stack(), replay.group().to_owned());
        stack.cloud().register(ACCESS_KEY, session(stack));
        let live = stack.cloud().ec2().rules(&group).into_iter();
        let ids = live.filter_map(|rule| {
            let id = stack.cloud().ec2().rule_id(&group, &rule)?;
            Some((Rule::parse(&rule)?, id))
        });
        Self {
            client,
            ec2: ec2(stack),
            ids: ids.collect(),
            group,
        }
    }

    /// Applies a configuration with in-line rules.
    pub(crate) async fn apply_inline(&self, wanted: &Described) -> Result<(), ApiError> {
        let live = self.client.read().await?;
        let (extra, missing) = (missing(&live, wanted), missing(wanted, &live));
        if !extra.is_empty() {
            self.client.revoke(&extra).await?;
        }
        if !missing.is_empty() {
            self.client.authorize(&missing).await?;
        }
        Ok(())
    }

    /// Creates a resource of a rule.
    pub(crate) async fn create(&self, rule: &Rule) -> Result<(), ApiError> {
        self.client.authorize(&one(rule)).await
    }

    /// Replaces an `aws_security_group_rule`.
    pub(crate) async fn replace(&self, old: &Rule, new: &Rule) -> Result<(), ApiError> {
        self.client.revoke(&one(old)).await?;
        self.client.authorize(&one(new)).await
    }

    /// Changes an `aws_vpc_security_group_ingress_rule` of a range into one of another range.
    pub(crate) async fn modify(&self, old: &Rule, new: &Rule) -> Result<(), ApiError> {
        let (from, to, range) = new.parts();
        let content = SecurityGroupRuleRequest::builder().ip_protocol("tcp");
        let content = content.from_port(from.into()).to_port(to.into());
        let content = content.cidr_ipv4(range).description(DESCRIPTION).build();
        let update = SecurityGroupRuleUpdate::builder().security_group_rule(content);
        let update = update.security_group_rule_id(self.id(old)).build();
        let call = self.ec2.modify_security_group_rules();
        let call = call.group_id(&self.group).security_group_rules(update);
        call.send().await?;
        Ok(())
    }

    /// Destroys an `aws_vpc_security_group_ingress_rule`.
    pub(crate) async fn destroy(&self, rule: &Rule) -> Result<(), ApiError> {
        let call = self.ec2.revoke_security_group_ingress();
        let call = call.group_id(&self.group);
        call.security_group_rule_ids(self.id(rule)).send().await?;
        Ok(())
    }

    /// Destroys the group, which has `revoke_rules_on_delete`.
    pub(crate) async fn destroy_group(&self, replay: &mut Replay, user: &User) -> Result<()> {
        for rule in self.ids.keys() {
            self.destroy(rule).await?;
        }
        self.delete(replay, &self.group, user).await
    }

    /// Deletes a group, and tries again while EC2 refuses because it is in use. After some refusals another resource of the
    /// apply has ended the use.
    pub(crate) async fn delete(&self, replay: &mut Replay, group: &str, user: &User) -> Result<()> {
        let mut backoff = FIRST_BACKOFF;
        for refusals in 1.. {
            let call = self.ec2.delete_security_group().group_id(group);
            match call.send().await.map_err(ApiError::from) {
                Ok(_) => return Ok(()),
                Err(error) if error.code == IN_USE => {}
                Err(other) => return Err(other.into()),
            }
            if refusals == REFUSALS {
                self.client
                    .of_group(&user.group)
                    .revoke(&one(&user.rule))
                    .await?;
            }
            replay.wait(backoff).await?;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
        Ok(())
    }

    fn id(&self, rule: &Rule) -> &str {
        self.ids.get(rule).map_or("", String::as_str)
    }
}

fn one(rule: &Rule) -> Described {
    described(std::slice::from_ref(rule), DESCRIPTION)
}

fn ec2(stack: &Stack) -> aws_sdk_ec2::Client {
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(stack.cloud().region().to_owned()))
        .endpoint_url(stack.endpoint())
        .credentials_provider(Credentials::new(ACCESS_KEY, "local", None, None, "local"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(RetryConfig::disabled());
    aws_sdk_ec2::Client::from_conf(config.build())
}
