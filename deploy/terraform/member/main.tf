# Made from template-member.yaml by tools/terraform.py. The reasons for what is here stand there.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  makes_role               = data.aws_region.current.region == var.role_region
  has_permissions_boundary = var.permissions_boundary_arn != ""
  has_alarm_topic          = var.alarm_topic_arn != ""
}

resource "aws_cloudwatch_event_rule" "forward_rule" {
  name        = "${var.name}-ForwardRule"
  description = "Hands what happens to security groups over to rulekeeper"
  event_pattern = jsonencode({
    source      = ["aws.ec2"]
    detail-type = ["AWS API Call via CloudTrail"]
    detail = {
      eventSource = ["ec2.amazonaws.com"]
      "$or" = [
        {
          eventName = [
            "RevokeSecurityGroupIngress",
            "ModifySecurityGroupRules",
            "UpdateSecurityGroupRuleDescriptionsIngress",
          ]
          errorCode = [{ exists = false }]
        },
        { eventName = ["AuthorizeSecurityGroupIngress", "DeleteSecurityGroup"] },
      ]
    }
  })
  tags = var.tags
}

resource "aws_cloudwatch_event_target" "forward_rule" {
  rule      = aws_cloudwatch_event_rule.forward_rule.name
  target_id = "hub"
  arn       = var.hub_bus_arn
  role_arn  = aws_iam_role.forward_role.arn

  dead_letter_config {
    arn = aws_sqs_queue.forward_dead_letters.arn
  }

  retry_policy {
    maximum_event_age_in_seconds = 3600
    maximum_retry_attempts       = 185
  }
}

resource "aws_iam_role" "forward_role" {
  name_prefix          = "${var.name}-ForwardRole-"
  description          = "Lets EventBridge hand events over to rulekeeper's account"
  permissions_boundary = local.has_permissions_boundary ? var.permissions_boundary_arn : null
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "EventBridgeAssumes"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sts:AssumeRole"
        Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
      },
    ]
  })
  tags = var.tags
}

resource "aws_iam_role_policy" "forward_role_forward" {
  name = "forward"
  role = aws_iam_role.forward_role.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "HandOver"
        Effect   = "Allow"
        Action   = "events:PutEvents"
        Resource = var.hub_bus_arn
      },
    ]
  })
}

resource "aws_sqs_queue" "forward_dead_letters" {
  name                      = "${var.name}-ForwardDeadLetters"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = var.tags
}

resource "aws_sqs_queue_policy" "forward_dead_letters_policy" {
  queue_url = aws_sqs_queue.forward_dead_letters.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RuleSends"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.forward_dead_letters.arn
        Condition = { ArnEquals = { "aws:SourceArn" = aws_cloudwatch_event_rule.forward_rule.arn } }
      },
    ]
  })
}

resource "aws_iam_role" "restore_role" {
  count                = local.makes_role ? 1 : 0
  name                 = var.role_name
  description          = "What rulekeeper's function may do in this account"
  permissions_boundary = local.has_permissions_boundary ? var.permissions_boundary_arn : null
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "FunctionAssumes"
        Effect    = "Allow"
        Principal = { AWS = var.hub_role_arn }
        Action    = "sts:AssumeRole"
        Condition = { StringEquals = { "aws:PrincipalOrgID" = var.organization_id } }
      },
    ]
  })
  tags = var.tags
}

resource "aws_iam_role_policy" "restore_role_restore" {
  count = local.makes_role ? 1 : 0
  name  = "restore"
  role  = aws_iam_role.restore_role[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "AuthorizeIngress"
        Effect = "Allow"
        Action = "ec2:AuthorizeSecurityGroupIngress"
        Resource = [
          "arn:${data.aws_partition.current.partition}:ec2:??*-*:${data.aws_caller_identity.current.account_id}:security-group/*",
          "arn:${data.aws_partition.current.partition}:ec2:??*-*:${data.aws_caller_identity.current.account_id}:security-group-rule/*",
        ]
      },
      {
        Sid       = "TagAuthorizedRules"
        Effect    = "Allow"
        Action    = "ec2:CreateTags"
        Resource  = "arn:${data.aws_partition.current.partition}:ec2:??*-*:${data.aws_caller_identity.current.account_id}:security-group-rule/*"
        Condition = { StringEquals = { "ec2:CreateAction" = "AuthorizeSecurityGroupIngress" } }
      },
      {
        Sid    = "ReadGroups"
        Effect = "Allow"
        Action = [
          "ec2:DescribeManagedPrefixLists",
          "ec2:DescribeSecurityGroupRules",
          "ec2:DescribeSecurityGroups",
          "ec2:DescribeVpcs",
        ]
        Resource = "*"
      },
      {
        Sid      = "ReadPrefixLists"
        Effect   = "Allow"
        Action   = "ec2:GetManagedPrefixListEntries"
        Resource = "arn:${data.aws_partition.current.partition}:ec2:??*-*:*:prefix-list/*"
      },
    ]
  })
}
