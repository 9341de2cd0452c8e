//! Reads that need nothing to be deployed.

use rulekeeper::aws::api_error;

use super::Cloud;
use crate::doctor::before::Tried;

impl Cloud {
    /// The reads of EC2 that the function makes.
    pub(in crate::doctor) async fn reads_of_ec2(&self) -> Vec<Tried> {
        let ec2 = aws_sdk_ec2::Client::new(&self.config);
        let (groups, rules, vpcs) = tokio::join!(
            ec2.describe_security_groups().max_results(5).send(),
            ec2.describe_security_group_rules().max_results(5).send(),
            ec2.describe_vpcs().max_results(5).send(),
        );
        vec![
            (
                "ec2:DescribeSecurityGroups",
                groups
                    .map(drop)
                    .map_err(|error| api_error("DescribeSecurityGroups", &error)),
            ),
            (
                "ec2:DescribeSecurityGroupRules",
                rules
                    .map(drop)
                    .map_err(|error| api_error("DescribeSecurityGroupRules", &error)),
            ),
            (
                "ec2:DescribeVpcs",
                vpcs.map(drop)
                    .map_err(|error| api_error("DescribeVpcs", &error)),
            ),
        ]
    }

    /// A read of each service that holds what the template makes, as far as we ask it anything.
    pub(in crate::doctor) async fn reads_of_others(&self) -> Vec<Tried> {
        let (tables, functions) = tokio::join!(
            self.dynamodb.list_tables().limit(1).send(),
            self.lambda.list_functions().max_items(1).send(),
        );
        vec![
            (
                "dynamodb:ListTables",
                tables
                    .map(drop)
                    .map_err(|error| api_error("ListTables", &error)),
            ),
            (
                "lambda:ListFunctions",
                functions
                    .map(drop)
                    .map_err(|error| api_error("ListFunctions", &error)),
            ),
        ]
    }
}
