//! EC2's security groups. This adapter describes and authorizes ingress. It makes no other calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use aws_sdk_ec2::Client;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{
    Filter, IpPermission, IpRange, Ipv6Range, PrefixListId as SdkPrefixListId, ResourceType,
    SecurityGroup, SecurityGroupRule, Tag, TagSpecification, UserIdGroupPair,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tokio::time::Instant;

use super::call::{Attempts, is_refused_role, unusable, whole, within_as};
use super::pace::Pacer;
use rulekeeper_core::decide::guardrail::Entries;
use rulekeeper_core::decide::plan::Batch;
use rulekeeper_core::model::{
    AccountId, ActualRule, ActualRules, GroupId, IngressRule, InvalidRule, PrefixListId, Protocol,
    RuleKey, Source, Tags,
};
use rulekeeper_core::ports::{
    ApiError, Authorized, Calls, GROUPS_PER_READ, SecurityGroups, Verdict,
};

/// The largest page of the describes that we use (EC2 API Reference). A read with pages also has the larger token
/// bucket of filtered and paginated reads (EC2 Developer Guide, "Request throttling").
const PAGE: i32 = 1_000;

/// The quota weights of AWS's own prefix lists, by the end of their name. Any other of them counts 1 (VPC User Guide,
/// "AWS-managed prefix list weight").
const MANAGED_WEIGHTS: [(&str, u32); 4] = [
    (".global.cloudfront.origin-facing", 55),
    (".global.ipv6.cloudfront.origin-facing", 55),
    (".global.groundstation", 5),
    (".vpc-lattice", 10),
];

/// EC2 in one account and Region, for one piece of work.
#[derive(Debug, Clone)]
pub struct Ec2 {
    /// Repeats calls that fail for a retryable reason.
    pub(super) reading: Client,
    /// Repeats no call. The SDK must not decide whether an authorize is sent again.
    pub(super) changing: Client,
    pub(super) account: AccountId,
    /// Limits a sweep's calls to what EC2 allows.
    pub(super) pacer: Option<Arc<Pacer>>,
    pub(super) calls: Calls,
    pub(super) deadline: Instant,
    /// The ARN of the role that is assumed for the calls, if any.
    pub(super) role: Option<String>,
    /// The answer of STS when it refused the role. The role is not requested again during this piece of work.
    pub(super) refused_role: Arc<OnceLock<ApiError>>,
}

impl Ec2 {
    /// Awaits a call, unless STS already refused its role.
    async fn within<T, E>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, ApiError>
    where
        E: ProvideErrorMetadata + std::error::Error + Debug + 'static,
    {
        if let Some(refused) = self.refused_role.get() {
            return Err(refused.clone());
        }
        let ended = within_as(self.role.as_deref(), self.deadline, operation, call).await;
        if let Err(error) = &ended
            && is_refused_role(error)
        {
            self.refused_role.get_or_init(|| error.clone());
        }
        ended
    }

    fn counting(&self, operation: &'static str) -> Attempts {
        Attempts {
            calls: self.calls.clone(),
            operation,
        }
    }

    /// Waits until a sweep may read.
    async fn turn_to_read(&self) {
        if let Some(pacer) = &self.pacer {
            pacer.read(self.deadline).await;
        }
    }

    async fn entries_of(&self, list: &PrefixListId) -> Result<BTreeSet<Source>, ApiError> {
        const OPERATION: &str = "GetManagedPrefixListEntries";
        let (mut sources, mut token) = (BTreeSet::new(), None);
        loop {
            let request = self
                .reading
                .get_managed_prefix_list_entries()
                .prefix_list_id(list.as_str())
                .max_results(100)
                .set_next_token(token)
                .customize()
                .interceptor(self.counting(OPERATION));
            let page = self.within(OPERATION, request.send()).await?;
            for entry in whole(OPERATION, "entrySet", page.entries)? {
                let cidr = whole(OPERATION, "cidr of an entry", entry.cidr)?;
                let source = cidr.parse().map_err(|error| unusable(OPERATION, error))?;
                sources.insert(source);
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(sources);
            }
        }
    }

