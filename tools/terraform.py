#!/usr/bin/env python3
"""Makes the Terraform modules in deploy/terraform from template.yaml and template-member.yaml, so that both deploy the same.

SAM's own translator turns the template into plain CloudFormation, and each resource of that becomes its Terraform resources.
A resource type or a property that is not known here is an error and no omission: what the template says is said by the module.

    tools/terraform.py               writes the modules' generated files
    tools/terraform.py --check       fails if they are not what the templates make
    tools/terraform.py --self-test   checks this program: whatever changes in a template changes in its module

Needs the packages of tools/requirements/sam.txt. The values' meanings are those of the CloudFormation User Guide ("Template
reference") and of the AWS provider's documentation.
"""

import argparse
import copy
import json
import os
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODULES = {"template.yaml": "deploy/terraform", "template-member.yaml": "deploy/terraform/member"}
HEAD = "# Made from {template} by tools/terraform.py. The reasons for what is here stand there.\n"
# Stands in the translated template for where the code is; the module has variables for that.
CODE = {"Bucket": "code-bucket", "Key": "code-key"}
WIDTH = 110


class Unknown(Exception):
    """Something in the template that has no counterpart here."""


# ---- The template ----------------------------------------------------------------------------------------------------


def translated(path):
    """The template as plain CloudFormation. Parameters keep their names: without defaults SAM puts no values in."""
    from samcli.yamlhelper import yaml_parse
    from samtranslator.translator.transform import transform

    # The translator asks for a Region to know the partition by; nothing of what it makes depends on it here.
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    template = yaml_parse(path.read_text())
    parameters = copy.deepcopy(template.get("Parameters", {}))
    if "Transform" in template:
        for parameter in template["Parameters"].values():
            parameter.pop("Default", None)
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::Serverless::Function":
                if resource["Properties"].get("CodeUri") != ".":
                    raise Unknown("a function whose code is not this checkout")
                resource["Properties"]["CodeUri"] = dict(CODE)
        template = transform(template, {}, NoPolicies())
        # SAM tells by a tag that it made them.
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::Lambda::Function":
                if resource["Properties"].pop("Tags") != [{"Key": "lambda:createdBy", "Value": "SAM"}]:
                    raise Unknown("tags of a function")
    template["Parameters"] = parameters
    return json.loads(json.dumps(template))


class NoPolicies:
    """The translator asks for names of managed policies; the template has none."""

    def load(self):
        return {}


# ---- Writing HCL -----------------------------------------------------------------------------------------------------


class Expression(str):
    """HCL that is written as it is."""


