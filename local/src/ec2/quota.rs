//! How many rules fit into a group.
//!
//! VPC User Guide, quotas: the quota applies per direction, separately for IPv4 and IPv6; a prefix list costs its maximum size or AWS's weight.
//! References to groups and prefix lists count towards both families, according to an older edition of that page and measurements (`jantman/awslimitchecker` #431).

use super::Ec2Error;
use super::rule::{RuleKey, Source};
use super::world::World;

/// Refuses a set of rules that is too large in either direction or family.
pub(crate) fn check<'a>(
    world: &mut World,
    account: &str,
    region: &str,
    quota: u32,
    keys: impl Iterator<Item = &'a RuleKey>,
) -> Result<(), Ec2Error> {
    // [direction][family]
    let mut used = [[0_u32; 2]; 2];
    for key in keys {
        let [ipv4, ipv6] = match &key.source {
            Source::Ipv4(_) => [1, 0],
            Source::Ipv6(_) => [0, 1],
            Source::Group { .. } => [1, 1],
            Source::PrefixList(id) => {
                let list = world.shard(account, region).now.prefix_lists.get(id);
                [list.map_or(1, |list| list.weight); 2]
            }
        };
        let direction = &mut used[usize::from(key.egress)];
        direction[0] += ipv4;
        direction[1] += ipv6;
    }
    if used.iter().flatten().any(|count| *count > quota) {
        return Err(Ec2Error::new(
            "RulesPerSecurityGroupLimitExceeded",
            "The maximum number of rules per security group has been reached.",
        ));
    }
    Ok(())
}
