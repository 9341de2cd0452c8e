//! What time it is at AWS, by the `Date` of an answer.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_sts::config::ConfigBag;
use aws_sdk_sts::primitives::{DateTime, DateTimeFormat};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use jiff::Timestamp;

use crate::doctor::facts::Reading;

/// Notes when a call went out, when its answer came, and the answer's `Date`; of several attempts the last counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Times(Arc<Mutex<(Option<Timestamp>, Option<Reading>)>>);

impl Times {
    pub(super) fn reading(&self) -> Option<Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

#[dyn_dispatch_hint]
impl Intercept for Times {
    fn name(&self) -> &'static str {
        "Times"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(Timestamp::now());
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let received = Timestamp::now();
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        let told = date.and_then(|date| Timestamp::from_second(date.secs()).ok());
        if let (Some(sent), Some(told)) = (times.0, told) {
            // HTTP tells time to the second, and cuts off what is more (RFC 9110, section 5.6.7).
            let blur_ms = 1_000;
            times.1 = Some(Reading {
                sent,
                told,
                blur_ms,
                received,
            });
        }
        Ok(())
    }
}
