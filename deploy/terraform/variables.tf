# Made from template.yaml by tools/terraform.py. The reasons for what is here stand there.

variable "mode" {
  description = "observe overrides every record: what would be restored is reported, and nothing is changed. A dry run for the whole stack."
  type        = string
  default     = "enforce"

  validation {
    condition     = contains(["enforce", "observe"], var.mode)
    error_message = "mode must be one of enforce, observe."
  }
}

variable "rules_per_group" {
  description = "The account's quota \"Inbound or outbound rules per security group\" in this Region, for counting the room that a group has left."
  type        = number
  default     = 60

  validation {
    condition     = var.rules_per_group >= 1
    error_message = "rules_per_group must be at least 1."
  }

  validation {
    condition     = var.rules_per_group <= 1000
    error_message = "rules_per_group must be at most 1000."
  }
}

variable "never_authorize" {
  description = "Rules that are never authorized, whatever a record says, separated by semicolons: such as \"tcp 22 from 0.0.0.0/0; tcp 22 from ::/0; public/24\". Wider rules count, and rules that together allow as much. public/N forbids public sources wider than /N."
  type        = string
  default     = ""
}

variable "sweep_schedule" {
  description = "How often every recorded group is looked at, event or no event. At least hourly, or the alarm for missing sweeps is raised."
  type        = string
  default     = "rate(15 minutes)"

  validation {
    condition     = can(regex("^(rate|cron)\\(.+\\)$", var.sweep_schedule))
    error_message = "sweep_schedule must be of the form ^(rate|cron)\\(.+\\)$."
  }
}

variable "watch_seconds" {
  description = "How often groups whose record says \"watch: true\" are read, in seconds, so that a drop is seen before its event comes. 0: nothing of it is deployed."
  type        = number
  default     = 0

  validation {
    condition     = var.watch_seconds >= 0
    error_message = "watch_seconds must be at least 0."
  }

  validation {
    condition     = var.watch_seconds <= 60
    error_message = "watch_seconds must be at most 60."
  }
}

variable "member_role_name" {
  description = "Name of the role to assume in an event's account when that is not this one (RoleName of template-member.yaml). Empty: this account's groups only."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[\\w+=,.@-]{0,64}$", var.member_role_name))
    error_message = "member_role_name must be of the form ^[\\w+=,.@-]{0,64}$."
  }
}

variable "organization_id" {
  description = "The organization whose accounts may hand events over to this one's default event bus (template-member.yaml). Empty: none may."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|o-[a-z0-9]{10,32})$", var.organization_id))
    error_message = "organization_id must be of the form ^(|o-[a-z0-9]{10,32})$."
  }
}

variable "alarm_email" {
  description = "Address to send alarms to (AWS asks it to confirm). Empty, nobody reads them until you subscribe to the topic yourself."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|[^@\\s]+@[^@\\s]+)$", var.alarm_email))
    error_message = "alarm_email must be of the form ^(|[^@\\s]+@[^@\\s]+)$."
  }
}

variable "notice_email" {
  description = "Address to send notices to, one for each event or sweep that brought rules back, could not, or changed a record (AWS asks it to confirm). Empty, nobody reads them until you subscribe to the topic yourself."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|[^@\\s]+@[^@\\s]+)$", var.notice_email))
    error_message = "notice_email must be of the form ^(|[^@\\s]+@[^@\\s]+)$."
  }
}

variable "owner_tag" {
  description = "Key of the tag of a security group that names its owner, for notices. It costs one describe call for each notice about an event. Empty, nobody looks."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^.{0,128}$", var.owner_tag))
    error_message = "owner_tag must be of the form ^.{0,128}$."
  }
}

variable "log_filter" {
  description = "Filter for the function's log lines, such as info, or info,rulekeeper=debug."
  type        = string
  default     = "info"

  validation {
    condition     = length(var.log_filter) >= 1
    error_message = "log_filter must be 1 characters long or more."
  }
}

variable "log_retention_days" {
  description = "Days to keep the function's logs."
  type        = number
  default     = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653."
  }
}

variable "permissions_boundary_arn" {
  description = "A managed policy to be the permissions boundary of the function's role. It must allow what the role's own policies allow. Empty: none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|arn:[a-z-]+:iam::([0-9]{12}|aws):policy/.+)$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn must be of the form ^(|arn:[a-z-]+:iam::([0-9]{12}|aws):policy/.+)$."
  }
}

variable "kms_key_arn" {
  description = "Your own symmetric KMS key of this Region for the table, the queues, the topics and the logs. Its key policy must let EventBridge, CloudWatch and CloudWatch Logs use it. Empty: keys of AWS."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+)$", var.kms_key_arn))
    error_message = "kms_key_arn must be of the form ^(|arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+)$."
  }
}

variable "architecture" {
  description = "Processor to build for and run on."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be one of arm64, x86_64."
  }
}

variable "reserved_concurrency" {
  description = "Most invocations at once, set aside for this function; two of them may be for parts of sweeps. 0 stops it. -1 sets nothing aside, as an account with a quota of 10 needs."
  type        = number
  default     = 10

  validation {
    condition     = var.reserved_concurrency >= -1
    error_message = "reserved_concurrency must be at least -1."
  }

  validation {
    condition     = var.reserved_concurrency <= 1000
    error_message = "reserved_concurrency must be at most 1000."
  }
}
