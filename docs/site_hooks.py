"""What mkdocs.yml cannot say: pages from outside docs/, and a page of reference per package.

README, guide and notebooks stay where people look for them in a repository; the site takes them
from there, with links that fit. The reference follows the packages, whatever they are called.
"""

import pkgutil
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pymdownx.slugs import slugify

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "recbole_genrec"
DOORS = ("quick_start", "inference")  # what users call comes first, on a page of its own
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
DOWNLOADS = ("LICENSE", "CITATION.cff", "examples/*.ipynb")


def on_config(config: MkDocsConfig) -> None:
    """Anchors as GitHub makes them, so that a link works in both places; the list of packages."""
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    (reference,) = (entry for entry in config.nav if "Reference" in entry)
    reference["Reference"] = [{title: path} for title, path, _ in _reference()]


def on_files(files: Files, config: MkDocsConfig) -> None:
    for name in PAGES:
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, _on_site(name), content=_without_badges(text)))
    for pattern in DOWNLOADS:
        for path in sorted(ROOT.glob(pattern)):
            name = str(path.relative_to(ROOT))
            files.append(File.generated(config, name, abs_src_path=str(path)))
    for _, path, text in _reference():
        files.append(File.generated(config, path, content=text))


def on_page_markdown(markdown: str, **_: object) -> str:
    """Links between docs/ and what lies around it, where on the site there is one folder."""
    return re.sub(
        r"\]\((?:\.\./|docs/)?([\w./-]+)(#[\w-]*)?\)",
        lambda link: f"]({_on_site(link[1])}{link[2] or ''})",
        markdown,
    )


def _on_site(name: str) -> str:
    return "index.md" if name == "README.md" else name


def _without_badges(text: str) -> str:
    """The site has its own look, and loads no image from elsewhere."""
    return re.sub(r"^\[!\[.*\n", "", text, flags=re.MULTILINE)


def _reference() -> list[tuple[str, str, str]]:
    """Title, path and Markdown of every page of the reference."""
    pages = [("doors", PACKAGE, [f"{PACKAGE}.{name}" for name in DOORS])]
    for module in pkgutil.iter_modules([str(ROOT / PACKAGE)]):
        if module.ispkg:
            name = f"{PACKAGE}.{module.name}"
            pages.append((module.name, name, [name, *_modules(name)]))
    return [
        (title, f"reference/{title}.md", f"# {name}\n\n{_documented(modules)}")
        for title, name, modules in pages
    ]


def _modules(package: str) -> list[str]:
    """The modules of a package, and those of the packages within."""
    found = []
    for module in pkgutil.iter_modules([str(ROOT.joinpath(*package.split(".")))]):
        name = f"{package}.{module.name}"
        found += [name, *(_modules(name) if module.ispkg else [])]
    return found


def _documented(modules: list[str]) -> str:
    """Every module with its docstrings; of a package its own one, as its names have modules."""
    packages = {name.rpartition(".")[0] for name in modules}
    return "".join(
        f"::: {name}\n" + ("    options: {members: false}\n" if name in packages else "") + "\n"
        for name in modules
    )
