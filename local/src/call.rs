//! The steps of every call: journal, latency, hooks, dials.

use std::future::{Future, pending};
use std::time::Instant;

use axum::body::Bytes;
use axum::http::{self, StatusCode};
use serde_json::{Map, Value};

use crate::cloud::Decision;
use crate::dials::Dials;
use crate::ec2::{Ec2Error, Params};
use crate::http::Hangup;
use crate::identity::Caller;
use crate::ids;
use crate::journal;
use crate::policy::access::{self, Access, Place};
use crate::policy::{Iam, Refusal};
use crate::services::{Service, Services};
use crate::times;

/// A call that came in.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) service: Service,
    pub(crate) action: &'a str,
    pub(crate) sent: Sent<'a>,
}

/// The parameters of a call.
#[derive(Debug)]
pub(crate) enum Sent<'a> {
    /// The parameters of a query API.
    Form(&'a Params),
    /// A body.
    Text(&'a str),
}

impl Call<'_> {
    fn mentions(&self, id: &str) -> bool {
        match self.sent {
            Sent::Form(params) => params.mentions(id),
            Sent::Text(text) => text.contains(id),
        }
    }

    /// The first group id among the parameters that name the call's own group.
    fn first_group(&self) -> Option<String> {
        let Sent::Form(params) = self.sent else {
            return None;
        };
        let filtered = params
            .list("Filter")
            .into_iter()
            .filter(|filter| filter.get("Name") == Some("group-id"));
        let named = params.text("GroupId").map(str::to_owned);
        named
            .or_else(|| params.values("GroupId").into_iter().next())
            .or_else(|| filtered.flat_map(|filter| filter.values("Value")).next())
    }

    /// The service's refusal if the dials or the policies of the caller's role do not allow the call.
    fn denial(&self, dials: &Dials, iam: &Iam) -> Option<Ec2Error> {
        let service = self.service.name();
        let place = self.place();
        let tags = matches!(self.sent, Sent::Form(params) if params.has("TagSpecification"));
        let group = match self.sent {
            Sent::Form(params) => params.text("GroupId"),
            Sent::Text(_) => None,
        };
        if dials.denied.contains(self.action) {
            let group = group.map(|group| format!("security-group/{group}"));
            let group = group.map(|group| ids::arn(service, place.region, place.account, &group));
            let role = match self.sent {
                Sent::Form(params) => params.text("RoleArn").map(str::to_owned),
                Sent::Text(_) => None,
            };
            return Some(self.refusal(&format!("{service}:{}", self.action), group.or(role)));
        }
        // Tags on creation need a permission of their own.
        if tags && dials.denied.contains("CreateTags") {
            let rules = ids::arn(
                service,
                place.region,
                place.account,
                "security-group-rule/*",
            );
            return Some(self.refusal("ec2:CreateTags", Some(rules)));
        }
        let role = self.caller.identity.role()?;
        match iam.judge(role, || self.asked()) {
            Ok(()) => None,
            Err(Refusal::Denied(access)) => Some(self.refusal(&access.action, access.resource)),
            Err(Refusal::Unknown(problem)) => {
                Some(Ec2Error::new("AccessDeniedException", problem).with_status(403))
            }
        }
    }

    fn place(&self) -> Place<'_> {
        Place {
            region: &self.caller.region,
            account: &self.caller.identity.account,
        }
    }

    /// What IAM is asked about the call.
    fn asked(&self) -> Result<Vec<Access>, String> {
        let (service, place) = (self.service.name(), self.place());
        match self.sent {
            Sent::Form(params) => access::of_form(service, self.action, params, place),
            Sent::Text(text) => {
                let body = serde_json::from_str(text).unwrap_or_default();
                access::of_json(service, self.action, &body, place)
            }
        }
    }

    /// How the service says that an action, such as `ec2:CreateTags`, is not allowed on a resource.
    fn refusal(&self, action: &str, resource: Option<String>) -> Ec2Error {
        let resource = resource.unwrap_or_else(|| "*".to_owned());
        let not_authorized = format!(
            "User: {} is not authorized to perform: {action}",
            self.caller.identity.arn
        );
        let on_resource = format!("{not_authorized} on resource: {resource}");
        let because = format!("because no identity-based policy allows the {action} action");
        match self.service {
            // A published answer of AWS (`adanalvarez/TrailDiscover`).
            Service::Ec2 => {
                let message = format!(
                    "You are not authorized to perform this operation. {on_resource} {because}. Encoded authorization \
                     failure message: bG9jYWwgc3RhY2s"
                );
                Ec2Error::new("UnauthorizedOperation", message).with_status(403)
            }
            Service::Sts => Ec2Error::new("AccessDenied", on_resource).with_status(403),
            Service::Lambda => Ec2Error::new(
                "AccessDeniedException",
                format!("{not_authorized} {because}"),
            ),
            _ => Ec2Error::new("AccessDeniedException", format!("{on_resource} {because}")),
        }
    }
}