class Call:
    """A function of a value."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments


class Choice:
    """One of two values."""

    def __init__(self, condition, then, otherwise):
        self.condition, self.then, self.otherwise = condition, then, otherwise


class Kept(dict):
    """An object whose members may have no value: those are left out."""


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def literal(text):
    """A quoted string. What HCL would take for a template is escaped."""
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def key(name):
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name) else literal(name)


def hcl(value, indent=0):
    """A value as `terraform fmt` writes it: on one line if it fits."""
    if value is None:
        return "null"
    if isinstance(value, Expression):
        return str(value)
    if isinstance(value, Call):
        return f"{value.function}({', '.join(hcl(argument, indent) for argument in value.arguments)})"
    if isinstance(value, Choice):
        return f"{value.condition} ? {hcl(value.then, indent)} : {hcl(value.otherwise, indent)}"
    if isinstance(value, Kept):
        return f"{{ for name, value in {hcl(dict(value), indent)} : name => value if value != null }}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        return literal(value)
    inner, end = " " * (indent + 2), " " * indent
    if isinstance(value, list):
        items = [hcl(item, indent + 2) for item in value]
        line = "[" + ", ".join(items) + "]"
        if "\n" not in line and len(line) + indent < WIDTH:
            return line
        return "[\n" + "".join(f"{inner}{item},\n" for item in items) + f"{end}]"
    if isinstance(value, dict):
        items = [(key(name), hcl(item, indent + 2)) for name, item in value.items()]
        line = "{ " + ", ".join(f"{name} = {item}" for name, item in items) + " }" if items else "{}"
        if "\n" not in line and len(line) + indent < WIDTH and len(items) < 4:
            return line
        return "{\n" + attributes(items, indent + 2) + f"{end}}}"
    raise Unknown(f"a value {value!r}")


def attributes(items, indent):
    """Lines of `name = value`; those of one line each that follow each other have their equals signs in one column."""
    out, run = "", []

    def close():
        width = max((len(name) for name, _ in run), default=0)
        lines = "".join(f"{' ' * indent}{name:{width}} = {item}\n" for name, item in run)
        run.clear()
        return lines

    for name, item in items:
        if "\n" in item:
            out += close() + f"{' ' * indent}{name} = {item}\n"
        else:
            run.append((name, item))
    return out + close()


class Block:
    """A block of HCL: attributes, then blocks inside it."""

    def __init__(self, *labels):
        self.labels, self.items, self.blocks = labels, {}, []

    def set(self, name, value):
        """`None` leaves the attribute out."""
        if value is not None:
            self.items[name] = value

    def block(self, *labels):
        self.blocks.append(Block(*labels))
        return self.blocks[-1]

    def text(self, indent=0):
        head, *names = self.labels
        labels = "".join(f' "{name}"' for name in names)
        pad = " " * indent
        if not self.items and not self.blocks:
            return f"{pad}{head}{labels} {{}}\n"
        items = [(name, hcl(value, indent + 2)) for name, value in self.items.items()]
        last = [item for item in items if item[0] == "depends_on"]
        out = f"{pad}{head}{labels} {{\n" + attributes([item for item in items if item not in last], indent + 2)
        for block in self.blocks:
            out += ("\n" if out.rstrip("\n")[-1:] != "{" else "") + block.text(indent + 2)
        if last:
            out += "\n" + attributes(last, indent + 2)
        return out + f"{pad}}}\n"


def heredoc(text):
    """A text of several lines. Backslashes and quotes are themselves there."""
    if not text.endswith("\n"):
        raise Unknown("a text of several lines without an end")
    return Expression("<<-EOT\n" + "".join(f"    {line}\n" for line in text.splitlines()) + "  EOT")


# ---- From CloudFormation to Terraform --------------------------------------------------------------------------------

KINDS = {
    "AWS::CloudWatch::Alarm": "aws_cloudwatch_metric_alarm",
    "AWS::CloudWatch::Dashboard": "aws_cloudwatch_dashboard",
    "AWS::DynamoDB::Table": "aws_dynamodb_table",
    "AWS::Events::EventBus": "aws_cloudwatch_event_bus",
    "AWS::Events::EventBusPolicy": "aws_cloudwatch_event_bus_policy",
    "AWS::Events::Rule": "aws_cloudwatch_event_rule",
    "AWS::IAM::Role": "aws_iam_role",
    "AWS::Lambda::EventInvokeConfig": "aws_lambda_function_event_invoke_config",
    "AWS::Lambda::EventSourceMapping": "aws_lambda_event_source_mapping",
    "AWS::Lambda::Function": "aws_lambda_function",
    "AWS::Lambda::Permission": "aws_lambda_permission",
    "AWS::Logs::LogGroup": "aws_cloudwatch_log_group",
    "AWS::SNS::Subscription": "aws_sns_topic_subscription",
    "AWS::SNS::Topic": "aws_sns_topic",
    "AWS::SNS::TopicPolicy": "aws_sns_topic_policy",
    "AWS::SQS::Queue": "aws_sqs_queue",
    "AWS::SQS::QueuePolicy": "aws_sqs_queue_policy",
}
# What Ref means for a type, and what its attributes are called.
REFERENCES = {
    "AWS::CloudWatch::Dashboard": "dashboard_name",
    "AWS::DynamoDB::Table": "name",
    "AWS::Events::EventBus": "name",
    "AWS::Lambda::Function": "function_name",
    "AWS::Logs::LogGroup": "name",
    "AWS::SNS::Topic": "arn",
    "AWS::SQS::Queue": "url",
}
ATTRIBUTES = {"Arn": "arn", "QueueName": "name"}
PSEUDO = {
    "AWS::AccountId": "data.aws_caller_identity.current.account_id",
    "AWS::Partition": "data.aws_partition.current.partition",
    "AWS::Region": "data.aws_region.current.region",
    "AWS::StackName": "var.name",
}
TAGGED = {
    "aws_cloudwatch_event_bus",
    "aws_cloudwatch_event_rule",
    "aws_cloudwatch_log_group",
    "aws_cloudwatch_metric_alarm",
    "aws_dynamodb_table",
    "aws_iam_role",
    # Not event source mappings: they have no tags in China.
    "aws_lambda_function",
    "aws_sns_topic",
    "aws_sqs_queue",
}


class Properties:
    """A resource's properties: each must be taken."""

    def __init__(self, where, properties):
        self.where, self.left = where, dict(properties)

    def take(self, name):
        return self.left.pop(name, None)

    def need(self, name):
        if name not in self.left:
            raise Unknown(f"{self.where} without {name}")
        return self.left.pop(name)

    def inside(self, name):
        return Properties(f"{self.where}.{name}", self.left.pop(name, None) or {})

    def done(self):
        if self.left:
            raise Unknown(f"{self.where}: {', '.join(sorted(self.left))}")


