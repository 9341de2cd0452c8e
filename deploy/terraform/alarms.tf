# Made from template.yaml by tools/terraform.py. The reasons for what is here stand there.

resource "aws_cloudwatch_metric_alarm" "rules_failed_alarm" {
  alarm_name          = "${var.name}-RulesFailedAlarm"
  alarm_description   = "A dropped rule could not be put back. The function's log has the report with the rule and EC2's reason: make room in the group, or correct the record."
  namespace           = "rulekeeper"
  metric_name         = "RulesFailed"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 30
  datapoints_to_alarm = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "rules_contested_alarm" {
  alarm_name          = "${var.name}-RulesContestedAlarm"
  alarm_description   = "Somebody drops a rule as often as it is put back, so it is left alone for a time. The report names both sides: release the rule, list the principal, or make it stop."
  namespace           = "rulekeeper"
  metric_name         = "RulesContested"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 30
  datapoints_to_alarm = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "rules_reopened_alarm" {
  alarm_name          = "${var.name}-RulesReopenedAlarm"
  alarm_description   = "A rule is open that a listed principal had closed: its event came after the rule was put back. The report has the command that closes it."
  namespace           = "rulekeeper"
  metric_name         = "RulesReopened"
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = 2
  datapoints_to_alarm = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "rules_unrestorable_alarm" {
  alarm_name          = "${var.name}-RulesUnrestorableAlarm"
  alarm_description   = "A recorded rule could not come back if it were dropped, or is missing and cannot come back. rulekeeper check says which, and why."
  namespace           = "rulekeeper"
  metric_name         = "RulesUnrestorable"
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = 2
  datapoints_to_alarm = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "records_unreadable_alarm" {
  alarm_name          = "${var.name}-RecordsUnreadableAlarm"
  alarm_description   = "A record cannot be understood, so its group is not kept. The report names the attribute at fault: correct the record and write it with rulekeeper apply."
  namespace           = "rulekeeper"
  metric_name         = "RecordsUnreadable"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 30
  datapoints_to_alarm = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "groups_unsaved_alarm" {
  alarm_name          = "${var.name}-GroupsUnsavedAlarm"
  alarm_description   = "Something that has to be remembered could not be written to the table, so fights about rules may go unseen and records may lag behind. The report's warnings say which call failed and why: look at the role's permissions and at the table."
  namespace           = "rulekeeper"
  metric_name         = "GroupsUnsaved"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 30
  datapoints_to_alarm = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "groups_unread_alarm" {
  alarm_name          = "${var.name}-GroupsUnreadAlarm"
  alarm_description   = "A record or a group's rules could not be read, or a sweep ended early, so nobody knows what is missing. The report says which call failed and why: look at the role's permissions, at throttling and at the table."
  namespace           = "rulekeeper"
  metric_name         = "GroupsUnread"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 30
  datapoints_to_alarm = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "sweep_missing_alarm" {
  alarm_name          = "${var.name}-SweepMissingAlarm"
  alarm_description   = "No sweep has run for an hour, so an event that got lost would leave its rules dropped. Look at the function's errors and at its schedule."
  namespace           = "rulekeeper"
  metric_name         = "SweptGroups"
  statistic           = "SampleCount"
  period              = 900
  evaluation_periods  = 4
  datapoints_to_alarm = 4
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "watch_missing_alarm" {
  count               = local.watches ? 1 : 0
  alarm_name          = "${var.name}-WatchMissingAlarm"
  alarm_description   = "Nobody has watched for five minutes, so drops in watched groups are seen when their event comes. Look at the log of the watch's function and at its schedule."
  namespace           = "rulekeeper"
  metric_name         = "WatchLooks"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 5
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "watch_failed_reads_alarm" {
  count               = local.watches ? 1 : 0
  alarm_name          = "${var.name}-WatchFailedReadsAlarm"
  alarm_description   = "Reads of the watch keep failing, or EC2 throttles them, so it is slower than it should be or sees nothing. Its log has the last error. Watch fewer groups, raise WatchSeconds, or ask AWS for more EC2 reads."
  namespace           = "rulekeeper"
  metric_name         = "WatchFailedReads"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "function_errors_alarm" {
  alarm_name          = "${var.name}-FunctionErrorsAlarm"
  alarm_description   = "The function keeps failing. Its log says why; events it gives up on go to the queue FunctionDeadLetters."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = aws_lambda_function.function.function_name }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 2
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "function_throttles_alarm" {
  alarm_name          = "${var.name}-FunctionThrottlesAlarm"
  alarm_description   = "Lambda made events wait for lack of concurrency. Raise ReservedConcurrency, or find out who revokes so much."
  namespace           = "AWS/Lambda"
  metric_name         = "Throttles"
  dimensions          = { FunctionName = aws_lambda_function.function.function_name }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "function_event_age_alarm" {
  alarm_name          = "${var.name}-FunctionEventAgeAlarm"
  alarm_description   = "Events wait more than five minutes for the function, and dropped rules with them. Look at its errors, its throttles and ReservedConcurrency."
  namespace           = "AWS/Lambda"
  metric_name         = "AsyncEventAge"
  dimensions          = { FunctionName = aws_lambda_function.function.function_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 1
  threshold           = 300000
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "function_destinations_alarm" {
  alarm_name          = "${var.name}-FunctionDestinationsAlarm"
  alarm_description   = "Lambda could not pass on an answer or put aside a failed event. Look at the role's permissions, and at the bus and the queue FunctionDeadLetters; failed events are lost, so run rulekeeper restore."
  namespace           = "AWS/Lambda"
  metric_name         = "DestinationDeliveryFailures"
  dimensions          = { FunctionName = aws_lambda_function.function.function_name }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "sweep_backlog_alarm" {
  alarm_name          = "${var.name}-SweepBacklogAlarm"
  alarm_description   = "Parts of a sweep have waited for half an hour, so there are more groups than the schedule has time for, or the function does not take them. Look at its errors, and sweep less often or ask AWS for more EC2 reads."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.sweep_queue.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1800
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "rule_dead_letters_alarm" {
  alarm_name          = "${var.name}-RuleDeadLettersAlarm"
  alarm_description   = "EventBridge could not hand events to the function, or notices to their topic. The messages' attributes say why; fix that, then replay the events and delete the messages (docs/operate.md, \"Messages of the dead-letter queues\")."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.rule_dead_letters.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "function_dead_letters_alarm" {
  alarm_name          = "${var.name}-FunctionDeadLettersAlarm"
  alarm_description   = "The function gave up on events or parts of sweeps. Each message holds the event (requestPayload) and the last answer, or the part; fix the cause, then replay them and delete the messages (docs/operate.md, \"Messages of the dead-letter queues\")."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.function_dead_letters.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_dashboard" "dashboard" {
  dashboard_name = "${var.name}-Dashboard"
  dashboard_body = <<-EOT
    {"start": "-P1D", "widgets": [
      {"type": "alarm", "x": 0, "y": 0, "width": 24, "height": 3, "properties": {"title": "Alarms", "alarms": [
        "${aws_cloudwatch_metric_alarm.rules_failed_alarm.arn}",
        "${aws_cloudwatch_metric_alarm.rules_contested_alarm.arn}",
        "${aws_cloudwatch_metric_alarm.rules_reopened_alarm.arn}",
        "${aws_cloudwatch_metric_alarm.rules_unrestorable_alarm.arn}",
        "${aws_cloudwatch_metric_alarm.records_unreadable_alarm.arn}",
        "${aws_cloudwatch_metric_alarm.groups_unread_alarm.arn}",
        "${aws_cloudwatch_metric_alarm.groups_unsaved_alarm.arn}",
        "${aws_cloudwatch_metric_alarm.sweep_missing_alarm.arn}",
        "${aws_cloudwatch_metric_alarm.function_errors_alarm.arn}",
        "${aws_cloudwatch_metric_alarm.function_throttles_alarm.arn}",
        "${aws_cloudwatch_metric_alarm.function_event_age_alarm.arn}",
        "${aws_cloudwatch_metric_alarm.function_destinations_alarm.arn}",
        "${aws_cloudwatch_metric_alarm.sweep_backlog_alarm.arn}",
        "${aws_cloudwatch_metric_alarm.rule_dead_letters_alarm.arn}",
        "${aws_cloudwatch_metric_alarm.function_dead_letters_alarm.arn}"]}},
      {"type": "metric", "x": 0, "y": 3, "width": 12, "height": 6, "properties": {
        "title": "How long dropped rules were open (events only), ms", "region": "${data.aws_region.current.region}", "view": "timeSeries", "period": 300, "metrics": [
        ["rulekeeper", "DriftOpenMs", {"stat": "p50", "label": "p50"}],
        ["rulekeeper", "DriftOpenMs", {"stat": "p99", "label": "p99"}]]}},
      {"type": "metric", "x": 12, "y": 3, "width": 12, "height": 6, "properties": {
        "title": "Dropped rules", "region": "${data.aws_region.current.region}", "view": "timeSeries", "period": 300, "metrics": [
        ["rulekeeper", "RulesDropped", {"stat": "Sum"}],
        ["rulekeeper", "RulesRestored", {"stat": "Sum"}],
        ["rulekeeper", "RulesFailed", {"stat": "Sum"}],
        ["rulekeeper", "RulesContested", {"stat": "Sum"}],
        ["rulekeeper", "RulesPending", {"stat": "Sum"}],
        ["rulekeeper", "RulesUnrestorable", {"stat": "Sum"}],
        ["rulekeeper", "RulesReopened", {"stat": "Sum"}]]}},
      {"type": "metric", "x": 0, "y": 9, "width": 8, "height": 6, "properties": {
        "title": "What could not be read or written", "region": "${data.aws_region.current.region}", "view": "timeSeries", "period": 300, "metrics": [
        ["rulekeeper", "RecordsUnreadable", {"stat": "Sum"}],
        ["rulekeeper", "GroupsUnread", {"stat": "Sum"}],
        ["rulekeeper", "GroupsUnsaved", {"stat": "Sum"}]]}},
      {"type": "metric", "x": 8, "y": 9, "width": 8, "height": 6, "properties": {
        "title": "Groups looked at by a sweep", "region": "${data.aws_region.current.region}", "view": "timeSeries", "period": 3600, "metrics": [
        ["rulekeeper", "SweptGroups", {"stat": "Maximum", "label": "groups"}],
        ["rulekeeper", "SweptGroups", {"stat": "SampleCount", "label": "sweeps"}]]}},
      {"type": "metric", "x": 16, "y": 9, "width": 8, "height": 6, "properties": {
        "title": "Time of an invocation, ms", "region": "${data.aws_region.current.region}", "view": "timeSeries", "period": 300, "metrics": [
        ["rulekeeper", "HandlerMs", {"stat": "p50", "label": "p50"}],
        ["rulekeeper", "HandlerMs", {"stat": "p99", "label": "p99"}]]}},
      {"type": "metric", "x": 0, "y": 15, "width": 8, "height": 6, "properties": {
        "title": "Invocations", "region": "${data.aws_region.current.region}", "view": "timeSeries", "period": 300, "metrics": [
        ["AWS/Lambda", "Invocations", "FunctionName", "${aws_lambda_function.function.function_name}", {"stat": "Sum"}],
        ["AWS/Lambda", "Errors", "FunctionName", "${aws_lambda_function.function.function_name}", {"stat": "Sum"}],
        ["AWS/Lambda", "Throttles", "FunctionName", "${aws_lambda_function.function.function_name}", {"stat": "Sum"}],
        ["AWS/Lambda", "DestinationDeliveryFailures", "FunctionName", "${aws_lambda_function.function.function_name}", {"stat": "Sum"}]]}},
      {"type": "metric", "x": 8, "y": 15, "width": 8, "height": 6, "properties": {
        "title": "Oldest event waiting, ms", "region": "${data.aws_region.current.region}", "view": "timeSeries", "period": 300, "metrics": [
        ["AWS/Lambda", "AsyncEventAge", "FunctionName", "${aws_lambda_function.function.function_name}", {"stat": "Maximum"}],
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", "${aws_sqs_queue.sweep_queue.name}", {"stat": "Maximum", "label": "parts of sweeps waiting", "yAxis": "right"}]]}},
      {"type": "metric", "x": 16, "y": 15, "width": 8, "height": 6, "properties": {
        "title": "Messages of the dead-letter queues", "region": "${data.aws_region.current.region}", "view": "timeSeries", "period": 300, "metrics": [
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", "${aws_sqs_queue.rule_dead_letters.name}", {"stat": "Maximum", "label": "RuleDeadLetters"}],
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", "${aws_sqs_queue.function_dead_letters.name}", {"stat": "Maximum", "label": "FunctionDeadLetters"}]]}},
      {"type": "log", "x": 0, "y": 21, "width": 12, "height": 8, "properties": {
        "title": "API calls for events, an hour (sweeps count theirs in each report)", "region": "${data.aws_region.current.region}", "view": "timeSeries",
        "query": "SOURCE '${aws_cloudwatch_log_group.log_group.name}' | filter message = \"report\" | stats sum(report.calls.AuthorizeSecurityGroupIngress) as AuthorizeSecurityGroupIngress, sum(report.calls.DescribeSecurityGroupRules) as DescribeSecurityGroupRules, sum(report.calls.DescribeSecurityGroups) as DescribeSecurityGroups, sum(report.calls.DescribeManagedPrefixLists) as DescribeManagedPrefixLists, sum(report.calls.DescribeVpcs) as DescribeVpcs, sum(report.calls.GetManagedPrefixListEntries) as GetManagedPrefixListEntries, sum(report.calls.BatchGetItem) as BatchGetItem, sum(report.calls.Query) as Query, sum(report.calls.PutItem) as PutItem, sum(report.calls.UpdateItem) as UpdateItem, sum(report.calls.TransactWriteItems) as TransactWriteItems by bin(1h)"}},
      {"type": "log", "x": 12, "y": 21, "width": 12, "height": 8, "properties": {
        "title": "Latest reports of events", "region": "${data.aws_region.current.region}", "view": "table",
        "query": "SOURCE '${aws_cloudwatch_log_group.log_group.name}' | filter message = \"report\" and report.outcome not in [\"converged\", \"unmanaged\", \"ignored\"] and ispresent(report.outcome) | fields @timestamp, report.outcome, report.group.id, report.reason, report.trigger.principal | sort @timestamp desc | limit 50"}},
      {"type": "metric", "x": 0, "y": 29, "width": 12, "height": 6, "properties": {
        "title": "The watch, if it is deployed", "region": "${data.aws_region.current.region}", "view": "timeSeries", "period": 300, "metrics": [
        ["rulekeeper", "WatchedGroups", {"stat": "Maximum"}],
        ["rulekeeper", "WatchLooks", {"stat": "Sum"}],
        ["rulekeeper", "WatchThrottled", {"stat": "Sum"}],
        ["rulekeeper", "WatchFailedReads", {"stat": "Sum"}],
        ["rulekeeper", "WatchPauseMs", {"stat": "Maximum", "yAxis": "right"}]]}}
    ]}
  EOT
}
