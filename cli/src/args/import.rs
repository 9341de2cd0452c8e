//! The verb that makes record files from the files of other tools.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rulekeeper_core::desired::Mode;

use super::mode;

const IMPORT_HELP: &str = "\
Examples:
  rulekeeper import terraform state.json --output-dir records
  rulekeeper import cloudformation template.yaml --resources resources.json --output-dir records";

/// What to read.
#[derive(Debug, Subcommand)]
#[command(after_help = IMPORT_HELP)]
pub(crate) enum Import {
    /// Read the JSON that `terraform show -json` prints of a state or a plan
    Terraform(ImportTerraform),
    /// Read a template in JSON or YAML, and the physical ids of its resources
    Cloudformation(ImportCloudformation),
}

/// Where the records go.
#[derive(Debug, Args)]
pub(crate) struct Records {
    /// Write a file for each group to this folder; replace none [default: all to standard output, in YAML]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) output_dir: Option<PathBuf>,
    /// The mode of the records: enforce or observe
    #[arg(long, value_name = "MODE", value_parser = mode, default_value = "enforce")]
    pub(crate) mode: Mode,
}

const TERRAFORM_HELP: &str = "\
It reads aws_security_group, aws_default_security_group, aws_security_group_rule and aws_vpc_security_group_ingress_rule,
and skips egress rules. A state holds what was live at its last refresh, and an apply refreshes before it changes rules, so
refresh once more before you import a state. A rule that a group lists and no rule resource has leaves the group out.
If anything about a group is unknown, the whole group is left out and named on standard error, and the exit code is 1.
Account and Region come from the group's ARN, or from --account and --region.

Examples:
  rulekeeper import terraform state.json --output-dir records
  rulekeeper import terraform state.json | rulekeeper apply -f -

How to get the state:
  terraform apply -refresh-only && terraform show -json > state.json";

#[derive(Debug, Args)]
#[command(after_help = TERRAFORM_HELP)]
pub(crate) struct ImportTerraform {
    /// The file; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) records: Records,
}

const CLOUDFORMATION_HELP: &str = "\
It reads AWS::EC2::SecurityGroup and AWS::EC2::SecurityGroupIngress, and skips egress rules. It evaluates Ref, GetAtt of ids,
FindInMap, If with its conditions, Join, Select, Split and Sub. Parameters are known with --parameters only: a parameter that
the file does not list has the template's default, and a file with [] stands for defaults alone.
If anything about a group is unknown, the whole group is left out and named on standard error, and the exit code is 1.
Account and Region come from the stack's ARN in --resources or --parameters, or from --account and --region.

Examples:
  rulekeeper import cloudformation template.yaml --resources resources.json --parameters stack.json --output-dir records

How to get the resources and the parameters:
  aws cloudformation describe-stack-resources --stack-name NAME --output json > resources.json
  aws cloudformation describe-stacks --stack-name NAME --output json > stack.json";

#[derive(Debug, Args)]
#[command(after_help = CLOUDFORMATION_HELP)]
pub(crate) struct ImportCloudformation {
    /// The template; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// What `aws cloudformation describe-stack-resources` prints of the stack
    #[arg(long, value_name = "FILE")]
    pub(crate) resources: Option<PathBuf>,
    /// What `aws cloudformation describe-stacks` prints of the stack, or a list of ParameterKey and ParameterValue
    #[arg(long, value_name = "FILE")]
    pub(crate) parameters: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) records: Records,
}
