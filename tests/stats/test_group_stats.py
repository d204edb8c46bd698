"""Statistics by group equal those of each group alone, in one pass, merged, saved and loaded."""

import numpy as np
import pytest
import torch

from fastaudio_norm.stats import GroupStats, StatsRecorder

NAMES = ("phone", "tablet", "watch")


def specs_and_names(seed=0, n=40):
    rng = np.random.default_rng(seed)
    names = [NAMES[i] for i in rng.integers(0, 3, n)]
    level = np.array([-60 + 1e3 * NAMES.index(name) for name in names])
    return torch.from_numpy(rng.standard_normal((n, 1, 5, 7)) * 0.1 + level[:, None, None, None]), names


def recorded(specs, names, size=8, **options):
    stats = GroupStats(StatsRecorder((0, 1, 3), **options))
    for i in range(0, len(specs), size):
        stats.update(specs[i : i + size], names[i : i + size])
    return stats


def check_equal(stats, specs, names):
    assert set(stats.groups) == set(names)
    for name, recorder in {**stats.groups, None: stats.pooled}.items():
        alone = specs[[name in (None, other) for other in names]].numpy()
        assert recorder.nobservations == alone.size // 5
        np.testing.assert_allclose(recorder.mean, alone.mean((0, 1, 3), keepdims=True), rtol=1e-12)
        np.testing.assert_allclose(recorder.std, alone.std((0, 1, 3), keepdims=True, ddof=1), rtol=1e-9)


@pytest.mark.parametrize("seed, size", [(0, 1), (1, 8), (2, 40)])
def test_each_group_has_the_statistics_of_its_clips_alone(seed, size):
    specs, names = specs_and_names(seed)
    check_equal(recorded(specs, names, size), specs, names)


@pytest.mark.parametrize("seed", range(3))
def test_merged_parts_equal_one_pass(seed):
    specs, names = specs_and_names(seed)
    cuts = sorted(np.random.default_rng(seed).integers(0, 40, 2))
    parts = [slice(0, cuts[0]), slice(cuts[0], cuts[1]), slice(cuts[1], None)]
    merged = GroupStats(StatsRecorder((0, 1, 3)))
    for rows in parts:
        part = recorded(specs[rows], names[rows])
        before = repr(part)
        merged.merge(part)
        assert repr(part) == before
    check_equal(merged, specs, names)


def test_lengths_belong_to_their_clips():
    specs, names = specs_and_names()
    lengths = [1 + i % 7 for i in range(len(specs))]
    stats = GroupStats(StatsRecorder((0, 1, 3)))
    stats.update(specs, names, lengths)
    for name, recorder in stats.groups.items():
        rows = [i for i, other in enumerate(names) if other == name]
        alone = torch.cat([specs[i, :, :, : lengths[i]] for i in rows], -1)
        torch.testing.assert_close(recorder.mean.flatten(), alone.mean((0, 2)))


def test_refused_batches_count_nothing():
    specs, names = specs_and_names()
    stats = recorded(specs, names)
    before = repr(stats)
    bad = specs[:2].clone()
    bad[1, 0, 0, 0] = torch.nan
    for batch, groups, problem in [
        (bad, names[:2], "not finite"), (specs[:2], names[:3], "Expected the groups of 2 items, got 3"),
        (specs[:, :, :3], names, "keeps"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=problem):
            stats.update(batch, groups)
        assert repr(stats) == before


def test_a_file_keeps_groups_and_reads_as_pooled_statistics(tmp_path):
    specs, names = specs_and_names()
    stats = recorded(specs, names, quantiles=True)
    stats.save(tmp_path / "stats.json")
    loaded, pooled = GroupStats.load(tmp_path / "stats.json"), StatsRecorder.load(tmp_path / "stats.json")
    assert repr(loaded) == repr(stats) and pooled.about["groups"] == list(stats.groups)
    assert torch.equal(pooled.mean, stats.pooled.mean)
    for name, recorder in stats.groups.items():
        assert torch.equal(loaded.groups[name].quantile(0.3), recorder.quantile(0.3))
    loaded.update(specs[:1], "new")
    assert loaded.groups["new"].nobservations == 7
    pooled.about.clear()
    pooled.save(tmp_path / "old.json")
    with pytest.raises(ValueError, match="old.json .* without groups. Measure them with a group column"):
        GroupStats.load(tmp_path / "old.json")


def test_damaged_groups_are_refused():
    content = recorded(*specs_and_names()).to_dict()
    for groups in ([], {}, {"phone": 3}, {"phone": {}}, {"phone": {**content["groups"]["phone"], "n": [-1] * 5}}):
        with pytest.raises(ValueError):
            GroupStats.from_dict({**content, "groups": groups})


def test_only_statistics_that_fit_can_be_set():
    stats = recorded(*specs_and_names())
    per_channel = StatsRecorder((0, 3))
    per_channel.update(torch.randn(3, 1, 5, 9))
    stats.set_group("new", per_channel)
    assert stats.groups["new"].red_dims == (0, 1, 3) and "new" in repr(stats)
    for shape, dims in (((3, 1, 6, 9), (0, 1, 3)), ((3, 1, 5, 9), (0, 1, 2, 3))):
        other = StatsRecorder(dims)
        other.update(torch.randn(shape))
        with pytest.raises(ValueError):
            stats.set_group("bad", other)
