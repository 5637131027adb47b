"""The bundle: what goes into a function, chosen for the function's platform and the same every time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_

from sqs_tasks_cdk import bundle_source, bundling, lock_files
from sqs_tasks_cdk.bundling import PythonBundle, Target
from sqs_tasks_cdk.errors import BundlingError
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.stack import TaskStack
from sqs_tasks_cdk.task_queue import TaskQueue
from tests.support.manifests import manifest, queue
from tests.support.templates import Resources
from tests.support.wheels import make_wheel

ARM = lambda_.Architecture.ARM_64
X86 = lambda_.Architecture.X86_64
PY313 = lambda_.Runtime.PYTHON_3_13
PY311 = lambda_.Runtime.PYTHON_3_11


@pytest.fixture(params=["uv", "pip"])
def installer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either installer: uv if there is one, and pip as for those who have none."""
    if request.param == "pip":
        monkeypatch.setattr(lock_files, "find_uv", lambda: None)
    elif lock_files.find_uv() is None:
        pytest.skip("uv is not installed")
    return str(request.param)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a package, its data, some dirt, and a handler of its own without requirements."""
    root = tmp_path / "project"
    package = root / "shop"
    (package / "templates").mkdir(parents=True)
    (package / "tasks.py").write_text("env = None\n")
    (package / "templates" / "mail.txt").write_text("Dear\n")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "tasks.cpython-313.pyc").write_text("dirt")
    (package / ".secret").write_text("dirt")
    (root / "helpers.py").write_text("")
    handler = tmp_path / "handler"
    handler.mkdir()
    (handler / "app.py").write_text("def handler(event, context): ...\n")
    (handler / "requirements.txt").write_text("# nothing\n")
    return root


def _bundle(project: Path, **settings: object) -> PythonBundle:
    return PythonBundle(
        **{"source": project, "packages": ["shop"], "handler": project.parent / "handler", **settings}  # type: ignore[arg-type]
    )


def _lock(project: Path, *lines: str, name: str = "requirements.txt") -> Path:
    path = project / name
    wheels = project.parent / "wheels"
    path.write_text("\n".join(["--no-index", f"--find-links {wheels}", *lines]) + "\n")
    return path


def _files(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def test_bundle_holds_handler_library_and_package(project: Path, tmp_path: Path) -> None:
    """The bundle is the handler, the library of this release and the package with its data, without the dirt."""
    out = tmp_path / "out"

    assert _bundle(project, extra_files={"certs/ca.pem": project / "helpers.py"}).build(
        out, runtime=PY313, architecture=ARM
    )

    files = _files(out)
    assert {"app.py", "shop/tasks.py", "shop/templates/mail.txt", "certs/ca.pem", "sqs_tasks/limits.py"} <= files
    assert {name for name in files if name.split("/")[0] not in {"app.py", "shop", "certs", "sqs_tasks"}} == set()
    assert {name for name in files if "__pycache__" in name or "/." in name or name.endswith(".pyc")} == set()
    assert "sqs_tasks_cdk" not in {name.split("/")[0] for name in files}


def test_single_modules_and_src_layout(project: Path, tmp_path: Path) -> None:
    """A package may be one module, and may lie in ``src``."""
    (project / "src").mkdir()
    shutil.move(project / "shop", project / "src" / "shop")

    _bundle(project, packages=["shop", "helpers"], exclude=["templates"]).build(
        tmp_path / "out", runtime=PY313, architecture=ARM
    )

    files = _files(tmp_path / "out")
    assert {"shop/tasks.py", "helpers.py"} <= files
    assert "shop/templates/mail.txt" not in files


#: A registry that is named like the file that functions used to start in.
_REGISTRY = """
from sqs_tasks import SQSEnv
env = SQSEnv()
@env.queue("work").processor("work")
def work(): print("worked")
"""

#: What Lambda does with the handler of a bundle that is its working directory.
_INVOKE = """
from sqs_tasks.lambda_handler import handler
class Context:
    aws_request_id = "1"
    def get_remaining_time_in_millis(self): return 30_000
