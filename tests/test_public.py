"""The names that ``distchan`` offers, most of which it imports when they are first asked for."""

import pickle
import subprocess
import sys

import pytest

import distchan


def run_fresh(program: str) -> str:
    """What a program prints that is run by an interpreter that has imported nothing yet."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize("name", distchan.__all__)
def test_each_name_is_there_the_first_time_and_later(name: str) -> None:
    program = f"import distchan; print(distchan.{name} is distchan.{name} is not None)"
    assert run_fresh(program) == "True"
    assert name in dir(distchan)


@pytest.mark.parametrize("name", distchan.__all__)
def test_names_are_those_of_the_modules_that_define_them(name: str) -> None:
    value = getattr(distchan, name)
    if name != "BACKEND":
        assert value.__name__ == name
        assert getattr(sys.modules[value.__module__], name) is value
        assert pickle.loads(pickle.dumps(value)) is value


def test_a_star_import_gets_all_of_them() -> None:
    program = "from distchan import *; print(*sorted(name for name in dir() if name[0] != '_'))"
    assert run_fresh(program).split() == sorted(distchan.__all__)


def test_all_of_them_can_be_listed_before_they_are_imported() -> None:
    program = "import distchan; print(set(distchan.__all__) <= set(dir(distchan)))"
    assert run_fresh(program) == "True"


@pytest.mark.parametrize(
    "name", ["channel", "client", "codecs", "errors", "gob", "server", "tls", "transforms"]
)
def test_public_modules_need_no_import_of_their_own(name: str) -> None:
    assert run_fresh(f"import distchan; print(distchan.{name}.__name__)") == f"distchan.{name}"


@pytest.mark.parametrize("name", ["nothing", "Anything", "__wrapped__"])
def test_other_names_are_attribute_errors(name: str) -> None:
    with pytest.raises(AttributeError, match=f"^module 'distchan' has no attribute '{name}'$"):
        getattr(distchan, name)


def imported(program: str) -> set[str]:
    return set(run_fresh(f"{program}; import sys; print(*sys.modules)").split())


def test_what_nobody_asked_for_is_not_imported() -> None:
    before = imported("import distchan; distchan.BACKEND; distchan.ChannelClosed")
    assert not {"asyncio", "msgspec", "distchan.channel"} & before
    assert "distchan.client" not in imported("from distchan import Server")
    assert "distchan.server" not in imported("from distchan import Channel, Client, run")


@pytest.mark.parametrize("no_extensions", ["", "1"])
def test_the_backend_is_chosen_before_anything_compiled_is_imported(
    no_extensions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if no_extensions:
        monkeypatch.setenv("DISTCHAN_NO_EXTENSIONS", no_extensions)
    backend, *files = run_fresh(
        "import sys; from distchan import *; print(BACKEND)\n"
        "for name in sys.modules: name[:9] == 'distchan.' and print(sys.modules[name].__file__)"
    ).splitlines()
    assert backend == ("python" if no_extensions else distchan.BACKEND)
    assert any(not file.endswith(".py") for file in files) == (backend == "cython")
