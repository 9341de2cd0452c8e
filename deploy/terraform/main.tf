# Made from template.yaml by tools/terraform.py. The reasons for what is here stand there.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  has_member_role          = var.member_role_name != ""
  has_organization         = var.organization_id != ""
  has_alarm_email          = var.alarm_email != ""
  has_notice_email         = var.notice_email != ""
  has_permissions_boundary = var.permissions_boundary_arn != ""
  has_kms_key              = var.kms_key_arn != ""
  watches                  = var.watch_seconds != 0
  has_tracing              = data.aws_partition.current.partition != "aws-cn"
  reserves_concurrency     = var.reserved_concurrency != -1
}

resource "aws_iam_role" "function_role" {
  name_prefix          = "${var.name}-FunctionRole-"
  description          = "What the rulekeeper function may do"
  permissions_boundary = local.has_permissions_boundary ? var.permissions_boundary_arn : null
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "LambdaAssumes"
        Effect    = "Allow"
        Principal = { Service = "lambda.amazonaws.com" }
        Action    = "sts:AssumeRole"
      },
    ]
  })
  tags = var.tags
}

resource "aws_iam_role_policy" "function_role_restore" {
  name = "restore"
  role = aws_iam_role.function_role.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "AuthorizeIngress"
        Effect = "Allow"
        Action = "ec2:AuthorizeSecurityGroupIngress"
        Resource = [
          "arn:${data.aws_partition.current.partition}:ec2:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:security-group/*",
          "arn:${data.aws_partition.current.partition}:ec2:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:security-group-rule/*",
        ]
      },
      {
        Sid       = "TagAuthorizedRules"
        Effect    = "Allow"
        Action    = "ec2:CreateTags"
        Resource  = "arn:${data.aws_partition.current.partition}:ec2:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:security-group-rule/*"
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
        Resource = "arn:${data.aws_partition.current.partition}:ec2:${data.aws_region.current.region}:*:prefix-list/*"
      },
      {
        Sid      = "ReadTable"
        Effect   = "Allow"
        Action   = ["dynamodb:BatchGetItem", "dynamodb:Query"]
        Resource = aws_dynamodb_table.table.arn
      },
      {
        Sid      = "WriteRecords"
        Effect   = "Allow"
        Action   = "dynamodb:PutItem"
        Resource = aws_dynamodb_table.table.arn
        Condition = {
          "ForAllValues:StringLike"      = { "dynamodb:LeadingKeys" = ["desired#*", "history#*"] }
          "ForAllValues:StringNotEquals" = { "dynamodb:Attributes" = ["expires_at"] }
        }
      },
      {
        Sid       = "WriteIncidents"
        Effect    = "Allow"
        Action    = "dynamodb:PutItem"
        Resource  = aws_dynamodb_table.table.arn
        Condition = { "ForAllValues:StringLike" = { "dynamodb:LeadingKeys" = ["incident#*"] } }
      },
      {
        Sid       = "WriteState"
        Effect    = "Allow"
        Action    = "dynamodb:UpdateItem"
        Resource  = aws_dynamodb_table.table.arn
        Condition = { "ForAllValues:StringLike" = { "dynamodb:LeadingKeys" = ["state#*", "fleet", "watch"] } }
      },
    ]
  })
}

resource "aws_iam_role_policy" "function_role_run" {
  name = "run"
  role = aws_iam_role.function_role.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "WriteLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.log_group.arn}:*"
      },
      {
        Sid      = "WriteTraces"
        Effect   = "Allow"
        Action   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
        Resource = "*"
      },
      {
        Sid      = "PutAsideFailedEvents"
        Effect   = "Allow"
        Action   = "sqs:SendMessage"
        Resource = aws_sqs_queue.function_dead_letters.arn
      },
      {
        Sid      = "HandOverSweeps"
        Effect   = "Allow"
        Action   = ["sqs:GetQueueAttributes", "sqs:SendMessage"]
        Resource = aws_sqs_queue.sweep_queue.arn
      },
      {
        Sid      = "FeedOnSweeps"
        Effect   = "Allow"
        Action   = ["sqs:DeleteMessage", "sqs:ReceiveMessage"]
        Resource = aws_sqs_queue.sweep_queue.arn
      },
      {
        Sid      = "TellResults"
        Effect   = "Allow"
        Action   = "events:PutEvents"
        Resource = aws_cloudwatch_event_bus.results_bus.arn
      },
    ]
  })
}