class Module:
    """What a template makes."""

    def __init__(self, template):
        self.template = template
        self.resources = template["Resources"]
        # Policies of roles are resources of their own in Terraform. What assumes a role needs them first.
        self.policies = []
        self.blocks = []

    # -- Values

    def address(self, name):
        resource = self.resources[name]
        if resource["Type"] not in KINDS:
            raise Unknown(f"{name}, a {resource['Type']}")
        index = "[0]" if "Condition" in resource else ""
        return f"{KINDS[resource['Type']]}.{snake(name)}{index}"

    def reference(self, name, attribute=None):
        if attribute is None and name in self.template["Parameters"]:
            return f"var.{snake(name)}"
        if attribute is None and name in PSEUDO:
            return PSEUDO[name]
        if name not in self.resources:
            raise Unknown(f"a reference to {name}")
        kind = self.resources[name]["Type"]
        if attribute is None:
            if kind not in REFERENCES:
                raise Unknown(f"a reference to {name}, a {kind}")
            return f"{self.address(name)}.{REFERENCES[kind]}"
        if attribute not in ATTRIBUTES:
            raise Unknown(f"{name}.{attribute}")
        return f"{self.address(name)}.{ATTRIBUTES[attribute]}"

    def got(self, name, attribute):
        # CloudFormation's ARN of a log group ends like this, and the provider's does not.
        if self.resources[name]["Type"] == "AWS::Logs::LogGroup" and attribute == "Arn":
            return Expression(f'"${{{self.reference(name, attribute)}}}:*"')
        return Expression(self.reference(name, attribute))

    def value(self, value):
        """A CloudFormation value in HCL's terms."""
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(function, argument)] = value.items()
            if function == "Ref":
                return None if argument == "AWS::NoValue" else Expression(self.reference(argument))
            if function == "Fn::GetAtt":
                return self.got(*(argument if isinstance(argument, list) else argument.split(".")))
            if function == "Fn::Sub":
                return self.substituted(argument)
            if function == "Fn::If":
                condition, then, otherwise = argument
                return Choice(self.condition(condition), self.value(then), self.value(otherwise))
            if function.startswith("Fn::"):
                raise Unknown(f"the function {function}")
        items = {name: self.value(item) for name, item in value.items()}
        optional = [item for item in items.values() if isinstance(item, Choice) and None in (item.then, item.otherwise)]
        return Kept(items) if optional else items

    def substituted(self, text):
        parts = re.split(r"\$\{([A-Za-z0-9:.]+)\}", text)
        out = ""
        for index, part in enumerate(parts):
            if index % 2:
                out += "${" + self.reference(*part.split(".")) + "}"
            else:
                escaped = part.replace("${", "$${").replace("%{", "%%{")
                out += escaped if "\n" in text else json.dumps(escaped, ensure_ascii=False)[1:-1]
        return heredoc(out) if "\n" in text else Expression(f'"{out}"')

    def condition(self, name):
        if name not in self.template.get("Conditions", {}):
            raise Unknown(f"the condition {name}")
        return f"local.{snake(name)}"

    def conditions(self):
        def expression(condition):
            [(function, argument)] = condition.items()
            if function == "Fn::Not":
                [(inner, sides)] = argument[0].items()
                if inner == "Fn::Equals":
                    return " != ".join(hcl(self.value(side)) for side in sides)
            if function == "Fn::Equals":
                return " == ".join(hcl(self.value(side)) for side in argument)
            raise Unknown(f"the condition {condition}")

        return {snake(name): Expression(expression(condition)) for name, condition in self.template["Conditions"].items()}

    def document(self, value):
        """JSON."""
        return Call("jsonencode", self.value(value))

    # -- Resources

    def resource(self, kind, name, condition=None):
        block = Block("resource", kind, name)
        if condition:
            block.set("count", Expression(f"{self.condition(condition)} ? 1 : 0"))
        self.blocks.append(block)
        return block

    def translate(self):
        for name, resource in self.resources.items():
            kind = resource["Type"]
            if kind not in KINDS:
                raise Unknown(f"{name}, a {kind}")
            # What becomes of what it replaces or leaves behind is Terraform's; the table is kept in its own way below.
            known = {"Type", "Properties", "Condition", "Metadata", "DeletionPolicy", "UpdateReplacePolicy"}
            if set(resource) - known:
                raise Unknown(f"{name}: {', '.join(sorted(set(resource) - known))}")
            properties = Properties(name, resource["Properties"])
            block = self.resource(KINDS[kind], snake(name), resource.get("Condition"))
            getattr(self, kind.split("::", 1)[1].replace("::", "_").lower())(block, name, properties)
            properties.done()
            if block.labels[1] in TAGGED:
                block.set("tags", Expression("var.tags"))
        for block in self.blocks:
            if block.labels[1] == "aws_lambda_function":
                block.set("depends_on", [Expression(policy) for policy in self.policies])

    def copy(self, block, properties, names):
        """Properties that are called the same but for their spelling, or as the pairs say."""
        for name in names:
            cloudformation, terraform = name if isinstance(name, tuple) else (name, snake(name))
            block.set(terraform, self.value(properties.take(cloudformation)))

    def named(self, block, name, attribute="name"):
        block.set(attribute, Expression(f'"${{var.name}}-{name}"'))

    def inner(self, block, label, properties, names):
        """A block inside another, if there is anything to say in it."""
        if properties.left:
            self.copy(block.block(label), properties, names)
        properties.done()

    def cloudwatch_alarm(self, block, name, properties):
        self.named(block, name, "alarm_name")
        dimensions = properties.take("Dimensions")
        self.copy(block, properties, ["AlarmDescription", "Namespace", "MetricName"])
        if dimensions is not None:
            block.set("dimensions", {one["Name"]: self.value(one["Value"]) for one in dimensions})
        names = ["Statistic", "Period", "EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator"]
        self.copy(block, properties, [*names, "TreatMissingData", "AlarmActions", ("OKActions", "ok_actions")])

    def cloudwatch_dashboard(self, block, name, properties):
        self.named(block, name, "dashboard_name")
        self.copy(block, properties, ["DashboardBody"])

    def dynamodb_table(self, block, name, properties):
        self.named(block, name)
        self.copy(block, properties, ["BillingMode", "DeletionProtectionEnabled"])
        keys = {"HASH": "hash_key", "RANGE": "range_key"}
        for one in properties.need("KeySchema"):
            block.set(keys[one["KeyType"]], one["AttributeName"])
        for one in properties.need("AttributeDefinitions"):
            attribute = block.block("attribute")
            attribute.set("name", one["AttributeName"])
            attribute.set("type", one["AttributeType"])
        self.inner(block, "ttl", properties.inside("TimeToLiveSpecification"), ["AttributeName", "Enabled"])
        encryption = properties.inside("SSESpecification")
        if encryption.take("SSEType") != "KMS":
            raise Unknown(f"{name}: encrypted with another key than one of KMS")
        names = [("SSEEnabled", "enabled"), ("KMSMasterKeyId", "kms_key_arn")]
        self.inner(block, "server_side_encryption", encryption, names)
        recovery = properties.inside("PointInTimeRecoverySpecification")
        self.inner(block, "point_in_time_recovery", recovery, [("PointInTimeRecoveryEnabled", "enabled")])
        # It stays when the stack goes, too.
        if self.resources[name]["DeletionPolicy"] == "Retain":
            block.block("lifecycle").set("prevent_destroy", True)

    def events_eventbus(self, block, _name, properties):
        self.copy(block, properties, ["Name", "Description"])

    def events_eventbuspolicy(self, block, name, properties):
        statement = {"Sid": properties.need("StatementId"), **properties.need("Statement")}
        if not statement["Resource"]["Fn::Sub"].endswith(":event-bus/default"):
            raise Unknown(f"{name}: a policy of another bus than the default one")
        # The provider sets the whole policy of a bus.
        statements = Call("concat", [self.value(statement)], Expression("var.other_bus_statements"))
        block.set("event_bus_name", "default")
        block.set("policy", Call("jsonencode", {"Version": "2012-10-17", "Statement": statements}))

    def events_rule(self, block, name, properties):
        self.named(block, name)
        pattern, bus = properties.take("EventPattern"), self.value(properties.take("EventBusName"))
        self.copy(block, properties, ["Description", "ScheduleExpression"])
        block.set("event_bus_name", bus)
        if pattern is not None:
            block.set("event_pattern", self.document(pattern))
        condition = self.resources[name].get("Condition")
        for one in properties.need("Targets"):
            one = Properties(f"{name}.Targets", one)
            target = self.resource("aws_cloudwatch_event_target", snake(name), condition)
            target.set("rule", Expression(f"{self.address(name)}.name"))
            target.set("event_bus_name", bus)
            self.copy(target, one, [("Id", "target_id"), "Arn", "RoleArn", "Input", "InputPath"])
            self.inner(target, "dead_letter_config", one.inside("DeadLetterConfig"), ["Arn"])
            names = ["MaximumEventAgeInSeconds", "MaximumRetryAttempts"]
            self.inner(target, "retry_policy", one.inside("RetryPolicy"), names)
            names = [("InputPathsMap", "input_paths"), "InputTemplate"]
            self.inner(target, "input_transformer", one.inside("InputTransformer"), names)
            one.done()

    def iam_role(self, block, name, properties):
        given = properties.take("RoleName")
        if given is None:
            # Roles are the account's, and stacks of other Regions may have the same name.
            block.set("name_prefix", Expression(f'"${{var.name}}-{name}-"'))
        block.set("name", self.value(given))
        self.copy(block, properties, ["Description", "PermissionsBoundary"])
        block.set("assume_role_policy", self.document(properties.need("AssumeRolePolicyDocument")))
        of_role = self.resources[name].get("Condition")
        for one in properties.need("Policies"):
            condition = of_role
            if "Fn::If" in one:
                condition, one, otherwise = one["Fn::If"]
                if of_role or otherwise != {"Ref": "AWS::NoValue"}:
                    raise Unknown(f"{name}: a policy with another in its place")
            one = Properties(f"{name}.Policies", one)
            policy_name = one.need("PolicyName")
            label = f"{snake(name)}_{policy_name.replace('-', '_')}"
            policy = self.resource("aws_iam_role_policy", label, condition)
            self.policies.append(f"aws_iam_role_policy.{label}")
            policy.set("name", policy_name)
            policy.set("role", Expression(f"{self.address(name)}.name"))
            policy.set("policy", self.document(one.need("PolicyDocument")))
            one.done()

    def lambda_eventinvokeconfig(self, block, _name, properties):
        names = ["FunctionName", "Qualifier", "MaximumEventAgeInSeconds", "MaximumRetryAttempts"]
        self.copy(block, properties, names)
        destinations = properties.inside("DestinationConfig")
        if destinations.left:
            config = block.block("destination_config")
            self.inner(config, "on_failure", destinations.inside("OnFailure"), ["Destination"])
            self.inner(config, "on_success", destinations.inside("OnSuccess"), ["Destination"])
        destinations.done()

    def lambda_eventsourcemapping(self, block, _name, properties):
        self.copy(block, properties, ["EventSourceArn", "FunctionName", "BatchSize", "FunctionResponseTypes"])
        self.inner(block, "scaling_config", properties.inside("ScalingConfig"), ["MaximumConcurrency"])

    def lambda_function(self, block, name, properties):
        if properties.need("Code") != {"S3Bucket": CODE["Bucket"], "S3Key": CODE["Key"]}:
            raise Unknown(f"{name}: other code")
        given = properties.take("FunctionName")
        if given is None:
            self.named(block, name, "function_name")
        block.set("function_name", block.items.get("function_name") or self.value(given))
        for attribute in ["filename", "source_code_hash", "s3_bucket", "s3_key", "s3_object_version"]:
            block.set(attribute, Expression(f"local.{attribute}"))
        names = ["Description", "Role", "Handler", "Runtime", "Architectures", "MemorySize", "Timeout"]
        self.copy(block, properties, [*names, "ReservedConcurrentExecutions"])
        self.inner(block, "tracing_config", properties.inside("TracingConfig"), ["Mode"])
        names = ["LogGroup", "LogFormat", "ApplicationLogLevel", "SystemLogLevel"]
        self.inner(block, "logging_config", properties.inside("LoggingConfig"), names)
        self.inner(block, "environment", properties.inside("Environment"), ["Variables"])

    def lambda_permission(self, block, _name, properties):
        self.copy(block, properties, ["Action", "FunctionName", "Principal", "SourceArn"])

    def logs_loggroup(self, block, name, properties):
        self.named(block, name)
        self.copy(block, properties, ["RetentionInDays", "KmsKeyId"])

    def sns_subscription(self, block, _name, properties):
        self.copy(block, properties, ["TopicArn", "Protocol", "Endpoint"])

    def sns_topic(self, block, name, properties):
        self.named(block, name)
        self.copy(block, properties, ["DisplayName", "KmsMasterKeyId"])

    def sns_topicpolicy(self, block, _name, properties):
        [topic] = properties.need("Topics")
        block.set("arn", self.value(topic))
        block.set("policy", self.document(properties.need("PolicyDocument")))

    def sqs_queue(self, block, name, properties):
        self.named(block, name)
        names = [("VisibilityTimeout", "visibility_timeout_seconds"), ("MessageRetentionPeriod", "message_retention_seconds")]
        self.copy(block, properties, [*names, "SqsManagedSseEnabled", "KmsMasterKeyId"])
        redrive = properties.take("RedrivePolicy")
        if redrive is not None:
            block.set("redrive_policy", self.document(redrive))

    def sqs_queuepolicy(self, block, _name, properties):
        [queue] = properties.need("Queues")
        block.set("queue_url", self.value(queue))
        block.set("policy", self.document(properties.need("PolicyDocument")))

    # -- Variables and outputs

    def variables(self):
        for name, parameter in self.template["Parameters"].items():
            parameter = Properties(name, parameter)
            block = Block("variable", snake(name))
            kind = {"String": "string", "Number": "number"}[parameter.need("Type")]
            block.set("description", parameter.need("Description"))
            block.set("type", Expression(kind))
            block.set("default", parameter.take("Default"))
            reference = f"var.{snake(name)}"
            for rule, condition, message in [
                ("AllowedValues", "contains({}, {})", "one of {}"),
                ("AllowedPattern", "can(regex({}, {}))", "of the form {}"),
                ("MinValue", "{1} >= {0}", "at least {}"),
                ("MaxValue", "{1} <= {0}", "at most {}"),
                ("MinLength", "length({1}) >= {0}", "{} characters long or more"),
            ]:
                wanted = parameter.take(rule)
                if wanted is None:
                    continue
                validation = block.block("validation")
                validation.set("condition", Expression(condition.format(hcl(wanted), reference)))
                shown = ", ".join(map(str, wanted)) if isinstance(wanted, list) else wanted
                validation.set("error_message", f"{snake(name)} must be " + message.format(shown) + ".")
            parameter.done()
            yield block

    def outputs(self):
        for name, output in self.template["Outputs"].items():
            output = Properties(name, output)
            block = Block("output", snake(name))
            block.set("description", output.need("Description"))
            value, condition = self.value(output.need("Value")), output.take("Condition")
            if condition:
                value = Choice(self.condition(condition), value, None)
            block.set("value", value)
            output.done()
            yield block


