//! The function's configuration: environment variables, read once at start.

use rulekeeper_core::decide::guardrail::Guardrails;
use rulekeeper_core::desired::Mode;
use rulekeeper_core::reconcile::Settings;
use tracing_subscriber::filter::Targets;

/// AWS's default quota of inbound rules per security group (VPC User Guide, "Amazon VPC quotas").
pub const DEFAULT_RULES_PER_GROUP: u32 = 60;

/// The values of the environment variables.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `RULEKEEPER_TABLE`, required: the table's name.
    pub table: String,
    /// `RULEKEEPER_MODE`: `enforce`, or `observe` to override every record.
    pub mode: Mode,
    /// `RULEKEEPER_RULES_PER_GROUP`: the account's quota of ingress rules per group, 1 to 1000.
    pub rules_per_group: u32,
    /// `RULEKEEPER_OWN_ROLE`: the ARN of the function's role, by which it knows its own calls. Without it, the session's
    /// name alone decides.
    pub own_role: Option<String>,
    /// `RULEKEEPER_WATCH_FUNCTION`: the name of the function that watches, whose calls are ours too.
    pub watch_function: Option<String>,
    /// `RULEKEEPER_ROLE_NAME`: the role to assume in the event's account if it is not ours.
    pub role_name: Option<String>,
    /// `RULEKEEPER_SWEEP_QUEUE`: the URL of the queue that feeds the function, for sweeps that need several
    /// invocations.
    pub sweep_queue: Option<String>,
    /// `RULEKEEPER_RESULTS_BUS`: the name or ARN of the event bus that receives the results of such sweeps. Lambda
    /// sends all other results.
    pub results_bus: Option<String>,
    /// `RULEKEEPER_OWNER_TAG`: the key of the tag of a group that names its owner, for notices.
    pub owner_tag: Option<String>,
    /// `RULEKEEPER_NEVER`: rules that are never authorized, separated by semicolons.
    pub never: Guardrails,
    /// `RULEKEEPER_LOG`: a tracing filter, such as `info` or `rulekeeper=debug`.
    pub log: Targets,
}

/// A variable that is missing or invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} {problem}")]
pub struct InvalidVariable {
    name: &'static str,
    problem: String,
}

impl Config {
    /// Reads the configuration. An empty variable counts as absent, because CloudFormation cannot leave one out.
    ///
    /// # Errors
    /// The first variable that is missing or invalid, with its name and what it should be.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidVariable> {
        let given = |name: &str| {
            variable(name)
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        let wrong = |name, problem| Err(InvalidVariable { name, problem });
        let Some(table) = given("RULEKEEPER_TABLE") else {
            return wrong(
                "RULEKEEPER_TABLE",
                "is not set: give the name of the DynamoDB table".to_owned(),
            );
        };
        let mode = match given("RULEKEEPER_MODE").as_deref() {
            None | Some("enforce") => Mode::Enforce,
            Some("observe") => Mode::Observe,
            Some(other) => {
                return wrong(
                    "RULEKEEPER_MODE",
                    format!("is {other:?}: give enforce or observe"),
                );
            }
        };
        let rules_per_group = match given("RULEKEEPER_RULES_PER_GROUP") {
            None => DEFAULT_RULES_PER_GROUP,
            Some(text) => match text.parse() {
                Ok(number @ 1..=1_000) => number,
                _ => {
                    let problem =
                        format!("is {text:?}: give your account's quota, a number from 1 to 1000");
                    return wrong("RULEKEEPER_RULES_PER_GROUP", problem);
                }
            },
        };
        let own_role = given("RULEKEEPER_OWN_ROLE");
        if let Some(arn) = own_role
            .as_deref()
            .filter(|arn| !(arn.starts_with("arn:") && arn.contains(":role/")))
        {
            let problem = format!(
                "is {arn:?}: give the ARN of the function's role, arn:aws:iam::ACCOUNT:role/NAME"
            );
            return wrong("RULEKEEPER_OWN_ROLE", problem);
        }
        let watch_function = given("RULEKEEPER_WATCH_FUNCTION");
        let role_name = given("RULEKEEPER_ROLE_NAME");
        if let Some(name) = role_name
            .as_deref()
            .filter(|name| name.contains([':', ' ']))
        {
            let problem = format!(
                "is {name:?}: give a role's name, with its path if it has one, and not an ARN"
            );
            return wrong("RULEKEEPER_ROLE_NAME", problem);
        }
        let sweep_queue = given("RULEKEEPER_SWEEP_QUEUE");
        if let Some(url) = sweep_queue
            .as_deref()
            .filter(|url| !url.starts_with("https://") && !url.starts_with("http://"))
        {
            let problem = format!(
                "is {url:?}: give the queue's URL, https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
            );
            return wrong("RULEKEEPER_SWEEP_QUEUE", problem);
        }
        let results_bus = given("RULEKEEPER_RESULTS_BUS");
        let owner_tag = given("RULEKEEPER_OWNER_TAG");
        let never = match given("RULEKEEPER_NEVER").unwrap_or_default().parse() {
            Ok(never) => never,
            Err(error) => {
                let problem = format!("cannot be read, so nothing would be guarded: {error}");
                return wrong("RULEKEEPER_NEVER", problem);
            }
        };
        let log = given("RULEKEEPER_LOG").unwrap_or_else(|| "info".to_owned());
        let log = match log.parse() {
            Ok(log) => log,
            Err(error) => {
                return wrong(
                    "RULEKEEPER_LOG",
                    format!("is {log:?}, not a tracing filter such as info: {error}"),
                );
            }
        };
        Ok(Self {
            table,
            mode,
            rules_per_group,
            own_role,
            watch_function,
            role_name,
            sweep_queue,
            results_bus,
            owner_tag,
            never,
            log,
        })
    }

