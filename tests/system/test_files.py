"""Only regular files are opened, and a link out of the folder is taken when asked for alone."""

import os
import socket
import threading

import pytest

from medistill.errors import MedistillError
from medistill.system.files import open_regular, read_regular, walk


def at_once(work):
    """What it raises; a test that waits for a writer fails, and does not hang."""
    errors: list[BaseException] = []

    def attempt():
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    return errors[0]


def test_a_regular_file_is_read_whole_or_in_part(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert (read_regular(tmp_path / "a"), read_regular(tmp_path / "a", 2)) == (b"abc", b"ab")
    with open_regular(tmp_path / "a") as file:
        assert file.read() == b"abc"


def test_a_pipe_a_device_and_a_socket_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        place = os.open(tmp_path, os.O_RDONLY)  # the path of a socket may not be long
        listener.bind(f"/proc/self/fd/{place}/socket")
        os.close(place)
        for name, kind in (("pipe", "a named pipe"), ("link", "a device"), ("socket", "a socket")):
            error = at_once(lambda name=name: read_regular(tmp_path / name))
            assert (type(error), str(error)) == (MedistillError, f"not a file but {kind}")


@pytest.mark.parametrize(("name", "error"), [("none", FileNotFoundError), (".", IsADirectoryError)])
def test_other_errors_are_those_of_open(tmp_path, name, error):
    with pytest.raises(error):
        read_regular(tmp_path / name)


@pytest.fixture
def tree(tmp_path):
    """A folder with links within and out of it, one of them to a folder that holds it."""
    for name in ("root/a/1", "root/b/2", "root/.hidden/3", "away/x/4", "away/5"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    root = tmp_path / "root"
    (root / "a" / "within").symlink_to(root / "b")
    (root / "a" / "same").symlink_to("1")
    (root / "b" / "folder").symlink_to("../../away")
    (root / "b" / "file").symlink_to(tmp_path / "away" / "5")
    (root / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "away" / "back").symlink_to(root)
    return root


def listed(root, **options):
    names, outside = set(), set()
    for listing in walk(root, **options):
        inside = listing.folder.relative_to(root)
        names |= {(inside / name).as_posix() for name in listing.names}
        outside |= {(inside / name).as_posix() for name in listing.outside}
    return names, outside


def test_links_out_are_named_and_not_followed(tree):
    assert listed(tree) == ({"a/1", "a/same", "b/2"}, {"b/folder", "b/file", "b/up"})


def test_links_out_are_followed_once_when_asked_for(tree):
    names, outside = listed(tree, follow_links=True)
    assert names == {"a/1", "a/same", "b/2", "b/file", "b/folder/5", "b/folder/x/4"}
    assert outside == set()


def test_a_root_that_is_a_link_itself_is_no_link_out(tree, tmp_path):
    (tmp_path / "alias").symlink_to(tree)
    assert listed(tmp_path / "alias")[0] == {"a/1", "a/same", "b/2"}


def test_what_is_ours_is_passed_over_by_its_place(tree):
    assert listed(tree, without=[tree / "a", tree / "b" / "2"])[0] == set()
