//! What went wrong with a call, in the words of the person at the keyboard, and what they can do: said here, for every verb.

use rulekeeper_core::ports::without_encoded_part;

use crate::failure::Failure;
use crate::wire::{Trouble, TroubleKind};

/// What is known around a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Around {
    /// Where the credentials come from, such as `the profile "prod"`.
    pub(crate) credentials: String,
    /// How to get new ones.
    pub(crate) renew: String,
    /// Who they belong to, if STS said so.
    pub(crate) caller: Option<String>,
    /// The table's name.
    pub(crate) table: Option<String>,
}

/// What is wrong, with a hint; nothing for a trouble that is none of a person's doing.
pub(crate) fn of(trouble: &Trouble, around: &Around) -> Option<Failure> {
    match &trouble.kind {
        TroubleKind::Unreachable(why) => unreachable(trouble, why),
        TroubleKind::Refused { code, message } => {
            refused(trouble, around, code, without_encoded_part(message).trim())
        }
    }
}

fn unreachable(trouble: &Trouble, why: &str) -> Option<Failure> {
    let (asked, endpoint) = (&trouble.asked, &trouble.asked.endpoint);
    // Where there is no instance or container, nobody answers at their addresses.
    let of_instance = ["//169.254.", "//[fd00:ec2::"];
    if of_instance.iter().any(|address| endpoint.contains(address)) {
        return None;
    }
    let region = asked.region.as_deref().map(|name| format!(" in {name}"));
    let region = region.unwrap_or_default();
    let message = format!(
        "{}{region} cannot be reached at {endpoint}: {why}",
        asked.service_name()
    );
    let hint = match endpoint.contains(".amazonaws.com") || endpoint.contains(".api.aws") {
        true => {
            "Check the network (VPN, proxy, firewall), and that the Region exists: --region, AWS_REGION."
        }
        false => {
            "Check --endpoint-url and AWS_ENDPOINT_URL, and that something listens there; without them AWS's own endpoints are \
             called."
        }
    };
    Some(Failure::failed(message).hint(hint))
}

fn refused(trouble: &Trouble, around: &Around, code: &str, said: &str) -> Option<Failure> {
    let Around {
        credentials, renew, ..
    } = around;
    let service = trouble.asked.service_name();
    let fail = |message: String, hint: String| Some(Failure::failed(message).hint(hint));
    // "Signature expired: … is now earlier than …" and "Signature not yet current: …" are about time.
    let of_time = said.starts_with("Signature expired") || said.starts_with("Signature not yet");
    match code {
        "RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture" => {
            Some(clock(service, code))
        }
        "SignatureDoesNotMatch" | "InvalidSignatureException" if of_time => {
            Some(clock(service, code))
        }
        "ExpiredToken" | "ExpiredTokenException" => fail(
            format!("the credentials have expired, those of {credentials} ({service}: {code})"),
            renew.clone(),
        ),
        "SignatureDoesNotMatch" | "InvalidSignatureException" | "IncompleteSignature" => fail(
            format!(
                "the secret access key does not belong to the access key, in {credentials} ({service}: {code})"
            ),
            renew.clone(),
        ),
        "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId"
        | "AuthFailure"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => fail(
            format!("AWS does not accept the access key of {credentials} ({service}: {code})"),
            format!(
                "The key was deleted or turned off, its session token is missing, it is one of another partition (China, \
                 GovCloud), or the Region is not enabled for the account. {renew}"
            ),
        ),
        "OptInRequired" => fail(
            format!("the account is not signed up for {service} in this Region ({code})"),
            "Enable the Region in the account's settings, or give another --region.".to_owned(),
        ),
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
            denied(trouble, around, code, said)
        }
        "ResourceNotFoundException" if trouble.asked.service.as_deref() == Some("dynamodb") => {
            no_table(trouble, around)
        }
        _ => None,
    }
}