resource "aws_iam_role_policy" "function_role_member_accounts" {
  count = local.has_member_role ? 1 : 0
  name  = "member-accounts"
  role  = aws_iam_role.function_role.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { for name, value in {
        Sid       = "AssumeMemberRole"
        Effect    = "Allow"
        Action    = "sts:AssumeRole"
        Resource  = "arn:${data.aws_partition.current.partition}:iam::*:role/${var.member_role_name}"
        Condition = local.has_organization ? { StringEqualsIfExists = { "aws:ResourceOrgID" = var.organization_id } } : null
      } : name => value if value != null },
    ]
  })
}

resource "aws_iam_role_policy" "function_role_key" {
  count = local.has_kms_key ? 1 : 0
  name  = "key"
  role  = aws_iam_role.function_role.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "UseKey"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = var.kms_key_arn
        Condition = {
          StringLike = {
            "kms:ViaService" = ["dynamodb.${data.aws_region.current.region}.*", "sqs.${data.aws_region.current.region}.*"]
          }
        }
      },
    ]
  })
}

resource "aws_cloudwatch_event_bus_policy" "members_hand_over" {
  count          = local.has_organization ? 1 : 0
  event_bus_name = "default"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid       = "${var.name}-members"
        Effect    = "Allow"
        Principal = "*"
        Action    = "events:PutEvents"
        Resource  = "arn:${data.aws_partition.current.partition}:events:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:event-bus/default"
        Condition = {
          StringEquals = {
            "aws:PrincipalOrgID" = var.organization_id
            "events:source"      = "aws.ec2"
            "events:detail-type" = "AWS API Call via CloudTrail"
          }
        }
      },
    ], var.other_bus_statements)
  })
}

resource "aws_cloudwatch_log_group" "log_group" {
  name              = "${var.name}-LogGroup"
  retention_in_days = var.log_retention_days
  kms_key_id        = local.has_kms_key ? var.kms_key_arn : null
  tags              = var.tags
}

resource "aws_dynamodb_table" "table" {
  name                        = "${var.name}-Table"
  billing_mode                = "PAY_PER_REQUEST"
  deletion_protection_enabled = true
  hash_key                    = "pk"
  range_key                   = "sk"
  tags                        = var.tags

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = local.has_kms_key ? var.kms_key_arn : null
  }

  point_in_time_recovery {
    enabled = true
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_sqs_queue" "sweep_queue" {
  name                       = "${var.name}-SweepQueue"
  visibility_timeout_seconds = 180
  message_retention_seconds  = 86400
  sqs_managed_sse_enabled    = local.has_kms_key ? null : true
  kms_master_key_id          = local.has_kms_key ? var.kms_key_arn : null
  redrive_policy             = jsonencode({ deadLetterTargetArn = aws_sqs_queue.function_dead_letters.arn, maxReceiveCount = 5 })
  tags                       = var.tags
}

resource "aws_sqs_queue" "rule_dead_letters" {
  name                      = "${var.name}-RuleDeadLetters"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = local.has_kms_key ? null : true
  kms_master_key_id         = local.has_kms_key ? var.kms_key_arn : null
  tags                      = var.tags
}

resource "aws_sqs_queue_policy" "rule_dead_letters_policy" {
  queue_url = aws_sqs_queue.rule_dead_letters.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RulesPutAsideEvents"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.rule_dead_letters.arn
        Condition = {
          ArnEquals = {
            "aws:SourceArn" = [
              aws_cloudwatch_event_rule.function_ingress_dropped.arn,
              aws_cloudwatch_event_rule.function_sweep.arn,
              aws_cloudwatch_event_rule.event_notices_rule.arn,
              aws_cloudwatch_event_rule.sweep_notices_rule.arn,
              aws_cloudwatch_event_rule.chat_notices_rule.arn,
            ]
          }
        }
      },
    ]
  })
}

resource "aws_sqs_queue" "function_dead_letters" {
  name                      = "${var.name}-FunctionDeadLetters"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = local.has_kms_key ? null : true
  kms_master_key_id         = local.has_kms_key ? var.kms_key_arn : null
  tags                      = var.tags
}

