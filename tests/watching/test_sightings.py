"""What is decided of the files of a growing folder, look by look."""

from __future__ import annotations

from mirar_dask.watching.sightings import Arrival, FileMark, Gone, Incomplete, Sightings


class Folder:
    """Files with sizes, and a clock that is moved by hand."""

    def __init__(self, complete: int = 100, **limits: float) -> None:
        self.files: dict[str, FileMark] = {}
        self.complete, self.now = complete, 0.0
        self.sightings = Sightings(self.doubt, **limits)
        self.examined: list[str] = []

    def doubt(self, name: str) -> str | None:
        self.examined.append(name)
        size = self.files[name].size
        return None if size >= self.complete else f"has {size} bytes"

    def write(self, name: str, size: int, inode: int = 1) -> None:
        self.files[name] = FileMark(size, int((1000 + self.now) * 1e9), inode)

    def look(self, seconds: float = 0.0, closed: tuple[str, ...] = ()) -> list[object]:
        self.now += seconds
        return list(self.sightings.look(self.files, self.now, 1000 + self.now, closed))


def test_a_file_is_a_frame_once_it_is_whole_and_does_not_change():
    """It is told once, with the time at which it was last written to."""
    folder = Folder(stable=1.0)
    folder.write("a", 50)
    assert folder.look() == []
    folder.now = 0.5
    folder.write("a", 100)
    assert folder.look() == []
    assert folder.sightings.growing
    assert folder.look(1.0) == [Arrival("a", folder.files["a"], 1000.5)]
    assert folder.look(10.0) == []
    assert not folder.sightings.growing


def test_a_file_that_was_closed_or_moved_here_is_examined_at_once():
    """No time is lost where the file system tells."""
    folder = Folder(stable=5.0)
    folder.write("a", 100)
    assert [type(n) for n in folder.look(0.0, ("a",))] == [Arrival]


def test_a_pause_in_the_writing_is_not_the_end():
    """What is not whole is not told of, however long nothing comes, up to the limit."""
    folder = Folder(stable=1.0, give_up=60.0)
    folder.write("a", 50)
    folder.look()
    assert folder.look(30.0) == []
    folder.write("a", 100)
    assert folder.look() == []
    assert [type(n) for n in folder.look(1.0)] == [Arrival]


def test_a_truncated_file_is_given_up_and_taken_when_it_is_mended():
    """The reason is told; it is examined once for each of its states."""
    folder = Folder(stable=1.0, give_up=60.0)
    folder.write("a", 50)
    folder.look()
    folder.look(2.0)
    folder.look(2.0)
    assert folder.examined == ["a"]
    (news,) = folder.look(60.0)
    assert isinstance(news, Incomplete)
    assert news.reason == "has 50 bytes; it has not grown for 64 s"
    folder.write("a", 100)
    folder.look()
    assert [type(n) for n in folder.look(1.0)] == [Arrival]


def test_a_file_without_an_end_is_given_up():
    """One that grows and grows does not keep the night from ending."""
    folder = Folder(stable=1.0, endless=10.0)
    told = []
    for size in range(20):
        folder.write("a", size)
        told += folder.look(0.9)
    assert [type(n) for n in told[:1]] == [Incomplete]
    assert "still being written after" in told[0].reason


def test_a_file_that_is_replaced_or_removed_is_told_of_again():
    """By size, time or inode; a removal at once."""
    folder = Folder(stable=1.0)
    folder.write("a", 100)
    folder.look(0.0, ("a",))
    folder.files["a"] = folder.files["a"]._replace(inode=2)
    folder.look()
    assert [type(n) for n in folder.look(1.0)] == [Arrival]
    del folder.files["a"]
    assert folder.look() == [Gone("a")]
    assert folder.look(100.0) == []


def test_the_clock_of_another_host_does_not_count():
    """A file's time is believed only as far as it lies between two looks."""
    folder = Folder(stable=0.0)
    folder.look(10.0)
    folder.files["old"] = FileMark(100, 5, 1)
    folder.files["new"] = FileMark(100, int(9e18), 1)
    found = {news.name: news.arrived for news in folder.look(2.0)}
    assert found == {"old": 1010.0, "new": 1012.0}
