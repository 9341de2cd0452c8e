//! The function, as Lambda has it.

use rulekeeper_core::decide::guardrail::Guardrails;
use rulekeeper_core::function::permissions::{Check, Outcome};
use rulekeeper_core::ports::{ApiError, Verdict};

use super::check::{failed, ok, unknown, warning};
use super::facts::{FoundFunction, FunctionFacts, Invocations, same_table};

/// `never` are the guardrails that this command line knows.
pub(super) fn judge(found: &FoundFunction, table: &str, never: &Guardrails) -> Vec<Check> {
    let check = "function";
    match found {
        FoundFunction::One(function) => vec![
            state(function),
            its_table(function, table),
            mode(function),
            guardrails(function, never),
        ],
        FoundFunction::Absent(name) => vec![
            failed(check, name, "there is no such function in this account and Region")
                .fix("Deploy the stack (docs/deploy.md), or give the function's name as --function and its --region."),
        ],
        FoundFunction::Nowhere => vec![
            failed(
                check,
                "-",
                format!("no function of this account and Region has RULEKEEPER_TABLE set to {table}"),
            )
            .fix("Deploy the stack (docs/deploy.md), or name the function with --function (RULEKEEPER_FUNCTION)."),
        ],
        FoundFunction::Several(names) => vec![
            failed(check, names.join(", "), format!("several functions have RULEKEEPER_TABLE set to {table}"))
                .fix("Name the one that is meant with --function (RULEKEEPER_FUNCTION). Two stacks on one table do no harm, but count everything twice."),
        ],
        FoundFunction::Unknown(action, error) => {
            let mut check = unknown(check, "-", error, action);
            if let Some(fix) = &mut check.fix
                && (*action, error.verdict()) == ("lambda:ListFunctions", Verdict::Denied)
            {
                fix.push_str(" Naming the function with --function needs lambda:GetFunctionConfiguration only.");
            }
            vec![check]
        }
    }
}

fn state(function: &FunctionFacts) -> Check {
    let (check, name) = ("function", function.name.as_str());
    let because = |reason: &Option<String>| {
        reason
            .as_ref()
            .map(|why| format!(": {why}"))
            .unwrap_or_default()
    };
    let again = "Deploy the stack again; if that does not help, the reason says what Lambda needs.";
    let FunctionFacts {
        state,
        last_update,
        runtime,
        architecture,
        ..
    } = function;
    if !["Active", "Inactive", "Pending"].contains(&state.as_str()) {
        let found = format!("is {state}{}", because(&function.state_reason));
        return failed(check, name, found).fix(again);
    }
    if last_update == "Failed" {
        let found = format!(
            "its last update failed{}",
            because(&function.last_update_reason)
        );
        return failed(check, name, found).fix(again);
    }
    if state != "Active" || last_update == "InProgress" {
        let found = format!(
            "is {state}, its last update {last_update}{}",
            because(&function.state_reason)
        );
        return warning(check, name, found).fix("Wait a minute and run doctor again.");
    }
    if !["provided.al2023", "provided.al2"].contains(&runtime.as_str()) {
        let found = format!("runs on {runtime}, which it was not built for");
        return warning(check, name, found)
            .fix("Deploy it on provided.al2023, as template.yaml does.");
    }
    ok(
        check,
        name,
        format!("is active, on {runtime} and {architecture}"),
    )
}

fn its_table(function: &FunctionFacts, table: &str) -> Check {
    let (check, name) = ("function_table", function.name.as_str());
    match function.table.as_deref() {
        Some(its) if same_table(its, table) => {
            ok(check, name, format!("RULEKEEPER_TABLE is {table}"))
        }
        Some(its) => failed(
            check,
            name,
            format!(
                "RULEKEEPER_TABLE is {its}, not {table}: it does not use the records of {table}"
            ),
        )
        .fix(format!(
            "Run the command line with --table {its}, or deploy the function with {table}."
        )),
        None => failed(
            check,
            name,
            "RULEKEEPER_TABLE is not set, so the function fails at its start",
        )
        .fix(format!(
            "Set RULEKEEPER_TABLE to {table}, as template.yaml does. Is this rulekeeper's function?"
        )),
    }
}