    /// The settings of a reconcile that may act.
    pub fn settings(&self) -> Settings {
        Settings {
            mode: self.mode,
            rules_per_group: self.rules_per_group,
            writes: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
        let find = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Config::read(find).map_err(|error| error.to_string())
    }

    #[test]
    fn the_table_is_all_that_is_needed() {
        let config = read(&[
            ("RULEKEEPER_TABLE", "rulekeeper"),
            ("RULEKEEPER_ROLE_NAME", ""),
        ])
        .expect("a table");
        assert_eq!(
            (config.mode, config.rules_per_group, config.role_name),
            (Mode::Enforce, 60, None)
        );
        assert_eq!(config.log.to_string(), "info");
    }

    #[test]
    fn a_missing_or_wrong_variable_is_named() {
        let table = ("RULEKEEPER_TABLE", "t");
        let cases: [(&[(&str, &str)], &str); 9] = [
            (
                &[table, ("RULEKEEPER_SWEEP_QUEUE", "sweeps")],
                "RULEKEEPER_SWEEP_QUEUE is \"sweeps\"",
            ),
            (&[], "RULEKEEPER_TABLE is not set"),
            (
                &[table, ("RULEKEEPER_MODE", "watch")],
                "RULEKEEPER_MODE is \"watch\"",
            ),
            (
                &[table, ("RULEKEEPER_RULES_PER_GROUP", "many")],
                "RULEKEEPER_RULES_PER_GROUP is \"many\"",
            ),
            (
                &[table, ("RULEKEEPER_RULES_PER_GROUP", "0")],
                "RULEKEEPER_RULES_PER_GROUP is \"0\"",
            ),
            (
                &[table, ("RULEKEEPER_ROLE_NAME", "arn:aws:iam::1:role/x")],
                "RULEKEEPER_ROLE_NAME is",
            ),
            (
                &[table, ("RULEKEEPER_OWN_ROLE", "rulekeeper-function")],
                "RULEKEEPER_OWN_ROLE is \"rulekeeper-function\"",
            ),
            (&[table, ("RULEKEEPER_LOG", "a=b=c")], "RULEKEEPER_LOG is"),
            (
                &[table, ("RULEKEEPER_NEVER", "tcp 22 from 0.0.0.0/0; tcp 23")],
                "RULEKEEPER_NEVER cannot be read, so nothing would be guarded: \"tcp 23\"",
            ),
        ];
        for (variables, expected) in cases {
            let error = read(variables).expect_err(expected);
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