fn clock(service: &str, code: &str) -> Failure {
    let now = jiff::Timestamp::now();
    let message =
        format!("AWS takes this machine's clock for wrong: it says {now:.0} ({service}: {code})");
    Failure::failed(message).hint(
        "Set the clock: `timedatectl set-ntp true`, or `chronyc makestep` where chrony runs. `rulekeeper doctor` says how far \
         it is off.",
    )
}

/// AWS's own sentence: "User: ARN is not authorized to perform: ACTION on resource: …".
fn denied(trouble: &Trouble, around: &Around, code: &str, said: &str) -> Option<Failure> {
    let asked = &trouble.asked;
    // The code that knows the role tells of a role that may not be assumed.
    if asked.operation.as_deref() == Some("AssumeRole") {
        return None;
    }
    let word_after = |text: &str| {
        let word = said.split(text).nth(1)?.split_whitespace().next()?;
        Some(word.trim_end_matches(['.', ',']).to_owned())
    };
    let operation = asked.operation.as_deref().unwrap_or("the call");
    let action = word_after("to perform: ").unwrap_or_else(|| {
        let service = asked.service.as_deref().unwrap_or("?");
        format!("{service}:{operation}")
    });
    let who = word_after("User: ").or_else(|| around.caller.clone());
    let who = who.unwrap_or_else(|| format!("whoever has {}", around.credentials));
    let says = match said {
        "" => String::new(),
        said => format!(": {said}"),
    };
    Some(
        Failure::failed(format!("{who} may not {action} ({code}{says})")).hint(format!(
            "Ask for {action}, or use other credentials with --profile. docs/operate.md, \"Permissions of operators\", lists \
             what the verbs need; `rulekeeper doctor` names what is lacking."
        )),
    )
}

fn no_table(trouble: &Trouble, around: &Around) -> Option<Failure> {
    let table = around.table.as_deref()?;
    let region = trouble.asked.region.as_deref().unwrap_or("this Region");
    let account = around
        .caller
        .as_deref()
        .and_then(|arn| arn.split(':').nth(4));
    let account = account
        .map(|account| format!(" of {account}"))
        .unwrap_or_default();
    Some(
        Failure::failed(format!(
            "there is no table {table:?} in {region}{account} (DynamoDB: ResourceNotFoundException)"
        ))
        .hint(format!(
            "`aws dynamodb list-tables --region {region}` says which there are, and the stack's output TableName which is \
             meant: give it as --table (RULEKEEPER_TABLE). If it is in another Region: --region, or --table-region \
             (RULEKEEPER_TABLE_REGION) for the table alone."
        )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Asked;

    #[test]
    fn every_refusal_that_a_person_can_end_has_words_and_a_hint() {
        let around = Around {
            credentials: "the profile \"prod\"".to_owned(),
            renew: "Log in again: `aws sso login --profile prod`.".to_owned(),
            table: Some("t".to_owned()),
            ..Around::default()
        };
        let asked = Asked::example("dynamodb", "Query");
        let of = |code: &str, message: &str| {
            let (code, message) = (code.to_owned(), message.to_owned());
            let kind = TroubleKind::Refused { code, message };
            let asked = asked.clone();
            of(&Trouble { asked, kind }, &around).map(|failure| failure.to_string())
        };
        let said = |code: &str, message: &str| of(code, message).unwrap_or_default();
        assert!(said("ExpiredTokenException", "").contains("have expired, those of the profile"));
        assert!(said("UnrecognizedClientException", "").contains("does not accept the access key"));
        assert!(said("InvalidSignatureException", "x").contains("secret access key"));
        assert!(said("InvalidSignatureException", "Signature expired: a").contains("clock"));
        assert!(said("ResourceNotFoundException", "").contains("no table \"t\" in eu-west-1"));
        let sentence = "User: arn:aws:iam::1:user/a is not authorized to perform: dynamodb:Query on resource: t";
        assert!(
            said("AccessDeniedException", sentence)
                .starts_with("arn:aws:iam::1:user/a may not dynamodb:Query (")
        );
        assert_eq!(of("ThrottlingException", ""), None);
        assert_eq!(of("ConditionalCheckFailedException", ""), None);
    }
}