fn mode(function: &FunctionFacts) -> Check {
    let (check, name) = ("function_mode", function.name.as_str());
    match function.mode.as_deref().map(str::trim) {
        None | Some("" | "enforce") => ok(check, name, "restores what is dropped"),
        Some("observe") => warning(check, name, "RULEKEEPER_MODE is observe: it reports what is dropped and restores nothing")
            .fix("Deploy with Mode=enforce when you have seen enough: `sam deploy --parameter-overrides Mode=enforce`."),
        Some(other) => failed(check, name, format!("RULEKEEPER_MODE is {other:?}, so the function fails at its start"))
            .fix("Set it to enforce or observe."),
    }
}

fn guardrails(function: &FunctionFacts, ours: &Guardrails) -> Check {
    let (check, name) = ("function_guardrails", function.name.as_str());
    let text = function.never.as_deref().map_or("", str::trim);
    match text.parse::<Guardrails>() {
        Ok(its) if its != *ours => warning(
            check,
            name,
            format!("RULEKEEPER_NEVER is {text:?} there and \"{ours}\" here, so pin, apply and check say what holds elsewhere"),
        )
        .fix("Set RULEKEEPER_NEVER, or --never, to the same here."),
        Ok(its) if its.is_empty() => ok(
            check,
            name,
            "no rule is forbidden: whatever a record holds comes back (the stack's parameter NeverAuthorize)",
        ),
        Ok(its) => ok(check, name, format!("never authorizes {its}")),
        Err(error) => failed(
            check,
            name,
            format!("RULEKEEPER_NEVER cannot be read, so the function fails at its start: {error}"),
        )
        .fix("Correct the stack's parameter NeverAuthorize."),
    }
}

pub(super) fn judge_concurrency(
    name: &str,
    reserved: &Result<Option<i32>, ApiError>,
) -> Vec<Check> {
    let check = "function_concurrency";
    vec![match reserved {
        Ok(Some(0)) => failed(check, name, "reserved concurrency is 0, so it does not run: events wait, and go to the dead-letter queue after an hour")
            .fix(format!(
                "Let it run again, and put back what was dropped meanwhile; the stack's parameter is ReservedConcurrency:\n\
                 aws lambda put-function-concurrency --function-name {name} --reserved-concurrent-executions 10\n\
                 rulekeeper restore"
            )),
        Ok(Some(reserved)) => ok(check, name, format!("reserved concurrency: {reserved}")),
        Ok(None) => ok(check, name, "no reserved concurrency: it shares the account's"),
        Err(error) => unknown(check, name, error, "lambda:GetFunctionConcurrency"),
    }]
}

pub(super) fn judge_invocations(
    function: &FunctionFacts,
    invocations: &Result<Option<Invocations>, ApiError>,
) -> Vec<Check> {
    let (check, name) = ("function_failures", function.name.as_str());
    let invocations = match invocations {
        Ok(invocations) => invocations.clone().unwrap_or_default(),
        Err(error) => {
            return vec![unknown(
                check,
                name,
                error,
                "lambda:GetFunctionEventInvokeConfig",
            )];
        }
    };
    let mut checks = Vec::new();
    checks.push(
        match invocations
            .on_failure
            .as_ref()
            .or(function.dead_letters.as_ref())
        {
            Some(arn) => ok(check, name, format!("events that it fails on go to {arn}")),
            None => warning(
                check,
                name,
                "events that it fails on are lost; only the next sweep makes up for them",
            )
            .fix("Give it an on-failure destination, as template.yaml does (FunctionDeadLetters)."),
        },
    );
    if invocations.retries == Some(0) {
        let found = "Lambda does not try again when it fails, so throttling by EC2 leaves rules missing until the next sweep";
        let fix = format!(
            "aws lambda update-function-event-invoke-config --function-name {name} --maximum-retry-attempts 2"
        );
        checks.push(Check::new(check, Outcome::Warning, name, found).fix(fix));
    }
    checks
}
