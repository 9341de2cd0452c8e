//! The state per account and Region: VPCs, groups, prefix lists, and the old states that stale reads need.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::rule::{Rule, RuleKey, Source, Traffic};
use crate::ids;

/// A VPC.
#[derive(Debug, Clone)]
pub(crate) struct Vpc {
    pub(crate) cidr: String,
    pub(crate) is_default: bool,
    pub(crate) tags: BTreeMap<String, String>,
}

/// A security group with its rules, in the order they were made.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) vpc_id: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) rules: Vec<Rule>,
}

impl Group {
    /// A new group as EC2 makes it: no inbound rules, and one outbound rule for all IPv4 traffic.
    pub(crate) fn new(
        name: &str,
        description: &str,
        vpc_id: &str,
        tags: BTreeMap<String, String>,
    ) -> Self {
        let anywhere = Source::Ipv4(ipnet::Ipv4Net::default());
        let open = RuleKey {
            egress: true,
            traffic: Traffic::ALL,
            source: anywhere,
        };
        Self {
            id: ids::resource("sg"),
            name: name.to_owned(),
            description: description.to_owned(),
            vpc_id: vpc_id.to_owned(),
            tags,
            rules: vec![Rule::new(open)],
        }
    }
}

/// A prefix list, the account's own or AWS's.
#[derive(Debug, Clone)]
pub(crate) struct PrefixList {
    pub(crate) name: String,
    /// `AWS` for managed ones.
    pub(crate) owner: String,
    pub(crate) family: String,
    /// How much a rule with the list counts towards the quota: the maximum size, or AWS's weight.
    pub(crate) weight: u32,
    pub(crate) version: u64,
    pub(crate) entries: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// The groups by id. Changed groups are noted and names are indexed, so that neither needs a scan: fleets are large.
#[derive(Debug, Clone, Default)]
pub(crate) struct Groups {
    by_id: BTreeMap<String, Arc<Group>>,
    names: HashSet<(String, String)>,
    /// Each group that the current change touches, as it was before; `None` if it did not exist.
    changed: BTreeMap<String, Option<Arc<Group>>>,
}

impl Deref for Groups {
    type Target = BTreeMap<String, Arc<Group>>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

impl Groups {
    fn note_change(&mut self, id: &str) {
        let before = self.by_id.get(id).cloned();
        self.changed.entry(id.to_owned()).or_insert(before);
    }

    /// Whether a VPC has a group of this name.
    pub(crate) fn has_name(&self, vpc_id: &str, name: &str) -> bool {
        self.names.contains(&(vpc_id.to_owned(), name.to_owned()))
    }

    pub(crate) fn insert(&mut self, group: Arc<Group>) {
        self.note_change(&group.id);
        self.names
            .insert((group.vpc_id.clone(), group.name.clone()));
        self.by_id.insert(group.id.clone(), group);
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.note_change(id);
        if let Some(group) = self.by_id.remove(id) {
            self.names
                .remove(&(group.vpc_id.clone(), group.name.clone()));
        }
    }

    fn get_mut(&mut self, id: &str) -> Option<&mut Group> {
        self.note_change(id);
        self.by_id.get_mut(id).map(Arc::make_mut)
    }
}

/// Everything in one account and Region.
#[derive(Debug, Clone, Default)]
pub(crate) struct RegionState {
    pub(crate) vpcs: BTreeMap<String, Vpc>,
    pub(crate) groups: Groups,
    pub(crate) prefix_lists: BTreeMap<String, Arc<PrefixList>>,
}

impl RegionState {
    /// A new Region: a default VPC with its `default` group, and AWS's own prefix lists with the weights of the VPC User Guide.
    fn new(region: &str, account: &str) -> Self {
        let mut state = Self::default();
        state.add_vpc(account, "172.31.0.0/16", true);
        for (name, weight) in [
            (format!("com.amazonaws.{region}.s3"), 1),
            (format!("com.amazonaws.{region}.dynamodb"), 1),
            (
                "com.amazonaws.global.cloudfront.origin-facing".to_owned(),
                55,
            ),
            (format!("com.amazonaws.{region}.vpc-lattice"), 10),
        ] {
            let list = PrefixList {
                name,
                owner: "AWS".into(),
                family: "IPv4".into(),
                weight,
                version: 1,
                entries: BTreeMap::new(),
                tags: BTreeMap::new(),
            };
            state
                .prefix_lists
                .insert(ids::resource("pl"), Arc::new(list));
        }
        state
    }

    pub(crate) fn add_vpc(&mut self, account: &str, cidr: &str, is_default: bool) -> String {
        let id = ids::resource("vpc");
        self.vpcs.insert(
            id.clone(),
            Vpc {
                cidr: cidr.to_owned(),
                is_default,
                tags: BTreeMap::new(),
            },
        );
        let mut group = Group::new(
            "default",
            "default VPC security group",
            &id,
            BTreeMap::new(),
        );
        let own = Source::Group {
            id: group.id.clone(),
            owner: account.to_owned(),
        };
        let key = RuleKey {
            egress: false,
            traffic: Traffic::ALL,
            source: own,
        };
        group.rules.push(Rule::new(key));
        self.groups.insert(Arc::new(group));
        id
    }

