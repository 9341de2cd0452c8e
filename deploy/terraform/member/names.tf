# What Terraform needs to be told beside the template's parameters.

variable "name" {
  description = "What the resources' names begin with. One for each deployment in an account and Region."
  type        = string
  default     = "rulekeeper-member"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,23}$", var.name))
    error_message = "name must begin with a letter, have letters, digits and hyphens only, and at most 24 of them."
  }
}

variable "tags" {
  description = "Tags for every resource that can have some."
  type        = map(string)
  default     = {}
}
