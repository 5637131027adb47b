"""Services without a way to the internet: isolated subnets, and endpoints for what a worker calls.

A NAT gateway or a public address for each task would do as well. Endpoints cost by the hour and the zone, and nothing
leaves the network: policies and security groups say what may be reached.
"""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

#: What a worker calls: its queues, its image, its logs. Add those that your tasks call, such as ``SECRETS_MANAGER``.
ENDPOINTS = {
    "Sqs": ec2.InterfaceVpcEndpointAwsService.SQS,
    "Ecr": ec2.InterfaceVpcEndpointAwsService.ECR,
    "EcrDocker": ec2.InterfaceVpcEndpointAwsService.ECR_DOCKER,
    "Logs": ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
}


def private_network(scope: Construct, construct_id: str = "Private") -> ec2.Vpc:
    """A network without a way out, in which a ``FargateWorker(vpc=...)`` works all the same."""
    vpc = ec2.Vpc(
        scope,
        construct_id,
        max_azs=2,
        nat_gateways=0,
        restrict_default_security_group=False,
        subnet_configuration=[
            ec2.SubnetConfiguration(name="isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
        ],
        # The layers of images lie in S3. This endpoint costs nothing.
        gateway_endpoints={"S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3)},
    )
    for name, service in ENDPOINTS.items():
        vpc.add_interface_endpoint(name, service=service)
    return vpc