def made(template):
    """File name -> content, for the module of a translated template."""
    for part in template:
        if part not in {"AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Conditions", "Resources", "Outputs"}:
            raise Unknown(f"{part} in the template")
    module = Module(template)
    module.translate()
    local = Block("locals")
    for name, condition in module.conditions().items():
        local.set(name, condition)
    data = [Block("data", kind, "current") for kind in ("aws_caller_identity", "aws_partition", "aws_region")]
    watched = [block for block in module.blocks if block.labels[1].startswith(("aws_cloudwatch_metric", "aws_cloudwatch_dash"))]
    rest = [block for block in module.blocks if block not in watched]
    used = "".join(block.text() for block in [local, *module.blocks, *module.outputs()])
    data = [block for block in data if f"data.{block.labels[1]}." in used]
    return {
        "main.tf": [*data, local, *rest],
        "alarms.tf": watched,
        "variables.tf": list(module.variables()),
        "outputs.tf": list(module.outputs()),
    }


def texts(name, template):
    """File name -> text."""
    head = HEAD.format(template=name)
    return {file: head + "".join("\n" + block.text() for block in blocks) for file, blocks in made(template).items()}


# ---- This program's own tests ----------------------------------------------------------------------------------------


def leaves(value, path=()):
    if isinstance(value, (dict, list)):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, name))
    else:
        yield path


