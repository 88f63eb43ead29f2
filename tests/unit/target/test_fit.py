"""Whether a recipe and its lock fit a target: every finding and every refusal."""

from dataclasses import replace
from pathlib import Path

import pytest

from bundler.errors import FerryError, RecipeError, ResolveError
from bundler.load import format_lock, read_lock, read_recipe
from bundler.model.image import LockedBlob, LockedImage
from bundler.model.lock import Lock, LockedTarget
from bundler.model.platform import PLATFORMS
from bundler.model.recipe import Recipe
from bundler.model.reference import parse_reference
from bundler.model.target import FileSystem, Target, Versioned
from bundler.model.wheel import LockedFile, LockedPackage
from bundler.target.finding import Finding
from bundler.target.fit import carried_bytes, check_lock, check_recipe, glibc_floor, lock_target
from bundler.target.stock import stock_target

AMD64, ARM64 = PLATFORMS
RECIPES = Path(__file__).resolve().parents[3] / "recipes"
SHIPPED = sorted(path.parent.name for path in RECIPES.glob("*/recipe.lock.yaml"))


@pytest.fixture
def recipe() -> Recipe:
    return read_recipe(RECIPES / "hello")


@pytest.fixture
def lock() -> Lock:
    return replace(read_lock(RECIPES / "hello"), wheels=(), toolchain=(), debs=(), files=(), images=())


@pytest.fixture
def debian() -> Target:
    return stock_target("debian-12/amd64")


def wheels(*names: str) -> tuple[LockedPackage, ...]:
    return tuple(
        LockedPackage(
            name=name.split("-")[0],
            version="1.0",
            files=(LockedFile(name=name, size=10, sha256=f"{number:064x}", platforms=(AMD64,)),),
        )
        for number, name in enumerate(names)
    )


def refusal(recipe: Recipe, target: Target) -> FerryError:
    with pytest.raises(RecipeError) as refused:
        check_recipe(recipe, target)
    return refused.value


def test_a_recipe_that_fits_is_told_with_what_was_checked(recipe: Recipe, debian: Target) -> None:
    assert check_recipe(recipe, debian) == [
        Finding(subject="platform", has="linux/amd64", needs="linux/amd64 or linux/arm64"),
        Finding(subject="kernel", has="6.1", needs=">= 3.2 (glibc 2.36)"),
        Finding(subject="init", has="systemd 252", needs="systemd >= 247"),
    ]


def test_a_recipe_without_services_needs_no_systemd(recipe: Recipe, debian: Target) -> None:
    bare = replace(debian, init=Versioned(name="busybox", version=None))
    assert [one.subject for one in check_recipe(replace(recipe, services=()), bare)] == ["platform", "kernel"]


def test_an_old_systemd_works_with_a_loss(recipe: Recipe, debian: Target) -> None:
    old = replace(debian, init=Versioned(name="systemd", version="241"))
    assert check_recipe(recipe, old)[2] == Finding(
        subject="init", has="systemd 241", needs="systemd >= 247", is_enough=False
    )


def test_what_is_not_known_is_not_checked(recipe: Recipe, debian: Target) -> None:
    unknown = replace(debian, kernel=None, init=Versioned(name=None, version=None))
    assert [finding.has for finding in check_recipe(recipe, unknown)] == ["linux/amd64", None, None]
    assert check_recipe(recipe, stock_target("uos-20/arm64"))[2].has == "systemd ?"


def test_a_platform_that_the_recipe_has_not_is_refused(recipe: Recipe, debian: Target) -> None:
    refused = refusal(replace(recipe, platforms=(ARM64,)), debian)
    assert str(refused) == "platforms: expected linux/amd64, which the target is, got linux/arm64"
    assert refused.hint == "add it to the recipe's platforms, or take another target"
    refused = refusal(recipe, replace(debian, machine="loongarch64"))
    assert str(refused) == (
        "platforms: expected machine loongarch64, which the target is, got linux/amd64 or linux/arm64"
    )
    assert "machine unknown" in str(refusal(recipe, replace(debian, machine=None)))


@pytest.mark.parametrize(("machine", "kernel", "least"), [("x86_64", "3.1.9", "3.2"), ("aarch64", "3.6.11-rt", "3.7")])
def test_a_kernel_that_is_too_old_for_the_runtime_is_refused(
    recipe: Recipe, debian: Target, machine: str, kernel: str, least: str
) -> None:
    refused = refusal(recipe, replace(debian, machine=machine, kernel=kernel))
    assert str(refused) == (
        f"python.debian: expected kernel {least} or newer for the runtime of bookworm, the target has {kernel}"
    )
    assert check_recipe(recipe, replace(debian, machine=machine, kernel="3.10.0-957.el7"))[1].has == "3.10.0-957.el7"


def test_another_init_is_refused(recipe: Recipe, debian: Target) -> None:
    refused = refusal(recipe, replace(debian, init=Versioned(name="openrc-init", version=None)))
    assert str(refused) == 'services: expected systemd for hello, the target starts with "openrc-init"'
    assert refused.hint == "take a target with systemd, or carry the services as images"


