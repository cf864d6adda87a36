"""The text that Prometheus reads, by Prometheus' own parser."""

from prometheus_client.parser import text_string_to_metric_families

from jobd.health.exposition import Family, Sample, render


def test_what_is_written_is_what_prometheus_reads() -> None:
    evil = 'a "b"\\ \n} 1'
    families = [
        Family("x_total", "counter", "Some.", [Sample(3, {"class": evil}), Sample(1e15 + 1)]),
        Family("y", "gauge", "Others.", [Sample(0.25)]),
    ]
    x, y = text_string_to_metric_families(render(families))
    assert (x.name, x.type, x.documentation) == ("x", "counter", "Some.")
    assert [(s.labels, s.value) for s in x.samples] == [({"class": evil}, 3), ({}, 1e15 + 1)]
    assert [(s.name, s.value) for s in y.samples] == [("y", 0.25)]


def test_a_family_without_samples_is_left_out() -> None:
    assert render([Family("x", "gauge", "None.", [])]) == ""


def test_what_no_encoding_can_carry_does_not_cost_the_scrape() -> None:
    (family,) = text_string_to_metric_families(
        render([Family("x", "gauge", "Odd.", [Sample(1, {"class": "a\udc80b"})])])
    )
    assert family.samples[0].labels == {"class": "a?b"}