class Tests(unittest.TestCase):
    def test_whatever_changes_in_a_template_changes_in_its_module_or_is_refused(self):
        for name in MODULES:
            template = translated(ROOT / name)
            before = texts(name, template)
            said, refused = 0, 0
            for path in leaves({part: template[part] for part in ("Parameters", "Conditions", "Resources", "Outputs")}):
                if "Metadata" in path or path[2:] in {("DeletionPolicy",), ("UpdateReplacePolicy",)}:
                    continue
                place = template
                for step in path[:-1]:
                    place = place[step]
                old = place[path[-1]]
                place[path[-1]] = (not old) if isinstance(old, bool) else old + 1 if isinstance(old, int) else f"{old}x"
                try:
                    self.assertNotEqual(texts(name, template), before, path)
                    said += 1
                except (Unknown, KeyError):
                    refused += 1
                place[path[-1]] = old
            self.assertEqual(texts(name, template), before)
            self.assertGreater(said, refused)
            self.assertGreater(said, 60)

    def test_whatever_is_added_to_a_resource_is_refused(self):
        for name in MODULES:
            template = translated(ROOT / name)
            for resource in template["Resources"]:
                changed = copy.deepcopy(template)
                changed["Resources"][resource]["Properties"]["Another"] = 1
                with self.assertRaisesRegex(Unknown, "Another"):
                    texts(name, changed)
                changed = copy.deepcopy(template)
                changed["Resources"][resource]["Type"] = "AWS::EC2::Instance"
                with self.assertRaises(Unknown):
                    texts(name, changed)

    def test_values(self):
        module = Module({"Parameters": {"Mode": {}}, "Conditions": {"Has": {}}, "Resources": {"Q": {"Type": "AWS::SQS::Queue"}}})
        for value, expected in [
            ({"Ref": "Mode"}, "var.mode"),
            ({"Ref": "Q"}, "aws_sqs_queue.q.url"),
            ({"Fn::GetAtt": ["Q", "Arn"]}, "aws_sqs_queue.q.arn"),
            ({"Fn::Sub": "a ${Mode} \"${Q.QueueName}\" %{x"}, '"a ${var.mode} \\"${aws_sqs_queue.q.name}\\" %%{x"'),
            ({"Fn::If": ["Has", {"Ref": "Mode"}, {"Ref": "AWS::NoValue"}]}, "local.has ? var.mode : null"),
            ("a ${b}", '"a $${b}"'),
            ({"a": 1, "b:c": [True, "x"]}, '{ a = 1, "b:c" = [true, "x"] }'),
        ]:
            self.assertEqual(hcl(module.value(value)), expected)
        optional = module.value({"a": 1, "b": {"Fn::If": ["Has", 2, {"Ref": "AWS::NoValue"}]}})
        self.assertIn("name => value if value != null", hcl(optional))
        for wrong in [{"Ref": "Nobody"}, {"Fn::Join": ["", []]}, {"Fn::GetAtt": ["Q", "Url"]}, {"Fn::If": ["No", 1, 2]}]:
            with self.assertRaises(Unknown):
                module.value(wrong)

    def test_names(self):
        names = [("KmsKeyArn", "kms_key_arn"), ("OKActions", "okactions"), ("MaximumEventAgeInSeconds", "maximum_event_age_in_seconds")]
        for name, expected in names:
            self.assertEqual(snake(name), expected)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--self-test", action="store_true", help="check this program")
    given = parser.parse_args()
    if given.self_test:
        unittest.main(argv=[sys.argv[0]])
    stale = []
    for name, folder in MODULES.items():
        try:
            files = texts(name, translated(ROOT / name))
        except Unknown as unknown:
            sys.exit(f"error: {name}: {unknown}: tools/terraform.py does not know how Terraform says that")
        for file, text in files.items():
            path = ROOT / folder / file
            if given.check:
                if not path.exists() or path.read_text() != text:
                    stale.append(f"{folder}/{file}")
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    if stale:
        sys.exit(f"error: {', '.join(stale)}: not what the templates make; run tools/terraform.py")


if __name__ == "__main__":
    main()
