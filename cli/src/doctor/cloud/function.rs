//! Lambda: which function is meant, how it is set up, and what it says of itself.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Architecture, EnvironmentResponse};
use jiff::Timestamp;
use rulekeeper::aws::{api_error, whole};
use rulekeeper_core::model::{Scope, head};
use rulekeeper_core::ports::ApiError;
use serde_json::{Value, json};

use super::{Cloud, absent};
use crate::doctor::facts::{FoundFunction, FunctionFacts, Invocations, RoleAnswer, same_table};

/// How long the function may take: its time-out in the template, and its start.
const ANSWER: Duration = Duration::from_secs(40);

impl Cloud {
    /// The function of this name, or the one that has our table.
    pub(in crate::doctor) async fn function(
        &self,
        name: Option<&str>,
        table: &str,
    ) -> FoundFunction {
        let name = match name {
            Some(name) => name.to_owned(),
            None => match self.functions_with(table).await {
                Ok(mut names) if names.len() == 1 => names.remove(0),
                Ok(names) if names.is_empty() => return FoundFunction::Nowhere,
                Ok(names) => return FoundFunction::Several(names),
                Err(error) => return FoundFunction::Unknown("lambda:ListFunctions", error),
            },
        };
        // The list says nothing of states (Lambda API Reference, ListFunctions).
        match self
            .lambda
            .get_function_configuration()
            .function_name(&name)
            .send()
            .await
        {
            Ok(it) => match facts(it, name) {
                Ok(facts) => FoundFunction::One(Box::new(facts)),
                Err(error) => FoundFunction::Unknown("lambda:GetFunctionConfiguration", error),
            },
            Err(error) => match absent::<(), _>(
                "GetFunctionConfiguration",
                &error,
                "ResourceNotFoundException",
            ) {
                Ok(_) => FoundFunction::Absent(name),
                Err(error) => FoundFunction::Unknown("lambda:GetFunctionConfiguration", error),
            },
        }
    }

    async fn functions_with(&self, table: &str) -> Result<Vec<String>, ApiError> {
        let mut pages = self.lambda.list_functions().into_paginator().items().send();
        let mut names = Vec::new();
        while let Some(function) = pages.next().await {
            let function = function.map_err(|error| api_error("ListFunctions", &error))?;
            let its = variable(function.environment.as_ref(), "RULEKEEPER_TABLE");
            if its.is_some_and(|its| same_table(&its, table)) {
                names.extend(function.function_name);
            }
        }
        Ok(names)
    }

    /// The function's reserved concurrency, if it has any.
    pub(in crate::doctor) async fn concurrency(&self, name: &str) -> Result<Option<i32>, ApiError> {
        let asked = self
            .lambda
            .get_function_concurrency()
            .function_name(name)
            .send()
            .await;
        let answer = asked.map_err(|error| api_error("GetFunctionConcurrency", &error))?;
        Ok(answer.reserved_concurrent_executions)
    }

    /// The settings of the function's asynchronous invocations, if there are any.
    pub(in crate::doctor) async fn invocations(
        &self,
        name: &str,
    ) -> Result<Option<Invocations>, ApiError> {
        match self
            .lambda
            .get_function_event_invoke_config()
            .function_name(name)
            .send()
            .await
        {
            Ok(it) => Ok(Some(Invocations {
                retries: it.maximum_retry_attempts,
                on_failure: it
                    .destination_config
                    .and_then(|it| it.on_failure)
                    .and_then(|it| it.destination),
            })),
            Err(error) => absent(
                "GetFunctionEventInvokeConfig",
                &error,
                "ResourceNotFoundException",
            ),
        }
    }

    /// Invokes the function, which tries what its role allows.
    pub(in crate::doctor) async fn ask(&self, name: &str, scopes: &[Scope]) -> RoleAnswer {
        let patient = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .read_timeout(ANSWER)
            .operation_attempt_timeout(ANSWER)
            .operation_timeout(ANSWER)
            .build();
        // A second attempt would do no harm, but take as long again.
        let config = aws_sdk_lambda::config::Builder::from(&self.config)
            .timeout_config(patient)
            .retry_config(RetryConfig::disabled());
        let question = json!({ "doctor": { "scopes": scopes } });
        let sent = Timestamp::now();
        let answer = aws_sdk_lambda::Client::from_conf(config.build())
            .invoke()
            .function_name(name)
            .payload(Blob::new(question.to_string()))
            .send()
            .await;
        let received = Timestamp::now();
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return RoleAnswer::Refused(api_error("Invoke", &error)),
        };
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        let payload: Value = match serde_json::from_slice(&payload) {
            Ok(payload) => payload,
            Err(error) => return RoleAnswer::Odd(error.to_string()),
        };
        if answer.function_error.is_some() {
            return RoleAnswer::Broke(shortened(&payload));
        }
        match payload
            .get("doctor")
            .map(|findings| serde_json::from_value(findings.clone()))
        {
            Some(Ok(findings)) => RoleAnswer::Findings {
                findings,
                sent,
                received,
            },
            Some(Err(error)) => RoleAnswer::Odd(error.to_string()),
            None if payload["outcome"] == "ignored" => RoleAnswer::Ignored,
            None => RoleAnswer::Odd(shortened(&payload)),
        }
    }
}

fn facts(it: GetFunctionConfigurationOutput, name: String) -> Result<FunctionFacts, ApiError> {
    Ok(FunctionFacts {
        name: it.function_name.unwrap_or(name),
        arn: whole("GetFunctionConfiguration", "FunctionArn", it.function_arn)?,
        state: it.state.map(|state| state.to_string()).unwrap_or_default(),
        state_reason: it.state_reason,
        last_update: it
            .last_update_status
            .map(|status| status.to_string())
            .unwrap_or_default(),
        last_update_reason: it.last_update_status_reason,
        runtime: it
            .runtime
            .map(|runtime| runtime.to_string())
            .unwrap_or_default(),
        architecture: it
            .architectures
            .unwrap_or_default()
            .first()
            .map_or_else(String::new, Architecture::to_string),
        table: variable(it.environment.as_ref(), "RULEKEEPER_TABLE"),
        mode: variable(it.environment.as_ref(), "RULEKEEPER_MODE"),
        never: variable(it.environment.as_ref(), "RULEKEEPER_NEVER"),
        topics: variable(it.environment.as_ref(), "RULEKEEPER_TOPICS")
            .iter()
            .flat_map(|arns| arns.split_whitespace())
            .map(str::to_owned)
            .collect(),
        dead_letters: it
            .dead_letter_config
            .and_then(|it| it.target_arn)
            .filter(|arn| !arn.is_empty()),
    })
}

/// An answer cut to what fits into a finding.
fn shortened(payload: &Value) -> String {
    const LONGEST: usize = 200;
    let text = payload.to_string();
    match head(&text, LONGEST) {
        Some(head) => format!("{head}…"),
        None => text,
    }
}

fn variable(environment: Option<&EnvironmentResponse>, name: &str) -> Option<String> {
    environment?.variables.as_ref()?.get(name).cloned()
}
