//! CreateVpc, CreateDefaultVpc, DescribeVpcs: no more than security groups need.

use serde_json::{Value, json};

use super::world::Vpc;
use super::{Answer, Ctx, Ec2Error, Params, answer, paging, tags};

pub(crate) fn not_found(id: &str) -> Ec2Error {
    Ec2Error::new(
        "InvalidVpcID.NotFound",
        format!("The vpc ID '{id}' does not exist"),
    )
}

/// Makes a VPC with its `default` group.
pub(crate) fn create(ctx: &mut Ctx<'_>, params: &Params) -> Result<Answer, Ec2Error> {
    params.only(&["CidrBlock", "TagSpecification"])?;
    let cidr = params.require("CidrBlock", "cidrBlock")?;
    if cidr.parse::<ipnet::Ipv4Net>().is_err() {
        return Err(Ec2Error::value(format!(
            "Value ({cidr}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
        )));
    }
    let tags = tags::on_create(params, "vpc", &ctx.dials.refused_tag_keys)?;
    let account = ctx.account.to_owned();
    let id = ctx.change(|state| {
        let id = state.add_vpc(&account, cidr, false);
        if let Some(vpc) = state.vpcs.get_mut(&id) {
            vpc.tags = tags;
        }
        id
    });
    Ok(answer([("vpc", entry(ctx, &id))]))
}

/// Makes the default VPC of a Region that has none.
pub(crate) fn create_default(ctx: &mut Ctx<'_>, params: &Params) -> Result<Answer, Ec2Error> {
    params.only(&[])?;
    if let Some(there) = ctx.state().default_vpc() {
        return Err(Ec2Error::new(
            "DefaultVpcAlreadyExists",
            format!("A Default VPC already exists for this account in this region: {there}"),
        ));
    }
    let account = ctx.account.to_owned();
    let id = ctx.change(|state| state.add_vpc(&account, "172.31.0.0/16", true));
    Ok(answer([("vpc", entry(ctx, &id))]))
}

/// VPCs by id or by the filters `is-default` (also `isDefault`), `vpc-id`, `owner-id` and tags.
pub(crate) fn describe(ctx: &mut Ctx<'_>, params: &Params) -> Result<Answer, Ec2Error> {
    params.only(&["VpcId", "Filter", "MaxResults", "NextToken"])?;
    let ids = params.values("VpcId");
    let filters = paging::filters(params)?;
    let view = ctx.view(params);
    if let Some(unknown) = ids.iter().find(|id| !view.vpcs.contains_key(*id)) {
        return Err(not_found(unknown));
    }
    let mut found: Vec<(String, Value)> = Vec::new();
    for (id, vpc) in &view.vpcs {
        let fits = filters.all("DescribeVpcs", |filter| match filter.name.as_str() {
            "is-default" | "isDefault" => Some(filter.matches(&vpc.is_default.to_string())),
            "vpc-id" => Some(filter.matches(id)),
            "owner-id" => Some(filter.matches(ctx.account)),
            _ => filter.matches_tags(&vpc.tags),
        })?;
        if fits && (ids.is_empty() || ids.contains(id)) {
            found.push((id.clone(), shape(ctx.account, id, vpc)));
        }
    }
    paging::page("vpcSet", found, params, (5, 1000), ctx.dials.page_limit)
}

fn entry(ctx: &mut Ctx<'_>, id: &str) -> Value {
    let state = ctx.state();
    state
        .vpcs
        .get(id)
        .map_or(Value::Null, |vpc| shape(ctx.account, id, vpc))
}

fn shape(account: &str, id: &str, vpc: &Vpc) -> Value {
    json!({
        "vpcId": id, "ownerId": account, "state": "available", "cidrBlock": vpc.cidr,
        "instanceTenancy": "default", "isDefault": vpc.is_default, "tagSet": tags::set(&vpc.tags),
    })
}
