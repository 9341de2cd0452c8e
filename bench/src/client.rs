//! Calls through the AWS SDK: EC2 as one principal, and the table.

use std::collections::HashMap;
use std::fmt;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{Filter, IpPermission, IpRange, SecurityGroupRule, UserIdGroupPair};
use rulekeeper_local::{Identity, Stack};

/// The access key of [`Client`]. One is enough: each stack has one principal that calls EC2 through the SDK.
const ACCESS_KEY: &str = "ASIALOCALCONTROLLER0";

/// EC2 as one principal calls it, without retries of the SDK.
#[derive(Debug, Clone)]
pub struct Client {
    ec2: aws_sdk_ec2::Client,
    arn: String,
}

impl Client {
    /// A client of the stack's only principal; it has not connected yet.
    pub fn new(stack: &Stack, principal: Identity) -> Self {
        let arn = principal.arn.clone();
        stack.cloud().register(ACCESS_KEY, principal);
        let config = aws_sdk_ec2::config::Builder::from(&sdk_config(stack, ACCESS_KEY))
            .retry_config(RetryConfig::disabled())
            .build();
        Self {
            ec2: aws_sdk_ec2::Client::from_conf(config),
            arn,
        }
    }

    /// A client of a pod on EKS, with the role of its service account.
    pub fn service_account(stack: &Stack, role: &str) -> Self {
        let account = stack.cloud().account();
        let provider = format!(
            "arn:aws:iam::{account}:oidc-provider/oidc.eks.{}.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE",
            stack.cloud().region()
        );
        let session = "1786698901234567890";
        let principal = Identity::eks_service_account(account, role, session, &provider);
        Self::new(stack, principal)
    }

    /// The principal's ARN, as the stack's journal of calls has it.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The ingress rules of a group, from DescribeSecurityGroupRules.
    ///
    /// # Errors
    /// When EC2 refuses the call.
    pub async fn ingress_rules(&self, group: &str) -> Result<Vec<SecurityGroupRule>, ApiError> {
        let filter = Filter::builder().name("group-id").values(group).build();
        let call = self.ec2.describe_security_group_rules().filters(filter);
        let mut rules = call.send().await?.security_group_rules.unwrap_or_default();
        rules.retain(|rule| rule.is_egress != Some(true));
        Ok(rules)
    }

    /// The ingress permissions of a group, from DescribeSecurityGroups.
    ///
    /// # Errors
    /// When EC2 refuses the call.
    pub async fn ingress_permissions(&self, group: &str) -> Result<Vec<IpPermission>, ApiError> {
        let call = self.ec2.describe_security_groups().group_ids(group);
        let groups = call.send().await?.security_groups.into_iter().flatten();
        let permissions = groups.filter_map(|group| group.ip_permissions);
        Ok(permissions.flatten().collect())
    }

    /// RevokeSecurityGroupIngress by properties, in one call.
    ///
    /// # Errors
    /// When EC2 refuses the call.
    pub async fn revoke(&self, group: &str, rules: Vec<IpPermission>) -> Result<(), ApiError> {
        let call = self.ec2.revoke_security_group_ingress().group_id(group);
        call.set_ip_permissions(Some(rules)).send().await?;
        Ok(())
    }

    /// RevokeSecurityGroupIngress by rule ids, in one call.
    ///
    /// # Errors
    /// When EC2 refuses the call.
    pub async fn revoke_by_id(
        &self,
        group: &str,
        rules: &[SecurityGroupRule],
    ) -> Result<(), ApiError> {
        let ids = rules
            .iter()
            .filter_map(|rule| rule.security_group_rule_id.clone());
        let call = self.ec2.revoke_security_group_ingress().group_id(group);
        let call = call.set_security_group_rule_ids(Some(ids.collect()));
        call.send().await?;
        Ok(())
    }

    /// AuthorizeSecurityGroupIngress, in one call.
    ///
    /// # Errors
    /// When EC2 refuses the call.
    pub async fn authorize(&self, group: &str, rules: Vec<IpPermission>) -> Result<(), ApiError> {
        let call = self.ec2.authorize_security_group_ingress().group_id(group);
        call.set_ip_permissions(Some(rules)).send().await?;
        Ok(())
    }
}

/// TCP ports from a group or from a range of IPv4 addresses.
pub fn tcp(from: u16, to: u16, source: &str, description: &str) -> IpPermission {
    let permission = IpPermission::builder()
        .ip_protocol("tcp")
        .from_port(from.into())
        .to_port(to.into());
    if source.starts_with("sg-") {
        let pair = UserIdGroupPair::builder().group_id(source);
        let pair = pair.description(description).build();
        permission.user_id_group_pairs(pair).build()
    } else {
        let range = IpRange::builder().cidr_ip(source);
        let range = range.description(description).build();
        permission.ip_ranges(range).build()
    }
}

/// The table, for reading and writing records without the CLI.
pub fn dynamodb(stack: &Stack) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::new(&sdk_config(stack, "AKIALOCALOPERATOR000"))
}

/// The item of a group's record, of rules `tcp PORT from CIDR`.
pub fn record(stack: &Stack, group: &str, rules: &[&str]) -> HashMap<String, AttributeValue> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let number = |digits: &str| AttributeValue::N(digits.to_owned());
    let rule = |rule: &&str| {
        let words: Vec<&str> = rule.split(' ').collect();
        let fields = [
            ("protocol", text(words[0])),
            ("from_port", number(words[1])),
            ("to_port", number(words[1])),
            ("cidr_ipv4", text(words[3])),
        ];
        AttributeValue::M(fields.map(|(name, value)| (name.to_owned(), value)).into())
    };
    let cloud = stack.cloud();
    let scope = format!("desired#{}#{}", cloud.account(), cloud.region());
    let fields = [
        ("pk", text(&scope)),
        ("sk", text(group)),
        ("schema", number("1")),
        ("generation", number("1")),
        ("rules", AttributeValue::L(rules.iter().map(rule).collect())),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Nothing comes from the environment: the user's profiles and proxies must have no effect.
fn sdk_config(stack: &Stack, access_key: &str) -> SdkConfig {
    let credentials = Credentials::new(access_key, "local", None, None, "local");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(stack.cloud().region().to_owned()))
        .endpoint_url(stack.endpoint())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}

/// An error that an API answered.
#[derive(Debug)]
pub struct ApiError {
    /// The error code, such as `InvalidGroup.NotFound`; `no answer` if there was none.
    pub code: String,
    /// The message that came with it.
    pub message: String,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ApiError {}

impl<E, R> From<SdkError<E, R>> for ApiError
where
    SdkError<E, R>: ProvideErrorMetadata + std::error::Error,
{
    fn from(error: SdkError<E, R>) -> Self {
        let message = error.message().map(str::to_owned);
        Self {
            code: error.code().unwrap_or("no answer").to_owned(),
            message: message.unwrap_or_else(|| DisplayErrorContext(&error).to_string()),
        }
    }
}
