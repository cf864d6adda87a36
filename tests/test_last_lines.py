"""The last log lines that a worker leaves for the poller."""

from jobd.last_lines import LastLines

SLOT, INCARNATION = 2, 7


def test_who_was_not_asked_has_left_nothing() -> None:
    assert LastLines(3).read(SLOT, INCARNATION, 0) is None


def test_what_was_left_is_read_by_who_knows_since_when() -> None:
    lines = LastLines(3)
    before = lines.count(SLOT)
    lines.leave(SLOT, INCARNATION, [b"one\n", b"two\n"])
    assert lines.read(SLOT, INCARNATION, before) == b"one\ntwo\n"
    assert lines.read(SLOT, INCARNATION, lines.count(SLOT)) is None
    lines.leave(SLOT, INCARNATION, [])
    assert lines.read(SLOT, INCARNATION, before) == b""


def test_what_another_worker_of_the_slot_has_left_is_not_taken_for_it() -> None:
    lines = LastLines(3)
    lines.leave(SLOT, INCARNATION, [b"one\n"])
    assert lines.read(SLOT, INCARNATION + 1, 0) is None
    assert lines.read(SLOT + 1, INCARNATION, 0) is None


def test_of_too_many_lines_the_newest_are_left_whole() -> None:
    lines = LastLines(3)
    lines.leave(SLOT, INCARNATION, [b"%04d %s\n" % (n, b"x" * 200) for n in range(100)])
    text = lines.read(SLOT, INCARNATION, 0)
    assert text is not None
    numbers = [int(line[:4]) for line in text.splitlines()]
    assert numbers == list(range(numbers[0], 100))
    assert 50 < len(numbers) < 100
