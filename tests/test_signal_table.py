"""Each row of the table in docs/signals.md, and the tests that hold it to be true."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]

NOT_FOR_A_WORKER = "test_signals_that_are_not_for_a_worker_do_nothing"
TESTS = {
    "TERM": {
        "test_term_gives_jobs_their_time_then_interrupts_them_and_exits_with_0",
        "test_term_to_a_worker_alone_ends_its_job_well_and_replaces_it",
    },
    "INT": {"test_a_second_ctrl_c_gives_the_jobs_back_at_once", NOT_FOR_A_WORKER},
    "QUIT": {"test_quit_gives_the_jobs_back_at_once", "test_after_quit_no_job_begins"},
    "TSTP": {
        "test_tstp_quiets_also_the_workers_that_come_later_and_cont_resumes",
        "test_the_last_of_tstp_and_cont_counts_also_after_a_long_job",
    },
    "CONT": {
        "test_quiet_server_takes_no_job_and_a_resumed_one_does",
        "test_cont_does_not_undo_a_stop",
    },
    "TTIN": {
        "test_ttin_logs_a_line_for_each_slot_and_passes_it_on",
        "test_ttin_writes_the_running_job_and_its_stack_to_the_log",
    },
    "HUP": {
        "test_new_code_is_served_after_hup_and_no_job_is_lost",
        "test_hup_stops_it_when_it_was_started_on_a_terminal",
        NOT_FOR_A_WORKER,
    },
    "USR1": {
        "test_logrotate_takes_the_file_away_and_no_line_is_lost",
        "test_usr1_reopens_the_log",
    },
    "USR2": {
        "test_all_workers_are_replaced_and_master_and_poller_stay",
        "test_a_job_over_its_limit_fails_with_that",
    },
    "TTOU": {
        "test_ttou_winch_and_pipe_change_nothing",
        "test_a_running_job_shows_its_stacks_and_its_own_last_lines",
        NOT_FOR_A_WORKER,
    },
    "WINCH": {"test_ttou_winch_and_pipe_change_nothing", NOT_FOR_A_WORKER},
    "PIPE": {"test_ttou_winch_and_pipe_change_nothing", NOT_FOR_A_WORKER},
    "CHLD": {
        "test_a_killed_worker_is_replaced_at_once_and_the_poller_told_what_it_held",
        "test_a_program_that_a_job_starts_is_ended_by_ctrl_c_as_ever",
    },
}


def test_every_row_of_the_signal_table_has_its_tests():
    table = (ROOT / "docs" / "signals.md").read_text().partition("\n\n- ")[0]
    heads = re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)
    text = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))

    assert re.findall(r"`([A-Z0-9]+)`", " ".join(heads)) == list(TESTS)
    assert set().union(*TESTS.values()) <= set(re.findall(r"^def (test_\w+)", text, re.MULTILINE))