    async fn default_vpc(&self) -> Result<Option<String>, ApiError> {
        const OPERATION: &str = "DescribeVpcs";
        let request = self
            .reading
            .describe_vpcs()
            .filters(filter("is-default", ["true"]))
            .customize()
            .interceptor(self.counting(OPERATION));
        let vpcs = self.within(OPERATION, request.send()).await?;
        let default = whole(OPERATION, "vpcSet", vpcs.vpcs)?.into_iter().next();
        default
            .map(|vpc| whole(OPERATION, "vpcId of a VPC", vpc.vpc_id))
            .transpose()
    }

    /// Every group that matches the filters, of all pages.
    async fn security_groups(
        &self,
        client: &Client,
        filters: Vec<Filter>,
    ) -> Result<Vec<SecurityGroup>, ApiError> {
        const OPERATION: &str = "DescribeSecurityGroups";
        let (mut groups, mut token) = (Vec::new(), None);
        loop {
            let request = client
                .describe_security_groups()
                .set_filters(Some(filters.clone()))
                .max_results(PAGE)
                .set_next_token(token)
                .customize()
                .interceptor(self.counting(OPERATION));
            self.turn_to_read().await;
            let page = self.within(OPERATION, request.send()).await?;
            groups.extend(whole(OPERATION, "securityGroupInfo", page.security_groups)?);
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(groups);
            }
        }
    }

    /// Every group that matches the filters.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub async fn describe_groups(&self, filters: Vec<Filter>) -> Result<Vec<FoundGroup>, ApiError> {
        let groups = self.security_groups(&self.reading, filters).await?;
        let found = groups.into_iter().map(|group| {
            Ok(FoundGroup {
                id: id_of(&group)?,
                name: group.group_name.unwrap_or_default(),
                vpc: group.vpc_id.unwrap_or_default(),
                tags: tags(group.tags.as_deref()),
            })
        });
        found.collect()
    }
}

fn id_of(group: &SecurityGroup) -> Result<GroupId, ApiError> {
    const OPERATION: &str = "DescribeSecurityGroups";
    let id = whole(OPERATION, "groupId of a group", group.group_id())?;
    id.parse().map_err(|error| unusable(OPERATION, error))
}

/// A group as EC2 describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundGroup {
    /// Its id.
    pub id: GroupId,
    /// Its name. This is not its `Name` tag.
    pub name: String,
    /// The id of its VPC.
    pub vpc: String,
    /// Its tags, including AWS's own.
    pub tags: Tags,
}

