"""The operators' files: rules that promtool takes and tries, a dashboard that Grafana can import, and what they ask."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ops import OPS, dashboard, expressions_of_dashboard, panels, rules, uses

README = (OPS.parent / "README.md").read_text("utf-8")
ALERTS = [rule["alert"] for rule in rules()]
COLUMNS = 24
NOTHING = "vector(0) > 1"


def promtool(*arguments: str, cwd: Path = OPS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def cases() -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = yaml.safe_load((OPS / "alerts.test.yml").read_text("utf-8"))["tests"]
    return read


def expected(case: dict[str, Any]) -> set[tuple[str, str]]:
    """Lists which alerts a case wants to fire, and on which server."""
    samples = [sample for asked in case["promql_expr_test"] for sample in asked["exp_samples"]]
    return {tuple(re.findall(r'(?:alertname|instance)="(\w+)"', sample["labels"])) for sample in samples}


def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    done = promtool("check", "rules", "alerts.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


def test_each_rule_fires_when_it_should_and_not_when_it_should_not() -> None:
    done = promtool("test", "rules", "alerts.test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_a_rule_that_never_fires_or_always_does_not_pass_its_cases(alert: str, tmp_path: Path) -> None:
    cases_of_it = [case for case in cases() if alert in dict(expected(case))]
    written = {"rule_files": ["alerts.yml"], "evaluation_interval": "15s", "tests": cases_of_it}
    (tmp_path / "alerts.test.yml").write_text(yaml.safe_dump(written))
    read = yaml.safe_load((OPS / "alerts.yml").read_text("utf-8"))
    (rule,) = [rule for group in read["groups"] for rule in group["rules"] if rule["alert"] == alert]
    # Whatever its case has for the servers beside "bad", it would fire on those too.
    (series, *_) = [use.series for use in uses(rule["expr"])]
    for instead in (NOTHING, f"{series} * 0 == 0"):
        rule["expr"] = instead
        (tmp_path / "alerts.yml").write_text(yaml.safe_dump(read))
        assert promtool("test", "rules", "alerts.test.yml", cwd=tmp_path).returncode == 1, instead


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_a_case_in_which_it_fires_beside_a_server_that_comes_close(alert: str) -> None:
    (rule,) = [rule for rule in rules() if rule["alert"] == alert]
    needed = {use.series for use in uses(rule["expr"])}
    for case in cases():
        fires_on = {instance for name, instance in expected(case) if name == alert}
        quiet = [
            each["series"] for each in case["input_series"] if not any(f'"{on}"' in each["series"] for on in fires_on)
        ]
        if fires_on and needed & {series.split("{")[0] for series in quiet}:
            return
    raise AssertionError("there is none")


@pytest.mark.parametrize("quiet", ["deploy", "night"])
def test_a_deploy_and_a_night_without_calls_wake_nobody(quiet: str) -> None:
    (case,) = [case for case in cases() if case["name"].startswith(f"a {quiet}") and "says nothing" in case["name"]]
    assert expected(case) == set()
    assert all(asked["exp_samples"] == [] for asked in case["promql_expr_test"])
    shown = {each["series"].split("{")[0] for each in case["input_series"]}
    paging = [use for rule in rules() if rule["labels"]["severity"] == "page" for use in uses(rule["expr"])]
    missing = {use.series for use in paging} - shown
    assert (
        missing
        <= {
            "deploy": {"sfu_certificate_expiry_timestamp_seconds"},
            "night": {"sfu_rooms_quarantined", "sfu_rooms_waiting", "sfu_unauthorized_forward_total"},
        }[quiet]
    )


@pytest.mark.parametrize("rule", rules(), ids=ALERTS)
def test_each_alert_says_for_whom_it_is_what_it_means_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"].keys() == {"summary", "action"}
    assert all(len(text) > 20 for text in rule["annotations"].values())
    assert re.search(rf"^\| `{rule['alert']}` \| {rule['labels']['severity']} \|", README, re.MULTILINE), (
        "in the README"
    )


def test_the_readme_names_no_alert_that_there_is_not() -> None:
    section = README[README.index("| Alert |") :].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == ALERTS


def test_promtool_takes_the_configuration_in_the_readme_and_its_paths_are_where_the_wheel_puts_them(
    tmp_path: Path,
) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(block)
    done = promtool("check", "config", "--syntax-only", "prometheus.yml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    read = yaml.safe_load(block)
    assert [job["job_name"] for job in read["scrape_configs"]] == ["pysfu"], "by which the rules find it"
    (path,) = read["rule_files"]
    assert (OPS.parents[1] / path.partition("/site-packages/")[2]).is_file()


def test_no_alert_has_the_name_of_another() -> None:
    assert len(set(ALERTS)) == len(ALERTS)


def test_the_dashboard_can_be_imported_and_names_no_machine() -> None:
    read = dashboard()
    assert (read["id"], read["uid"]) == (None, "pysfu-server")
    assert read["schemaVersion"] >= 36
    (source, _) = read["templating"]["list"]
    assert (source["type"], source["name"], source["query"]) == ("datasource", "datasource", "prometheus")
    text = (OPS / "dashboard.json").read_text("utf-8")
    assert not re.search(r"https?://|localhost|\b\d{1,3}(\.\d{1,3}){3}\b", text)


def sources_in(value: object) -> Iterator[object]:
    """Yields every data source in it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from [inner] if key == "datasource" else sources_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from sources_in(inner)


def test_all_that_is_shown_comes_from_the_prometheus_that_was_chosen() -> None:
    found = list(sources_in(dashboard()))
    assert len(found) > len(panels())
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in found)
    for panel in panels():
        assert panel["title"]
        assert [target["refId"] for target in panel["targets"]] == list("ABCD"[: len(panel["targets"])])


def test_no_panel_covers_another_and_all_have_their_own_number() -> None:
    shown = dashboard()["panels"]
    assert len({panel["id"] for panel in shown}) == len(shown)
    places = [panel["gridPos"] for panel in shown]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= COLUMNS for place in places)
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above


def test_the_first_thing_that_is_seen_is_whether_anybody_is_affected() -> None:
    headings = [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"]
    assert headings[:2] == ["Is anybody affected?", "Since when?"]
    assert [panel["gridPos"]["y"] for panel in dashboard()["panels"]] == sorted(
        panel["gridPos"]["y"] for panel in dashboard()["panels"]
    )


def test_promtool_takes_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    shown = [text.replace("$instance", ".*") for text in expressions_of_dashboard()]
    written = {
        "groups": [{"name": "dashboard", "rules": [{"record": f"n:{at}", "expr": e} for at, e in enumerate(shown)]}]
    }
    (tmp_path / "dashboard.yml").write_text(yaml.safe_dump(written))
    done = promtool("check", "rules", "dashboard.yml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
