# What Terraform needs to be told beside the template's parameters.

variable "name" {
  description = "What the resources' names begin with. One for each deployment in an account and Region."
  type        = string
  default     = "rulekeeper"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,22}$", var.name))
    error_message = "name must begin with a letter, have letters, digits and hyphens only, and at most 23 of them."
  }
}

variable "package" {
  description = "The function's zip for the architecture, as a file: function/rulekeeper-function-ARCHITECTURE.zip of the release bundle. This or package_s3."
  type        = string
  default     = null

  validation {
    condition     = (var.package == null) != (var.package_s3 == null)
    error_message = "Give package or package_s3, and not both."
  }
}

variable "package_s3" {
  description = "The same as an object in S3, in a bucket of the same Region. Without a version, a new package needs a new key."
  type        = object({ bucket = string, key = string, version = optional(string) })
  default     = null
}

variable "tags" {
  description = "Tags for every resource that can have some."
  type        = map(string)
  default     = {}
}

variable "other_bus_statements" {
  description = "With organization_id: policy statements of the default event bus to keep beside rulekeeper's. Terraform's provider sets the whole policy of a bus, and statements that are not named here are lost."
  type        = any
  default     = []
}

locals {
  filename          = var.package
  source_code_hash  = var.package == null ? null : filebase64sha256(var.package)
  s3_bucket         = try(var.package_s3.bucket, null)
  s3_key            = try(var.package_s3.key, null)
  s3_object_version = try(var.package_s3.version, null)
}
