"""Where MiniStack 1.5.33 is known to differ from AWS, by the test that shows it.

Expected failures, strictly: when a later version gets one right, its line has to go. A test with parameters is named
with them where it fails for some only. What AWS does is told, with its source, in the test itself.
"""

from __future__ import annotations

_NO_MOVE_TASKS = "has no message move tasks: InvalidAction"
_NO_ATTEMPTS = "ignores ReceiveRequestAttemptId"
_ONE_HANDLE = "knows a message's latest receipt handle only, and forgets it with the message"
_NOT_CHECKED = "does not check it"

MINISTACK: dict[str, str] = {
    # queues
    "test_bad_queue_names_are_refused": _NOT_CHECKED,
    "test_a_standard_queue_must_not_be_called_fifo": _NOT_CHECKED,
    "test_a_list_of_nothing_has_no_urls": "answers with an empty list",
    "test_a_name_just_deleted_cannot_be_used": "does not wait 60 seconds",
    "test_a_second_purge_within_60_seconds_is_refused": "does not wait 60 seconds",
    "test_a_purge_forgets_deduplication_ids": "remembers them across a purge",
    # attributes
    "test_defaults[SqsManagedSseEnabled-true]": "has no SqsManagedSseEnabled by default",
    "test_all_attributes_of_a_standard_queue": "has no SqsManagedSseEnabled by default",
    "test_attributes_of_a_fifo_queue": "has no DeduplicationScope and FifoThroughputLimit by default",
    "test_only_the_attributes_asked_for": "returns all attributes when none is asked for",
    "test_an_unknown_attribute_cannot_be_asked_for": _NOT_CHECKED,
    "test_attributes_that_cannot_be_set_on_a_standard_queue": _NOT_CHECKED,
    "test_the_type_of_a_queue_cannot_change": _NOT_CHECKED,
    "test_throughput_per_group_needs_deduplication_per_group": _NOT_CHECKED,
    "test_one_kind_of_encryption_at_a_time": _NOT_CHECKED,
    "test_permissions_are_statements_of_the_policy": "writes actions as a list and in lower case",
    "test_an_unknown_label_cannot_be_removed": _NOT_CHECKED,
    "test_a_statement_has_seven_actions_at_most": _NOT_CHECKED,
    # sending
    "test_attributes_count": "does not count attributes in a message's size",
    "test_the_trace_header_has_a_digest_of_its_own": "returns no MD5OfMessageSystemAttributes",
    "test_the_trace_header_of_a_request_is_its_messages": "ignores X-Amzn-Trace-Id",
    "test_a_deduplication_id_is_for_fifo_queues": _NOT_CHECKED,
    "test_bad_group_ids_are_refused": _NOT_CHECKED,
    "test_delays_out_of_range_are_refused": _NOT_CHECKED,
    "test_entries_have_their_own_delays": "does not check an entry's delay",
    "test_ten_attributes_are_accepted_and_eleven_refused": _NOT_CHECKED,
    "test_bad_attribute_names_are_refused": _NOT_CHECKED,
    "test_bad_attribute_values_are_refused": _NOT_CHECKED,
    # receiving
    "test_seconds_out_of_range_are_refused": _NOT_CHECKED,
    "test_an_attempt_id_is_for_fifo_queues": _NOT_CHECKED,
    # visibility
    "test_timeouts_out_of_range_are_refused": _NOT_CHECKED,
    "test_changes_fail_one_by_one": "does not check an entry's timeout",
    "test_twelve_hours_count_from_the_receive": "counts the twelve hours from each change",
    "test_a_message_that_is_visible_again_stays_visible": "hides it again",
    "test_a_batch_leaves_visible_messages_visible_too": "hides them again",
    "test_the_visibility_of_a_deleted_message_cannot_change": "answers ReceiptHandleIsInvalid",
    "test_an_old_handle_changes_the_visibility": _ONE_HANDLE,
    "test_a_message_can_be_deleted_again": _ONE_HANDLE,
    "test_a_message_in_another_hand_can_be_deleted": _ONE_HANDLE,
    # dead letters
    "test_the_policy_comes_back_as_json": "returns the policy as it was given",
    "test_bad_redrive_policies_are_refused": "answers InvalidAttributeValue",
    "test_the_dead_letter_queue_must_exist": _NOT_CHECKED,
    "test_source_and_dead_letter_queue_are_of_one_type": _NOT_CHECKED,
    "test_a_queue_can_refuse_to_be_a_dead_letter_queue": "does not enforce RedriveAllowPolicy",
    "test_a_queue_can_name_its_sources": "does not enforce RedriveAllowPolicy",
    "test_bad_allow_policies_are_refused": _NOT_CHECKED,
    "test_sources_of_a_dead_letter_queue_are_listed": "has no ListDeadLetterSourceQueues: InvalidAction",
    "test_a_fifo_dead_letter_keeps_its_group": "keeps the deduplication id of the source",
    "test_dead_letters_go_back_to_where_they_came_from": _NO_MOVE_TASKS,
    "test_a_moved_message_is_a_new_one": _NO_MOVE_TASKS,
    "test_another_destination_can_be_named": _NO_MOVE_TASKS,
    "test_a_message_that_was_sent_to_the_dead_letter_queue_needs_a_destination": _NO_MOVE_TASKS,
    "test_a_task_can_be_cancelled": _NO_MOVE_TASKS,
    "test_one_task_at_a_time": _NO_MOVE_TASKS,
    "test_the_source_must_be_a_dead_letter_queue": _NO_MOVE_TASKS,
    "test_queues_of_a_task_must_exist": _NO_MOVE_TASKS,
    "test_rates_out_of_range_are_refused": _NO_MOVE_TASKS,
    "test_an_unknown_task_cannot_be_cancelled": _NO_MOVE_TASKS,
    "test_tasks_are_remembered_the_latest_first": _NO_MOVE_TASKS,
    "test_fifo_dead_letters_go_back_in_order": _NO_MOVE_TASKS,
    "test_a_destination_must_be_another_queue_of_the_same_type": _NO_MOVE_TASKS,
    "test_a_task_that_is_over_cannot_be_cancelled": _NO_MOVE_TASKS,
    "test_tasks_of_an_unknown_queue_cannot_be_listed": _NO_MOVE_TASKS,
    # FIFO and fair queues
    "test_a_receive_takes_a_group_together": "takes messages by age across groups",
    "test_an_earlier_message_that_is_released_comes_at_once": "locks a group while any message of it is in flight",
    "test_a_group_is_needed_for_every_entry_of_a_batch": "fails the entry, not the batch",
    "test_an_id_is_needed_for_every_entry_of_a_batch": "fails the entry, not the batch",
    "test_bad_deduplication_ids_are_refused": _NOT_CHECKED,
    "test_a_handle_expires_with_its_timeout": "takes a handle after its timeout",
    "test_a_fifo_message_can_be_deleted_again": _ONE_HANDLE,
    "test_a_receive_can_be_repeated": _NO_ATTEMPTS,
    "test_a_repeated_receive_starts_the_timeout_anew": _NO_ATTEMPTS,
    "test_a_receive_cannot_be_repeated_once_a_message_was_touched": _NO_ATTEMPTS,
    "test_quiet_tenants_go_before_a_noisy_one": "has no fair queues",
}