resource "aws_cloudwatch_event_bus" "results_bus" {
  name        = "${var.name}-results"
  description = "What the rulekeeper function answered"
  tags        = var.tags
}

resource "aws_cloudwatch_event_rule" "event_notices_rule" {
  name           = "${var.name}-EventNoticesRule"
  description    = "rulekeeper was called for by an event, and there is something to read"
  event_bus_name = aws_cloudwatch_event_bus.results_bus.name
  event_pattern = jsonencode({
    source      = ["lambda", "rulekeeper"]
    detail-type = ["Lambda Function Invocation Result - Success", "Watch Result"]
    detail = {
      responsePayload = {
        "$or" = [
          { outcome = ["restored", "partial", "failed", "contested", "orphaned", "observed"] },
          { notices = [{ exists = true }] },
          { changes = { removed = [{ exists = true }] } },
        ]
      }
    }
  })
  tags = var.tags
}

resource "aws_cloudwatch_event_target" "event_notices_rule" {
  rule           = aws_cloudwatch_event_rule.event_notices_rule.name
  event_bus_name = aws_cloudwatch_event_bus.results_bus.name
  target_id      = "notices"
  arn            = aws_sns_topic.notices_topic.arn

  dead_letter_config {
    arn = aws_sqs_queue.rule_dead_letters.arn
  }

  input_transformer {
    input_paths = {
      account    = "$.detail.responsePayload.group.account"
      region     = "$.detail.responsePayload.group.region"
      group      = "$.detail.responsePayload.group.id"
      name       = "$.detail.responsePayload.name"
      outcome    = "$.detail.responsePayload.outcome"
      reason     = "$.detail.responsePayload.reason"
      kind       = "$.detail.responsePayload.trigger.kind"
      call       = "$.detail.responsePayload.trigger.event_name"
      time       = "$.detail.responsePayload.trigger.event_time"
      principal  = "$.detail.responsePayload.trigger.principal"
      session    = "$.detail.responsePayload.trigger.session"
      source     = "$.detail.responsePayload.trigger.source_ip"
      owner      = "$.detail.responsePayload.owner"
      notices    = "$.detail.responsePayload.notices"
      generation = "$.detail.responsePayload.generation"
      request    = "$.detail.requestContext.requestId"
    }
    input_template = <<-EOT
    "rulekeeper: <outcome>: <group> <name> (account <account>, <region>)"
    "Why: <reason>"
    "Found by: <kind>"
    "Call: <call> at <time>"
    "Principal: <principal>"
    "Session: <session> from <source>"
    "Owner of the group: <owner>"
    "Notices: <notices>"
    "Record: generation <generation>"
    " "
    "What is missing now: rulekeeper plan --table ${aws_dynamodb_table.table.name} --region <region> <group>"
    "Who changed the record: rulekeeper history --table ${aws_dynamodb_table.table.name} --region <region> <group>"
    "If the principal is right, rulekeeper release the rule or rulekeeper principal add; to win time, rulekeeper pause."
    "The whole report: request_id <request> in the log group ${aws_cloudwatch_log_group.log_group.name}"
  EOT
  }
}

resource "aws_cloudwatch_event_rule" "sweep_notices_rule" {
  name           = "${var.name}-SweepNoticesRule"
  description    = "A sweep of rulekeeper's found something to read"
  event_bus_name = aws_cloudwatch_event_bus.results_bus.name
  event_pattern = jsonencode({
    source      = ["lambda", "rulekeeper"]
    detail-type = ["Lambda Function Invocation Result - Success", "Sweep Result"]
    detail = {
      responsePayload = {
        "$or" = [
          { reports = { outcome = ["restored", "partial"] } },
          { reports = { notices = [{ exists = true }] } },
          { reports = { changes = { removed = [{ exists = true }] } } },
          { remarks = { notices = [{ exists = true }] } },
          { remarks = { changes = { removed = [{ exists = true }] } } },
          { permission = { changed = [true] } },
        ]
      }
    }
  })
  tags = var.tags
}

