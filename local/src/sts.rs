//! STS: GetCallerIdentity and AssumeRole (AWS STS API Reference, version 2011-06-15).

use serde_json::json;

use crate::cloud::Cloud;
use crate::ec2::{Answer, Ec2Error, Params, answer};
use crate::identity::{Caller, Identity};
use crate::ids;

/// Carries out one action.
pub(crate) fn call(
    cloud: &Cloud,
    caller: &Caller,
    action: &str,
    params: &Params,
) -> Result<Answer, Ec2Error> {
    match action {
        "GetCallerIdentity" => {
            let identity = &caller.identity;
            Ok(answer([
                ("Arn", json!(identity.arn)),
                ("UserId", identity.user_identity["principalId"].clone()),
                ("Account", json!(identity.account)),
            ]))
        }
        "AssumeRole" => assume_role(cloud, &caller.region, params),
        other => Err(Ec2Error::new(
            "InvalidAction",
            format!("rulekeeper-local does not imitate sts:{other}"),
        )),
    }
}

/// Returns an access key for the role's account. Any role of the Region's partition can be assumed; to refuse one, set a
/// fault or a denial. Partitions share no identities (AWS whitepaper "AWS Fault Isolation Boundaries", "Partitions").
fn assume_role(cloud: &Cloud, region: &str, params: &Params) -> Result<Answer, Ec2Error> {
    let arn = params.require("RoleArn", "RoleArn")?;
    let session = params.require("RoleSessionName", "RoleSessionName")?;
    let invalid = || Ec2Error::new("ValidationError", format!("{arn} is invalid"));
    let (account, path) = arn
        .strip_prefix(&format!("arn:{}:iam::", ids::partition(region)))
        .and_then(|rest| rest.split_once(":role/"))
        .ok_or_else(invalid)?;
    if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid());
    }
    let role = path.rsplit('/').next().unwrap_or(path);
    let seconds = params.integer("DurationSeconds")?.unwrap_or(3600);
    let identity = Identity::assumed_role(account, role, session).in_partition_of(region);
    let key = ids::iam("ASIA");
    let expires = jiff::Timestamp::now().as_second() + seconds;
    let expires = jiff::Timestamp::from_second(expires).map_err(|_| invalid())?;
    let credentials = json!({
        "AccessKeyId": key, "SecretAccessKey": "local", "SessionToken": "local", "Expiration": expires.to_string(),
    });
    let user = json!({
        "Arn": identity.arn, "AssumedRoleId": identity.user_identity["principalId"],
    });
    cloud.register(&key, identity);
    Ok(answer([
        ("Credentials", credentials),
        ("AssumedRoleUser", user),
    ]))
}