record = {
    "messageId": "1", "receiptHandle": "1", "body": "{}", "attributes": {"ApproximateReceiveCount": "1"},
    "messageAttributes": {"JobName": {"stringValue": "work", "dataType": "String"},
                          "ContentType": {"stringValue": "json", "dataType": "String"}},
    "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:work", "awsRegion": "us-east-1",
}
assert handler({"Records": [record]}, Context()) == {"batchItemFailures": []}
"""


@pytest.mark.parametrize("layout", ["package", "module"])
def test_application_named_app_is_run(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    """The handler lies inside our package, so an application may be called ``app``, as a package or as a module."""
    monkeypatch.setattr(bundle_source, "HANDLER_REQUIREMENTS", project.parent / "handler" / "requirements.txt")
    if layout == "package":
        (project / "app").mkdir()
        (project / "app" / "__init__.py").touch()
        (project / "app" / "tasks.py").write_text(_REGISTRY)
    else:
        (project / "app.py").write_text(_REGISTRY)

    PythonBundle(source=project, packages=["app"]).build(tmp_path / "out", runtime=PY313, architecture=ARM)

    done = subprocess.run(
        [sys.executable, "-c", _INVOKE],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path / "out",
        env={"SQS_TASKS_APP": "app.tasks:env" if layout == "package" else "app:env", "PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    assert "worked" in done.stdout


def test_names_that_would_hide_each_other_are_refused(project: Path, tmp_path: Path) -> None:
    """A package that the handler directory, the library or a dependency would overwrite is refused by name."""
    (project / "app.py").touch()
    with pytest.raises(BundlingError, match=r"'app' of the application and 'app\.py' in .* have one name"):
        _bundle(project, packages=["app"]).build(tmp_path / "a", runtime=PY313, architecture=ARM)
    with pytest.raises(BundlingError, match=r"'sqs_tasks' is in PythonBundle.* has it already"):
        _bundle(project, packages=["sqs_tasks"]).build(tmp_path / "b", runtime=PY313, architecture=ARM)

    make_wheel(tmp_path / "wheels", "clash", files={"shop/__init__.py": "", "shop/other.py": ""})
    (project / "shop" / "__init__.py").touch()
    _lock(project, "clash==1.0")
    with pytest.raises(BundlingError, match="'shop' is a package of the application and of a dependency"):
        _bundle(project).build(tmp_path / "c", runtime=PY313, architecture=ARM)


def test_parts_of_a_namespace_package_may_come_from_two_places(project: Path, tmp_path: Path) -> None:
    """Packages without ``__init__.py`` are made to be filled from several sides."""
    make_wheel(tmp_path / "wheels", "part", files={"shop/plugin.py": ""})
    _lock(project, "part==1.0")

    assert _bundle(project).build(tmp_path / "out", runtime=PY313, architecture=ARM)

    assert {"shop/plugin.py", "shop/tasks.py"} <= _files(tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "text", "needs"),
    [
        (
            "pyproject.toml",
            '[project]\nname = "shop"\nversion = "1"\ndependencies = ["httpx>=0.27", "sqs-tasks"]\n',
            "httpx>=0.27",
        ),
        ("pyproject.toml", '[tool.poetry.dependencies]\npython = "^3.11"\nhttpx = "^0.27"\n', "httpx"),
        (
            "pyproject.toml",
            '[project]\nname = "shop"\nversion = "1"\ndynamic = ["dependencies"]\n',
            "'dynamic' dependencies of pyproject.toml",
        ),
        ("Pipfile", '[packages]\nhttpx = "*"\n', "httpx"),
        ("setup.cfg", "[options]\ninstall_requires =\n  httpx\n", "httpx"),
        ("setup.py", "setup(install_requires=['httpx'])\n", "install_requires of setup.py"),
    ],
)
def test_dependencies_without_a_lock_file_are_refused(project: Path, name: str, text: str, needs: str) -> None:
    """A bundle without what the project imports would fail at its first invocation, so it is refused at synth."""
    (project / name).write_text(text)

    with pytest.raises(BundlingError) as caught:
        _bundle(project).to_code(runtime=PY313, architecture=ARM)

    assert f"declares dependencies ({needs}) and has no lock file" in str(caught.value)
    assert _bundle(project, without_requirements=True).to_code(runtime=PY313, architecture=ARM)


@pytest.mark.parametrize(
    ("requirement", "is_needed"),
    [
        ("tzdata>=2024.1; sys_platform == 'win32'", False),
        ('pywin32 ; platform_system == "Windows"', False),
        ("httpx; sys_platform == 'linux'", True),
        ("httpx; sys_platform == 'win32' or python_version > '3'", True),
    ],
)
def test_dependencies_of_other_systems_need_no_lock_file(project: Path, requirement: str, is_needed: bool) -> None:
    """A function runs on Linux, and nothing that Windows alone needs is missing there."""
    (project / "pyproject.toml").write_text(
        f"[project]\nname = 'shop'\nversion = '1'\ndependencies = [{json.dumps(requirement)}]\n"
    )

    with pytest.raises(BundlingError) if is_needed else nullcontext():
        _bundle(project).to_code(runtime=PY313, architecture=ARM)


def test_project_that_needs_nothing_more_is_bundled(project: Path, tmp_path: Path) -> None:
    """The library and what Lambda's runtime brings need no lock file."""
    (project / "pyproject.toml").write_text(
        '[project]\nname = "shop"\nversion = "1"\ndependencies = ["sqs_tasks[cli]>=0.1", "boto3"]\n'
    )

    assert _bundle(project).build(tmp_path / "out", runtime=PY313, architecture=ARM)