resource "aws_cloudwatch_event_target" "sweep_notices_rule" {
  rule           = aws_cloudwatch_event_rule.sweep_notices_rule.name
  event_bus_name = aws_cloudwatch_event_bus.results_bus.name
  target_id      = "notices"
  arn            = aws_sns_topic.notices_topic.arn

  dead_letter_config {
    arn = aws_sqs_queue.rule_dead_letters.arn
  }

  input_transformer {
    input_paths = {
      counts      = "$.detail.responsePayload.sweep"
      account     = "$.detail.responsePayload.reports[0].group.account"
      region      = "$.detail.responsePayload.reports[0].group.region"
      group       = "$.detail.responsePayload.reports[0].group.id"
      name        = "$.detail.responsePayload.reports[0].name"
      outcome     = "$.detail.responsePayload.reports[0].outcome"
      reason      = "$.detail.responsePayload.reports[0].reason"
      remark      = "$.detail.responsePayload.remarks[0].group.id"
      remark_name = "$.detail.responsePayload.remarks[0].name"
      remarked    = "$.detail.responsePayload.remarks[0].notices"
      permission  = "$.detail.responsePayload.permission.found"
      request     = "$.detail.requestContext.requestId"
    }
    input_template = <<-EOT
    "rulekeeper: a sweep found rules dropped that no event told of, changed a record, or has something to say once"
    "Groups: <counts>"
    "First group that was not in order: <group> <name> (account <account>, <region>): <outcome>"
    "Why: <reason>"
    "First group of the others: <remark> <remark_name> <remarked>"
    "The role: <permission>"
    " "
    "What is missing now, everywhere: rulekeeper plan --table ${aws_dynamodb_table.table.name} --region ${data.aws_region.current.region}"
    "Who changed a record: rulekeeper history --table ${aws_dynamodb_table.table.name} --region ${data.aws_region.current.region} GROUP"
    "If sweeps find what events should have told, look at the trail and at the queue RuleDeadLetters."
    "All reports: request_id <request> in the log group ${aws_cloudwatch_log_group.log_group.name}"
  EOT
  }
}

resource "aws_sns_topic" "notices_topic" {
  name              = "${var.name}-NoticesTopic"
  display_name      = "rulekeeper notices"
  kms_master_key_id = local.has_kms_key ? var.kms_key_arn : null
  tags              = var.tags
}

resource "aws_sns_topic_policy" "notices_topic_policy" {
  arn = aws_sns_topic.notices_topic.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RulesPublish"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.notices_topic.arn
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "notices_subscription" {
  count     = local.has_notice_email ? 1 : 0
  topic_arn = aws_sns_topic.notices_topic.arn
  protocol  = "email"
  endpoint  = var.notice_email
}

resource "aws_cloudwatch_event_rule" "chat_notices_rule" {
  name           = "${var.name}-ChatNoticesRule"
  description    = "rulekeeper has something to read in chat"
  event_bus_name = aws_cloudwatch_event_bus.results_bus.name
  event_pattern = jsonencode({
    source      = ["lambda", "rulekeeper"]
    detail-type = ["Lambda Function Invocation Result - Success", "Watch Result", "Sweep Result"]
    detail      = { responsePayload = { chat = { version = ["1.0"] } } }
  })
  tags = var.tags
}

resource "aws_cloudwatch_event_target" "chat_notices_rule" {
  rule           = aws_cloudwatch_event_rule.chat_notices_rule.name
  event_bus_name = aws_cloudwatch_event_bus.results_bus.name
  target_id      = "chat"
  arn            = aws_sns_topic.chat_topic.arn
  input_path     = "$.detail.responsePayload.chat"

  dead_letter_config {
    arn = aws_sqs_queue.rule_dead_letters.arn
  }
}

resource "aws_sns_topic" "chat_topic" {
  name              = "${var.name}-ChatTopic"
  display_name      = "rulekeeper notices for chat"
  kms_master_key_id = local.has_kms_key ? var.kms_key_arn : null
  tags              = var.tags
}

resource "aws_sns_topic_policy" "chat_topic_policy" {
  arn = aws_sns_topic.chat_topic.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RulesPublish"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.chat_topic.arn
      },
    ]
  })
}