impl SecurityGroups for Ec2 {
    async fn ingress_rules(
        &self,
        groups: &[GroupId],
    ) -> Result<BTreeMap<GroupId, ActualRules>, ApiError> {
        const OPERATION: &str = "DescribeSecurityGroupRules";
        debug_assert!(
            groups.len() <= GROUPS_PER_READ,
            "EC2 takes {GROUPS_PER_READ} values per filter"
        );
        let by_group = filter("group-id", groups.iter().map(GroupId::as_str));
        let (mut rules, mut token) = (Vec::new(), None);
        loop {
            let request = self
                .reading
                .describe_security_group_rules()
                .filters(by_group.clone())
                .max_results(PAGE)
                .set_next_token(token)
                .customize()
                .interceptor(self.counting(OPERATION));
            self.turn_to_read().await;
            let page = self.within(OPERATION, request.send()).await?;
            rules.extend(whole(
                OPERATION,
                "securityGroupRuleSet",
                page.security_group_rules,
            )?);
            // A short or empty page is not the last one if it has a token.
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        let mut read: BTreeMap<GroupId, (Vec<ActualRule>, Vec<String>)> = groups
            .iter()
            .map(|group| (group.clone(), Default::default()))
            .collect();
        for rule in &rules {
            let group = whole(OPERATION, "groupId of a rule", rule.group_id.as_deref())?;
            if whole(OPERATION, "isEgress of a rule", rule.is_egress)? {
                continue;
            }
            let group: GroupId = group.parse().map_err(|error| unusable(OPERATION, error))?;
            let others = || unusable(OPERATION, format_args!("the answer has a rule of {group}"));
            let (known, unknown) = read.get_mut(&group).ok_or_else(others)?;
            match actual_rule(rule, &self.account) {
                Ok(rule) => known.push(rule),
                Err(reason) => unknown.push(reason),
            }
        }
        Ok(read
            .into_iter()
            .map(|(group, (known, unknown))| (group, ActualRules::new(known, unknown)))
            .collect())
    }

    async fn described_rules(
        &self,
        groups: &[GroupId],
    ) -> Result<BTreeMap<GroupId, BTreeSet<RuleKey>>, ApiError> {
        const OPERATION: &str = "DescribeSecurityGroups";
        let by_group = filter("group-id", groups.iter().map(GroupId::as_str));
        let described = self.security_groups(&self.changing, vec![by_group]).await?;
        let rules = described.into_iter().map(|group| {
            let id = id_of(&group)?;
            let of_group = "ipPermissions of a group";
            let permissions = whole(OPERATION, of_group, group.ip_permissions)?;
            let keys = permissions.iter();
            let keys = keys.flat_map(|permission| rule_keys(permission, &self.account));
            Ok((id, keys.collect()))
        });
        rules.collect()
    }

    async fn authorize_ingress(
        &self,
        group: &GroupId,
        batch: &Batch,
    ) -> Result<Vec<Authorized>, ApiError> {
        const OPERATION: &str = "AuthorizeSecurityGroupIngress";
        let request = self
            .changing
            .authorize_security_group_ingress()
            .group_id(group.as_str())
            .set_ip_permissions(Some(permissions(batch)))
            .set_tag_specifications(tag_specifications(&batch.tags))
            .customize()
            .interceptor(self.counting(OPERATION));
        if let Some(pacer) = &self.pacer {
            pacer.authorize(self.deadline).await;
        }
        let made = self.within(OPERATION, request.send()).await?;
        if made.r#return != Some(true) {
            let said = "EC2 reports no error, and does not say that the call worked";
            return Err(unusable(OPERATION, said));
        }
        // The ids are worth knowing, and nothing depends on them.
        let made = made.security_group_rules.unwrap_or_default();
        let rules = made
            .iter()
            .filter_map(|rule| actual_rule(rule, &self.account).ok());
        Ok(rules
            .map(|rule| Authorized {
                key: rule.key,
                id: rule.id,
            })
            .collect())
    }

    async fn existing_groups(
        &self,
        groups: &BTreeSet<GroupId>,
    ) -> Result<BTreeMap<GroupId, String>, ApiError> {
        let mut existing = BTreeMap::new();
        let ids: Vec<&str> = groups.iter().map(GroupId::as_str).collect();
        // A filter returns the groups that exist. Ids given directly would make the call fail if one does not exist.
        for ids in ids.chunks(GROUPS_PER_READ) {
            let found = self
                .describe_groups(vec![filter("group-id", ids.iter().copied())])
                .await?;
            existing.extend(found.into_iter().map(|group| (group.id, group.vpc)));
        }
        Ok(existing)
    }

    async fn group_tag(&self, group: &GroupId, key: &str) -> Result<Option<String>, ApiError> {
        let filters = vec![filter("group-id", [group.as_str()])];
        let mut found = self.describe_groups(filters).await?;
        Ok(found.pop().and_then(|mut group| group.tags.remove(key)))
    }

    async fn groups_referring_to(&self, group: &GroupId) -> Result<BTreeSet<GroupId>, ApiError> {
        let refers = filter("ip-permission.group-id", [group.as_str()]);
        let found = self.describe_groups(vec![refers]).await?;
        Ok(found.into_iter().map(|group| group.id).collect())
    }

