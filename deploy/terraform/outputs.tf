# Made from template.yaml by tools/terraform.py. The reasons for what is here stand there.

output "function_name" {
  description = "The function, for aws lambda invoke"
  value       = aws_lambda_function.function.function_name
}

output "function_role_arn" {
  description = "The function's role, whom member accounts let assume theirs (HubRoleArn of template-member.yaml)"
  value       = aws_iam_role.function_role.arn
}

output "hub_bus_arn" {
  description = "The event bus that member accounts hand events over to (HubBusArn of template-member.yaml)"
  value       = "arn:${data.aws_partition.current.partition}:events:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:event-bus/default"
}

output "table_name" {
  description = "The table, for rulekeeper --table or RULEKEEPER_TABLE. It stays when the stack is deleted"
  value       = aws_dynamodb_table.table.name
}

output "log_group_name" {
  description = "Where the function logs its reports"
  value       = aws_cloudwatch_log_group.log_group.name
}

output "alarm_topic_arn" {
  description = "The topic that alarms are published to"
  value       = aws_sns_topic.alarm_topic.arn
}

output "alarm_reader" {
  description = "Who reads the alarms, as far as this stack knows"
  value       = local.has_alarm_email ? "${var.alarm_email}, once the address is confirmed" : "nobody: subscribe to AlarmTopicArn, or deploy with AlarmEmail"
}

output "notice_reader" {
  description = "Who reads the notices, as far as this stack knows"
  value       = local.has_notice_email ? "${var.notice_email}, once the address is confirmed" : "nobody: subscribe to NoticesTopicArn, or deploy with NoticeEmail"
}

output "notices_topic_arn" {
  description = "The topic that reports worth reading are published to"
  value       = aws_sns_topic.notices_topic.arn
}

output "chat_topic_arn" {
  description = "The topic for a channel of Amazon Q Developer in chat applications"
  value       = aws_sns_topic.chat_topic.arn
}

output "results_bus_name" {
  description = "The event bus with every answer of the function, for rules of your own"
  value       = aws_cloudwatch_event_bus.results_bus.name
}

output "dashboard_name" {
  description = "The CloudWatch dashboard"
  value       = aws_cloudwatch_dashboard.dashboard.dashboard_name
}

output "sweep_queue_url" {
  description = "The queue of parts of sweeps"
  value       = aws_sqs_queue.sweep_queue.url
}

output "rule_dead_letters_url" {
  description = "The queue of events that EventBridge could not deliver"
  value       = aws_sqs_queue.rule_dead_letters.url
}

output "function_dead_letters_url" {
  description = "The queue of events and parts of sweeps that the function gave up on"
  value       = aws_sqs_queue.function_dead_letters.url
}