resource "aws_sns_topic" "alarm_topic" {
  name              = "${var.name}-AlarmTopic"
  display_name      = "rulekeeper alarms"
  kms_master_key_id = local.has_kms_key ? var.kms_key_arn : null
  tags              = var.tags
}

resource "aws_sns_topic_policy" "alarm_topic_policy" {
  arn = aws_sns_topic.alarm_topic.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsPublish"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarm_topic.arn
        Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "alarm_subscription" {
  count     = local.has_alarm_email ? 1 : 0
  topic_arn = aws_sns_topic.alarm_topic.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

resource "aws_lambda_function" "function" {
  function_name                  = "${var.name}-Function"
  filename                       = local.filename
  source_code_hash               = local.source_code_hash
  s3_bucket                      = local.s3_bucket
  s3_key                         = local.s3_key
  s3_object_version              = local.s3_object_version
  description                    = "Puts back security group ingress rules that were dropped"
  role                           = aws_iam_role.function_role.arn
  handler                        = "bootstrap"
  runtime                        = "provided.al2023"
  architectures                  = [var.architecture]
  memory_size                    = 512
  timeout                        = 30
  reserved_concurrent_executions = local.reserves_concurrency ? var.reserved_concurrency : null
  tags                           = var.tags

  tracing_config {
    mode = local.has_tracing ? "Active" : "PassThrough"
  }

  logging_config {
    log_group             = aws_cloudwatch_log_group.log_group.name
    log_format            = "JSON"
    application_log_level = "TRACE"
    system_log_level      = "INFO"
  }

  environment {
    variables = { for name, value in {
      RULEKEEPER_TABLE           = aws_dynamodb_table.table.name
      RULEKEEPER_MODE            = var.mode
      RULEKEEPER_RULES_PER_GROUP = var.rules_per_group
      RULEKEEPER_NEVER           = var.never_authorize
      RULEKEEPER_OWN_ROLE        = aws_iam_role.function_role.arn
      RULEKEEPER_WATCH_FUNCTION  = local.watches ? "${var.name}-watch" : null
      RULEKEEPER_TOPICS          = "${aws_sns_topic.alarm_topic.arn} ${aws_sns_topic.notices_topic.arn}"
      RULEKEEPER_ROLE_NAME       = local.has_member_role ? var.member_role_name : null
      RULEKEEPER_SWEEP_QUEUE     = aws_sqs_queue.sweep_queue.url
      RULEKEEPER_RESULTS_BUS     = aws_cloudwatch_event_bus.results_bus.name
      RULEKEEPER_OWNER_TAG       = var.owner_tag
      RULEKEEPER_LOG             = var.log_filter
    } : name => value if value != null }
  }

  depends_on = [
    aws_iam_role_policy.function_role_restore,
    aws_iam_role_policy.function_role_run,
    aws_iam_role_policy.function_role_member_accounts,
    aws_iam_role_policy.function_role_key,
  ]
}

resource "aws_lambda_function_event_invoke_config" "function_event_invoke_config" {
  function_name                = aws_lambda_function.function.function_name
  qualifier                    = "$LATEST"
  maximum_event_age_in_seconds = 3600
  maximum_retry_attempts       = 2

  destination_config {
    on_failure {
      destination = aws_sqs_queue.function_dead_letters.arn
    }

    on_success {
      destination = aws_cloudwatch_event_bus.results_bus.arn
    }
  }
}

resource "aws_cloudwatch_event_rule" "function_ingress_dropped" {
  name = "${var.name}-FunctionIngressDropped"
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

resource "aws_cloudwatch_event_target" "function_ingress_dropped" {
  rule      = aws_cloudwatch_event_rule.function_ingress_dropped.name
  target_id = "FunctionIngressDroppedLambdaTarget"
  arn       = aws_lambda_function.function.arn

  dead_letter_config {
    arn = aws_sqs_queue.rule_dead_letters.arn
  }

  retry_policy {
    maximum_event_age_in_seconds = 3600
    maximum_retry_attempts       = 185
  }
}

resource "aws_lambda_permission" "function_ingress_dropped_permission" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.function.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.function_ingress_dropped.arn
}

resource "aws_cloudwatch_event_rule" "function_sweep" {
  name                = "${var.name}-FunctionSweep"
  description         = "rulekeeper looks at every recorded group, event or no event"
  schedule_expression = var.sweep_schedule
  tags                = var.tags
}

resource "aws_cloudwatch_event_target" "function_sweep" {
  rule      = aws_cloudwatch_event_rule.function_sweep.name
  target_id = "FunctionSweepLambdaTarget"
  arn       = aws_lambda_function.function.arn

  dead_letter_config {
    arn = aws_sqs_queue.rule_dead_letters.arn
  }

  retry_policy {
    maximum_event_age_in_seconds = 900
    maximum_retry_attempts       = 10
  }
}

resource "aws_lambda_permission" "function_sweep_permission" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.function.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.function_sweep.arn
}

resource "aws_lambda_event_source_mapping" "function_sweep_parts" {
  event_source_arn        = aws_sqs_queue.sweep_queue.arn
  function_name           = aws_lambda_function.function.function_name
  batch_size              = 1
  function_response_types = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = 2
  }
}

