"""What Serve counts of apps, made into rates."""

from __future__ import annotations

from flyte_ray.cluster.app_rates import Counts, Rate, count, rate_between

TEXT = """# HELP ray_serve_num_http_requests_total The number of HTTP requests
ray_serve_num_http_requests_total{application="shop",method="GET",route="/a \\"b\\"",status_code="200"} 7.0
ray_serve_num_http_requests_total{application="shop",method="POST",route="/",status_code="500"} 3.0
ray_serve_num_http_requests_total{application="other",method="GET",route="/",status_code="200"} 99.0
ray_serve_http_request_latency_ms_bucket{application="shop",le="10.0",route="/"} 8.0
ray_serve_http_request_latency_ms_bucket{application="shop",le="100.0",route="/"} 10.0
ray_serve_http_request_latency_ms_bucket{application="shop",le="+Inf",route="/"} 10.0
ray_serve_http_request_latency_ms_sum{application="shop",route="/"} 77.0
"""


def test_what_nodes_count_of_an_app_is_added_up() -> None:
    found = count([TEXT, TEXT], "shop", 5.0)
    assert found == Counts(5.0, 20.0, {10.0: 16.0, 100.0: 20.0, float("inf"): 20.0})
    assert count([TEXT], "unknown", 5.0) == Counts(5.0, 0.0, {})


def test_two_readings_make_a_rate_and_percentiles() -> None:
    before, now = Counts(0.0, 0.0, {}), count([TEXT], "shop", 4.0)
    assert rate_between(before, now) == Rate(2.5, 6.2, 77.5)
    assert rate_between(now, now._replace(at=9.0)) == Rate(0.0, None, None)


def test_a_serve_that_was_started_anew_gives_no_negative_rate() -> None:
    assert rate_between(Counts(0.0, 50.0, {}), Counts(1.0, 3.0, {})).requests_per_s == 0.0
