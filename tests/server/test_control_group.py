import pytest
from numserve.server.control_group import ControlGroup

V2 = {"proc/self/cgroup": "0::/app\n"}
V1 = {"proc/self/cgroup": "4:memory:/app\n3:cpu,cpuacct:/app\n0::/\n"}


@pytest.fixture
def group(tmp_path):
    """A group as its files say, by their paths."""

    def make(files: dict[str, str]) -> ControlGroup:
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return ControlGroup(tmp_path / "cgroup", tmp_path / "proc")

    return make


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        (V2 | {"cgroup/app/cpu.max": "150000 100000\n"}, 1.5),
        (V2 | {"cgroup/cpu.max": "50000 100000\n"}, 0.5),  # a container that knows the host's path, and sees its own
        (V2 | {"cgroup/app/cpu.max": "max 100000\n"}, None),
        (V1 | {"cgroup/cpu/app/cpu.cfs_quota_us": "200000\n", "cgroup/cpu/app/cpu.cfs_period_us": "100000\n"}, 2),
        (V1 | {"cgroup/cpu/app/cpu.cfs_quota_us": "-1\n", "cgroup/cpu/app/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_the_cores_it_may_use(group, files, cores):
    assert group(files).cores() == cores


@pytest.mark.parametrize(
    ("files", "seconds"),
    [
        (V2 | {"cgroup/app/cpu.stat": "usage_usec 2500000\nuser_usec 1\n"}, 2.5),
        (V1 | {"cgroup/cpuacct/app/cpuacct.usage": "3500000000\n"}, 3.5),
        ({}, None),
    ],
)
def test_the_cpu_time_it_has_used(group, files, seconds):
    assert group(files).cpu_seconds() == seconds


@pytest.mark.parametrize(
    ("files", "kills"),
    [
        (V2 | {"cgroup/app/memory.events": "low 0\noom 9\noom_kill 3\n"}, 3),
        (V1 | {"cgroup/memory/app/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"}, 2),
        ({"proc/vmstat": "nr_free_pages 7\noom_kill 5\n"}, 5),
        ({}, None),
    ],
)
def test_whom_the_kernel_has_ended_for_want_of_memory(group, files, kills):
    assert group(files).oom_kills() == kills
