"""The pytest plugin, in test sessions of its own."""

from __future__ import annotations

import importlib.util

import pytest

# pytester forgets what an inner session imported, and numpy cannot be imported twice
import patter.server.application
import patter.testing.pytest_phone  # noqa: F401

pytest_plugins = ["pytester"]

RUNS = """
    import pytest

    @pytest.fixture(scope="session")
    def runs():
        made = []
        yield made
        print("RUNS", *sorted(made))
"""


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run the tests without the other plugins for coroutines."""
    return pytester.runpytest("-p", "no:asyncio", "-p", "no:anyio", "-p", "no:cacheprovider", *arguments)


def test_a_hook_in_a_conftest_acts_below_its_directory_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        **{
            "tests/conftest": """
                import patter

                @patter.hookimpl
                def patter_modify_speech(call, sentence):
                    sentence.text += " And bye."
            """,
            "tests/a/conftest": """
                import patter

                @patter.hookimpl
                def patter_modify_speech(call, sentence):
                    sentence.text = sentence.text.replace("Hello", "Salute")
            """,
            "tests/a/test_in_a": """
                async def test_a(simcall):
                    async with simcall(first_message="Hello.") as call:
                        await call.agent_says("Salute. And bye.")
            """,
            "tests/b/test_in_b": """
                async def test_b(simcall):
                    async with simcall(first_message="Hello.") as call:
                        await call.agent_says("Hello. And bye.")
            """,
            "tests/ab/test_in_ab": """
                async def test_ab(simcall):
                    async with simcall(first_message="Hello.") as call:
                        await call.agent_says("Hello. And bye.")
            """,
        }
    )

    result = run(pytester, "--import-mode=importlib")

    result.assert_outcomes(passed=3)


def test_a_hook_in_a_test_module_acts_in_its_tests_and_before_those_of_conftests(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(
        """
        import patter

        @patter.hookimpl
        def patter_modify_speech(call, sentence):
            sentence.text += " outer"
        """
    )
    pytester.makepyfile(
        test_with="""
            import patter

            @patter.hookimpl
            def patter_modify_speech(call, sentence):
                sentence.text += " inner"

            async def test_with(simcall):
                async with simcall(first_message="Hello.") as call:
                    await call.agent_says("Hello. inner outer")
        """,
        test_without="""
            async def test_without(simcall):
                async with simcall(first_message="Hello.") as call:
                    await call.agent_says("Hello. outer")
        """,
    )

    result = run(pytester)

    result.assert_outcomes(passed=2)


def test_an_assertion_in_a_hook_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import patter

        @patter.hookimpl
        def patter_call_ended(call, summary):
            assert summary.duration_s > 1000, "the call was short"
        """
    )
    pytester.makepyfile(
        """
        async def test_green_by_itself(simcall):
            async with simcall(first_message="Hello.") as call:
                await call.agent_says("Hello.")

        def test_without_a_call(phone): ...
        """
    )

    result = run(pytester)

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*ExceptionGroup: hooks failed during the test (1 sub-exception)*",
            "*AssertionError: the call was short*",
            "*raised in patter_call_ended of*conftest.py*",
        ]
    )


def test_the_failure_of_a_test_and_those_of_hooks_are_shown_together(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import patter

        @patter.hookimpl
        async def patter_call_started(call):
            raise LookupError("in the hook")

        async def test_both(simcall):
            async with simcall(first_message="Hello.") as call:
                await call.agent_says("Hello.")
                raise ValueError("in the test")
        """
    )

    result = run(pytester)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ValueError: in the test*", "*LookupError: in the hook*"])


def test_a_failure_names_the_seed_and_the_seed_repeats_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_seed(phone):
            assert phone.environment.new_id("call") == "nothing"
        """
    )

    first, second = (run(pytester).outlines for _ in range(2))
    other = run(pytester, "--patter-seed=5").outlines

    def drawn(lines: list[str]) -> list[str]:
        return [line for line in lines if line.startswith("E ")]

    assert any(line.startswith("repeat with --patter-seed=") for line in first)
    assert drawn(first) == drawn(second) != drawn(other)
    assert "repeat with --patter-seed=5" in other


