//! Managed prefix lists: create, modify, delete, describe.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::rule::Source;
use super::world::PrefixList;
use super::{Answer, Ctx, Ec2Error, Params, answer, paging, quota, tags};
use crate::ids;

/// Largest maximum size of a list (VPC User Guide, prefix lists).
const ENTRIES_MAX: i64 = 1000;

fn max_entries(params: &Params) -> Result<Option<u32>, Ec2Error> {
    let Some(size) = params.integer("MaxEntries")? else {
        return Ok(None);
    };
    if !(1..=ENTRIES_MAX).contains(&size) {
        return Err(Ec2Error::value(format!(
            "Value ({size}) for parameter MaxEntries is invalid. It must be 1 to {ENTRIES_MAX}."
        )));
    }
    Ok(u32::try_from(size).ok())
}

fn cidr(family: &str, text: &str) -> Result<String, Ec2Error> {
    let source = if family == "IPv6" {
        Source::ipv6(text)?
    } else {
        Source::ipv4(text)?
    };
    Ok(source.peer())
}

fn entries_of(family: &str, nodes: &[&Params]) -> Result<BTreeMap<String, String>, Ec2Error> {
    nodes
        .iter()
        .map(|node| {
            node.only(&["Cidr", "Description"])?;
            let text = node.require("Cidr", "Cidr")?;
            Ok((
                cidr(family, text)?,
                node.get("Description").unwrap_or_default().to_owned(),
            ))
        })
        .collect()
}

fn too_many(list: &str) -> Ec2Error {
    Ec2Error::new(
        "PrefixListMaxEntriesExceeded",
        format!("You've reached the maximum number of entries for the prefix list '{list}'."),
    )
}

pub(crate) fn create(ctx: &mut Ctx<'_>, params: &Params) -> Result<Answer, Ec2Error> {
    params.only(&[
        "PrefixListName",
        "MaxEntries",
        "AddressFamily",
        "Entry",
        "TagSpecification",
        "ClientToken",
    ])?;
    let name = params.require("PrefixListName", "PrefixListName")?;
    let family = match params
        .require("AddressFamily", "AddressFamily")?
        .to_ascii_lowercase()
        .as_str()
    {
        "ipv4" => "IPv4",
        "ipv6" => "IPv6",
        other => {
            return Err(Ec2Error::value(format!(
                "Value ({other}) for parameter AddressFamily is invalid."
            )));
        }
    };
    let weight = max_entries(params)?.ok_or_else(|| Ec2Error::missing("MaxEntries"))?;
    let entries = entries_of(family, &params.list("Entry"))?;
    if entries.len() > weight as usize {
        return Err(too_many(name));
    }
    let tags = tags::on_create(params, "prefix-list", &ctx.dials.refused_tag_keys)?;
    let (name, owner, family) = (name.to_owned(), ctx.account.to_owned(), family.to_owned());
    let list = PrefixList {
        name,
        owner,
        family,
        weight,
        version: 1,
        entries,
        tags,
    };
    let id = ids::resource("pl");
    let shape = entry(ctx, &id, &list, "create-complete");
    ctx.change(|state| state.prefix_lists.insert(id, Arc::new(list)));
    Ok(answer([("prefixList", shape)]))
}

/// Changes name, entries and maximum size.
///
/// A larger maximum fails if a group that uses the list would go over its quota (VPC User Guide, prefix lists).
pub(crate) fn modify(ctx: &mut Ctx<'_>, params: &Params) -> Result<Answer, Ec2Error> {
    params.only(&[
        "PrefixListId",
        "CurrentVersion",
        "PrefixListName",
        "AddEntry",
        "RemoveEntry",
        "MaxEntries",
    ])?;
    let id = params.require("PrefixListId", "PrefixListId")?.to_owned();
    let mut list = own_list(ctx, &id)?;
    if params
        .integer("CurrentVersion")?
        .is_some_and(|version| u64::try_from(version) != Ok(list.version))
    {
        return Err(Ec2Error::new(
            "PrefixListVersionMismatch",
            format!(
                "The prefix list has the incorrect version number. Current version: {}",
                list.version
            ),
        ));
    }
    for node in params.list("RemoveEntry") {
        list.entries
            .remove(&cidr(&list.family, node.require("Cidr", "Cidr")?)?);
    }
    list.entries
        .extend(entries_of(&list.family, &params.list("AddEntry"))?);
    if params.has("AddEntry") || params.has("RemoveEntry") {
        list.version += 1;
    }
    if let Some(name) = params.text("PrefixListName") {
        name.clone_into(&mut list.name);
    }
    let before = list.weight;
    list.weight = max_entries(params)?.unwrap_or(before);
    if list.entries.len() > list.weight as usize {
        return Err(too_many(&id));
    }
    let shape = entry(ctx, &id, &list, "modify-complete");
    let staleness = ctx.dials.staleness();
    let restore = ctx
        .world
        .shard(ctx.account, ctx.region)
        .now
        .prefix_lists
        .get(&id)
        .cloned();
    ctx.change(|state| state.prefix_lists.insert(id.clone(), Arc::new(list)));
    let users: Vec<_> = ctx
        .state()
        .groups
        .values()
        .filter(|group| uses(group, &id))
        .cloned()
        .collect();
    for group in users {
        let keys = group.rules.iter().map(|rule| &rule.key);
        if let Err(refusal) =
            quota::check(ctx.world, ctx.account, ctx.region, ctx.dials.quota, keys)
        {
            if let Some(old) = restore {
                ctx.world
                    .shard(ctx.account, ctx.region)
                    .change(staleness, |state| state.prefix_lists.insert(id, old));
            }
            return Err(refusal);
        }
    }
    Ok(answer([("prefixList", shape)]))
}

