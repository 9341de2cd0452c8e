//! IAM: judges the calls of roles by the policies that they are given.
//!
//! The crate `iam-rs` evaluates statements. What it would pass over in silence, such as an element that it does not know,
//! [`Policy::new`] refuses.

pub(crate) mod access;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use iam_rs::{
    Arn, Context, ContextValue, Decision, EvaluationOptions, IAMPolicy, IAMRequest,
    PolicyEvaluator, Principal, PrincipalId, Validate,
};
use serde_json::{Value, json};

pub use access::Access;
pub use template::{Given, Template, TemplateError};

use crate::lock::lock;

/// The condition keys of which every judged request has its value, if IAM gives it one, and whether they have several.
/// A policy with another key is refused.
const KEYS: [(&str, bool); 5] = [
    ("aws:PrincipalOrgID", false),
    ("aws:ResourceOrgID", false),
    ("dynamodb:Attributes", true),
    ("dynamodb:LeadingKeys", true),
    ("ec2:CreateAction", false),
];

/// The elements of a statement that are judged, besides `Resource`, or `Principal` in a trust policy. A statement with
/// another one is refused.
const ELEMENTS: [&str; 4] = ["Sid", "Effect", "Action", "Condition"];

/// A policy that cannot be judged.
#[derive(Debug, thiserror::Error)]
#[error("rulekeeper-local cannot judge the statement {statement}: {problem}")]
pub struct PolicyError {
    statement: String,
    problem: String,
}

/// The statements of a role's policies, or of its trust policy.
#[derive(Debug, Clone)]
pub struct Policy {
    evaluator: PolicyEvaluator,
}

impl Policy {
    /// Reads what a role may do.
    ///
    /// # Errors
    /// When a statement has an element, an operator or a condition key that is not judged here, or a policy variable.
    pub fn new(statements: &[Value]) -> Result<Self, PolicyError> {
        Self::read(statements, "Resource")
    }

    /// Reads a trust policy, which names principals and no resource: it is about its own role.
    ///
    /// # Errors
    /// As [`Policy::new`].
    pub fn trust(statements: &[Value]) -> Result<Self, PolicyError> {
        Self::read(statements, "Principal")
    }

    fn read(statements: &[Value], about: &str) -> Result<Self, PolicyError> {
        for statement in statements {
            check(statement, about).map_err(|problem| PolicyError {
                statement: statement.to_string(),
                problem,
            })?;
        }
        let document = json!({ "Version": "2012-10-17", "Statement": statements });
        let policy: IAMPolicy =
            serde_json::from_value(document.clone()).map_err(|error| PolicyError {
                statement: document.to_string(),
                problem: error.to_string(),
            })?;
        let options = EvaluationOptions {
            ignore_resource_constraints: about == "Principal",
            ..EvaluationOptions::default()
        };
        let evaluator = PolicyEvaluator::with_policies(vec![policy]).with_options(options);
        Ok(Self { evaluator })
    }

    /// Whether these statements allow a request of `caller`, the ARN of a role.
    ///
    /// # Errors
    /// When the request cannot be judged.
    pub fn allows(&self, caller: &str, access: &Access) -> Result<bool, String> {
        let mut context = Context::new();
        for (key, values) in &access.context {
            let value = match (is_multivalued(key), &values[..]) {
                (Some(true), _) => ContextValue::StringList(values.clone()),
                (Some(false), [value]) => ContextValue::String(value.clone()),
                _ => return Err(format!("{key} has the values {values:?}")),
            };
            context.insert(key.clone(), value);
        }
        // Only `*` stands for no resource at all.
        let resource = access.resource.as_deref().unwrap_or("arn:none:none:::none");
        let resource = Arn::parse(resource).map_err(|error| format!("{resource}: {error}"))?;
        let principal = Principal::Aws(PrincipalId::String(caller.to_owned()));
        let request =
            IAMRequest::new_with_context(principal, access.action.as_str(), resource, context);
        let judged = self.evaluator.evaluate(&request);
        judged
            .map(|result| result.decision == Decision::Allow)
            .map_err(|error| error.to_string())
    }
}

/// Whether a condition key has several values; `None` for a key that is not judged. The names of keys have no case.
fn is_multivalued(key: &str) -> Option<bool> {
    let known = KEYS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(key));
    known.map(|(_, multivalued)| *multivalued)
}

