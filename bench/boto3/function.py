"""The plain function that a team would write: read the record, describe the group, authorize what is missing in one call.

The clients are made when the module is loaded, as AWS advises. Below it stands as much of Lambda's own Python runtime as is
needed to run it: one connection that asks for events.
"""

import http.client
import json
import os

import boto3

EC2 = boto3.client("ec2")
TABLE = boto3.resource("dynamodb").Table(os.environ["RULEKEEPER_TABLE"])


def handler(event, context):
    detail = event["detail"]
    group = detail["requestParameters"]["groupId"]
    scope = f"desired#{detail['recipientAccountId']}#{detail['awsRegion']}"
    record = TABLE.get_item(Key={"pk": scope, "sk": group}, ConsistentRead=True).get("Item")
    if record is None:
        return {"outcome": "unmanaged"}
    pages = EC2.get_paginator("describe_security_group_rules").paginate(
        Filters=[{"Name": "group-id", "Values": [group]}], PaginationConfig={"PageSize": 1000}
    )
    live = {
        (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], rule.get("CidrIpv4"))
        for page in pages
        for rule in page["SecurityGroupRules"]
        if not rule["IsEgress"]
    }
    missing = [
        rule
        for rule in record["rules"]
        if (rule["protocol"], int(rule["from_port"]), int(rule["to_port"]), rule["cidr_ipv4"]) not in live
    ]
    if missing:
        EC2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[
                {
                    "IpProtocol": rule["protocol"],
                    "FromPort": int(rule["from_port"]),
                    "ToPort": int(rule["to_port"]),
                    "IpRanges": [{"CidrIp": rule["cidr_ipv4"]}],
                }
                for rule in missing
            ],
        )
    answer = {"outcome": "restored", "rules": len(missing)}
    print(json.dumps(answer))
    return answer


def main():
    runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    path = "/2018-06-01/runtime/invocation"
    while True:
        runtime.request("GET", f"{path}/next")
        event = runtime.getresponse()
        request_id = event.headers["lambda-runtime-aws-request-id"]
        answer = handler(json.loads(event.read()), None)
        runtime.request("POST", f"{path}/{request_id}/response", json.dumps(answer))
        runtime.getresponse().read()


main()
