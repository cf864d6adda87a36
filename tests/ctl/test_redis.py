"""Any command to the configured store."""

from pathlib import Path

from tests.ctl.conftest import Captured, Say, answer, on_a_terminal
from tests.support.servers import Raw


def test_redis_prints_raw_replies_where_there_is_no_terminal(
    say: Say, raw: Raw, capsys: Captured
) -> None:
    raw.rpush("list", "one", "two words")
    assert say("redis", "LRANGE", "list", "0", "-1") == 0
    assert say("redis", "LLEN", "list") == 0
    assert say("redis", "GET", "nothing") == 0
    assert capsys.readouterr().out == "one\ntwo words\n2\n\n"


def test_redis_prints_as_redis_cli_does_on_a_terminal(
    redis_url: str, raw: Raw, tmp_path: Path
) -> None:
    script = "return {1, 'two', {'a', {}, false}}"
    status, text = on_a_terminal(redis_url, tmp_path, "redis", "EVAL", script, "0")
    assert status == 0
    assert text == ('1) (integer) 1\n2) "two"\n3) 1) "a"\n   2) (empty array)\n   3) (nil)\n')


def test_redis_passes_options_of_the_command_on(say: Say, raw: Raw, capsys: Captured) -> None:
    raw.rpush("list", "one")
    assert say("redis", "--json", "LRANGE", "list", "0", "-1") == 0
    assert answer(capsys) == ["one"]
    assert say("redis", "SET", "key", "--json") == 0
    assert raw.get("key") == b"--json"


def test_a_command_that_redis_refuses_ends_with_1(say: Say, raw: Raw, capsys: Captured) -> None:
    raw.set("key", "text")
    assert say("redis", "LLEN", "key") == 1
    assert "WRONGTYPE" in capsys.readouterr().err