    pub(crate) fn default_vpc(&self) -> Option<&str> {
        self.vpcs
            .iter()
            .find(|(_, vpc)| vpc.is_default)
            .map(|(id, _)| id.as_str())
    }

    pub(crate) fn is_default_vpc(&self, vpc_id: &str) -> bool {
        self.vpcs.get(vpc_id).is_some_and(|vpc| vpc.is_default)
    }

    pub(crate) fn group_mut(&mut self, id: &str) -> Option<&mut Group> {
        self.groups.get_mut(id)
    }

    /// The group and the rule with this id.
    pub(crate) fn rule(&self, rule_id: &str) -> Option<(&Arc<Group>, &Rule)> {
        self.groups.values().find_map(|group| {
            group
                .rules
                .iter()
                .find(|rule| rule.id == rule_id)
                .map(|rule| (group, rule))
        })
    }
}

/// One account and Region: the current state, and the old states that stale reads need.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) now: Arc<RegionState>,
    /// Earlier states, each with its start; empty unless the dials make reads stale.
    past: VecDeque<(Instant, Arc<RegionState>)>,
    /// Each changed group as it was before its last change; `None` if it did not exist.
    before: BTreeMap<String, Option<Arc<Group>>>,
}

impl Shard {
    /// Applies a change, and keeps what stale reads may need.
    pub(crate) fn change<T>(
        &mut self,
        staleness: Duration,
        apply: impl FnOnce(&mut RegionState) -> T,
    ) -> T {
        // Kept only for stale reads: without a second reference to the state, a change copies one group instead of all.
        let old = (!staleness.is_zero()).then(|| Arc::clone(&self.now));
        let now = Arc::make_mut(&mut self.now);
        now.groups.changed.clear();
        let result = apply(now);
        self.before.extend(std::mem::take(&mut now.groups.changed));
        let Some(old) = old else {
            self.past.clear();
            return result;
        };
        if self.past.is_empty() {
            self.past.push_back((
                Instant::now()
                    .checked_sub(staleness)
                    .unwrap_or_else(Instant::now),
                old,
            ));
        }
        self.past.push_back((Instant::now(), Arc::clone(&self.now)));
        // Reads use the newest state that is old enough; the states before it are not needed.
        while self
            .past
            .get(1)
            .is_some_and(|(at, _)| at.elapsed() >= staleness)
        {
            self.past.pop_front();
        }
        result
    }

    /// The state as it was `staleness` ago.
    pub(crate) fn as_of(&self, staleness: Duration) -> Arc<RegionState> {
        if staleness.is_zero() {
            return Arc::clone(&self.now);
        }
        let old_enough = self
            .past
            .iter()
            .rev()
            .find(|(at, _)| at.elapsed() >= staleness);
        let state = old_enough
            .or_else(|| self.past.front())
            .map(|(_, state)| state);
        Arc::clone(state.unwrap_or(&self.now))
    }

    /// Whether there is a state of the group before its last change.
    pub(crate) fn has_previous(&self, group: &str) -> bool {
        self.before.contains_key(group)
    }

    /// Restores one group in `view` to its state before its last change.
    pub(crate) fn restore_previous(&self, view: &mut Arc<RegionState>, group: &str) {
        match self.before.get(group) {
            None => {}
            Some(Some(old)) => {
                Arc::make_mut(view).groups.insert(Arc::clone(old));
            }
            Some(None) => {
                Arc::make_mut(view).groups.remove(group);
            }
        }
    }
}

/// A VPC peering connection, always active.
#[derive(Debug, Clone)]
pub(crate) struct Peering {
    pub(crate) id: String,
    pub(crate) vpcs: [String; 2],
}

/// All accounts and Regions.
#[derive(Debug, Default)]
pub(crate) struct World {
    shards: BTreeMap<(String, String), Shard>,
    pub(crate) peerings: Vec<Peering>,
}

impl World {
    pub(crate) fn shard(&mut self, account: &str, region: &str) -> &mut Shard {
        self.shards
            .entry((account.to_owned(), region.to_owned()))
            .or_insert_with(|| Shard {
                now: Arc::new(RegionState::new(region, account)),
                past: VecDeque::new(),
                before: BTreeMap::new(),
            })
    }

    pub(crate) fn shards_in<'a>(
        &'a mut self,
        region: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a mut Shard)> {
        self.shards
            .iter_mut()
            .filter(move |((_, r), _)| r == region)
            .map(|((account, _), shard)| (account.as_str(), shard))
    }

    pub(crate) fn group(&mut self, account: &str, region: &str, id: &str) -> Option<Arc<Group>> {
        self.shard(account, region).now.groups.get(id).cloned()
    }

    pub(crate) fn peering(&self, one: &str, other: &str) -> Option<&Peering> {
        self.peerings.iter().find(|p| {
            (p.vpcs[0] == one && p.vpcs[1] == other) || (p.vpcs[1] == one && p.vpcs[0] == other)
        })
    }
}
