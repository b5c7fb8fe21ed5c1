"""Our own OpenAPI description, with what FastAPI cannot say by itself: problems have a content type of their own, and no
answer has the shape that the framework would give it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from upload_api.problems import CONTENT_TYPE

_PROBLEM = {"$ref": "#/components/schemas/ProblemModel"}


def describe(app: FastAPI) -> None:
    """Have ``app`` describe itself as it is."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            mend(plain())
        return plain()

    app.openapi = described  # type: ignore[method-assign]  # as FastAPI's documentation has it


def mend(description: dict[str, Any]) -> None:
    """In place."""
    schemas = description["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for operations in description["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    response["content"] = {CONTENT_TYPE: {"schema": _PROBLEM}}