/// The outcome of an answer, for the journal.
pub(crate) trait Journaled {
    fn outcome(&self) -> (String, StatusCode) {
        ("Success".to_owned(), StatusCode::OK)
    }
}

impl Journaled for Value {}

impl Journaled for Map<String, Value> {}

impl Journaled for http::Response<Bytes> {
    /// For an error, the name behind `#` in `__type`.
    fn outcome(&self) -> (String, StatusCode) {
        if self.status().is_success() {
            return ("Success".to_owned(), StatusCode::OK);
        }
        let error: Value = serde_json::from_slice(self.body()).unwrap_or_default();
        let kind = error["__type"].as_str().unwrap_or("Unknown");
        let name = kind.rsplit('#').next().unwrap_or(kind);
        (name.to_owned(), self.status())
    }
}

impl Services {
    /// Puts a call through journal, latency, hooks and dials. `run` is the effect of the call: it is awaited only if the call
    /// takes effect. `record` is given the result.
    pub(crate) async fn carry_out<T: Journaled>(
        &self,
        call: &Call<'_>,
        run: impl Future<Output = Result<T, Ec2Error>>,
        record: impl Fn(&Result<T, Ec2Error>),
    ) -> Result<Result<T, Ec2Error>, Hangup> {
        let (caller, action) = (call.caller, call.action);
        let arrived = Instant::now();
        let sequence = self.cloud.open_call(journal::Call {
            sequence: 0,
            time_ms: 0,
            service: call.service.name().to_owned(),
            action: action.to_owned(),
            account: caller.identity.account.clone(),
            region: caller.region.clone(),
            principal: caller.identity.arn.clone(),
            user_agent: caller.user_agent.clone(),
            group: call.first_group(),
            outcome: None,
            status: None,
            took_us: 0,
        });
        let close = |outcome: &str, status: Option<u16>| {
            let took_us = times::micros(arrived.elapsed());
            self.cloud.close_call(sequence, outcome, status, took_us);
        };
        let latency = self.cloud.latency(action);
        // Even an empty sleep would take a timer tick.
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        self.cloud.run_hook(action);
        let mentions = |id: &str| call.mentions(id);
        let denial = |dials: &Dials| call.denial(dials, self.cloud.iam());
        let decision = self.cloud.decide(caller, action, mentions, denial);
        let result = match decision {
            Decision::Proceed => run.await,
            Decision::Refuse {
                refusal,
                takes_effect,
            } => {
                if takes_effect {
                    // The caller sees the refusal, whatever the result is.
                    drop(run.await);
                }
                Err(call.service.in_service_terms(refusal))
            }
            Decision::DropConnection { takes_effect } | Decision::KeepSilent { takes_effect } => {
                if takes_effect {
                    record(&run.await);
                }
                if matches!(decision, Decision::DropConnection { .. }) {
                    close("ConnectionDropped", None);
                    return Err(Hangup);
                }
                close("Silence", None);
                return pending().await;
            }
        };
        // Journal before record: the record's event may wake a reader who looks for the call.
        match &result {
            Ok(answer) => {
                let (outcome, status) = answer.outcome();
                close(&outcome, Some(status.as_u16()));
            }
            Err(refusal) => close(&refusal.code, Some(refusal.status)),
        }
        record(&result);
        Ok(result)
    }
}
