//! What can be looked at before anything is deployed.

use rulekeeper_core::function::permissions::Check;
use rulekeeper_core::model::Region;
use rulekeeper_core::ports::ApiError;

use super::check::{ok, skipped, unknown};
use crate::session::Caller;

/// A read that was tried, by the action that it needs.
pub(super) type Tried = (&'static str, Result<(), ApiError>);

/// What the template makes, by the action that makes it.
const MAKES: &str = "cloudformation:CreateChangeSet cloudformation:ExecuteChangeSet iam:CreateRole iam:PutRolePolicy iam:PassRole \
                     lambda:CreateFunction dynamodb:CreateTable events:PutRule sqs:CreateQueue sns:CreateTopic \
                     cloudwatch:PutMetricAlarm logs:CreateLogGroup";

/// Reads of EC2, and of the services in which the template makes something.
pub(super) fn judge(
    region: &Region,
    of_ec2: Vec<Tried>,
    of_others: Vec<Tried>,
    caller: Option<&Caller>,
) -> Vec<Check> {
    let verdict = |check: &str, (action, tried): Tried| match tried {
        Ok(()) => ok(check, action, format!("is answered in {region}")),
        Err(error) => unknown(check, action, &error, action),
    };
    let mut checks: Vec<_> = of_ec2
        .into_iter()
        .map(|tried| verdict("ec2", tried))
        .collect();
    checks.push(
        skipped(
            "quota",
            "ingress rules per group",
            "not looked at: Service Quotas is not asked; 60 is what an account begins with",
        )
        .fix(
            "If yours is another one, deploy with it as RulesPerGroup:\n\
             aws service-quotas get-service-quota --service-code vpc --quota-code L-0EA8095F --query Quota.Value",
        ),
    );
    checks.extend(of_others.into_iter().map(|tried| verdict("deploy", tried)));
    let principal = caller.map_or_else(|| "ARN".to_owned(), |caller| principal(&caller.arn));
    checks.push(
        skipped(
            "deploy",
            "permission to make what the template makes",
            "not looked at: no try is without effect, and IAM's simulation is not asked",
        )
        .fix(format!(
            "Have IAM simulate it; a role's ARN has its path, such as /aws-reserved/sso.amazonaws.com/:\n\
             aws iam simulate-principal-policy --policy-source-arn {principal} --action-names {MAKES} --query \
             'EvaluationResults[].[EvalActionName,EvalDecision]' --output table"
        )),
    );
    checks
}

/// The ARN by which IAM knows a caller: that of the role, for a session of one.
fn principal(arn: &str) -> String {
    let parts: Vec<_> = arn.split(':').collect();
    match parts[..] {
        [_, partition, "sts", _, account, resource] => {
            let mut names = resource.split('/');
            match (names.next(), names.next()) {
                (Some("assumed-role"), Some(role)) => {
                    format!("arn:{partition}:iam::{account}:role/{role}")
                }
                _ => arn.to_owned(),
            }
        }
        _ => arn.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_asked_about_by_its_role() {
        assert_eq!(
            principal("arn:aws:sts::111122223333:assumed-role/admin/anna"),
            "arn:aws:iam::111122223333:role/admin"
        );
        let user = "arn:aws:iam::111122223333:user/anna";
        assert_eq!(principal(user), user);
    }
}