@pytest.mark.parametrize(
    ("lock", "tool", "arguments"),
    [
        ("poetry.lock", "poetry", "export --no-interaction --only main --format requirements.txt"),
        ("pdm.lock", "pdm", "export --prod --format requirements"),
        ("Pipfile.lock", "pipenv", "requirements --hash"),
    ],
)
def test_other_lock_files_are_exported_by_their_tools(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: str, tool: str, arguments: str
) -> None:
    """The lock of another tool is read by that tool; without the tool it is refused, and the way out is named."""
    (project / lock).touch()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(BundlingError, match=rf"needs {tool}, which is not on the PATH; install it .* or export a"):
        _bundle(project).to_code(runtime=PY313, architecture=ARM)

    make_wheel(tmp_path / "wheels", "plain")
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / tool
    script.write_text(
        f'#!/bin/sh\n[ "$*" = "{arguments}" ] || {{ echo "no: $*" >&2; exit 2; }}\n'
        f"echo '--no-index'; echo '--find-links {tmp_path / 'wheels'}'; echo 'plain==1.0'\n"
    )
    script.chmod(0o755)

    assert _bundle(project).build(tmp_path / "out", runtime=PY313, architecture=ARM)

    assert "plain.py" in _files(tmp_path / "out")


def test_failing_export_is_quoted(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tool says of a lock file that it cannot read is in the error."""
    (project / "poetry.lock").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "poetry").write_text("#!/bin/sh\necho 'the lock file is broken' >&2\nexit 1\n")
    (tmp_path / "bin" / "poetry").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    with pytest.raises(BundlingError, match=r"'poetry export' could not read .*\nthe lock file is broken"):
        _bundle(project).to_code(runtime=PY313, architecture=ARM)


def test_what_the_handler_and_the_container_need_is_pinned() -> None:
    """The same hash is the same content: every requirement of ours has one version and its hashes."""
    for name in ("handler", "worker"):
        directory = Path(bundling.__file__).parent / "requirements"
        text = (directory / f"{name}.lock").read_text()
        wanted = lock_files.distributions((directory / f"{name}.in").read_text())

        assert lock_files.unpinned(text) == []
        assert wanted <= lock_files.distributions(text)
        assert all("--hash=sha256:" in entry for entry in lock_files._entries(text))
    copied = (Path(__file__).parents[2] / "lambda_handler" / "requirements.txt").read_text()
    handler = (Path(bundling.__file__).parent / "requirements" / "handler.in").read_text()
    assert lock_files.requirement_lines(copied) == lock_files.requirement_lines(handler)


def test_pins_of_the_application_win_over_those_of_the_handler(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the application pins is left out of what the handler brings, and so is what Lambda's runtime has."""
    _lock(project, "Typing_Extensions==4.0")

    staging = bundle_source.Staging.of(PythonBundle(source=project, packages=["shop"]))

    first, second = staging.requirement_files
    assert "Typing_Extensions==4.0" in first.read_text()
    handler = lock_files.distributions(second.read_text())
    assert "aws-lambda-powertools" in handler
    assert handler & {"typing-extensions", "botocore"} == set()
    assert list(staging.pip_options("."))[1] == f"--disable-pip-version-check --no-deps -r ./{second.name}"


def test_loose_versions_are_warned_of(project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A requirements file without versions gives another bundle tomorrow, under the hash of today."""
    _lock(project, "loose", "plain==1.0")

    _bundle(project).to_code(runtime=PY313, architecture=ARM)

    assert "does not fix the versions of loose, so" in caplog.text


def test_container_image_is_pinned(project: Path) -> None:
    """The image names its base and installs what the lock files pin, the application's first."""
    _lock(project, "click==8.0.0")

    staging = bundle_source.Staging.of(_bundle(project), for_container=True)
    PythonBundle(source=project, packages=["shop"], base_image="python@sha256:0").to_image(
        cpu_architecture=ecs.CpuArchitecture.ARM64
    )

    names = [lock_files.distributions(path.read_text()) for path in staging.requirement_files]
    assert names[0] == {"click"}
    assert {"boto3", "rich"} <= names[1]
    assert "click" not in names[1]
    assert not (staging.code / "app.py").exists(), "the handler is for functions"
    dockerfiles = sorted(Path(bundle_source.STAGING.name).glob("*/Dockerfile"), key=lambda path: path.stat().st_mtime)
    assert "FROM python@sha256:0\n" in dockerfiles[-1].read_text()
    assert "-r ./requirements-0.txt && pip install" in dockerfiles[-1].read_text()


def test_wheels_are_chosen_for_the_function(project: Path, tmp_path: Path, installer: str) -> None:
    """P3: the machine that bundles does not decide: architecture, Python and glibc of the function do."""
    wheels = tmp_path / "wheels"
    for tag in (
        "cp313-cp313-manylinux_2_28_aarch64",
        "cp313-cp313-manylinux_2_28_x86_64",
        "cp311-cp311-manylinux2014_x86_64",
        "cp313-cp313-macosx_11_0_arm64",
    ):
        make_wheel(wheels, "native", tag=tag)
    make_wheel(wheels, "plain")
    _lock(project, "native==1.0", "plain==1.0")
    chosen = {}
    for name, runtime, architecture in (("arm", PY313, ARM), ("x86", PY313, X86), ("old", PY311, X86)):
        assert _bundle(project).build(tmp_path / name, runtime=runtime, architecture=architecture)
        chosen[name] = (tmp_path / name / "native.py").read_text()
        assert (tmp_path / name / "plain.py").is_file()
        assert (tmp_path / name / "plain-1.0.dist-info" / "METADATA").is_file()

    assert chosen == {
        "arm": "TAG = 'cp313-cp313-manylinux_2_28_aarch64'\n",
        "x86": "TAG = 'cp313-cp313-manylinux_2_28_x86_64'\n",
        "old": "TAG = 'cp311-cp311-manylinux2014_x86_64'\n",
    }


@pytest.mark.parametrize("glibc", ["manylinux_2_17", "manylinux2014", "manylinux_2_27", "manylinux_2_34"])
def test_every_glibc_of_amazon_linux_2023_is_taken(project: Path, tmp_path: Path, installer: str, glibc: str) -> None:
    """P3: pip does not widen a platform tag, so every tag that the runtime can load is named."""
    make_wheel(tmp_path / "wheels", "native", tag=f"cp313-cp313-{glibc}_aarch64")
    _lock(project, "native==1.0")

    assert _bundle(project).build(tmp_path / "out", runtime=PY313, architecture=ARM)


@pytest.mark.parametrize(
    ("tag", "runtime"),
    [
        ("cp313-cp313-manylinux_2_35_aarch64", PY313),
        ("cp311-cp311-manylinux_2_28_aarch64", PY311),
        ("cp313-cp313-musllinux_1_2_aarch64", PY313),
        ("cp313-cp313-manylinux_2_28_x86_64", PY313),
    ],
)
def test_wheel_that_the_runtime_cannot_load_is_no_wheel(
    project: Path, tmp_path: Path, installer: str, tag: str, runtime: lambda_.Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """A newer glibc, another libc or another machine is no wheel, and nothing half made stays behind."""
    make_wheel(tmp_path / "wheels", "native", tag=tag)
    _lock(project, "native==1.0")

    assert not _bundle(project).build(tmp_path / "out", runtime=runtime, architecture=ARM)

    assert _files(tmp_path / "out") == set()
    assert f"No wheel for Python {runtime.name.removeprefix('python')} on aarch64 Linux" in caplog.text
    assert "native" in caplog.text


def test_no_wheel_and_no_docker_is_explained(
    project: Path, tmp_path: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1: without a wheel Docker builds; without Docker either, the ways out are told."""
    monkeypatch.setenv("CDK_DOCKER", "no-such-docker")
    make_wheel(tmp_path / "wheels", "native", tag="cp313-cp313-win_arm64")
    _lock(project, "native==1.0")

    with pytest.raises(RuntimeError, match=r"no wheel for Python 3\.13 on aarch64 Linux.*no 'no-such-docker' to build"):
        _function(stack, _bundle(project))


def test_docker_is_asked_when_there_is_no_wheel(project: Path, tmp_path: Path) -> None:
    """P1: what has no wheel is built in the runtime's build image, from the same files."""
    docker = tmp_path / "docker"
    docker.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> {tmp_path}/docker.log\n'
        # Docker would fill /asset-output; the stand-in finds what is mounted there and leaves a sign.
        'for word in "$@"; do case "$word" in *:/asset-output*) touch "${word%%:/asset-output*}/built";; esac; done\n'
    )
    docker.chmod(0o755)
    make_wheel(tmp_path / "wheels", "native", tag="cp313-cp313-win_arm64")
    _lock(project, "native==1.0")

    # A process of its own: the CDK's Node reads CDK_DOCKER when it starts.
    subprocess.run(
        [sys.executable, "-c", _SYNTH, str(project), str(project.parent / "handler"), str(tmp_path / "cdk.out")],
        check=True,
        capture_output=True,
        env={**os.environ, "CDK_DOCKER": str(docker)},
    )

    log = (tmp_path / "docker.log").read_text()
    assert "--platform linux/arm64" in log
    assert "build-python3.13" in log
    assert "pip install" in log
    assert "-r /asset-input/requirements-0.txt" in log
    assert "cp -R /asset-input/code/. /asset-output/" in log
    assert [path.name for path in (tmp_path / "cdk.out").glob("asset.*/built")] == ["built"]


_SYNTH = """
import sys
from aws_cdk import App, Stack
from aws_cdk import aws_lambda as lambda_
from sqs_tasks_cdk.bundling import PythonBundle

source, handler, out = sys.argv[1:]
stack = Stack(App(outdir=out), "Test")
runtime, architecture = lambda_.Runtime.PYTHON_3_13, lambda_.Architecture.ARM_64
code = PythonBundle(source=source, packages=["shop"], handler=handler).to_code(
    runtime=runtime, architecture=architecture
)
lambda_.Function(stack, "Function", code=code, handler="app.handler", runtime=runtime, architecture=architecture)
"""


def test_failing_installer_is_no_missing_wheel(project: Path, tmp_path: Path, installer: str) -> None:
    """An installer that fails for another reason is an error with what it said, and Docker would not help."""
    (project / "requirements.txt").write_text("--no-such-option\n")

    with pytest.raises(BundlingError, match=r"installing requirements-0\.txt failed"):
        _bundle(project).build(tmp_path / "out", runtime=PY313, architecture=ARM)


def test_boto3_of_the_runtime_is_not_shipped(project: Path, tmp_path: Path, installer: str) -> None:
    """P6: the runtime brings boto3; the lock's own is shipped when asked for."""
    for name in ("boto3", "botocore", "s3transfer", "plain"):
        make_wheel(tmp_path / "wheels", name, files={f"{name}/__init__.py": ""})
    _lock(project, "boto3==1.0", "botocore==1.0", "s3transfer==1.0", "plain==1.0")

    _bundle(project).build(tmp_path / "lean", runtime=PY313, architecture=ARM)
    _bundle(project, include_boto3=True).build(tmp_path / "full", runtime=PY313, architecture=ARM)

    lean, full = _files(tmp_path / "lean"), _files(tmp_path / "full")
    assert {name for name in lean if name.startswith(("boto", "s3"))} == set()
    assert "plain/__init__.py" in lean
    assert {"boto3/__init__.py", "botocore/__init__.py", "s3transfer/__init__.py"} <= full


def test_library_of_the_lock_wins(project: Path, tmp_path: Path) -> None:
    """A lock file that pins sqs-tasks gets that release, not the one that bundles."""
    make_wheel(tmp_path / "wheels", "sqs_tasks", files={"sqs_tasks/__init__.py": "pinned = True\n"})
    _lock(project, "SQS.tasks==1.0 ; python_version > '3'")

    _bundle(project).build(tmp_path / "out", runtime=PY313, architecture=ARM)

    assert (tmp_path / "out" / "sqs_tasks" / "__init__.py").read_text() == "pinned = True\n"
    assert not (tmp_path / "out" / "sqs_tasks" / "limits.py").exists()


def test_handler_does_not_replace_what_the_lock_pins(project: Path, tmp_path: Path, installer: str) -> None:
    """What the handler asks for is added, and a version that the application pinned stays."""
    for version in ("1.0", "2.0"):
        make_wheel(tmp_path / "wheels", "shared", version=version, files={"shared.py": f"VERSION = {version!r}\n"})
    make_wheel(tmp_path / "wheels", "tools")
    _lock(project, "shared==1.0")
    (tmp_path / "handler" / "requirements.txt").write_text(
        f"--no-index\n--find-links {tmp_path / 'wheels'}\nshared>=1.0\ntools\n"
    )

    _bundle(project).build(tmp_path / "out", runtime=PY313, architecture=ARM)

    assert (tmp_path / "out" / "shared.py").read_text() == "VERSION = '1.0'\n"
    assert (tmp_path / "out" / "tools.py").is_file()


def test_uv_evaluates_markers_for_the_function(project: Path, tmp_path: Path) -> None:
    """P3: a marker means the function's Python, not the one that bundles."""
    if lock_files.find_uv() is None:
        pytest.skip("uv is not installed")
    for name in ("old", "new"):
        make_wheel(tmp_path / "wheels", name)
    _lock(project, "old==1.0 ; python_version < '3.13'", "new==1.0 ; python_version >= '3.13'")

    _bundle(project).build(tmp_path / "out", runtime=PY313, architecture=ARM)

    assert {name for name in _files(tmp_path / "out") if name in {"old.py", "new.py"}} == {"new.py"}


def test_pip_says_that_it_does_not(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """P3: pip evaluates markers for itself, and that is told."""
    monkeypatch.setattr(lock_files, "find_uv", lambda: None)
    make_wheel(tmp_path / "wheels", "plain")
    _lock(project, "plain==1.0 ; python_version > '3'")
    other = PY313 if sys.version_info[:2] != (3, 13) else PY311

    _bundle(project).build(tmp_path / "out", runtime=other, architecture=ARM)

    assert "install uv" in caplog.text


def test_uv_lock_is_exported(project: Path, tmp_path: Path) -> None:
    """A ``uv.lock`` is read by uv: the locked versions without the development group and without the project."""
    uv = lock_files.find_uv()
    if uv is None:
        pytest.skip("uv is not installed")
    make_wheel(tmp_path / "wheels", "plain")
    make_wheel(tmp_path / "wheels", "linter")
    (project / "pyproject.toml").write_text(
        '[project]\nname = "shop"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = ["plain"]\n'
        '[dependency-groups]\ndev = ["linter"]\n'
        f'[tool.uv]\nno-index = true\nfind-links = ["{tmp_path / "wheels"}"]\n'
    )
    subprocess.run([uv, "lock", "--quiet"], cwd=project, check=True)

    assert _bundle(project).build(tmp_path / "out", runtime=PY313, architecture=ARM)

    files = _files(tmp_path / "out")
    assert "plain.py" in files
    assert "linter.py" not in files


def test_uv_lock_without_uv_is_explained(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``uv.lock`` that nothing here can read says what to install or export."""
    monkeypatch.setattr(lock_files, "find_uv", lambda: None)
    (project / "uv.lock").write_text("version = 1\n")

    with pytest.raises(BundlingError, match=r"needs uv, which is not on the PATH; install it.*or export"):
        _bundle(project).to_code(runtime=PY313, architecture=ARM)


def test_included_requirements_are_followed(project: Path, tmp_path: Path) -> None:
    """``-r base.txt`` is part of the lock file; what only exists beside it is refused."""
    for name in ("plain", "other"):
        make_wheel(tmp_path / "wheels", name)
    _lock(project, "other==1.0", name="base.txt")
    _lock(project, "-r base.txt", "plain==1.0")
    assert _bundle(project).build(tmp_path / "out", runtime=PY313, architecture=ARM)
    assert {"plain.py", "other.py"} <= _files(tmp_path / "out")

    _lock(project, "-e .")
    with pytest.raises(BundlingError, match=r"has '-e \.', which a bundle cannot follow"):
        _bundle(project).build(tmp_path / "out2", runtime=PY313, architecture=ARM)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"packages": ["shopp"]}, "no package or module 'shopp'"),
        ({"requirements": "missing.txt"}, "there is no requirements file"),
        ({"source": "/no/such/place"}, "there is no directory '/no/such/place'"),
    ],
)
def test_missing_parts_are_named(project: Path, settings: dict[str, object], says: str) -> None:
    """What is not there is named, with where it was looked for."""
    with pytest.raises(BundlingError, match=says):
        _bundle(project, **settings).to_code(runtime=PY313, architecture=ARM)


def test_runtime_that_is_not_pythons_is_refused(project: Path) -> None:
    """Wheels are chosen for a Python; a custom runtime brings its own code."""
    with pytest.raises(BundlingError, match=r"'provided.al2023' is not a managed Python runtime"):
        _bundle(project).to_code(runtime=lambda_.Runtime.PROVIDED_AL2023, architecture=ARM)


def test_same_input_has_the_same_hash(project: Path, app: App) -> None:
    """P4: neither times nor caches nor the machine make a new version; a changed source, lock or target does."""
    _lock(project)

    def content_hash(runtime: lambda_.Runtime = PY313, architecture: lambda_.Architecture = ARM) -> str:
        staging = bundle_source.Staging.of(_bundle(project))
        target = Target.of(runtime=runtime, architecture=architecture)
        return staging.content_hash(target=target, include_boto3=False)

    first = content_hash()
    os.utime(project / "shop" / "tasks.py", (1, 1))
    (project / "shop" / "__pycache__" / "more.pyc").write_text("dirt")
    assert content_hash() == first

    others = [content_hash(architecture=X86), content_hash(runtime=PY311)]
    (project / "shop" / "tasks.py").write_text("env = 1\n")
    others.append(content_hash())
    _lock(project, "# another pin")
    others.append(content_hash())
    (project / "shop" / "tasks.py").rename(project / "shop" / "renamed.py")
    others.append(content_hash())
    assert len({first, *others}) == 6


def test_same_input_gives_the_same_bundle(project: Path, tmp_path: Path, installer: str) -> None:
    """P4: two builds are equal byte for byte, the installed packages included."""
    make_wheel(tmp_path / "wheels", "plain")
    _lock(project, "plain==1.0")

    for name in ("one", "two"):
        _bundle(project).build(tmp_path / name, runtime=PY313, architecture=ARM)

    one, two = tmp_path / "one", tmp_path / "two"
    assert _files(one) == _files(two)
    assert {name for name in _files(one) if (one / name).read_bytes() != (two / name).read_bytes()} == set()


def _function(stack: Stack, bundle: PythonBundle, name: str = "Function") -> lambda_.Function:
    return lambda_.Function(
        stack,
        name,
        code=bundle.to_code(runtime=PY313, architecture=ARM),
        handler="app.handler",
        runtime=PY313,
        architecture=ARM,
    )


def test_functions_of_a_bundle_share_one_asset(project: Path, app: App, stack: Stack) -> None:
    """Ten workers of a registry upload their code once."""
    for name in ("emails", "images"):
        LambdaWorker(
            stack,
            f"{name}-worker",
            task_queue=TaskQueue(stack, name),
            app="shop.tasks:env",
            bundle=_bundle(project),
        )
    app.synth()

    (asset,) = Path(app.outdir).glob("asset.*")
    assert (asset / "shop" / "tasks.py").is_file()
    assert (asset / "app.py").is_file()


def test_registry_is_bundled_once(project: Path, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """All functions of a registry take the same bundle, put together once; another architecture takes another."""
    monkeypatch.chdir(project)
    monkeypatch.setattr(bundle_source, "HANDLER_REQUIREMENTS", project.parent / "handler" / "requirements.txt")
    made: list[str] = []
    to_code = PythonBundle.to_code

    def counting(bundle: PythonBundle, *, runtime: lambda_.Runtime, architecture: lambda_.Architecture) -> lambda_.Code:
        made.append(architecture.name)
        return to_code(bundle, runtime=runtime, architecture=architecture)

    monkeypatch.setattr(PythonBundle, "to_code", counting)
    stack = TaskStack(
        app,
        "Shop",
        manifest=manifest(*(queue(name) for name in ("a", "b", "c", "d"))),
        lambda_settings={"d": {"architecture": X86}},
    )

    assert made == ["arm64", "x86_64"]
    assets = {value["Properties"]["Code"]["S3Key"] for value in Resources(stack).of_type("Lambda::Function").values()}
    assert len(assets) == 2


def test_bundle_is_not_built_for_a_stack_that_is_not_asked_for(project: Path, tmp_path: Path) -> None:
    """P2: ``cdk ls`` and a deploy of another stack install nothing."""
    app = App(outdir=str(tmp_path / "cdk.out"), context={"aws:cdk:bundling-stacks": []})
    _lock(project, "does-not-exist==1.0")

    _function(Stack(app, "Test"), _bundle(project))

    assert not list((tmp_path / "cdk.out").glob("asset.*/shop"))


def test_worker_bundles_the_package_of_its_app(
    project: Path, app: App, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without code or bundle a worker ships the top-level package of its app from the present directory."""
    monkeypatch.chdir(project)
    monkeypatch.setattr(bundle_source, "HANDLER_REQUIREMENTS", project.parent / "handler" / "requirements.txt")

    LambdaWorker(stack, "Worker", task_queue=TaskQueue(stack, "emails"), app="shop.tasks:env")

    (asset,) = Path(app.outdir).glob("asset.*")
    assert (asset / "shop" / "templates" / "mail.txt").is_file()
