# Made from template-member.yaml by tools/terraform.py. The reasons for what is here stand there.

resource "aws_cloudwatch_metric_alarm" "forward_dead_letters_alarm" {
  alarm_name          = "${var.name}-ForwardDeadLettersAlarm"
  alarm_description   = "EventBridge could not hand events over to rulekeeper, so rules dropped in this account come back with the next sweep only. The messages' attributes say why: mostly OrganizationId of rulekeeper's stack, or a bus that is gone. Fix that, then delete the messages."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.forward_dead_letters.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.has_alarm_topic ? [var.alarm_topic_arn] : null
  ok_actions          = local.has_alarm_topic ? [var.alarm_topic_arn] : null
  tags                = var.tags
}
