"""Hooks of mkdocs: the pages of the site that are made from the commands, the columns and the JSON Schema."""

from __future__ import annotations

import json
from importlib.resources import files as resources
from inspect import isfunction
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import elfsig
from elfsig.manual.commands import reference
from elfsig.verbs.survey.columns import markdown as columns

FOLDER = "reference/commands"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the generated pages to the navigation, in the order of ``elfsig --help``."""
    names = [f"{FOLDER}/{name}" for name in reference()]
    last: dict[str, Any] = config.nav[-1]  # type: ignore[index]  # the list in mkdocs.yml
    last["Reference"] += [{"Commands": names}, {"JSON Schema": "reference/schema.md"}]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page for each command, and the schema."""
    made = {f"{FOLDER}/{name}": text for name, text in reference().items()}
    made["reference/schema.md"] = _schema()
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the public names into the reference of the library, and the columns into the page on tables, where
    their comments ask for them."""
    public = [name for name in elfsig.__all__ if not name.startswith("_")]
    functions = {name for name in public if isfunction(getattr(elfsig, name))}
    for word, names in (("functions", functions), ("types", set(public) - functions)):
        entries = "\n\n".join(f"::: elfsig.{name}" for name in sorted(names))
        markdown = markdown.replace(f"<!-- the {word} of elfsig -->", entries)
    return markdown.replace("<!-- the columns -->", "\n".join(columns()))


def _schema() -> str:
    document = json.loads(resources("elfsig").joinpath("data/schema.json").read_text("utf-8"))
    text = json.dumps(document, indent=2)
    intro = "What `elfsig schema` prints; the page [JSON](../concepts/json.md) says how it is meant."
    return f"# JSON Schema\n\n{intro}\n\n```json\n{text}\n```\n"
