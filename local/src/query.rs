//! EC2 and STS: the query protocol, with answers in XML.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::dials::Dials;
use crate::ec2::{Answer, Ec2Error, Params};
use crate::http::{self, Hangup};
use crate::identity::Caller;
use crate::services::{Request, Service, Services};
use crate::{ids, sts, xml};

/// Answers a call of EC2 or, by its version, of STS.
pub(crate) async fn call(
    services: &Services,
    caller: &Caller,
    params: &Params,
) -> Result<Response, Hangup> {
    let action = params.text("Action").unwrap_or_default();
    let version = params.text("Version");
    let service = match version {
        Some("2011-06-15") => Service::Sts,
        _ => Service::Ec2,
    };
    let request_id = ids::uuid();
    let request = Request {
        caller,
        service,
        action,
        group: first_group(params),
    };
    let run = async {
        match (service, version) {
            (Service::Sts, _) => sts::call(&services.cloud, caller, action, params),
            (_, Some("2016-11-15")) => services.cloud.run_ec2(caller, action, params),
            _ => Err(Ec2Error::new(
                "InvalidAction",
                format!(
                    "rulekeeper-local imitates EC2 2016-11-15 and STS 2011-06-15, not version {version:?}"
                ),
            )),
        }
    };
    let record = |result: &Result<Answer, Ec2Error>| {
        if service == Service::Ec2 {
            services
                .cloud
                .trail(caller, action, params, &request_id, result);
        }
    };
    let mentions = |id: &str| params.mentions(id);
    let denial = |dials: &Dials| denied(dials, caller, service, action, params);
    let result = services
        .carry_out(&request, mentions, denial, run, record)
        .await?;
    Ok(match (result, service) {
        (Ok(fields), Service::Sts) => sts_answer(action, &request_id, &fields),
        (Err(refusal), Service::Sts) => sts_refusal(&request_id, &refusal),
        (Ok(fields), _) => ec2_answer(action, &request_id, &fields),
        (Err(refusal), _) => ec2_refusal(&request_id, &refusal),
    })
}

/// The first group id among the parameters that name the call's own group.
fn first_group(params: &Params) -> Option<String> {
    let filtered = params
        .list("Filter")
        .into_iter()
        .filter(|filter| filter.get("Name") == Some("group-id"));
    let named = params.text("GroupId").map(str::to_owned);
    named
        .or_else(|| params.values("GroupId").into_iter().next())
        .or_else(|| filtered.flat_map(|filter| filter.values("Value")).next())
}

/// `UnauthorizedOperation` with the text that AWS was seen to send (`adanalvarez/TrailDiscover`); for STS `AccessDenied`.
fn denied(
    dials: &Dials,
    caller: &Caller,
    service: Service,
    action: &str,
    params: &Params,
) -> Option<Ec2Error> {
    let tags_on_create = action != "CreateTags" && params.has("TagSpecification");
    let denied = if dials.denied.contains(action) {
        action
    } else if tags_on_create && dials.denied.contains("CreateTags") {
        "CreateTags"
    } else {
        return None;
    };
    let (arn, account, region) = (
        &caller.identity.arn,
        &caller.identity.account,
        &caller.region,
    );
    if service == Service::Sts {
        let role = params.text("RoleArn").unwrap_or("*");
        let message =
            format!("User: {arn} is not authorized to perform: sts:{denied} on resource: {role}");
        return Some(Ec2Error::new("AccessDenied", message).with_status(403));
    }
    let resource = match (denied, params.text("GroupId")) {
        ("CreateTags", _) => format!("arn:aws:ec2:{region}:{account}:security-group-rule/*"),
        (_, Some(group)) => format!("arn:aws:ec2:{region}:{account}:security-group/{group}"),
        _ => "*".to_owned(),
    };
    let message = format!(
        "You are not authorized to perform this operation. User: {arn} is not authorized to perform: ec2:{denied} on resource: \
         {resource} because no identity-based policy allows the ec2:{denied} action. Encoded authorization failure message: \
         bG9jYWwgc3RhY2s"
    );
    Some(Ec2Error::new("UnauthorizedOperation", message).with_status(403))
}

const XML_HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

fn xml_answer(status: u16, body: String) -> Response {
    let kind = [(CONTENT_TYPE, "text/xml;charset=UTF-8")];
    (http::status(status), kind, format!("{XML_HEAD}{body}")).into_response()
}

fn ec2_answer(action: &str, request_id: &str, fields: &Answer) -> Response {
    let members = xml::members(fields);
    xml_answer(
        200,
        format!(
            "<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>{request_id}</requestId>{members}</{action}Response>"
        ),
    )
}

/// EC2 Developer Guide, "Error codes for the Amazon EC2 API", example error response.
fn ec2_refusal(request_id: &str, refusal: &Ec2Error) -> Response {
    let (code, message) = (xml::escape(&refusal.code), xml::escape(&refusal.message));
    xml_answer(
        refusal.status,
        format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>{request_id}</RequestID></Response>"
        ),
    )
}

fn sts_answer(action: &str, request_id: &str, fields: &Answer) -> Response {
    let members = xml::members(fields);
    xml_answer(
        200,
        format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>{members}</{action}Result>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
        ),
    )
}

fn sts_refusal(request_id: &str, refusal: &Ec2Error) -> Response {
    let (code, message) = (xml::escape(&refusal.code), xml::escape(&refusal.message));
    let side = if refusal.status >= 500 {
        "Receiver"
    } else {
        "Sender"
    };
    xml_answer(
        refusal.status,
        format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>{side}</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        ),
    )
}
