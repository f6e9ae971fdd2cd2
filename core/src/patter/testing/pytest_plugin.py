"""The pytest plugin of Patter: the fixtures `phone` and `simcall`, and coroutine tests in virtual time.

It runs each ``async def`` test that uses one of its fixtures, directly or through others, on a `VirtualTimeLoop`, and
the asynchronous fixtures of that test on the same loop. Every other test is none of its business. Hooks named
``patter_*`` in a ``conftest.py`` act in the tests below its directory, those in a test module in its own tests.

Imports nothing of Patter before a test asks for it, so that coverage sees Patter's own import.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from types import MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from patter.client import Patter
    from patter.testing.pytest_phone import CallFactory, PhoneTest
    from patter.testing.virtual_loop import VirtualTimeLoop

#: whatever uses this fixture runs in virtual time; `phone` and `simcall` do
LOOP_FIXTURE = "patter_loop"
CONFTESTS: pytest.StashKey[ConftestHooks] = pytest.StashKey()
RUNNING: pytest.StashKey[PhoneTest] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Settings of the plugin."""
    parser.addini(
        "patter_plugins",
        "Installed Patter plugins that `phone` loads; none by default.",
        type="args",
        default=[],
    )
    parser.getgroup("patter").addoption(
        "--patter-seed",
        type=int,
        default=None,
        help="Seed of every phone; by default made of the test's name.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start to collect the hooks in conftest files."""
    config.addinivalue_line("markers", "patter_plugins(*names): installed Patter plugins that `phone` loads")
    config.addinivalue_line(
        "markers", "patter_phone(**options): options of `Patter` for the `phone` of this test"
    )
    config.addinivalue_line(
        "markers", "behaviour(*ids): rows of Patter's ledger, which checks of the conformance suites prove"
    )
    hooks = config.stash[CONFTESTS] = ConftestHooks()
    config.pluginmanager.register(hooks, "patter-conftests")


class ConftestHooks:
    """The conftest modules that implement hooks of Patter."""

    def __init__(self) -> None:
        self.modules: list[ModuleType] = []

    def pytest_plugin_registered(self, plugin: object) -> None:
        """Called for every plugin of pytest, also those that were there before this one."""
        file = getattr(plugin, "__file__", None) or ""
        if isinstance(plugin, ModuleType) and file.endswith("conftest.py") and has_hooks(plugin):
            self.modules.append(plugin)


def has_hooks(module: ModuleType) -> bool:
    """Whether a module has functions that are marked with `patter.hookimpl`."""
    return any(inspect.isfunction(one) and hasattr(one, "patter_impl") for one in vars(module).values())


# -- which tests run in virtual time, and how


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pycollect_makeitem(collector: Any, name: str, obj: Any) -> Generator[None, Any, Any]:
    """Collect a coroutine test of ours as what it is for everybody else: a plain function.

    Only then do other plugins that run coroutines leave it alone, whatever their mode. Which fixtures it uses is known
    once it was collected, so it is collected a second time, without the marks that those plugins put on it.
    """
    if not inspect.iscoroutinefunction(obj):
        return (yield)
    marks = list(getattr(obj, "pytestmark", []))
    found = yield
    if not _uses_loop(found):
        return found
    obj.pytestmark = [mark for mark in marks if mark.name not in ("asyncio", "anyio")]
    setattr(collector.obj, name, _plain(obj))
    items = collector.ihook.pytest_pycollect_makeitem(
        collector=collector, name=name, obj=getattr(collector.obj, name)
    )
    for item in items or []:
        item.runtest = functools.partial(_run, item)
    return items


def _uses_loop(found: object) -> bool:
    items = found if isinstance(found, list) else [found]
    return any(isinstance(item, pytest.Function) and LOOP_FIXTURE in item.fixturenames for item in items)


def _plain(test: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(test)
    def make_coroutine(*args: Any, **kwargs: Any) -> Any:
        return test(*args, **kwargs)

    return make_coroutine


def _run(item: pytest.Function) -> None:
    __tracebackhide__ = True
    names = inspect.signature(item.obj).parameters
    arguments = {name: item.funcargs[name] for name in names if name in item.funcargs}
    item.stash[RUNNING].run_test(item.obj(**arguments))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef: Any, request: pytest.FixtureRequest) -> Generator[None, object, object]:
    """Run the asynchronous fixtures of such a test on its loop."""
    function = fixturedef.func
    is_generator = inspect.isasyncgenfunction(function)
    if not (is_generator or inspect.iscoroutinefunction(function)):
        return (yield)
    if fixturedef.scope != "function" or LOOP_FIXTURE not in request.fixturenames:
        return (yield)
    loop: VirtualTimeLoop = request.getfixturevalue(LOOP_FIXTURE)
    bound = _bound(function, request.instance)
    fixturedef.func = _generator(bound, loop) if is_generator else _value(bound, loop)
    try:
        return (yield)
    finally:
        fixturedef.func = function


def _bound(function: Callable[..., Any], instance: object) -> Callable[..., Any]:
    """A fixture that is a method, bound to the instance of this test."""
    if isinstance(function, MethodType) and type(function.__self__) is type(instance):
        return MethodType(function.__func__, instance)
    return function


def _value(function: Callable[..., Any], loop: VirtualTimeLoop) -> Callable[..., Any]:
    def set_up(**arguments: Any) -> Any:
        return loop.run_until_complete(function(**arguments))

    return set_up


def _generator(
    function: Callable[..., AsyncIterator[Any]], loop: VirtualTimeLoop
) -> Callable[..., Iterator[Any]]:
    async def step(values: AsyncIterator[Any]) -> tuple[Any, ...]:
        async for value in values:
            return (value,)
        return ()

    def set_up(**arguments: Any) -> Iterator[Any]:
        values = function(**arguments)
        yield from loop.run_until_complete(step(aiter(values)))
        if loop.run_until_complete(step(values)):
            pytest.fail("an asynchronous fixture yielded a second time")

    return set_up


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say with a failure which seed repeats it."""
    report = yield
    running = item.stash.get(RUNNING, None)
    if report.failed and running is not None:
        report.sections.append(("patter", f"repeat with --patter-seed={running.seed}"))
    return report


# -- fixtures


@pytest.fixture
def patter_loop(request: pytest.FixtureRequest) -> Iterator[VirtualTimeLoop]:
    """The virtual-time loop of this test, with a network in memory."""
    from patter.testing.pytest_phone import PhoneTest

    running = request.node.stash[RUNNING] = PhoneTest(
        request.node.nodeid, request.config.getoption("--patter-seed")
    )
    yield running.loop
    running.close()


@pytest.fixture
def phone(request: pytest.FixtureRequest, patter_loop: VirtualTimeLoop) -> Iterator[Patter]:
    """A phone of this test alone: the fakes, the hooks of its conftest files and of its module, no installed plugin.

    ``@pytest.mark.patter_plugins("deepgram")``, or `patter_plugins` in the settings of pytest, loads installed
    plugins by name; ``@pytest.mark.patter_phone(max_calls=2)`` gives it options. An exception in any hook fails the
    test. What is still going on at its end is ended.
    """
    running = request.node.stash[RUNNING]
    names = list(request.config.getini("patter_plugins"))
    for marker in request.node.iter_markers("patter_plugins"):
        names += marker.args
    options: dict[str, Any] = {}
    for marker in request.node.iter_markers("patter_phone"):
        options = {**marker.kwargs, **options}
    made = running.make_phone(names, **options)
    for module, name in _hook_modules(request):
        made.register(module, name)
    yield made
    running.end_phone(made)


def _hook_modules(request: pytest.FixtureRequest) -> list[tuple[ModuleType, str]]:
    """The modules whose hooks act in this test, the outermost first, so that the nearest is asked first."""
    path = request.path
    conftests = [
        module
        for module in request.config.stash[CONFTESTS].modules
        if path.is_relative_to(str(module.__file__).removesuffix("conftest.py"))
    ]
    conftests.sort(key=lambda module: len(str(module.__file__)))
    modules = [*conftests, request.module] if has_hooks(request.module) else conftests
    return [(module, str(module.__file__)) for module in modules]


@pytest.fixture
def simcall(phone: Patter) -> CallFactory:
    """Makes simulated calls to `phone`: ``async with simcall(first_message="Hello") as call``.

    Takes the options of `patter.Agent`, those of `patter.testing.SimulatedCall`, or ``agent=`` ready made.
    """
    from patter.testing.pytest_phone import CallFactory

    return CallFactory(phone)
