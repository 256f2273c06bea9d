"""Declares the compiled modules; everything else about the package is in pyproject.toml.

Environment variables read at build time (set means: neither empty nor "0"):

DISTCHAN_NO_EXTENSIONS       compile nothing: a pure-Python, py3-none-any wheel
DISTCHAN_REQUIRE_EXTENSIONS  fail if an extension does not compile; without it the build
                             succeeds, says so, and the package runs on the Python twins
DISTCHAN_TRACE               line tracing, so that `coverage run -m pytest` sees .pyx lines;
                             slow, and the generated .c files stay beside the sources
DISTCHAN_SANITIZE            AddressSanitizer and UndefinedBehaviorSanitizer (GCC, Clang), for
                             `make sanitize`

DISTCHAN_NO_EXTENSIONS wins over the others.

Compiled is each module that has a .pxd file: from its .pyx file if there is one, which then is the
compiled twin of the .py file, else from the .py file itself, to which the .pxd adds C types. Plain
Extension objects list them: setuptools hands them to Cython by itself, and `cythonize()` would
drop `optional`.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


def is_set(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


class BuildAllOrNone(build_ext):
    """Leaves either every extension or none, so that the twins never come from different builds."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.force = True  # never take an older build for this one
        self.parallel = self.parallel or True  # as many at once as there are processors
        self.cython_c_in_temp = not is_set("DISTCHAN_TRACE")
        self.failed: list[str] = []

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except Exception:
            self.failed.append(ext.name)
            raise  # build_ext swallows what a compiler reports if the extension is optional

    def build_extensions(self) -> None:
        super().build_extensions()
        if not self.failed:
            return
        for ext in self.extensions:
            filename = self.get_ext_filename(ext.name)
            Path(self.build_lib, filename).unlink(missing_ok=True)
            if self.inplace or self.editable_mode:
                Path(filename).unlink(missing_ok=True)
        print(
            f"\ndistchan: {', '.join(self.failed)} did not compile (the compiler's own words are "
            "above).\ndistchan: the package works without compiled modules, on its slower "
            "pure-Python backend.\ndistchan: set DISTCHAN_REQUIRE_EXTENSIONS=1 to make this an "
            "error.\n",
            file=sys.stderr,
        )


def extension(declarations: Path) -> Extension:
    source = declarations.with_suffix(".pyx")
    ext = Extension(
        ".".join(declarations.with_suffix("").parts),
        [str(source if source.exists() else declarations.with_suffix(".py"))],
        optional=not is_set("DISTCHAN_REQUIRE_EXTENSIONS"),
    )
    # Annotations are for readers and type checkers; what the compiler relies on is in the .pxd.
    ext.cython_directives = {"annotation_typing": False}
    if is_set("DISTCHAN_TRACE"):
        ext.cython_directives["linetrace"] = True
        ext.define_macros = [("CYTHON_TRACE", "1"), ("CYTHON_USE_SYS_MONITORING", "0")]
    if is_set("DISTCHAN_SANITIZE"):
        sanitize = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
        ext.extra_compile_args = [*sanitize, "-g", "-O1"]
        ext.extra_link_args = sanitize
    return ext


setup(
    cmdclass={"build_ext": BuildAllOrNone},
    ext_modules=[]
    if is_set("DISTCHAN_NO_EXTENSIONS")
    else [extension(path) for path in sorted(Path("distchan").glob("**/*.pxd"))],
)
