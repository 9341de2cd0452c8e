# Made from template-member.yaml by tools/terraform.py. The reasons for what is here stand there.

output "restore_role_arn" {
  description = "The role that rulekeeper's function assumes here"
  value       = local.makes_role ? aws_iam_role.restore_role[0].arn : null
}

output "forward_dead_letters_url" {
  description = "Events that could not be handed over"
  value       = aws_sqs_queue.forward_dead_letters.url
}
