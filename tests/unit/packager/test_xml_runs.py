"""XML of runs is what XML of single elements would be."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from packager.dash.xml import Written, render_run, render_xml

texts = st.text(st.characters(exclude_categories=("Cs", "Cc"))) | st.sampled_from(['"', "&", "<a>", "\n"])


@given(st.lists(texts | st.integers(0, 9), min_size=1, max_size=5), texts.filter(bool))
def test_a_run_reads_as_that_many_elements(values: list[str | int], label: str) -> None:
    root = ET.Element("List", {"about": label})
    ET.SubElement(root, "Label").text = label.strip() or "x"
    root.append(Written(render_run("Item", "name", values, "  ")))
    read = ET.fromstring(render_xml(root))
    assert [item.get("name") for item in read.iterfind("Item")] == [str(value) for value in values]
    assert read.get("about") == label


def test_a_tree_without_runs_is_written_as_the_standard_library_does() -> None:
    root = ET.Element("A", {"b": "1 & 2"})
    ET.SubElement(ET.SubElement(root, "C"), "D", {"e": "f"}).text = "<text>"
    ours = render_xml(root)
    ET.indent(root)
    assert ours == ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"
