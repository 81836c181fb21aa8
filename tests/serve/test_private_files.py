"""What commands write is for its owner alone, or for the group to read."""

import os
import stat

import pytest

from medistill.data.check.report import check_and_write
from medistill.serve.index.embed import embed
from medistill.serve.index.index import fill
from medistill.system.private import files_for, private_files
from tests.cli.test_cli import call, write_csv
from tests.conftest import tiny_model, write_noise_corpus


@pytest.fixture(params=[0o022, 0o002, 0o000])
def usual(request):
    """A umask that lets others read."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(*paths):
    """Of files and of folders."""
    every = [inner for path in paths for inner in (path, *path.rglob("*"))]
    assert len(every) > len(paths) or not paths[0].is_dir()
    files = {oct(stat.S_IMODE(path.stat().st_mode)) for path in every if path.is_file()}
    return files, {oct(stat.S_IMODE(path.stat().st_mode)) for path in every if path.is_dir()}


ALONE, WITH_GROUP = ({"0o600"}, {"0o700"}), ({"0o640"}, {"0o750"})


def umask():
    now = os.umask(0)
    os.umask(now)
    return now


def test_a_corpus_a_table_an_index_and_a_page_are_for_their_owner_alone(usual, tmp_path):
    from medistill.model.saved import save_model

    write_noise_corpus(tmp_path / "corpus")
    check_and_write(tmp_path / "corpus", tmp_path / "checked")
    save_model(tiny_model(), tmp_path / "model")
    embed(tmp_path / "model", tmp_path / "corpus", tmp_path / "table.arrow")
    fill(tmp_path / "index", tmp_path / "table.arrow", kind=None, delete=(), on_progress=lambda *_: None)
    assert modes(*(tmp_path / name for name in ("corpus", "checked", "index"))) == ALONE
    assert modes(tmp_path / "table.arrow")[0] == {"0o600"}
    assert umask() == usual


def test_a_run_an_evaluation_and_labels_are_for_their_owner_alone(german, tmp_path, usual):
    from medistill.evaluate.run import evaluate_run
    from medistill.serve.label import label
    from medistill.serve.wanted import Wanted

    evaluate_run(german.run, german.corpus, tmp_path / "evaluation")
    label(german.run, tmp_path / "labels.csv", Wanted(findings=("nodule",)), images=german.films)
    assert modes(german.corpus, german.run, tmp_path / "evaluation") == ALONE
    assert modes(tmp_path / "labels.csv")[0] == modes(tmp_path / "labels.json")[0] == {"0o600"}


@pytest.mark.parametrize("flags", [(), ("--group-readable",)])
def test_the_command_line_lets_the_group_read_on_request(usual, tmp_path, flags):
    source = write_csv(tmp_path)
    out = ("--out", tmp_path / "corpus")
    assert call("prepare", "csv", source, *out, "--workers", 1, *flags) == 0
    assert call("check", tmp_path / "corpus", "--out", tmp_path / "checked", *flags) in (0, 1)
    expected = WITH_GROUP if flags else ALONE
    assert modes(tmp_path / "corpus", tmp_path / "checked") == expected
    assert umask() == usual


def test_a_umask_that_shuts_out_others_is_taken_as_it_stands_in_a_script(tmp_path):
    before = os.umask(0o027)
    try:
        write_noise_corpus(tmp_path / "corpus")
        assert umask() == 0o027
    finally:
        os.umask(before)
    assert modes(tmp_path / "corpus") == WITH_GROUP


@pytest.mark.parametrize("group", [False, True])
def test_an_error_gives_the_umask_back(usual, group):
    with pytest.raises(KeyError), files_for(group=group), private_files():
        raise KeyError
    assert umask() == usual


def test_a_list_of_rejects_beside_a_corpus_that_failed_is_private_too(usual, tmp_path):
    source = write_csv(tmp_path)
    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes(b"none")
    assert call("prepare", "csv", source, "--out", tmp_path / "corpus", "--workers", 1) == 1
    assert modes(tmp_path / "corpus.rejected.csv")[0] == {"0o600"}
