"""The README's commands are the ones that the quick start and continuous integration run."""

import re

from tests.conftest import REPOSITORY


def quick_start_commands() -> list[str]:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    section = readme.split("## Quick start")[1].split("\n## ")[0]
    return [block.strip() for block in re.findall(r"```bash\n(.*?)```", section, flags=re.DOTALL)]


def test_first_block_installs_and_trains_tiger_with_its_defaults(monkeypatch):
    recbole, command = quick_start_commands()[0].splitlines()
    assert recbole == "pip install --no-deps recbole==1.2.1"
    install, train = command.split(" && ")
    assert install.startswith("pip install") and install.endswith("-e .")

    calls = []
    monkeypatch.setattr(
        "recbole_genrec.quick_start.run_recbole_genrec", lambda *arguments: calls.append(arguments)
    )
    program, script, *arguments = train.split()
    assert program == "python" and (REPOSITORY / script).is_file()
    from recbole_genrec import cli

    cli.main(["run", *arguments])
    assert calls == [("TIGER", "ml-100k", None, {})]


def test_second_block_is_what_continuous_integration_runs():
    _, command = quick_start_commands()
    script = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    last_line = script.strip().splitlines()[-1]
    assert last_line.replace(" --quiet", "").replace(" && lint", "") == command
