from __future__ import annotations

from itnet_core import MLPKernel, TiledEvaluator
from itnet_registry.docstrings import field_docs


class Base:
    """Words.

    Attributes:
        width: how wide
            it is, in pixels: many.
        depth, height: how deep.

    Raises:
        error: never.
    """


class Derived(Base):
    """Attributes: depth: another depth."""


class Short:
    """Attributes:
    depth: how deep
        it is.
    height: how high.
    """


def test_a_docstring_that_begins_with_its_attributes():
    assert field_docs(Short) == {"depth": "how deep it is.", "height": "how high."}


def test_sections_lines_and_bases():
    assert field_docs(Base) == {
        "width": "how wide it is, in pixels: many.",
        "depth": "how deep.",
        "height": "how deep.",
    }
    assert field_docs(Derived) == {**field_docs(Base), "depth": "another depth."}


def test_the_cores_configurations_document_every_field():
    for component in (MLPKernel, TiledEvaluator):
        assert field_docs(component.Config).keys() >= component.Config.model_fields.keys()


def test_no_docstring_says_nothing():
    assert field_docs(type("Silent", (), {})) == {}