@pytest.mark.parametrize(
    ("names", "floor"),
    [
        (["a-1.0-py3-none-any.whl"], ((), "")),
        (["a-1.0.tar.gz"], ((), "")),
        (["a-1.0-cp311-cp311-manylinux1_x86_64.whl"], ((2, 5), "a-1.0-cp311-cp311-manylinux1_x86_64.whl")),
        (["a-1.0-cp311-cp311-manylinux2010_x86_64.whl"], ((2, 12), "a-1.0-cp311-cp311-manylinux2010_x86_64.whl")),
        (
            # A wheel of two tags runs where the older one does.
            [
                "a-1.0-cp311-cp311-manylinux_2_28_x86_64.manylinux_2_5_x86_64.whl",
                "b-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                "c-1.0-py3-none-any.whl",
            ],
            ((2, 17), "b-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"),
        ),
        (["a-1.0-cp311-cp311-linux_x86_64.whl"], ((), "")),
    ],
)
def test_the_glibc_floor_of_wheels(lock: Lock, names: list[str], floor: tuple[tuple[int, ...], str]) -> None:
    assert glibc_floor(replace(lock, wheels=wheels(*names)), AMD64) == floor
    assert glibc_floor(replace(lock, toolchain=wheels(*names)), AMD64) == floor
    assert glibc_floor(replace(lock, wheels=wheels(*names)), ARM64) == ((), "")


def test_wheels_for_a_newer_glibc_than_the_runtime_has_are_refused(lock: Lock, debian: Target) -> None:
    name = "a-1.0-cp311-cp311-manylinux_2_39_x86_64.whl"
    with pytest.raises(ResolveError) as refused:
        check_lock(replace(lock, wheels=wheels(name)), debian)
    assert str(refused.value) == f"wheels: expected wheels for glibc 2.36 of bookworm or older, {name} asks for 2.39"


def test_the_space_is_checked_as_far_as_it_is_known(lock: Lock, debian: Target) -> None:
    heavy = LockedFile(name="a-1.0-py3-none-any.whl", size=3 * 10**9, sha256="a" * 64, platforms=(AMD64,))
    lock = replace(lock, wheels=(LockedPackage(name="a", version="1.0", files=(heavy,)),))

    def known(path: str, free: int) -> FileSystem:
        return FileSystem(path=path, free_bytes=free, free_inodes=None)

    enough = replace(debian, file_systems=(known("/", 1), known("/var/lib", 4 * 10**9)))
    assert check_lock(lock, enough) == [
        Finding(subject="glibc", has="2.36 (bookworm)", needs="-"),
        Finding(subject="/var/lib", has="4.00 GB", needs=">= 3.00 GB"),
        Finding(subject="/opt", has=None, needs=">= 3.00 GB"),
    ]
    full = replace(debian, file_systems=(known("/var/lib", 4 * 10**9), known("/opt", 10**9)))
    with pytest.raises(ResolveError) as refused:
        check_lock(lock, full)
    assert str(refused.value) == "/opt: expected 3.00 GB free at the least, the target has 1.00 GB"


def test_every_blob_of_the_platform_counts_once(lock: Lock) -> None:
    layer = LockedBlob(media_type="application/vnd.oci.image.layer.v1.tar", size=500, sha256="a" * 64)
    manifest = LockedBlob(media_type="application/vnd.oci.image.manifest.v1+json", size=20, sha256="b" * 64)
    reference = parse_reference("docker.io/library/redis:7", place="x")
    images = tuple(
        LockedImage(reference=reference, aliases=(), platform=platform, manifest=manifest, blobs=(layer, layer))
        for platform in PLATFORMS
    )
    assert carried_bytes(replace(lock, images=images, wheels=wheels("a-1-py3-none-any.whl")), AMD64) == 530


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_locks_name_no_target_and_stay_as_they_are(name: str) -> None:
    lock = read_lock(RECIPES / name)
    assert lock.targets == ()
    assert format_lock(lock).encode() == (RECIPES / name / "recipe.lock.yaml").read_bytes()


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_locks_fit_the_stock_targets(name: str) -> None:
    for stock in ("debian-13/amd64", "kylin-v10-sp3/arm64"):
        assert check_recipe(read_recipe(RECIPES / name), stock_target(stock))
        assert check_lock(read_lock(RECIPES / name), stock_target(stock))


def test_a_lock_records_its_targets(lock: Lock, debian: Target, tmp_path: Path) -> None:
    recorded = lock_target(debian)
    assert recorded == LockedTarget(
        name="debian-12/amd64", os="debian", version="12", machine="x86_64", sha256=debian.sha256
    )
    path = tmp_path / "recipe.lock.yaml"
    path.write_text(format_lock(replace(lock, targets=(recorded,))))
    assert read_lock(path).targets == (recorded,)
    assert lock_target(replace(debian, name="a\x1bb")).name == "target"


def test_a_damaged_record_is_refused(lock: Lock, debian: Target, tmp_path: Path) -> None:
    path = tmp_path / "recipe.lock.yaml"
    text = format_lock(replace(lock, targets=(lock_target(debian),)))
    path.write_text(text.replace(debian.sha256, "abc"))
    with pytest.raises(RecipeError) as refused:
        read_lock(path)
    assert str(refused.value) == ("targets[0].sha256: expected 64 lower-case hex digits for sha256, got 3 characters")