resource "aws_lambda_function" "watch_function" {
  count             = local.watches ? 1 : 0
  function_name     = "${var.name}-watch"
  filename          = local.filename
  source_code_hash  = local.source_code_hash
  s3_bucket         = local.s3_bucket
  s3_key            = local.s3_key
  s3_object_version = local.s3_object_version
  description       = "Reads watched security groups every few seconds, and puts back ingress rules that were dropped"
  role              = aws_iam_role.function_role.arn
  handler           = "bootstrap"
  runtime           = "provided.al2023"
  architectures     = [var.architecture]
  memory_size       = 512
  timeout           = 600
  tags              = var.tags

  logging_config {
    log_group             = aws_cloudwatch_log_group.log_group.name
    log_format            = "JSON"
    application_log_level = "TRACE"
    system_log_level      = "INFO"
  }

  environment {
    variables = { for name, value in {
      RULEKEEPER_TABLE           = aws_dynamodb_table.table.name
      RULEKEEPER_MODE            = var.mode
      RULEKEEPER_RULES_PER_GROUP = var.rules_per_group
      RULEKEEPER_NEVER           = var.never_authorize
      RULEKEEPER_OWN_ROLE        = aws_iam_role.function_role.arn
      RULEKEEPER_ROLE_NAME       = local.has_member_role ? var.member_role_name : null
      RULEKEEPER_SWEEP_QUEUE     = aws_sqs_queue.sweep_queue.url
      RULEKEEPER_RESULTS_BUS     = aws_cloudwatch_event_bus.results_bus.name
      RULEKEEPER_OWNER_TAG       = var.owner_tag
      RULEKEEPER_LOG             = var.log_filter
    } : name => value if value != null }
  }

  depends_on = [
    aws_iam_role_policy.function_role_restore,
    aws_iam_role_policy.function_role_run,
    aws_iam_role_policy.function_role_member_accounts,
    aws_iam_role_policy.function_role_key,
  ]
}

resource "aws_lambda_function_event_invoke_config" "watch_function_event_invoke_config" {
  count                        = local.watches ? 1 : 0
  function_name                = aws_lambda_function.watch_function[0].function_name
  qualifier                    = "$LATEST"
  maximum_event_age_in_seconds = 60
  maximum_retry_attempts       = 0
}

resource "aws_cloudwatch_event_rule" "watch_function_watch" {
  count               = local.watches ? 1 : 0
  name                = "${var.name}-WatchFunctionWatch"
  description         = "rulekeeper's watch goes on with a new run"
  schedule_expression = "rate(1 minute)"
  tags                = var.tags
}

resource "aws_cloudwatch_event_target" "watch_function_watch" {
  count     = local.watches ? 1 : 0
  rule      = aws_cloudwatch_event_rule.watch_function_watch[0].name
  target_id = "WatchFunctionWatchLambdaTarget"
  arn       = aws_lambda_function.watch_function[0].arn
  input     = "{\"watch\": {\"every_seconds\": ${var.watch_seconds}}}"

  retry_policy {
    maximum_event_age_in_seconds = 60
    maximum_retry_attempts       = 1
  }
}

resource "aws_lambda_permission" "watch_function_watch_permission" {
  count         = local.watches ? 1 : 0
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.watch_function[0].function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.watch_function_watch[0].arn
}
