"""What pyproject.toml cannot say: the native kernels are built where there is a compiler, else left out."""

import runpy
from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("engine/executors/native")
recipe = runpy.run_path(str(NATIVE / "build.py"))

setup(
    ext_modules=[
        Extension(
            "numserve.engine.executors.native._kernels",
            sources=[str(NATIVE / name) for name in recipe["SOURCES"]],
            depends=[str(path) for path in sorted(NATIVE.glob("*.h"))],
            extra_compile_args=[*recipe["FLAGS"], "-g0"],
            extra_link_args=["-pthread", "-lm"],
            optional=True,
        )
    ]
)
