"""The OpenAPI description: valid, complete, and true of what the service does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import samples
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from serving import assert_problem, service, upload

from lookalike.serve.app import create_app
from lookalike.serve.examples import EXAMPLES
from lookalike.serve.settings import Settings

METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return create_app({}, Settings.read()).openapi()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("root").resolve()
    samples.write_classes(root / "classes", each=2)
    folder = tmp_path_factory.mktemp("collections")
    with service(folder, root=(root,)) as (client, _):
        client.post("/v1/collections", json={"name": "photos"})
        client.post("/v1/collections/photos/pictures", json={"path": str(root)})
        yield client


def operations(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Path, method and what is said of it."""
    return [
        (path, method, said)
        for path, methods in described["paths"].items()
        for method, said in methods.items()
    ]


def schema_at(described: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The same with the components that it refers to."""
    return {**schema, "components": described["components"]}


def test_is_valid(described: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(described).validate()


def test_names_each_operation_once(described: dict[str, Any]) -> None:
    ids = [said["operationId"] for _, _, said in operations(described)]
    assert len(set(ids)) == len(ids)
    assert all(id.isidentifier() for id in ids)


def test_says_of_each_operation_what_it_does_and_every_error(described: dict[str, Any]) -> None:
    for path, method, said in operations(described):
        assert said.get("description") or said["summary"], (path, method)
        errors = {status: each for status, each in said["responses"].items() if status >= "400"}
        assert {"400", "401", "403", "421", "429", "500", "503"} <= errors.keys(), (path, method)
        if "requestBody" in said:
            assert {"408", "413", "415", "422"} <= errors.keys(), (path, method)
        if "{name}" in path:
            assert {"404", "409"} <= errors.keys(), (path, method)
        for status, each in errors.items():
            (kind,) = each["content"]
            assert kind == "application/problem+json", (path, method, status)
            content = each["content"][kind]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert content["example"]["status"] == int(status)


def test_has_an_example_of_every_body_and_every_answer(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    for path, method, said in operations(described):
        bodies = said.get("requestBody", {"content": {}})["content"]
        for kind, content in bodies.items():
            if kind != "multipart/form-data":
                assert content["examples"], (path, method, kind)
                for example in content["examples"].values():
                    OAS31Validator(schema_at(described, content["schema"])).validate(
                        example["value"]
                    )
        for status, answer in said["responses"].items():
            content = answer.get("content", {}).get("application/json")
            if status < "400" and content is not None:
                schema = content["schema"]
                refs = [each["$ref"] for each in schema.get("anyOf", [schema])]
                for name in (ref.rpartition("/")[2] for ref in refs):
                    assert schemas[name]["examples"], (path, method, name)


def test_its_examples_are_such_answers(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    for name, example in EXAMPLES.items():
        OAS31Validator(schema_at(described, schemas[name])).validate(example)


def test_real_answers_are_as_it_says(described: dict[str, Any], client: httpx.Client) -> None:
    (id,) = upload(client, "photos", samples.encoded(900))
    for path, method, said in operations(described):
        if method != "get" or "events" in path:
            continue
        answer = client.get(path.format(name="photos", id=id))
        status = str(answer.status_code)
        assert status in said["responses"], (path, answer.text)
        content = said["responses"][status]["content"]
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in content, path
        if kind == "application/json":
            OAS31Validator(schema_at(described, content[kind]["schema"])).validate(answer.json())


def test_another_method_is_told_those_that_there_are(client: httpx.Client) -> None:
    def allowed(path: str) -> set[str]:
        answer = client.request("PUT", path)
        assert answer.status_code == 405
        return set(answer.headers["allow"].split(", "))

    assert client.get("/v1/collections/photos/search").status_code == 405
    assert allowed("/v1/collections") == {"GET", "POST"}
    assert allowed("/v1/collections/photos") == {"GET", "DELETE"}
    assert allowed("/v1/collections/photos/pictures/x") == {"GET", "PATCH", "DELETE"}
    assert allowed("/v1/collections/photos/search") == {"POST"}


def test_a_parameter_that_a_call_does_not_know_is_refused_by_each(
    described: dict[str, Any], client: httpx.Client
) -> None:
    for path, method, _ in operations(described):
        if not path.startswith("/v1/"):
            continue
        address = path.format(name="photos", id="x")
        answer = client.request(method, address, params={"limt": "3"}, json={})
        assert_problem(answer, 422, ":invalid", "limt: there is no such parameter")
    known = client.get("/v1/collections/photos/pictures", params={"limt": "3"}).json()["detail"]
    assert known.endswith("known: cursor, limit, offset, spread")


def test_the_reference_tells_of_every_operation(described: dict[str, Any]) -> None:
    text = (Path(__file__).parents[1] / "docs" / "http-api.md").read_text("utf-8")
    for path, method, _ in operations(described):
        if path.startswith("/v1/collections") or path in ("/v1/recipes", "/v1/models"):
            assert f"`{method.upper()} {path}`" in text, (path, method)