fn uses(group: &super::world::Group, list: &str) -> bool {
    group
        .rules
        .iter()
        .any(|rule| matches!(&rule.key.source, Source::PrefixList(id) if id == list))
}

fn own_list(ctx: &mut Ctx<'_>, id: &str) -> Result<PrefixList, Ec2Error> {
    super::permission::prefix_list(id)?;
    let state = ctx.state();
    let list = state.prefix_lists.get(id);
    let list = list.ok_or_else(|| Ec2Error::prefix_list_not_found(id))?;
    if list.owner == "AWS" {
        return Err(Ec2Error::value(format!(
            "The prefix list '{id}' is managed by AWS and cannot be changed"
        )));
    }
    Ok(PrefixList::clone(list))
}

/// Deletes a list that no rule uses (EC2 API Reference, DeleteManagedPrefixList).
pub(crate) fn delete(ctx: &mut Ctx<'_>, params: &Params) -> Result<Answer, Ec2Error> {
    params.only(&["PrefixListId"])?;
    let id = params.require("PrefixListId", "PrefixListId")?.to_owned();
    let list = own_list(ctx, &id)?;
    if ctx.state().groups.values().any(|group| uses(group, &id)) {
        return Err(Ec2Error::new(
            "DependencyViolation",
            format!("resource {id} has a dependent object"),
        ));
    }
    let shape = entry(ctx, &id, &list, "delete-complete");
    ctx.change(|state| state.prefix_lists.remove(&id));
    Ok(answer([("prefixList", shape)]))
}

/// Lists by id or by the filters `prefix-list-id`, `prefix-list-name` and `owner-id`; pages of 1 to 100 (EC2 API Reference).
pub(crate) fn describe(ctx: &mut Ctx<'_>, params: &Params) -> Result<Answer, Ec2Error> {
    params.only(&["PrefixListId", "Filter", "MaxResults", "NextToken"])?;
    let ids = params.values("PrefixListId");
    let filters = paging::filters(params)?;
    let view = ctx.view(params);
    for id in &ids {
        super::permission::prefix_list(id)?;
        if !view.prefix_lists.contains_key(id) {
            return Err(Ec2Error::prefix_list_not_found(id));
        }
    }
    let mut found: Vec<(String, Value)> = Vec::new();
    for (id, list) in &view.prefix_lists {
        let fits = filters.all("DescribeManagedPrefixLists", |filter| {
            let value = match filter.name.as_str() {
                "prefix-list-id" => id,
                "prefix-list-name" => &list.name,
                "owner-id" => &list.owner,
                _ => return None,
            };
            Some(filter.matches(value))
        })?;
        if fits && (ids.is_empty() || ids.contains(id)) {
            found.push((id.clone(), entry(ctx, id, list, "create-complete")));
        }
    }
    paging::page(
        "prefixListSet",
        found,
        params,
        (1, 100),
        ctx.dials.page_limit,
    )
}

/// The CIDRs of a list, the newest version only; pages of 1 to 100 (EC2 API Reference). AWS's own lists are empty here.
pub(crate) fn get_entries(ctx: &mut Ctx<'_>, params: &Params) -> Result<Answer, Ec2Error> {
    params.only(&["PrefixListId", "MaxResults", "NextToken"])?;
    let id = params.require("PrefixListId", "PrefixListId")?;
    super::permission::prefix_list(id)?;
    let view = ctx.view(params);
    let list = view.prefix_lists.get(id);
    let list = list.ok_or_else(|| Ec2Error::prefix_list_not_found(id))?;
    let entries = list.entries.iter().map(|(cidr, description)| {
        let mut entry = json!({"cidr": cidr});
        if !description.is_empty() {
            entry["description"] = json!(description);
        }
        (cidr.clone(), entry)
    });
    let entries = entries.collect();
    paging::page("entrySet", entries, params, (1, 100), ctx.dials.page_limit)
}

fn entry(ctx: &Ctx<'_>, id: &str, list: &PrefixList, state: &str) -> Value {
    let managed = list.owner == "AWS";
    let owner = if managed { "aws" } else { &list.owner };
    let mut entry = json!({
        "prefixListId": id, "prefixListName": list.name, "ownerId": list.owner, "addressFamily": list.family,
        "state": state, "prefixListArn": ids::arn("ec2", ctx.region, owner, &format!("prefix-list/{id}")),
        "tagSet": tags::set(&list.tags),
    });
    if !managed {
        // AWS's own lists show neither; only the documentation has their weight.
        entry["maxEntries"] = json!(list.weight);
        entry["version"] = json!(list.version);
    }
    entry
}
