//! Somebody with two calls to change a security group: the AWS SDK over HTTP, and no retries of the SDK's own.

use std::fmt;

use aws_credential_types::Credentials;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::{BehaviorVersion, Region};
use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_ec2::types::IpPermission;
use rulekeeper_local::{Identity, Stack};

/// EC2 as one principal sees it.
#[derive(Debug, Clone)]
pub struct Client {
    /// For the calls that only one of the examples needs.
    pub ec2: aws_sdk_ec2::Client,
}

/// What EC2 said no with.
#[derive(Debug)]
pub struct Refusal {
    /// EC2's error code, such as `InvalidGroup.NotFound`.
    pub code: String,
    /// What EC2 said besides.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refusal {}

impl Client {
    /// Lets the access key be the principal's, and signs with it.
    pub fn new(stack: &Stack, access_key: &str, identity: Identity) -> Self {
        stack.cloud().register(access_key, identity);
        // Nothing is taken from the environment: a profile or a proxy of whoever watches has no say here.
        let config = aws_sdk_ec2::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(stack.cloud().region().to_owned()))
            .endpoint_url(stack.endpoint())
            .credentials_provider(Credentials::new(access_key, "local", None, None, "local"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(RetryConfig::disabled())
            .build();
        Self {
            ec2: aws_sdk_ec2::Client::from_conf(config),
        }
    }

    /// RevokeSecurityGroupIngress by properties, all in one call.
    pub async fn revoke(&self, group: &str, rules: Vec<IpPermission>) -> Result<(), Refusal> {
        let call = self.ec2.revoke_security_group_ingress().group_id(group);
        let call = call.set_ip_permissions(Some(rules));
        call.send().await.map_err(refusal)?;
        Ok(())
    }

    /// AuthorizeSecurityGroupIngress, all in one call.
    pub async fn authorize(&self, group: &str, rules: Vec<IpPermission>) -> Result<(), Refusal> {
        let call = self.ec2.authorize_security_group_ingress().group_id(group);
        let call = call.set_ip_permissions(Some(rules));
        call.send().await.map_err(refusal)?;
        Ok(())
    }
}

/// A pod on EKS, with the role of its service account.
pub fn service_account(stack: &Stack, role: &str) -> Identity {
    let account = stack.cloud().account();
    let provider = format!(
        "arn:aws:iam::{account}:oidc-provider/oidc.eks.{}.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE",
        stack.cloud().region()
    );
    Identity::eks_service_account(account, role, "1786698901234567890", &provider)
}

/// What the SDK says of a call that failed.
pub fn refusal<E, R>(error: aws_sdk_ec2::error::SdkError<E, R>) -> Refusal
where
    aws_sdk_ec2::error::SdkError<E, R>: ProvideErrorMetadata + std::error::Error,
{
    Refusal {
        code: error.code().unwrap_or("no answer").to_owned(),
        message: match error.message() {
            Some(message) => message.to_owned(),
            None => DisplayErrorContext(&error).to_string(),
        },
    }
}
