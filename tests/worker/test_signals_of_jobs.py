"""What a job does to signals is its own: neither the next job nor its children suffer."""

import multiprocessing
import os
import signal
import subprocess
import time

import pytest

from jobd.worker.attention import Attention
from tests.worker.test_attention import in_child


def test_handlers_and_wakeup_fd_are_taken_back_after_a_job() -> None:
    def act(heed: Attention) -> object:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # noqa: TID251 - what the job does
        signal.set_wakeup_fd(-1)
        heed.reclaim()
        os.kill(os.getpid(), signal.SIGTERM)
        return heed.is_stopping

    assert in_child(act) is True


def test_a_program_that_a_job_starts_is_ended_by_ctrl_c_as_ever() -> None:
    def act(_heed: Attention) -> object:
        with subprocess.Popen(["sleep", "60"]) as child:
            child.send_signal(signal.SIGINT)
            return child.wait(20)

    assert in_child(act) == -signal.SIGINT


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_process_that_a_job_forks_is_ended_by_term() -> None:
    def act(_heed: Attention) -> object:
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))  # noqa: TID251
        child.start()
        child.terminate()
        child.join(20)
        return child.exitcode

    assert in_child(act) == -signal.SIGTERM
