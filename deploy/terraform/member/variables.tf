# Made from template-member.yaml by tools/terraform.py. The reasons for what is here stand there.

variable "hub_bus_arn" {
  description = "The default event bus of rulekeeper's account and Region (the output HubBusArn of its stack)."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:events:[a-z0-9-]+:[0-9]{12}:event-bus/default$", var.hub_bus_arn))
    error_message = "hub_bus_arn must be of the form ^arn:[a-z-]+:events:[a-z0-9-]+:[0-9]{12}:event-bus/default$."
  }
}

variable "hub_role_arn" {
  description = "The role of rulekeeper's function (the output FunctionRoleArn of its stack)."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", var.hub_role_arn))
    error_message = "hub_role_arn must be of the form ^arn:[a-z-]+:iam::[0-9]{12}:role/.+$."
  }
}

variable "organization_id" {
  description = "The organization that both accounts belong to. Nobody outside of it can assume the role."
  type        = string

  validation {
    condition     = can(regex("^o-[a-z0-9]{10,32}$", var.organization_id))
    error_message = "organization_id must be of the form ^o-[a-z0-9]{10,32}$."
  }
}

variable "role_name" {
  description = "Name of the role to be made. Give the same name as MemberRoleName of rulekeeper's stack."
  type        = string
  default     = "rulekeeper-member"

  validation {
    condition     = can(regex("^[\\w+=,.@-]{1,64}$", var.role_name))
    error_message = "role_name must be of the form ^[\\w+=,.@-]{1,64}$."
  }
}

variable "role_region" {
  description = "The Region whose stack makes the role. It must be one of those that the stack is deployed to."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2,4}(-[a-z]+)+-[0-9]+$", var.role_region))
    error_message = "role_region must be of the form ^[a-z]{2,4}(-[a-z]+)+-[0-9]+$."
  }
}

variable "alarm_topic_arn" {
  description = "A topic of this Region to tell when events could not be handed over. Its policy must let cloudwatch.amazonaws.com publish. Empty, the alarm shows in CloudWatch only."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:.+)$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be of the form ^(|arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:.+)$."
  }
}

variable "permissions_boundary_arn" {
  description = "A managed policy to be the permissions boundary of both roles. It must allow what the roles' own policies allow. Empty: none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|arn:[a-z-]+:iam::([0-9]{12}|aws):policy/.+)$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn must be of the form ^(|arn:[a-z-]+:iam::([0-9]{12}|aws):policy/.+)$."
  }
}
