//! The function as Lambda's API shows it.

use serde_json::{Value, json};

use super::Lambda;
use crate::ec2::Ec2Error;
use crate::estate::Estate;
use crate::ids;

impl Lambda {
    /// Whether a name or ARN, with or without `:$LATEST`, is that of the function.
    pub(crate) fn is(&self, name: &str) -> bool {
        let name = name.strip_suffix(":$LATEST").unwrap_or(name);
        name == self.name() || name == self.arn()
    }

    /// `GetFunctionConfiguration`, and an entry of `ListFunctions`.
    pub(crate) fn configuration(&self, estate: &Estate) -> Value {
        let (config, state) = (&self.inner.config, &estate.function);
        json!({
            "FunctionName": config.name, "FunctionArn": self.arn(), "Version": "$LATEST", "Handler": "bootstrap",
            "Role": self.inner.role,
            "Runtime": state.runtime, "Architectures": [state.architecture], "PackageType": "Zip", "CodeSize": 1,
            "MemorySize": config.memory_mb, "Timeout": config.timeout.as_secs(),
            "State": state.state, "LastUpdateStatus": state.last_update,
            "Environment": { "Variables": config.env },
        })
    }

    /// `GetFunctionEventInvokeConfig`.
    pub(crate) fn event_invoke_config(&self, estate: &Estate) -> Result<Value, Ec2Error> {
        let Some(queue) = &estate.function.on_failure else {
            let message = format!(
                "The function {} doesn't have an EventInvokeConfig",
                self.arn()
            );
            return Err(Ec2Error::new("ResourceNotFoundException", message).with_status(404));
        };
        let config = &self.inner.config;
        let queue = ids::arn("sqs", &self.inner.region, &self.inner.account, queue);
        Ok(json!({
            "FunctionArn": format!("{}:$LATEST", self.arn()), "MaximumRetryAttempts": config.retry_waits.len(),
            "MaximumEventAgeInSeconds": config.max_event_age.as_secs(),
            "DestinationConfig": { "OnSuccess": {}, "OnFailure": { "Destination": queue } },
        }))
    }
}
