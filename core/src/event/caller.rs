//! Who made a call, from CloudTrail's `userIdentity`.

use serde_json::Value;

use super::is_true;

/// How a record names the console as the caller's client or as the service in between.
const CONSOLE: [&str; 3] = [
    "console.amazonaws.com",
    "console.ec2.amazonaws.com",
    "signin.amazonaws.com",
];

/// Path of the roles that IAM Identity Center makes for people.
const IDENTITY_CENTER_PATH: &str = ":role/aws-reserved/sso.amazonaws.com/";

/// How the names of these roles begin. A session's ARN does not contain the path.
const IDENTITY_CENTER_NAME: &str = "AWSReservedSSO_";

/// Who called, as the ARN that policies are written for: the role behind an assumed role, otherwise the caller's ARN,
/// otherwise the service or the kind of caller. Identities vary too much for a type.
pub(super) fn principal(identity: &Value) -> Option<String> {
    let candidates = [
        identity.pointer("/sessionContext/sessionIssuer/arn"),
        identity.get("arn"),
        identity.get("invokedBy"),
        identity.get("type"),
    ];
    let mut texts = candidates.into_iter().flatten().filter_map(Value::as_str);
    let principal = texts.find(|text| !text.is_empty())?;
    Some(role_of(principal).unwrap_or_else(|| principal.to_owned()))
}

/// The role of a session's ARN, for records without an issuer. The ARN does not contain the role's path.
fn role_of(session_arn: &str) -> Option<String> {
    let (front, session) = session_arn.split_once(":assumed-role/")?;
    let (name, _) = session.split_once('/')?;
    Some(format!("{}:role/{name}", front.replace(":sts:", ":iam:")))
}

/// The name of an assumed role's session: the end of `principalId`, or of the session's ARN.
pub(super) fn session(identity: &Value) -> Option<String> {
    let text = |name: &str| identity.get(name).and_then(Value::as_str);
    let of_id = text("principalId").and_then(|id| id.split_once(':'));
    let of_arn = text("arn").and_then(|arn| arn.split_once(":assumed-role/")?.1.split_once('/'));
    let (_, name) = of_id.or(of_arn)?;
    Some(name.to_owned())
}

/// Whether a person called, at the console or through IAM Identity Center. What a service does on a person's behalf is
/// the service's call.
pub(super) fn is_person(detail: &Value) -> bool {
    let text = |pointer: &str| {
        let value = detail.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default()
    };
    let service = text("/userIdentity/invokedBy");
    if !service.is_empty() && !CONSOLE.contains(&service) {
        return false;
    }
    CONSOLE.contains(&service)
        || CONSOLE.contains(&text("/userAgent"))
        || is_true(detail.get("sessionCredentialFromConsole"))
        || text("/userIdentity/type") == "IdentityCenterUser"
        || detail
            .get("userIdentity")
            .and_then(principal)
            .is_some_and(|principal| is_identity_center_role(&principal))
}

fn is_identity_center_role(arn: &str) -> bool {
    arn.contains(IDENTITY_CENTER_PATH)
        || arn.split_once(":role/").is_some_and(|(_, role)| {
            let name = role.rsplit('/').next().unwrap_or(role);
            name.starts_with(IDENTITY_CENTER_NAME)
        })
}
