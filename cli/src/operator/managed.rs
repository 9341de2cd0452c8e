//! Which groups AWS services manage.
//!
//! EC2 does not say so of a group, as it does of network interfaces (`RequesterManaged`). What is known are the names
//! and tags that services give to the groups they make. `aws:cloudformation:…` and other tags of AWS's own say who made
//! a group, not who changes its rules, so of those only the ones below count.

use std::fmt;

use rulekeeper::aws::FoundGroup;

/// The service that manages a group, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager {
    service: &'static str,
    shown_by: String,
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} manages it ({})", self.service, self.shown_by)
    }
}

/// A fact that identifies the groups of a service.
enum Fact {
    /// A tag with this key, and with this value if one is given.
    Tag(&'static str, Option<&'static str>),
    /// A name with this beginning.
    Name(&'static str),
    /// A directory's id followed by this.
    Directory(&'static str),
}

/// The facts, by what AWS documents or, where it does not, by published observations:
///
/// - EKS: a cluster's group is named `eks-cluster-sg-…` and tagged `aws:eks:cluster-name`, and EKS makes its inbound
///   rule and its tags again with each update (EKS User Guide, "View Amazon EKS security group requirements for
///   clusters"). Groups for remote access to managed nodes have `eks:nodegroup-name`, by which EKS may change their
///   rules (AWS managed policy `AWSServiceRoleForAmazonEKSNodegroup`).
/// - EMR adds the inbound rules that a new cluster lacks to its default groups (EMR Management Guide, "Working with
///   Amazon EMR-managed security groups"). Own groups that were handed to EMR cannot be told from others.
/// - WorkSpaces and Directory Service name theirs after the directory, and warn against changing them (WorkSpaces
///   Administration Guide, "Security groups for WorkSpaces Personal").
/// - ECS makes and changes the groups of Express Mode services, tagged `AmazonECSManaged` (AWS managed policy
///   `AmazonECSInfrastructureRoleforExpressGatewayServices`).
/// - CloudFront tags the group of VPC origins `aws.cloudfront.vpcorigin` (AWS managed policy
///   `AWSCloudFrontVPCOriginServiceRolePolicy`); its name is from published observations.
/// - GuardDuty, Firewall Manager and SageMaker: the names are from published observations.
const FACTS: [(&str, Fact); 13] = [
    ("Amazon EKS", Fact::Tag("aws:eks:cluster-name", None)),
    ("Amazon EKS", Fact::Tag("eks:nodegroup-name", None)),
    ("Amazon EKS", Fact::Name("eks-cluster-sg-")),
    ("Amazon EMR", Fact::Name("ElasticMapReduce")),
    ("AWS Directory Service", Fact::Directory("_controllers")),
    ("Amazon WorkSpaces", Fact::Directory("_workspacesMembers")),
    ("Amazon ECS", Fact::Tag("AmazonECSManaged", Some("true"))),
    (
        "Amazon CloudFront",
        Fact::Tag("aws.cloudfront.vpcorigin", None),
    ),
    (
        "Amazon CloudFront",
        Fact::Name("CloudFront-VPCOrigins-Service-SG"),
    ),
    (
        "Amazon GuardDuty",
        Fact::Name("GuardDutyManagedSecurityGroup-"),
    ),
    ("AWS Firewall Manager", Fact::Name("FMManagedSecurityGroup")),
    (
        "Amazon SageMaker",
        Fact::Name("security-group-for-inbound-nfs-d-"),
    ),
    (
        "Amazon SageMaker",
        Fact::Name("security-group-for-outbound-nfs-d-"),
    ),
];

/// The AWS service that manages a group, as far as its name and tags tell. Controllers that run in a cluster are no AWS
/// service: the groups that they change are what rulekeeper is for.
pub fn manager(group: &FoundGroup) -> Option<Manager> {
    let named = || format!("its name is {}", group.name);
    let shown_by = |fact: &Fact| match fact {
        Fact::Tag(key, wanted) => {
            let value = group.tags.get(*key)?;
            let fits = wanted.is_none_or(|wanted| wanted == value);
            fits.then(|| format!("tag {key}={value}"))
        }
        Fact::Name(beginning) => group.name.starts_with(beginning).then(named),
        Fact::Directory(end) => is_of_directory(&group.name, end).then(named),
    };
    FACTS.iter().find_map(|(service, fact)| {
        Some(Manager {
            service,
            shown_by: shown_by(fact)?,
        })
    })
}

/// Directory ids are `d-` and ten hexadecimal digits (Directory Service API Reference, `DirectoryId`).
fn is_of_directory(name: &str, end: &str) -> bool {
    let id = name
        .strip_prefix("d-")
        .and_then(|rest| rest.strip_suffix(end));
    id.is_some_and(|id| id.len() == 10 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, tags: &[(&str, &str)]) -> Option<String> {
        let tags = tags
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let group = FoundGroup {
            id: "sg-0a".parse().expect("a group id"),
            name: name.to_owned(),
            vpc: "vpc-1".to_owned(),
            tags: tags.collect(),
        };
        manager(&group).map(|manager| manager.to_string())
    }

    #[test]
    fn groups_of_services_are_known_by_name_or_tag() {
        for (name, tags, expected) in [
            (
                "renamed",
                &[("aws:eks:cluster-name", "prod")][..],
                "Amazon EKS manages it (tag aws:eks:cluster-name=prod)",
            ),
            (
                "eks-cluster-sg-prod-1234",
                &[],
                "Amazon EKS manages it (its name is eks-cluster-sg-prod-1234)",
            ),
            (
                "eks-remoteAccess-0c",
                &[("eks:nodegroup-name", "blue")],
                "Amazon EKS manages it (tag eks:nodegroup-name=blue)",
            ),
            (
                "ElasticMapReduce-ServiceAccess",
                &[],
                "Amazon EMR manages it (its name is ElasticMapReduce-ServiceAccess)",
            ),
            (
                "d-12345678e1_controllers",
                &[],
                "AWS Directory Service manages it (its name is d-12345678e1_controllers)",
            ),
            (
                "d-123456fc11_workspacesMembers",
                &[],
                "Amazon WorkSpaces manages it (its name is d-123456fc11_workspacesMembers)",
            ),
            (
                "ecs-express",
                &[("AmazonECSManaged", "true")],
                "Amazon ECS manages it (tag AmazonECSManaged=true)",
            ),
            (
                "CloudFront-VPCOrigins-Service-SG",
                &[],
                "Amazon CloudFront manages it (its name is CloudFront-VPCOrigins-Service-SG)",
            ),
        ] {
            assert_eq!(told(name, tags).as_deref(), Some(expected));
        }
    }

    #[test]
    fn groups_of_people_and_of_controllers_are_not_taken_for_a_services() {
        for (name, tags) in [
            ("web", &[][..]),
            ("default", &[]),
            (
                "stack-web-1A2B",
                &[("aws:cloudformation:stack-name", "web")],
            ),
            ("product", &[("aws:servicecatalog:portfolioArn", "x")]),
            ("k8s-traffic-prod", &[("elbv2.k8s.aws/cluster", "prod")]),
            ("nodes", &[("kubernetes.io/cluster/prod", "owned")]),
            ("my_controllers", &[]),
            ("d-controllers", &[]),
            ("d-12345678zz_controllers", &[]),
            ("ecs", &[("AmazonECSManaged", "")]),
            ("my-eks-cluster-sg-prod", &[]),
        ] {
            assert_eq!(told(name, tags), None, "{name}");
        }
    }
}