def test_asynchronous_fixtures_share_the_loop_of_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio
        import pytest

        closed = []

        @pytest.fixture
        async def started(phone):
            return asyncio.get_running_loop(), asyncio.get_running_loop().time()

        @pytest.fixture
        async def open_thing(started):
            task = asyncio.create_task(asyncio.sleep(10**6))
            yield asyncio.get_running_loop()
            assert asyncio.get_running_loop() is started[0]
            task.cancel()
            closed.append("open_thing")

        async def test_one_loop(open_thing, started):
            assert open_thing is started[0] is asyncio.get_running_loop()

        class TestMethods:
            @pytest.fixture
            async def mine(self, phone):
                self.value = asyncio.get_running_loop()
                return self

            async def test_method(self, mine):
                assert mine is self
                assert self.value is asyncio.get_running_loop()

        def test_closed():
            assert closed == ["open_thing"]
        """
    )

    result = run(pytester)

    result.assert_outcomes(passed=3)


def test_tasks_that_a_test_leaves_behind_fail_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio

        async def test_leaves_a_task(phone):
            asyncio.get_running_loop().create_task(asyncio.sleep(1), name="forgotten")
        """
    )

    result = run(pytester)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*LeakedTasksError*forgotten*"])


def test_installed_plugins_are_loaded_when_they_are_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        patter_shout="""
                import patter

                class Never(patter.BargeInStrategy):
                    def evaluate(self, event): return False

                @patter.hookimpl
                def patter_register_barge_in():
                    return [patter.BargeInRecord("shout", Never)]
            """,
        test_it="""
                import pytest

                def test_isolated(phone):
                    assert "shout" not in phone.plugins.records("barge_in")

                @pytest.mark.patter_plugins("shout")
                def test_named(phone):
                    assert "shout" in phone.plugins.records("barge_in")
            """,
    )
    folder = pytester.mkdir("patter_shout-1.0.dist-info")
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: patter-shout\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[patter]\nshout = patter_shout\n")

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-o", "pythonpath=.")

    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_other_plugins_leave_our_tests_alone_and_get_theirs(pytester: pytest.Pytester, mode: str) -> None:
    for name in ("pytest_asyncio", "anyio"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    pytester.makeini(
        f"""
        [pytest]
        asyncio_mode = {mode}
        asyncio_default_fixture_loop_scope = function
        filterwarnings = error
        """
    )
    pytester.makeconftest(RUNS)
    pytester.makepyfile(
        """
        import asyncio
        import pytest
        from patter.testing import VirtualTimeLoop

        pytestmark = [pytest.mark.asyncio, pytest.mark.filterwarnings("error")]

        def is_virtual():
            return type(asyncio.get_running_loop()) is VirtualTimeLoop

        @pytest.fixture
        async def thing(phone):
            return is_virtual()

        async def test_ours(thing, runs):
            runs.append("ours")
            assert thing and is_virtual()
            await asyncio.sleep(3000)

        @pytest.mark.parametrize("number", [1, 2])
        async def test_parameters(simcall, number, runs):
            runs.append(f"number {number}")
            assert is_virtual()

        class TestInClass:
            async def test_method(self, simcall, runs):
                runs.append("method")
                assert is_virtual()

        async def test_theirs(runs):
            runs.append("theirs")
            assert not is_virtual()
            await asyncio.sleep(0.001)
        """
    )

    result = pytester.runpytest_subprocess("-s", "-p", "no:cacheprovider")

    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["*RUNS method number 1 number 2 ours theirs"])


@pytest.mark.parametrize("mark", ["", "@pytest.mark.anyio"])
def test_anyio_leaves_our_tests_alone(pytester: pytest.Pytester, mark: str) -> None:
    if importlib.util.find_spec("anyio") is None:
        pytest.skip("anyio is not installed")
    pytester.makeini("[pytest]\nanyio_mode = auto\nfilterwarnings = error\n")
    pytester.makeconftest(RUNS)
    pytester.makepyfile(
        f"""
        import asyncio
        import pytest
        from patter.testing import VirtualTimeLoop

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.fixture
        async def thing(phone):
            return asyncio.get_running_loop()

        {mark}
        async def test_ours(thing, runs):
            runs.append("ours")
            assert type(thing) is VirtualTimeLoop and thing is asyncio.get_running_loop()

        async def test_theirs(runs):
            runs.append("theirs")
            assert type(asyncio.get_running_loop()) is not VirtualTimeLoop
        """
    )

    result = pytester.runpytest_subprocess("-s", "-p", "no:asyncio", "-p", "no:cacheprovider")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*RUNS ours theirs"])