    async fn prefix_lists(
        &self,
        lists: &BTreeSet<PrefixListId>,
    ) -> Result<BTreeMap<PrefixListId, u32>, ApiError> {
        const OPERATION: &str = "DescribeManagedPrefixLists";
        let mut weights = BTreeMap::new();
        let ids: Vec<&str> = lists.iter().map(PrefixListId::as_str).collect();
        for ids in ids.chunks(GROUPS_PER_READ) {
            let mut token = None;
            loop {
                let request = self
                    .reading
                    .describe_managed_prefix_lists()
                    .filters(filter("prefix-list-id", ids.iter().copied()))
                    .max_results(100)
                    .set_next_token(token)
                    .customize()
                    .interceptor(self.counting(OPERATION));
                let page = self.within(OPERATION, request.send()).await?;
                for list in whole(OPERATION, "prefixListSet", page.prefix_lists)? {
                    let id = whole(OPERATION, "prefixListId of a list", list.prefix_list_id)?;
                    let id = id.parse().map_err(|error| unusable(OPERATION, error))?;
                    // AWS's own lists state no maximum.
                    let stated = list
                        .max_entries
                        .and_then(|entries| u32::try_from(entries).ok());
                    let name = list.prefix_list_name.unwrap_or_default();
                    let managed = MANAGED_WEIGHTS
                        .iter()
                        .find(|(suffix, _)| name.ends_with(suffix));
                    let weight = managed.map_or(stated.unwrap_or(1), |(_, weight)| *weight);
                    weights.insert(id, weight);
                }
                token = page.next_token.filter(|token| !token.is_empty());
                if token.is_none() {
                    break;
                }
            }
        }
        Ok(weights)
    }

    async fn prefix_list_entries(
        &self,
        lists: &BTreeSet<PrefixListId>,
    ) -> Result<Entries, ApiError> {
        // The call takes one list, and fails for one that is gone.
        let mut entries = Entries::new();
        for list in lists {
            match self.entries_of(list).await {
                Ok(sources) => {
                    entries.insert(list.clone(), sources);
                }
                Err(error) if error.verdict() == Verdict::PrefixListNotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    async fn default_vpc_group(&self, name: &str) -> Result<Option<GroupId>, ApiError> {
        let by_name = self.describe_groups(vec![filter("group-name", [name])]);
        let (vpc, named) = tokio::join!(self.default_vpc(), by_name);
        let Some(vpc) = vpc? else { return Ok(None) };
        // A filter value is a pattern, in which `*` and `?` stand for other texts; both may be part of a name.
        let exact = |group: &FoundGroup| group.vpc == vpc && group.name == name;
        if let Some(group) = named?.into_iter().find(exact) {
            return Ok(Some(group.id));
        }
        // Filter values are case-sensitive, but group names are not.
        let all = self
            .describe_groups(vec![filter("vpc-id", [vpc.as_str()])])
            .await?;
        Ok(all
            .into_iter()
            .find(|group| group.name.eq_ignore_ascii_case(name))
            .map(|group| group.id))
    }
}

/// A filter of a describe, by its allowed values.
pub fn filter<'v>(name: &str, values: impl IntoIterator<Item = &'v str>) -> Filter {
    let values = values.into_iter().map(str::to_owned).collect();
    Filter::builder()
        .name(name)
        .set_values(Some(values))
        .build()
}

fn tags(tags: Option<&[Tag]>) -> Tags {
    let tags = tags.into_iter().flatten();
    tags.filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default())))
        .collect()
}

/// A live rule as our type, or as text if it cannot be expressed.
fn actual_rule(rule: &SecurityGroupRule, owner: &AccountId) -> Result<ActualRule, String> {
    let reference_owner = rule
        .referenced_group_info
        .as_ref()
        .map(|group| group.user_id.as_deref());
    match rule_key(rule, owner) {
        Ok(key) => Ok(ActualRule {
            id: rule
                .security_group_rule_id
                .as_deref()
                .and_then(|id| id.parse().ok()),
            key,
            description: rule.description.clone().filter(|text| !text.is_empty()),
            tags: tags(rule.tags.as_deref()),
            reference_owner_unknown: reference_owner == Some(None),
        }),
        Err(error) => {
            let id = rule
                .security_group_rule_id
                .as_deref()
                .unwrap_or("a rule without an id");
            Err(format!("{id} (not understood: {error})"))
        }
    }
}

fn rule_key(rule: &SecurityGroupRule, owner: &AccountId) -> Result<RuleKey, InvalidRule> {
    let protocol = Protocol::from_fields(
        rule.ip_protocol.as_deref().unwrap_or_default(),
        rule.from_port.map(i64::from),
        rule.to_port.map(i64::from),
    )?;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let source = if let Some(cidr) = given(&rule.cidr_ipv4) {
        Source::ipv4(&cidr)?
    } else if let Some(cidr) = given(&rule.cidr_ipv6) {
        Source::ipv6(&cidr)?
    } else if let Some(list) = given(&rule.prefix_list_id) {
        Source::prefix_list(&list)?
    } else if let Some(group) = &rule.referenced_group_info {
        let id = group.group_id.as_deref().unwrap_or_default();
        Source::referenced_group(id, group.user_id.as_deref(), owner)?
    } else {
        return Err(InvalidRule::Notation("a rule without a source".to_owned()));
    };
    Ok(RuleKey { protocol, source })
}

