"""Schedule groups and their tags."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.conformance_scheduler.scheduling import Scheduling, refused, rule


@rule("API_CreateScheduleGroup", "API_GetScheduleGroup")
def test_a_group_is_there_once_it_is_made(scheduling: Scheduling) -> None:
    """With its ARN, its state and its times."""
    name = scheduling.new_name()
    arn = scheduling.client.create_schedule_group(Name=name)["ScheduleGroupArn"]

    found = scheduling.client.get_schedule_group(Name=name)
    scheduling.client.delete_schedule_group(Name=name)

    assert arn.endswith(f":schedule-group/{name}")
    assert (found["Arn"], found["Name"], found["State"]) == (arn, name, "ACTIVE")
    assert isinstance(found["CreationDate"], datetime)
    assert isinstance(found["LastModificationDate"], datetime)


@rule("API_GetScheduleGroup")
def test_the_default_group_is_always_there(scheduling: Scheduling) -> None:
    """Nobody has to make it."""
    assert scheduling.client.get_schedule_group(Name="default")["State"] == "ACTIVE"


@rule("API_CreateScheduleGroup")
def test_a_groups_name_is_taken_once(scheduling: Scheduling) -> None:
    """ConflictException, for the default group too."""
    for name in (scheduling.group(), "default"):
        with refused("ConflictException", 409):
            scheduling.client.create_schedule_group(Name=name)


@rule("API_CreateScheduleGroup")
@pytest.mark.parametrize("name", ["no spaces", "x" * 65, "a/b", "ü"])
def test_bad_group_names_are_refused(scheduling: Scheduling, name: str) -> None:
    """ValidationException."""
    with refused("ValidationException", 400) as caught:
        scheduling.client.create_schedule_group(Name=name)

    assert "at 'name' failed to satisfy constraint" in caught.message


@rule("API_GetScheduleGroup", "API_DeleteScheduleGroup")
def test_a_group_that_is_not_there(scheduling: Scheduling) -> None:
    """ResourceNotFoundException."""
    with refused("ResourceNotFoundException", 404):
        scheduling.client.get_schedule_group(Name="nobodys")
    with refused("ResourceNotFoundException", 404):
        scheduling.client.delete_schedule_group(Name="nobodys")


@rule("API_DeleteScheduleGroup")
def test_a_deleted_group_takes_its_schedules_along(scheduling: Scheduling) -> None:
    """And no others."""
    group, target = scheduling.group(), scheduling.sending(scheduling.queue())
    inside = scheduling.create("at(2099-01-01T00:00:00)", target, GroupName=group)
    outside = scheduling.create("at(2099-01-01T00:00:00)", target)

    scheduling.client.delete_schedule_group(Name=group)

    with refused("ResourceNotFoundException", 404):
        scheduling.client.get_schedule(Name=inside, GroupName=group)
    assert scheduling.client.get_schedule(Name=outside)["Name"] == outside
    scheduling.group(group)
    assert scheduling.client.list_schedules(GroupName=group)["Schedules"] == []


@rule("API_DeleteScheduleGroup")
def test_the_default_group_cannot_be_deleted(scheduling: Scheduling) -> None:
    """ValidationException."""
    with refused("ValidationException", 400):
        scheduling.client.delete_schedule_group(Name="default")


@rule("API_ListScheduleGroups")
def test_groups_are_listed_in_pages(scheduling: Scheduling) -> None:
    """By the beginning of the name, each once, with what GetScheduleGroup tells."""
    prefix = scheduling.new_name()
    names = [scheduling.group(f"{prefix}-{number}") for number in range(5)]

    pages = list(
        scheduling.client.get_paginator("list_schedule_groups").paginate(
            NamePrefix=prefix, PaginationConfig={"PageSize": 2}
        )
    )

    found = [group for page in pages for group in page["ScheduleGroups"]]
    assert [len(page["ScheduleGroups"]) for page in pages] == [2, 2, 1]
    assert [group["Name"] for group in found] == names
    assert found[0] == {
        key: value
        for key, value in scheduling.client.get_schedule_group(Name=names[0]).items()
        if key != "ResponseMetadata"
    }


@rule("API_TagResource", "API_UntagResource", "API_ListTagsForResource")
def test_a_group_has_tags(scheduling: Scheduling) -> None:
    """From its making, added, changed and removed."""
    name = scheduling.group(Tags=[{"Key": "stage", "Value": "dev"}, {"Key": "team", "Value": "a/b: ü"}])
    arn = scheduling.client.get_schedule_group(Name=name)["Arn"]

    def tags() -> dict[str, str]:
        found = scheduling.client.list_tags_for_resource(ResourceArn=arn)["Tags"]
        return {tag["Key"]: tag["Value"] for tag in found}

    first = tags()
    scheduling.client.tag_resource(
        ResourceArn=arn, Tags=[{"Key": "stage", "Value": "prod"}, {"Key": "x", "Value": "y"}]
    )
    second = tags()
    scheduling.client.untag_resource(ResourceArn=arn, TagKeys=["team", "x", "never there"])
    third = tags()

    assert first == {"stage": "dev", "team": "a/b: ü"}
    assert second == {"stage": "prod", "team": "a/b: ü", "x": "y"}
    assert third == {"stage": "prod"}


@rule("API_TagResource")
def test_what_is_not_there_has_no_tags(scheduling: Scheduling) -> None:
    """ResourceNotFoundException."""
    arn = scheduling.client.get_schedule_group(Name=scheduling.group())["Arn"].rpartition("/")[0] + "/nobodys"

    with refused("ResourceNotFoundException", 404):
        scheduling.client.list_tags_for_resource(ResourceArn=arn)
    with refused("ResourceNotFoundException", 404):
        scheduling.client.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}])
    with refused("ResourceNotFoundException", 404):
        scheduling.client.untag_resource(ResourceArn=arn, TagKeys=["a"])


@rule("API_TagResource")
def test_schedules_themselves_have_no_tags(scheduling: Scheduling) -> None:
    """Only groups can be tagged: another ARN does not fit."""
    name = scheduling.create("at(2099-01-01T00:00:00)", scheduling.sending(scheduling.queue()))
    arn = scheduling.client.get_schedule(Name=name)["Arn"]

    with refused("ValidationException", 400):
        scheduling.client.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}])