/// What is wrong with a statement, beyond what the evaluator finds itself.
fn check(statement: &Value, about: &str) -> Result<(), String> {
    let fields = statement.as_object().ok_or("it is not an object")?;
    if !fields.contains_key(about) {
        return Err(format!("it has no {about}"));
    }
    if let Some(name) = fields
        .keys()
        .find(|name| *name != about && !ELEMENTS.contains(&name.as_str()))
    {
        return Err(format!("{name} is not judged"));
    }
    let conditions = fields.get("Condition").and_then(Value::as_object);
    for (operator, keys) in conditions.into_iter().flatten() {
        for key in keys.as_object().into_iter().flatten().map(|(key, _)| key) {
            match is_multivalued(key) {
                None => return Err(format!("the condition key {key} is not judged")),
                Some(true) if !operator.starts_with("For") && operator != "Null" => {
                    return Err(format!(
                        "{key} has several values, and {operator} is for one"
                    ));
                }
                Some(_) => {}
            }
        }
    }
    if statement.to_string().contains("${") {
        return Err("policy variables are not judged".to_owned());
    }
    let read: iam_rs::IAMStatement =
        serde_json::from_value(statement.clone()).map_err(|error| error.to_string())?;
    // The crate takes a statement without a resource for an invalid one.
    let validated = match about {
        "Resource" => read.validate_result(),
        _ => Ok(()),
    };
    validated.map_err(|error| error.to_string())
}

/// A role that IAM knows.
#[derive(Debug, Clone)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// The organization of its account.
    pub organization: Option<String>,
    /// What it may do.
    pub permissions: Policy,
    /// Who may assume it.
    pub trust: Policy,
}

/// A request that was judged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Judged {
    /// The ARN of the caller's role.
    pub role: String,
    /// What was asked.
    pub access: Access,
    /// Whether it was allowed.
    pub allowed: bool,
}

/// A call that a role may not make.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// No policy allows this.
    Denied(Access),
    /// The call cannot be judged.
    Unknown(String),
}

/// Judges the calls of roles; clones share what they have judged.
///
/// Without roles it allows everything. With roles it judges their calls, lets them assume each other only, and allows
/// every other caller everything.
#[derive(Debug, Clone, Default)]
pub struct Iam {
    roles: Arc<BTreeMap<String, Role>>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    judged: BTreeSet<Judged>,
    refusals: Vec<String>,
}

impl Iam {
    pub(crate) fn new(roles: Vec<Role>) -> Self {
        let roles = roles.into_iter().map(|role| (role.arn.clone(), role));
        Self {
            roles: Arc::new(roles.collect()),
            state: Arc::default(),
        }
    }

    /// Every request that was judged, once.
    #[must_use]
    pub fn judged(&self) -> BTreeSet<Judged> {
        lock(&self.state).judged.clone()
    }

    /// What was refused and what could not be judged, in order.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        lock(&self.state).refusals.clone()
    }

    /// Judges a call of a role; `asked` is only made for a role whose calls are judged.
    pub(crate) fn judge(
        &self,
        role: &str,
        asked: impl FnOnce() -> Result<Vec<Access>, String>,
    ) -> Result<(), Refusal> {
        let Some(caller) = self.roles.get(role) else {
            return Ok(());
        };
        let judged = asked().map_err(Refusal::Unknown).and_then(|asked| {
            let mut asked = asked.into_iter();
            asked.try_for_each(|access| self.judge_one(caller, access))
        });
        if let Err(refusal) = &judged {
            lock(&self.state)
                .refusals
                .push(format!("{role}: {refusal:?}"));
        }
        judged
    }

    /// Whether the role may make a request that a service makes in its name.
    pub(crate) fn allows(&self, role: &str, access: Access) -> bool {
        self.judge(role, || Ok(vec![access])).is_ok()
    }

    fn judge_one(&self, caller: &Role, mut access: Access) -> Result<(), Refusal> {
        let allowed = match access.assumed_role().map(str::to_owned) {
            Some(target) => self.may_assume(caller, &target, &mut access),
            None => caller.permissions.allows(&caller.arn, &access),
        };
        let allowed = allowed.map_err(Refusal::Unknown)?;
        lock(&self.state).judged.insert(Judged {
            role: caller.arn.clone(),
            access: access.clone(),
            allowed,
        });
        match allowed {
            true => Ok(()),
            false => Err(Refusal::Denied(access)),
        }
    }

    /// Both the caller's policy and the role's trust policy must allow it, if they are of different accounts (IAM User
    /// Guide, "Cross-account policy evaluation logic"). A role that does not exist is refused alike.
    fn may_assume(&self, caller: &Role, target: &str, access: &mut Access) -> Result<bool, String> {
        let assumed = self.roles.get(target);
        let organizations = [
            ("aws:ResourceOrgID", assumed),
            ("aws:PrincipalOrgID", Some(caller)),
        ];
        for (key, role) in organizations {
            let organization = role.and_then(|role| role.organization.clone());
            if let Some(organization) = organization {
                access.context.insert(key.to_owned(), vec![organization]);
            }
        }
        let trusted = assumed.map(|role| role.trust.allows(&caller.arn, access));
        Ok(caller.permissions.allows(&caller.arn, access)? && trusted.transpose()? == Some(true))
    }
}

#[cfg(test)]
mod tests;
