import json

import pytest

from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import Interval
from storyteller.evaluate.findings import Comparison, Curve, Figure, Findings, HeatMap, Metric, System, read_findings


def findings() -> Findings:
    return Findings(
        language="zh",
        settings={"models": ["default"], "seeds": [1]},
        systems=(System("人", "human", "human", None, 3, 201.0), System("a @0.8", "model", "a", 0.8, 3, 190.5)),
        metrics=(
            Metric("loops", "loops", "degeneration", "lower", "share of stories that loop", "says nothing of plot"),
        ),
        figures=(
            Figure("loops", "人", Interval(0.0, 0.0, 0.1, 3)),
            Figure("loops", "a @0.8", None, "too few texts"),
        ),
        comparisons=(Comparison("loops", "人", "a @0.8", Interval(0.1, None, None, 1), 0.04, 0.08),),
        curves=(Curve("loops", "人", (0.0, 0.5)),),
        heat_maps=(HeatMap("loops", ("p1",), ("人", "a @0.8"), ((0.0, None),)),),
        seconds={"loops": 0.5},
    )


def test_findings_survive_a_file(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(json.dumps([findings().to_json()], ensure_ascii=False))
    assert read_findings(path) == [findings()]
    assert read_findings(path)[0].figure("loops", "a @0.8").why == "too few texts"
    assert read_findings(path)[0].figure("loops", "b") is None


@pytest.mark.parametrize("content", ["", "{}", '{"language": "en", "settings": {}, "systems": [{"label": 1}]}'])
def test_what_is_no_report_is_refused(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(DataError, match="not a report of stories"):
        read_findings(path)