/// The rules that EC2 shows as one permission. What cannot be expressed is left out.
fn rule_keys(permission: &IpPermission, owner: &AccountId) -> Vec<RuleKey> {
    let protocol = Protocol::from_fields(
        permission.ip_protocol().unwrap_or_default(),
        permission.from_port.map(i64::from),
        permission.to_port.map(i64::from),
    );
    let Ok(protocol) = protocol else {
        return Vec::new();
    };
    let ipv4 = permission.ip_ranges().iter();
    let ipv4 = ipv4.map(|range| Source::ipv4(range.cidr_ip().unwrap_or_default()));
    let ipv6 = permission.ipv6_ranges().iter();
    let ipv6 = ipv6.map(|range| Source::ipv6(range.cidr_ipv6().unwrap_or_default()));
    let lists = permission.prefix_list_ids().iter();
    let lists = lists.map(|list| Source::prefix_list(list.prefix_list_id().unwrap_or_default()));
    let groups = permission.user_id_group_pairs().iter().map(|pair| {
        let id = pair.group_id().unwrap_or_default();
        Source::referenced_group(id, pair.user_id(), owner)
    });
    let sources = ipv4.chain(ipv6).chain(lists).chain(groups);
    let sources = sources.filter_map(Result::ok);
    sources.map(|source| RuleKey { protocol, source }).collect()
}

/// One permission per protocol and ports, with all its sources, as EC2 bundles them.
pub(super) fn permissions(batch: &Batch) -> Vec<IpPermission> {
    let mut bundles: BTreeMap<Protocol, Vec<_>> = BTreeMap::new();
    for rule in &batch.rules {
        bundles.entry(rule.key.protocol).or_default().push(rule);
    }
    let permission = |(protocol, rules): (Protocol, Vec<&IngressRule>)| {
        let ports = sent_ports(protocol);
        let permission = IpPermission::builder()
            .ip_protocol(protocol.name())
            .set_from_port(ports.map(|(from, _)| from))
            .set_to_port(ports.map(|(_, to)| to));
        let filled = rules.into_iter().fold(permission, |permission, rule| {
            let description = rule.description.clone();
            match &rule.key.source {
                Source::Ipv4(net) => permission.ip_ranges(
                    IpRange::builder()
                        .cidr_ip(net.to_string())
                        .set_description(description)
                        .build(),
                ),
                Source::Ipv6(net) => permission.ipv6_ranges(
                    Ipv6Range::builder()
                        .cidr_ipv6(net.to_string())
                        .set_description(description)
                        .build(),
                ),
                Source::PrefixList(id) => permission.prefix_list_ids(
                    SdkPrefixListId::builder()
                        .prefix_list_id(id.as_str())
                        .set_description(description)
                        .build(),
                ),
                Source::ReferencedGroup(group) => permission.user_id_group_pairs(
                    UserIdGroupPair::builder()
                        .group_id(group.group_id.as_str())
                        .set_user_id(group.account_id.as_ref().map(ToString::to_string))
                        .set_description(description)
                        .build(),
                ),
            }
        });
        filled.build()
    };
    bundles.into_iter().map(permission).collect()
}

/// The ports of a request. EC2 ignores the ports of a protocol that is given by number. Terraform always sends 0 and 0
/// for it, and some replacements for EC2 fail without ports.
fn sent_ports(protocol: Protocol) -> Option<(i32, i32)> {
    match protocol {
        Protocol::Number(_) => Some((0, 0)),
        other => other.ports(),
    }
}

pub(super) fn tag_specifications(tags: &Tags) -> Option<Vec<TagSpecification>> {
    if tags.is_empty() {
        return None;
    }
    let tags = tags
        .iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect();
    Some(vec![
        TagSpecification::builder()
            .resource_type(ResourceType::SecurityGroupRule)
            .set_tags(Some(tags))
            .build(),
    ])
}
