"""Which subnets of a network a service runs in, and how its tasks reach SQS, ECR and CloudWatch from there."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import aws_ec2 as ec2


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerNetwork:
    """Where tasks run.

    Attributes:
        subnets: Which subnets; what ECS takes when None: those with a route out, or public ones with a public address.
        assign_public_ip: Whether tasks have a public address, the only way out of a public subnet.
    """

    subnets: ec2.SubnetSelection | None
    assign_public_ip: bool

    @classmethod
    def choose(
        cls, vpc: ec2.IVpc, *, subnets: ec2.SubnetSelection | None, assign_public_ip: bool | None
    ) -> WorkerNetwork:
        """What was asked for, and where nothing was, what this network has.

        Args:
            vpc: The network.
            subnets: Which subnets were asked for.
            assign_public_ip: Whether a public address was asked for.
        """
        if subnets is not None:
            is_public = assign_public_ip is None and _has_public(vpc, subnets)
            return cls(subnets=subnets, assign_public_ip=is_public or bool(assign_public_ip))
        if vpc.private_subnets or assign_public_ip is not None:
            return cls(subnets=None, assign_public_ip=bool(assign_public_ip))
        if vpc.public_subnets or not vpc.isolated_subnets:
            return cls(subnets=None, assign_public_ip=True)
        # Without a route out, by endpoints.
        return cls(subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED), assign_public_ip=False)


def _has_public(vpc: ec2.IVpc, subnets: ec2.SubnetSelection) -> bool:
    chosen = vpc.select_subnets(
        availability_zones=subnets.availability_zones,
        one_per_az=subnets.one_per_az,
        subnet_filters=subnets.subnet_filters,
        subnet_group_name=subnets.subnet_group_name,
        subnets=subnets.subnets,
        subnet_type=subnets.subnet_type,
    )
    return bool(chosen.has_public)
